//! What a power failure does to a data directory: some of what no sync covered is taken back, after the journal that
//! `disk.c` wrote. A file loses any of its unsynced sectors, each to any of the states it has had since; a directory loses
//! the last of its unsynced changes.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use diwan_sim::Random;

const SECTOR_BYTES: u64 = 512;

/// What was at risk and what was lost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Losses {
    /// Unsynced sectors whose older state differs.
    pub sectors: u64,
    /// Those that have an older state now.
    pub sectors_lost: u64,
    /// Files that have another length now.
    pub lengths_lost: u64,
    /// Unsynced changes of directories.
    pub names: u64,
    /// Those that were taken back.
    pub names_lost: u64,
}

impl Losses {
    /// Adds another power failure.
    pub fn add(&mut self, other: Losses) {
        self.sectors += other.sectors;
        self.sectors_lost += other.sectors_lost;
        self.lengths_lost += other.lengths_lost;
        self.names += other.names;
        self.names_lost += other.names_lost;
    }
}

/// How much of what is not durable is lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// As if nothing but the process had failed.
    Nothing,
    /// All of it.
    Everything,
    /// Any part of it.
    Some,
}

struct Change {
    number: u64,
    offset: u64,
    old_length: u64,
    new_length: u64,
    old: Vec<u8>,
}

enum NameChange {
    Appears(String),
    Goes {
        kept: u64,
        name: String,
    },
    Becomes {
        inode: u64,
        kept: u64,
        from: String,
        to: String,
    },
}

#[derive(Default)]
struct Journal {
    changes: BTreeMap<u64, Vec<Change>>,
    names: Vec<(u64, u64, NameChange)>,
    /// By inode: the notes before this number are durable.
    durable: HashMap<u64, u64>,
}

impl Journal {
    fn is_durable(&self, inode: u64, number: u64) -> bool {
        self.durable.get(&inode).is_some_and(|end| number < *end)
    }
}

impl Share {
    /// Usually some.
    pub fn any(random: &mut Random) -> Share {
        match random.below(10) {
            0 => Share::Nothing,
            1 | 2 => Share::Everything,
            _ => Share::Some,
        }
    }
}

/// Rewinds what lies in `root`, whose process is dead, and empties `beside`, where its journal is.
pub fn rewind(root: &Path, beside: &Path, share: Share, random: &mut Random) -> io::Result<Losses> {
    let journal = read(&fs::read(beside.join("journal"))?)?;
    let mut losses = Losses::default();
    let places = places(&[root, beside])?;
    for (inode, changes) in &journal.changes {
        let unsynced: Vec<&Change> = changes
            .iter()
            .filter(|change| !journal.is_durable(*inode, change.number))
            .collect();
        if let Some(path) = places.get(inode).filter(|_| !unsynced.is_empty()) {
            rewind_file(path, &unsynced, share, random, &mut losses)?;
        }
    }
    rewind_names(root, beside, &journal, share, random, &mut losses)?;
    fs::remove_dir_all(beside)?;
    fs::create_dir(beside)?;
    Ok(losses)
}

fn rewind_file(
    path: &Path,
    unsynced: &[&Change],
    share: Share,
    random: &mut Random,
    losses: &mut Losses,
) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let now = fs::read(path)?;
    // By sector: its states, the newest first.
    let mut states: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    for change in unsynced.iter().rev() {
        let grown = change.new_length.saturating_sub(change.old_length);
        let zeros = vec![0; grown as usize];
        for (offset, old) in [
            (change.offset, &change.old),
            (change.old_length.min(change.new_length), &zeros),
        ] {
            let mut done = 0;
            while done < old.len() as u64 {
                let sector = (offset + done) / SECTOR_BYTES;
                let within = (offset + done) % SECTOR_BYTES;
                let bytes = (SECTOR_BYTES - within).min(old.len() as u64 - done);
                let known = states.entry(sector).or_insert_with(|| {
                    let begin = now.len().min((sector * SECTOR_BYTES) as usize);
                    let end = now.len().min(begin + SECTOR_BYTES as usize);
                    let mut state = now[begin..end].to_vec();
                    state.resize(SECTOR_BYTES as usize, 0);
                    vec![state]
                });
                let mut state = known[known.len() - 1].clone();
                state[within as usize..(within + bytes) as usize]
                    .copy_from_slice(&old[done as usize..(done + bytes) as usize]);
                if state != known[known.len() - 1] {
                    known.push(state);
                }
                done += bytes;
            }
        }
    }
    let durable_length = unsynced[0].old_length;
    let length = match share {
        Share::Nothing => now.len() as u64,
        Share::Everything => durable_length,
        Share::Some if random.chance(1, 2) => durable_length,
        Share::Some => now.len() as u64,
    };
    if length != now.len() as u64 {
        losses.lengths_lost += 1;
        file.set_len(length)?;
    }
    for (sector, states) in states {
        let begin = sector * SECTOR_BYTES;
        if states.len() == 1 || begin >= length {
            continue;
        }
        losses.sectors += 1;
        let chosen = match share {
            Share::Nothing => 0,
            Share::Everything => states.len() - 1,
            Share::Some => random.below(states.len() as u64) as usize,
        };
        if chosen > 0 {
            losses.sectors_lost += 1;
            let bytes = (length - begin).min(SECTOR_BYTES);
            file.write_all_at(&states[chosen][..bytes as usize], begin)?;
        }
    }
    Ok(())
}

fn rewind_names(
    root: &Path,
    beside: &Path,
    journal: &Journal,
    share: Share,
    random: &mut Random,
    losses: &mut Losses,
) -> io::Result<()> {
    let mut unsynced: BTreeMap<u64, u64> = BTreeMap::new();
    for (number, directory, _) in &journal.names {
        if !journal.is_durable(*directory, *number) {
            *unsynced.entry(*directory).or_default() += 1;
        }
    }
    losses.names += unsynced.values().sum::<u64>();
    // By directory: how many of its changes are taken back, the last one first.
    let mut lost: BTreeMap<u64, u64> = unsynced
        .into_iter()
        .map(|(directory, count)| {
            let lost = match share {
                Share::Nothing => 0,
                Share::Everything => count,
                Share::Some => random.between(0, count),
            };
            (directory, lost)
        })
        .collect();
    for (_, directory, change) in journal.names.iter().rev() {
        let Some(left) = lost.get_mut(directory).filter(|left| **left > 0) else {
            continue;
        };
        *left -= 1;
        // The root's own directory is no place of ours, but its entry for the root is.
        let mut places = places(&[root, beside])?;
        if let Some(parent) = root.parent() {
            places.insert(fs::metadata(parent)?.ino(), parent.to_owned());
        }
        let Some(path) = places.get(directory) else {
            continue;
        };
        if take_back(path, beside, change)? {
            losses.names_lost += 1;
        }
    }
    Ok(())
}

/// Takes a change of a directory back. False if it never came to it.
fn take_back(directory: &Path, beside: &Path, change: &NameChange) -> io::Result<bool> {
    let kept = |number: &u64| beside.join(number.to_string());
    let restore = |number: &u64, name: &Path| {
        if *number != 0 && kept(number).exists() {
            fs::rename(kept(number), name)?;
        }
        Ok::<_, io::Error>(())
    };
    match change {
        NameChange::Appears(name) => {
            let path = directory.join(name);
            match fs::symlink_metadata(&path) {
                Err(_) => return Ok(false),
                Ok(found) if found.is_dir() => fs::remove_dir_all(path)?,
                Ok(_) => fs::remove_file(path)?,
            }
        }
        NameChange::Goes { kept, name } => {
            let path = directory.join(name);
            if path.exists() {
                return Ok(false);
            }
            restore(kept, &path)?;
        }
        NameChange::Becomes {
            inode,
            kept,
            from,
            to,
        } => {
            let (from, to) = (directory.join(from), directory.join(to));
            if fs::symlink_metadata(&to).map_or(0, |found| found.ino()) != *inode {
                return Ok(false);
            }
            fs::rename(&to, from)?;
            restore(kept, &to)?;
        }
    }
    Ok(true)
}

/// Where each inode lies.
fn places(roots: &[&Path]) -> io::Result<HashMap<u64, PathBuf>> {
    let mut found = HashMap::new();
    let mut left: Vec<PathBuf> = roots.iter().map(|root| (*root).to_owned()).collect();
    while let Some(path) = left.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.is_dir() {
            for entry in fs::read_dir(&path)? {
                left.push(entry?.path());
            }
        }
        found.insert(metadata.ino(), path);
    }
    Ok(found)
}

fn read(mut bytes: &[u8]) -> io::Result<Journal> {
    let wrong = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "a journal that disk.c did not write",
        )
    };
    let mut journal = Journal::default();
    let mut number = 0;
    // A note that is cut short is of a change that did not come to pass.
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((note, rest)) = rest.split_at_checked(length) else {
            break;
        };
        bytes = rest;
        let mut fields = Fields(note);
        let kind = fields.0.split_off_first().copied().ok_or_else(wrong)?;
        let inode = fields.number().ok_or_else(wrong)?;
        match kind {
            b'w' => {
                let mut next = || fields.number().ok_or_else(wrong);
                let change = Change {
                    number,
                    offset: next()?,
                    old_length: next()?,
                    new_length: next()?,
                    old: fields.0.to_vec(),
                };
                journal.changes.entry(inode).or_default().push(change);
            }
            b's' => {
                let end = fields.number().ok_or_else(wrong)?;
                let known = journal.durable.entry(inode).or_default();
                *known = end.max(*known);
            }
            b'c' => journal
                .names
                .push((number, inode, NameChange::Appears(fields.text()))),
            b'u' => {
                fields.number().ok_or_else(wrong)?;
                let change = NameChange::Goes {
                    kept: fields.number().ok_or_else(wrong)?,
                    name: fields.text(),
                };
                journal.names.push((number, inode, change));
            }
            b'r' => {
                let moved = fields.number().ok_or_else(wrong)?;
                let kept = fields.number().ok_or_else(wrong)?;
                let text = fields.text();
                let (from, to) = text.split_once('\0').ok_or_else(wrong)?;
                let change = NameChange::Becomes {
                    inode: moved,
                    kept,
                    from: from.to_owned(),
                    to: to.to_owned(),
                };
                journal.names.push((number, inode, change));
            }
            _ => return Err(wrong()),
        }
        number += 1;
    }
    Ok(journal)
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.0).into_owned()
    }
}

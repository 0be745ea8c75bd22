//! A disk that keeps what was synced and, of the rest, what chance leaves.
//!
//! A file is what was synced plus, for each sector of 512 bytes, the versions written since. A crash keeps one of those
//! versions or the old one, for each sector by itself; names that were created, renamed or removed since the directory was
//! synced are kept or lost one by one. Faults happen on demand, and each is counted.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diwan_wal::{Directory, File};

use crate::random::Random;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
/// What the page cache writes at once.
const BLOCK: u64 = 4096;

type Sector = [u8; SECTOR];

/// What the disk did and suffered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct DiskCounts {
    pub reads: u64,
    pub writes: u64,
    pub syncs: u64,
    pub directory_operations: u64,
    pub directory_syncs: u64,
    pub crashes: u64,
    /// Sectors whose newest version a crash lost.
    pub sectors_lost: u64,
    /// Unsynced sectors of which a crash kept a version.
    pub sectors_kept: u64,
    /// Blocks that a crash filled with garbage.
    pub blocks_garbled: u64,
    pub names_lost: u64,
    pub syncs_failed: u64,
    pub writes_failed: u64,
    pub writes_misdirected: u64,
    pub writes_refused_full: u64,
    pub writes_refused_read_only: u64,
    pub sectors_corrupted: u64,
}

#[derive(Default)]
struct FileState {
    durable: Vec<u8>,
    /// The length that readers see.
    bytes: usize,
    /// Versions since the last sync, oldest first.
    pending: BTreeMap<usize, Vec<Sector>>,
    /// What a failed sync dropped: still seen by readers, never written any more.
    dropped: BTreeMap<usize, Sector>,
}

impl FileState {
    fn sector(&self, nth: usize) -> Sector {
        if let Some(newest) = self.pending.get(&nth).and_then(|versions| versions.last()) {
            return *newest;
        }
        if let Some(dropped) = self.dropped.get(&nth) {
            return *dropped;
        }
        let mut sector = [0; SECTOR];
        let from = (nth * SECTOR).min(self.durable.len());
        let to = (from + SECTOR).min(self.durable.len());
        sector[..to - from].copy_from_slice(&self.durable[from..to]);
        sector
    }

    fn keep(&mut self, nth: usize, sector: &Sector) {
        let end = (nth + 1) * SECTOR;
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        self.durable[end - SECTOR..end].copy_from_slice(sector);
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        let mut at = 0;
        while at < bytes.len() {
            let nth = (offset + at) / SECTOR;
            let from = (offset + at) % SECTOR;
            let count = (SECTOR - from).min(bytes.len() - at);
            let mut sector = self.sector(nth);
            sector[from..from + count].copy_from_slice(&bytes[at..at + count]);
            self.pending.entry(nth).or_default().push(sector);
            self.dropped.remove(&nth);
            at += count;
        }
        self.bytes = self.bytes.max(offset + bytes.len());
    }

    fn sync(&mut self) {
        for (nth, versions) in std::mem::take(&mut self.pending) {
            if let Some(newest) = versions.last() {
                self.keep(nth, newest);
            }
        }
        self.durable.resize(self.bytes, 0);
    }
}

enum NameChange {
    Set(String, u64),
    Unset(String),
}

#[derive(Default)]
struct State {
    files: BTreeMap<u64, FileState>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Not yet durable; each entry is one operation.
    name_changes: Vec<Vec<NameChange>>,
    file_next: u64,
    /// Counts restarts: a handle from before a crash is dead.
    life: u64,
    capacity_bytes: Option<u64>,
    read_only: bool,
    /// Operations until the power fails.
    power: Option<u64>,
    power_failed: bool,
    sync_failures: u64,
    write_failures: u64,
    misdirections: u64,
    cached_stays: bool,
    random: Option<Random>,
    counts: DiskCounts,
}

impl State {
    fn alive(&self, life: u64) -> io::Result<()> {
        if self.power_failed || life != self.life {
            return Err(io::Error::other("the power failed"));
        }
        Ok(())
    }

    /// Every changing operation passes here: the power may fail before it.
    fn change(&mut self, life: u64) -> io::Result<()> {
        self.alive(life)?;
        if let Some(power) = &mut self.power {
            if *power == 0 {
                self.power_failed = true;
                return self.alive(life);
            }
            *power -= 1;
        }
        if self.read_only {
            self.counts.writes_refused_read_only += 1;
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(())
    }

    fn used_bytes(&self) -> u64 {
        let named = self.names.values();
        named.map(|id| self.files[id].bytes as u64).sum()
    }

    fn chance(&mut self) -> Random {
        let mut random = self.random.take().unwrap_or(Random::new(0));
        let child = Random::new(random.bits());
        self.random = Some(random);
        child
    }
}

/// The disk: a handle whose clones share it. As a [`Directory`] it serves until the next crash.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    life: u64,
}

/// A file of a [`SimDisk`].
pub struct SimFile {
    state: Arc<Mutex<State>>,
    id: u64,
    life: u64,
}

impl SimDisk {
    /// An empty disk; the seed decides what crashes keep.
    pub fn new(seed: u64) -> SimDisk {
        let state = State {
            random: Some(Random::new(seed)),
            ..State::default()
        };
        SimDisk {
            state: Arc::new(Mutex::new(state)),
            life: 0,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handle to use now; those from before the last crash are dead.
    pub fn current(&self) -> SimDisk {
        SimDisk {
            state: self.state.clone(),
            life: self.state().life,
        }
    }

    /// What happened so far.
    pub fn counts(&self) -> DiskCounts {
        self.state().counts
    }

    /// Lets the power fail after so many further operations that change something: from then on all fail until
    /// [`SimDisk::crash`].
    pub fn fail_power_after(&self, operations: u64) {
        self.state().power = Some(operations);
    }

    /// Whether the power has failed.
    pub fn has_failed(&self) -> bool {
        self.state().power_failed
    }

    /// Power loss and restart. Returns the handle to go on with.
    pub fn crash(&self) -> SimDisk {
        self.lose_power(false)
    }

    /// Power loss on a disk that does not write sectors whole: a block of 4096 bytes that was being written may hold
    /// anything afterwards, what was synced there before included.
    pub fn crash_garbling(&self) -> SimDisk {
        self.lose_power(true)
    }

    /// The end of the process alone: what was written is still there, synced or not, and so are the names.
    pub fn kill(&self) -> SimDisk {
        let mut state = self.state();
        state.life += 1;
        state.power = None;
        state.power_failed = false;
        drop(state);
        self.current()
    }

    fn lose_power(&self, garbling: bool) -> SimDisk {
        let mut state = self.state();
        let mut random = state.chance();
        let State {
            files,
            names,
            durable_names,
            name_changes,
            counts,
            ..
        } = &mut *state;
        counts.crashes += 1;
        for change in name_changes.drain(..) {
            let applies = change.iter().all(|change| match change {
                NameChange::Set(..) => true,
                NameChange::Unset(name) => durable_names.contains_key(name),
            });
            if !applies || random.chance(1, 2) {
                counts.names_lost += 1;
                continue;
            }
            for change in change {
                match change {
                    NameChange::Set(name, id) => durable_names.insert(name, id),
                    NameChange::Unset(name) => durable_names.remove(&name),
                };
            }
        }
        *names = durable_names.clone();
        // Sometimes nearly all survives, sometimes nearly nothing.
        let kept_of_8 = random.below(9);
        for file in files.values_mut() {
            file.dropped.clear();
            for (nth, versions) in std::mem::take(&mut file.pending) {
                let version = random.below(versions.len() as u64) as usize;
                if random.chance(kept_of_8, 8) {
                    // Mostly the newest one.
                    let version = if random.chance(3, 4) {
                        versions.len() - 1
                    } else {
                        version
                    };
                    file.keep(nth, &versions[version]);
                    counts.sectors_kept += 1;
                } else {
                    counts.sectors_lost += 1;
                    // The length may be kept where the content is not.
                    if random.chance(1, 2) && file.durable.len() < (nth + 1) * SECTOR {
                        file.durable.resize((nth + 1) * SECTOR, 0);
                    }
                }
                if garbling && random.chance(1, 16) {
                    let per_block = BLOCK as usize / SECTOR;
                    let first = nth / per_block * per_block;
                    for nth in first..first + per_block {
                        let mut garbage = [0; SECTOR];
                        garbage.fill_with(|| random.bits() as u8);
                        file.keep(nth, &garbage);
                    }
                    counts.blocks_garbled += 1;
                }
            }
            file.bytes = file.durable.len();
        }
        files.retain(|id, _| names.values().any(|named| named == id));
        state.life += 1;
        state.power = None;
        state.power_failed = false;
        drop(state);
        self.current()
    }

    /// The next syncs of files fail: some of what they should have written is lost, and no later sync will write it.
    pub fn fail_syncs(&self, count: u64) {
        self.state().sync_failures = count;
    }

    /// The next writes fail, after a part of them.
    pub fn fail_writes(&self, count: u64) {
        self.state().write_failures = count;
    }

    /// The next writes go to another place of the same file.
    pub fn misdirect_writes(&self, count: u64) {
        self.state().misdirections = count;
    }

    /// Settling a file does not drop what a failed sync left in the page cache, as if `File::settle` only synced.
    pub fn keep_cached(&self, stays: bool) {
        self.state().cached_stays = stays;
    }

    /// Sets how much the disk holds.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity_bytes = bytes;
    }

    /// Refuses all changes, or no more.
    pub fn set_read_only(&self, read_only: bool) {
        self.state().read_only = read_only;
    }

    /// What all files take.
    pub fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    /// The names of all files, sorted.
    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// A file's content as a reader would see it.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let file = &state.files[state.names.get(name)?];
        let sectors = file.bytes.div_ceil(SECTOR);
        let mut content: Vec<u8> = (0..sectors).flat_map(|nth| file.sector(nth)).collect();
        content.truncate(file.bytes);
        Some(content)
    }

    /// Puts a file there, durable, in place of what may have that name.
    pub fn put(&self, name: &str, content: &[u8]) {
        let mut state = self.state();
        let id = state.file_next;
        state.file_next += 1;
        let file = FileState {
            durable: content.to_vec(),
            bytes: content.len(),
            ..FileState::default()
        };
        state.files.insert(id, file);
        state.names.insert(name.to_owned(), id);
        state.durable_names.insert(name.to_owned(), id);
    }

    /// Damages a byte of what is durable, and of what is not yet.
    pub fn corrupt(&self, name: &str, offset: u64, with: u8) {
        let mut state = self.state();
        let Some(&id) = state.names.get(name) else {
            return;
        };
        state.counts.sectors_corrupted += 1;
        let (nth, at) = (offset as usize / SECTOR, offset as usize % SECTOR);
        if let Some(file) = state.files.get_mut(&id) {
            if let Some(byte) = file.durable.get_mut(offset as usize) {
                *byte ^= with;
            }
            for version in file.pending.get_mut(&nth).into_iter().flatten() {
                version[at] ^= with;
            }
        }
    }

    /// The file is gone, as if someone had deleted it.
    pub fn delete(&self, name: &str) {
        let mut state = self.state();
        state.names.remove(name);
        state.durable_names.remove(name);
    }
}

impl Directory for SimDisk {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        self.state().alive(self.life)?;
        Ok(self.names())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.state();
        state.change(self.life)?;
        state.counts.directory_operations += 1;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = state.file_next;
        state.file_next += 1;
        state.files.insert(id, FileState::default());
        state.names.insert(name.to_owned(), id);
        let change = vec![NameChange::Set(name.to_owned(), id)];
        state.name_changes.push(change);
        Ok(SimFile {
            state: self.state.clone(),
            id,
            life: self.life,
        })
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let state = self.state();
        state.alive(self.life)?;
        if state.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let id = state.names.get(name).copied();
        Ok(SimFile {
            state: self.state.clone(),
            id: id.ok_or(io::ErrorKind::NotFound)?,
            life: self.life,
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.change(self.life)?;
        state.counts.directory_operations += 1;
        let id = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), id);
        let unset = NameChange::Unset(from.to_owned());
        let set = NameChange::Set(to.to_owned(), id);
        state.name_changes.push(vec![unset, set]);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.change(self.life)?;
        state.counts.directory_operations += 1;
        state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        let change = vec![NameChange::Unset(name.to_owned())];
        state.name_changes.push(change);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        state.change(self.life)?;
        state.counts.directory_syncs += 1;
        state.name_changes.clear();
        state.durable_names = state.names.clone();
        let State { files, names, .. } = &mut *state;
        files.retain(|id, _| names.values().any(|named| named == id));
        Ok(())
    }
}

impl SimFile {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File for SimFile {
    fn size_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        state.alive(self.life)?;
        let file = state.files.get(&self.id).ok_or(io::ErrorKind::NotFound)?;
        Ok(file.bytes as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.state();
        state.alive(self.life)?;
        state.counts.reads += 1;
        let file = state.files.get(&self.id).ok_or(io::ErrorKind::NotFound)?;
        let offset = offset as usize;
        if offset + buffer.len() > file.bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut at = 0;
        while at < buffer.len() {
            let from = (offset + at) % SECTOR;
            let count = (SECTOR - from).min(buffer.len() - at);
            let sector = file.sector((offset + at) / SECTOR);
            buffer[at..at + count].copy_from_slice(&sector[from..from + count]);
            at += count;
        }
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state();
        let cut_off = state.power == Some(0) && !state.power_failed;
        if cut_off && state.life == self.life && !state.read_only {
            // The power fails in the middle of this write.
            let bytes = &bytes[..state.chance().below(bytes.len() as u64 + 1) as usize];
            if let Some(file) = state.files.get_mut(&self.id) {
                file.write(bytes, offset as usize);
            }
        }
        state.change(self.life)?;
        state.counts.writes += 1;
        if state.write_failures > 0 {
            state.write_failures -= 1;
            state.counts.writes_failed += 1;
            let part = state.chance().below(bytes.len() as u64 + 1) as usize;
            if let Some(file) = state.files.get_mut(&self.id) {
                file.write(&bytes[..part], offset as usize);
            }
            return Err(io::Error::other("a write failed, as the simulation wanted"));
        }
        let used = state.used_bytes();
        let file = state.files.get(&self.id).ok_or(io::ErrorKind::NotFound)?;
        let grows = (offset + bytes.len() as u64).saturating_sub(file.bytes as u64);
        if state
            .capacity_bytes
            .is_some_and(|bytes| used + grows > bytes)
            && grows > 0
        {
            state.counts.writes_refused_full += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut offset = offset as usize;
        if state.misdirections > 0 {
            state.misdirections -= 1;
            state.counts.writes_misdirected += 1;
            let blocks = state.files[&self.id].bytes as u64 / BLOCK;
            offset = (state.chance().below(blocks.max(1)) * BLOCK) as usize;
        }
        if let Some(file) = state.files.get_mut(&self.id) {
            file.write(bytes, offset);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        state.change(self.life)?;
        state.counts.syncs += 1;
        let fails = state.sync_failures > 0;
        let mut random = state.chance();
        let file = state.files.get_mut(&self.id);
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        if !fails {
            file.sync();
            return Ok(());
        }
        for (nth, versions) in std::mem::take(&mut file.pending) {
            let Some(newest) = versions.last() else {
                continue;
            };
            if random.chance(1, 2) {
                file.keep(nth, newest);
            } else {
                file.dropped.insert(nth, *newest);
            }
        }
        state.sync_failures -= 1;
        state.counts.syncs_failed += 1;
        Err(io::Error::other("a sync failed, as the simulation wanted"))
    }

    fn settle(&self) -> io::Result<()> {
        self.sync()?;
        let mut state = self.state();
        let cached_stays = state.cached_stays;
        if let Some(file) = state.files.get_mut(&self.id).filter(|_| !cached_stays) {
            file.dropped.clear();
        }
        Ok(())
    }
}

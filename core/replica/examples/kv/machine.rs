//! The state machine: a map, and the four things a replica does with it.

use std::hash::BuildHasher as _;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use diwan_log::{Command, Event, SnapshotWriter, StateMachine, Table};

/// The map, shared with those who read it: on the node's thread, and for the digest from another one.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Map>>);

type Map = Table<Bytes, Bytes>;

impl Default for Shared {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(empty())))
    }
}

/// Keys come from clients: which ones share a bucket is drawn anew in each process.
#[expect(
    clippy::disallowed_types,
    reason = "the order of entries shows nowhere"
)]
fn empty() -> Map {
    Table::new(std::hash::RandomState::new().hash_one(()))
}

impl Shared {
    /// The map.
    pub fn map(&self) -> MutexGuard<'_, Map> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The map as it is now, for whoever takes long to look at it.
    pub fn freeze(&self) -> Self {
        Self(Arc::new(Mutex::new(self.map().clone())))
    }

    /// Number of entries, and SHA-256 over all of them in order of their keys.
    pub fn digest(&self) -> (usize, String) {
        let map = self.map().clone();
        let mut entries: Vec<_> = map.iter().collect();
        // As Java orders bytes: signed.
        entries.sort_by(|(a, _), (b, _)| {
            a.iter()
                .map(|byte| *byte as i8)
                .cmp(b.iter().map(|byte| *byte as i8))
        });
        let mut sha = ring::digest::Context::new(&ring::digest::SHA256);
        for (key, value) in &entries {
            for part in [key, value] {
                sha.update(&(part.len() as u32).to_be_bytes());
                sha.update(part);
            }
        }
        let hex = sha
            .finish()
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        (entries.len(), hex)
    }
}

/// A replica of the map.
pub struct Kv {
    shared: Shared,
}

impl Kv {
    /// A replica whose map others can read.
    pub fn new(shared: Shared) -> Self {
        Self { shared }
    }
}

/// What a put answers: status 0 and nothing else.
const DONE: Bytes = Bytes::from_static(&[0]);
const MALFORMED: Bytes = Bytes::from_static(b"\x03not a command");

/// `u8 operation, u32 key length, key, value`.
pub fn parse(command: &Bytes) -> Option<(u8, Bytes, Bytes)> {
    let (head, _) = command.split_first_chunk::<5>()?;
    let key_end = usize::try_from(u32::from_be_bytes([head[1], head[2], head[3], head[4]]))
        .ok()?
        .checked_add(5)?;
    (key_end <= command.len())
        .then(|| (head[0], command.slice(5..key_end), command.slice(key_end..)))
}

impl StateMachine for Kv {
    fn apply(&mut self, command: Command<'_>) -> Bytes {
        match parse(command.data) {
            Some((1, key, value)) => {
                // A part of a command keeps all that arrived with it.
                let (key, value) = (Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value));
                self.shared.map().insert(key, value);
                DONE
            }
            _ => MALFORMED,
        }
    }

    fn snapshot(&mut self) -> SnapshotWriter {
        let frozen = self.shared.map().clone();
        Box::new(move |out: &mut dyn Write| {
            for part in frozen.iter().flat_map(|(key, value)| [key, value]) {
                out.write_all(&(part.len() as u32).to_be_bytes())?;
                out.write_all(part)?;
            }
            Ok(())
        })
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        let mut map = empty();
        while let Some(key) = read_part(snapshot)? {
            let value = read_part(snapshot)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            map.insert(key, value);
        }
        println!("SNAPSHOT loaded entries={}", map.len());
        *self.shared.map() = map;
        Ok(())
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::StartLeading { epoch } => println!("ROLE leader term={epoch}"),
            Event::StopLeading { .. } => println!("ROLE none was=leader"),
            Event::Following { leader, epoch } => {
                println!("ROLE follower leader={leader} term={epoch}")
            }
            Event::NoLeader => println!("ROLE none"),
            Event::Members { voters, learners } => {
                let learners = learners.iter().map(|learner| format!("{learner}/learner"));
                println!(
                    "PEERS {}",
                    voters
                        .iter()
                        .cloned()
                        .chain(learners)
                        .collect::<Vec<_>>()
                        .join(",")
                );
            }
            Event::Failed { why } => println!("ERROR {why}"),
            Event::Restored { .. } => {}
        }
    }
}

fn read_part(input: &mut dyn Read) -> io::Result<Option<Bytes>> {
    let mut length = [0; 4];
    let mut filled = 0;
    while filled < 4 {
        match input.read(&mut length[filled..])? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => filled += bytes,
        }
    }
    let length = u64::from(u32::from_be_bytes(length));
    let mut part = Vec::new();
    if input.take(length).read_to_end(&mut part)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(part.into()))
}

//! Copies logs between nodes' own disks and an engine. Entries keep their indexes and terms. What a Raft group's log holds beside
//! commands is an empty command in an engine, and back.

use std::io::{Read, Write as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use diwan_engine::{
    BLOCK_BYTES, Block, COMMAND_BYTES, Head, Owner, Position, Request, Snapshot, VALUE_BYTES_MAX,
};
use diwan_log::provider::Envelope;
use diwan_raft::{Configuration, Entry, LogId, Payload, PeerId, SnapshotMeta};
use diwan_runtime::{StartError, Stopped, StoppedLog};

use super::{
    Copied, CopyError, Part, READ_BYTES, change, fenced, look, resign, snapshot_in, take, walk,
};
use crate::client::{Client, Origin};

/// Copies a log from the disks of the nodes that keep it to an engine, where there is none of this name yet, and reads it back.
/// None if the nodes have no such log. Whoever starts with their disks later goes on from there: two logs part.
/// # Errors
/// Nothing was copied, or it is not to be used.
pub async fn copy_to_engine(
    nodes: &[Stopped],
    to: &Client,
    log: &str,
) -> Result<Option<Copied>, CopyError> {
    let Some((own, term)) = newest(nodes, log)? else {
        return Ok(None);
    };
    let snapshot = own.snapshot()?;
    // A snapshot counts as block 0: a node that has nothing must see that it lacks something.
    let next = u64::from(snapshot.is_some());
    if !to.open_at(log, Origin { term, next }).await? {
        return Err(CopyError::Exists);
    }
    let begun = look(to, log).await?;
    let mut writer = Writer {
        to,
        log,
        term: take(to, log, &begun, Owner::COPYING).await?,
        position: Position::beginning(log),
        commands: Vec::new(),
        bytes: BLOCK_BYTES,
        epoch: 0,
    };
    if let Some((meta, state)) = snapshot {
        writer.snapshot(meta, state).await?;
    }
    let mut from = own.after() + 1;
    while from <= own.last().index {
        for entry in own.entries(from, READ_BYTES as u64)? {
            from = entry.id.index + 1;
            writer.command(entry.id, command_of(&entry)?).await?;
        }
    }
    writer.flush().await?;
    let found = sum_of_engine(to, log).await?;
    let copied = same(sum_of_node(&own)?, found)?;
    resign(to, log, writer.term).await?;
    Ok(Some(copied))
}

/// Copies logs from an engine to the disk of a node, which is then their only member, and reads them back.
/// # Errors
/// No node starts with what was copied, if anything was.
pub async fn copy_to_node(
    from: &Client,
    path: &Path,
    node: &PeerId,
    logs: &[String],
) -> Result<Vec<Copied>, CopyError> {
    let mut own = Stopped::begin(path, node)?;
    for log in logs {
        let head = fenced(from, log).await?;
        copy_in(from, log, &head, &mut own, node).await?;
        resign(from, log, head.seen.term).await?;
    }
    own.synced()?;
    drop(own);
    // What was copied must be what a node would find.
    let own = Stopped::half_copied(path, node)?;
    let mut copied = Vec::new();
    for log in logs {
        let found = sum_of_node(&own.log(log)?)?;
        copied.push(same(sum_of_engine(from, log).await?, found)?);
    }
    own.finish()?;
    Ok(copied)
}

async fn copy_in(
    from: &Client,
    log: &str,
    head: &Head,
    own: &mut Stopped,
    node: &PeerId,
) -> Result<(), CopyError> {
    let members = Configuration::of(vec![node.clone()]);
    let snapshot = snapshot_in(head)?;
    let after = snapshot.map_or(LogId::default(), |snapshot| LogId {
        term: snapshot.position.epoch,
        index: snapshot.position.index,
    });
    let meta = SnapshotMeta {
        last: after,
        configuration: members.clone(),
    };
    let mut state = match snapshot {
        Some(_) => Some(own.snapshot(log, meta)?),
        None => None,
    };
    own.begin_log(log, head.seen.term, after)?;
    let mut last = after.index;
    walk(from, log, head, |part| {
        match part {
            Part::State(piece) => {
                if let Some(state) = &mut state {
                    state.write_all(piece)?;
                }
            }
            Part::Block(block, _) => {
                let entries = (block.first..).zip(&block.commands);
                let entries = entries.map(|(index, command)| Entry {
                    id: LogId {
                        term: block.term,
                        index,
                    },
                    payload: match command.is_empty() {
                        true => Payload::NoOp,
                        false => Payload::Data(command.clone()),
                    },
                });
                own.append(log, entries.collect())?;
                last = block.last();
            }
        }
        Ok(())
    })
    .await?;
    let names_members = Entry {
        id: LogId {
            term: head.seen.term,
            index: last + 1,
        },
        payload: Payload::Configuration(Arc::new(members)),
    };
    own.append(log, vec![names_members])?;
    // Last: a log without its snapshot is refused, and this directory is half copied until then in any case.
    state.map_or(Ok(()), |state| Ok(state.finish()?))
}

/// The log that holds all that was committed, and the highest term that any of the nodes knows.
fn newest(nodes: &[Stopped], log: &str) -> Result<Option<(StoppedLog, u64)>, CopyError> {
    let logs: Result<Vec<StoppedLog>, StartError> =
        nodes.iter().map(|node| node.log(log)).collect();
    let logs = logs?;
    let term = logs.iter().map(StoppedLog::term).max().unwrap_or_default();
    let newest = logs.into_iter().max_by_key(StoppedLog::last);
    let Some((newest, members)) =
        newest.and_then(|log| log.members().cloned().map(|members| (log, members)))
    else {
        return Ok(None);
    };
    let there = |peer: &PeerId| nodes.iter().any(|node| node.is(peer));
    if !members.is_majority(there) {
        let missing = members.members().into_iter().filter(|peer| !there(peer));
        let missing: Vec<String> = missing.map(|peer| peer.to_string()).collect();
        return Err(CopyError::Minority {
            missing: missing.join(", "),
        });
    }
    Ok(Some((newest, term)))
}

/// An entry as a command of an engine's log.
fn command_of(entry: &Entry) -> Result<Bytes, CopyError> {
    let Payload::Data(command) = &entry.payload else {
        return Ok(Bytes::new());
    };
    let index = entry.id.index;
    let wrong = |what: String| CopyError::Log(format!("entry {index}: {what}"));
    Envelope::read(command).map_err(|error| wrong(error.to_string()))?;
    let most = VALUE_BYTES_MAX - BLOCK_BYTES - COMMAND_BYTES;
    match command.len() {
        bytes if bytes > most => Err(wrong(format!(
            "{bytes} bytes, {most} are the most in an engine: let its node take a snapshot first (diwan raft snapshot)"
        ))),
        _ => Ok(command.clone()),
    }
}

/// Writes a log to an engine.
struct Writer<'a> {
    to: &'a Client,
    log: &'a str,
    term: u64,
    /// Behind what was written.
    position: Position,
    /// What is not written yet, bytes of its block, and its term.
    commands: Vec<Bytes>,
    bytes: usize,
    epoch: u64,
}

impl Writer<'_> {
    async fn snapshot(
        &mut self,
        meta: &SnapshotMeta,
        mut state: impl Read,
    ) -> Result<(), CopyError> {
        self.position.next = 1;
        self.position.index = meta.last.index;
        self.position.epoch = meta.last.term;
        let mut snapshot = Snapshot {
            id: 1,
            position: self.position,
            pieces: 0,
            bytes: 0,
            checksum: 0,
        };
        loop {
            let mut piece = Vec::new();
            let room = VALUE_BYTES_MAX as u64;
            (&mut state).take(room).read_to_end(&mut piece)?;
            if piece.is_empty() {
                break;
            }
            snapshot.bytes += piece.len() as u64;
            snapshot.checksum = crc32c::crc32c_append(snapshot.checksum, &piece);
            let put = Request::PutPiece {
                term: self.term,
                snapshot: snapshot.id,
                piece: snapshot.pieces,
                data: piece.into(),
            };
            change(self.to, self.log, put).await?;
            snapshot.pieces += 1;
        }
        let seal = Request::Seal {
            term: self.term,
            over: None,
            snapshot: snapshot.to_string(),
        };
        change(self.to, self.log, seal).await
    }

    async fn command(&mut self, id: LogId, command: Bytes) -> Result<(), CopyError> {
        let bytes = COMMAND_BYTES + command.len();
        if self.bytes + bytes > VALUE_BYTES_MAX || self.epoch != id.term {
            self.flush().await?;
        }
        self.epoch = id.term;
        self.bytes += bytes;
        self.commands.push(command);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), CopyError> {
        if self.commands.is_empty() {
            return Ok(());
        }
        let block = Block {
            number: self.position.next,
            term: self.epoch,
            nonce: 0,
            first: self.position.index + 1,
            chain: self.position.chain,
            commands: std::mem::take(&mut self.commands),
        };
        self.bytes = BLOCK_BYTES;
        let (bytes, checksum) = block.write();
        self.position = Position::after(&block, checksum);
        let append = Request::Append {
            term: self.term,
            number: block.number,
            block: bytes,
        };
        change(self.to, self.log, append).await
    }
}

/// What both sides must agree on: the snapshot's state and the commands with their indexes.
#[derive(Default)]
struct Sum(Copied);

impl Sum {
    fn state(&mut self, part: &[u8]) {
        self.0.bytes += part.len() as u64;
        self.0.digest = crc32c::crc32c_append(self.0.digest, part);
    }

    fn command(&mut self, index: u64, command: &[u8]) {
        if !command.is_empty() {
            self.state(&index.to_be_bytes());
            self.state(command);
            self.0.index = index;
        }
    }
}

async fn sum_of_engine(client: &Client, log: &str) -> Result<Copied, CopyError> {
    let head = look(client, log).await?;
    let mut sum = Sum::default();
    sum.0.index = snapshot_in(&head)?.map_or(0, |snapshot| snapshot.position.index);
    walk(client, log, &head, |part| {
        match part {
            Part::State(piece) => sum.state(piece),
            Part::Block(block, _) => {
                sum.0.blocks += 1;
                for (index, command) in (block.first..).zip(&block.commands) {
                    sum.command(index, command);
                }
            }
        }
        Ok(())
    })
    .await?;
    Ok(sum.0)
}

fn sum_of_node(log: &StoppedLog) -> Result<Copied, CopyError> {
    let mut sum = Sum::default();
    sum.0.index = log.after();
    if let Some((_, mut state)) = log.snapshot()? {
        let mut part = vec![0; VALUE_BYTES_MAX];
        loop {
            match state.read(&mut part)? {
                0 => break,
                bytes => sum.state(&part[..bytes]),
            }
        }
    }
    let mut from = log.after() + 1;
    while from <= log.last().index {
        for entry in log.entries(from, READ_BYTES as u64)? {
            from = entry.id.index + 1;
            sum.command(entry.id.index, &command_of(&entry)?);
        }
    }
    Ok(sum.0)
}

/// Whether what was found is what was wanted; blocks are counted in an engine only.
fn same(wanted: Copied, found: Copied) -> Result<Copied, CopyError> {
    let blocks = wanted.blocks.max(found.blocks);
    let (wanted, found) = (Copied { blocks, ..wanted }, Copied { blocks, ..found });
    match wanted == found {
        true => Ok(found),
        false => Err(CopyError::Digest {
            wanted: wanted.digest,
            found: found.digest,
        }),
    }
}

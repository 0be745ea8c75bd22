//! Copies a log from one engine to another, or from nodes' own disks and back.

mod own;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use diwan_engine::{Block, Failure, Head, Owner, Position, RecordError, Reply, Request, Snapshot};
use diwan_runtime::StartError;

use crate::client::{Client, Origin};

/// How many bytes of blocks are read at a time.
const READ_BYTES: usize = 8 << 20;

pub use own::{copy_to_engine, copy_to_node};

/// What was copied, and read back from where it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Blocks behind the snapshot.
    pub blocks: u64,
    /// Bytes of the snapshot and the blocks.
    pub bytes: u64,
    /// The index of the last command.
    pub index: u64,
    /// CRC-32C of the snapshot and the blocks, or the commands with their indexes.
    pub digest: u32,
}

/// Why a log was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// An engine.
    #[error("{0}")]
    Engine(#[from] Failure),
    /// A node still works with it.
    #[error("{owner} owns the log and shows signs of life: stop all nodes first")]
    Owned {
        /// The node.
        owner: String,
    },
    /// There is such a log already.
    #[error(
        "there is such a log already where it is to be copied to: take another prefix or schema, or delete it"
    )]
    Exists,
    /// It is not what a log should be, or changed meanwhile.
    #[error("{0}")]
    Log(String),
    /// Members of its group are missing: what they acknowledged may be on no other disk.
    #[error(
        "the disks of a majority of its members are needed, those of {missing} are not there: copy them here, or leave one member only while the nodes run (diwan raft remove-peer)"
    )]
    Minority {
        /// Whose.
        missing: String,
    },
    /// A node's disk.
    #[error(transparent)]
    Node(#[from] StartError),
    /// A node's disk.
    #[error(transparent)]
    Disk(#[from] io::Error),
    /// What was read back is not what was written.
    #[error(
        "what stands there now has digest {found:08x}, what was copied {wanted:08x}: delete it and copy again"
    )]
    Digest {
        /// Of what was copied.
        wanted: u32,
        /// Of what stands there.
        found: u32,
    },
}

/// Copies a log whose nodes have been stopped, with its terms, numbers and checksums, and reads it back. Whoever starts with the
/// old one later goes on from there: two logs part.
/// # Errors
/// Nothing was copied, or it is not to be used.
pub async fn copy(from: &Client, to: &Client, log: &str) -> Result<Copied, CopyError> {
    let head = fenced(from, log).await?;
    let snapshot = snapshot_in(&head)?;
    let first = snapshot.map_or(0, |snapshot| snapshot.position.next);
    let origin = Origin {
        term: head.seen.term,
        next: first,
    };
    if !to.open_at(log, origin).await? {
        return Err(CopyError::Exists);
    }
    let begun = look(to, log).await?;
    let term = take(to, log, &begun, Owner::COPYING).await?;
    if let Some(snapshot) = snapshot {
        for piece in 0..snapshot.pieces {
            let data = piece_of(from, log, &snapshot, piece).await?;
            let put = Request::PutPiece {
                term,
                snapshot: snapshot.id,
                piece,
                data,
            };
            change(to, log, put).await?;
        }
        let seal = Request::Seal {
            term,
            over: None,
            snapshot: snapshot.to_string(),
        };
        change(to, log, seal).await?;
    }
    let mut number = first;
    while number < head.seen.next {
        for block in blocks(from, log, number).await? {
            let append = Request::Append {
                term,
                number,
                block,
            };
            change(to, log, append).await?;
            number += 1;
        }
    }
    let wanted = digest(from, log).await?;
    let found = digest(to, log).await?;
    if wanted.digest != found.digest {
        return Err(CopyError::Digest {
            wanted: wanted.digest,
            found: found.digest,
        });
    }
    resign(to, log, term).await?;
    resign(from, log, head.seen.term).await?;
    Ok(found)
}

fn snapshot_in(head: &Head) -> Result<Option<Snapshot>, CopyError> {
    let snapshot = head.snapshot.as_deref().map(str::parse);
    let snapshot = snapshot.transpose();
    snapshot.map_err(|error: RecordError| CopyError::Log(error.to_string()))
}

async fn resign(client: &Client, log: &str, term: u64) -> Result<(), CopyError> {
    change(client, log, Request::Resign { term }).await
}

async fn look(client: &Client, log: &str) -> Result<Head, CopyError> {
    match client.call(log, Request::Look).await? {
        Reply::Head(head) => Ok(head),
        other => Err(unexpected(&other)),
    }
}

/// Takes the log, so that no node that still runs appends to it; waits out the lease of an owner that was killed.
async fn fenced(client: &Client, log: &str) -> Result<Head, CopyError> {
    if !client.has(log).await? {
        return Err(CopyError::Log("there is no such log".to_owned()));
    }
    client.open(log).await?;
    let head = look(client, log).await?;
    let owner: Option<Result<Owner, _>> = head.owner.as_deref().map(str::parse);
    let owner = owner.transpose();
    if let Some(owner) = owner.map_err(|error| CopyError::Log(error.to_string()))? {
        tokio::time::sleep(owner.lease).await;
        if look(client, log).await?.seen != head.seen {
            return Err(CopyError::Owned { owner: owner.name });
        }
    }
    take(client, log, &head, Owner::COPYING + 1).await?;
    look(client, log).await
}

async fn take(client: &Client, log: &str, head: &Head, nonce: u64) -> Result<u64, CopyError> {
    let owner = Owner {
        nonce,
        lease: Duration::from_secs(60),
        name: "diwan log copy".to_owned(),
    };
    let take = Request::Take {
        seen: head.seen,
        owner: owner.to_string(),
    };
    match client.call(log, take).await? {
        Reply::Taken { term } => Ok(term),
        other => Err(unexpected(&other)),
    }
}

async fn change(client: &Client, log: &str, request: Request) -> Result<(), CopyError> {
    match client.call(log, request).await? {
        Reply::Done => Ok(()),
        other => Err(unexpected(&other)),
    }
}

async fn piece_of(
    client: &Client,
    log: &str,
    snapshot: &Snapshot,
    piece: u32,
) -> Result<Bytes, CopyError> {
    let snapshot = snapshot.id;
    match client
        .call(log, Request::GetPiece { snapshot, piece })
        .await?
    {
        Reply::Piece(Some(data)) => Ok(data),
        _ => Err(CopyError::Log(format!(
            "piece {piece} of the snapshot is missing"
        ))),
    }
}

async fn blocks(client: &Client, log: &str, from: u64) -> Result<Vec<Bytes>, CopyError> {
    let bytes_max = READ_BYTES;
    match client.call(log, Request::Read { from, bytes_max }).await? {
        Reply::Blocks(blocks) if !blocks.is_empty() => Ok(blocks),
        _ => Err(CopyError::Log(format!("block {from} is missing"))),
    }
}

fn unexpected(reply: &Reply) -> CopyError {
    CopyError::Log(format!(
        "the log changed meanwhile ({reply:?}): is there a node that still runs?"
    ))
}

/// What a log consists of.
enum Part<'a> {
    /// A part of the snapshot.
    State(&'a Bytes),
    /// A block, and as it stands in the engine.
    Block(&'a Block, &'a Bytes),
}

/// Reads the whole log: every block must be one, and follow the one before it.
async fn walk(
    client: &Client,
    log: &str,
    head: &Head,
    mut on: impl FnMut(Part<'_>) -> Result<(), CopyError>,
) -> Result<Position, CopyError> {
    let mut position = Position::beginning(log);
    if let Some(snapshot) = snapshot_in(head)? {
        let mut checksum = 0;
        for piece in 0..snapshot.pieces {
            let data = piece_of(client, log, &snapshot, piece).await?;
            checksum = crc32c::crc32c_append(checksum, &data);
            on(Part::State(&data))?;
        }
        if checksum != snapshot.checksum {
            return Err(CopyError::Log("the snapshot was changed".to_owned()));
        }
        position = snapshot.position;
    }
    while position.next < head.seen.next {
        for bytes in blocks(client, log, position.next).await? {
            let number = position.next;
            let wrong = |what| CopyError::Log(format!("block {number}: {what}"));
            let (block, checksum) =
                Block::read(&bytes).map_err(|error| wrong(error.to_string()))?;
            position.check(&block).map_err(wrong)?;
            position = Position::after(&block, checksum);
            on(Part::Block(&block, &bytes))?;
        }
    }
    Ok(position)
}

async fn digest(client: &Client, log: &str) -> Result<Copied, CopyError> {
    let mut copied = Copied::default();
    let head = look(client, log).await?;
    let end = walk(client, log, &head, |part| {
        let data = match part {
            Part::State(data) => data,
            Part::Block(_, data) => {
                copied.blocks += 1;
                data
            }
        };
        copied.bytes += data.len() as u64;
        copied.digest = crc32c::crc32c_append(copied.digest, data);
        Ok(())
    })
    .await?;
    copied.index = end.index;
    Ok(copied)
}

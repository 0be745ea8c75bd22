//! Logs in etcd. Under `PREFIX/LOG/` stand `format`, `owner` (its create revision is the term, its modification revision the
//! beat), `head` (the number of the next block), `block/NUMBER`, `snapshot` and `piece/SNAPSHOT/NUMBER`, numbers with leading
//! zeros. Neither leases nor the cluster's compaction are used: both are the operator's.

mod messages;
mod wire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use diwan_engine::{Failure, Head, Reply, Request, Seen};
use tokio::sync::watch;

use crate::address::EtcdAddress;
use crate::client::Origin;
use messages::{
    Compare, Done, KeyValue, Op, RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse,
};
use wire::Wire;

/// What stands under `format`, before ` base=TERM` if the log was copied from elsewhere: its terms go on from there.
const FORMAT: &str = "diwan-log 1";
/// Blocks and pieces that are deleted at a time. etcd carries a deletion out in one step of its log.
const CLEAN_BLOCKS: u64 = 1000;
const CLEAN_PIECES: i64 = 64;
/// Blocks that are read at a time, at first and at most.
const READ_BLOCKS: i64 = 4;
const READ_BLOCKS_MAX: i64 = 64;

/// A client of etcd.
#[derive(Clone)]
pub(crate) struct Etcd {
    prefix: Arc<str>,
    wire: Arc<Wire>,
    /// What is added to create revisions to give terms, by log.
    bases: Arc<Mutex<HashMap<String, u64>>>,
}

/// The keys of one log, and what is added to create revisions to give its terms.
struct Keys(String, u64);

impl Keys {
    fn key(&self, name: &str) -> Vec<u8> {
        format!("{}{name}", self.0).into_bytes()
    }

    fn block(&self, number: u64) -> Vec<u8> {
        format!("{}block/{number:020}", self.0).into_bytes()
    }

    fn piece(&self, snapshot: u64, piece: u32) -> Vec<u8> {
        format!("{}piece/{snapshot:020}/{piece:010}", self.0).into_bytes()
    }

    /// The create revision of the owner in a term.
    fn created(&self, term: u64) -> Option<i64> {
        revision(term.checked_sub(self.1)?)
    }

    /// The term of an owner that was created by this revision.
    fn term(&self, created: i64) -> Option<u64> {
        u64::try_from(created).ok()?.checked_add(self.1)
    }

    fn owned(&self, term: i64) -> Compare {
        Compare::created(self.key("owner"), term)
    }

    fn ends(&self, next: u64) -> Compare {
        Compare::value(self.key("head"), next.to_string())
    }
}

impl Etcd {
    pub(crate) async fn connect(address: &EtcdAddress, timeout: Duration) -> Result<Self, Failure> {
        Ok(Self {
            prefix: address.prefix.as_str().into(),
            wire: Arc::new(Wire::connect(address, timeout).await?),
            bases: Arc::default(),
        })
    }

    fn keys(&self, log: &str) -> Keys {
        let bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        let base = bases.get(log).copied().unwrap_or(0);
        Keys(format!("{}/{log}/", self.prefix), base)
    }

    /// Makes sure that there is such a log, of a format that this program knows; a new one begins at `origin`. Whether it is new.
    pub(crate) async fn open(&self, log: &str, origin: Origin) -> Result<bool, Failure> {
        let keys = self.keys(log);
        let format = keys.key("format");
        let text = match origin.term {
            0 => FORMAT.to_owned(),
            term => format!("{FORMAT} base={term}"),
        };
        let txn = TxnRequest {
            compare: vec![Compare::created(format.clone(), 0)],
            success: vec![
                RequestOp::put(format.clone(), text.clone()),
                RequestOp::put(keys.key("head"), origin.next.to_string()),
            ],
        };
        let new = self.wire.txn(txn).await?.succeeded;
        let found = match new {
            true => text,
            false => {
                let found = self.get(format).await?;
                found.map_or(String::new(), |found| {
                    String::from_utf8_lossy(&found.value).into_owned()
                })
            }
        };
        let base = match found.strip_prefix(FORMAT) {
            Some("") => Some(0),
            Some(base) => base
                .strip_prefix(" base=")
                .and_then(|base| base.parse().ok()),
            None => None,
        };
        let base = base.ok_or_else(|| {
            Failure::Foreign(format!(
                "{}format in etcd is {found:?}, this program knows {FORMAT:?}: take another prefix, or the version of Diwan that \
                 wrote it",
                keys.0,
            ))
        })?;
        let mut bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        bases.insert(log.to_owned(), base);
        Ok(new)
    }

    pub(crate) async fn has(&self, log: &str) -> Result<bool, Failure> {
        let format = self.get(self.keys(log).key("format")).await?;
        Ok(format.is_some())
    }

    pub(crate) async fn call(&self, log: &str, request: Request) -> Result<Reply, Failure> {
        let keys = self.keys(log);
        match request {
            Request::Look => self.look(&keys).await,
            Request::Take { seen, owner } => self.take(&keys, seen, owner).await,
            Request::Beat { term } => {
                let touch = RequestOp::touch(keys.key("owner"));
                self.change(&keys, term, vec![], vec![touch]).await
            }
            Request::Resign { term } => {
                // The head is written again, so that nobody who saw the log without an owner before takes it for that.
                let owner = RequestOp::delete(keys.key("owner"), vec![]);
                let head = RequestOp::touch(keys.key("head"));
                self.change(&keys, term, vec![], vec![owner, head]).await
            }
            Request::Append {
                term,
                number,
                block,
            } => {
                let Some(next) = number.checked_add(1) else {
                    return Ok(Reply::Refused);
                };
                let stands = vec![Compare::created(keys.block(number), 0), keys.ends(number)];
                let changes = vec![
                    RequestOp::put(keys.block(number), block),
                    RequestOp::put(keys.key("head"), next.to_string()),
                ];
                self.change(&keys, term, stands, changes).await
            }
            Request::Read { from, bytes_max } => self.read(&keys, from, bytes_max).await,
            Request::PutPiece {
                term,
                snapshot,
                piece,
                data,
            } => {
                let put = RequestOp::put(keys.piece(snapshot, piece), data);
                self.change(&keys, term, vec![], vec![put]).await
            }
            Request::Seal {
                term,
                over,
                snapshot,
            } => {
                let key = keys.key("snapshot");
                let stands = match over {
                    None => Compare::created(key.clone(), 0),
                    Some(over) => Compare::value(key.clone(), over),
                };
                let put = RequestOp::put(key, snapshot);
                self.change(&keys, term, vec![stands], vec![put]).await
            }
            Request::GetPiece { snapshot, piece } => {
                let found = self.get(keys.piece(snapshot, piece)).await?;
                Ok(Reply::Piece(found.map(|found| found.value)))
            }
            Request::Clean { term, keep, below } => self.clean(&keys, term, keep, below).await,
        }
    }

    /// Is told when the log changes, as long as it is held; sometimes for nothing.
    pub(crate) fn changes(&self, log: &str) -> watch::Receiver<()> {
        let keys = self.keys(log);
        // `head` and `owner` are neighbours.
        let (from, end) = (keys.key("head"), keys.key("owner\0"));
        let (tell, told) = watch::channel(());
        let wire = self.wire.clone();
        tokio::spawn(async move {
            while !tell.is_closed() {
                if let Err(failure) = wire.watch(from.clone(), end.clone(), &tell).await {
                    tracing::debug!(%failure, "etcd's watch ended");
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        told
    }

    /// Changes what the owner of a term may change.
    async fn change(
        &self,
        keys: &Keys,
        term: u64,
        mut stands: Vec<Compare>,
        changes: Vec<RequestOp>,
    ) -> Result<Reply, Failure> {
        // Nobody's key was created by revision 0: etcd says so of keys that are not there.
        let Some(term) = keys.created(term).filter(|term| *term > 0) else {
            return Ok(Reply::Refused);
        };
        stands.push(keys.owned(term));
        let txn = TxnRequest {
            compare: stands,
            success: changes,
        };
        Ok(match self.wire.txn(txn).await?.succeeded {
            true => Reply::Done,
            false => Reply::Refused,
        })
    }

    async fn get(&self, key: Vec<u8>) -> Result<Option<KeyValue>, Failure> {
        let range = RangeRequest {
            key,
            ..RangeRequest::default()
        };
        Ok(self.wire.range(range).await?.kvs.pop())
    }

    /// Reads keys in one transaction. Without `serializable` etcd asks its quorum first
    /// (`etcd-io/etcd:server/etcdserver/v3_server.go`, `Txn`).
    async fn get_all(&self, ranges: Vec<RequestOp>) -> Result<Vec<RangeResponse>, Failure> {
        let txn = TxnRequest {
            compare: vec![],
            success: ranges,
        };
        let response = self.wire.txn(txn).await?;
        Ok(ranges_of(response))
    }

    async fn look(&self, keys: &Keys) -> Result<Reply, Failure> {
        let names = ["owner", "head", "snapshot"];
        let ranges = names.map(|name| RequestOp::range(keys.key(name)));
        let found = self.get_all(ranges.into()).await?;
        let mut found = found.into_iter().map(|mut range| range.kvs.pop());
        let (owner, head, snapshot) = (
            found.next().flatten(),
            found.next().flatten(),
            found.next().flatten(),
        );
        let wrong = |what: &str| Failure::Foreign(format!("{}{what} in etcd", keys.0));
        let head = head.ok_or_else(|| wrong("head is missing"))?;
        let next = text(&head.value).and_then(|text| text.parse().ok());
        let next = next.ok_or_else(|| wrong("head is no number"))?;
        let owner_text = |it: KeyValue| text(&it.value).map(str::to_owned);
        let (term, beat) = match &owner {
            Some(owner) => (keys.term(owner.create_revision), owner.mod_revision),
            None => (Some(0), head.mod_revision),
        };
        Ok(Reply::Head(Head {
            seen: Seen {
                term: term.ok_or_else(|| wrong("owner has no term"))?,
                beat: u64::try_from(beat).unwrap_or(0),
                next,
            },
            owner: owner
                .map(|owner| owner_text(owner).ok_or_else(|| wrong("owner is no text")))
                .transpose()?,
            snapshot: snapshot
                .map(|it| owner_text(it).ok_or_else(|| wrong("snapshot is no text")))
                .transpose()?,
        }))
    }

    /// An owner's create revision is its term, and a transaction cannot delete a key and create it: so there are two. Between
    /// them nobody owns the log, and what the former owner asks for is refused already. Whoever comes first creates the owner.
    async fn take(&self, keys: &Keys, seen: Seen, owner: String) -> Result<Reply, Failure> {
        let Some(beat) = revision(seen.beat) else {
            return Ok(Reply::Refused);
        };
        let key = keys.key("owner");
        let mut stands = vec![Compare::created(key.clone(), 0), keys.ends(seen.next)];
        match seen.term {
            0 => stands.push(Compare::written(keys.key("head"), beat)),
            term => {
                let stands = vec![Compare::written(key.clone(), beat), keys.ends(seen.next)];
                let delete = vec![RequestOp::delete(key.clone(), vec![])];
                if self.change(keys, term, stands, delete).await? == Reply::Refused {
                    return Ok(Reply::Refused);
                }
            }
        }
        let txn = TxnRequest {
            compare: stands,
            success: vec![RequestOp::put(key.clone(), owner), RequestOp::range(key)],
        };
        let response = self.wire.txn(txn).await?;
        if !response.succeeded {
            return Ok(Reply::Refused);
        }
        let created = ranges_of(response).pop().and_then(|mut it| it.kvs.pop());
        let created = created.and_then(|it| keys.term(it.create_revision));
        match created {
            Some(term) => Ok(Reply::Taken { term }),
            None => Err(Failure::Unknown("etcd does not tell a new key".into())),
        }
    }

    async fn read(&self, keys: &Keys, from: u64, bytes_max: usize) -> Result<Reply, Failure> {
        let mut blocks: Vec<Bytes> = Vec::new();
        let (mut next, mut limit) = (from, READ_BLOCKS);
        let (mut bytes, mut largest) = (0, 1);
        loop {
            let range = RangeRequest {
                key: keys.block(next),
                range_end: keys.block(u64::MAX),
                limit,
                ..RangeRequest::default()
            };
            let found = self.wire.range(range).await?;
            for found in found.kvs {
                bytes += found.value.len();
                largest = largest.max(found.value.len());
                let fits = blocks.is_empty() || bytes <= bytes_max;
                if found.key != keys.block(next) || !fits {
                    return Ok(Reply::Blocks(blocks));
                }
                blocks.push(found.value);
                next += 1;
            }
            if !found.more || bytes >= bytes_max {
                return Ok(Reply::Blocks(blocks));
            }
            // etcd does not bound a reply by bytes: the next one has as many blocks as would fit if they were like those so far.
            let room = i64::try_from((bytes_max - bytes) / largest).unwrap_or(i64::MAX);
            limit = room.clamp(1, READ_BLOCKS_MAX.min(4 * limit));
        }
    }

    async fn clean(&self, keys: &Keys, term: u64, keep: u64, below: u64) -> Result<Reply, Failure> {
        let list = |key: Vec<u8>, range_end: Vec<u8>, limit: i64| {
            RequestOp::of(Op::Range(RangeRequest {
                key,
                range_end,
                limit,
                keys_only: true,
            }))
        };
        let (first, first_piece) = (keys.block(0), keys.piece(0, 0));
        let (end, end_pieces) = (keys.block(below), keys.piece(keep, 0));
        let found = self.get_all(vec![
            list(first.clone(), end.clone(), 1),
            list(first_piece.clone(), end_pieces, CLEAN_PIECES),
        ]);
        let mut found = found.await?.into_iter();
        let (blocks, pieces) = (found.next(), found.next());
        let mut more = false;
        let mut changes = Vec::new();
        let oldest = blocks.and_then(|mut blocks| blocks.kvs.pop());
        let oldest = oldest.and_then(|it| text(&it.key)?.rsplit('/').next()?.parse::<u64>().ok());
        if let Some(oldest) = oldest {
            let until = below.min(oldest.saturating_add(CLEAN_BLOCKS));
            more |= until < below;
            changes.push(RequestOp::delete(first, keys.block(until)));
        }
        if let Some(pieces) = pieces
            && let Some(last) = pieces.kvs.last()
        {
            more |= pieces.more;
            let end = [&last.key[..], b"\0"].concat();
            changes.push(RequestOp::delete(first_piece, end));
        }
        if changes.is_empty() {
            // A transaction that does nothing asks no quorum: this one is to see who owns the log.
            changes.push(RequestOp::range(keys.key("owner")));
        }
        Ok(match self.change(keys, term, vec![], changes).await? {
            Reply::Done => Reply::Cleaned { more },
            other => other,
        })
    }
}

fn ranges_of(response: TxnResponse) -> Vec<RangeResponse> {
    let done = response.responses.into_iter();
    done.filter_map(|done| match done.response {
        Some(Done::Range(range)) => Some(range),
        _ => None,
    })
    .collect()
}

fn revision(number: u64) -> Option<i64> {
    i64::try_from(number).ok()
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

//! The core's messages as JRaft's, and back. Whatever comes in is checked here; what the core sees is well-formed.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use diwan_jraft as jraft;
use diwan_jraft::{EntryMeta, EntryType, ErrorResponse, Message};
use diwan_raft::{
    AppendRequest, AppendResponse, Body, Configuration, Entry, ErrorCode, InstallRequest, LogId,
    Payload, PeerId, PeerParseError, SnapshotMeta, VoteRequest,
};

/// More members than this are refused.
const MEMBERS_MAX: usize = 1000;

/// A request or an answer between members, with the names that its message carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The group's name.
    pub group: String,
    /// Who sent it.
    pub from: PeerId,
    /// Whom it is for.
    pub to: PeerId,
    /// What it says.
    pub body: Body,
}

/// Which answer a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// A vote.
    Vote,
    /// An append response.
    Append,
    /// An install response.
    Install,
    /// A timeout-now response.
    TimeoutNow,
    /// A read index response.
    ReadIndex,
}

impl RequestKind {
    /// What `body` asks, if it is a request.
    pub fn of(body: &Body) -> Option<Self> {
        match body {
            Body::VoteRequest(_) => Some(Self::Vote),
            Body::AppendRequest(_) => Some(Self::Append),
            Body::InstallRequest(_) => Some(Self::Install),
            Body::TimeoutNowRequest { .. } => Some(Self::TimeoutNow),
            Body::ReadIndexRequest { .. } => Some(Self::ReadIndex),
            _ => None,
        }
    }

    /// What `message` asks, if it is a request.
    pub fn of_message(message: &Message) -> Option<Self> {
        match message {
            Message::RequestVoteRequest(_) => Some(Self::Vote),
            Message::AppendEntriesRequest(_) => Some(Self::Append),
            Message::InstallSnapshotRequest(_) => Some(Self::Install),
            Message::TimeoutNowRequest(_) => Some(Self::TimeoutNow),
            Message::ReadIndexRequest(_) => Some(Self::ReadIndex),
            _ => None,
        }
    }
}

/// Why a message was refused before the core saw it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A peer's name is none.
    #[error(transparent)]
    Peer(#[from] PeerParseError),
    /// A number that must not be negative is.
    #[error("{what} is {value}")]
    Negative {
        /// Which one.
        what: &'static str,
        /// Its value.
        value: i64,
    },
    /// Entries do not agree with their data.
    #[error("entry {index}: {what}")]
    Entry {
        /// Its index.
        index: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// An entry is not what its sender computed a checksum of.
    #[error(
        "entry {index} of term {term} is damaged: its checksum is {found:016x}, and it came with {wanted:016x}"
    )]
    Checksum {
        /// Its index.
        index: u64,
        /// Its term.
        term: i64,
        /// What its sender says.
        wanted: i64,
        /// What it has.
        found: i64,
    },
    /// Too many members.
    #[error("{0} members, {MEMBERS_MAX} are the most")]
    Members(usize),
    /// Not a message between members.
    #[error("`{0}` is not a message between members of a group")]
    Unexpected(&'static str),
}

fn number(what: &'static str, value: i64) -> Result<u64, WireError> {
    u64::try_from(value).map_err(|_| WireError::Negative { what, value })
}

/// The core never has numbers beyond what JRaft's signed ones hold; hostile ones are cut off in `number`.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn names(peers: &[PeerId]) -> Vec<String> {
    peers.iter().map(PeerId::to_string).collect()
}

fn peers(names: &[String]) -> Result<Vec<PeerId>, WireError> {
    if names.len() > MEMBERS_MAX {
        return Err(WireError::Members(names.len()));
    }
    names.iter().map(|name| Ok(name.parse()?)).collect()
}

/// A request on its way out; None if `body` is an answer.
pub fn request(group: &str, from: &PeerId, to: &PeerId, body: Body) -> Option<Message> {
    let (group_id, server_id, peer_id) = (group.to_owned(), from.to_string(), to.to_string());
    Some(match body {
        Body::VoteRequest(vote) => Message::RequestVoteRequest(jraft::RequestVoteRequest {
            group_id,
            server_id,
            peer_id,
            term: signed(vote.term),
            last_log_term: signed(vote.last.term),
            last_log_index: signed(vote.last.index),
            pre_vote: vote.pre_vote,
            transfer: vote.transfer.then_some(true),
        }),
        Body::AppendRequest(append) => {
            let (entries, data) = entries_out(&append.entries);
            // JRaft tells a probe from a heartbeat by its empty data field.
            let probes = append.entries.is_empty() && !append.heartbeat;
            Message::AppendEntriesRequest(jraft::AppendEntriesRequest {
                group_id,
                server_id,
                peer_id,
                term: signed(append.term),
                prev_log_term: signed(append.prev.term),
                prev_log_index: signed(append.prev.index),
                entries,
                committed_index: signed(append.committed),
                data: (probes || !data.is_empty()).then_some(data),
                quiesce: append.quiesce.then_some(true),
            })
        }
        Body::InstallRequest(install) => {
            Message::InstallSnapshotRequest(jraft::InstallSnapshotRequest {
                group_id,
                server_id,
                peer_id,
                term: signed(install.term),
                meta: Some(snapshot_meta_out(&install.meta)),
                uri: install.uri,
            })
        }
        Body::TimeoutNowRequest { term } => Message::TimeoutNowRequest(jraft::TimeoutNowRequest {
            group_id,
            server_id,
            peer_id,
            term: signed(term),
        }),
        Body::ReadIndexRequest { contexts } => Message::ReadIndexRequest(jraft::ReadIndexRequest {
            group_id,
            server_id,
            entries: contexts,
            peer_id: Some(peer_id),
            read_only_options: None,
        }),
        _ => return None,
    })
}

/// Gives each entry of a request for entries its checksum, which is verified where it arrives.
pub fn add_checksums(message: &mut Message) {
    let Message::AppendEntriesRequest(append) = message else {
        return;
    };
    let mut data = append.data.clone().unwrap_or_default();
    for (index, meta) in (append.prev_log_index + 1..).zip(&mut append.entries) {
        let length = usize::try_from(meta.data_len.unwrap_or(0)).unwrap_or(0);
        let own = data.split_to(length.min(data.len()));
        meta.checksum = Some(jraft::entry_checksum(index, meta, &own));
    }
}

/// What a request that came in says.
/// # Errors
/// It is malformed, or no request between members.
pub fn read_request(message: Message) -> Result<Request, WireError> {
    let (group, from, to, body) = match message {
        Message::RequestVoteRequest(vote) => {
            let last = LogId {
                term: number("last_log_term", vote.last_log_term)?,
                index: number("last_log_index", vote.last_log_index)?,
            };
            let transfer = vote.transfer.unwrap_or(false);
            let body = VoteRequest {
                term: number("term", vote.term)?,
                last,
                pre_vote: vote.pre_vote,
                transfer,
            };
            (
                vote.group_id,
                vote.server_id,
                vote.peer_id,
                Body::VoteRequest(body),
            )
        }
        Message::AppendEntriesRequest(append) => {
            let prev = LogId {
                term: number("prev_log_term", append.prev_log_term)?,
                index: number("prev_log_index", append.prev_log_index)?,
            };
            let heartbeat = append.entries.is_empty() && append.data.is_none();
            let body = AppendRequest {
                term: number("term", append.term)?,
                prev,
                committed: number("committed_index", append.committed_index)?,
                entries: entries_in(prev.index, append.entries, append.data.unwrap_or_default())?,
                heartbeat,
                quiesce: heartbeat && append.quiesce.unwrap_or_default(),
            };
            (
                append.group_id,
                append.server_id,
                append.peer_id,
                Body::AppendRequest(body),
            )
        }
        Message::InstallSnapshotRequest(install) => {
            let meta = snapshot_meta_in(&install.meta.unwrap_or_default())?;
            let body = InstallRequest {
                term: number("term", install.term)?,
                meta,
                uri: install.uri,
            };
            (
                install.group_id,
                install.server_id,
                install.peer_id,
                Body::InstallRequest(body),
            )
        }
        Message::TimeoutNowRequest(now) => {
            let body = Body::TimeoutNowRequest {
                term: number("term", now.term)?,
            };
            (now.group_id, now.server_id, now.peer_id, body)
        }
        Message::ReadIndexRequest(read) => {
            let to = read.peer_id.unwrap_or_else(|| read.server_id.clone());
            (
                read.group_id,
                read.server_id,
                to,
                Body::ReadIndexRequest {
                    contexts: read.entries,
                },
            )
        }
        other => return Err(WireError::Unexpected(other.class())),
    };
    Ok(Request {
        group,
        from: from.parse()?,
        to: to.parse()?,
        body,
    })
}

/// An answer on its way out.
pub fn answer(body: Body, asked: RequestKind) -> Message {
    match body {
        Body::VoteResponse { term, granted } => {
            Message::RequestVoteResponse(jraft::RequestVoteResponse {
                term: signed(term),
                granted,
                error_response: None,
            })
        }
        Body::AppendResponse(response) => {
            Message::AppendEntriesResponse(jraft::AppendEntriesResponse {
                term: signed(response.term),
                success: response.success,
                last_log_index: response.last_index.map(signed),
                quiesced: response.quiesced.then_some(true),
                error_response: None,
            })
        }
        Body::InstallResponse { term, success } => {
            Message::InstallSnapshotResponse(jraft::InstallSnapshotResponse {
                term: signed(term),
                success,
                error_response: None,
            })
        }
        Body::TimeoutNowResponse { term, success } => {
            Message::TimeoutNowResponse(jraft::TimeoutNowResponse {
                term: signed(term),
                success,
                error_response: None,
            })
        }
        Body::ReadIndexResponse { index, success } => {
            Message::ReadIndexResponse(jraft::ReadIndexResponse {
                index: signed(index),
                success,
                error_response: None,
            })
        }
        Body::Error { code, message } => refusal(code, message, asked),
        request => refusal(
            ErrorCode::Internal,
            format!("not an answer: {request:?}")
                .chars()
                .take(200)
                .collect(),
            asked,
        ),
    }
}

/// A request that was not carried out: JRaft's callers want the error inside the answer that they wait for.
pub fn refusal(code: ErrorCode, message: String, asked: RequestKind) -> Message {
    let error_response = Some(ErrorResponse {
        error_code: code.number(),
        error_message: Some(message),
    });
    match asked {
        RequestKind::Vote => Message::RequestVoteResponse(jraft::RequestVoteResponse {
            error_response,
            ..Default::default()
        }),
        RequestKind::Append => Message::AppendEntriesResponse(jraft::AppendEntriesResponse {
            error_response,
            ..Default::default()
        }),
        RequestKind::Install => Message::InstallSnapshotResponse(jraft::InstallSnapshotResponse {
            error_response,
            ..Default::default()
        }),
        RequestKind::TimeoutNow => Message::TimeoutNowResponse(jraft::TimeoutNowResponse {
            error_response,
            ..Default::default()
        }),
        RequestKind::ReadIndex => Message::ReadIndexResponse(jraft::ReadIndexResponse {
            error_response,
            ..Default::default()
        }),
    }
}

/// What an answer that came in says.
/// # Errors
/// It is malformed, or no answer between members.
pub fn read_answer(message: Message) -> Result<Body, WireError> {
    let (error, body) = match message {
        Message::RequestVoteResponse(vote) => (
            vote.error_response,
            Body::VoteResponse {
                term: number("term", vote.term)?,
                granted: vote.granted,
            },
        ),
        Message::AppendEntriesResponse(append) => {
            let last_index = append
                .last_log_index
                .map(|index| number("last_log_index", index))
                .transpose()?;
            let body = AppendResponse {
                term: number("term", append.term)?,
                success: append.success,
                last_index,
                quiesced: append.quiesced.unwrap_or_default(),
            };
            (append.error_response, Body::AppendResponse(body))
        }
        Message::InstallSnapshotResponse(install) => {
            let body = Body::InstallResponse {
                term: number("term", install.term)?,
                success: install.success,
            };
            (install.error_response, body)
        }
        Message::TimeoutNowResponse(now) => {
            let body = Body::TimeoutNowResponse {
                term: number("term", now.term)?,
                success: now.success,
            };
            (now.error_response, body)
        }
        Message::ReadIndexResponse(read) => {
            let body = Body::ReadIndexResponse {
                index: number("index", read.index)?,
                success: read.success,
            };
            (read.error_response, body)
        }
        Message::ErrorResponse(error) => (
            Some(error),
            Body::Error {
                code: ErrorCode::Internal,
                message: String::new(),
            },
        ),
        other => return Err(WireError::Unexpected(other.class())),
    };
    Ok(match error {
        Some(error) => Body::Error {
            code: ErrorCode::of(error.error_code),
            message: error.error_message.unwrap_or_default(),
        },
        None => body,
    })
}

fn entries_out(entries: &[Entry]) -> (Vec<EntryMeta>, Bytes) {
    let length = |entry: &Entry| {
        if let Payload::Data(data) = &entry.payload {
            data.len()
        } else {
            0
        }
    };
    let metas = entries.iter().map(entry_meta).collect();
    if let [
        Entry {
            payload: Payload::Data(data),
            ..
        },
    ] = entries
    {
        return (metas, data.clone());
    }
    let mut blob = BytesMut::with_capacity(entries.iter().map(length).sum());
    for entry in entries {
        if let Payload::Data(data) = &entry.payload {
            blob.extend_from_slice(data);
        }
    }
    (metas, blob.freeze())
}

/// What JRaft says of an entry beside its data.
pub fn entry_meta(entry: &Entry) -> EntryMeta {
    let meta = EntryMeta {
        term: signed(entry.id.term),
        data_len: Some(0),
        ..EntryMeta::default()
    };
    match &entry.payload {
        Payload::NoOp => EntryMeta {
            kind: EntryType::NoOp.into(),
            ..meta
        },
        Payload::Data(data) => EntryMeta {
            kind: EntryType::Data.into(),
            data_len: Some(signed(data.len() as u64)),
            ..meta
        },
        Payload::Configuration(configuration) => EntryMeta {
            kind: EntryType::Configuration.into(),
            data_len: None,
            peers: names(&configuration.peers),
            old_peers: names(&configuration.old_peers),
            learners: names(&configuration.learners),
            old_learners: names(&configuration.old_learners),
            ..meta
        },
    }
}

fn entries_in(prev: u64, metas: Vec<EntryMeta>, mut data: Bytes) -> Result<Vec<Entry>, WireError> {
    let mut entries = Vec::with_capacity(metas.len());
    for (index, meta) in (prev.saturating_add(1)..).zip(metas) {
        let wrong = |what| WireError::Entry { index, what };
        let length =
            usize::try_from(meta.data_len.unwrap_or(0)).map_err(|_| wrong("a negative length"))?;
        if length > data.len() {
            return Err(wrong("more data than the request holds"));
        }
        let own = data.split_to(length);
        // JRaft verifies it only where it was told to: sofa-jraft:jraft-core/.../core/NodeImpl.java, handleAppendEntriesRequest.
        if let Some(wanted) = meta.checksum {
            let (term, found) = (meta.term, jraft::entry_checksum(signed(index), &meta, &own));
            if wanted != found {
                return Err(WireError::Checksum {
                    index,
                    term,
                    wanted,
                    found,
                });
            }
        }
        let payload = payload(&meta, own).map_err(|error| match error {
            PayloadError::Wire(error) => error,
            PayloadError::What(what) => wrong(what),
        })?;
        entries.push(Entry {
            id: LogId {
                term: number("term of an entry", meta.term)?,
                index,
            },
            payload,
        });
    }
    match data.is_empty() {
        true => Ok(entries),
        false => Err(WireError::Entry {
            index: prev + entries.len() as u64,
            what: "data behind the last entry",
        }),
    }
}

enum PayloadError {
    Wire(WireError),
    What(&'static str),
}

fn payload(meta: &EntryMeta, data: Bytes) -> Result<Payload, PayloadError> {
    match EntryType::try_from(meta.kind) {
        Ok(EntryType::Configuration) => {
            let configuration = configuration_in(
                &meta.peers,
                &meta.learners,
                &meta.old_peers,
                &meta.old_learners,
            );
            let configuration = configuration.map_err(PayloadError::Wire)?;
            if configuration.is_empty() {
                return Err(PayloadError::What("a configuration without voters"));
            }
            Ok(Payload::Configuration(Arc::new(configuration)))
        }
        _ if !meta.peers.is_empty() => Err(PayloadError::What(
            "members in an entry that is no configuration",
        )),
        Ok(EntryType::NoOp) => Ok(Payload::NoOp),
        Ok(EntryType::Data) => Ok(Payload::Data(data)),
        Ok(EntryType::Unknown) | Err(_) => Err(PayloadError::What("an unknown type")),
    }
}

fn configuration_in(
    voters: &[String],
    learners: &[String],
    old_voters: &[String],
    old_learners: &[String],
) -> Result<Configuration, WireError> {
    Ok(Configuration {
        peers: peers(voters)?,
        learners: peers(learners)?,
        old_peers: peers(old_voters)?,
        old_learners: peers(old_learners)?,
    })
}

/// What a snapshot holds, as JRaft says it.
pub fn snapshot_meta_out(meta: &SnapshotMeta) -> jraft::SnapshotMeta {
    jraft::SnapshotMeta {
        last_included_index: signed(meta.last.index),
        last_included_term: signed(meta.last.term),
        peers: names(&meta.configuration.peers),
        old_peers: names(&meta.configuration.old_peers),
        learners: names(&meta.configuration.learners),
        old_learners: names(&meta.configuration.old_learners),
    }
}

/// What JRaft says a snapshot holds.
/// # Errors
/// Names or numbers are none.
pub fn snapshot_meta_in(meta: &jraft::SnapshotMeta) -> Result<SnapshotMeta, WireError> {
    let index = number("last_included_index", meta.last_included_index)?;
    let term = number("last_included_term", meta.last_included_term)?;
    let configuration = configuration_in(
        &meta.peers,
        &meta.learners,
        &meta.old_peers,
        &meta.old_learners,
    )?;
    Ok(SnapshotMeta {
        last: LogId { term, index },
        configuration,
    })
}

/// An entry as it lies in the write-ahead log: a kind and bytes.
pub fn entry_to_disk(entry: &Entry) -> (u8, Bytes) {
    use prost::Message as _;
    match &entry.payload {
        Payload::NoOp => (EntryType::NoOp as u8, Bytes::new()),
        Payload::Data(data) => (EntryType::Data as u8, data.clone()),
        Payload::Configuration(_) => (
            EntryType::Configuration as u8,
            entry_meta(entry).encode_to_vec().into(),
        ),
    }
}

/// The entry that lies in the write-ahead log as `kind` and `data`.
/// # Errors
/// No entry of ours looks like this.
pub fn entry_from_disk(id: LogId, kind: u8, data: Bytes) -> Result<Entry, WireError> {
    use prost::Message as _;
    let wrong = |what| WireError::Entry {
        index: id.index,
        what,
    };
    let meta = match kind == EntryType::Configuration as u8 {
        true => EntryMeta::decode(data.clone()).map_err(|_| wrong("a damaged configuration"))?,
        false => EntryMeta {
            kind: kind.into(),
            ..EntryMeta::default()
        },
    };
    let payload = payload(&meta, data).map_err(|error| match error {
        PayloadError::Wire(error) => error,
        PayloadError::What(what) => wrong(what),
    })?;
    Ok(Entry { id, payload })
}

/// The kind of configuration entries in the write-ahead log.
pub const CONFIGURATION_KIND: u8 = EntryType::Configuration as u8;

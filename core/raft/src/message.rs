//! What members say to each other. The meaning is JRaft's, message by message
//! (sofastack/sofa-jraft:jraft-core/src/main/resources/rpc.proto): requests are answered, and an answer is understood
//! by the request it belongs to, which its token names.

use bytes::Bytes;

use crate::configuration::Configuration;
use crate::entry::{Entry, LogId};
use crate::peer::PeerId;

/// Names a request for its answer. Unique for one life of one node in one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// A message on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where it goes.
    pub to: PeerId,
    /// Of a request: its own; of an answer: that of its request.
    pub token: Token,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Vote or pre-vote.
    VoteRequest(VoteRequest),
    /// Answer to a vote request.
    VoteResponse {
        /// The voter's term.
        term: u64,
        /// Whether the vote was given.
        granted: bool,
    },
    /// Entries, probe or heartbeat.
    AppendRequest(AppendRequest),
    /// Answer to an append request.
    AppendResponse(AppendResponse),
    /// The log no longer reaches back far enough: the follower shall fetch a snapshot.
    InstallRequest(InstallRequest),
    /// Answer to an install request, once the snapshot is in place.
    InstallResponse {
        /// The follower's term.
        term: u64,
        /// Whether the snapshot is in place.
        success: bool,
    },
    /// The follower shall stand for election at once.
    TimeoutNowRequest {
        /// The leader's term.
        term: u64,
    },
    /// Answer to a timeout-now request.
    TimeoutNowResponse {
        /// The term in which the follower stands.
        term: u64,
        /// Whether it stands.
        success: bool,
    },
    /// A member asks the leader up to where a linearizable read must have applied.
    ReadIndexRequest {
        /// Contexts of the reads, opaque; JRaft's leader does not look at them.
        contexts: Vec<Bytes>,
    },
    /// Answer to a read index request.
    ReadIndexResponse {
        /// The read may be served where this index is applied.
        index: u64,
        /// Whether the leader confirmed its leadership.
        success: bool,
    },
    /// The request was not carried out.
    Error {
        /// Why.
        code: ErrorCode,
        /// For people.
        message: String,
    },
}

/// Why a request was not carried out, with JRaft's numbers
/// (sofastack/sofa-jraft:jraft-core/src/main/java/com/alipay/sofa/jraft/error/RaftError.java).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// Try again: EAGAIN.
    Again,
    /// Something inside failed: EINTERNAL.
    Internal,
    /// Not the leader, not a member: EPERM.
    NotPermitted,
    /// Too much at once: EBUSY.
    Busy,
    /// It took too long: ETIMEDOUT.
    TimedOut,
    /// The request makes no sense here: EINVAL.
    Invalid,
    /// Any other of JRaft's numbers.
    Other(i32),
}

impl ErrorCode {
    /// JRaft's number.
    pub fn number(self) -> i32 {
        match self {
            Self::Again => 1002,
            Self::Internal => 1004,
            Self::NotPermitted => 1008,
            Self::Busy => 1009,
            Self::TimedOut => 1010,
            Self::Invalid => 1015,
            Self::Other(number) => number,
        }
    }

    /// The code with this number.
    pub fn of(number: i32) -> Self {
        let known = [
            Self::Again,
            Self::Internal,
            Self::NotPermitted,
            Self::Busy,
            Self::TimedOut,
            Self::Invalid,
        ];
        known
            .into_iter()
            .find(|code| code.number() == number)
            .unwrap_or(Self::Other(number))
    }
}

/// A candidate asks for a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteRequest {
    /// The term of the election.
    pub term: u64,
    /// The end of the candidate's log.
    pub last: LogId,
    /// Whether this only asks what the voter would say.
    pub pre_vote: bool,
    /// Whether the leader itself asked for this election: it ends leases.
    /// Only Diwan's nodes say so; a field that JRaft does not know.
    pub transfer: bool,
}

/// A leader appends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendRequest {
    /// The leader's term.
    pub term: u64,
    /// The entry before the first of `entries`.
    pub prev: LogId,
    /// The leader's committed index.
    pub committed: u64,
    /// In order, without gaps, starting at `prev.index + 1`.
    pub entries: Vec<Entry>,
    /// Marks the form that JRaft takes for a heartbeat (no data field at all): it overtakes entries on the way.
    pub heartbeat: bool,
    /// Of a heartbeat: whoever has all that the leader has may fall silent. JRaft's nodes never get it.
    pub quiesce: bool,
}

/// A follower's answer to an append request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendResponse {
    /// The follower's term.
    pub term: u64,
    /// Whether the follower's log holds the request's entries, durably.
    pub success: bool,
    /// On refusal: where the follower's log may agree with the leader's. JRaft: the last index of its log.
    pub last_index: Option<u64>,
    /// The follower has fallen silent.
    pub quiesced: bool,
}

/// A leader offers a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallRequest {
    /// The leader's term.
    pub term: u64,
    /// What the snapshot holds.
    pub meta: SnapshotMeta,
    /// Where to fetch it: `remote://ip:port/reader`.
    pub uri: String,
}

/// What a snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// The last entry whose effect is in it.
    pub last: LogId,
    /// The members at that entry.
    pub configuration: Configuration,
}

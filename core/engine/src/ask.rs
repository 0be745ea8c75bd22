//! What a log asks of its engine, and what the engine says. Each request is about one log and is carried out in one transaction
//! of the engine, or not at all. A request may come late, even after its sender gave it up, and its reply may be lost.

use bytes::Bytes;

/// The most bytes of one block or piece of a snapshot, as the engine sees it: etcd refuses requests above 1.5 MiB
/// (`etcd-io/etcd:server/embed/config.go`, `DefaultMaxRequestBytes`).
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// A request to the engine about one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Tells how the log stands, no older than this request: [`Reply::Head`].
    Look,
    /// Makes `owner` the log's owner if the log still stands as it was `seen`: [`Reply::Taken`] with a term above all earlier
    /// ones of the log, or [`Reply::Refused`]. What an earlier owner asks for from then on is refused.
    Take {
        /// How the log stood.
        seen: Seen,
        /// Who owns it then: [`crate::Owner`] as text, not empty.
        owner: String,
    },
    /// Changes the owner's beat, so that others see it live: [`Reply::Done`], or [`Reply::Refused`] if the owner's term is another.
    Beat {
        /// The owner's term.
        term: u64,
    },
    /// Leaves the log without an owner and changes the beat: [`Reply::Done`], or [`Reply::Refused`] if the owner's term is another.
    Resign {
        /// The owner's term.
        term: u64,
    },
    /// Appends a block: [`Reply::Done`], or [`Reply::Refused`] and nothing is written if the owner's term is another, or if
    /// `number` is not the next block's, or if there is such a block.
    Append {
        /// The owner's term.
        term: u64,
        /// The block's number, from 0.
        number: u64,
        /// Its bytes, at most [`VALUE_BYTES_MAX`].
        block: Bytes,
    },
    /// Returns blocks as they stand, no older than this request, by growing number and without a gap, beginning with block
    /// `from`: [`Reply::Blocks`], empty if there is no such block. At least one if there is one, even if it is larger than
    /// `bytes_max`.
    Read {
        /// The first one's number.
        from: u64,
        /// About how many bytes of blocks are wanted at most.
        bytes_max: usize,
    },
    /// Writes one piece of a snapshot, over one of the same number: [`Reply::Done`], or [`Reply::Refused`] if the owner's term
    /// is another.
    PutPiece {
        /// The owner's term.
        term: u64,
        /// The snapshot, by a number that is higher than those of all earlier ones.
        snapshot: u64,
        /// The piece's number, from 0.
        piece: u32,
        /// Its bytes, at most [`VALUE_BYTES_MAX`].
        data: Bytes,
    },
    /// Makes a snapshot whose pieces are all written the log's snapshot: [`Reply::Done`], or [`Reply::Refused`] if the owner's
    /// term is another, or if the log's snapshot is not `over`: one that comes late must not bring an older snapshot back.
    Seal {
        /// The owner's term.
        term: u64,
        /// The log's snapshot so far.
        over: Option<String>,
        /// What it is: [`crate::Snapshot`] as text.
        snapshot: String,
    },
    /// Reads one piece of a snapshot: [`Reply::Piece`].
    GetPiece {
        /// The snapshot.
        snapshot: u64,
        /// The piece's number.
        piece: u32,
    },
    /// Deletes blocks with numbers below `below` and the pieces of snapshots with numbers below `keep`, a bounded number of them
    /// at a time: [`Reply::Cleaned`], or [`Reply::Refused`] if the owner's term is another.
    Clean {
        /// The owner's term.
        term: u64,
        /// The lowest number of a snapshot that stays.
        keep: u64,
        /// The first block that stays.
        below: u64,
    },
}

/// What the engine says to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// How the log stands.
    Head(Head),
    /// It is owned by who asked, in this term.
    Taken {
        /// The term.
        term: u64,
    },
    /// It was carried out.
    Done,
    /// Nothing was changed: the log stands otherwise than the request says.
    Refused,
    /// Blocks, each as it was appended.
    Blocks(Vec<Bytes>),
    /// A piece of a snapshot, if there is such a piece.
    Piece(Option<Bytes>),
    /// Blocks and pieces were deleted.
    Cleaned {
        /// Whether more are to be deleted: the same request again does.
        more: bool,
    },
}

/// How a log stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Where it stands.
    pub seen: Seen,
    /// Who owns it: [`crate::Owner`] as text. None if nobody does, be it that the owner resigned.
    pub owner: Option<String>,
    /// The log's snapshot, [`crate::Snapshot`] as text.
    pub snapshot: Option<String>,
}

/// What changes when anything happens to a log's ownership or its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seen {
    /// The owner's term. What it is while nobody owns the log is the engine's affair.
    pub term: u64,
    /// Another one after each [`Request::Beat`] and [`Request::Take`]; it means nothing else.
    pub beat: u64,
    /// The number of the next block.
    pub next: u64,
}

/// Why a request has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It may have been carried out, or may be later, or never: no answer came, the connection broke, or a PostgreSQL
    /// transaction could not be serialized (40001).
    #[error("unknown: {0}")]
    Unknown(String),
    /// The engine has no space. It was not carried out and never will be, or was carried out already: the first transaction that
    /// takes etcd over its quota is applied and then said to have no space
    /// (`etcd-io/etcd:server/etcdserver/apply/quota.go`, `quotaApplierV3.Txn`). etcd: NOSPACE; PostgreSQL: 53100.
    #[error("the engine has no space: {0}")]
    NoSpace(String),
    /// It was not carried out and never will be: the engine is read-only (a standby, or so configured).
    #[error("the engine is read-only: {0}")]
    ReadOnly(String),
    /// It was not carried out and never will be: who asks is not let in, or may not do that.
    #[error("the engine does not allow it: {0}")]
    Denied(String),
    /// It was not carried out and never will be: the engine takes no request so large.
    #[error("too large for the engine: {0}")]
    TooLarge(String),
    /// What is stored under the log's name is not a log of this version of Diwan.
    #[error("not a log of this version: {0}")]
    Foreign(String),
}

impl Failure {
    /// Whether the request may have been carried out, or may be later.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }
}

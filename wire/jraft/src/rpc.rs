//! rpc.proto: what members say to each other.

use bytes::Bytes;

use crate::entry::{EntryMeta, SnapshotMeta};

/// A client sees whether a member answers; the answer is an [`ErrorResponse`] with code 0.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct PingRequest {
    #[prost(int64, required, tag = "1")]
    pub send_timestamp: i64,
}

/// How a request ended: code 0 is success.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct ErrorResponse {
    #[prost(int32, required, tag = "1")]
    pub error_code: i32,
    #[prost(string, optional, tag = "2")]
    pub error_message: Option<String>,
}

/// A leader offers a snapshot.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct InstallSnapshotRequest {
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    #[prost(string, required, tag = "2")]
    pub server_id: String,
    #[prost(string, required, tag = "3")]
    pub peer_id: String,
    #[prost(int64, required, tag = "4")]
    pub term: i64,
    #[prost(message, optional, tag = "5")]
    pub meta: Option<SnapshotMeta>,
    /// `remote://ip:port/reader`.
    #[prost(string, required, tag = "6")]
    pub uri: String,
}

/// The snapshot is in place, or not.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct InstallSnapshotResponse {
    #[prost(int64, required, tag = "1")]
    pub term: i64,
    #[prost(bool, required, tag = "2")]
    pub success: bool,
    #[prost(message, optional, tag = "99")]
    pub error_response: Option<ErrorResponse>,
}

/// A leader asks a follower to stand at once.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct TimeoutNowRequest {
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    #[prost(string, required, tag = "2")]
    pub server_id: String,
    #[prost(string, required, tag = "3")]
    pub peer_id: String,
    #[prost(int64, required, tag = "4")]
    pub term: i64,
}

/// The follower stands, or not.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct TimeoutNowResponse {
    #[prost(int64, required, tag = "1")]
    pub term: i64,
    #[prost(bool, required, tag = "2")]
    pub success: bool,
    #[prost(message, optional, tag = "99")]
    pub error_response: Option<ErrorResponse>,
}

/// A candidate asks for a vote.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct RequestVoteRequest {
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    #[prost(string, required, tag = "2")]
    pub server_id: String,
    #[prost(string, required, tag = "3")]
    pub peer_id: String,
    #[prost(int64, required, tag = "4")]
    pub term: i64,
    #[prost(int64, required, tag = "5")]
    pub last_log_term: i64,
    #[prost(int64, required, tag = "6")]
    pub last_log_index: i64,
    #[prost(bool, required, tag = "7")]
    pub pre_vote: bool,
    /// Diwan's own: the leader asked for this election. JRaft skips it.
    #[prost(bool, optional, tag = "100")]
    pub transfer: Option<bool>,
}

/// The vote.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct RequestVoteResponse {
    #[prost(int64, required, tag = "1")]
    pub term: i64,
    #[prost(bool, required, tag = "2")]
    pub granted: bool,
    #[prost(message, optional, tag = "99")]
    pub error_response: Option<ErrorResponse>,
}

/// What the Bolt header of an append request repeats.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct AppendEntriesRequestHeader {
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    #[prost(string, required, tag = "2")]
    pub server_id: String,
    #[prost(string, required, tag = "3")]
    pub peer_id: String,
}

/// A leader appends entries, probes (no entries, empty data) or tells that it lives (no entries, no data).
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct AppendEntriesRequest {
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    #[prost(string, required, tag = "2")]
    pub server_id: String,
    #[prost(string, required, tag = "3")]
    pub peer_id: String,
    #[prost(int64, required, tag = "4")]
    pub term: i64,
    #[prost(int64, required, tag = "5")]
    pub prev_log_term: i64,
    #[prost(int64, required, tag = "6")]
    pub prev_log_index: i64,
    #[prost(message, repeated, tag = "7")]
    pub entries: Vec<EntryMeta>,
    #[prost(int64, required, tag = "8")]
    pub committed_index: i64,
    /// The data of all entries, one after the other.
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub data: Option<Bytes>,
    /// Between nodes of ours only, and not in the proto file: the follower may fall silent.
    #[prost(bool, optional, tag = "1001")]
    pub quiesce: Option<bool>,
}

/// Whether the entries are in place.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct AppendEntriesResponse {
    #[prost(int64, required, tag = "1")]
    pub term: i64,
    #[prost(bool, required, tag = "2")]
    pub success: bool,
    #[prost(int64, optional, tag = "3")]
    pub last_log_index: Option<i64>,
    /// Between nodes of ours only, and not in the proto file: the follower has fallen silent.
    #[prost(bool, optional, tag = "1001")]
    pub quiesced: Option<bool>,
    #[prost(message, optional, tag = "99")]
    pub error_response: Option<ErrorResponse>,
}

/// A follower pulls a piece of a snapshot file.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct GetFileRequest {
    #[prost(int64, required, tag = "1")]
    pub reader_id: i64,
    #[prost(string, required, tag = "2")]
    pub filename: String,
    #[prost(int64, required, tag = "3")]
    pub count: i64,
    #[prost(int64, required, tag = "4")]
    pub offset: i64,
    #[prost(bool, optional, tag = "5")]
    pub read_partly: Option<bool>,
}

/// The piece.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct GetFileResponse {
    #[prost(bool, required, tag = "1")]
    pub eof: bool,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub data: Bytes,
    #[prost(int64, optional, tag = "3")]
    pub read_size: Option<i64>,
    #[prost(message, optional, tag = "99")]
    pub error_response: Option<ErrorResponse>,
}

/// A member asks its leader up to where a linearizable read must have applied.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct ReadIndexRequest {
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    #[prost(string, required, tag = "2")]
    pub server_id: String,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub entries: Vec<Bytes>,
    #[prost(string, optional, tag = "4")]
    pub peer_id: Option<String>,
    /// 0 asks a majority, 1 trusts the lease.
    #[prost(int32, optional, tag = "5")]
    pub read_only_options: Option<i32>,
}

/// Up to there.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct ReadIndexResponse {
    #[prost(int64, required, tag = "1")]
    pub index: i64,
    #[prost(bool, required, tag = "2")]
    pub success: bool,
    #[prost(message, optional, tag = "99")]
    pub error_response: Option<ErrorResponse>,
}

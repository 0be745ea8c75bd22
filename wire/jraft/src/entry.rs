//! raft.proto and enum.proto.

/// What an entry is (`EntryType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
#[allow(missing_docs, reason = "the field's own names")]
pub enum EntryType {
    Unknown = 0,
    NoOp = 1,
    Data = 2,
    Configuration = 3,
}

/// What a log entry says beside its data.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "raft.proto's own names")]
pub struct EntryMeta {
    #[prost(int64, required, tag = "1")]
    pub term: i64,
    #[prost(enumeration = "EntryType", required, tag = "2")]
    pub kind: i32,
    #[prost(string, repeated, tag = "3")]
    pub peers: Vec<String>,
    /// Bytes of the request's `data` that belong to this entry; entries follow each other in it.
    #[prost(int64, optional, tag = "4")]
    pub data_len: Option<i64>,
    #[prost(string, repeated, tag = "5")]
    pub old_peers: Vec<String>,
    /// CRC-64 over type, term, index, members and data, where the leader was told to write it.
    #[prost(int64, optional, tag = "6")]
    pub checksum: Option<i64>,
    #[prost(string, repeated, tag = "7")]
    pub learners: Vec<String>,
    #[prost(string, repeated, tag = "8")]
    pub old_learners: Vec<String>,
}

/// What a snapshot holds.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "raft.proto's own names")]
pub struct SnapshotMeta {
    #[prost(int64, required, tag = "1")]
    pub last_included_index: i64,
    #[prost(int64, required, tag = "2")]
    pub last_included_term: i64,
    #[prost(string, repeated, tag = "3")]
    pub peers: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub old_peers: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    pub learners: Vec<String>,
    #[prost(string, repeated, tag = "6")]
    pub old_learners: Vec<String>,
}

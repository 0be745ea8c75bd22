//! cli.proto: what JRaft's CliService asks.

use crate::rpc::ErrorResponse;

/// Adds a voter.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct AddPeerRequest {
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    #[prost(string, required, tag = "2")]
    pub leader_id: String,
    #[prost(string, required, tag = "3")]
    pub peer_id: String,
}

/// Removes a voter.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct RemovePeerRequest {
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    #[prost(string, required, tag = "2")]
    pub leader_id: String,
    #[prost(string, required, tag = "3")]
    pub peer_id: String,
}

/// Makes these the voters.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct ChangePeersRequest {
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    #[prost(string, required, tag = "2")]
    pub leader_id: String,
    #[prost(string, repeated, tag = "3")]
    pub new_peers: Vec<String>,
}

/// The voters before and after: the answer to adding, removing and changing them (three messages of one shape).
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct PeersResponse {
    #[prost(string, repeated, tag = "1")]
    pub old_peers: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub new_peers: Vec<String>,
    #[prost(message, optional, tag = "99")]
    pub error_response: Option<ErrorResponse>,
}

/// Takes a snapshot now.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct SnapshotRequest {
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    #[prost(string, optional, tag = "2")]
    pub peer_id: Option<String>,
}

/// Manual recovery: these are the voters, whatever the log says.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct ResetPeerRequest {
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    #[prost(string, required, tag = "2")]
    pub peer_id: String,
    #[prost(string, repeated, tag = "3")]
    pub old_peers: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub new_peers: Vec<String>,
}

/// Hands leadership on.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct TransferLeaderRequest {
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    #[prost(string, required, tag = "2")]
    pub leader_id: String,
    #[prost(string, optional, tag = "3")]
    pub peer_id: Option<String>,
}

/// Who leads?
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct GetLeaderRequest {
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    #[prost(string, optional, tag = "2")]
    pub peer_id: Option<String>,
}

/// The leader.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct GetLeaderResponse {
    #[prost(string, required, tag = "1")]
    pub leader_id: String,
    #[prost(message, optional, tag = "99")]
    pub error_response: Option<ErrorResponse>,
}

/// Who are the members?
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct GetPeersRequest {
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    #[prost(string, optional, tag = "2")]
    pub leader_id: Option<String>,
    #[prost(bool, optional, tag = "3")]
    pub only_alive: Option<bool>,
}

/// The members.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct GetPeersResponse {
    #[prost(string, repeated, tag = "1")]
    pub peers: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub learners: Vec<String>,
    #[prost(message, optional, tag = "99")]
    pub error_response: Option<ErrorResponse>,
}

/// Adds, removes or sets learners (three messages of one shape).
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct LearnersRequest {
    #[prost(string, required, tag = "1")]
    pub group_id: String,
    #[prost(string, required, tag = "2")]
    pub leader_id: String,
    #[prost(string, repeated, tag = "3")]
    pub learners: Vec<String>,
}

/// The learners before and after.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "the proto file's own names")]
pub struct LearnersResponse {
    #[prost(string, repeated, tag = "1")]
    pub old_learners: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub new_learners: Vec<String>,
    #[prost(message, optional, tag = "99")]
    pub error_response: Option<ErrorResponse>,
}

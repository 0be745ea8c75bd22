//! Any of the messages, and the class that names it in a frame.

use bytes::{BufMut, Bytes};
use prost::Message as _;

use crate::fields::{self, FIELDS_MAX};
use crate::{cli, rpc};

/// The numbers of the fields that are messages: a snapshot's meta, an entry's, an error.
const NESTED: [u32; 3] = [5, 7, 99];

/// Why the content of a frame is not the message that its class names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No message of JRaft's has this class.
    #[error("no message of JRaft's has the class `{0}`")]
    UnknownClass(String),
    /// The content is damaged.
    #[error("the content of {class} is damaged: {what}")]
    Damaged {
        /// The class.
        class: &'static str,
        /// What the decoder says.
        what: String,
    },
}

macro_rules! messages {
    ($($name:ident: $type:ty = $class:literal,)*) => {
        /// Any message between members of a group, or between a client and a member.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "named as JRaft names them")]
        pub enum Message {
            $($name($type),)*
        }

        impl Message {
            /// The class that names this message in a frame.
            pub fn class(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $class,)*
                }
            }

            /// Reads the content of a frame with this class. Byte fields share `content`'s memory.
            /// # Errors
            /// The class is not JRaft's, or the content is not this message, or has absurdly many fields.
            pub fn decode(class: &[u8], content: Bytes) -> Result<Self, DecodeError> {
                let few = fields::are_few(&content, &NESTED);
                match class {
                    $(class if class == $class.as_bytes() && !few => Err(DecodeError::Damaged {
                        class: $class,
                        what: format!("more than {FIELDS_MAX} fields"),
                    }),
                    class if class == $class.as_bytes() => {
                        <$type>::decode(content).map(Self::$name).map_err(|error| DecodeError::Damaged {
                            class: $class,
                            what: error.to_string(),
                        })
                    })*
                    other => Err(DecodeError::UnknownClass(String::from_utf8_lossy(other).chars().take(120).collect())),
                }
            }

            /// Appends the content of a frame.
            pub fn encode(&self, out: &mut impl BufMut) {
                // What is written to is growing: there is always room.
                let written = match self {
                    $(Self::$name(message) => message.encode(out),)*
                };
                debug_assert!(written.is_ok(), "a growing buffer has room");
            }
        }
    };
}

messages! {
    PingRequest: rpc::PingRequest = "com.alipay.sofa.jraft.rpc.RpcRequests$PingRequest",
    ErrorResponse: rpc::ErrorResponse = "com.alipay.sofa.jraft.rpc.RpcRequests$ErrorResponse",
    InstallSnapshotRequest: rpc::InstallSnapshotRequest = "com.alipay.sofa.jraft.rpc.RpcRequests$InstallSnapshotRequest",
    InstallSnapshotResponse: rpc::InstallSnapshotResponse = "com.alipay.sofa.jraft.rpc.RpcRequests$InstallSnapshotResponse",
    TimeoutNowRequest: rpc::TimeoutNowRequest = "com.alipay.sofa.jraft.rpc.RpcRequests$TimeoutNowRequest",
    TimeoutNowResponse: rpc::TimeoutNowResponse = "com.alipay.sofa.jraft.rpc.RpcRequests$TimeoutNowResponse",
    RequestVoteRequest: rpc::RequestVoteRequest = "com.alipay.sofa.jraft.rpc.RpcRequests$RequestVoteRequest",
    RequestVoteResponse: rpc::RequestVoteResponse = "com.alipay.sofa.jraft.rpc.RpcRequests$RequestVoteResponse",
    AppendEntriesRequest: rpc::AppendEntriesRequest = "com.alipay.sofa.jraft.rpc.RpcRequests$AppendEntriesRequest",
    AppendEntriesResponse: rpc::AppendEntriesResponse = "com.alipay.sofa.jraft.rpc.RpcRequests$AppendEntriesResponse",
    GetFileRequest: rpc::GetFileRequest = "com.alipay.sofa.jraft.rpc.RpcRequests$GetFileRequest",
    GetFileResponse: rpc::GetFileResponse = "com.alipay.sofa.jraft.rpc.RpcRequests$GetFileResponse",
    ReadIndexRequest: rpc::ReadIndexRequest = "com.alipay.sofa.jraft.rpc.RpcRequests$ReadIndexRequest",
    ReadIndexResponse: rpc::ReadIndexResponse = "com.alipay.sofa.jraft.rpc.RpcRequests$ReadIndexResponse",
    AddPeerRequest: cli::AddPeerRequest = "com.alipay.sofa.jraft.rpc.CliRequests$AddPeerRequest",
    RemovePeerRequest: cli::RemovePeerRequest = "com.alipay.sofa.jraft.rpc.CliRequests$RemovePeerRequest",
    ChangePeersRequest: cli::ChangePeersRequest = "com.alipay.sofa.jraft.rpc.CliRequests$ChangePeersRequest",
    SnapshotRequest: cli::SnapshotRequest = "com.alipay.sofa.jraft.rpc.CliRequests$SnapshotRequest",
    ResetPeerRequest: cli::ResetPeerRequest = "com.alipay.sofa.jraft.rpc.CliRequests$ResetPeerRequest",
    TransferLeaderRequest: cli::TransferLeaderRequest = "com.alipay.sofa.jraft.rpc.CliRequests$TransferLeaderRequest",
    GetLeaderRequest: cli::GetLeaderRequest = "com.alipay.sofa.jraft.rpc.CliRequests$GetLeaderRequest",
    GetLeaderResponse: cli::GetLeaderResponse = "com.alipay.sofa.jraft.rpc.CliRequests$GetLeaderResponse",
    GetPeersRequest: cli::GetPeersRequest = "com.alipay.sofa.jraft.rpc.CliRequests$GetPeersRequest",
    GetPeersResponse: cli::GetPeersResponse = "com.alipay.sofa.jraft.rpc.CliRequests$GetPeersResponse",
    AddPeerResponse: cli::PeersResponse = "com.alipay.sofa.jraft.rpc.CliRequests$AddPeerResponse",
    RemovePeerResponse: cli::PeersResponse = "com.alipay.sofa.jraft.rpc.CliRequests$RemovePeerResponse",
    ChangePeersResponse: cli::PeersResponse = "com.alipay.sofa.jraft.rpc.CliRequests$ChangePeersResponse",
    AddLearnersRequest: cli::LearnersRequest = "com.alipay.sofa.jraft.rpc.CliRequests$AddLearnersRequest",
    RemoveLearnersRequest: cli::LearnersRequest = "com.alipay.sofa.jraft.rpc.CliRequests$RemoveLearnersRequest",
    ResetLearnersRequest: cli::LearnersRequest = "com.alipay.sofa.jraft.rpc.CliRequests$ResetLearnersRequest",
    LearnersOpResponse: cli::LearnersResponse = "com.alipay.sofa.jraft.rpc.CliRequests$LearnersOpResponse",
}

//! SOFAJRaft's messages as they lie in Bolt frames: a frame's class names the message, its content is the message in
//! protocol buffers (proto2). [`Message`] is any of them; [`Message::decode`] reads the content of a frame and
//! [`Message::encode`] writes it. Framing is `diwan-bolt`'s; what the messages mean is `diwan-raft`'s.
//!
//! Fields and numbers: sofastack/sofa-jraft:jraft-core/src/main/resources/{rpc,cli,raft,enum,local_file_meta}.proto.
//! RheaKV's messages and the gRPC transport are not here.

mod checksum;
mod cli;
mod entry;
mod fields;
#[doc(hidden)]
pub mod fuzz;
mod message;
mod rpc;
mod snapshot;

pub use checksum::{crc64, entry_checksum};
pub use cli::{
    AddPeerRequest, ChangePeersRequest, GetLeaderRequest, GetLeaderResponse, GetPeersRequest,
    GetPeersResponse, LearnersRequest, LearnersResponse, PeersResponse, RemovePeerRequest,
    ResetPeerRequest, SnapshotRequest, TransferLeaderRequest,
};
pub use entry::{EntryMeta, EntryType, SnapshotMeta};
pub use message::{DecodeError, Message};
pub use rpc::{
    AppendEntriesRequest, AppendEntriesRequestHeader, AppendEntriesResponse, ErrorResponse,
    GetFileRequest, GetFileResponse, InstallSnapshotRequest, InstallSnapshotResponse, PingRequest,
    ReadIndexRequest, ReadIndexResponse, RequestVoteRequest, RequestVoteResponse,
    TimeoutNowRequest, TimeoutNowResponse,
};
pub use snapshot::{FileEntry, LocalFileMeta, MetaError, SNAPSHOT_META_FILE, SnapshotFiles};

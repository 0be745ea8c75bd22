//! The messages of etcd's gRPC interface that a log needs, field by field as in `etcd-io/etcd:api/etcdserverpb/rpc.proto` and
//! `etcd-io/etcd:api/mvccpb/kv.proto`.

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(int64, tag = "2")]
    pub create_revision: i64,
    #[prost(int64, tag = "3")]
    pub mod_revision: i64,
    #[prost(bytes = "bytes", tag = "5")]
    pub value: bytes::Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub range_end: Vec<u8>,
    #[prost(int64, tag = "3")]
    pub limit: i64,
    #[prost(bool, tag = "8")]
    pub keys_only: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    pub kvs: Vec<KeyValue>,
    #[prost(bool, tag = "3")]
    pub more: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "bytes", tag = "2")]
    pub value: bytes::Bytes,
    #[prost(bool, tag = "5")]
    pub ignore_value: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DeleteRangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub range_end: Vec<u8>,
}

/// What a put or delete is answered: nothing that a log needs.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Ignored {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RequestOp {
    #[prost(oneof = "Op", tags = "1, 2, 3")]
    pub request: Option<Op>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Op {
    #[prost(message, tag = "1")]
    Range(RangeRequest),
    #[prost(message, tag = "2")]
    Put(PutRequest),
    #[prost(message, tag = "3")]
    DeleteRange(DeleteRangeRequest),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResponseOp {
    #[prost(oneof = "Done", tags = "1, 2, 3")]
    pub response: Option<Done>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Done {
    #[prost(message, tag = "1")]
    Range(RangeResponse),
    #[prost(message, tag = "2")]
    Put(Ignored),
    #[prost(message, tag = "3")]
    DeleteRange(Ignored),
}

/// `result` is 0 always: equal.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Compare {
    /// 1 create revision, 2 modification revision, 3 value.
    #[prost(int32, tag = "2")]
    pub target: i32,
    #[prost(bytes = "vec", tag = "3")]
    pub key: Vec<u8>,
    #[prost(oneof = "Target", tags = "5, 6, 7")]
    pub to: Option<Target>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Target {
    #[prost(int64, tag = "5")]
    Create(i64),
    #[prost(int64, tag = "6")]
    Mod(i64),
    #[prost(bytes, tag = "7")]
    Value(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TxnRequest {
    #[prost(message, repeated, tag = "1")]
    pub compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    pub success: Vec<RequestOp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TxnResponse {
    #[prost(bool, tag = "2")]
    pub succeeded: bool,
    #[prost(message, repeated, tag = "3")]
    pub responses: Vec<ResponseOp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    pub create_request: Option<WatchCreateRequest>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WatchCreateRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub range_end: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WatchResponse {
    #[prost(bool, tag = "4")]
    pub canceled: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AuthenticateRequest {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub password: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AuthenticateResponse {
    #[prost(string, tag = "2")]
    pub token: String,
}

impl RequestOp {
    pub(super) fn range(key: Vec<u8>) -> Self {
        Self::of(Op::Range(RangeRequest {
            key,
            ..RangeRequest::default()
        }))
    }

    pub(super) fn put(key: Vec<u8>, value: impl Into<bytes::Bytes>) -> Self {
        Self::of(Op::Put(PutRequest {
            key,
            value: value.into(),
            ignore_value: false,
        }))
    }

    /// Writes a key as it is, so that its modification revision changes.
    pub(super) fn touch(key: Vec<u8>) -> Self {
        Self::of(Op::Put(PutRequest {
            key,
            value: bytes::Bytes::new(),
            ignore_value: true,
        }))
    }

    /// Deletes from `key` up to but not with `range_end`; just `key` if that is empty.
    pub(super) fn delete(key: Vec<u8>, range_end: Vec<u8>) -> Self {
        Self::of(Op::DeleteRange(DeleteRangeRequest { key, range_end }))
    }

    pub(super) fn of(op: Op) -> Self {
        Self { request: Some(op) }
    }
}

impl Compare {
    /// The key was created by the transaction with this revision; 0: there is no such key.
    pub(super) fn created(key: Vec<u8>, revision: i64) -> Self {
        Self {
            target: 1,
            key,
            to: Some(Target::Create(revision)),
        }
    }

    /// The key was last written by the transaction with this revision.
    pub(super) fn written(key: Vec<u8>, revision: i64) -> Self {
        Self {
            target: 2,
            key,
            to: Some(Target::Mod(revision)),
        }
    }

    /// The key has this value. It fails if there is no such key.
    pub(super) fn value(key: Vec<u8>, value: impl Into<Vec<u8>>) -> Self {
        Self {
            target: 3,
            key,
            to: Some(Target::Value(value.into())),
        }
    }
}

//! What messages look like. Java's classes extend each other; here each holds what it extends as its first field.
//! Source: apache/incubator-seata:serializer/seata-serializer-protobuf/src/main/resources/protobuf/.

use prost::Message;

/// `AbstractMessageProto`: the type of the message.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Base {
    #[prost(int32, tag = "1")]
    pub(super) kind: i32,
}

/// `AbstractTransactionRequestProto`.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Request {
    #[prost(message, optional, tag = "1")]
    pub(super) base: Option<Base>,
}

/// `AbstractResultMessageProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Result {
    #[prost(message, optional, tag = "1")]
    pub(super) base: Option<Base>,
    #[prost(int32, tag = "2")]
    pub(super) success: i32,
    #[prost(string, tag = "3")]
    pub(super) text: String,
}

/// `AbstractTransactionResponseProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Response {
    #[prost(message, optional, tag = "1")]
    pub(super) result: Option<Result>,
    #[prost(int32, tag = "2")]
    pub(super) code: i32,
}

/// Messages that have nothing but what they extend.
#[derive(Message)]
#[prost(skip_debug)]
pub(super) struct Only<T: Message + Default> {
    #[prost(message, optional, tag = "1")]
    pub(super) inner: Option<T>,
}

/// `AbstractIdentifyRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Identify {
    #[prost(message, optional, tag = "1")]
    pub(super) base: Option<Base>,
    #[prost(string, tag = "2")]
    pub(super) version: String,
    #[prost(string, tag = "3")]
    pub(super) application_id: String,
    #[prost(string, tag = "4")]
    pub(super) group: String,
    #[prost(string, tag = "5")]
    pub(super) extra_data: String,
}

/// `RegisterRMRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RegisterRm {
    #[prost(message, optional, tag = "1")]
    pub(super) identify: Option<Identify>,
    #[prost(string, tag = "2")]
    pub(super) resource_ids: String,
}

/// `AbstractIdentifyResponseProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Identified {
    #[prost(message, optional, tag = "1")]
    pub(super) result: Option<Result>,
    #[prost(string, tag = "2")]
    pub(super) version: String,
    #[prost(string, tag = "3")]
    pub(super) extra_data: String,
    #[prost(bool, tag = "4")]
    pub(super) identified: bool,
}

/// `GlobalBeginRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GlobalBegin {
    #[prost(message, optional, tag = "1")]
    pub(super) request: Option<Request>,
    #[prost(int32, tag = "2")]
    pub(super) timeout_ms: i32,
    #[prost(string, tag = "3")]
    pub(super) name: String,
}

/// `GlobalBeginResponseProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GlobalBeginResult {
    #[prost(message, optional, tag = "1")]
    pub(super) response: Option<Response>,
    #[prost(string, tag = "2")]
    pub(super) xid: String,
    #[prost(string, tag = "3")]
    pub(super) extra_data: String,
}

/// `AbstractGlobalEndRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GlobalEnd {
    #[prost(message, optional, tag = "1")]
    pub(super) request: Option<Request>,
    #[prost(string, tag = "2")]
    pub(super) xid: String,
    #[prost(string, tag = "3")]
    pub(super) extra_data: String,
}

/// `AbstractGlobalEndResponseProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GlobalEnded {
    #[prost(message, optional, tag = "1")]
    pub(super) response: Option<Response>,
    #[prost(int32, tag = "2")]
    pub(super) status: i32,
}

/// `GlobalReportRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GlobalReport {
    #[prost(message, optional, tag = "1")]
    pub(super) end: Option<GlobalEnd>,
    #[prost(int32, tag = "2")]
    pub(super) status: i32,
}

/// `AbstractBranchEndRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct BranchEnd {
    #[prost(message, optional, tag = "1")]
    pub(super) request: Option<Request>,
    #[prost(string, tag = "2")]
    pub(super) xid: String,
    #[prost(int64, tag = "3")]
    pub(super) branch_id: i64,
    #[prost(int32, tag = "4")]
    pub(super) branch_type: i32,
    #[prost(string, tag = "5")]
    pub(super) resource_id: String,
    #[prost(string, tag = "6")]
    pub(super) application_data: String,
}

/// `AbstractBranchEndResponseProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct BranchEnded {
    #[prost(message, optional, tag = "1")]
    pub(super) response: Option<Response>,
    #[prost(string, tag = "2")]
    pub(super) xid: String,
    #[prost(int64, tag = "3")]
    pub(super) branch_id: i64,
    #[prost(int32, tag = "4")]
    pub(super) status: i32,
}

/// `BranchRegisterRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct BranchRegister {
    #[prost(message, optional, tag = "1")]
    pub(super) request: Option<Request>,
    #[prost(string, tag = "2")]
    pub(super) xid: String,
    #[prost(int32, tag = "3")]
    pub(super) branch_type: i32,
    #[prost(string, tag = "4")]
    pub(super) resource_id: String,
    #[prost(string, tag = "5")]
    pub(super) lock_key: String,
    #[prost(string, tag = "6")]
    pub(super) application_data: String,
}

/// `BranchRegisterResponseProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct BranchRegisterResult {
    #[prost(message, optional, tag = "1")]
    pub(super) response: Option<Response>,
    #[prost(int64, tag = "2")]
    pub(super) branch_id: i64,
}

/// `BranchReportRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct BranchReport {
    #[prost(message, optional, tag = "1")]
    pub(super) request: Option<Request>,
    #[prost(string, tag = "2")]
    pub(super) xid: String,
    #[prost(int64, tag = "3")]
    pub(super) branch_id: i64,
    #[prost(string, tag = "4")]
    pub(super) resource_id: String,
    #[prost(int32, tag = "5")]
    pub(super) status: i32,
    #[prost(string, tag = "6")]
    pub(super) application_data: String,
    #[prost(int32, tag = "7")]
    pub(super) branch_type: i32,
}

/// `GlobalLockQueryResponseProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GlobalLockQueryResult {
    #[prost(message, optional, tag = "1")]
    pub(super) response: Option<Response>,
    #[prost(bool, tag = "2")]
    pub(super) lockable: bool,
}

/// `UndoLogDeleteRequestProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct UndoLogDelete {
    #[prost(message, optional, tag = "1")]
    pub(super) request: Option<Request>,
    #[prost(string, tag = "2")]
    pub(super) resource_id: String,
    #[prost(int32, tag = "3")]
    pub(super) save_days: i32,
    #[prost(int32, tag = "4")]
    pub(super) branch_type: i32,
}

/// `MergedWarpMessageProto`, `MergedResultMessageProto` and `BatchResultMessageProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Merged {
    #[prost(message, optional, tag = "1")]
    pub(super) base: Option<Base>,
    #[prost(message, repeated, tag = "2")]
    pub(super) messages: Vec<Any>,
    #[prost(int32, repeated, tag = "3")]
    pub(super) ids: Vec<i32>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

//! Class names, header keys and codec numbers of SOFARPC
//! (`sofastack/sofa-rpc:core/api/src/main/java/com/alipay/sofa/rpc/common/RemotingConstants.java`).

/// Class name of every request frame.
pub const REQUEST_CLASS: &str = "com.alipay.sofa.rpc.core.request.SofaRequest";
/// Class name of every response frame that is no failure of the transport.
pub const RESPONSE_CLASS: &str = "com.alipay.sofa.rpc.core.response.SofaResponse";
/// Class name of a response frame that tells of a failure of the transport.
pub const SERVER_EXCEPTION_CLASS: &str = "com.alipay.remoting.rpc.exception.RpcServerException";

/// Header: unique name of the service; routes and overrides the body.
pub const SERVICE: &str = "service";
/// Header: unique name of the service, again.
pub const TARGET_SERVICE: &str = "sofa_head_target_service";
/// Header: method.
pub const METHOD_NAME: &str = "sofa_head_method_name";
/// Header: application called.
pub const TARGET_APP: &str = "sofa_head_target_app";
/// Header: 0 plain, 1 mixed, 2 generic objects.
pub const GENERIC_TYPE: &str = "sofa_head_generic_type";
/// Header and property of a response: `true` when it holds an exception or an error.
pub const RESPONSE_ERROR: &str = "sofa_head_response_error";
/// Request property: what is left of the caller's time, milliseconds as an int.
pub const DEADLINE_REMAIN_MS: &str = "sofa_head_deadline_remain_time";
/// Prefix of SOFATracer's header keys; the name of their map in the request's properties.
pub const TRACE_CONTEXT: &str = "rpc_trace_context";
/// Prefix of baggage that goes with a request.
pub const REQUEST_BAGGAGE: &str = "rpc_req_baggage";
/// Prefix of baggage that comes back with a response.
pub const RESPONSE_BAGGAGE: &str = "rpc_resp_baggage";

/// Codec numbers (`sofastack/sofa-rpc:codec/`, the `code` of each serializer).
pub mod codec {
    /// Hessian, SOFA's draft dialect.
    pub const HESSIAN2: u8 = 1;
    /// Protocol buffers: the content is the one argument's message.
    pub const PROTOBUF: u8 = 11;
    /// JSON: the content is the one argument, or an array of several.
    pub const JSON: u8 = 12;
}

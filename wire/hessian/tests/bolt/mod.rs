//! The SOFARPC request in a Bolt frame.

use diwan_hessian::{Hessian, JavaArray, JavaMap, Value};

/// `com.alipay.sofa.rpc.core.request.SofaRequest`, as SOFARPC 5.14.3 writes it.
#[derive(Clone, Debug, PartialEq, Hessian)]
#[hessian(class = "com.alipay.sofa.rpc.core.request.SofaRequest")]
pub(crate) struct SofaRequest {
    pub(crate) target_app_name: Option<String>,
    pub(crate) method_name: String,
    pub(crate) target_service_unique_name: String,
    pub(crate) request_props: JavaMap<String, Value<'static>>,
    pub(crate) method_arg_sigs: JavaArray<String>,
}

/// The content of a Bolt v1 request frame (`sofastack/sofa-bolt:RpcCommandEncoder`): a header of 22 bytes with the
/// lengths of class (at 14), header (16) and content (18), then those three.
pub(crate) fn bolt_content(frame: &[u8]) -> &[u8] {
    let length = |at: usize| usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    let content = 22 + length(14) + length(16);
    &frame[content..]
}

use super::{CallInfo, Provider};

/// Narrows the providers of a call, one router after the other
/// (`sofastack/sofa-rpc:core/api/src/main/java/com/alipay/sofa/rpc/client/RouterChain.java`).
pub trait Router: Send + Sync + 'static {
    /// Whether the call may go to this provider.
    fn allows(&self, call: &CallInfo<'_>, provider: &Provider) -> bool;
}

use std::future::Future;
use std::pin::Pin;

/// Says whether a service may be published: the readiness gate of SOFABoot
/// (`sofastack/sofa-boot:.../HealthChecker.java`). Asked again and again until it passes.
pub trait HealthCheck: Send + Sync + 'static {
    /// Name for logs.
    fn name(&self) -> &str;
    /// Passes, or says what is missing.
    fn check(&self) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>>;
}

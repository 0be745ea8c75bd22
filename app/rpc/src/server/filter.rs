use std::net::SocketAddr;
use std::time::Duration;

use crate::Context;

/// What a filter sees of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestInfo<'a> {
    /// Unique name of the service.
    pub service: &'a str,
    /// Method name.
    pub method: &'a str,
    /// Who calls.
    pub remote: SocketAddr,
    /// Header entries, baggage, deadline.
    pub context: &'a Context,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The method returned.
    Value,
    /// The method threw.
    Exception,
    /// The method was not carried out, or its answer could not be sent.
    Failed,
}

/// Stands before and after every request of a server: access rules, logs, metrics.
pub trait ServerFilter: Send + Sync + 'static {
    /// Lets the request pass, or refuses it with a message for the caller.
    ///
    /// # Errors
    /// The refusal.
    fn before(&self, _request: &RequestInfo<'_>) -> Result<(), String> {
        Ok(())
    }

    /// Is told how the request ended and how long it took.
    fn after(&self, _request: &RequestInfo<'_>, _outcome: Outcome, _took: Duration) {}
}

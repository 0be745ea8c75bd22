use std::net::SocketAddr;
use std::time::Duration;

use crate::ErrorKind;

/// What filters, routers and logs see of a call.
#[derive(Clone, Copy, Debug)]
pub struct CallInfo<'a> {
    /// Unique name of the service.
    pub service: &'a str,
    /// Method name.
    pub method: &'a str,
    /// Whether no answer is expected.
    pub oneway: bool,
}

/// Stands before and after every call of a consumer.
pub trait ClientFilter: Send + Sync + 'static {
    /// Lets the call pass, adding header entries if it likes, or refuses it with a message.
    ///
    /// # Errors
    /// The refusal.
    fn before(
        &self,
        _call: &CallInfo<'_>,
        _entries: &mut Vec<(String, String)>,
    ) -> Result<(), String> {
        Ok(())
    }

    /// Is told how the call ended: with which failure, or `None` when the server answered, be it with an exception.
    fn after(
        &self,
        _call: &CallInfo<'_>,
        _addr: Option<SocketAddr>,
        _failure: Option<ErrorKind>,
        _took: Duration,
    ) {
    }
}

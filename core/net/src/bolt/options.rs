use std::fmt;
use std::time::Duration;

use diwan_bolt::FRAME_BYTES_MAX_DEFAULT;

use super::client::ClientEvents;
use super::{HandlerFactory, OpeningFactory};
use crate::{ClientTls, ConnectionLimits};

/// What both ends of a Bolt connection can set.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// Longer frames are skipped and refused.
    pub frame_bytes_max: usize,
    /// Calls of this side that wait for an answer; one more fails at once.
    pub calls_max: usize,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            frame_bytes_max: FRAME_BYTES_MAX_DEFAULT,
            calls_max: 65_536,
        }
    }
}

/// How a [`Client`](super::Client) connects and keeps its connections. Defaults are the original's
/// (`sofastack/sofa-bolt:com/alipay/remoting/config/Configs.java`).
#[derive(Clone)]
pub struct ClientOptions {
    /// Frame and call limits.
    pub session: SessionOptions,
    /// Bounds of each connection; the idle limit does not apply to clients, heartbeats do.
    pub limits: ConnectionLimits,
    /// Connections to the address; calls go round.
    pub connections: usize,
    /// Connect at the first call instead of at once.
    pub lazy: bool,
    /// A connection must be made within this.
    pub connect_timeout: Duration,
    /// First and largest wait between two attempts; doubled after each failure, with jitter of a half.
    pub reconnect: (Duration, Duration),
    /// A heartbeat is sent after so long without a byte.
    pub heartbeat_interval: Duration,
    /// A heartbeat is lost after so long without its answer.
    pub heartbeat_timeout: Duration,
    /// The connection is closed after so many lost heartbeats in a row.
    pub heartbeat_failures_max: u32,
    /// Speak TLS.
    pub tls: Option<ClientTls>,
    /// What is said on each connection before anything else, within the time that connecting may take.
    pub opening: Option<OpeningFactory>,
    /// Answers requests that the server makes on the connection.
    pub handler: Option<HandlerFactory>,
    /// Is told what becomes of the connections.
    pub events: Option<ClientEvents>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            session: SessionOptions::default(),
            limits: ConnectionLimits {
                idle_timeout: Duration::from_secs(365 * 24 * 3600),
                outbox_bytes_max: 256 << 20,
                ..ConnectionLimits::default()
            },
            connections: 1,
            lazy: false,
            connect_timeout: Duration::from_secs(1),
            reconnect: (Duration::from_millis(50), Duration::from_secs(10)),
            heartbeat_interval: Duration::from_secs(15),
            heartbeat_timeout: Duration::from_secs(1),
            heartbeat_failures_max: 3,
            tls: None,
            opening: None,
            handler: None,
            events: None,
        }
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("session", &self.session)
            .field("limits", &self.limits)
            .field("connections", &self.connections)
            .field("lazy", &self.lazy)
            .field("connect_timeout", &self.connect_timeout)
            .field("reconnect", &self.reconnect)
            .field("heartbeat_interval", &self.heartbeat_interval)
            .field("heartbeat_timeout", &self.heartbeat_timeout)
            .field("heartbeat_failures_max", &self.heartbeat_failures_max)
            .field("tls", &self.tls)
            .field("opening", &self.opening.is_some())
            .field("handler", &self.handler.is_some())
            .field("events", &self.events.is_some())
            .finish()
    }
}

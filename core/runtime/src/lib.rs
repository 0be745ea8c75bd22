//! The real world of Raft groups. A [`Node`] keeps its groups, its connections and its timers on one worker thread, writes
//! its log on a disk thread of its own that syncs once for everything that gathered meanwhile, and keeps snapshots in files.
//! Members speak JRaft's protocol, so that a group may have JRaft's own nodes among them; JRaft's command-line service works
//! against it, and [`CliClient`] is that service's client. Handlers of other requests on the same port get the node and propose, or read behind a barrier.
//! With a cluster token, and with TLS, only those who know or hold it are members.

mod admission;
mod cli;
mod cli_client;
pub mod clock;
mod dial;
mod directory;
mod disk;
mod error;
mod fetch;
mod group;
mod guest;
mod handler;
mod members;
mod metrics;
mod node;
mod peers;
mod service;
mod snapshot;
mod start;
mod stopped;
mod traffic;
mod watch;

pub use admission::{JraftAddress, JraftAddressError};
pub use cli_client::{CliClient, CliError};
pub use dial::NodeTls;
pub use directory::DirectoryError;
pub use diwan_net::TlsError;
pub use diwan_replica::hello::{ClusterToken, TokenError};
pub use error::StartError;
pub use group::GroupOptions;
pub use handler::AppHandler;
pub use metrics::{DiskMetrics, GroupMetrics, HistogramState, NodeMetrics};
pub use node::Node;
pub use service::{ProposeError, ServiceError, ServiceHandler, ServiceReply};
pub use start::{NodeHandle, NodeOptions, random, start};
pub use stopped::{NewSnapshot, Stopped, StoppedLog};

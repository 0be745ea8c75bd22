//! Who publishes what and who wants to know it, as a pure state machine: registrations, ends of connections, acknowledgements and
//! time go in, pushes come out.

mod connection;
mod ids;
mod registry;
mod service;

pub use connection::{ConnectionId, PushId};
pub use ids::{RegistId, ServiceName};
pub use registry::{
    Config, Content, Now, Outgoing, Publication, Refusal, Registry, Setting, Subscription,
};
pub use service::Instances;

//! Who publishes what and who wants to know it, as a pure state machine: registrations, ends of connections, acknowledgements and
//! time go in, pushes come out.

mod connection;
mod ids;
mod instance;
mod nodes;
mod origin;
mod push;
mod registry;
mod service;
mod vanish;

pub use connection::{ConnectionId, PushId};
pub use ids::{RegistId, ServiceName};
pub use nodes::NodeState;
pub use registry::{
    Config, Content, Now, Outgoing, Publication, Refusal, Registry, Setting, Start, Subscription,
    Written,
};
pub use service::Instances;

//! Who publishes what and who wants to know it, as a pure state machine: registrations, ends of connections, acknowledgements and
//! time go in, pushes come out.

mod boundary;
mod connection;
mod control;
mod history;
mod ids;
mod instance;
mod nodes;
mod origin;
mod own;
mod push;
mod registry;
mod service;
mod start;
mod vanish;
mod view;

pub use boundary::{
    Config, Content, Now, Outgoing, Publication, Refusal, Setting, Start, Subscription, Written,
};
pub use connection::{ConnectionId, PushId};
pub use control::{BlackList, ClientsOff, Control, ControlError, GrayOpen, Patterns};
pub use history::PushView;
pub use ids::{RegistId, ServiceName};
pub use nodes::NodeState;
pub use registry::Registry;
pub use service::Instances;
pub use view::{ConnectionView, Counts, InstanceSum, InstanceView, ServiceView, SubscriberView};

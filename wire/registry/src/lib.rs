//! SOFARegistry's messages as they lie in Bolt frames: a frame's class names the message, its serializer byte says whether the
//! content is Hessian (1) or protocol buffers (11). [`Request`] is what clients send, [`Push`] what they are sent, and
//! [`Answer`] what either answers. Framing is `diwan-bolt`'s; what the messages mean is the registry's.
//!
//! Classes and fields: sofastack/sofa-registry:core/src/main/java/com/alipay/sofa/registry/core/model/*.java and
//! server/common/model/src/main/resources/proto/*.proto.

mod codec;
#[doc(hidden)]
pub mod fuzz;
mod message;
pub mod nodes;
mod pb;
mod push;
mod register;
mod version;

pub use codec::{Codec, DecodeError};
pub use message::{Answer, Push, Request};
pub use push::{
    DataBox, MultiReceivedData, MultiSegmentData, ReceivedConfigData, ReceivedData, Zones,
};
pub use register::{
    BaseRegister, ConfiguratorRegister, EventType, PublisherRegister, RegisterResponse, Scope,
    SubscriberRegister, SyncConfigRequest, SyncConfigResponse, SyncResult,
};
pub use version::Version;

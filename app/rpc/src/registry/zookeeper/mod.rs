//! Services in ZooKeeper, where SOFARPC has them unless told otherwise. What is sent when is decided in `state.rs`, without clock
//! and socket; which list consumers see, by the same rules as for any registry.

mod connection;
mod driver;
mod layout;
mod state;
#[cfg(test)]
mod tests;

pub(super) use driver::Driver;
pub use layout::ZooKeeper;
pub(super) use layout::instance;

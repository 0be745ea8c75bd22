//! The engine.
mod status;
pub use status::Status;

//! SOFABolt's frames, versions 1 and 2: pure functions over bytes.
//!
//! [`decode`] looks at the front of a receive buffer and yields a [`Frame`] that borrows from it, or says how many
//! bytes are missing. [`FrameWriter`] appends a frame to a buffer. [`HeaderMap`] reads the key-value header that
//! SOFARPC puts into a frame. Connections, heartbeats and timeouts are not here: see `diwan-net`.

mod decode;
mod frame;
#[doc(hidden)]
pub mod fuzz;
mod header;
mod status;
mod write;

pub use decode::{DecodeError, Decoded, FRAME_BYTES_MAX_DEFAULT, RefusedFrame, decode};
pub use frame::{Command, Frame, Head, Kind, Version};
pub use header::{HeaderError, HeaderMap, write_entry};
pub use status::Status;
pub use write::{FrameTooLarge, FrameWriter};

//! SOFARPC over Bolt: what a request and a response hold, for every codec. Pure functions over bytes.
//!
//! [`Request::read`] yields the names a server dispatches by and leaves a decoder at the arguments;
//! [`write_request`] and the `write_*` functions make frames; [`read_response`] tells a value from an exception from
//! a framework error, as the original separates them.

mod classes;
mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod names;
mod request;
mod response;
mod unique_name;
mod write;

pub use error::{Error, Result};
pub use request::Request;
pub use response::{Answer, read_response};
pub use unique_name::unique_name;
pub use write::{
    RequestHead, write_entries, write_error, write_exception, write_failure, write_message,
    write_request, write_value,
};

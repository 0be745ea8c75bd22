use diwan_bolt::HeaderError;
use thiserror::Error;

/// A SOFARPC frame that cannot be understood.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Error {
    /// The content is broken Hessian, or its types are not the expected ones.
    #[error("content: {0}")]
    Hessian(#[from] diwan_hessian::Error),
    /// The header block is broken.
    #[error("{0}")]
    Header(#[from] HeaderError),
    /// A header entry that is needed is not UTF-8.
    #[error("header entry {0} is not UTF-8")]
    HeaderValue(&'static str),
    /// The class of the frame is not the one its kind has.
    #[error("the frame holds a {found}, not a {expected}")]
    Class {
        /// Class name in the frame.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Something a request cannot do without is missing.
    #[error("the request has no {0}")]
    Missing(&'static str),
    /// A codec that is not spoken here.
    #[error("codec {0} is not supported here")]
    Codec(u8),
    /// The content of a codec other than Hessian is broken.
    #[error("content: {0}")]
    Content(String),
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

//! Messages as Java objects in Hessian 2.0 (Caucho's, the final dialect): a class a message, its fields by name, what is an enum in
//! Java as an object of its class with the constant's `name`.
//! Sources: apache/incubator-seata:serializer/seata-serializer-hessian/,
//! apache/incubator-seata:core/src/main/java/org/apache/seata/core/protocol/.

mod fields;
mod read;
mod write;

use diwan_hessian::Error;
use thiserror::Error;

use crate::binary::MERGED_MAX;

pub(crate) use read::decode;
pub(crate) use write::encode;

/// A body is no message of Java objects.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HessianError {
    /// It is not Hessian.
    #[error(transparent)]
    Value(#[from] Error),
    /// No message is of this class, or not here.
    #[error("byte {offset}: {class} is no message here")]
    Class {
        /// Where the object stands.
        offset: usize,
        /// What it is of; empty if it is null.
        class: String,
    },
    /// No constant has this name.
    #[error("byte {offset}: {constant:?} is no {field}")]
    Constant {
        /// Where the constant ends.
        offset: usize,
        /// What it should be.
        field: &'static str,
        /// What stands there.
        constant: String,
    },
    /// Something is missing.
    #[error("{class} has no {field}")]
    Missing {
        /// Of which message.
        class: String,
        /// What.
        field: &'static str,
    },
    /// Too many messages in one.
    #[error("byte {offset}: more than {MERGED_MAX} messages in one")]
    TooMany {
        /// Where the first one too many stands.
        offset: usize,
    },
    /// A number is too large or too small.
    #[error("byte {offset}: {number} days are none that fit")]
    Days {
        /// Where the number ends.
        offset: usize,
        /// The number.
        number: i32,
    },
}

/// Packages of the classes, after the root.
const PROTOCOL: &str = "core.protocol.";
const TRANSACTION: &str = "core.protocol.transaction.";

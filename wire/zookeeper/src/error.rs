use std::fmt;

use thiserror::Error;

/// Why bytes are no packet. Offsets count from the beginning of the packet, behind its length.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end too soon.
    #[error("{needed} bytes are needed at byte {offset}, {left} are left")]
    Truncated {
        /// Where.
        offset: usize,
        /// So many for what stands there.
        needed: usize,
        /// So many are there.
        left: usize,
    },
    /// A length that is negative or above what is allowed.
    #[error("the length {length} at byte {offset} is not within 0 and {limit}")]
    Length {
        /// Where.
        offset: usize,
        /// What stands there.
        length: i32,
        /// The most that is taken.
        limit: usize,
    },
    /// A boolean that is neither 0 nor 1.
    #[error("byte {offset} is {value}, neither false nor true")]
    Bool {
        /// Where.
        offset: usize,
        /// What stands there.
        value: u8,
    },
    /// A text that is not in UTF-8.
    #[error("the text at byte {offset} is not UTF-8")]
    Text {
        /// Where the text begins.
        offset: usize,
    },
    /// A request of a kind that is not known here.
    #[error("the operation {code} is not known")]
    Operation {
        /// Its number.
        code: i32,
    },
    /// More bytes than the record has.
    #[error("{left} bytes too many from byte {offset} on")]
    Trailing {
        /// Where the record ends.
        offset: usize,
        /// How many are left.
        left: usize,
    },
}

/// What a server answers instead of a result; zero is success (`KeeperException.Code`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub i32);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            fn text(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// Success.
    OK = 0, "ok";
    /// The server does not know the operation.
    UNIMPLEMENTED = -6, "not implemented";
    /// A path or a flag is not acceptable.
    BAD_ARGUMENTS = -8, "bad arguments";
    /// There is no such node, or the parent of a new one is missing.
    NO_NODE = -101, "no such node";
    /// The session may not do that.
    NO_AUTH = -102, "not permitted";
    /// A node that lives with its session can have no children.
    NO_CHILDREN_FOR_EPHEMERALS = -108, "the parent is ephemeral";
    /// There is such a node already.
    NODE_EXISTS = -110, "the node exists";
    /// A node with children cannot be deleted.
    NOT_EMPTY = -111, "the node has children";
    /// The server has forgotten the session.
    SESSION_EXPIRED = -112, "the session has expired";
    /// The access list of a new node is not acceptable.
    INVALID_ACL = -114, "invalid access list";
    /// The session is at another server.
    SESSION_MOVED = -118, "the session has moved";
    /// The server is too busy.
    THROTTLED = -127, "too many requests";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => write!(f, "{text} ({})", self.0),
            None => write!(f, "error {}", self.0),
        }
    }
}

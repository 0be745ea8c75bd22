//! What went wrong: in a participant, on the way to it, or in the engine.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// An exception as Java's clients know them: machines name them by their classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// The class's full name.
    pub class: Arc<str>,
    /// Its superclasses, as far as the participant told them and Java's library does not define them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<Arc<str>>,
    /// For people.
    pub message: String,
    /// Whether the call may have been carried out.
    pub kind: Kind,
    /// What the engine found, if it is the engine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
}

/// Whether a call that failed may have been carried out (`ExceptionUtils.java`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The participant threw it.
    Business,
    /// There was no connection: the call was not carried out.
    Connect,
    /// A connection took too long: the call was not carried out.
    ConnectTimeout,
    /// No answer, or a connection that broke: nobody knows.
    ReadTimeout,
}

/// What the engine found (`FrameworkErrorCode.java`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Code {
    /// The saga took longer than it may.
    Timeout,
    /// No choice holds, and there is no default.
    NoChoiceMatched,
    /// No rule about the status holds.
    NoMatchedStatus,
    /// Input, Output, Status, a choice or a loop's condition cannot be evaluated.
    VariablesAssign,
    /// A state that changed something cannot be compensated.
    CompensationNotFound,
    /// A sub-machine cannot be started or operated on.
    SubMachine,
    /// A bound of [`super::Config`] is reached.
    TooLarge,
}

const ENGINE: &str = "org.apache.seata.saga.engine.exception.EngineExecutionException";

/// Superclasses of Java's and of Seata's.
const PARENTS: &[(&str, &str)] = &[
    (
        "org.apache.seata.saga.engine.exception.ForwardInvalidException",
        ENGINE,
    ),
    (
        ENGINE,
        "org.apache.seata.common.exception.FrameworkException",
    ),
    (
        "org.apache.seata.common.exception.FrameworkException",
        "java.lang.RuntimeException",
    ),
    ("java.lang.RuntimeException", "java.lang.Exception"),
    (
        "java.lang.IllegalStateException",
        "java.lang.RuntimeException",
    ),
    (
        "java.lang.IllegalArgumentException",
        "java.lang.RuntimeException",
    ),
    (
        "java.lang.NumberFormatException",
        "java.lang.IllegalArgumentException",
    ),
    (
        "java.lang.NullPointerException",
        "java.lang.RuntimeException",
    ),
    (
        "java.lang.ArithmeticException",
        "java.lang.RuntimeException",
    ),
    ("java.lang.ClassCastException", "java.lang.RuntimeException"),
    (
        "java.lang.UnsupportedOperationException",
        "java.lang.RuntimeException",
    ),
    (
        "java.lang.IndexOutOfBoundsException",
        "java.lang.RuntimeException",
    ),
    ("java.net.ConnectException", "java.net.SocketException"),
    ("java.net.SocketException", "java.io.IOException"),
    (
        "java.net.SocketTimeoutException",
        "java.io.InterruptedIOException",
    ),
    ("java.io.InterruptedIOException", "java.io.IOException"),
    ("java.io.IOException", "java.lang.Exception"),
    (
        "java.util.concurrent.TimeoutException",
        "java.lang.Exception",
    ),
];

impl Exception {
    /// What a participant threw.
    #[must_use]
    pub fn business(class: &str, message: impl Into<String>) -> Self {
        Self {
            class: class.into(),
            ancestors: Vec::new(),
            message: message.into(),
            kind: Kind::Business,
            code: None,
        }
    }

    /// No answer came in time.
    #[must_use]
    pub fn no_answer() -> Self {
        Self {
            kind: Kind::ReadTimeout,
            ..Self::business("java.net.SocketTimeoutException", "Read timed out")
        }
    }

    pub(super) fn engine(code: Code, message: impl Into<String>) -> Self {
        Self {
            code: Some(code),
            ..Self::business(ENGINE, message)
        }
    }

    /// Whether it is of a class, or of one below it. Of a class that nobody told the superclasses of, it is one of
    /// `java.lang.Exception`.
    #[must_use]
    pub fn is_a(&self, class: &str) -> bool {
        if class == "java.lang.Throwable" || *self.class == *class {
            return true;
        }
        let known = std::iter::once(&self.class).chain(&self.ancestors);
        let mut is_error = false;
        for start in known {
            let mut at: &str = start;
            while at != class {
                is_error |= at == "java.lang.Error"
                    || at.starts_with("java.lang.") && at.ends_with("Error");
                match PARENTS.iter().find(|(child, _)| *child == at) {
                    Some((_, parent)) => at = parent,
                    None => break,
                }
            }
            if at == class {
                return true;
            }
        }
        class == "java.lang.Exception" && !is_error
    }

    /// Whether the network is to blame.
    #[must_use]
    pub fn is_of_network(&self) -> bool {
        self.kind != Kind::Business
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message)
    }
}

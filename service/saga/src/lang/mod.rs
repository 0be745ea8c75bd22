//! Seata's state language: text in, a checked and compiled [`Machine`] out, or a [`LoadError`] that says where.

mod attributes;
mod designer;
mod fork;
mod keys;
mod machine;
mod parallel;
mod parse;
mod place;
mod rules;
mod state;
mod task;

pub(crate) use designer::as_plain;
pub use machine::{
    Catch, Choice, Digest, Fork, Loop, Machine, Money, Recover, Retry, Script, Service, State,
    StateId, StateKind, StatusRule, StatusWhen, Task, Work,
};
pub use parse::{load, load_named};
pub use place::{Path, Place};
pub(crate) use rules::successors;

/// The largest machine that is read.
pub const MACHINE_BYTES_MAX: usize = 1 << 20;
/// The states of one machine.
pub const STATES_MAX: usize = 4_096;

/// Why a machine is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct LoadError {
    /// Where: file, line, column and path, as far as they are known.
    pub place: Place,
    /// What is wrong.
    pub what: Box<Fault>,
}

/// What is wrong with a machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The text is larger than [`MACHINE_BYTES_MAX`].
    #[error("the machine has {0} bytes; {max} are allowed", max = MACHINE_BYTES_MAX)]
    TooLarge(usize),
    /// More states than [`STATES_MAX`].
    #[error("the machine has {0} states; {max} are allowed", max = STATES_MAX)]
    TooManyStates(usize),
    /// Not JSON at all.
    #[error("not JSON: {0}")]
    Json(String),
    /// An attribute that must be there is not.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// An attribute has another type than the language says.
    #[error("expected {expected}, found {found}")]
    Type {
        /// What the language says.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// An attribute has a value that means nothing.
    #[error("`{value}` is not {expected}")]
    Value {
        /// What is there.
        value: String,
        /// What could be there.
        expected: &'static str,
    },
    /// A state of a type that the language does not have.
    #[error("state type `{0}` is not supported")]
    StateType(String),
    /// Part of the language, but not of this engine yet.
    #[error("`{0}` is not supported by this engine yet")]
    Unsupported(String),
    /// Seata's rule StateNameExists, and the same for names that it does not look at.
    #[error("state `{0}` does not exist")]
    NoSuchState(String),
    /// Seata's rule FiniteTermination.
    #[error("the states {0:?} lead only to each other: there is no way to an end")]
    Endless(Vec<String>),
    /// Seata's rule NoRecursiveSubStateMachine.
    #[error("the machine calls itself")]
    Recursive,
    /// An expression that cannot be read.
    #[error("expression `{text}`: {why}")]
    Expression {
        /// As it stands in the machine.
        text: String,
        /// What is wrong with it.
        why: crate::expr::ParseError,
    },
    /// A script that cannot be translated.
    #[error("script: {0}")]
    Script(String),
    /// A fork whose branches do not meet.
    #[error("fork: {0}")]
    Fork(String),
    /// A designer's drawing that does not mean a machine.
    #[error("designer format: {0}")]
    Designer(String),
}

/// Something that loads, although it may not mean what its author thinks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct Warning {
    /// Where.
    pub place: Place,
    /// What.
    pub what: Doubt,
}

/// What is doubtful about a machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// Seata ignores a key that it does not know, silently.
    #[error("unknown key `{key}` is ignored{}", nearest.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default())]
    UnknownKey {
        /// The key.
        key: String,
        /// A known one that is written nearly the same.
        nearest: Option<&'static str>,
    },
    /// A key stands twice; the last one counts.
    #[error("key `{0}` stands twice; the last one counts")]
    DuplicateKey(String),
    /// A compensation that there is not; whatever needs it cannot be compensated.
    #[error("state `{0}` does not exist: what it should compensate cannot be compensated")]
    NoSuchState(String),
    /// Seata's engine refuses this.
    #[error("Seata does not accept this: {0}")]
    NotSeata(&'static str),
    /// It means something else than it looks like.
    #[error("{0}")]
    Misleading(&'static str),
}

//! What can be wrong with bytes. Writing cannot fail.

/// Result of reading.
pub type Result<T> = std::result::Result<T, Error>;

/// Why bytes could not be read. Every variant carries the offset of the byte that was wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
// A whole word as tag keeps the fields aligned: results are moved word by word, which reading feels (5 %).
#[repr(u64)]
pub enum Error {
    /// The input ended inside a value.
    #[error("input ends at byte {offset}, {needed} more needed")]
    Eof {
        /// Where the input was expected to go on.
        offset: usize,
        /// Bytes missing at least.
        needed: usize,
    },
    /// A tag that does not start what was expected.
    #[error("byte {offset}: tag 0x{tag:02x} where {expected} was expected")]
    Tag {
        /// Where the tag is.
        offset: usize,
        /// The tag.
        tag: u8,
        /// What would have been right.
        expected: &'static str,
    },
    /// A negative length, or one that the bytes left cannot hold.
    #[error("byte {offset}: length {length} with {left} bytes left")]
    Length {
        /// Where the length is.
        offset: usize,
        /// The declared length.
        length: i64,
        /// Bytes left in the input.
        left: usize,
    },
    /// A string that is not UTF-8 or CESU-8.
    #[error("byte {offset}: string is not UTF-8")]
    Utf8 {
        /// Where the bad sequence is.
        offset: usize,
    },
    /// A lone surrogate where Rust text or a name was wanted (only [`Value`](crate::Value) keeps those).
    #[error("byte {offset}: lone surrogate in a string; read it as a Value to keep it")]
    Surrogate {
        /// Where the string is.
        offset: usize,
    },
    /// A name written in several chunks: no Java class or field needs more than one.
    #[error("byte {offset}: class or field name in more than one chunk")]
    Name {
        /// Where the name is.
        offset: usize,
    },
    /// An object of a class that was not defined before.
    #[error("byte {offset}: object of class number {index}, {count} are defined")]
    ClassIndex {
        /// Where the object is.
        offset: usize,
        /// The number used.
        index: i64,
        /// Classes defined so far.
        count: usize,
    },
    /// A type reference to a type that was not named before.
    #[error("byte {offset}: type number {index}, {count} are known")]
    TypeIndex {
        /// Where the reference is.
        offset: usize,
        /// The number used.
        index: i64,
        /// Types named so far.
        count: usize,
    },
    /// A back reference to a container that was not read before.
    #[error("byte {offset}: reference to container {index}, {count} were read")]
    Reference {
        /// Where the reference is.
        offset: usize,
        /// The number used.
        index: i64,
        /// Containers so far.
        count: usize,
    },
    /// A back reference to a container that is still being read, where only `Value` and `Shared` can hold a cycle.
    #[error(
        "byte {offset}: cycle through the container at byte {target}; read it as Value or Shared"
    )]
    Cycle {
        /// Where the reference is.
        offset: usize,
        /// Where the container starts.
        target: usize,
    },
    /// An object of another class than the Rust type stands for.
    #[error("byte {offset}: class {found} where {expected} was expected")]
    Class {
        /// Where the object is.
        offset: usize,
        /// The class (or classes) of the Rust type.
        expected: &'static str,
        /// The class found.
        found: Box<str>,
    },
    /// A class name on the deny list.
    #[error("byte {offset}: class {class} is denied")]
    Denied {
        /// Where the name is.
        offset: usize,
        /// The name.
        class: Box<str>,
    },
    /// Containers nested too deep.
    #[error("byte {offset}: nested deeper than {depth_max}")]
    Depth {
        /// Where the container starts.
        offset: usize,
        /// [`Limits::depth_max`](crate::Limits::depth_max).
        depth_max: u32,
    },
    /// Too many elements, counting those read again through back references.
    #[error("byte {offset}: more than {elements_max} elements")]
    Elements {
        /// Where the budget ran out.
        offset: usize,
        /// [`Limits::elements_max`](crate::Limits::elements_max).
        elements_max: u32,
    },
    /// A number that the wanted type cannot hold without loss.
    #[error("byte {offset}: number does not fit {wanted}")]
    Range {
        /// Where the number is.
        offset: usize,
        /// The wanted type.
        wanted: &'static str,
    },
    /// Null where the Rust type has no value for it.
    #[error("byte {offset}: null where {expected} was expected; make the field an Option")]
    Null {
        /// Where the null is.
        offset: usize,
        /// The Rust type's class.
        expected: &'static str,
    },
    /// A field that is missing and whose type has no default.
    #[error("byte {offset}: {class} without field {field}, which has no default")]
    Missing {
        /// Where the object ended.
        offset: usize,
        /// The class.
        class: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A value of the right shape and the wrong content: an unknown enum constant, a date that does not exist.
    #[error("byte {offset}: {text:?} is no {wanted}")]
    Invalid {
        /// Where the value is.
        offset: usize,
        /// What it should have been.
        wanted: &'static str,
        /// What it was.
        text: Box<str>,
    },
}

impl Error {
    /// Offset of the byte that was wrong, counted from the start of the decoder's input.
    pub fn offset(&self) -> usize {
        match *self {
            Error::Eof { offset, .. }
            | Error::Tag { offset, .. }
            | Error::Length { offset, .. }
            | Error::Utf8 { offset }
            | Error::Surrogate { offset }
            | Error::Name { offset }
            | Error::ClassIndex { offset, .. }
            | Error::TypeIndex { offset, .. }
            | Error::Reference { offset, .. }
            | Error::Cycle { offset, .. }
            | Error::Class { offset, .. }
            | Error::Denied { offset, .. }
            | Error::Depth { offset, .. }
            | Error::Elements { offset, .. }
            | Error::Range { offset, .. }
            | Error::Null { offset, .. }
            | Error::Missing { offset, .. }
            | Error::Invalid { offset, .. } => offset,
        }
    }
}

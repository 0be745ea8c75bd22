//! Reading: a cursor over one body that never copies what it can lend.

mod container;
mod deny;
mod object;
mod reference;
mod scalar;
mod skip;
mod text;
mod walk;

use ascii::AsciiChar;
use smallvec::SmallVec;

pub use container::{ListHead, MapHead};
pub use deny::DenyList;
pub use object::{Found, ObjectHead};
pub(crate) use object::{Names, name_text};
pub(crate) use scalar::Number;
pub(crate) use text::Text;
pub(crate) use walk::Walk;

use crate::dialect::Dialect;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::value::new_id;
use object::ClassSlot;
use reference::{ContainerSlot, SharedTable};

/// Reads values of one body, in order.
///
/// Nothing is allocated for up to eight classes, eight type names and sixteen containers. A reader that gives up half
/// way through a value simply drops the decoder.
pub struct Decoder<'de> {
    input: &'de [u8],
    position: usize,
    dialect: Option<Dialect>,
    limits: Limits,
    depth: u32,
    elements_left: u32,
    /// Back references that are being read again from where their container stands: nothing is numbered meanwhile.
    replays: u32,
    classes: SmallVec<[ClassSlot<'de>; 8]>,
    /// Field names of the classes read, one after the other.
    fields: SmallVec<[&'de [u8]; 32]>,
    types: SmallVec<[&'de [u8]; 8]>,
    containers: SmallVec<[ContainerSlot; 16]>,
    shared: SharedTable,
    denied: Option<&'de DenyList>,
    /// Whether a class or field name has surrogates, so that its bytes are not UTF-8.
    surrogate_names: bool,
    /// Id of the arenas of the `Value`s read, zero as long as there are none.
    body_id: u64,
    /// A run of ASCII found in the input, and where it starts.
    ascii: &'de [AsciiChar],
    ascii_start: usize,
}

/// A value that can be read.
pub trait Decode<'de>: Sized {
    /// Reads one value.
    fn decode(d: &mut Decoder<'de>) -> Result<Self>;

    /// The value of a field that the sender's class does not have. `None` leaves it to `Default`.
    fn absent() -> Option<Self> {
        None
    }
}

impl<'de> Decoder<'de> {
    /// A reader of a body whose dialect its first distinguishing tag settles, with the default limits.
    #[inline]
    pub fn new(input: &'de [u8]) -> Self {
        Self::with(input, None, Limits::default())
    }

    /// A reader of a body in `dialect`; what [`dialect`](Self::dialect) said after an earlier body of the same
    /// connection belongs here.
    #[inline]
    pub fn with(input: &'de [u8], dialect: Option<Dialect>, limits: Limits) -> Self {
        Decoder {
            input,
            position: 0,
            dialect,
            limits,
            depth: 0,
            elements_left: limits.elements_max,
            replays: 0,
            classes: SmallVec::new(),
            fields: SmallVec::new(),
            types: SmallVec::new(),
            containers: SmallVec::new(),
            shared: SharedTable::default(),
            denied: None,
            surrogate_names: false,
            body_id: 0,
            ascii: &[],
            ascii_start: 0,
        }
    }

    /// Refuses the classes of `denied` wherever they are named: for relays in front of readers that would construct them.
    pub fn deny(&mut self, denied: &'de DenyList) {
        self.denied = Some(denied);
    }

    /// The dialect, once it was given or a tag told it.
    #[inline]
    pub fn dialect(&self) -> Option<Dialect> {
        self.dialect
    }

    /// Id of the arenas of the `Value`s read.
    pub(crate) fn body_id(&mut self) -> u64 {
        if self.body_id == 0 {
            self.body_id = new_id();
        }
        self.body_id
    }

    /// Whether the bytes of some class or field name are not UTF-8.
    pub(crate) fn has_surrogate_names(&self) -> bool {
        self.surrogate_names
    }

    /// Bytes read so far.
    #[inline]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Whether the whole input was read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.position >= self.input.len()
    }

    /// Reads one value of any type: `d.get::<T>()` is `T::decode(&mut d)`.
    #[inline]
    pub fn get<T: Decode<'de>>(&mut self) -> Result<T> {
        T::decode(self)
    }

    /// Consumes a null if it is next.
    #[inline]
    pub fn take_null(&mut self) -> Result<bool> {
        let null = self.peek()? == crate::dialect::tag::NULL;
        self.position += usize::from(null);
        Ok(null)
    }

    /// The next byte, left in place.
    #[inline]
    pub(crate) fn peek(&self) -> Result<u8> {
        match self.input.get(self.position) {
            Some(&byte) => Ok(byte),
            None => Err(self.eof(1)),
        }
    }

    /// The next byte.
    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8> {
        let byte = self.peek()?;
        self.position += 1;
        Ok(byte)
    }

    /// The next `len` bytes.
    #[inline]
    fn take(&mut self, len: usize) -> Result<&'de [u8]> {
        match self
            .input
            .get(self.position..)
            .and_then(|left| left.get(..len))
        {
            Some(bytes) => {
                self.position += len;
                Ok(bytes)
            }
            None => Err(self.eof(len - self.left().min(len))),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self
            .input
            .get(self.position..)
            .and_then(|left| left.first_chunk::<N>())
        {
            Some(bytes) => {
                self.position += N;
                Ok(*bytes)
            }
            None => Err(self.eof(N - self.left().min(N))),
        }
    }

    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.input.len().saturating_sub(self.position)
    }

    #[cold]
    fn eof(&self, needed: usize) -> Error {
        Error::Eof {
            offset: self.input.len(),
            needed,
        }
    }

    /// An error about the tag just read.
    #[cold]
    fn unexpected(&self, expected: &'static str) -> Error {
        let offset = self.position - 1;
        Error::Tag {
            offset,
            tag: self.input[offset],
            expected,
        }
    }

    /// The dialect a tag just read is to be understood in; settles it when the tag tells. Undecided means draft.
    #[inline]
    fn settle(&mut self, tag: u8) -> Dialect {
        match self.dialect {
            Some(dialect) => dialect,
            None => self.settle_first(tag),
        }
    }

    #[cold]
    fn settle_first(&mut self, tag: u8) -> Dialect {
        self.dialect = Dialect::of_first_tag(tag, self.input.get(self.position).copied());
        self.dialect.unwrap_or(Dialect::Draft)
    }

    /// Takes what a `T` costs beyond an element from the budget: a byte of input may become a large struct.
    #[inline]
    pub(crate) fn charge_size<T>(&mut self) -> Result<()> {
        let extra = const { size_of::<T>() / 32 };
        if extra > 0 {
            self.charge(extra)
        } else {
            Ok(())
        }
    }

    /// Takes `count` from the element budget.
    #[inline]
    pub(crate) fn charge(&mut self, count: usize) -> Result<()> {
        match u32::try_from(count)
            .ok()
            .and_then(|count| self.elements_left.checked_sub(count))
        {
            Some(left) => {
                self.elements_left = left;
                Ok(())
            }
            None => Err(Error::Elements {
                offset: self.position,
                elements_max: self.limits.elements_max,
            }),
        }
    }

    /// Strings and bytes cost extra while they are read again: the input's length does not bound them then.
    #[inline]
    fn charge_replayed(&mut self, bytes: usize) -> Result<()> {
        if self.replays > 0 {
            self.charge(1 + bytes / 8)
        } else {
            Ok(())
        }
    }
}

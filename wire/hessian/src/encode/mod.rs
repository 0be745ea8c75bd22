//! Writing: appends values to the caller's buffer in the forms the Java writers pick.

mod container;
mod scalar;
mod shared;
mod text;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::class::Class;
use crate::dialect::Dialect;
use crate::value::Written;

/// Writes values of one body: class definitions, type names and reference numbers are shared between them.
///
/// Nothing is allocated for up to eight classes, eight type names and sixteen open lists.
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    dialect: Dialect,
    /// Number of the next list, map or object.
    next_reference: u32,
    classes: SmallVec<[ClassSlot; 8]>,
    /// Where in `out` the type names stand that may be referred to.
    types: SmallVec<[Span; 8]>,
    /// For each open list whether it ends with an end tag.
    lists: SmallVec<[bool; 16]>,
    /// What few bodies need, on the heap once it is needed.
    rare: Option<Box<Rare>>,
}

#[derive(Default)]
struct Rare {
    /// Numbers of class definitions and type names by their bytes, once they are too many to search one by one.
    class_numbers: BTreeMap<Box<[u8]>, u32>,
    type_numbers: BTreeMap<Box<[u8]>, u32>,
    /// Numbers of the `Shared` containers written, by address; the handle keeps the address from being used again.
    shared: BTreeMap<usize, (u32, Arc<dyn Any + Send + Sync>)>,
    /// What was written of the arenas of `Value`s, by arena.
    written: BTreeMap<u64, Written>,
}

/// A class definition that was written.
#[derive(Clone, Copy)]
struct ClassSlot {
    /// The static class it came from, compared by address first.
    class: Option<&'static Class>,
    /// Its bytes in `out`, without the leading tag: the same bytes are the same class.
    definition: Span,
}

/// A range of the output.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
}

/// Classes and types that are searched one by one. What has more was read from somewhere and may be meant to be slow.
const SEARCHED_MAX: usize = 16;

/// A value that can be written. Writing cannot fail.
pub trait Encode {
    /// Appends the value.
    fn encode(&self, e: &mut Encoder<'_>);
}

impl<'a> Encoder<'a> {
    /// A writer of one body that appends to `out`.
    #[inline]
    pub fn new(dialect: Dialect, out: &'a mut Vec<u8>) -> Self {
        Encoder {
            out,
            dialect,
            next_reference: 0,
            classes: SmallVec::new(),
            types: SmallVec::new(),
            lists: SmallVec::new(),
            rare: None,
        }
    }

    /// The dialect that is written.
    #[inline]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Appends a value: `e.value(&x)` is `x.encode(&mut e)`.
    #[inline]
    pub fn value<T: Encode + ?Sized>(&mut self, value: &T) {
        value.encode(self);
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    #[inline]
    fn is_draft(&self) -> bool {
        self.dialect == Dialect::Draft
    }
}

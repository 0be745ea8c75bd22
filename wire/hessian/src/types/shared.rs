//! Identity: one object that several fields, or the object itself, refer to.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock, Weak};

use crate::decode::{Decode, Decoder};
use crate::encode::{Encode, Encoder};
use crate::error::{Error, Result};
use crate::java_type::JavaType;

/// A value with Java's object identity: written once and referred to afterwards, read as one value however many
/// references lead to it.
///
/// A reference read while its target is still open (a child's `parent`) becomes weak, any other one strong. Strong
/// edges so lead only to values finished earlier, and no cycle keeps itself alive.
pub struct Shared<T>(Edge<T>);

/// The cell is empty only while its value is being read.
enum Edge<T> {
    Strong(Arc<OnceLock<T>>),
    Weak(Weak<OnceLock<T>>),
}

/// A live value of a [`Shared`].
pub struct SharedRef<T>(Arc<OnceLock<T>>);

impl<T> Shared<T> {
    /// A value of its own.
    pub fn new(value: T) -> Self {
        Shared(Edge::Strong(Arc::new(OnceLock::from(value))))
    }

    /// A value that can refer to itself: `make` gets a weak reference to what it is about to return.
    pub fn new_cyclic(make: impl FnOnce(Shared<T>) -> T) -> Self {
        let cell = Arc::new(OnceLock::new());
        let value = make(Shared(Edge::Weak(Arc::downgrade(&cell))));
        // The cell is new: nobody else has set it.
        let _ = cell.set(value);
        Shared(Edge::Strong(cell))
    }

    /// The value; `None` if this is a weak edge whose target is gone or not finished.
    pub fn get(&self) -> Option<SharedRef<T>> {
        let cell = self.cell()?;
        cell.get()?;
        Some(SharedRef(cell))
    }

    /// A weak edge to the same value.
    pub fn downgrade(&self) -> Self {
        match &self.0 {
            Edge::Strong(cell) => Shared(Edge::Weak(Arc::downgrade(cell))),
            Edge::Weak(cell) => Shared(Edge::Weak(cell.clone())),
        }
    }

    /// Whether this edge alone does not keep the value alive.
    pub fn is_weak(&self) -> bool {
        matches!(self.0, Edge::Weak(_))
    }

    /// Whether both lead to one value.
    pub fn ptr_eq(&self, other: &Self) -> bool {
        match (self.cell(), other.cell()) {
            (Some(a), Some(b)) => Arc::ptr_eq(&a, &b),
            _ => false,
        }
    }

    fn cell(&self) -> Option<Arc<OnceLock<T>>> {
        match &self.0 {
            Edge::Strong(cell) => Some(cell.clone()),
            Edge::Weak(cell) => cell.upgrade(),
        }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        match &self.0 {
            Edge::Strong(cell) => Shared(Edge::Strong(cell.clone())),
            Edge::Weak(cell) => Shared(Edge::Weak(cell.clone())),
        }
    }
}

impl<T> Deref for SharedRef<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0
            .get()
            .expect("Shared::get checked that the cell is set")
    }
}

/// A weak edge prints as `Shared(..)`: its target may be the value that is being printed.
impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Edge::Strong(cell) => f.debug_tuple("Shared").field(&cell.get()).finish(),
            Edge::Weak(_) => f.write_str("Shared(..)"),
        }
    }
}

/// A dangling weak edge is null.
impl<T: Encode + Send + Sync + 'static> Encode for Shared<T> {
    fn encode(&self, e: &mut Encoder<'_>) {
        match self.cell() {
            Some(cell) if cell.get().is_some() => e.shared(&cell, |e| {
                if let Some(value) = cell.get() {
                    value.encode(e);
                }
            }),
            _ => e.null(),
        }
    }
}

impl<'de, T: Decode<'de> + Send + Sync + 'static> Decode<'de> for Shared<T> {
    fn decode(d: &mut Decoder<'de>) -> Result<Self> {
        let start = d.position();
        if let Some(number) = d.take_reference()? {
            if let Some(edge) = known(d, number) {
                return Ok(edge);
            }
            // Read before as another type: read it again as this one.
            d.rewind(start);
            return read(d, number);
        }
        let number = d.next_number()?;
        read(d, number)
    }

    fn absent() -> Option<Self> {
        T::absent().map(Shared::new)
    }
}

/// The value container `number` became, if it became one of this type.
fn known<T: Send + Sync + 'static>(d: &Decoder<'_>, number: u32) -> Option<Shared<T>> {
    let cell = d.shared(number)?.clone().downcast::<OnceLock<T>>().ok()?;
    Some(Shared(if d.is_open(number) {
        Edge::Weak(Arc::downgrade(&cell))
    } else {
        Edge::Strong(cell)
    }))
}

/// Reads the value that will be container `number`, if it is a container.
fn read<'de, T: Decode<'de> + Send + Sync + 'static>(
    d: &mut Decoder<'de>,
    number: u32,
) -> Result<Shared<T>> {
    let cell: Arc<OnceLock<T>> = Arc::default();
    let erased: Arc<dyn Any + Send + Sync> = cell.clone();
    let replaced = d.set_shared(number, Some(erased));
    let offset = d.position();
    let value = T::decode(d)?;
    if !d.was_begun(number) {
        d.set_shared(number, replaced);
    }
    match cell.set(value) {
        Ok(()) => Ok(Shared(Edge::Strong(cell))),
        // The cell is new and only this function sets it.
        Err(_) => Err(Error::Cycle {
            offset,
            target: offset,
        }),
    }
}

impl<T: JavaType> JavaType for Shared<T> {
    fn java_type() -> Cow<'static, str> {
        T::java_type()
    }

    fn java_boxed() -> Cow<'static, str> {
        T::java_boxed()
    }
}

//! What code made by `#[derive(Hessian)]` calls. No part of the API.

use std::marker::PhantomData;

pub use crate::class::{Class, Typed, concat_names, definition, definition_len};
pub use crate::decode::Found;
pub use crate::types::{read_cause, write_head, write_tail};
use crate::{Decode, Decoder, Encoder, Error, MapHead, ObjectHead, Result};

/// The fields of a derived struct, own and inherited, in the order of Java's draft writer: first those that are
/// primitive or of `java.lang`, then the others, each the subclass before the superclass
/// (`sofastack/sofa-hessian@3.x:JavaSerializer.introspect`).
pub trait Fields {
    /// Names of the first group.
    const SIMPLE: &'static [&'static str];
    /// Names of the second group.
    const COMPOUND: &'static [&'static str];
    /// The fields while they are read.
    type Slots: Default;

    /// Writes the first group; the object is container `number`.
    fn encode_simple(&self, e: &mut Encoder<'_>, number: u32);
    /// Writes the second group.
    fn encode_compound(&self, e: &mut Encoder<'_>);
}

/// Reading the fields of a derived struct by name.
pub trait ReadFields<'de>: Fields + Sized {
    /// Reads the value of the field `name` of container `number` if it is one that is still missing.
    fn read_field(
        slots: &mut Self::Slots,
        name: &[u8],
        guess: &mut usize,
        d: &mut Decoder<'de>,
        number: u32,
    ) -> Result<bool>;
    /// Makes the struct of what was read.
    fn finish(slots: Self::Slots, d: &Decoder<'de>) -> Result<Self>;
}

/// Whether a type stands for a class, for enums that dispatch by class name.
pub trait Accepts {
    /// Whether it does.
    fn accepts(class: &str) -> bool;
}

impl<T: Accepts> Accepts for Box<T> {
    fn accepts(class: &str) -> bool {
        T::accepts(class)
    }
}

impl<T: Accepts> Accepts for crate::Shared<T> {
    fn accepts(class: &str) -> bool {
        T::accepts(class)
    }
}

/// Reads an object field by field, whatever order they come in.
pub fn read_fields<'de, T: ReadFields<'de>>(d: &mut Decoder<'de>, head: ObjectHead) -> Result<T> {
    let mut slots = T::Slots::default();
    let mut guess = 0;
    for index in 0..d.field_count(head) {
        let name = d.field_bytes(head, index);
        if !T::read_field(&mut slots, name, &mut guess, d, head.number())? {
            d.skip()?;
        }
    }
    d.object_end(head)?;
    T::finish(slots, d)
}

/// Reads the entries of a map that stands for an object. A key that is no field's name is passed over with its value, as
/// Java does (`sofa-hessian@3.x:JavaDeserializer.readMap`).
#[cold]
pub fn read_entries<'de, T: ReadFields<'de>>(
    d: &mut Decoder<'de>,
    mut head: MapHead<'de>,
) -> Result<T> {
    let mut slots = T::Slots::default();
    let mut guess = 0;
    while d.map_more(&mut head)? {
        let name = d.text_or_skip()?;
        let is_read = match &name {
            Some(name) => T::read_field(&mut slots, name.as_bytes(), &mut guess, d, head.number())?,
            None => false,
        };
        if !is_read {
            d.skip()?;
        }
    }
    T::finish(slots, d)
}

/// Which of `names` a field is; the one behind the last one found is tried first.
#[inline]
pub fn find(names: &[&str], field: &[u8], guess: &mut usize) -> Option<usize> {
    let found = match names.get(*guess) {
        Some(name) if name.as_bytes() == field => *guess,
        _ => names.iter().position(|name| name.as_bytes() == field)?,
    };
    *guess = found + 1;
    Some(found)
}

/// Picks `Default` for a missing field if the type has it: as a method found on `Absent<T>` itself before the one on
/// a reference to it.
pub struct Absent<T>(PhantomData<T>);

impl<T> Absent<T> {
    /// For fields of type `T`.
    #[expect(
        clippy::new_without_default,
        reason = "Default is what this type is about"
    )]
    pub fn new() -> Self {
        Absent(PhantomData)
    }
}

/// The better candidate.
pub trait AbsentDefault<T> {
    /// The default.
    fn fallback(&self) -> Option<T>;
}

impl<T: Default> AbsentDefault<T> for Absent<T> {
    fn fallback(&self) -> Option<T> {
        Some(T::default())
    }
}

/// The candidate for types without a default.
pub trait AbsentNone<T> {
    /// None.
    fn fallback(&self) -> Option<T>;
}

impl<T> AbsentNone<T> for &Absent<T> {
    fn fallback(&self) -> Option<T> {
        None
    }
}

/// A field that was not sent.
#[cold]
pub fn missing<'de, T: Decode<'de>>(
    d: &Decoder<'de>,
    fallback: impl FnOnce() -> Option<T>,
    class: &'static str,
    field: &'static str,
) -> Result<T> {
    T::absent().or_else(fallback).ok_or(Error::Missing {
        offset: d.position(),
        class,
        field,
    })
}

/// Null where a struct was expected.
#[cold]
pub fn null(offset: usize, expected: &'static str) -> Error {
    Error::Null { offset, expected }
}

/// Number of the next container.
pub fn next_number(e: &Encoder<'_>) -> u32 {
    e.next_reference()
}

/// Writes an enum constant: an object with its name (`EnumSerializer`).
pub fn write_constant(e: &mut Encoder<'_>, typed: &'static Typed, name: &str) {
    e.object_of(typed);
    e.str(name);
}

/// Reads the name of an enum constant. The class of a constant with a body is `Color$1`
/// (`sofa-hessian@3.x:EnumSerializer` takes `getClass`).
pub fn read_constant<'de, T>(
    d: &mut Decoder<'de>,
    typed: &'static Typed,
    constants: &[(&str, T)],
) -> Result<T>
where
    T: Copy,
{
    let offset = d.position();
    let class = typed.class.name;
    let Some(head) = d.object_begin()? else {
        return Err(null(offset, class));
    };
    if !accepts_constant(&d.class_name(head), class) {
        return Err(d.other_class(head, class));
    }
    let mut found = None;
    for index in 0..d.field_count(head) {
        if d.field_bytes(head, index) != b"name" {
            d.skip()?;
            continue;
        }
        let name = d.str()?.unwrap_or_default();
        found = constants
            .iter()
            .find(|(constant, _)| *constant == name)
            .map(|(_, value)| *value);
        if found.is_none() {
            return Err(Error::Invalid {
                offset,
                wanted: class,
                text: name.into(),
            });
        }
    }
    d.object_end(head)?;
    found.ok_or(Error::Missing {
        offset,
        class,
        field: "name",
    })
}

/// Whether `class` is the enum `expected` or a constant's own class.
pub fn accepts_constant(class: &str, expected: &str) -> bool {
    class
        .strip_prefix(expected)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('$'))
}

/// What comes is no object of one of the classes of an enum.
#[cold]
pub fn other_class(d: &Decoder<'_>, expected: &'static str, found: Option<String>) -> Error {
    let offset = d.position();
    match (found, d.peek()) {
        (Some(found), _) => Error::Class {
            offset,
            expected,
            found: found.into(),
        },
        (None, Ok(b'N')) => Error::Null { offset, expected },
        (None, Ok(tag)) => Error::Tag {
            offset,
            tag,
            expected,
        },
        (None, Err(error)) => error,
    }
}

//! Class definitions and objects.

use std::borrow::Cow;

use super::Decoder;
use super::container::MapHead;
use super::reference::Open;
use crate::class::Typed;
use crate::dialect::{Dialect, draft, last, tag};
use crate::error::{Error, Result};
use crate::words::is_ascii;

/// UTF-16 units a name may have: what one chunk holds.
const NAME_UNITS_MAX: usize = 0x8000;

/// A class definition that was read.
#[derive(Clone, Copy)]
pub(super) struct ClassSlot<'de> {
    name: &'de [u8],
    /// The class known at compile time whose definition this is, byte by byte.
    known: Option<&'static Typed>,
    /// Its names in `Decoder::fields`, unless it is a known class.
    first_field: u32,
    field_count: u32,
}

impl ClassSlot<'_> {
    fn known(typed: &'static Typed) -> Self {
        let field_count = typed.class.fields.len() as u32;
        ClassSlot {
            name: typed.class.name.as_bytes(),
            known: Some(typed),
            first_field: 0,
            field_count,
        }
    }
}

/// An object that is being read; from [`Decoder::object_begin`].
#[derive(Clone, Copy, Debug)]
pub struct ObjectHead {
    open: Open,
    class: u32,
    fields: u32,
}

impl ObjectHead {
    pub(crate) fn number(&self) -> u32 {
        self.open.number
    }

    pub(crate) fn class_index(&self) -> usize {
        self.class as usize
    }
}

/// What stands for an object.
#[doc(hidden)]
#[derive(Debug)]
pub enum Found<'de> {
    /// An object, and whether its class was defined as the known one is.
    Object(ObjectHead, bool),
    /// A map whose keys are names of fields.
    Map(MapHead<'de>),
}

/// Field names of a class as they stand in the input.
#[derive(Clone, Copy)]
pub(crate) enum Names<'n, 'de> {
    Known(&'static [&'static str]),
    Read(&'n [&'de [u8]]),
}

/// A name as text. Names were checked when they were read: they have no lone surrogates.
pub(crate) fn name_text(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut units = Vec::new();
            let run = super::text::Run::of_name(name);
            // Checked when it was read.
            let _ = run.push_units(&mut units);
            Cow::Owned(String::from_utf16_lossy(&units))
        }
    }
}

impl<'de> Decoder<'de> {
    /// Begins an object: reads the class definitions in front of it and its tag; `None` for null. A back reference to
    /// an object is read again from there. The fields follow in the order of the class.
    pub fn object_begin(&mut self) -> Result<Option<ObjectHead>> {
        self.object(None)
    }

    /// [`object_begin`](Self::object_begin) for a class known at compile time: `true` if the object's class was
    /// defined by exactly its bytes, so that the fields are the declared ones in the declared order. Another class is
    /// an error.
    #[inline]
    pub fn object_of(&mut self, typed: &'static Typed) -> Result<Option<(ObjectHead, bool)>> {
        self.known_definition(typed);
        match self.known_object(typed)? {
            Some(head) => Ok(Some((head, true))),
            None => self.object_of_other(typed),
        }
    }

    /// [`object_of`](Self::object_of), or a map of that class or none, which Java takes for the object, too.
    #[doc(hidden)]
    #[inline]
    pub fn object_or_map(&mut self, typed: &'static Typed) -> Result<Option<Found<'de>>> {
        self.known_definition(typed);
        match self.known_object(typed)? {
            Some(head) => Ok(Some(Found::Object(head, true))),
            None => self.object_or_map_other(typed),
        }
    }

    fn object_or_map_other(&mut self, typed: &'static Typed) -> Result<Option<Found<'de>>> {
        if !self.is_map_next()? {
            let found = self.object_of_other(typed)?;
            return Ok(found.map(|(head, exact)| Found::Object(head, exact)));
        }
        let Some(head) = self.map_begin()? else {
            return Ok(None);
        };
        let class = head.class_bytes();
        if class.is_empty() || class == typed.class.name.as_bytes() {
            return Ok(Some(Found::Map(head)));
        }
        Err(Error::Class {
            offset: self.position,
            expected: typed.class.name,
            found: name_text(class).into(),
        })
    }

    /// Whether a map or a back reference to one is next.
    fn is_map_next(&mut self) -> Result<bool> {
        let start = self.position;
        let byte = self.byte()?;
        let at = self.reference_after(byte)?;
        self.position = start;
        let at = at.map_or(start, |number| self.offset_of(number));
        Ok(match self.input[at] {
            tag::MAP => true,
            last::MAP_UNTYPED => self.dialect != Some(Dialect::Draft),
            _ => false,
        })
    }

    fn object_of_other(&mut self, typed: &'static Typed) -> Result<Option<(ObjectHead, bool)>> {
        let Some(head) = self.object(Some(typed))? else {
            return Ok(None);
        };
        let slot = &self.classes[head.class as usize];
        if slot.known.is_some_and(|known| std::ptr::eq(known, typed)) {
            return Ok(Some((head, true)));
        }
        if slot.name == typed.class.name.as_bytes() {
            return Ok(Some((head, false)));
        }
        Err(self.other_class(head, typed.class.name))
    }

    /// Takes the definition that is next if it is the one of `typed`, byte by byte.
    #[inline]
    fn known_definition(&mut self, typed: &'static Typed) {
        let Some(left) = self.input.get(self.position..) else {
            return;
        };
        let bytes = match (self.dialect, left.first()) {
            (Some(Dialect::Draft), _) | (None, Some(&draft::CLASS)) => typed.draft,
            (Some(Dialect::Final), _) | (None, Some(&last::CLASS)) => typed.last,
            (None, _) => return,
        };
        let plain = self.replays == 0 && self.denied.is_none();
        if plain && left.starts_with(bytes) {
            self.position += 1;
            self.settle(bytes[0]);
            self.position += bytes.len() - 1;
            self.classes.push(ClassSlot::known(typed));
        }
    }

    /// Begins the object that is next if it is one of `typed`, its class among the first ones.
    #[inline]
    fn known_object(&mut self, typed: &'static Typed) -> Result<Option<ObjectHead>> {
        let offset = self.position;
        let (class, len) = match (self.dialect, self.input.get(offset..)) {
            (Some(Dialect::Draft), Some(&[draft::OBJECT, class @ 0x90..=0xbf, ..])) => {
                (class - 0x90, 2)
            }
            (Some(Dialect::Final), Some(&[class @ 0x60..=0x6f, ..])) => (class - 0x60, 1),
            _ => return Ok(None),
        };
        match self.classes.get(usize::from(class)) {
            Some(slot) if slot.known.is_some_and(|known| std::ptr::eq(known, typed)) => {}
            _ => return Ok(None),
        }
        self.position += len;
        let fields = typed.class.fields.len() as u32;
        self.charge(1 + fields as usize)?;
        let open = self.open(offset, None)?;
        Ok(Some(ObjectHead {
            open,
            class: u32::from(class),
            fields,
        }))
    }

    /// [`object_of`](Self::object_of) for a class that has a name of its own in each dialect.
    pub(crate) fn object_of_any(
        &mut self,
        draft: &'static Typed,
        last: &'static Typed,
    ) -> Result<Option<(ObjectHead, bool)>> {
        let typed = if self.dialect == Some(Dialect::Final) {
            last
        } else {
            draft
        };
        self.known_definition(typed);
        if let Some(head) = self.known_object(typed)? {
            return Ok(Some((head, true)));
        }
        let Some(head) = self.object(Some(typed))? else {
            return Ok(None);
        };
        let slot = &self.classes[head.class as usize];
        if let Some(known) = slot.known
            && (std::ptr::eq(known, draft) || std::ptr::eq(known, last))
        {
            return Ok(Some((head, true)));
        }
        let expected = [draft, last].map(|typed| typed.class.name.as_bytes());
        if expected.contains(&slot.name) {
            return Ok(Some((head, false)));
        }
        Err(self.other_class(head, draft.class.name))
    }

    /// The object that comes is none of the expected classes.
    #[doc(hidden)]
    #[cold]
    pub fn other_class(&self, head: ObjectHead, expected: &'static str) -> Error {
        Error::Class {
            offset: self.position,
            expected,
            found: self.class_name(head).into(),
        }
    }

    fn object(&mut self, typed: Option<&'static Typed>) -> Result<Option<ObjectHead>> {
        loop {
            let byte = self.byte()?;
            if byte == tag::NULL {
                return Ok(None);
            }
            if self.is_definition(byte) {
                self.definition(typed)?;
                continue;
            }
            return self.head(byte, Self::object_after, "an object").map(Some);
        }
    }

    /// Whether `byte`, just read, starts a class definition.
    #[inline]
    pub(crate) fn is_definition(&mut self, byte: u8) -> bool {
        matches!(byte, draft::CLASS | last::CLASS)
            && matches!(
                (self.settle(byte), byte),
                (Dialect::Draft, draft::CLASS) | (Dialect::Final, last::CLASS)
            )
    }

    /// The object that `byte` starts, if it does.
    pub(crate) fn object_after(
        &mut self,
        byte: u8,
        resume: Option<usize>,
    ) -> Result<Option<ObjectHead>> {
        let offset = self.position - 1;
        let Some(class) = self.class_after(byte)? else {
            return Ok(None);
        };
        let fields = self.classes[class as usize].field_count;
        self.charge(1 + fields as usize)?;
        let open = self.open(offset, resume)?;
        Ok(Some(ObjectHead {
            open,
            class,
            fields,
        }))
    }

    /// Class number of the object that `byte` starts, if it does.
    #[inline]
    fn class_after(&mut self, byte: u8) -> Result<Option<u32>> {
        let offset = self.position - 1;
        if !matches!(byte, 0x60..=0x6f | last::OBJECT) {
            return Ok(None);
        }
        let index = match (self.settle(byte), byte) {
            (Dialect::Draft, draft::OBJECT) | (Dialect::Final, last::OBJECT) => {
                i64::from(self.int()?)
            }
            (Dialect::Final, 0x60..=0x6f) => i64::from(byte) - 0x60,
            _ => return Ok(None),
        };
        match u32::try_from(index) {
            Ok(class) if (class as usize) < self.classes.len() => Ok(Some(class)),
            _ => Err(Error::ClassIndex {
                offset,
                index,
                count: self.classes.len(),
            }),
        }
    }

    /// Reads the class definitions that are next, if any.
    pub(crate) fn definitions(&mut self) -> Result<()> {
        loop {
            let byte = self.byte()?;
            if !self.is_definition(byte) {
                self.position -= 1;
                return Ok(());
            }
            self.definition(None)?;
        }
    }

    /// Reads a class definition whose tag was read.
    pub(crate) fn definition(&mut self, typed: Option<&'static Typed>) -> Result<()> {
        if let Some(typed) = typed {
            let bytes = if self.dialect == Some(Dialect::Draft) {
                typed.draft
            } else {
                typed.last
            };
            let start = self.position - 1;
            if self.input[start..].starts_with(bytes) {
                self.position = start + bytes.len();
                self.check_denied(typed.class.name.as_bytes())?;
                self.add_class(ClassSlot::known(typed));
                return Ok(());
            }
        }
        let name = if self.dialect == Some(Dialect::Draft) {
            let offset = self.position;
            let units = self.int()?;
            let left = self.left();
            let length = Error::Length {
                offset,
                length: i64::from(units),
                left,
            };
            let units = usize::try_from(units).map_err(|_| length)?;
            self.name(units)?
        } else {
            self.name_string()?
        };
        self.check_denied(name)?;
        let offset = self.position;
        let count = self.int()?;
        let left = self.left();
        let field_count = match u32::try_from(count) {
            Ok(count) if count as usize <= left => count,
            _ => {
                return Err(Error::Length {
                    offset,
                    length: i64::from(count),
                    left,
                });
            }
        };
        let first_field = self.fields.len() as u32;
        let mut left = field_count;
        loop {
            left -= self.short_names(left);
            if left == 0 {
                break;
            }
            let field = self.name_string()?;
            if self.replays == 0 {
                self.fields.push(field);
            }
            left -= 1;
        }
        self.add_class(ClassSlot {
            name,
            known: None,
            first_field,
            field_count,
        });
        Ok(())
    }

    fn add_class(&mut self, class: ClassSlot<'de>) {
        // What is read again was defined the first time.
        if self.replays == 0 {
            self.classes.push(class);
        }
    }

    /// Reads field names, `max` at most, up to the first one that is not up to 31 ASCII characters; returns how many.
    fn short_names(&mut self, max: u32) -> u32 {
        let mut left = self.input.get(self.position..).unwrap_or_default();
        let before = left.len();
        let mut count = 0;
        let names = std::iter::from_fn(|| {
            let (&len @ 0..=0x1f, behind) = left.split_first()? else {
                return None;
            };
            let (name, behind) = behind.split_at_checked(usize::from(len))?;
            if count == max || !is_ascii(name) {
                return None;
            }
            left = behind;
            count += 1;
            Some(name)
        });
        if self.replays == 0 {
            self.fields.extend(names);
        } else {
            names.for_each(drop);
        }
        self.position += before - left.len();
        count
    }

    /// A name written as a string of one chunk.
    fn name_string(&mut self) -> Result<&'de [u8]> {
        let byte = self.byte()?;
        match self.string_head(byte)? {
            Some((units, false)) => self.name(units),
            Some((_, true)) => Err(Error::Name {
                offset: self.position - 1,
            }),
            None => Err(self.unexpected("a name")),
        }
    }

    /// The bytes of a name, UTF-8 or CESU-8 without lone surrogates.
    pub(super) fn name(&mut self, units: usize) -> Result<&'de [u8]> {
        let offset = self.position;
        if units > NAME_UNITS_MAX && units <= self.left() {
            return Err(Error::Name { offset });
        }
        let run = self.run(units)?;
        if run.bytes.len() != units {
            run.check_name(offset)?;
            self.surrogate_names |= run.surrogates;
        }
        Ok(run.bytes)
    }

    /// Refuses a class name that is on the list.
    pub(super) fn check_denied(&self, name: &[u8]) -> Result<()> {
        match self.denied {
            Some(list) => self.check_listed(list, name),
            None => Ok(()),
        }
    }

    #[cold]
    fn check_listed(&self, list: &super::DenyList, name: &[u8]) -> Result<()> {
        let class = name_text(name);
        if list.denies(&class) {
            return Err(Error::Denied {
                offset: self.position,
                class: class.into(),
            });
        }
        Ok(())
    }

    /// Java class of an object.
    pub fn class_name(&self, head: ObjectHead) -> Cow<'de, str> {
        name_text(self.classes[head.class as usize].name)
    }

    /// Fields of an object.
    #[inline]
    pub fn field_count(&self, head: ObjectHead) -> usize {
        head.fields as usize
    }

    /// Name of field `index` of an object.
    pub fn field_name(&self, head: ObjectHead, index: usize) -> Cow<'de, str> {
        name_text(self.field_bytes(head, index))
    }

    /// Name of field `index` of an object, as it stands in the input.
    #[inline]
    pub fn field_bytes(&self, head: ObjectHead, index: usize) -> &'de [u8] {
        let slot = &self.classes[head.class as usize];
        match slot.known {
            Some(known) => known.class.fields[index].as_bytes(),
            None => self.fields[slot.first_field as usize + index],
        }
    }

    /// Name and field names of class `index`.
    pub(crate) fn class(&self, index: usize) -> (&'de [u8], Names<'_, 'de>) {
        let slot = &self.classes[index];
        let names = match slot.known {
            Some(known) => Names::Known(known.class.fields),
            None => {
                let first = slot.first_field as usize;
                Names::Read(&self.fields[first..first + slot.field_count as usize])
            }
        };
        (slot.name, names)
    }

    /// Ends an object whose fields were all read.
    #[inline]
    pub fn object_end(&mut self, head: ObjectHead) -> Result<()> {
        self.close(head.open);
        Ok(())
    }

    /// Class of the object or map that is next, left in place; `None` if it is null, a map without a class, or neither.
    /// Follows a back reference.
    pub fn peek_class(&mut self) -> Result<Option<Cow<'de, str>>> {
        self.definitions()?;
        let start = self.position;
        let byte = self.byte()?;
        let class = match self.reference_after(byte)? {
            Some(number) => {
                self.position = self.offset_of(number);
                let byte = self.byte()?;
                self.class_name_after(byte)?
            }
            None => self.class_name_after(byte)?,
        };
        self.position = start;
        Ok(class.map(name_text))
    }

    /// Class of the object or map that `byte` starts, if it has one.
    fn class_name_after(&mut self, byte: u8) -> Result<Option<&'de [u8]>> {
        if byte == tag::MAP {
            // The name is noted when the map is read, not now.
            let types = self.types.len();
            let class = self.map_class()?;
            self.types.truncate(types);
            return Ok(Some(class).filter(|class| !class.is_empty()));
        }
        let class = self.class_after(byte)?;
        Ok(class.map(|class| self.classes[class as usize].name))
    }
}

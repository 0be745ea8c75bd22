//! Lists and maps, item by item.

use std::borrow::Cow;

use super::Decoder;
use super::object::name_text;
use super::reference::Open;
use crate::dialect::{Dialect, draft, last, tag};
use crate::error::{Error, Result};

/// A list that is being read; from [`Decoder::list_begin`].
#[derive(Debug)]
pub struct ListHead<'de> {
    open: Open,
    class: &'de [u8],
    /// Items still to come, if the list said how many.
    left: Option<u32>,
    /// The tag behind the last item, if there is one.
    end: Option<u8>,
}

/// A map that is being read; from [`Decoder::map_begin`].
#[derive(Debug)]
pub struct MapHead<'de> {
    open: Open,
    class: &'de [u8],
    end: u8,
}

impl<'de> ListHead<'de> {
    /// Items still to come, as far as the list says; never more than the bytes left can hold.
    pub fn len_hint(&self) -> usize {
        self.left.unwrap_or(0) as usize
    }

    /// Java class of the list, empty when it has none.
    pub fn class_name(&self) -> Cow<'de, str> {
        name_text(self.class)
    }

    pub(crate) fn class_bytes(&self) -> &'de [u8] {
        self.class
    }

    pub(crate) fn number(&self) -> u32 {
        self.open.number
    }

    /// Items that may still come.
    pub(super) fn left_max(&self) -> u32 {
        self.left.unwrap_or(u32::MAX)
    }

    /// Notes that `count` items were read, at most as many as were to come.
    pub(super) fn passed(&mut self, count: u32) {
        if let Some(left) = &mut self.left {
            *left -= count;
        }
    }
}

impl<'de> MapHead<'de> {
    /// Java class of the map, empty when it has none.
    pub fn class_name(&self) -> Cow<'de, str> {
        name_text(self.class)
    }

    pub(crate) fn class_bytes(&self) -> &'de [u8] {
        self.class
    }

    pub(crate) fn number(&self) -> u32 {
        self.open.number
    }
}

impl<'de> Decoder<'de> {
    /// Begins a list, `None` for null. A back reference to a list is read again from there.
    pub fn list_begin(&mut self) -> Result<Option<ListHead<'de>>> {
        let byte = self.byte()?;
        if byte == tag::NULL {
            return Ok(None);
        }
        // What a Java client writes of an `ArrayList`.
        if byte == tag::LIST
            && self.dialect == Some(Dialect::Draft)
            && let Some(&[draft::LENGTH_BYTE, length, ..]) = self.input.get(self.position..)
        {
            let offset = self.position - 1;
            self.position += 2;
            let left = self.checked_length(i64::from(length))?;
            return Ok(Some(ListHead {
                open: self.open(offset, None)?,
                class: &[],
                left: Some(left),
                end: Some(draft::END),
            }));
        }
        self.head(byte, Self::list_after, "a list").map(Some)
    }

    /// The container that `byte` starts, or that the back reference which `byte` starts points to: `after` reads one.
    #[inline]
    pub(super) fn head<H>(
        &mut self,
        byte: u8,
        after: impl Fn(&mut Self, u8, Option<usize>) -> Result<Option<H>>,
        expected: &'static str,
    ) -> Result<H> {
        if let Some(head) = after(self, byte, None)? {
            return Ok(head);
        }
        if let Some(number) = self.reference_after(byte)? {
            let resume = self.follow(number)?;
            let byte = self.byte()?;
            if let Some(head) = after(self, byte, Some(resume))? {
                return Ok(head);
            }
        }
        Err(self.unexpected(expected))
    }

    /// The list that `byte` starts, if it does.
    pub(crate) fn list_after(
        &mut self,
        byte: u8,
        resume: Option<usize>,
    ) -> Result<Option<ListHead<'de>>> {
        let offset = self.position - 1;
        let dialect = match byte {
            tag::LIST
            | last::LIST_VARIABLE
            | last::LIST_VARIABLE_UNTYPED
            | last::LIST_FIXED_UNTYPED
            | 0x70..=0x7f => self.settle(byte),
            _ => return Ok(None),
        };
        let (class, left, end) = match (dialect, byte) {
            (Dialect::Draft, tag::LIST) => {
                let class = self.draft_type()?;
                (class, self.draft_length()?, Some(draft::END))
            }
            (Dialect::Draft, draft::LIST_KNOWN) => {
                let class = self.known_type()?;
                (class, Some(self.length()?), None)
            }
            (Dialect::Draft, _) => return Ok(None),
            (Dialect::Final, last::LIST_VARIABLE) => (self.final_type()?, None, Some(last::END)),
            (Dialect::Final, last::LIST_VARIABLE_UNTYPED) => (&[][..], None, Some(last::END)),
            (Dialect::Final, tag::LIST) => {
                let class = self.final_type()?;
                (class, Some(self.length()?), None)
            }
            (Dialect::Final, last::LIST_FIXED_UNTYPED) => (&[][..], Some(self.length()?), None),
            (Dialect::Final, 0x70..=0x77) => {
                let class = self.final_type()?;
                (
                    class,
                    Some(self.checked_length(i64::from(byte) - 0x70)?),
                    None,
                )
            }
            (Dialect::Final, _) => (
                &[][..],
                Some(self.checked_length(i64::from(byte) - 0x78)?),
                None,
            ),
        };
        let open = self.open(offset, resume)?;
        Ok(Some(ListHead {
            open,
            class,
            left,
            end,
        }))
    }

    /// Whether another item follows; `false` has consumed the end.
    #[inline]
    pub fn list_more(&mut self, head: &mut ListHead<'de>) -> Result<bool> {
        match &mut head.left {
            Some(0) => {
                if let Some(end) = head.end
                    && self.byte()? != end
                {
                    return Err(self.unexpected("the end of a list"));
                }
            }
            Some(left) => {
                *left -= 1;
                self.charge(1)?;
                return Ok(true);
            }
            None if head.end != Some(self.peek()?) => {
                self.charge(1)?;
                return Ok(true);
            }
            None => self.position += 1,
        }
        self.close(head.open);
        Ok(false)
    }

    /// Begins a map, `None` for null. A back reference to a map is read again from there.
    pub fn map_begin(&mut self) -> Result<Option<MapHead<'de>>> {
        let byte = self.byte()?;
        if byte == tag::NULL {
            return Ok(None);
        }
        self.head(byte, Self::map_after, "a map").map(Some)
    }

    /// The map that `byte` starts, if it does.
    pub(crate) fn map_after(
        &mut self,
        byte: u8,
        resume: Option<usize>,
    ) -> Result<Option<MapHead<'de>>> {
        let offset = self.position - 1;
        if !matches!(byte, tag::MAP | last::MAP_UNTYPED) {
            return Ok(None);
        }
        let (class, end) = match (self.settle(byte), byte) {
            (Dialect::Draft, tag::MAP) => (self.map_class()?, draft::END),
            (Dialect::Final, tag::MAP) => (self.map_class()?, last::END),
            (Dialect::Final, last::MAP_UNTYPED) => (&[][..], last::END),
            _ => return Ok(None),
        };
        let open = self.open(offset, resume)?;
        Ok(Some(MapHead { open, class, end }))
    }

    /// The class of a map whose tag was read.
    pub(super) fn map_class(&mut self) -> Result<&'de [u8]> {
        match self.settle(tag::MAP) {
            Dialect::Draft => self.draft_type(),
            Dialect::Final => self.final_type(),
        }
    }

    /// Whether another key and value follow; `false` has consumed the end.
    #[inline]
    pub fn map_more(&mut self, head: &mut MapHead<'de>) -> Result<bool> {
        if self.peek()? != head.end {
            self.charge(2)?;
            return Ok(true);
        }
        self.position += 1;
        self.close(head.open);
        Ok(false)
    }

    /// The draft's optional type: `t` and a name, or a number (`sofa-hessian@3.x:Hessian2Input.readType`).
    fn draft_type(&mut self) -> Result<&'de [u8]> {
        match self.peek()? {
            draft::TYPE => {
                self.position += 1;
                let units = u16::from_be_bytes(self.array()?);
                self.new_type(usize::from(units))
            }
            draft::TYPE_REF => {
                self.position += 1;
                self.known_type()
            }
            _ => Ok(&[]),
        }
    }

    /// The final version's type: a string the first time, a number afterwards.
    fn final_type(&mut self) -> Result<&'de [u8]> {
        let byte = self.byte()?;
        match self.string_head(byte)? {
            Some((_, true)) => Err(Error::Name {
                offset: self.position,
            }),
            Some((units, false)) => self.new_type(units),
            None => {
                self.position -= 1;
                self.known_type()
            }
        }
    }

    fn new_type(&mut self, units: usize) -> Result<&'de [u8]> {
        let name = self.name(units)?;
        self.check_denied(name)?;
        if self.replays == 0 {
            self.types.push(name);
        }
        Ok(name)
    }

    fn known_type(&mut self) -> Result<&'de [u8]> {
        let offset = self.position;
        let index = self.int()?;
        match usize::try_from(index)
            .ok()
            .and_then(|index| self.types.get(index))
        {
            Some(name) => Ok(name),
            None => Err(Error::TypeIndex {
                offset,
                index: i64::from(index),
                count: self.types.len(),
            }),
        }
    }

    /// The draft's optional length: `n` and a byte, or `l` and four (`Hessian2Input.readLength`).
    fn draft_length(&mut self) -> Result<Option<u32>> {
        let length = match self.peek()? {
            draft::LENGTH_BYTE => {
                self.position += 1;
                i64::from(self.byte()?)
            }
            draft::LENGTH_INT => {
                self.position += 1;
                i64::from(i32::from_be_bytes(self.array()?))
            }
            _ => return Ok(None),
        };
        self.checked_length(length).map(Some)
    }

    fn length(&mut self) -> Result<u32> {
        let length = self.int()?;
        self.checked_length(i64::from(length))
    }

    /// A length the bytes left can hold: every item takes one at least.
    fn checked_length(&self, length: i64) -> Result<u32> {
        match u32::try_from(length) {
            Ok(length) if length as usize <= self.left() => Ok(length),
            _ => Err(Error::Length {
                offset: self.position,
                length,
                left: self.left(),
            }),
        }
    }
}

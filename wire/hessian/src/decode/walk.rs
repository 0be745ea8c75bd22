//! Walking through containers without recursion, for what reads any value.

use super::Decoder;
use super::container::{ListHead, MapHead};
use super::object::ObjectHead;
use crate::error::Result;

/// A container that is being walked through.
pub(crate) enum Walk<'de> {
    /// An object and its fields to come.
    Object { head: ObjectHead, left: u32 },
    /// A list.
    List(ListHead<'de>),
    /// A map; whether the value of a key comes next.
    Map { head: MapHead<'de>, value: bool },
}

impl Walk<'_> {
    pub(crate) fn number(&self) -> u32 {
        match self {
            Walk::Object { head, .. } => head.number(),
            Walk::List(head) => head.number(),
            Walk::Map { head, .. } => head.number(),
        }
    }
}

impl<'de> Decoder<'de> {
    /// The container that `byte` starts, if it does.
    pub(crate) fn walk_after(
        &mut self,
        byte: u8,
        resume: Option<usize>,
    ) -> Result<Option<Walk<'de>>> {
        if let Some(head) = self.object_after(byte, resume)? {
            let left = self.field_count(head) as u32;
            return Ok(Some(Walk::Object { head, left }));
        }
        if let Some(head) = self.list_after(byte, resume)? {
            return Ok(Some(Walk::List(head)));
        }
        if let Some(head) = self.map_after(byte, resume)? {
            return Ok(Some(Walk::Map { head, value: false }));
        }
        Ok(None)
    }

    /// Whether another value follows; `false` has consumed the end.
    #[inline]
    pub(crate) fn walk_next(&mut self, walk: &mut Walk<'de>) -> Result<bool> {
        match walk {
            Walk::Object { left: 0, head } => {
                self.object_end(*head)?;
                Ok(false)
            }
            Walk::Object { left, .. } => {
                *left -= 1;
                Ok(true)
            }
            Walk::List(head) => self.list_more(head),
            Walk::Map {
                value: value @ true,
                ..
            } => {
                *value = false;
                Ok(true)
            }
            Walk::Map { head, value } => {
                *value = self.map_more(head)?;
                Ok(*value)
            }
        }
    }
}

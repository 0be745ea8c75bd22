//! Walking through containers without recursion, for what reads any value.

use super::Decoder;
use super::container::{ListHead, MapHead};
use super::object::ObjectHead;
use crate::dialect::{last, tag};
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
        match byte {
            tag::MAP | last::MAP_UNTYPED => {
                let head = self.map_after(byte, resume)?;
                Ok(head.map(|head| Walk::Map { head, value: false }))
            }
            0x60..=0x6f | last::OBJECT => match self.object_after(byte, resume)? {
                Some(head) => {
                    let left = self.field_count(head) as u32;
                    Ok(Some(Walk::Object { head, left }))
                }
                None => Ok(None),
            },
            _ => Ok(self.list_after(byte, resume)?.map(Walk::List)),
        }
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

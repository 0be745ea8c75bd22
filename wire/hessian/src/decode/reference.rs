//! Containers by number: where each started, whether it is still open, and how a back reference is read again.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Decoder;
use crate::dialect::{Dialect, draft, last};
use crate::error::{Error, Result};

/// A list, map or object read so far; its index is its number.
pub(super) struct ContainerSlot {
    /// Where its tag stands (after the class definitions in front of it).
    offset: usize,
    /// Whether its end is still to come: a reference to it is a cycle.
    open: bool,
}

/// What `Shared` values were made of containers: type-erased `Arc<OnceLock<T>>`, weak while the container is open.
/// `None` until there is one, because dropping even an empty map costs every body some nanoseconds.
pub(super) type SharedTable = Option<BTreeMap<u32, Arc<dyn Any + Send + Sync>>>;

/// An open container: how to leave it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) number: u32,
    /// Where to go on afterwards when a back reference led here, or [`STAY`].
    resume: usize,
}

/// Nothing to go back to: the container stood where it was read.
const STAY: usize = usize::MAX;

impl<'de> Decoder<'de> {
    /// Number of the container that a back reference `byte` names, if it is one.
    pub(crate) fn reference_after(&mut self, byte: u8) -> Result<Option<u32>> {
        if !matches!(
            byte,
            draft::REF_BYTE | draft::REF_SHORT | draft::REF_INT | last::REF
        ) {
            return Ok(None);
        }
        let offset = self.position - 1;
        let index = match (self.settle(byte), byte) {
            (Dialect::Draft, draft::REF_BYTE) => i64::from(self.byte()?),
            (Dialect::Draft, draft::REF_SHORT) => i64::from(u16::from_be_bytes(self.array()?)),
            (Dialect::Draft, draft::REF_INT) => i64::from(i32::from_be_bytes(self.array()?)),
            (Dialect::Final, last::REF) => i64::from(self.int()?),
            _ => return Ok(None),
        };
        let count = self.containers.len();
        match u32::try_from(index) {
            Ok(number) if (number as usize) < count => Ok(Some(number)),
            _ => Err(Error::Reference {
                offset,
                index,
                count,
            }),
        }
    }

    /// The back reference that is next, if one is.
    pub(crate) fn take_reference(&mut self) -> Result<Option<u32>> {
        let start = self.position;
        let byte = self.byte()?;
        let reference = self.reference_after(byte)?;
        if reference.is_none() {
            self.position = start;
        }
        Ok(reference)
    }

    /// Goes to where container `number` starts, to read it again; the reference ended at the current position.
    pub(crate) fn follow(&mut self, number: u32) -> Result<usize> {
        let slot = &self.containers[number as usize];
        if slot.open {
            return Err(Error::Cycle {
                offset: self.position,
                target: slot.offset,
            });
        }
        let resume = self.position;
        self.position = slot.offset;
        self.replays += 1;
        self.charge(1)?;
        Ok(resume)
    }

    /// Numbers the container whose tag is at `offset` and goes one deeper.
    #[inline(always)]
    pub(super) fn open(&mut self, offset: usize, resume: Option<usize>) -> Result<Open> {
        if self.depth >= self.limits.depth_max {
            return Err(Error::Depth {
                offset,
                depth_max: self.limits.depth_max,
            });
        }
        self.depth += 1;
        let number = if self.replays == 0 {
            self.containers.push(ContainerSlot { offset, open: true });
            (self.containers.len() - 1) as u32
        } else {
            let number = self.number_at(offset)?;
            self.containers[number as usize].open = true;
            number
        };
        Ok(Open {
            number,
            resume: resume.unwrap_or(STAY),
        })
    }

    /// Number of the container that was read at `offset` before.
    fn number_at(&self, offset: usize) -> Result<u32> {
        match self
            .containers
            .binary_search_by_key(&offset, |slot| slot.offset)
        {
            Ok(number) => Ok(number as u32),
            // Only reached when a container is read again past what was read of it, that is, inside itself.
            Err(_) => Err(Error::Cycle {
                offset: self.position,
                target: offset,
            }),
        }
    }

    /// Ends a container.
    #[inline]
    pub(super) fn close(&mut self, open: Open) {
        self.depth -= 1;
        self.containers[open.number as usize].open = false;
        if open.resume != STAY {
            self.position = open.resume;
            self.replays -= 1;
        }
    }

    /// Number the value that is next will have if it is a container.
    pub(crate) fn next_number(&mut self) -> Result<u32> {
        if self.replays == 0 {
            return Ok(self.containers.len() as u32);
        }
        self.definitions()?;
        Ok(self.number_at(self.position).unwrap_or(u32::MAX))
    }

    /// Whether container `number` was begun.
    pub(crate) fn was_begun(&self, number: u32) -> bool {
        (number as usize) < self.containers.len()
    }

    /// Containers numbered so far.
    pub(crate) fn container_count(&self) -> u32 {
        self.containers.len() as u32
    }

    /// The `Shared` value made of container `number`.
    pub(crate) fn shared(&self, number: u32) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.shared.as_ref()?.get(&number)
    }

    /// Notes the `Shared` value that container `number` becomes, or takes the note back.
    pub(crate) fn set_shared(
        &mut self,
        number: u32,
        value: Option<Arc<dyn Any + Send + Sync>>,
    ) -> Option<Arc<dyn Any + Send + Sync>> {
        match value {
            Some(value) => self.shared.get_or_insert_default().insert(number, value),
            None => self.shared.as_mut()?.remove(&number),
        }
    }

    /// Where container `number` starts.
    pub(crate) fn offset_of(&self, number: u32) -> usize {
        self.containers[number as usize].offset
    }

    /// Whether container `number` is still being read.
    pub(crate) fn is_open(&self, number: u32) -> bool {
        self.containers
            .get(number as usize)
            .is_some_and(|slot| slot.open)
    }

    /// Goes back to `position`, where a reference was read that somebody else is to follow.
    pub(crate) fn rewind(&mut self, position: usize) {
        self.position = position;
    }
}

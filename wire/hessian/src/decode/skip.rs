//! Walking over a value without building it.

use smallvec::SmallVec;

use super::{Decoder, Walk};
use crate::dialect::tag;
use crate::error::Result;
use crate::words::is_ascii;

impl<'de> Decoder<'de> {
    /// Walks over one value. Its class definitions, type names and containers are noted, so that what follows can
    /// refer to them; back references in it are not followed.
    pub fn skip(&mut self) -> Result<()> {
        if self.skip_leaves(1) == 1 {
            return Ok(());
        }
        let mut open: SmallVec<[Walk<'de>; 8]> = SmallVec::new();
        loop {
            if let Some(walk) = self.skip_to_content()? {
                open.push(walk);
            }
            if !self.skip_to_container(&mut open)? {
                return Ok(());
            }
        }
    }

    /// Walks over leaves and the ends of containers; `false` once all containers ended, otherwise another value follows.
    fn skip_to_container(&mut self, open: &mut SmallVec<[Walk<'de>; 8]>) -> Result<bool> {
        while let Some(walk) = open.last_mut() {
            self.skip_leaves_of(walk);
            while self.walk_next(walk)? {
                if self.skip_leaves(1) == 0 {
                    return Ok(true);
                }
            }
            open.pop();
        }
        Ok(false)
    }

    /// Walks over the leaves that are next in a container, as far as the element budget allows.
    fn skip_leaves_of(&mut self, walk: &mut Walk<'de>) {
        match walk {
            Walk::Object { left, .. } => *left -= self.skip_leaves(*left),
            Walk::List(head) => {
                let max = head.left_max().min(self.elements_left);
                let count = self.skip_leaves(max);
                self.elements_left -= count;
                head.passed(count);
            }
            Walk::Map { value, .. } => {
                // A key pays for its value, too.
                let paid = u32::from(*value);
                let count = self.skip_leaves(paid + (self.elements_left & !1));
                if count >= paid {
                    let more = count - paid;
                    self.elements_left -= more.next_multiple_of(2);
                    *value = !more.is_multiple_of(2);
                }
            }
        }
    }

    /// Walks over values whose tags tell their lengths, as nearly all do, and `max` at most; returns how many.
    #[inline]
    fn skip_leaves(&mut self, max: u32) -> u32 {
        let mut left = self.input.get(self.position..).unwrap_or_default();
        let before = left.len();
        let mut count = 0;
        while count < max
            && let Some(&byte) = left.first()
            && let len @ 1.. = usize::from(LEAF_BYTES[usize::from(byte)])
            && let Some((leaf, behind)) = left.split_at_checked(len)
            && (byte > BYTES_SHORT_MAX || self.replays == 0)
            && (byte > STRING_SHORT_MAX || is_ascii(leaf))
        {
            left = behind;
            count += 1;
        }
        self.position += before - left.len();
        count
    }

    /// Walks over a value without content; of a container to where its content starts.
    fn skip_to_content(&mut self) -> Result<Option<Walk<'de>>> {
        let mut byte = self.byte()?;
        if self.is_definition(byte) {
            self.position -= 1;
            self.definitions()?;
            byte = self.byte()?;
        }
        match byte {
            0x60..=0x6f | tag::MAP | tag::LIST => {
                if let Some(walk) = self.walk_after(byte, None)? {
                    return Ok(Some(walk));
                }
            }
            _ => {}
        }
        let leaf = self.number_after(byte)?.is_some()
            || self.date_after(byte)?.is_some()
            || self.skip_text(byte)?
            || self.skip_bytes(byte)?;
        if leaf {
            return Ok(None);
        }
        if let Some(walk) = self.walk_after(byte, None)? {
            return Ok(Some(walk));
        }
        match self.reference_after(byte)? {
            Some(_) => Ok(None),
            None => Err(self.unexpected("a value")),
        }
    }

    /// Walks over the string that `byte` starts, if it does.
    fn skip_text(&mut self, byte: u8) -> Result<bool> {
        let Some((mut units, mut more)) = self.string_head(byte)? else {
            return Ok(false);
        };
        loop {
            self.run(units)?;
            if !more {
                return Ok(true);
            }
            let byte = self.byte()?;
            let Some(next) = self.string_head(byte)? else {
                return Err(self.unexpected("a string chunk"));
            };
            (units, more) = next;
        }
    }

    /// Walks over the bytes that `byte` starts, if it does.
    fn skip_bytes(&mut self, byte: u8) -> Result<bool> {
        let Some((mut len, mut more)) = self.bytes_head(byte)? else {
            return Ok(false);
        };
        loop {
            self.counted(len)?;
            if !more {
                return Ok(true);
            }
            let byte = self.byte()?;
            let Some(next) = self.bytes_head(byte)? else {
                return Err(self.unexpected("a chunk of bytes"));
            };
            (len, more) = next;
        }
    }
}

/// The tags up to here are strings of so many characters.
const STRING_SHORT_MAX: u8 = 0x1f;

/// The tags from there up to here are bytes.
const BYTES_SHORT_MAX: u8 = 0x2f;

/// Bytes of a value without content, its tag included, by its tag: of those that are the same in both dialects. Zero
/// for all others. A string has as many if it is ASCII.
static LEAF_BYTES: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut tag = 0;
    while tag < bytes.len() {
        bytes[tag] = match tag as u8 {
            byte @ 0..=STRING_SHORT_MAX => 1 + byte,
            byte @ 0x20..=BYTES_SHORT_MAX => 1 + byte - 0x20,
            tag::NULL | tag::TRUE | tag::FALSE | 0x80..=0xbf | 0xd8..=0xef => 1,
            0xc0..=0xcf | 0xf0..=0xff => 2,
            0x38..=0x3f | 0xd0..=0xd7 => 3,
            tag::INT => 5,
            tag::LONG | tag::DOUBLE => 9,
            _ => 0,
        };
        tag += 1;
    }
    bytes
};

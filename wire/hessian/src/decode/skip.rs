//! Walking over a value without building it.

use smallvec::SmallVec;

use super::{Decoder, Walk};
use crate::dialect::tag;
use crate::error::Result;

impl<'de> Decoder<'de> {
    /// Walks over one value. Its class definitions, type names and containers are noted, so that what follows can
    /// refer to them; back references in it are not followed.
    pub fn skip(&mut self) -> Result<()> {
        let mut open: SmallVec<[Walk<'de>; 8]> = SmallVec::new();
        loop {
            if let Some(walk) = self.skip_to_content()? {
                open.push(walk);
            }
            loop {
                let Some(walk) = open.last_mut() else {
                    return Ok(());
                };
                if self.walk_next(walk)? {
                    break;
                }
                open.pop();
            }
        }
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
            0x00..=0x1f => {
                self.run(usize::from(byte))?;
                return Ok(None);
            }
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

//! Walking over a value without building it.

use super::Decoder;
use crate::dialect::tag;
use crate::error::Result;

impl<'de> Decoder<'de> {
    /// Walks over one value. Its class definitions, type names and containers are noted, so that what follows can
    /// refer to them; back references in it are not followed.
    pub fn skip(&mut self) -> Result<()> {
        let mut byte = self.byte()?;
        if self.is_definition(byte) {
            self.position -= 1;
            self.definitions()?;
            byte = self.byte()?;
        }
        match byte {
            0x00..=0x1f => return self.run(usize::from(byte)).map(drop),
            0x60..=0x6f | tag::MAP | tag::LIST if self.skip_open(byte)? => return Ok(()),
            _ => {}
        }
        if self.number_after(byte)?.is_some() || self.date_after(byte)?.is_some() {
            return Ok(());
        }
        if let Some((mut units, mut more)) = self.string_head(byte)? {
            loop {
                self.run(units)?;
                if !more {
                    return Ok(());
                }
                let byte = self.byte()?;
                let Some(next) = self.string_head(byte)? else {
                    return Err(self.unexpected("a string chunk"));
                };
                (units, more) = next;
            }
        }
        if let Some((mut len, mut more)) = self.bytes_head(byte)? {
            loop {
                self.counted(len)?;
                if !more {
                    return Ok(());
                }
                let byte = self.byte()?;
                let Some(next) = self.bytes_head(byte)? else {
                    return Err(self.unexpected("a chunk of bytes"));
                };
                (len, more) = next;
            }
        }
        if self.skip_open(byte)? || self.reference_after(byte)?.is_some() {
            return Ok(());
        }
        Err(self.unexpected("a value"))
    }

    /// Walks over the container that `byte` starts, if it does.
    fn skip_open(&mut self, byte: u8) -> Result<bool> {
        if let Some(head) = self.object_after(byte, None)? {
            for _ in 0..self.field_count(head) {
                self.skip()?;
            }
            self.object_end(head)?;
            return Ok(true);
        }
        if let Some(mut head) = self.list_after(byte, None)? {
            while self.list_more(&mut head)? {
                self.skip()?;
            }
            return Ok(true);
        }
        if let Some(mut head) = self.map_after(byte, None)? {
            while self.map_more(&mut head)? {
                self.skip()?;
                self.skip()?;
            }
            return Ok(true);
        }
        Ok(false)
    }
}

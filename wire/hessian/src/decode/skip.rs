//! Walking over a value without building it.

use super::Decoder;
use crate::error::Result;

impl<'de> Decoder<'de> {
    /// Walks over one value. Its class definitions, type names and containers are noted, so that what follows can
    /// refer to them; back references in it are not followed.
    pub fn skip(&mut self) -> Result<()> {
        self.definitions()?;
        let byte = self.byte()?;
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
        self.skip_container(byte)
    }

    fn skip_container(&mut self, byte: u8) -> Result<()> {
        if let Some(head) = self.object_after(byte, None)? {
            for _ in 0..self.field_count(head) {
                self.skip()?;
            }
            return self.object_end(head);
        }
        if let Some(mut head) = self.list_after(byte, None)? {
            while self.list_more(&mut head)? {
                self.skip()?;
            }
            return Ok(());
        }
        if let Some(mut head) = self.map_after(byte, None)? {
            while self.map_more(&mut head)? {
                self.skip()?;
                self.skip()?;
            }
            return Ok(());
        }
        match self.reference_after(byte)? {
            Some(_) => Ok(()),
            None => Err(self.unexpected("a value")),
        }
    }
}

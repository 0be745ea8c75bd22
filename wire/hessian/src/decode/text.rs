//! Strings and bytes: lent when they are one chunk of plain UTF-8, put together otherwise.

use std::borrow::Cow;

use ascii::{AsAsciiStr, AsciiStr};

use super::Decoder;
use crate::dialect::{Dialect, draft, last, tag};
use crate::error::{Error, Result};
use crate::words::{ascii_len, beyond_bmp, continuations, is_ascii};

/// A string as the wire can carry it.
#[derive(Clone, Debug)]
pub(crate) enum Text<'de> {
    /// UTF-8: lent if it was one chunk without surrogates.
    Utf8(Cow<'de, str>),
    /// UTF-16 units with at least one lone surrogate.
    Lone(Vec<u16>),
}

impl<'de> Decoder<'de> {
    /// Reads a string, `None` for null. Lone surrogates are an error here; `Value` keeps them.
    #[inline]
    pub fn str(&mut self) -> Result<Option<Cow<'de, str>>> {
        match self.short_text() {
            Some(text) => Ok(Some(Cow::Borrowed(text))),
            None => self.str_other(),
        }
    }

    /// Reads a string of its own; null is empty.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<String> {
        match self.short_text() {
            Some(text) => Ok(text.to_owned()),
            None => Ok(self.str_other()?.map(Cow::into_owned).unwrap_or_default()),
        }
    }

    /// Nearly every string of a call: up to 31 ASCII characters, lent. `None` leaves the position where it was.
    ///
    /// An option and not a result, because this is what fits into two registers.
    #[inline]
    pub(crate) fn short_text(&mut self) -> Option<&'de str> {
        let len = match self.input.get(self.position) {
            Some(&byte @ 0x00..=0x1f) if self.replays == 0 => usize::from(byte),
            _ => return None,
        };
        let start = self.position + 1;
        let text = match self.ascii_at(start, len) {
            Some(text) => text,
            None => self.find_ascii(start, len)?,
        };
        self.position = start + len;
        Some(text)
    }

    /// `len` bytes from `start` as text, if they lie in the run of ASCII found last.
    #[inline]
    fn ascii_at(&self, start: usize, len: usize) -> Option<&'de str> {
        let start = start.checked_sub(self.ascii_start)?;
        let text = self.ascii.get(start..start + len)?;
        Some(<&AsciiStr>::from(text).as_str())
    }

    /// Finds the run of ASCII at `start` and `len` bytes of it as text, if it is that long.
    ///
    /// The length of a short string is ASCII too, so a run spans many of them, and checking one long run takes less
    /// than checking each of them.
    #[inline(never)]
    fn find_ascii(&mut self, start: usize, len: usize) -> Option<&'de str> {
        let left = self.input.get(start..)?;
        let left = &left[..left.len().min(ASCII_RUN_MAX)];
        let run = left[..ascii_len(left)].as_ascii_str().ok()?;
        if run.len() < len {
            return None;
        }
        (self.ascii, self.ascii_start) = (run.as_slice(), start);
        self.ascii_at(start, len)
    }

    fn str_other(&mut self) -> Result<Option<Cow<'de, str>>> {
        let offset = self.position;
        let byte = self.byte()?;
        if byte == tag::NULL {
            return Ok(None);
        }
        match self.text_after(byte)? {
            Some(Text::Utf8(text)) => Ok(Some(text)),
            Some(Text::Lone(_)) => Err(Error::Surrogate { offset }),
            None => Err(self.unexpected("a string")),
        }
    }

    /// Reads a string, or walks over another value and gives `None`; also for a string that is no text.
    pub(crate) fn text_or_skip(&mut self) -> Result<Option<Cow<'de, str>>> {
        let byte = self.byte()?;
        match self.text_after(byte)? {
            Some(Text::Utf8(text)) => Ok(Some(text)),
            Some(Text::Lone(_)) => Ok(None),
            None => {
                self.position -= 1;
                self.skip()?;
                Ok(None)
            }
        }
    }

    /// The string that `byte` starts, if it does.
    pub(crate) fn text_after(&mut self, byte: u8) -> Result<Option<Text<'de>>> {
        let Some((units, more)) = self.string_head(byte)? else {
            return Ok(None);
        };
        if !more && let Some(text) = self.plain_text(units) {
            self.charge_replayed(text.len())?;
            return Ok(Some(Text::Utf8(Cow::Borrowed(text))));
        }
        let first = self.run(units)?;
        let text = if more {
            self.string_chunks(first)?
        } else {
            self.run_text(first)?
        };
        Ok(Some(text))
    }

    /// `units` UTF-16 units as text, if they are plain UTF-8 without characters beyond the BMP, as nearly all text is.
    /// `None` leaves the position where it was, for [`run`](Self::run) to find out what else it is.
    fn plain_text(&mut self, units: usize) -> Option<&'de str> {
        let left = self.input.get(self.position..)?;
        let ascii = left.get(..units)?;
        let text = match is_ascii(ascii) {
            true => ascii.as_ascii_str().ok()?.as_str(),
            false => std::str::from_utf8(&left[..plain_len(left, units)?]).ok()?,
        };
        self.position += text.len();
        Some(text)
    }

    /// Units of the chunk that `byte` starts and whether more chunks follow.
    pub(super) fn string_head(&mut self, byte: u8) -> Result<Option<(usize, bool)>> {
        Ok(Some(match byte {
            0x00..=0x1f => (usize::from(byte), false),
            tag::STRING => (self.length16()?, false),
            0x30..=0x33 | draft::STRING_CHUNK | last::STRING_CHUNK => {
                match (self.settle(byte), byte) {
                    (Dialect::Final, 0x30..=0x33) => (
                        (usize::from(byte) - 0x30) << 8 | usize::from(self.byte()?),
                        false,
                    ),
                    (Dialect::Draft, draft::STRING_CHUNK)
                    | (Dialect::Final, last::STRING_CHUNK) => (self.length16()?, true),
                    _ => return Ok(None),
                }
            }
            _ => return Ok(None),
        }))
    }

    fn length16(&mut self) -> Result<usize> {
        Ok(usize::from(u16::from_be_bytes(self.array()?)))
    }

    /// The bytes of `units` UTF-16 units and whether there are surrogates among them.
    pub(super) fn run(&mut self, units: usize) -> Result<Run<'de>> {
        let start = self.position;
        let left = self.input.get(start..).unwrap_or_default();
        // A unit is a byte at least, so a length beyond the bytes left is a lie.
        if units > left.len() {
            return Err(Error::Length {
                offset: start,
                length: units as i64,
                left: left.len(),
            });
        }
        let mut surrogates = false;
        let len = match is_ascii(&left[..units]) {
            true => units,
            false => utf8_len(left, units, start, &mut surrogates)?,
        };
        self.position += len;
        self.charge_replayed(len)?;
        Ok(Run {
            bytes: &left[..len],
            offset: start,
            surrogates,
        })
    }

    fn run_text(&self, run: Run<'de>) -> Result<Text<'de>> {
        if run.surrogates {
            let mut units = Vec::new();
            run.push_units(&mut units)?;
            return Ok(text_of_units(units));
        }
        Ok(Text::Utf8(Cow::Borrowed(run.text()?)))
    }

    /// The rest of a string whose first chunk was read. A pair may be split between chunks, so surrogates are put
    /// together from units.
    #[cold]
    fn string_chunks(&mut self, first: Run<'de>) -> Result<Text<'de>> {
        let mut text = String::new();
        let mut units: Option<Vec<u16>> = None;
        let mut run = first;
        let mut more = true;
        loop {
            match &mut units {
                Some(units) => run.push_units(units)?,
                None if run.surrogates => {
                    run.push_units(units.insert(text.encode_utf16().collect()))?
                }
                None => text.push_str(run.text()?),
            }
            if !more {
                break;
            }
            let byte = self.byte()?;
            let Some((length, following)) = self.string_head(byte)? else {
                return Err(self.unexpected("a string chunk"));
            };
            more = following;
            run = self.run(length)?;
        }
        Ok(units.map_or(Text::Utf8(Cow::Owned(text)), text_of_units))
    }

    /// Reads `byte[]`, `None` for null.
    pub fn bytes(&mut self) -> Result<Option<Cow<'de, [u8]>>> {
        let byte = self.byte()?;
        if byte == tag::NULL {
            return Ok(None);
        }
        match self.bytes_after(byte)? {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(self.unexpected("bytes")),
        }
    }

    /// The bytes that `byte` starts, if it does.
    pub(crate) fn bytes_after(&mut self, byte: u8) -> Result<Option<Cow<'de, [u8]>>> {
        let Some((len, mut more)) = self.bytes_head(byte)? else {
            return Ok(None);
        };
        let first = self.counted(len)?;
        if !more {
            return Ok(Some(Cow::Borrowed(first)));
        }
        let mut all = first.to_vec();
        while more {
            let byte = self.byte()?;
            let Some((len, following)) = self.bytes_head(byte)? else {
                return Err(self.unexpected("a chunk of bytes"));
            };
            more = following;
            all.extend_from_slice(self.counted(len)?);
        }
        Ok(Some(Cow::Owned(all)))
    }

    /// Length of the chunk that `byte` starts and whether more chunks follow.
    pub(super) fn bytes_head(&mut self, byte: u8) -> Result<Option<(usize, bool)>> {
        Ok(Some(match byte {
            0x20..=0x2f => (usize::from(byte) - 0x20, false),
            tag::BYTES => (self.length16()?, false),
            0x34..=0x37 | draft::BYTES_CHUNK | last::BYTES_CHUNK => match (self.settle(byte), byte)
            {
                (Dialect::Final, 0x34..=0x37) => (
                    (usize::from(byte) - 0x34) << 8 | usize::from(self.byte()?),
                    false,
                ),
                (Dialect::Draft, draft::BYTES_CHUNK) | (Dialect::Final, last::BYTES_CHUNK) => {
                    (self.length16()?, true)
                }
                _ => return Ok(None),
            },
            _ => return Ok(None),
        }))
    }

    pub(super) fn counted(&mut self, len: usize) -> Result<&'de [u8]> {
        if len > self.left() {
            return Err(Error::Length {
                offset: self.position,
                length: len as i64,
                left: self.left(),
            });
        }
        self.charge_replayed(len)?;
        self.take(len)
    }
}

/// Bytes of one chunk of a string.
#[derive(Clone, Copy)]
pub(super) struct Run<'de> {
    pub(super) bytes: &'de [u8],
    offset: usize,
    pub(super) surrogates: bool,
}

impl<'de> Run<'de> {
    pub(super) fn of_name(bytes: &'de [u8]) -> Self {
        Run {
            bytes,
            offset: 0,
            surrogates: true,
        }
    }

    /// Whether the run can be a name: pairs are fine, lone surrogates are not.
    #[cold]
    pub(super) fn check_name(&self, offset: usize) -> Result<()> {
        if !self.surrogates {
            return self.text().map(drop);
        }
        let mut units = Vec::new();
        self.push_units(&mut units)?;
        match text_of_units(units) {
            Text::Utf8(_) => Ok(()),
            Text::Lone(_) => Err(Error::Surrogate { offset }),
        }
    }

    pub(super) fn text(&self) -> Result<&'de str> {
        std::str::from_utf8(self.bytes).map_err(|e| Error::Utf8 {
            offset: self.offset + e.valid_up_to(),
        })
    }

    /// Appends the UTF-16 units. The lead bytes were checked when the run was measured, what follows them is here.
    pub(super) fn push_units(&self, units: &mut Vec<u16>) -> Result<()> {
        let mut at = 0;
        while let Some(&lead) = self.bytes.get(at) {
            let len = sequence_len(lead);
            let sequence = &self.bytes[at..at + len];
            let bad = Error::Utf8 {
                offset: self.offset + at,
            };
            if let [high @ 0xe0..=0xef, middle @ 0x80..=0xbf, low @ 0x80..=0xbf] = *sequence {
                let unit = u16::from(high & 0x0f) << 12
                    | u16::from(middle & 0x3f) << 6
                    | u16::from(low & 0x3f);
                if unit < 0x800 {
                    return Err(bad);
                }
                units.push(unit);
            } else {
                units.extend(
                    std::str::from_utf8(sequence)
                        .map_err(|_| bad)?
                        .encode_utf16(),
                );
            }
            at += len;
        }
        Ok(())
    }
}

/// Bytes to look ahead for a run of ASCII.
const ASCII_RUN_MAX: usize = 256;

/// Bytes that `units` UTF-16 units take. Characters beyond the BMP come as two three-byte surrogates (CESU-8, what
/// Java writes) or as the four bytes of UTF-8, which count as two units.
fn utf8_len(bytes: &[u8], units: usize, start: usize, surrogates: &mut bool) -> Result<usize> {
    let (mut at, mut left) = (0, units);
    while left > 0 {
        let Some(&lead) = bytes.get(at) else {
            return Err(Error::Eof {
                offset: start + bytes.len(),
                needed: left,
            });
        };
        if lead < 0x80 {
            let ascii = ascii_len(&bytes[at..bytes.len().min(at + left)]);
            at += ascii;
            left -= ascii;
            continue;
        }
        let len = sequence_len(lead);
        let cost = if len == 4 { 2 } else { 1 };
        if len == 0 || cost > left {
            return Err(Error::Utf8 { offset: start + at });
        }
        if at + len > bytes.len() {
            return Err(Error::Eof {
                offset: start + bytes.len(),
                needed: left,
            });
        }
        *surrogates |= lead == 0xed && bytes[at + 1] >= 0xa0;
        at += len;
        left -= cost;
    }
    Ok(at)
}

/// Bytes that `units` characters take, if the bytes are UTF-8 and none of them is beyond the BMP; otherwise anything or
/// `None`.
fn plain_len(bytes: &[u8], units: usize) -> Option<usize> {
    let (mut at, mut left) = (0, units);
    while left >= 8
        && let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>())
    {
        let word = u64::from_le_bytes(*block);
        if beyond_bmp(word) > 0 {
            return None;
        }
        at += 8;
        left -= 8 - continuations(word);
    }
    // Back to the start of the character that the last block may have ended in.
    if at > 0 && bytes.get(at).is_some_and(|&b| (b as i8) < -0x40) {
        let behind = bytes[..at].iter().rposition(|&b| b as i8 >= -0x40)?;
        at = behind;
        left += 1;
    }
    while left > 0 {
        let lead = *bytes.get(at)?;
        match sequence_len(lead) {
            len @ 1..=3 => at += len,
            _ => return None,
        }
        left -= 1;
    }
    (at <= bytes.len()).then_some(at)
}

/// Bytes of the sequence a lead byte starts, zero if it starts none.
fn sequence_len(lead: u8) -> usize {
    match lead {
        0x00..=0x7f => 1,
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 0,
    }
}

fn text_of_units(units: Vec<u16>) -> Text<'static> {
    match String::from_utf16(&units) {
        Ok(text) => Text::Utf8(Cow::Owned(text)),
        Err(_) => Text::Lone(units),
    }
}

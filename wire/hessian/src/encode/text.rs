//! Strings and bytes: lengths, chunks, CESU-8.

use super::Encoder;
use crate::dialect::{draft, last, tag};
use crate::words::{beyond_bmp, continuations, is_ascii};

/// UTF-16 units in a chunk, both dialects (`Hessian2Output.writeString`).
const STRING_CHUNK_UNITS: usize = 0x8000;
/// Bytes in a chunk of the draft (`sofa-hessian@3.x:Hessian2Output.writeBytes`).
const BYTES_CHUNK_DRAFT: usize = 0x8000;
/// Bytes in a chunk of the final version: what is left of Java's 4,096 byte buffer after the head, which hessian.js
/// repeats (`node-modules/hessian.js:lib/v2/encoder.js`).
const BYTES_CHUNK_FINAL: usize = 4093;

impl Encoder<'_> {
    /// Writes a string. Lengths count UTF-16 units, characters beyond the BMP become two three-byte surrogates.
    #[inline]
    pub fn str(&mut self, value: &str) {
        if value.len() <= 0x1f && is_ascii(value.as_bytes()) {
            self.out.push(value.len() as u8);
            self.out.extend_from_slice(value.as_bytes());
        } else {
            self.str_long(value);
        }
    }

    fn str_long(&mut self, mut value: &str) {
        let (mut units, pairs) = utf16_units(value);
        if pairs == 0 && units <= STRING_CHUNK_UNITS {
            self.string_head(units);
            return self.out.extend_from_slice(value.as_bytes());
        }
        while units > STRING_CHUNK_UNITS {
            let (at, chunk_units) = chunk_end(value);
            let (chunk, rest) = value.split_at(at);
            self.string_chunk(chunk_units);
            self.cesu8(chunk, chunk_units);
            units -= chunk_units;
            value = rest;
        }
        self.string_head(units);
        self.cesu8(value, units);
    }

    /// Writes a string by its UTF-16 units, lone surrogates included.
    pub fn str_utf16(&mut self, mut value: &[u16]) {
        while value.len() > STRING_CHUNK_UNITS {
            let cut = STRING_CHUNK_UNITS - usize::from(is_high(value[STRING_CHUNK_UNITS - 1]));
            let (chunk, rest) = value.split_at(cut);
            self.string_chunk(cut);
            self.cesu8_units(chunk);
            value = rest;
        }
        self.string_head(value.len());
        self.cesu8_units(value);
    }

    /// Writes `byte[]`.
    pub fn bytes(&mut self, mut value: &[u8]) {
        let (chunk_len, chunk_tag) = if self.is_draft() {
            (BYTES_CHUNK_DRAFT, draft::BYTES_CHUNK)
        } else {
            (BYTES_CHUNK_FINAL, last::BYTES_CHUNK)
        };
        while value.len() > chunk_len {
            let (chunk, rest) = value.split_at(chunk_len);
            self.head16(chunk_tag, chunk_len);
            self.out.extend_from_slice(chunk);
            value = rest;
        }
        match value.len() {
            len @ 0..=0x0f => self.out.push(0x20 + len as u8),
            len @ 0x10..=0x3ff if !self.is_draft() => {
                self.out
                    .extend_from_slice(&[0x34 + (len >> 8) as u8, len as u8]);
            }
            len => self.head16(tag::BYTES, len),
        }
        self.out.extend_from_slice(value);
    }

    pub(super) fn string_head(&mut self, units: usize) {
        match units {
            0..=0x1f => self.out.push(units as u8),
            0x20..=0x3ff if !self.is_draft() => {
                self.out
                    .extend_from_slice(&[0x30 + (units >> 8) as u8, units as u8]);
            }
            _ => self.head16(tag::STRING, units),
        }
    }

    fn string_chunk(&mut self, units: usize) {
        let tag = if self.is_draft() {
            draft::STRING_CHUNK
        } else {
            last::STRING_CHUNK
        };
        self.head16(tag, units);
    }

    fn head16(&mut self, tag: u8, len: usize) {
        self.out
            .extend_from_slice(&[tag, (len >> 8) as u8, len as u8]);
    }

    /// UTF-8 is CESU-8 as long as no character needs four bytes, which the two lengths tell.
    pub(super) fn cesu8(&mut self, text: &str, units: usize) {
        if units == text.len() || !text.bytes().any(|b| b >= 0xf0) {
            return self.out.extend_from_slice(text.as_bytes());
        }
        for c in text.chars() {
            let mut buffer = [0; 4];
            if (c as u32) < 0x10000 {
                self.out
                    .extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
            } else {
                let mut pair = [0; 2];
                self.cesu8_units(c.encode_utf16(&mut pair));
            }
        }
    }

    fn cesu8_units(&mut self, units: &[u16]) {
        for &unit in units {
            let (high, middle, low) = (
                (unit >> 12) as u8,
                (unit >> 6) as u8 & 0x3f,
                unit as u8 & 0x3f,
            );
            match unit {
                0..=0x7f => self.out.push(unit as u8),
                0x80..=0x7ff => self
                    .out
                    .extend_from_slice(&[0xc0 | (unit >> 6) as u8, 0x80 | low]),
                _ => self
                    .out
                    .extend_from_slice(&[0xe0 | high, 0x80 | middle, 0x80 | low]),
            }
        }
    }
}

/// UTF-16 units of a string.
pub(crate) fn utf16_len(text: &str) -> usize {
    utf16_units(text).0
}

/// UTF-16 units of a string, and how many of its characters take two: every byte that is no continuation starts one,
/// a four-byte lead starts two.
fn utf16_units(text: &str) -> (usize, usize) {
    if text.is_ascii() {
        return (text.len(), 0);
    }
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let mut pairs = rest.iter().filter(|&&b| b >= 0xf0).count();
    let mut units = rest.iter().filter(|&&b| b & 0xc0 != 0x80).count() + pairs;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let beyond = beyond_bmp(word);
        pairs += beyond;
        units += 8 - continuations(word) + beyond;
    }
    (units, pairs)
}

/// Byte position and units of the first chunk; a pair is never split, so it may be a unit short.
fn chunk_end(text: &str) -> (usize, usize) {
    let mut units = 0;
    for (at, c) in text.char_indices() {
        if units + c.len_utf16() > STRING_CHUNK_UNITS {
            return (at, units);
        }
        units += c.len_utf16();
    }
    (text.len(), units)
}

fn is_high(unit: u16) -> bool {
    (0xd800..0xdc00).contains(&unit)
}

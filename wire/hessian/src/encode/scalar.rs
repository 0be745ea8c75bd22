//! Null, booleans, numbers, dates: always the shortest form, as `Hessian2Output` of both lines picks it.

use super::Encoder;
use crate::dialect::{draft, last, tag};

impl Encoder<'_> {
    /// Writes null.
    #[inline]
    pub fn null(&mut self) {
        self.out.push(tag::NULL);
    }

    /// Writes a boolean.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.out.push(if value { tag::TRUE } else { tag::FALSE });
    }

    /// Writes a 32-bit integer, Java's `byte`, `short` and `int` alike.
    #[inline]
    pub fn int(&mut self, value: i32) {
        let [b3, b2, b1, b0] = value.to_be_bytes();
        match value {
            -0x10..=0x2f => self.out.push(b0.wrapping_add(0x90)),
            -0x800..=0x7ff => self.out.extend_from_slice(&[b1.wrapping_add(0xc8), b0]),
            -0x40000..=0x3ffff => self.out.extend_from_slice(&[b2.wrapping_add(0xd4), b1, b0]),
            _ => self.out.extend_from_slice(&[tag::INT, b3, b2, b1, b0]),
        }
    }

    /// Writes a 64-bit integer.
    #[inline]
    pub fn long(&mut self, value: i64) {
        let b = value.to_be_bytes();
        match value {
            -0x08..=0x0f => self.out.push(b[7].wrapping_add(0xe0)),
            -0x800..=0x7ff => self.out.extend_from_slice(&[b[6].wrapping_add(0xf8), b[7]]),
            -0x40000..=0x3ffff => {
                self.out
                    .extend_from_slice(&[b[5].wrapping_add(0x3c), b[6], b[7]])
            }
            -0x8000_0000..=0x7fff_ffff => {
                let tag = if self.is_draft() {
                    draft::LONG_INT
                } else {
                    last::LONG_INT
                };
                self.out.extend_from_slice(&[tag, b[4], b[5], b[6], b[7]]);
            }
            _ => self.tagged(tag::LONG, b),
        }
    }

    /// Writes a double, Java's `float` and `double` alike.
    ///
    /// As in Java -0.0 becomes 0.0: `Hessian2Output.writeDouble` compares the integer part by value.
    pub fn double(&mut self, value: f64) {
        let [zero, one, byte, short] = if self.is_draft() {
            [
                draft::DOUBLE_ZERO,
                draft::DOUBLE_ONE,
                draft::DOUBLE_BYTE,
                draft::DOUBLE_SHORT,
            ]
        } else {
            [
                last::DOUBLE_ZERO,
                last::DOUBLE_ONE,
                last::DOUBLE_BYTE,
                last::DOUBLE_SHORT,
            ]
        };
        let whole = value as i32;
        if f64::from(whole) == value {
            let [.., b1, b0] = whole.to_be_bytes();
            match whole {
                0 => return self.out.push(zero),
                1 => return self.out.push(one),
                -0x80..=0x7f => return self.out.extend_from_slice(&[byte, b0]),
                -0x8000..=0x7fff => return self.out.extend_from_slice(&[short, b1, b0]),
                _ => {}
            }
        }
        if self.is_draft() {
            let single = value as f32;
            if f64::from(single) == value {
                let [b3, b2, b1, b0] = single.to_be_bytes();
                return self
                    .out
                    .extend_from_slice(&[draft::DOUBLE_FLOAT, b3, b2, b1, b0]);
            }
        } else {
            // Out of range saturates as in Java and then fails the comparison.
            let mills = (value * 1000.0) as i32;
            if 0.001 * f64::from(mills) == value {
                let [b3, b2, b1, b0] = mills.to_be_bytes();
                return self
                    .out
                    .extend_from_slice(&[last::DOUBLE_MILLS, b3, b2, b1, b0]);
            }
        }
        self.tagged(tag::DOUBLE, value.to_be_bytes());
    }

    /// Writes a date, milliseconds since 1970 UTC. The final version shortens whole minutes.
    pub fn date_ms(&mut self, value: i64) {
        if self.is_draft() {
            return self.tagged(draft::DATE, value.to_be_bytes());
        }
        match i32::try_from(value / 60_000) {
            Ok(minutes) if value % 60_000 == 0 => {
                let [b3, b2, b1, b0] = minutes.to_be_bytes();
                self.out
                    .extend_from_slice(&[last::DATE_MINUTES, b3, b2, b1, b0]);
            }
            _ => self.tagged(last::DATE, value.to_be_bytes()),
        }
    }

    #[inline]
    fn tagged(&mut self, tag: u8, b: [u8; 8]) {
        self.out
            .extend_from_slice(&[tag, b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
    }
}

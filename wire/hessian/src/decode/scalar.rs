//! Booleans, numbers, dates.

use super::Decoder;
use crate::dialect::{Dialect, draft, last, tag};
use crate::error::{Error, Result};

/// A number or what Java's readers take for one.
#[derive(Clone, Copy)]
pub(crate) enum Number {
    Null,
    Bool(bool),
    Int(i32),
    Long(i64),
    Double(f64),
}

impl<'de> Decoder<'de> {
    /// Reads a boolean; null is false, a number is true unless zero (`Hessian2Input.readBoolean`).
    #[inline]
    pub fn bool(&mut self) -> Result<bool> {
        match self.byte()? {
            tag::TRUE => Ok(true),
            tag::FALSE => Ok(false),
            byte => match self.number(byte, "a boolean")? {
                Number::Null => Ok(false),
                Number::Bool(value) => Ok(value),
                Number::Int(value) => Ok(value != 0),
                Number::Long(value) => Ok(value != 0),
                Number::Double(value) => Ok(value != 0.0),
            },
        }
    }

    /// Reads an `int`; null is zero, longs and doubles are taken when nothing is lost.
    #[inline]
    pub fn int(&mut self) -> Result<i32> {
        match self.byte()? {
            byte @ 0x80..=0xbf => Ok(i32::from(byte) - 0x90),
            byte @ 0xc0..=0xcf => Ok(((i32::from(byte) - 0xc8) << 8) | i32::from(self.byte()?)),
            byte @ 0xd0..=0xd7 => {
                let low = u16::from_be_bytes(self.array()?);
                Ok(((i32::from(byte) - 0xd4) << 16) | i32::from(low))
            }
            byte => self.int_other(byte),
        }
    }

    fn int_other(&mut self, byte: u8) -> Result<i32> {
        let offset = self.position - 1;
        let range = Error::Range {
            offset,
            wanted: "int",
        };
        match self.number(byte, "an int")? {
            Number::Null => Ok(0),
            Number::Bool(value) => Ok(i32::from(value)),
            Number::Int(value) => Ok(value),
            Number::Long(value) => i32::try_from(value).map_err(|_| range),
            Number::Double(value) if f64::from(value as i32) == value => Ok(value as i32),
            Number::Double(_) => Err(range),
        }
    }

    /// Reads a `long`; null is zero, ints and doubles are taken when nothing is lost.
    #[inline]
    pub fn long(&mut self) -> Result<i64> {
        match self.byte()? {
            byte @ 0xd8..=0xef => Ok(i64::from(byte) - 0xe0),
            tag::LONG => Ok(i64::from_be_bytes(self.array()?)),
            byte => self.long_other(byte),
        }
    }

    fn long_other(&mut self, byte: u8) -> Result<i64> {
        let offset = self.position - 1;
        match self.number(byte, "a long")? {
            Number::Null => Ok(0),
            Number::Bool(value) => Ok(i64::from(value)),
            Number::Int(value) => Ok(i64::from(value)),
            Number::Long(value) => Ok(value),
            // 2^63 itself saturates and compares equal, so it is left out.
            Number::Double(value) if value.abs() < 9.2e18 && value as i64 as f64 == value => {
                Ok(value as i64)
            }
            Number::Double(_) => Err(Error::Range {
                offset,
                wanted: "long",
            }),
        }
    }

    /// Reads a `double`; null is zero, ints and longs are taken when nothing is lost.
    #[inline]
    pub fn double(&mut self) -> Result<f64> {
        match self.byte()? {
            tag::DOUBLE => Ok(f64::from_be_bytes(self.array()?)),
            draft::DOUBLE_FLOAT if self.dialect == Some(Dialect::Draft) => {
                Ok(f64::from(f32::from_be_bytes(self.array()?)))
            }
            last::DOUBLE_MILLS if self.dialect == Some(Dialect::Final) => {
                Ok(0.001 * f64::from(i32::from_be_bytes(self.array()?)))
            }
            byte => self.double_other(byte),
        }
    }

    fn double_other(&mut self, byte: u8) -> Result<f64> {
        let offset = self.position - 1;
        match self.number(byte, "a double")? {
            Number::Null => Ok(0.0),
            Number::Bool(value) => Ok(f64::from(u8::from(value))),
            Number::Int(value) => Ok(f64::from(value)),
            Number::Long(value) if value as f64 as i128 == i128::from(value) => Ok(value as f64),
            Number::Long(_) => Err(Error::Range {
                offset,
                wanted: "double",
            }),
            Number::Double(value) => Ok(value),
        }
    }

    /// Reads a date, milliseconds since 1970 UTC; null is zero.
    pub fn date_ms(&mut self) -> Result<i64> {
        let byte = self.byte()?;
        if byte == draft::DATE && self.dialect == Some(Dialect::Draft) {
            return Ok(i64::from_be_bytes(self.array()?));
        }
        if byte == tag::NULL {
            return Ok(0);
        }
        match self.date_after(byte)? {
            Some(date) => Ok(date),
            None => Err(self.unexpected("a date")),
        }
    }

    /// The date that `byte` starts, if it does.
    pub(crate) fn date_after(&mut self, byte: u8) -> Result<Option<i64>> {
        match (self.settle(byte), byte) {
            (Dialect::Draft, draft::DATE) | (Dialect::Final, last::DATE) => {
                Ok(Some(i64::from_be_bytes(self.array()?)))
            }
            (Dialect::Final, last::DATE_MINUTES) => {
                Ok(Some(i64::from(i32::from_be_bytes(self.array()?)) * 60_000))
            }
            _ => Ok(None),
        }
    }

    /// The number that `byte`, just read, starts.
    fn number(&mut self, byte: u8, expected: &'static str) -> Result<Number> {
        match self.number_after(byte)? {
            Some(number) => Ok(number),
            None => Err(self.unexpected(expected)),
        }
    }

    /// The number that `byte` starts, if it does (`Hessian2Constants.java` of both lines).
    #[inline]
    pub(crate) fn number_after(&mut self, byte: u8) -> Result<Option<Number>> {
        Ok(Some(match byte {
            0x80..=0xbf => Number::Int(i32::from(byte) - 0x90),
            0xc0..=0xcf => Number::Int(((i32::from(byte) - 0xc8) << 8) | i32::from(self.byte()?)),
            0xd0..=0xd7 => {
                let low = u16::from_be_bytes(self.array()?);
                Number::Int(((i32::from(byte) - 0xd4) << 16) | i32::from(low))
            }
            0xd8..=0xef => Number::Long(i64::from(byte) - 0xe0),
            0xf0..=0xff => Number::Long(((i64::from(byte) - 0xf8) << 8) | i64::from(self.byte()?)),
            0x38..=0x3f => {
                let low = u16::from_be_bytes(self.array()?);
                Number::Long(((i64::from(byte) - 0x3c) << 16) | i64::from(low))
            }
            tag::NULL => Number::Null,
            tag::TRUE => Number::Bool(true),
            tag::FALSE => Number::Bool(false),
            tag::INT => Number::Int(i32::from_be_bytes(self.array()?)),
            tag::LONG => Number::Long(i64::from_be_bytes(self.array()?)),
            tag::DOUBLE => Number::Double(f64::from_be_bytes(self.array()?)),
            0x59..=0x5f | 0x67..=0x6b | draft::LONG_INT => match (self.settle(byte), byte) {
                (Dialect::Draft, draft::LONG_INT) | (Dialect::Final, last::LONG_INT) => {
                    Number::Long(i64::from(i32::from_be_bytes(self.array()?)))
                }
                (Dialect::Draft, draft::DOUBLE_ZERO) | (Dialect::Final, last::DOUBLE_ZERO) => {
                    Number::Double(0.0)
                }
                (Dialect::Draft, draft::DOUBLE_ONE) | (Dialect::Final, last::DOUBLE_ONE) => {
                    Number::Double(1.0)
                }
                (Dialect::Draft, draft::DOUBLE_BYTE) | (Dialect::Final, last::DOUBLE_BYTE) => {
                    Number::Double(f64::from(self.byte()? as i8))
                }
                (Dialect::Draft, draft::DOUBLE_SHORT) | (Dialect::Final, last::DOUBLE_SHORT) => {
                    Number::Double(f64::from(i16::from_be_bytes(self.array()?)))
                }
                (Dialect::Draft, draft::DOUBLE_FLOAT) => {
                    Number::Double(f64::from(f32::from_be_bytes(self.array()?)))
                }
                // Multiplied as Java does it: 0.001 * mills is not mills / 1000 in the last bit.
                (Dialect::Final, last::DOUBLE_MILLS) => {
                    Number::Double(0.001 * f64::from(i32::from_be_bytes(self.array()?)))
                }
                _ => return Ok(None),
            },
            _ => return Ok(None),
        }))
    }
}

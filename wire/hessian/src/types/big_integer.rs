//! `java.math.BigInteger`, which travels as its sign and magnitude.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::class::{Typed, typed};
use crate::decode::{Decode, Decoder};
use crate::encode::{Encode, Encoder};
use crate::error::{Error, Result};
use crate::java_type::JavaType;

/// Digits of a decimal text that is read: turning text into a magnitude takes the square of its length.
const DIGITS_MAX: usize = 10_000;

/// `java.math.BigInteger`; null is zero. Printing takes the square of its length, which a sender chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct BigInteger {
    negative: bool,
    /// Most significant first, no leading zeros: Java's `mag`.
    magnitude: Vec<u32>,
}

impl BigInteger {
    fn new(negative: bool, mut magnitude: Vec<u32>) -> Self {
        let zeros = magnitude.iter().take_while(|&&limb| limb == 0).count();
        magnitude.drain(..zeros);
        BigInteger {
            negative: negative && !magnitude.is_empty(),
            magnitude,
        }
    }

    /// Java's `signum`.
    pub fn signum(&self) -> i32 {
        match (self.magnitude.is_empty(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    fn typed() -> &'static Typed {
        typed!("java.math.BigInteger", &["signum", "mag"])
    }
}

impl From<i128> for BigInteger {
    fn from(value: i128) -> Self {
        let absolute = value.unsigned_abs();
        let limbs = (0..4)
            .rev()
            .map(|index| (absolute >> (32 * index)) as u32)
            .collect();
        BigInteger::new(value < 0, limbs)
    }
}

/// Decimal text, as Java's `new BigInteger(String)` takes it; the error is the offending text.
impl FromStr for BigInteger {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        if digits.is_empty()
            || digits.len() > DIGITS_MAX
            || !digits.bytes().all(|b| b.is_ascii_digit())
        {
            return Err(text.into());
        }
        // Least significant first while it grows.
        let mut limbs: Vec<u32> = Vec::new();
        for digit in digits.bytes() {
            let mut carry = u64::from(digit - b'0');
            for limb in &mut limbs {
                let sum = u64::from(*limb) * 10 + carry;
                *limb = sum as u32;
                carry = sum >> 32;
            }
            if carry > 0 {
                limbs.push(carry as u32);
            }
        }
        limbs.reverse();
        Ok(BigInteger::new(text.starts_with('-'), limbs))
    }
}

impl fmt::Display for BigInteger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut limbs = self.magnitude.clone();
        let mut groups: Vec<u32> = Vec::new();
        while !limbs.is_empty() {
            let mut rest = 0;
            for limb in &mut limbs {
                let value = rest << 32 | u64::from(*limb);
                *limb = (value / 1_000_000_000) as u32;
                rest = value % 1_000_000_000;
            }
            groups.push(rest as u32);
            let zeros = limbs.iter().take_while(|&&limb| limb == 0).count();
            limbs.drain(..zeros);
        }
        let mut text = groups.pop().unwrap_or(0).to_string();
        for group in groups.iter().rev() {
            text.push_str(&format!("{group:09}"));
        }
        f.pad_integral(!self.negative, "", &text)
    }
}

/// Sign and magnitude, the fields that every Java reads (`java.math.BigInteger`, by reflection; Java 8 writes four
/// deprecated ones besides).
impl Encode for BigInteger {
    fn encode(&self, e: &mut Encoder<'_>) {
        e.object_of(Self::typed());
        e.int(self.signum());
        e.list_begin(Some("[int"), self.magnitude.len());
        self.magnitude
            .iter()
            .for_each(|&limb| e.int(limb.cast_signed()));
        e.list_end();
    }
}

/// An object of sign and magnitude or of a decimal `value`, or the bare decimal text.
impl<'de> Decode<'de> for BigInteger {
    fn decode(d: &mut Decoder<'de>) -> Result<Self> {
        let offset = d.position();
        let parse = |text: Cow<'de, str>| {
            let invalid = |text: String| Error::Invalid {
                offset,
                wanted: "java.math.BigInteger",
                text: text.into(),
            };
            text.parse::<BigInteger>().map_err(invalid)
        };
        if d.peek()? <= 0x1f {
            return parse(d.str()?.unwrap_or_default());
        }
        let Some((head, _)) = d.object_of(Self::typed())? else {
            return Ok(BigInteger::default());
        };
        let mut value = BigInteger::default();
        for index in 0..d.field_count(head) {
            match d.field_bytes(head, index) {
                b"signum" => value.negative = d.int()? < 0,
                b"mag" => {
                    let limbs: Vec<i32> = Decode::decode(d)?;
                    value.magnitude = limbs.into_iter().map(i32::cast_unsigned).collect();
                }
                b"value" => value = parse(d.str()?.unwrap_or_default())?,
                _ => d.skip()?,
            }
        }
        d.object_end(head)?;
        Ok(BigInteger::new(value.negative, value.magnitude))
    }

    fn absent() -> Option<Self> {
        Some(BigInteger::default())
    }
}

impl JavaType for BigInteger {
    fn java_type() -> Cow<'static, str> {
        Cow::Borrowed("java.math.BigInteger")
    }
}

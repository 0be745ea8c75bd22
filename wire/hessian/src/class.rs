//! A class a Rust type stands for, and the bytes of its definition.
//!
//! The definition of a known class is a constant: writing it is one copy, reading the usual one (same fields, same
//! order) one comparison.

/// A Java class by name and fields, in the order in which the fields are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// Full Java name: `com.diwan.bench.Order`.
    pub name: &'static str,
    /// Field names.
    pub fields: &'static [&'static str],
}

/// A class with the bytes of its definition in both dialects, made at compile time by the derive or by
/// [`typed!`](crate::typed).
#[derive(Debug)]
pub struct Typed {
    /// The class.
    pub class: Class,
    /// `O` and all that follows, up to the first object.
    pub draft: &'static [u8],
    /// `C` and all that follows.
    pub last: &'static [u8],
}

/// Length of [`definition`]'s result.
#[doc(hidden)]
pub const fn definition_len(draft: bool, name: &str, fields: &[&str]) -> usize {
    let mut len = 1 + int_len(name.len());
    if !draft {
        len = 1 + string_head_len(name.len());
    }
    len += name.len() + int_len(fields.len());
    let mut i = 0;
    while i < fields.len() {
        len += string_field_head_len(draft, fields[i].len()) + fields[i].len();
        i += 1;
    }
    len
}

/// Bytes of a class definition. The names must be ASCII, which the derive checks.
#[doc(hidden)]
pub const fn definition<const N: usize>(draft: bool, name: &str, fields: &[&str]) -> [u8; N] {
    let mut out = [0; N];
    let mut at = 1;
    if draft {
        out[0] = b'O';
        at = put_int(&mut out, at, name.len());
    } else {
        out[0] = b'C';
        at = put_string_head(&mut out, at, false, name.len());
    }
    at = put_str(&mut out, at, name);
    at = put_int(&mut out, at, fields.len());
    let mut i = 0;
    while i < fields.len() {
        at = put_string_head(&mut out, at, draft, fields[i].len());
        at = put_str(&mut out, at, fields[i]);
        i += 1;
    }
    assert!(at == N);
    out
}

/// All the names of `parts`, in order: the fields of a class with flattened parents.
#[doc(hidden)]
pub const fn concat_names<const N: usize>(parts: &[&[&'static str]]) -> [&'static str; N] {
    let mut out = [""; N];
    let (mut at, mut p) = (0, 0);
    while p < parts.len() {
        let mut i = 0;
        while i < parts[p].len() {
            out[at] = parts[p][i];
            at += 1;
            i += 1;
        }
        p += 1;
    }
    assert!(at == N);
    out
}

const fn int_len(value: usize) -> usize {
    match value {
        0..=0x2f => 1,
        0x30..=0x7ff => 2,
        0x800..=0x3ffff => 3,
        _ => 5,
    }
}

const fn string_head_len(units: usize) -> usize {
    match units {
        0..=0x1f => 1,
        0x20..=0x3ff => 2,
        _ => 3,
    }
}

const fn string_field_head_len(draft: bool, units: usize) -> usize {
    match units {
        0..=0x1f => 1,
        0x20..=0x3ff if !draft => 2,
        _ => 3,
    }
}

const fn put_int<const N: usize>(out: &mut [u8; N], at: usize, value: usize) -> usize {
    match value {
        0..=0x2f => {
            out[at] = 0x90 + value as u8;
            at + 1
        }
        0x30..=0x7ff => {
            out[at] = 0xc8 + (value >> 8) as u8;
            out[at + 1] = value as u8;
            at + 2
        }
        _ => {
            assert!(value <= 0x3ffff);
            out[at] = 0xd4 + (value >> 16) as u8;
            out[at + 1] = (value >> 8) as u8;
            out[at + 2] = value as u8;
            at + 3
        }
    }
}

const fn put_string_head<const N: usize>(
    out: &mut [u8; N],
    at: usize,
    draft: bool,
    units: usize,
) -> usize {
    match units {
        0..=0x1f => {
            out[at] = units as u8;
            at + 1
        }
        0x20..=0x3ff if !draft => {
            out[at] = 0x30 + (units >> 8) as u8;
            out[at + 1] = units as u8;
            at + 2
        }
        _ => {
            assert!(units <= 0x8000);
            out[at] = b'S';
            out[at + 1] = (units >> 8) as u8;
            out[at + 2] = units as u8;
            at + 3
        }
    }
}

const fn put_str<const N: usize>(out: &mut [u8; N], mut at: usize, text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        assert!(bytes[i] < 0x80, "names of derived classes are ASCII");
        out[at] = bytes[i];
        at += 1;
        i += 1;
    }
    at
}

/// The static description of a class, a `&'static` [`Typed`], by its name and its fields in the order of the wire:
/// for types read and written by hand. All of it must be ASCII.
#[macro_export]
macro_rules! typed {
    ($name:expr, $fields:expr) => {{
        use $crate::derive_support::{Class, Typed, definition, definition_len};
        const NAME: &str = $name;
        const FIELDS: &[&str] = $fields;
        const DRAFT: [u8; definition_len(true, NAME, FIELDS)] = definition(true, NAME, FIELDS);
        const LAST: [u8; definition_len(false, NAME, FIELDS)] = definition(false, NAME, FIELDS);
        static TYPED: Typed = Typed {
            class: Class {
                name: NAME,
                fields: FIELDS,
            },
            draft: &DRAFT,
            last: &LAST,
        };
        &TYPED
    }};
}
pub(crate) use typed;

//! The two dialects and the tag bytes each of them gives a meaning of its own.

/// Which Hessian a body is written in.
///
/// SOFARPC ships hessian 3.5.x, which still writes the draft of Hessian 2.0 that Caucho's 3.1.3 implemented
/// (`sofastack/sofa-hessian@3.x:src/main/java/com/caucho/hessian/io/Hessian2Constants.java`); Dubbo and SOFABoot 4
/// write the final Hessian 2.0 (`sofastack/sofa-hessian@master`, same file).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// SOFA's 3.x, the Caucho 3.1.3 draft: class definitions start with `O`, lists and maps end with `z`.
    Draft,
    /// Hessian 2.0 as published: class definitions start with `C`, variable lists and maps end with `Z`.
    Final,
}

/// Tags that mean the same in both dialects.
pub(crate) mod tag {
    pub(crate) const NULL: u8 = b'N';
    pub(crate) const TRUE: u8 = b'T';
    pub(crate) const FALSE: u8 = b'F';
    pub(crate) const INT: u8 = b'I';
    pub(crate) const LONG: u8 = b'L';
    pub(crate) const DOUBLE: u8 = b'D';
    pub(crate) const STRING: u8 = b'S';
    pub(crate) const BYTES: u8 = b'B';
    pub(crate) const LIST: u8 = b'V';
    pub(crate) const MAP: u8 = b'M';
}

/// Tags of the draft (`sofa-hessian@3.x:Hessian2Constants.java`, letters from `Hessian2Output.java`).
pub(crate) mod draft {
    pub(crate) const LONG_INT: u8 = 0x77;
    pub(crate) const DOUBLE_ZERO: u8 = 0x67;
    pub(crate) const DOUBLE_ONE: u8 = 0x68;
    pub(crate) const DOUBLE_BYTE: u8 = 0x69;
    pub(crate) const DOUBLE_SHORT: u8 = 0x6a;
    pub(crate) const DOUBLE_FLOAT: u8 = 0x6b;
    pub(crate) const DATE: u8 = b'd';
    pub(crate) const STRING_CHUNK: u8 = b's';
    pub(crate) const BYTES_CHUNK: u8 = b'b';
    pub(crate) const LIST_KNOWN: u8 = 0x76;
    pub(crate) const LENGTH_BYTE: u8 = 0x6e;
    pub(crate) const LENGTH_INT: u8 = b'l';
    pub(crate) const TYPE: u8 = b't';
    pub(crate) const TYPE_REF: u8 = 0x75;
    pub(crate) const END: u8 = b'z';
    pub(crate) const CLASS: u8 = b'O';
    pub(crate) const OBJECT: u8 = b'o';
    pub(crate) const REF_BYTE: u8 = 0x4a;
    pub(crate) const REF_SHORT: u8 = 0x4b;
    pub(crate) const REF_INT: u8 = b'R';
}

/// Tags of the final version (`sofa-hessian@master:Hessian2Constants.java`). Named `last` because `final` is reserved.
pub(crate) mod last {
    pub(crate) const LONG_INT: u8 = 0x59;
    pub(crate) const DOUBLE_ZERO: u8 = 0x5b;
    pub(crate) const DOUBLE_ONE: u8 = 0x5c;
    pub(crate) const DOUBLE_BYTE: u8 = 0x5d;
    pub(crate) const DOUBLE_SHORT: u8 = 0x5e;
    pub(crate) const DOUBLE_MILLS: u8 = 0x5f;
    pub(crate) const DATE: u8 = 0x4a;
    pub(crate) const DATE_MINUTES: u8 = 0x4b;
    pub(crate) const STRING_CHUNK: u8 = b'R';
    pub(crate) const BYTES_CHUNK: u8 = b'A';
    pub(crate) const LIST_VARIABLE: u8 = 0x55;
    pub(crate) const LIST_VARIABLE_UNTYPED: u8 = 0x57;
    pub(crate) const LIST_FIXED_UNTYPED: u8 = 0x58;
    pub(crate) const MAP_UNTYPED: u8 = b'H';
    pub(crate) const END: u8 = b'Z';
    pub(crate) const CLASS: u8 = b'C';
    pub(crate) const OBJECT: u8 = b'O';
    pub(crate) const REF: u8 = 0x51;
}

impl Dialect {
    /// What a value's leading tag says about a body whose dialect is not settled yet; `None` when both dialects give
    /// the tag the same meaning.
    ///
    /// Before anything was settled no container was read (each of them settles), so no back reference, no type
    /// reference and no object can come: `J`, `K`, `R` must be the final version's dates and string chunk, `p`-`v`
    /// its short typed lists. What stays ambiguous (`b`, `d`, `g`-`k`, `o`, `s`, `w`) is the draft: undecided means
    /// draft.
    pub(crate) fn of_first_tag(tag: u8, following: Option<u8>) -> Option<Dialect> {
        match tag {
            0x00..=0x2f | 0x38..=0x3f | 0x80..=0xff => None,
            tag::NULL
            | tag::TRUE
            | tag::FALSE
            | tag::INT
            | tag::LONG
            | tag::DOUBLE
            | tag::STRING
            | tag::BYTES => None,
            // The draft marks a list's type with `t` and its length with `n` or `l`; the final version follows with
            // the bare string of the type.
            tag::LIST => match following {
                Some(0x00..=0x1f | 0x30..=0x33 | tag::STRING | last::STRING_CHUNK) => {
                    Some(Dialect::Final)
                }
                _ => Some(Dialect::Draft),
            },
            // A draft map without a type is just as common as a final one with a type: undecided means draft.
            tag::MAP => Some(Dialect::Draft),
            0x30..=0x37 | last::BYTES_CHUNK | last::CLASS | last::MAP_UNTYPED => {
                Some(Dialect::Final)
            }
            last::DATE | last::DATE_MINUTES | last::STRING_CHUNK => Some(Dialect::Final),
            last::REF
            | last::LIST_VARIABLE
            | last::LIST_VARIABLE_UNTYPED
            | last::LIST_FIXED_UNTYPED => Some(Dialect::Final),
            last::LONG_INT..=last::DOUBLE_MILLS => Some(Dialect::Final),
            0x70..=0x72 | 0x74..=0x76 | 0x78..=0x7f => Some(Dialect::Final),
            _ => Some(Dialect::Draft),
        }
    }
}

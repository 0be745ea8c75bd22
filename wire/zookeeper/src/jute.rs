//! Jute's binary form (apache/zookeeper:zookeeper-jute/src/main/java/org/apache/jute/BinaryInputArchive.java): big-endian
//! numbers; texts, buffers and vectors behind their length, where -1 stands for null, which is read as empty.

use crate::DecodeError;

/// Longer vectors are refused.
pub const ELEMENTS_MAX: usize = 200_000;

/// What stands at a place of a packet.
pub trait Record: Sized {
    /// Appends it.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads it from where the reader is.
    ///
    /// # Errors
    /// The bytes are something else.
    #[doc(hidden)]
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads it from all of the bytes.
    ///
    /// # Errors
    /// The bytes are something else, or more.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let record = Self::read(&mut reader)?;
        reader.end()?;
        Ok(record)
    }
}

/// A place in a packet.
#[doc(hidden)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, needed: usize) -> Result<&'a [u8], DecodeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.get(..needed) else {
            return Err(DecodeError::Truncated {
                offset: self.at,
                needed,
                left: rest.len(),
            });
        };
        self.at += needed;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn length(&mut self, limit: usize) -> Result<usize, DecodeError> {
        let offset = self.at;
        let length = i32::read(self)?;
        match usize::try_from(length) {
            Ok(length) if length <= limit => Ok(length),
            Err(_) if length == -1 => Ok(0),
            _ => Err(DecodeError::Length {
                offset,
                length,
                limit,
            }),
        }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        match self.bytes.len().saturating_sub(self.at) {
            0 => Ok(()),
            left => Err(DecodeError::Trailing {
                offset: self.at,
                left,
            }),
        }
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Record for $number {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend(self.to_be_bytes());
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self::from_be_bytes(reader.array()?))
            }
        }
    )*};
}

numbers! { i32 i64 }

impl Record for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = reader.at;
        match reader.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [value] => Err(DecodeError::Bool { offset, value }),
        }
    }
}

/// Bytes of any meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buffer(pub Vec<u8>);

impl Record for Buffer {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(&self.0, out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.length(i32::MAX as usize)?;
        Ok(Self(reader.take(length)?.to_vec()))
    }
}

impl Record for String {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(self.as_bytes(), out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.length(i32::MAX as usize)?;
        let offset = reader.at;
        let text = std::str::from_utf8(reader.take(length)?);
        Ok(text.map_err(|_| DecodeError::Text { offset })?.to_owned())
    }
}

impl<T: Record> Record for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        write_length(self.len(), out);
        for element in self {
            element.write(out);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        // Nothing is set aside for elements before they are there: each takes bytes.
        let count = reader.length(ELEMENTS_MAX)?;
        (0..count).map(|_| T::read(reader)).collect()
    }
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_length(bytes.len(), out);
    out.extend(bytes);
}

/// No server takes packets that come near to the largest length.
fn write_length(length: usize, out: &mut Vec<u8>) {
    i32::try_from(length).unwrap_or(i32::MAX).write(out);
}

use std::str;

use thiserror::Error;

/// The header block of a SOFARPC frame: pairs of length-prefixed UTF-8 strings, -1 for null
/// (`sofastack/sofa-rpc:remoting/remoting-bolt/.../SimpleMapSerializer.java`).
///
/// Iterates over the pairs without copying. A pair with a null key or value is passed over, as the original does.
#[derive(Clone, Copy, Debug)]
pub struct HeaderMap<'a> {
    block: &'a [u8],
}

/// A header block that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// A string ends behind the block.
    #[error("header byte {offset}: {wanted} bytes wanted, {left} left")]
    Truncated {
        /// Position in the block.
        offset: usize,
        /// What the entry says.
        wanted: usize,
        /// What the block has.
        left: usize,
    },
    /// A string is not UTF-8.
    #[error("header byte {offset}: not UTF-8")]
    Utf8 {
        /// Position in the block.
        offset: usize,
    },
}

impl<'a> HeaderMap<'a> {
    /// A view of a header block.
    pub fn new(block: &'a [u8]) -> Self {
        Self { block }
    }

    /// The pairs in the order of the wire, as bytes; stops after the first error.
    pub fn raw(&self) -> impl Iterator<Item = Result<(&'a [u8], &'a [u8]), HeaderError>> + use<'a> {
        let block = self.block;
        let mut at = 0;
        std::iter::from_fn(move || {
            while at < block.len() {
                let pair =
                    string(block, &mut at).and_then(|key| Ok((key, string(block, &mut at)?)));
                match pair {
                    Ok((Some(key), Some(value))) => return Some(Ok((key, value))),
                    Ok(_) => {}
                    Err(error) => {
                        at = block.len();
                        return Some(Err(error));
                    }
                }
            }
            None
        })
    }

    /// The pairs in the order of the wire, as text.
    pub fn iter(&self) -> impl Iterator<Item = Result<(&'a str, &'a str), HeaderError>> + use<'a> {
        let block = self.block;
        // Both are parts of the block: where they begin is how far they are from its beginning.
        let text = move |bytes: &'a [u8]| {
            let offset = bytes.as_ptr().addr() - block.as_ptr().addr();
            str::from_utf8(bytes).map_err(|_| HeaderError::Utf8 { offset })
        };
        self.raw().map(move |pair| {
            let (key, value) = pair?;
            Ok((text(key)?, text(value)?))
        })
    }

    /// The last value of `key`, as in a map that is filled in the order of the wire; `None` also when the block
    /// breaks off before it.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.iter()
            .map_while(Result::ok)
            .filter(|(name, _)| *name == key)
            .last()
            .map(|(_, value)| value)
    }
}

#[inline]
fn string<'a>(block: &'a [u8], at: &mut usize) -> Result<Option<&'a [u8]>, HeaderError> {
    let left = block.len() - *at;
    let Some(prefix) = block[*at..].first_chunk::<4>() else {
        return Err(HeaderError::Truncated {
            offset: *at,
            wanted: 4,
            left,
        });
    };
    *at += 4;
    // Every negative length is null to the original.
    let Ok(bytes) = usize::try_from(i32::from_be_bytes(*prefix)) else {
        return Ok(None);
    };
    let Some(text) = block[*at..].get(..bytes) else {
        return Err(HeaderError::Truncated {
            offset: *at,
            wanted: bytes,
            left: block.len() - *at,
        });
    };
    *at += bytes;
    Ok(Some(text))
}

/// Appends one pair to a header block.
pub fn write_entry(out: &mut Vec<u8>, key: &str, value: &str) {
    for text in [key, value] {
        out.extend_from_slice(&(text.len() as u32).to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let mut block = Vec::new();
        write_entry(&mut block, "service", "com.x.Hello:1.0");
        write_entry(&mut block, "", "");
        write_entry(&mut block, "service", "com.x.Other:1.0");
        let pairs: Vec<_> = HeaderMap::new(&block)
            .iter()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(
            pairs,
            [
                ("service", "com.x.Hello:1.0"),
                ("", ""),
                ("service", "com.x.Other:1.0")
            ]
        );
        assert_eq!(
            HeaderMap::new(&block).get("service"),
            Some("com.x.Other:1.0")
        );
        assert_eq!(HeaderMap::new(&block).get("missing"), None);
    }

    #[test]
    fn a_null_value_hides_its_pair() {
        let mut block = b"\0\0\0\x01k\xff\xff\xff\xff".to_vec();
        write_entry(&mut block, "a", "b");
        let pairs: Vec<_> = HeaderMap::new(&block).iter().collect();
        assert_eq!(pairs, [Ok(("a", "b"))]);
    }

    #[test]
    fn a_block_with_no_end_is_an_error_that_names_the_place() {
        let cases: [(&[u8], HeaderError); 4] = [
            (
                b"\0\0",
                HeaderError::Truncated {
                    offset: 0,
                    wanted: 4,
                    left: 2,
                },
            ),
            (
                b"\0\0\0\x05ab",
                HeaderError::Truncated {
                    offset: 4,
                    wanted: 5,
                    left: 2,
                },
            ),
            (
                b"\0\0\0\x01a",
                HeaderError::Truncated {
                    offset: 5,
                    wanted: 4,
                    left: 0,
                },
            ),
            (b"\0\0\0\x01\xff\0\0\0\0", HeaderError::Utf8 { offset: 4 }),
        ];
        for (block, expected) in cases {
            let results: Vec<_> = HeaderMap::new(block).iter().collect();
            assert_eq!(results, [Err(expected)], "{block:02x?}");
        }
    }
}

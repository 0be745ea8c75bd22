//! ASCII and UTF-8 by whole words instead of byte by byte.

/// The bit that no ASCII byte has, of each byte.
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The same of sixteen bytes.
const HIGH16: u128 = u128::from_ne_bytes([0x80; 16]);

/// Whether all bytes are ASCII. Short slices, which names and most strings are, take two overlapping loads.
#[inline]
pub(crate) fn is_ascii(bytes: &[u8]) -> bool {
    fn ends<const N: usize>(bytes: &[u8]) -> Option<(&[u8; N], &[u8; N])> {
        Some((bytes.first_chunk()?, bytes.last_chunk()?))
    }
    if bytes.len() > 32 {
        bytes.is_ascii()
    } else if let Some((first, last)) = ends::<16>(bytes) {
        (u128::from_ne_bytes(*first) | u128::from_ne_bytes(*last)) & HIGH16 == 0
    } else if let Some((first, last)) = ends::<8>(bytes) {
        (u64::from_ne_bytes(*first) | u64::from_ne_bytes(*last)) & HIGH == 0
    } else if let Some((first, last)) = ends::<4>(bytes) {
        (u32::from_ne_bytes(*first) | u32::from_ne_bytes(*last)) & HIGH as u32 == 0
    } else {
        bytes.iter().fold(0, |all, byte| all | byte) < 0x80
    }
}

/// ASCII bytes at the start.
pub(crate) fn ascii_len(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(block) = bytes[at..].first_chunk::<32>() {
        let (first, second) = block.split_at(16);
        let either = match (first.first_chunk(), second.first_chunk()) {
            (Some(first), Some(second)) => {
                u128::from_le_bytes(*first) | u128::from_le_bytes(*second)
            }
            _ => HIGH16,
        };
        if either & HIGH16 != 0 {
            break;
        }
        at += 32;
    }
    while let Some(block) = bytes[at..].first_chunk::<16>() {
        let other = u128::from_le_bytes(*block) & HIGH16;
        if other != 0 {
            return at + other.trailing_zeros() as usize / 8;
        }
        at += 16;
    }
    let rest = bytes[at..].iter();
    at + rest.take_while(|byte| byte.is_ascii()).count()
}

/// How many of eight bytes continue a character rather than start one.
#[inline]
pub(crate) fn continuations(word: u64) -> usize {
    count(word & !(word << 1) & HIGH)
}

/// How many of eight bytes start a character beyond the BMP, which takes four (0xf0 and above).
#[inline]
pub(crate) fn beyond_bmp(word: u64) -> usize {
    count(word & word << 1 & word << 2 & word << 3 & HIGH)
}

/// How many high bits there are. Eight fit a byte, so the sum is in the highest one.
#[inline]
fn count(high_bits: u64) -> usize {
    ((high_bits >> 7).wrapping_mul(0x0101_0101_0101_0101) >> 56) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_every_byte() {
        for byte in 0..=0xff_u8 {
            for at in 0..8 {
                for other in [0x00, 0x7f] {
                    let mut bytes = [other; 8];
                    bytes[at] = byte;
                    let word = u64::from_le_bytes(bytes);
                    assert_eq!(continuations(word), usize::from(byte & 0xc0 == 0x80));
                    assert_eq!(beyond_bmp(word), usize::from(byte >= 0xf0));
                }
            }
            let all = u64::from_le_bytes([byte; 8]);
            assert_eq!(continuations(all), 8 * usize::from(byte & 0xc0 == 0x80));
            assert_eq!(beyond_bmp(all), 8 * usize::from(byte >= 0xf0));
        }
    }
}

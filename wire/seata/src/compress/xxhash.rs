//! The checksum of LZ4's blocks: xxHash with 32 bits.
//! Source: Cyan4973/xxHash:doc/xxhash_spec.md.

const PRIMES: [u32; 5] = [
    0x9e37_79b1,
    0x85eb_ca77,
    0xc2b2_ae3d,
    0x27d4_eb2f,
    0x1656_67b1,
];

fn word(bytes: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*bytes)
}

fn round(lane: u32, word: u32) -> u32 {
    let lane = lane.wrapping_add(word.wrapping_mul(PRIMES[1]));
    lane.rotate_left(13).wrapping_mul(PRIMES[0])
}

pub(super) fn xxhash32(seed: u32, bytes: &[u8]) -> u32 {
    let (stripes, rest) = bytes.as_chunks::<16>();
    let mut hash = match stripes {
        [] => seed.wrapping_add(PRIMES[4]),
        _ => {
            let mut lanes = [
                seed.wrapping_add(PRIMES[0]).wrapping_add(PRIMES[1]),
                seed.wrapping_add(PRIMES[1]),
                seed,
                seed.wrapping_sub(PRIMES[0]),
            ];
            for stripe in stripes {
                let (words, _) = stripe.as_chunks::<4>();
                for (lane, bytes) in lanes.iter_mut().zip(words) {
                    *lane = round(*lane, word(bytes));
                }
            }
            let turned = [1, 7, 12, 18];
            let lanes = lanes.into_iter().zip(turned);
            lanes.fold(0, |sum: u32, (lane, by)| {
                sum.wrapping_add(lane.rotate_left(by))
            })
        }
    };
    // Modulo 2^32, as specified.
    hash = hash.wrapping_add(bytes.len() as u32);
    let (words, rest) = rest.as_chunks::<4>();
    for bytes in words {
        hash = hash.wrapping_add(word(bytes).wrapping_mul(PRIMES[2]));
        hash = hash.rotate_left(17).wrapping_mul(PRIMES[3]);
    }
    for byte in rest {
        hash = hash.wrapping_add(u32::from(*byte).wrapping_mul(PRIMES[4]));
        hash = hash.rotate_left(11).wrapping_mul(PRIMES[0]);
    }
    hash = (hash ^ hash >> 15).wrapping_mul(PRIMES[1]);
    hash = (hash ^ hash >> 13).wrapping_mul(PRIMES[2]);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_that_are_known() {
        assert_eq!(xxhash32(0, b""), 0x02cc_5d05);
        assert_eq!(xxhash32(0, b"abc"), 0x32d1_53ff);
        assert_eq!(
            xxhash32(0, b"Nobody inspects the spammish repetition"),
            0xe229_3b2f
        );
    }
}

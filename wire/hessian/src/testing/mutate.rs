//! Broken bytes from good ones.

use super::Random;

/// Damages `bytes` in one to four places: flipped bits, other tags, lying lengths, pieces cut, doubled or moved.
pub fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            bytes.push(random.number() as u8);
            continue;
        }
        let at = random.below(bytes.len());
        let end = (at + 1 + random.below(8)).min(bytes.len());
        match random.below(8) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.number() as u8,
            2 => bytes[at] = TAGS[random.below(TAGS.len())],
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..end)),
            5 => {
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            6 => bytes.insert(at, TAGS[random.below(TAGS.len())]),
            // A length of two or four bytes, if that is what stands here.
            _ => bytes[at..end].fill(if random.below(2) == 0 { 0xff } else { 0x7f }),
        }
    }
}

/// Tags that begin something with a length, a number or an end.
const TAGS: &[u8] = b"NTFILDSsRBbAVvMHOoCJKQUWXYZzdtunl\x51\x60\x70\x78\x7f\x90\xc8\xd4";

//! Fuzz target of this crate, run on seeds by the test suite and by cargo-fuzz from `fuzz/`.

use crate::binary;
use crate::frame::{Decoded, FRAME_BYTES_MAX, decode};

/// Frames one after the other; whatever is read is written in the same form, and read again as the same.
pub fn fuzz_frames(data: &[u8]) {
    let mut rest = data;
    while let Ok(Decoded::Frame { frame, bytes }) = decode(rest, FRAME_BYTES_MAX) {
        if let Ok(message) = binary::decode(frame.body) {
            let mut written = Vec::new();
            binary::encode(&message, &mut written);
            assert_eq!(binary::decode(&written), Ok(message));
        }
        rest = &rest[bytes..];
    }
}

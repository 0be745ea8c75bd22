//! Fuzz target of this crate, run on seeds by the test suite and by cargo-fuzz from `fuzz/`.

use crate::{Decoded, FrameWriter, HeaderMap, decode};

/// A frame that decodes is written back to the same bytes; nothing panics.
pub fn fuzz_frames(data: &[u8]) {
    let mut input = data;
    while let Ok(Decoded::Frame { frame, bytes }) = decode(input, 1 << 20) {
        let mut out = Vec::new();
        let mut writer = FrameWriter::begin(&mut out, frame.head, frame.class);
        writer.header(|out| out.extend_from_slice(frame.header));
        writer.content().extend_from_slice(frame.content);
        writer
            .finish()
            .expect("a decoded frame fits its length fields");
        let Ok(Decoded::Frame { frame: again, .. }) = decode(&out, 1 << 20) else {
            panic!("what was written does not decode");
        };
        assert_eq!(again, frame);
        let _ = HeaderMap::new(frame.header).iter().count();
        input = &input[bytes..];
    }
}

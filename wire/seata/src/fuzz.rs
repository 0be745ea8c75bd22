//! Fuzz target of this crate, run on seeds by the test suite and by cargo-fuzz from `fuzz/`.

use crate::body::{self, BodyError};
use crate::frame::{Decoded, FRAME_BYTES_MAX, Form, Frame, decode};

/// Frames one after the other; whatever is read is written in the same form, and read again as the same.
pub fn fuzz_frames(data: &[u8]) {
    let mut rest = data;
    while let Ok(Decoded::Frame { frame, bytes }) = decode(rest, FRAME_BYTES_MAX) {
        fuzz_body(&frame);
        rest = &rest[bytes..];
    }
}

/// The body of a frame in its own form, and in every serializer by itself: compressors hide what changes in them.
fn fuzz_body(frame: &Frame<'_>) {
    let forms = [1, 2, 0x16].map(|codec| Form {
        codec,
        compressor: 0,
    });
    for form in std::iter::once(frame.form).chain(forms) {
        match body::decode(form, frame.body) {
            Ok((message, speech)) => {
                assert_eq!(speech.form(), form);
                let mut written = Vec::new();
                body::encode(speech, &message, &mut written);
                assert_eq!(body::decode(form, &written), Ok((message, speech)));
            }
            Err(BodyError::Codec(codec)) => assert_eq!(codec, form.codec),
            Err(BodyError::Compressor(compressor)) => assert_eq!(compressor, form.compressor),
            Err(_) => {}
        }
    }
}

//! Fuzz targets of this crate, run on seeds by the test suite and by cargo-fuzz from `fuzz/`.

use diwan_bolt::{Decoded, decode};
use diwan_hessian::{Decoder, Limits};

use crate::{Request, read_response};

const LIMITS: Limits = Limits {
    depth_max: 64,
    elements_max: 100_000,
};

/// Any frame read as a request or a response, whichever it says it is: nothing panics.
pub fn fuzz_messages(data: &[u8]) {
    let Ok(Decoded::Frame { frame, .. }) = decode(data, 1 << 20) else {
        return;
    };
    let mut decoder = Decoder::with(frame.content, None, LIMITS);
    if let Ok(request) = Request::read(&frame, &mut decoder)
        && let Some(signatures) = request.signatures
    {
        let _ = decoder.values(signatures.len());
    }
    let _ = read_response(
        &frame,
        LIMITS,
        |decoder| decoder.skip(),
        |decoder| decoder.skip(),
        |_| Ok(()),
    );
}

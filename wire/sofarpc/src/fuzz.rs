//! Fuzz targets of this crate, run on seeds by the test suite and by cargo-fuzz from `fuzz/`.

use diwan_bolt::{Decoded, decode};
use diwan_hessian::Limits;

use crate::{Body, Request, read_response};

const LIMITS: Limits = Limits {
    depth_max: 64,
    elements_max: 100_000,
};

/// Any frame read as a request or a response, whichever it says it is: nothing panics.
pub fn fuzz_messages(data: &[u8]) {
    let Ok(Decoded::Frame { frame, .. }) = decode(data, 1 << 20) else {
        return;
    };
    if let Ok(request) = Request::read(&frame, LIMITS)
        && let Body::Hessian {
            signatures,
            mut arguments,
        } = request.body
    {
        let _ = arguments.values(signatures.len());
    }
    let _ = read_response(
        &frame,
        LIMITS,
        |decoder| decoder.skip(),
        |decoder| decoder.skip(),
        |_| Ok(()),
    );
}

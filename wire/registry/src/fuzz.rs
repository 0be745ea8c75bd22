//! Fuzz target of this crate, run on seeds by the test suite and by cargo-fuzz from `fuzz/`.

use crate::{Answer, Push, Request};

/// Bytes up to the first zero are a class, the next is a serializer, the rest content: whatever is read is written in the same
/// form, and read again as the same.
pub fn fuzz_messages(data: &[u8]) {
    let end = data
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(data.len());
    let (class, rest) = data.split_at(end);
    let (serializer, content) = match rest {
        [_, serializer, content @ ..] => (*serializer, content),
        _ => return,
    };
    macro_rules! check {
        ($($kind:ident)*) => {$(
            if let Ok((message, codec)) = $kind::decode(class, serializer, content) {
                let mut written = Vec::new();
                message.encode(codec, &mut written);
                let class = message.class(codec).as_bytes();
                assert_eq!($kind::decode(class, serializer, &written), Ok((message, codec)));
            }
        )*};
    }
    check! { Request Push Answer }
}

//! Fuzz target of this crate, run on seeds by the test suite and by cargo-fuzz from `fuzz/`.

use bytes::{Bytes, BytesMut};

use crate::{Message, SnapshotFiles};

/// Bytes up to the first zero are a class, the rest is content: whatever decodes encodes to the same message.
pub fn fuzz_messages(data: &[u8]) {
    let end = data
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(data.len());
    let content = Bytes::copy_from_slice(data.get(end + 1..).unwrap_or(&[]));
    if let Ok(files) = SnapshotFiles::read(content.clone()) {
        assert_eq!(SnapshotFiles::read(files.write()).as_ref(), Ok(&files));
    }
    if let Ok(message) = Message::decode(&data[..end], content) {
        let mut encoded = BytesMut::new();
        message.encode(&mut encoded);
        assert_eq!(
            Message::decode(&data[..end], encoded.freeze()).as_ref(),
            Ok(&message),
            "what was read is written"
        );
    }
}

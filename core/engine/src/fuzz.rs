//! Fuzz target of this crate, run on seeds by the test suite and by cargo-fuzz from `fuzz/`.

use bytes::Bytes;

use crate::{Block, Owner, Position, Snapshot};

/// Whatever is read of bytes, as a block or a record, is written in a form that is read again as the same. Also behind a
/// checksum that is right, so that more than checksums is put to the test.
pub fn fuzz_blocks(data: &[u8]) {
    let checksum = crc32c::crc32c(data).to_be_bytes();
    for bytes in [data.to_vec(), [data, &checksum].concat()] {
        let bytes = Bytes::from(bytes);
        if let Ok((block, checksum)) = Block::read(&bytes) {
            assert_eq!(block.write(), (bytes, checksum));
        }
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(owner) = text.parse::<Owner>() {
        assert_eq!(owner.to_string().parse(), Ok(owner));
    }
    if let Ok(snapshot) = text.parse::<Snapshot>() {
        assert_eq!(snapshot.to_string().parse(), Ok(snapshot));
    }
}

/// One of each kind, to begin with.
pub fn seeds() -> Vec<Vec<u8>> {
    let block = Block {
        number: 7,
        term: 3,
        nonce: 11,
        first: 100,
        chain: 5,
        commands: vec!["one".into(), Bytes::new(), "three".into()],
    };
    let bytes = block.write().0;
    let owner = Owner {
        nonce: 11,
        lease: std::time::Duration::from_secs(3),
        name: "127.0.0.1:8701".to_owned(),
    };
    let snapshot = Snapshot {
        id: 1 << 20,
        position: Position::beginning("log"),
        pieces: 2,
        bytes: 1_500_000,
        checksum: 9,
    };
    vec![
        bytes.to_vec(),
        bytes[..bytes.len() - 4].to_vec(),
        owner.to_string().into_bytes(),
        snapshot.to_string().into_bytes(),
    ]
}

//! What Java's clients send when they are configured otherwise than usual.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use diwan_seata::body::{self, Codec, Names, Speech};
use diwan_seata::frame::{Decoded, FRAME_BYTES_MAX, Frame, decode};
use diwan_seata::{BranchRegister, BranchStatus, BranchType, Compressor, Message, Outcome};

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// The messages of a file. Each is written and read again.
fn messages(file: &str, speech: Speech) -> Vec<Message> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frames");
    let text = std::fs::read_to_string(root.join(file)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let read = |line: &str| {
        let frame = bytes(line.split(' ').nth(3).unwrap());
        let Ok(Decoded::Frame { frame, .. }) = decode(&frame, FRAME_BYTES_MAX) else {
            panic!("{line}");
        };
        read(&frame, speech)
    };
    lines.map(read).collect()
}

fn read(frame: &Frame<'_>, speech: Speech) -> Message {
    let (message, spoken) = body::decode(frame.form, frame.body).unwrap();
    assert_eq!(spoken, speech);
    let mut again = Vec::new();
    body::encode(speech, &message, &mut again);
    assert_eq!(
        body::decode(frame.form, &again),
        Ok((message.clone(), speech))
    );
    message
}

/// Of a message, or of the first one in a merged one.
fn kind(message: &Message) -> String {
    let name = |message: &Message| {
        let text = format!("{message:?}");
        text.split([' ', '(']).next().unwrap_or_default().to_owned()
    };
    match message {
        Message::Merge { messages, ids } => {
            assert_eq!(messages.len(), ids.len());
            format!("Merge {}", name(&messages[0]))
        }
        other => name(other),
    }
}

fn kinds(messages: &[Message]) -> Vec<String> {
    messages.iter().map(kind).collect()
}

fn plain(codec: Codec) -> Speech {
    let compressor = Compressor::None;
    Speech { codec, compressor }
}

const ALL: [&str; 12] = [
    "RegisterTm",
    "RegisterRm",
    "GlobalBegin",
    "GlobalStatus",
    "GlobalCommit",
    "GlobalRollback",
    "Merge BranchRegister",
    "BranchCommitResult",
    "BranchRollbackResult",
    "Merge BranchReport",
    "Merge GlobalLockQuery",
    "GlobalReport",
];

/// Both files come from the same scenarios: an attempt at a TCC branch, and how it ended.
fn assert_some_are_what_they_look_like(messages: &[Message]) {
    let [identify, resources, begin, ..] = messages else {
        panic!("{messages:?}");
    };
    let Message::RegisterTm(identify) = identify else {
        panic!("{identify:?}");
    };
    assert_eq!(identify.application_id, "baseline-app");
    assert_eq!(identify.transaction_group, "baseline_group");
    assert!(identify.extra_data.contains("\nvgroup=baseline_group\n"));
    assert!(
        matches!(resources, Message::RegisterRm { resource_ids, .. } if resource_ids == "inventory,payment")
    );
    let name = "empty-commit".to_owned();
    let timeout_ms = 60_000;
    assert_eq!(*begin, Message::GlobalBegin { timeout_ms, name });
    let Message::Merge {
        messages: inner,
        ids,
    } = &messages[6]
    else {
        panic!("{:?}", messages[6]);
    };
    assert_eq!(ids.len(), 1);
    let Message::BranchRegister(branch) = &inner[0] else {
        panic!("{inner:?}");
    };
    assert_eq!(
        *branch,
        BranchRegister {
            xid: branch.xid.clone(),
            branch_type: BranchType::Tcc,
            resource_id: "inventory".into(),
            lock_key: String::new(),
            application_data: r#"{"actionContext":{"sku":1}}"#.into(),
        }
    );
    let Message::BranchCommitResult(ended) = &messages[7] else {
        panic!("{:?}", messages[7]);
    };
    assert_eq!(ended.outcome, Outcome::SUCCESS);
    assert_eq!(ended.status, BranchStatus::PhaseTwoCommitted);
    assert_eq!(ended.xid, branch.xid);
}

#[test]
fn java_objects_of_old_and_new_clients() {
    for (file, names) in [
        ("hessian/seata-2.6.0.hex", Names::Apache),
        ("hessian/seata-2.0.0.hex", Names::Io),
    ] {
        let messages = messages(file, plain(Codec::Hessian(names)));
        let mut kinds = kinds(&messages);
        // Those that did not succeed.
        assert_eq!(kinds.drain(9..11).collect::<Vec<_>>(), ALL[7..9], "{file}");
        assert_eq!(kinds, ALL, "{file}");
        assert_some_are_what_they_look_like(&messages);
    }
}

#[test]
fn protocol_buffers() {
    let messages = messages(
        "protobuf/seata-2.0.0.hex",
        plain(Codec::Protobuf(Names::Io)),
    );
    assert_eq!(kinds(&messages), ALL);
    assert_some_are_what_they_look_like(&messages);
}

#[test]
fn compressed_ones() {
    for (file, compressor) in [
        ("gzip/seata-2.6.0.hex", Compressor::Gzip),
        ("deflater/seata-2.6.0.hex", Compressor::Deflater),
        ("zstd/seata-2.6.0.hex", Compressor::Zstd),
        ("lz4/seata-2.6.0.hex", Compressor::Lz4),
        ("lz4/seata-2.0.0.hex", Compressor::Lz4Blocks),
    ] {
        let codec = Codec::Seata;
        let messages = messages(file, Speech { codec, compressor });
        assert_eq!(messages.len(), 6, "{file}");
        let mut kinds = kinds(&messages);
        kinds.dedup();
        assert_eq!(kinds[..3], ALL[..3], "{file}");
    }
}

/// Java writes a constant once, and points to it the next time.
#[test]
fn constants_may_be_references() {
    let branch = || {
        Message::BranchRegister(BranchRegister {
            xid: "x".into(),
            branch_type: BranchType::At,
            resource_id: "r".into(),
            lock_key: "t:1".into(),
            application_data: String::new(),
        })
    };
    let merged = Message::Merge {
        messages: vec![branch(), branch()],
        ids: vec![1, 2],
    };
    let speech = plain(Codec::Hessian(Names::Apache));
    let mut bytes = Vec::new();
    body::encode(speech, &merged, &mut bytes);
    // An object of the third class, whose name is AT.
    let constant = b"\x62\x02AT";
    let at = bytes
        .windows(constant.len())
        .rposition(|bytes| bytes == constant);
    let at = at.unwrap();
    // The fourth object: after the merged message, its list, and the first branch.
    bytes.splice(at..at + constant.len(), *b"Q\x93");
    assert_eq!(body::decode(speech.form(), &bytes), Ok((merged, speech)));
}

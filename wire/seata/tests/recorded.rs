//! What the Java client 2.6.0 and the real server 2.0.0 said to each other.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use diwan_seata::binary::{self, Problem};
use diwan_seata::frame::{Decoded, FRAME_BYTES_MAX, Form, FrameError, Kind, decode, write};
use diwan_seata::fuzz::fuzz_frames;
use diwan_seata::{BranchStatus, GlobalStatus, Message};
use proptest::prelude::*;

/// Every frame of every file.
fn frames() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frames");
    let mut frames = Vec::new();
    for folder in [root.clone(), root.join("unmerged")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "hex") {
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            frames.extend(lines.filter_map(|line| bytes(line.split(' ').nth(3)?)));
        }
    }
    frames
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let byte = |at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn read(frame: &[u8]) -> (Kind, i32, Form, Option<Message>) {
    let Ok(Decoded::Frame { frame: read, bytes }) = decode(frame, FRAME_BYTES_MAX) else {
        panic!("{frame:02x?}");
    };
    assert_eq!(bytes, frame.len());
    assert_eq!((read.form, read.head_map.len()), (Form::USUAL, 0));
    let message = match read.kind {
        Kind::Ping | Kind::Pong => None,
        _ => Some(binary::decode(read.body).unwrap()),
    };
    (read.kind, read.id, read.form, message)
}

#[test]
fn what_was_recorded_is_read_and_written_again_byte_for_byte() {
    let frames = frames();
    assert!(frames.len() > 900, "{}", frames.len());
    for frame in frames {
        let (kind, id, form, message) = read(&frame);
        let mut again = Vec::new();
        write(&mut again, kind, form, id, |out| {
            message
                .iter()
                .for_each(|message| binary::encode(message, out));
        });
        assert_eq!(again, frame, "{message:?}");
    }
}

#[test]
fn some_are_what_they_look_like() {
    let begin =
        bytes("dada010000002400100001000000000200010000ea60000c656d7074792d636f6d6d6974").unwrap();
    let (kind, id, _, message) = read(&begin);
    assert_eq!((kind, id), (Kind::Request, 2));
    let name = "empty-commit".to_owned();
    assert_eq!(
        message,
        Some(Message::GlobalBegin {
            timeout_ms: 60_000,
            name
        })
    );
    let frames = frames();
    let messages: Vec<Message> = frames.iter().filter_map(|frame| read(frame).3).collect();
    let has = |wanted: &dyn Fn(&Message) -> bool| assert!(messages.iter().any(wanted));
    has(&|message| {
        matches!(
            message,
            Message::GlobalCommitResult(_, GlobalStatus::Committed)
        )
    });
    has(
        &|message| matches!(message, Message::Merge { messages, ids } if !messages.is_empty() && ids.len() == messages.len()),
    );
    has(
        &|message| matches!(message, Message::BranchRollbackResult(ended) if ended.status == BranchStatus::PhaseTwoRollbacked),
    );
}

#[test]
fn every_cut_frame_is_incomplete_and_every_cut_body_is_refused_or_read() {
    for frame in frames().iter().take(400) {
        for length in 0..frame.len() {
            let Ok(Decoded::Incomplete { bytes }) = decode(&frame[..length], FRAME_BYTES_MAX)
            else {
                panic!("{length} of {frame:02x?}");
            };
            assert!(bytes > length && bytes <= frame.len());
        }
        let body = &frame[16..];
        for length in 0..body.len() {
            // Some fields are optional at the end.
            if let Err(error) = binary::decode(&body[..length]) {
                assert!(matches!(error.problem, Problem::Short { .. }), "{error}");
                assert!(error.offset <= length);
            }
        }
    }
}

#[test]
fn what_is_no_frame_says_where() {
    let frame = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        write(&mut bytes, Kind::Ping, Form::USUAL, 7, |_| {});
        change(&mut bytes);
        decode(&bytes, 100).map(drop)
    };
    let magic = FrameError::Magic {
        offset: 1,
        value: 0,
    };
    assert_eq!(frame(&|bytes| bytes[1] = 0), Err(magic));
    assert_eq!(frame(&|bytes| bytes[2] = 9), Err(FrameError::Version(9)));
    assert_eq!(frame(&|bytes| bytes[2] = 0), Err(FrameError::Old));
    let limit = 100;
    assert_eq!(
        frame(&|bytes| bytes[3] = 9),
        Err(FrameError::Length {
            bytes: 0x0900_0010,
            limit
        })
    );
    assert_eq!(
        frame(&|bytes| bytes[6] = 9),
        Err(FrameError::Length { bytes: 9, limit })
    );
    let head = |head| Err(FrameError::HeadLength { head, bytes: 16 });
    assert_eq!(frame(&|bytes| bytes[8] = 9), head(9));
    assert_eq!(frame(&|bytes| bytes[8] = 17), head(17));
    assert_eq!(frame(&|bytes| bytes[9] = 5), Err(FrameError::Kind(5)));
    assert_eq!(frame(&|_| {}), Ok(()));
}

#[test]
fn what_is_no_message_says_where() {
    let problem = |hex: &str| {
        binary::decode(&bytes(hex).unwrap())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(problem("0000"), "byte 0: no message has the type 0 here");
    assert_eq!(problem("0007ffff"), "byte 4: negative length -1");
    assert_eq!(problem("00070001ff0000"), "byte 4: a text is not UTF-8");
    assert_eq!(
        problem("000801001f"),
        "byte 4: 31 is no status of a transaction"
    );
    // A merged message in a merged message, and one that claims more than is there.
    assert_eq!(
        problem("003b000000000001003b"),
        "byte 8: no message has the type 59 here"
    );
    assert!(problem("003b00000000ffff").contains("more bytes"));
}

proptest! {
    #[test]
    fn any_bytes_are_borne(data in prop::collection::vec(any::<u8>(), 0..400), number in any::<prop::sample::Index>(), at in any::<prop::sample::Index>()) {
        fuzz_frames(&data);
        let _ = binary::decode(&data);
        let frames = frames();
        let mut frame = frames[number.index(frames.len())].clone();
        let at = at.index(frame.len());
        frame.splice(at..at + 1, data.iter().copied().take(3));
        fuzz_frames(&frame);
    }
}

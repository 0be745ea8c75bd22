//! Frames that the originals sent each other, as recorded in `interop/frames`: all are understood, and no truncation or
//! mutation of one does any harm.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use diwan_bolt::{Command, Decoded, Frame, Kind, decode};
use diwan_hessian::{Decode, Decoder, Limits, Throwable};
use diwan_sofarpc::{
    Answer, Request, RequestHead, fuzz::fuzz_messages, read_response, write_request,
};
use proptest::prelude::*;

/// Every frame of a folder with the name of its file; `>` is a request, `<` an answer.
fn recorded(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../interop/frames")
        .join(folder);
    let mut frames = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            if let Some(hex) = line.strip_prefix("> ").or(line.strip_prefix("< ")) {
                let pair = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                frames.push((name.clone(), (0..hex.len()).step_by(2).map(pair).collect()));
            }
        }
    }
    frames.sort();
    assert!(frames.len() > 20, "{}", folder.display());
    frames
}

fn whole(name: &str, bytes: &[u8]) -> Frame<'static> {
    let leaked: &'static [u8] = Box::leak(bytes.to_vec().into_boxed_slice());
    match decode(leaked, 64 << 20) {
        Ok(Decoded::Frame { frame, bytes }) if bytes == leaked.len() => frame,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn every_recorded_frame_is_understood() {
    let mut kinds = [0; 5];
    for folder in ["java-java", "java-node", "node-java", "node-node"] {
        for (name, bytes) in recorded(folder) {
            let frame = whole(&name, &bytes);
            if frame.head.command == Command::Heartbeat {
                continue;
            }
            if let Kind::Response { .. } = frame.head.kind {
                let answer = read_response(
                    &frame,
                    Limits::default(),
                    |decoder| decoder.value().map(drop),
                    |decoder| Throwable::decode(decoder).map(drop),
                    |_| Ok(()),
                );
                match answer.unwrap_or_else(|error| panic!("{folder}/{name}: {error}")) {
                    Answer::Value(()) => kinds[0] += 1,
                    Answer::Exception(()) => kinds[1] += 1,
                    Answer::Error(message) => {
                        assert!(!message.is_empty(), "{folder}/{name}");
                        kinds[2] += 1;
                    }
                    Answer::Failure { .. } => kinds[3] += 1,
                }
                continue;
            }
            let mut decoder = Decoder::new(frame.content);
            let request = Request::read(&frame, &mut decoder)
                .unwrap_or_else(|error| panic!("{folder}/{name}: {error}"));
            assert!(
                request.service.starts_with("com.diwan."),
                "{folder}/{name}: {}",
                request.service
            );
            if let Some(signatures) = request.signatures {
                let arguments = decoder.values(signatures.len());
                assert!(arguments.is_ok(), "{folder}/{name}: {arguments:?}");
                assert!(
                    decoder.is_empty(),
                    "{folder}/{name}: {} bytes left",
                    frame.content.len() - decoder.position()
                );
            }
            kinds[4] += 1;
        }
    }
    assert!(kinds.iter().all(|count| *count > 2), "{kinds:?}");
}

#[test]
fn every_truncation_of_a_content_is_a_typed_error() {
    for (name, bytes) in recorded("java-java")
        .into_iter()
        .filter(|(_, bytes)| bytes.len() < 2000)
    {
        let frame = whole(&name, &bytes);
        if frame.head.codec != 1 || frame.head.command == Command::Heartbeat {
            continue;
        }
        for end in 0..frame.content.len() {
            let cut = Frame {
                content: &frame.content[..end],
                ..frame
            };
            let failed = match cut.head.kind {
                Kind::Response { .. } => read_response(
                    &cut,
                    Limits::default(),
                    Decoder::skip,
                    Decoder::skip,
                    |_| Ok(()),
                )
                .is_ok_and(|answer| !matches!(answer, Answer::Failure { .. })),
                _ => {
                    let mut decoder = Decoder::new(cut.content);
                    let read = Request::read(&cut, &mut decoder);
                    read.is_ok_and(|request| {
                        decoder.values(request.signatures.unwrap().len()).is_ok()
                    })
                }
            };
            assert!(
                !failed,
                "{name}: cut at {end} of {} and still read",
                frame.content.len()
            );
        }
    }
}

#[test]
fn a_request_is_read_as_it_was_written() {
    let entries = [("rpc_req_baggage.user".to_owned(), "ann".to_owned())];
    let head = RequestHead {
        service: "com.x.Hello:1.0",
        method: "say",
        target_app: Some("shop"),
        invoke_type: "sync",
        deadline_remain_ms: Some(250),
        entries: &entries,
    };
    for codec in [1, 11] {
        let mut out = Vec::new();
        let content = (codec == 11).then_some(&b"message"[..]);
        let bolt = diwan_bolt::Head::request(9, codec, 3000);
        write_request(
            &mut out,
            bolt,
            &head,
            ["int"].into_iter(),
            |encoder| encoder.int(7),
            content,
        )
        .unwrap();
        let frame = whole("own", &out);
        let mut decoder = Decoder::new(frame.content);
        let request = Request::read(&frame, &mut decoder).unwrap();
        assert_eq!(
            (&*request.service, &*request.method),
            ("com.x.Hello:1.0", "say")
        );
        assert_eq!(request.deadline_remain_ms, Some(250));
        assert_eq!(request.header.get("rpc_req_baggage.user"), Some("ann"));
        match request.signatures {
            Some(signatures) => {
                assert_eq!(signatures[..], ["int"]);
                assert_eq!(decoder.int(), Ok(7));
            }
            None => assert_eq!(frame.content, b"message"),
        }
    }
}

proptest! {
    #[test]
    fn mutated_frames_never_panic(which: prop::sample::Index, at: prop::sample::Index, value: u8, cut: prop::sample::Index) {
        let frames = recorded("java-java");
        let small: Vec<_> = frames.into_iter().filter(|(_, bytes)| bytes.len() < 5000).collect();
        let mut bytes = which.get(&small).1.clone();
        let at = at.index(bytes.len());
        bytes[at] = value;
        fuzz_messages(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        fuzz_messages(&bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(data: Vec<u8>) {
        fuzz_messages(&data);
    }
}

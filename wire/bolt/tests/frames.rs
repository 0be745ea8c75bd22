#![allow(clippy::unwrap_used, reason = "helpers of tests")]
//! Frames of real peers, their truncations and mutilations.

use diwan_bolt::*;
use proptest::prelude::*;

/// Request `plus(1, 2)` of npm sofa-rpc-node 2.10.0 and the answer of its server, as captured.
const NODE_REQUEST: &str = "0101000101000000010100000bb8002c002e000000ef636f6d2e616c697061792e736f66612e7270632e636f72652e726571756573742e536f66615265717565737400000007736572766963650000001f636f6d2e6e6f64656a732e746573742e54657374536572766963653a312e304fbc636f6d2e616c697061792e736f66612e7270632e636f72652e726571756573742e536f666152657175657374950a6d6574686f644e616d650d6d6574686f64417267536967731774617267657453657276696365556e697175654e616d650d7461726765744170704e616d650c7265717565737450726f70736f9004706c7573567400115b6a6176612e6c616e672e537472696e676e0203696e7403696e747a1f636f6d2e6e6f64656a732e746573742e54657374536572766963653a312e304e4d07736572766963651f636f6d2e6e6f64656a732e746573742e54657374536572766963653a312e307a9192";
const NODE_RESPONSE: &str = "010000020100000001010000002e000000000062636f6d2e616c697061792e736f66612e7270632e636f72652e726573706f6e73652e536f6661526573706f6e73654fbe636f6d2e616c697061792e736f66612e7270632e636f72652e726573706f6e73652e536f6661526573706f6e7365940769734572726f72086572726f724d73670b617070526573706f6e73650d726573706f6e736550726f70736f90464e934e";
/// Heartbeat of sofa-bolt, Bolt v1.
const HEARTBEAT: &str = "01010000010000002a010000000000000000000000000000";

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn frame(input: &[u8]) -> Frame<'_> {
    match decode(input, FRAME_BYTES_MAX_DEFAULT) {
        Ok(Decoded::Frame { frame, bytes }) => {
            assert_eq!(bytes, input.len());
            frame
        }
        other => panic!("{other:?}"),
    }
}

fn write(head: Head, class: &[u8], header: &[u8], content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = FrameWriter::begin(&mut out, head, class);
    writer.header(|out| out.extend_from_slice(header));
    writer.content().extend_from_slice(content);
    writer.finish().unwrap();
    out
}

#[test]
fn a_node_request_reads_and_writes_back() {
    let input = bytes(NODE_REQUEST);
    let request = frame(&input);
    assert_eq!(request.head, Head::request(1, 1, 3000));
    assert_eq!(
        request.class,
        b"com.alipay.sofa.rpc.core.request.SofaRequest"
    );
    assert_eq!(
        HeaderMap::new(request.header).get("service"),
        Some("com.nodejs.test.TestService:1.0")
    );
    assert_eq!(request.content.len(), 0xef);
    assert_eq!(
        write(request.head, request.class, request.header, request.content),
        input
    );
}

#[test]
fn a_node_response_reads_and_writes_back() {
    let input = bytes(NODE_RESPONSE);
    let response = frame(&input);
    assert_eq!(
        response.head,
        Head::request(1, 1, 3000).response(Status::Success)
    );
    assert!(!response.head.wants_response());
    assert_eq!(
        write(response.head, response.class, b"", response.content),
        input
    );
}

#[test]
fn a_heartbeat_is_answered_with_a_heartbeat() {
    let input = bytes(HEARTBEAT);
    let input = &input[..22];
    let heartbeat = frame(input);
    assert_eq!(heartbeat.head, Head::heartbeat(42, 1));
    assert_eq!(write(heartbeat.head, b"", b"", b""), input);
    let answer = write(heartbeat.head.response(Status::Success), b"", b"", b"");
    assert_eq!(answer, bytes("01000000010000002a0100000000000000000000"));
}

#[test]
fn every_truncation_of_a_frame_asks_for_more() {
    for golden in [NODE_REQUEST, NODE_RESPONSE] {
        let input = bytes(golden);
        for end in 0..input.len() {
            match decode(&input[..end], FRAME_BYTES_MAX_DEFAULT) {
                Ok(Decoded::Incomplete { bytes }) => {
                    assert!(bytes > end && bytes <= input.len(), "{end}: {bytes}");
                }
                other => panic!("{end}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_wrong_crc_is_an_error() {
    let head = Head {
        version: Version::V2Crc,
        switch: 1,
        ..Head::request(7, 1, 100)
    };
    let good = write(head, b"C", b"", b"content");
    assert_eq!(frame(&good).content, b"content");
    for at in 24..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        assert!(
            matches!(
                decode(&bad, FRAME_BYTES_MAX_DEFAULT),
                Err(DecodeError::Crc { offset: 32, .. })
            ),
            "byte {at}"
        );
    }
}

#[test]
fn version_2_without_the_switch_has_no_crc() {
    for (version, switch, trailer) in [
        (Version::V2, 1, 0),
        (Version::V2Crc, 0, 0),
        (Version::V2Crc, 1, 4),
    ] {
        let head = Head {
            version,
            switch,
            ..Head::request(7, 1, 100)
        };
        assert_eq!(write(head, b"", b"", b"x").len(), 24 + 1 + trailer);
    }
}

#[test]
fn lengths_that_lie_are_typed_errors_or_refusals() {
    let good = bytes(NODE_REQUEST);
    let with = |at: usize, value: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + value.len()].copy_from_slice(value);
        bad
    };
    let cases: [(&str, Vec<u8>, DecodeError); 6] = [
        ("protocol", with(0, &[13]), DecodeError::Protocol(13)),
        (
            "type",
            with(1, &[9]),
            DecodeError::Type {
                offset: 1,
                value: 9,
            },
        ),
        ("version", vec![2, 3], DecodeError::Version(3)),
        (
            "class",
            with(14, &[0xff, 0xff]),
            DecodeError::NegativeLength {
                offset: 14,
                field: "class name",
                value: -1,
            },
        ),
        (
            "header",
            with(16, &[0x80, 0]),
            DecodeError::NegativeLength {
                offset: 16,
                field: "header",
                value: -32768,
            },
        ),
        (
            "content",
            with(18, &[0x80, 0, 0, 0]),
            DecodeError::NegativeLength {
                offset: 18,
                field: "content",
                value: i32::MIN,
            },
        ),
    ];
    for (name, input, expected) in cases {
        assert_eq!(
            decode(&input, FRAME_BYTES_MAX_DEFAULT),
            Err(expected),
            "{name}"
        );
    }
}

#[test]
fn a_declared_content_of_2_gb_is_refused_by_its_head_alone() {
    let mut input = bytes(NODE_REQUEST)[..22].to_vec();
    input[18..22].copy_from_slice(&i32::MAX.to_be_bytes());
    let Ok(Decoded::TooLarge(refused)) = decode(&input, FRAME_BYTES_MAX_DEFAULT) else {
        panic!("not refused");
    };
    assert_eq!(refused.head, Head::request(1, 1, 3000));
    assert_eq!(refused.bytes, 22 + 0x2c + 0x2e + i32::MAX as u64);
}

#[test]
fn a_part_too_long_for_its_field_leaves_the_buffer_as_it_was() {
    let mut out = b"before".to_vec();
    let mut writer = FrameWriter::begin(&mut out, Head::request(1, 1, 0), b"C");
    writer.header(|out| out.resize(out.len() + 32768, 0));
    assert_eq!(
        writer.finish(),
        Err(FrameTooLarge {
            part: "header",
            bytes: 32768,
            max: 32767
        })
    );
    assert_eq!(out, b"before");
}

fn head() -> impl Strategy<Value = Head> {
    (
        prop_oneof![Just(Version::V1), Just(Version::V2), Just(Version::V2Crc)],
        prop_oneof![
            any::<i32>().prop_map(|timeout_ms| Kind::Request { timeout_ms }),
            any::<i32>().prop_map(|timeout_ms| Kind::Oneway { timeout_ms }),
            any::<u16>().prop_map(|status| Kind::Response { status }),
        ],
        prop_oneof![
            Just(Command::Heartbeat),
            Just(Command::Request),
            Just(Command::Response),
            (3u16..).prop_map(Command::Other),
        ],
        any::<u32>(),
        any::<u8>(),
        any::<u8>(),
    )
        .prop_map(|(version, kind, command, id, codec, switch)| Head {
            version,
            kind,
            command,
            id,
            codec,
            switch: if version == Version::V1 { 0 } else { switch },
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read(head in head(), class: Vec<u8>, header: Vec<u8>, content: Vec<u8>) {
        let out = write(head, &class, &header, &content);
        let expected = Frame { head, class: &class, header: &header, content: &content };
        prop_assert_eq!(frame(&out), expected);
    }

    #[test]
    fn arbitrary_bytes_never_panic(data: Vec<u8>) {
        fuzz::fuzz_frames(&data);
    }

    #[test]
    fn a_mutated_frame_never_panics(at in 0usize..400, value: u8) {
        let mut data = bytes(NODE_REQUEST);
        let at = at % data.len();
        data[at] = value;
        fuzz::fuzz_frames(&data);
    }
}

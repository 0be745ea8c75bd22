//! What ZooKeeper 3.9.5 answered, and packets of any content.
#![allow(clippy::unwrap_used, reason = "a test")]

use diwan_zookeeper::{
    Acl, Buffer, ConnectRequest, ConnectResponse, CreateRequest, DecodeError, ErrorCode, Incoming,
    Op, PathRequest, Record, Request, Response, fuzz, next_packet, write_packet,
};
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn reply(packet: &[u8]) -> (i32, i64, ErrorCode) {
    match Incoming::decode(packet).unwrap() {
        Incoming::Reply(header) => (header.xid, header.zxid, header.code()),
        Incoming::Event(event) => panic!("{event:?}"),
    }
}

#[test]
fn a_session_of_the_original() {
    let began = ConnectResponse::decode(&hex(
        "0000000000000fa00100000806870000000000102b672e91dcc0abb38191370a8522f1dc00",
    ));
    let began = began.unwrap();
    assert_eq!((began.timeout_ms, began.password.0.len()), (4000, 16));
    assert_eq!(began.session_id, 0x0100_0008_0687_0000);

    assert_eq!(
        reply(&hex("000000010000000000000002ffffff9b")),
        (1, 2, ErrorCode::NO_NODE)
    );

    let created = hex("00000004000000000000000400000000000000042f612f62");
    assert_eq!(reply(&created), (4, 4, ErrorCode::OK));
    assert_eq!(
        Response::decode(Op::Create, &created).unwrap(),
        Response::Created("/a/b".to_owned())
    );

    let event = hex("ffffffff0000000000000004000000000000000400000003000000022f61");
    let Incoming::Event(event) = Incoming::decode(&event).unwrap() else {
        panic!("no event");
    };
    assert_eq!((event.kind, event.path.as_str()), (4, "/a"));

    let children = hex(
        "0000000500000000000000040000000000000001000000016200000000000000030000000000000003000001a2274f3544\
         000001a2274f3544000000000000000100000000000000000000000000000000000000010000000000000004",
    );
    let Response::Children(names, stat) = Response::decode(Op::Children, &children).unwrap() else {
        panic!("no children");
    };
    assert_eq!((names, stat.children), (vec!["b".to_owned()], 1));

    let exists = hex(
        "0000000600000000000000040000000000000000000000040000000000000004000001a2274f3554000001a2274f3554\
         000000000000000000000000010000080687000000000001000000000000000000000004",
    );
    let Response::Stat(stat) = Response::decode(Op::Exists, &exists).unwrap() else {
        panic!("no stat");
    };
    assert_eq!(stat.ephemeral_owner, began.session_id);

    let pong = hex("fffffffe000000000000000400000000");
    assert_eq!(reply(&pong), (Request::PING_XID, 4, ErrorCode::OK));
    assert_eq!(Response::decode(Op::Ping, &pong), Ok(Response::Done));
}

#[test]
fn an_expired_session_and_one_of_an_old_server() {
    let text = "00000000000000000000000000000000000000100000000000000000000000000000000000";
    let expired = ConnectResponse::decode(&hex(text)).unwrap();
    assert_eq!((expired.timeout_ms, expired.session_id), (0, 0));
    // Before 3.4 the last byte was not there.
    let old = ConnectResponse::decode(&hex(&text[..text.len() - 2]));
    assert_eq!(old.unwrap(), expired);
}

#[test]
fn requests_are_written_as_the_original_expects_them() {
    let create = Request::Create(CreateRequest {
        path: "/a".to_owned(),
        data: Buffer(vec![1]),
        acl: vec![Acl::open()],
        flags: CreateRequest::EPHEMERAL,
    });
    let mut packet = Vec::new();
    write_packet(&mut packet, |out| create.write(4, out));
    let expected = "00000032000000040000000100000002\
                    2f610000000101000000010000001f00000005776f726c6400000006616e796f6e6500000001";
    assert_eq!(packet, hex(expected));
    let (content, taken) = next_packet(&packet, 1000).unwrap().unwrap();
    assert_eq!(taken, packet.len());
    assert_eq!(Request::decode(content), Ok((4, create)));
}

#[test]
fn errors_say_where() {
    assert_eq!(
        Incoming::decode(&[0; 15]),
        Err(DecodeError::Truncated {
            offset: 12,
            needed: 4,
            left: 3
        })
    );
    let many = hex("000000050000000000000004000000007fffffff");
    assert_eq!(
        Response::decode(Op::Children, &many)
            .unwrap_err()
            .to_string(),
        "the length 2147483647 at byte 16 is not within 0 and 200000"
    );
    let odd = hex("00000001000000030000000161ff");
    assert_eq!(
        Request::decode(&odd),
        Err(DecodeError::Bool {
            offset: 13,
            value: 255
        })
    );
    assert_eq!(
        next_packet(&[0x7f, 0, 0, 0], 1 << 20)
            .unwrap_err()
            .to_string(),
        "the length 2130706432 at byte 0 is not within 0 and 1048576"
    );
    assert_eq!(
        Request::decode(&hex("0000000100000063")),
        Err(DecodeError::Operation { code: 99 })
    );
    assert!(matches!(
        Request::decode(&hex("000000010000000b00")),
        Err(DecodeError::Trailing { offset: 8, left: 1 })
    ));
}

#[test]
fn seeds_and_their_damaged_forms_are_read_or_refused() {
    for seed in fuzz::seeds() {
        for at in 0..seed.len() {
            fuzz::fuzz_packets(&seed[..at]);
            let mut damaged = seed.clone();
            damaged[at] ^= 0xff;
            fuzz::fuzz_packets(&damaged);
        }
        fuzz::fuzz_packets(&seed);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        fuzz::fuzz_packets(&bytes);
    }

    #[test]
    fn what_is_written_is_read(
        xid: i32,
        path in ".{0,20}",
        data: Vec<u8>,
        flags: i32,
        watch: bool,
        last_zxid_seen: i64,
        session_id: i64,
        timeout_ms: i32,
    ) {
        let requests = [
            Request::Create(CreateRequest {
                path: path.clone(),
                data: Buffer(data.clone()),
                acl: vec![Acl::open(); data.len() % 3],
                flags,
            }),
            Request::Children(PathRequest { path: path.clone(), watch }),
            Request::Exists(PathRequest { path, watch }),
        ];
        let mut stream = Vec::new();
        for request in &requests {
            write_packet(&mut stream, |out| request.write(xid, out));
        }
        let mut rest = &stream[..];
        for request in requests {
            let (packet, taken) = next_packet(rest, 1 << 20).unwrap().unwrap();
            prop_assert_eq!(Request::decode(packet), Ok((xid, request)));
            prop_assert_eq!(next_packet(&rest[..taken - 1], 1 << 20), Ok(None));
            rest = &rest[taken..];
        }
        let request = ConnectRequest {
            last_zxid_seen,
            session_id,
            timeout_ms,
            password: Buffer(data),
            ..ConnectRequest::default()
        };
        let mut written = Vec::new();
        request.write(&mut written);
        prop_assert_eq!(ConnectRequest::decode(&written), Ok(request));
    }
}

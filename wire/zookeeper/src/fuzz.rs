//! Fuzz target of this crate, run on seeds by the test suite and by cargo-fuzz from `fuzz/`.

use std::fmt::Debug;

use crate::{
    Acl, Buffer, ConnectRequest, ConnectResponse, CreateRequest, DeleteRequest, Incoming, Op,
    PathRequest, Record, ReplyHeader, Request, Response, Stat, WatcherEvent, next_packet,
};

const PACKET_BYTES_MAX: usize = 1 << 20;

/// Whatever is read of bytes, as any of the things they may be, is written in a form that is read again as the same.
pub fn fuzz_packets(data: &[u8]) {
    let _ = next_packet(data, PACKET_BYTES_MAX);
    again::<ConnectRequest>(data);
    again::<ConnectResponse>(data);
    if let Ok((xid, request)) = Request::decode(data) {
        let mut written = Vec::new();
        request.write(xid, &mut written);
        assert_eq!(Request::decode(&written), Ok((xid, request)));
    }
    match Incoming::decode(data) {
        Ok(Incoming::Event(event)) => {
            let mut written = Vec::new();
            Incoming::write_event(&event, &mut written);
            assert_eq!(Incoming::decode(&written), Ok(Incoming::Event(event)));
        }
        Ok(Incoming::Reply(header)) => {
            for op in [Op::Create, Op::Delete, Op::Exists, Op::Children] {
                if let Ok(response) = Response::decode(op, data) {
                    let mut written = Vec::new();
                    response.write(&header, &mut written);
                    assert_eq!(Response::decode(op, &written), Ok(response));
                }
            }
        }
        Err(_) => {}
    }
}

fn again<T: Record + PartialEq + Debug>(data: &[u8]) {
    if let Ok(record) = T::decode(data) {
        let mut written = Vec::new();
        record.write(&mut written);
        assert_eq!(T::decode(&written), Ok(record));
    }
}

/// One packet of each kind, to begin with.
pub fn seeds() -> Vec<Vec<u8>> {
    let path = "/sofa-rpc/com.x.Hello/providers".to_owned();
    let about = PathRequest {
        path: path.clone(),
        watch: true,
    };
    let requests = [
        Request::Create(CreateRequest {
            path: path.clone(),
            data: Buffer(vec![1]),
            acl: vec![Acl::open()],
            flags: CreateRequest::EPHEMERAL,
        }),
        Request::Delete(DeleteRequest {
            path: path.clone(),
            version: -1,
        }),
        Request::Exists(about.clone()),
        Request::Children(about),
        Request::Ping,
        Request::Close,
    ];
    let responses = [
        Response::Done,
        Response::Created(path.clone()),
        Response::Stat(Stat::default()),
        Response::Children(vec!["a".to_owned(), "b".to_owned()], Stat::default()),
    ];
    let seed = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut seed = Vec::new();
        write(&mut seed);
        seed
    };
    let event = WatcherEvent {
        kind: 4,
        state: 3,
        path,
    };
    let mut seeds = vec![
        seed(&|out| ConnectRequest::default().write(out)),
        seed(&|out| ConnectResponse::default().write(out)),
        seed(&|out| Incoming::write_event(&event, out)),
    ];
    let requests = requests.iter();
    seeds.extend(requests.map(|request| seed(&|out| request.write(7, out))));
    let responses = responses.iter();
    let header = ReplyHeader::default();
    seeds.extend(responses.map(|response| seed(&|out| response.write(&header, out))));
    seeds
}

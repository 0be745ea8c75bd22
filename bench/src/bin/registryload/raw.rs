//! The bare server to compare with: an epoll loop that writes a frame to everybody, reads what comes back, and does nothing else.

use std::collections::HashSet;
use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use diwan_bolt::{Head, Status};
use diwan_registry_wire::{Answer, DataBox, Push, ReceivedData, RegisterResponse, Zones};
use mio::net::TcpListener;
use mio::{Interest, Token};

use crate::Outcome;
use crate::links::{self, CODEC, Came, Links};
use crate::requests::{STAMP_DIGITS, id, stamp_of, stamped};

pub(crate) fn raw(listen: SocketAddr) -> Outcome {
    let mut links = Links::new()?;
    let mut listener = TcpListener::bind(listen)?;
    let arrivals = Token(usize::MAX);
    links
        .poll
        .registry()
        .register(&mut listener, arrivals, Interest::READABLE)?;
    let mut subscribers: HashSet<usize> = HashSet::new();
    let mut push = Vec::new();
    let mut stamp_at = 0;
    loop {
        let mut news = None;
        let came = links.turn(Duration::from_secs(1), |link, what, out| {
            let Came::Request(frame) = what else { return };
            let answer = Answer::RegisterResponse(RegisterResponse {
                success: true,
                version: 1,
                ..RegisterResponse::default()
            });
            let head = frame.head.response(Status::Success);
            let written = links::frame(out, head, answer.class(CODEC), |out| {
                answer.encode(CODEC, out);
            });
            debug_assert!(written.is_ok());
            if frame.class.ends_with(b"SubscriberRegister") {
                subscribers.insert(link);
                out.extend_from_slice(&push);
            } else {
                news = stamp_of(frame.content).map(|(stamp, _)| (stamp, frame.content.len()));
            }
        });
        let came = match came {
            Ok(came) => came,
            // A client has gone: the next one finds an empty house.
            Err(_) => {
                for link in &mut links.links {
                    let _ = links.poll.registry().deregister(&mut link.stream);
                }
                links.links.clear();
                subscribers.clear();
                continue;
            }
        };
        if came {
            loop {
                match listener.accept() {
                    Ok((stream, _)) => drop(links.add(stream)?),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        for link in &subscribers {
            links.links[*link].deaf = links.links[*link].output.is_empty();
        }
        let Some((stamp, _)) = news else { continue };
        if push.is_empty() {
            let mut zones = Zones::new();
            let data = DataBox {
                data: Some(stamped(stamp, 200)),
            };
            zones.insert("DEFAULT_ZONE".into(), vec![data]);
            let received = Push::ReceivedData(ReceivedData {
                data_id: Some(format!("load.change.{}", std::process::id())),
                group: Some("DEFAULT_GROUP".into()),
                instance_id: Some("DEFAULT_INSTANCE_ID".into()),
                segment: Some("DefaultDataCenter".into()),
                scope: Some("global".into()),
                subscriber_regist_ids: Some(vec![id(2, 0)]),
                data: Some(zones),
                version: Some(1),
                local_zone: Some("DEFAULT_ZONE".into()),
                data_count: Some(Default::default()),
            });
            let head = Head::request(1, CODEC.byte(), 3000);
            links::frame(&mut push, head, received.class(CODEC), |out| {
                received.encode(CODEC, out);
            })?;
            stamp_at = stamp_of(&push).map_or(0, |(_, at)| at);
        }
        push[stamp_at..stamp_at + STAMP_DIGITS]
            .copy_from_slice(format!("{stamp:0STAMP_DIGITS$}").as_bytes());
        for link in &subscribers {
            links.links[*link].stream.write_all(&push)?;
        }
    }
}

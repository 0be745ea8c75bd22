//! A session in virtual time with a server that keeps what the real one keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use diwan_zookeeper::{
    Buffer, ConnectRequest, ConnectResponse, CreateRequest, ErrorCode, Incoming, Record,
    ReplyHeader, Request, Response, Stat, WatcherEvent, write_packet,
};
use proptest::prelude::*;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::super::announcement::Announcement;
use super::super::client::{RegistryClient, RegistryOptions, Servers};
use super::super::event::RegistryEvent;
use super::super::state::{GuardRule, RegistId, Wanted};
use super::ZooKeeper;
use super::connection::Connection;
use super::layout::{node_name, providers};
use super::state::{Broken, Config, Packet, State};
use crate::client::{Discovery, Provider};

const SERVICE: &str = "com.x.Shop:1.0";
const PATH: &str = "/r/sofa-rpc/com.x.Shop/providers";
/// What the server grants.
const TIMEOUT: Duration = Duration::from_secs(6);

/// What ZooKeeper knows, and what it has promised to tell on the one connection.
#[derive(Default)]
struct Server {
    /// With the session that a node lives with; 0 for none.
    nodes: BTreeMap<String, i64>,
    zxid: i64,
    sessions: BTreeSet<i64>,
    last_session: i64,
    watched_children: BTreeSet<String>,
    watched: BTreeSet<String>,
    session: i64,
    /// To the client.
    sent: Vec<Vec<u8>>,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Server {
    fn fire(&mut self, path: &str) {
        for (kind, path, set) in [
            (1, path, &mut self.watched),
            (4, parent(path), &mut self.watched_children),
        ] {
            if set.remove(path) {
                let mut packet = Vec::new();
                let path = path.to_owned();
                let event = WatcherEvent {
                    kind,
                    state: 3,
                    path,
                };
                Incoming::write_event(&event, &mut packet);
                self.sent.push(packet);
            }
        }
    }

    fn create(&mut self, path: &str, owner: i64) -> Result<Response, ErrorCode> {
        if self.nodes.contains_key(path) {
            return Err(ErrorCode::NODE_EXISTS);
        }
        if !parent(path).is_empty() && !self.nodes.contains_key(parent(path)) {
            return Err(ErrorCode::NO_NODE);
        }
        self.zxid += 1;
        self.nodes.insert(path.to_owned(), owner);
        self.fire(path);
        Ok(Response::Created(path.to_owned()))
    }

    fn delete(&mut self, path: &str) -> Result<Response, ErrorCode> {
        self.nodes.remove(path).ok_or(ErrorCode::NO_NODE)?;
        self.zxid += 1;
        self.fire(path);
        Ok(Response::Done)
    }

    /// Another client's provider comes.
    fn provider(&mut self, port: u16) {
        let path = format!("{PATH}/{}", node_name(&data(port)));
        let above: Vec<String> = super::layout::above(&path).map(str::to_owned).collect();
        for above in above {
            let _ = self.create(&above, 0);
        }
        let _ = self.create(&path, -1);
    }

    fn expire(&mut self) {
        let (session, nodes) = (self.session, self.nodes.clone());
        self.sessions.clear();
        let lives = |owner: i64| owner != 0 && owner == session;
        for (path, _) in nodes.iter().filter(|(_, owner)| lives(**owner)) {
            let _ = self.delete(path);
        }
    }

    /// All data are lost.
    fn wipe(&mut self) {
        let last_session = self.last_session;
        *self = Self {
            last_session,
            ..Self::default()
        };
    }

    fn cut(&mut self) {
        self.sent.clear();
        self.watched.clear();
        self.watched_children.clear();
    }

    /// False if it closes the connection.
    fn greet(&mut self, request: &ConnectRequest) -> bool {
        if request.last_zxid_seen > self.zxid {
            return false;
        }
        let is_new = request.session_id == 0;
        let known = self.sessions.contains(&request.session_id);
        if is_new {
            self.last_session += 1;
            self.sessions.insert(self.last_session);
        }
        self.session = if is_new {
            self.last_session
        } else {
            request.session_id
        };
        let mut response = ConnectResponse::default();
        if is_new || known {
            response.timeout_ms = TIMEOUT.as_millis() as i32;
            response.session_id = self.session;
            response.password = Buffer(vec![7; 16]);
        }
        let mut packet = Vec::new();
        response.write(&mut packet);
        self.sent.push(packet);
        true
    }

    fn answer(&mut self, xid: i32, request: &Request) {
        let answer = match request {
            Request::Create(request) => {
                let ephemeral = request.flags == CreateRequest::EPHEMERAL;
                let owner = if ephemeral { self.session } else { 0 };
                self.create(&request.path, owner)
            }
            Request::Delete(request) => self.delete(&request.path),
            Request::Exists(request) => {
                if request.watch {
                    self.watched.insert(request.path.clone());
                }
                let owner = self.nodes.get(&request.path).ok_or(ErrorCode::NO_NODE);
                owner.map(|owner| {
                    Response::Stat(Stat {
                        ephemeral_owner: *owner,
                        ..Stat::default()
                    })
                })
            }
            Request::Children(request) if !self.nodes.contains_key(&request.path) => {
                Err(ErrorCode::NO_NODE)
            }
            Request::Children(request) => {
                if request.watch {
                    self.watched_children.insert(request.path.clone());
                }
                let below = self
                    .nodes
                    .keys()
                    .filter(|node| parent(node) == request.path);
                let names = below.map(|node| node[request.path.len() + 1..].to_owned());
                Ok(Response::Children(names.collect(), Stat::default()))
            }
            Request::Ping | Request::Close => Ok(Response::Done),
        };
        let header = ReplyHeader {
            xid,
            zxid: self.zxid,
            error: answer.as_ref().err().map_or(0, |code| code.0),
        };
        let mut packet = Vec::new();
        answer.unwrap_or(Response::Done).write(&header, &mut packet);
        self.sent.push(packet);
    }
}

struct World {
    state: State,
    server: Server,
    now: Duration,
    connected: bool,
    requests: Vec<Packet>,
    shown: Vec<String>,
    events: Vec<RegistryEvent>,
    ended: Vec<(RegistId, bool)>,
}

fn data(port: u16) -> String {
    format!("bolt://127.0.0.1:{port}?version=1.0&uniqueId=")
}

fn id(name: &str) -> RegistId {
    RegistId(name.to_owned())
}

impl World {
    fn new() -> Self {
        let config = Config {
            root: "/r".to_owned(),
            session_timeout: Duration::from_secs(9),
            guard: GuardRule::default(),
            snapshot_after: Duration::from_secs(1),
            retry_after: Duration::from_secs(1),
            in_flight_max: 2,
        };
        Self {
            state: State::new(config, BTreeMap::new()),
            server: Server::default(),
            now: Duration::from_secs(1000),
            connected: false,
            requests: Vec::new(),
            shown: Vec::new(),
            events: Vec::new(),
            ended: Vec::new(),
        }
    }

    fn publish(&mut self, port: u16) {
        let wanted = Wanted::Publish(data(port));
        self.state
            .register(id(&port.to_string()), SERVICE, wanted, self.now);
    }

    fn subscribe(&mut self) {
        self.state
            .register(id("list"), SERVICE, Wanted::Subscribe, self.now);
    }

    fn connect(&mut self) {
        self.connected = true;
        self.state.opened(self.now);
        self.pump();
    }

    fn cut(&mut self) {
        self.connected = false;
        self.state.closed();
        self.server.cut();
        self.pump();
    }

    /// Everything that is said and answered now, or the first packets of it.
    fn pump(&mut self) {
        self.pump_some(usize::MAX);
    }

    fn pump_some(&mut self, most: usize) {
        for _ in 0..most {
            if self.state.advance(self.now).is_err() {
                return self.cut();
            }
            for packet in self.state.packets() {
                assert!(self.connected, "{packet:?}");
                match &packet {
                    Packet::Connect(request) => {
                        if !self.server.greet(request) {
                            self.requests.push(packet);
                            return self.cut();
                        }
                    }
                    Packet::Request(xid, request) => self.server.answer(*xid, request),
                }
                self.requests.push(packet);
            }
            self.note();
            if !self.connected || self.server.sent.is_empty() {
                break;
            }
            let packet = self.server.sent.remove(0);
            if self.state.received(&packet, self.now).is_err() {
                return self.cut();
            }
        }
        self.note();
    }

    fn note(&mut self) {
        for shown in self.state.shown() {
            self.shown = shown.instances;
        }
        self.events.extend(self.state.events());
        self.ended.extend(self.state.ended());
    }

    /// Time passes, with whatever is due in it; who is cut off tries again every second.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let next = self.state.next_deadline().unwrap_or(end);
            let step = self.now + Duration::from_secs(1);
            self.now = next
                .clamp(self.now + Duration::from_millis(1), step)
                .min(end);
            self.pump();
            if !self.connected {
                self.connect();
            }
        }
    }

    fn owner(&self, port: u16) -> Option<i64> {
        let path = format!("{PATH}/{}", node_name(&data(port)));
        self.server.nodes.get(&path).copied()
    }

    fn listed(&self) -> Vec<String> {
        let below = self.server.nodes.keys().filter(|node| parent(node) == PATH);
        let names: Vec<String> = below
            .map(|node| node[PATH.len() + 1..].to_owned())
            .collect();
        super::layout::instances(&names, SERVICE)
    }

    fn count(&self, wanted: impl Fn(&RegistryEvent) -> bool) -> usize {
        self.events.iter().filter(|event| wanted(event)).count()
    }
}

#[test]
fn what_is_published_is_listed() {
    let mut world = World::new();
    assert_eq!(providers("/r", SERVICE), PATH);
    world.subscribe();
    world.publish(1);
    world.connect();
    // Nobody was there, but that is not believed at once.
    assert_eq!(world.shown, [data(1)]);
    assert_eq!(world.owner(1), Some(world.server.session));
    assert_eq!(world.server.nodes["/r/sofa-rpc"], 0);
    world.server.provider(2);
    world.pump();
    assert_eq!(world.shown, [data(1), data(2)]);

    let id = id("1");
    world.state.unregister(&id, world.now);
    world.pump();
    assert_eq!(world.ended, [(id, true)]);
    assert_eq!(world.shown, [data(2)]);
    assert_eq!(world.state.publishers(), 0);
}

#[test]
fn the_last_provider_may_go_and_the_first_may_come() {
    let mut world = World::new();
    world.subscribe();
    world.connect();
    world.pass(Duration::from_secs(2));
    let emptied =
        |event: &RegistryEvent| matches!(event, RegistryEvent::ListChanged { instances: 0, .. });
    assert_eq!(world.count(emptied), 1, "it is told that there is nobody");
    world.server.provider(1);
    world.pump();
    assert_eq!(world.shown, [data(1)]);
    let _ = world
        .server
        .delete(&format!("{PATH}/{}", node_name(&data(1))));
    world.pump();
    assert_eq!(world.count(emptied), 2);
}

#[test]
fn a_session_goes_on_and_what_happened_meanwhile_is_seen() {
    let mut world = World::new();
    world.subscribe();
    world.publish(1);
    world.connect();
    let session = world.server.session;
    world.cut();
    world.server.provider(2);
    assert_eq!(world.shown, [data(1)], "the list stays");
    world.now += Duration::from_secs(3);
    world.connect();
    assert_eq!(world.shown, [data(1), data(2)]);
    assert_eq!(
        (world.server.session, world.owner(1)),
        (session, Some(session))
    );
    // The watch is there again, too.
    world.server.provider(3);
    world.pump();
    assert_eq!(world.shown.len(), 3);
}

#[test]
fn a_session_that_expired_is_followed_by_another() {
    let mut world = World::new();
    world.subscribe();
    world.publish(1);
    world.connect();
    let before = world.server.session;
    world.server.expire();
    world.cut();
    assert_eq!(world.owner(1), None);
    world.pass(Duration::from_secs(2));
    assert_ne!(world.server.session, before);
    assert_eq!(world.owner(1), Some(world.server.session));
    assert_eq!(
        world.count(|event| *event == RegistryEvent::SessionExpired),
        1
    );
    assert_eq!(world.shown, [data(1)]);
}

#[test]
fn a_node_of_an_earlier_session_is_made_anew() {
    let mut world = World::new();
    world.server.provider(1);
    assert_eq!(world.owner(1), Some(-1));
    world.publish(1);
    world.connect();
    assert_eq!(world.owner(1), Some(world.server.session));
}

#[test]
fn a_server_that_lost_everything_is_believed_once_the_session_is_over() {
    let mut world = World::new();
    for port in 2..9 {
        world.server.provider(port);
    }
    world.subscribe();
    world.publish(1);
    world.connect();
    assert_eq!(world.shown.len(), 8);
    world.server.wipe();
    world.cut();
    world.pass(TIMEOUT);
    assert!(
        !world.state.is_open(),
        "it refuses who has seen more than it has"
    );
    world.pass(TIMEOUT);
    assert_eq!(world.owner(1), Some(world.server.session));
    assert_eq!(world.shown.len(), 8, "the others may be on their way");
    world.pass(GuardRule::default().hold);
    assert_eq!(world.shown, [data(1)]);
}

#[test]
fn pings_keep_a_session_and_silence_ends_a_connection() {
    let mut world = World::new();
    world.connect();
    world.requests.clear();
    world.pass(Duration::from_secs(60));
    let pings = world.requests.iter();
    let pings = pings.filter(|one| **one == Packet::Request(Request::PING_XID, Request::Ping));
    assert_eq!((pings.count(), world.connected), (30, true));
    let silence = TIMEOUT * 2 / 3;
    world.now += silence;
    assert_eq!(world.state.advance(world.now), Err(Broken::Silent(silence)));
    // Nor is a greeting awaited for ever.
    let mut world = World::new();
    world.state.opened(world.now);
    world.state.packets();
    let patience = world.state.next_deadline().unwrap();
    assert_eq!(patience - world.now, Duration::from_secs(6));
    assert!(world.state.advance(patience).is_err());
}

#[test]
fn what_ends_without_a_connection_is_taken_back_later() {
    let mut world = World::new();
    world.publish(1);
    world.connect();
    world.cut();
    world.state.unregister(&id("1"), world.now);
    world.pump();
    assert_eq!(world.ended, [(id("1"), false)]);
    world.connect();
    assert_eq!(world.owner(1), None);
    assert_eq!(world.ended.last(), Some(&(id("1"), true)));
}

#[test]
fn answers_that_belong_to_nothing_end_the_connection() {
    let mut world = World::new();
    world.connect();
    let mut packet = Vec::new();
    let header = ReplyHeader {
        xid: 99,
        ..ReplyHeader::default()
    };
    Response::Done.write(&header, &mut packet);
    assert_eq!(
        world.state.received(&packet, world.now),
        Err(Broken::OutOfOrder {
            came: 99,
            awaited: None
        })
    );
    let error = world.state.received(&[1, 2, 3], world.now).unwrap_err();
    assert!(error.to_string().contains("at byte 0"), "{error}");
}

#[derive(Clone, Debug)]
enum Happening {
    /// In the middle of what is said, after so many packets.
    Cut(usize),
    Expire,
    Wipe,
    Comes(u16),
    Goes(u16),
    Publish,
    Unpublish(u16),
    Passes(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0..9_usize).prop_map(Happening::Cut),
        1 => Just(Happening::Expire),
        1 => Just(Happening::Wipe),
        2 => (50..60_u16).prop_map(Happening::Comes),
        2 => (50..60_u16).prop_map(Happening::Goes),
        2 => Just(Happening::Publish),
        1 => (1..9_u16).prop_map(Happening::Unpublish),
        4 => (0..9_000_u64).prop_map(Happening::Passes),
    ]
}

proptest! {
    /// Whatever happens: once it is quiet, everything is published in the session that lives, nothing that was taken back is, and
    /// the list is what stands there.
    #[test]
    fn in_the_end_all_is_there(happenings in proptest::collection::vec(happening(), 0..40)) {
        let mut world = World::new();
        world.subscribe();
        let mut published = BTreeSet::new();
        let mut next = 1;
        for happening in happenings {
            match happening {
                Happening::Cut(after) => {
                    world.pump_some(after);
                    world.cut();
                }
                Happening::Expire => {
                    world.server.expire();
                    world.cut();
                }
                Happening::Wipe => {
                    world.server.wipe();
                    world.cut();
                }
                Happening::Comes(port) => world.server.provider(port),
                Happening::Goes(port) => {
                    let _ = world.server.delete(&format!("{PATH}/{}", node_name(&data(port))));
                }
                Happening::Publish => {
                    world.publish(next);
                    published.insert(next);
                    next += 1;
                }
                Happening::Unpublish(port) => {
                    if published.remove(&port) {
                        world.state.unregister(&id(&port.to_string()), world.now);
                    }
                }
                Happening::Passes(ms) => world.pass(Duration::from_millis(ms)),
            }
        }
        // A session that expired is told to who comes again.
        world.cut();
        world.pass(Duration::from_secs(90));
        for port in 1..next {
            let owner = published.contains(&port).then_some(world.server.session);
            prop_assert_eq!(world.owner(port), owner, "{}", port);
        }
        prop_assert_eq!(&world.shown, &world.listed());
        prop_assert_eq!(world.state.publishers(), published.len());
    }

    #[test]
    fn any_packet_is_taken_or_refused(packets: Vec<Vec<u8>>, greeted: bool) {
        let mut world = World::new();
        world.subscribe();
        world.publish(1);
        world.state.opened(world.now);
        if greeted {
            world.connect();
        }
        for packet in packets {
            let _ = world.state.received(&packet, world.now);
            let _ = world.state.advance(world.now);
        }
    }
}

/// Serves one connection; `cut` ends it.
async fn serve(server: &mut Server, stream: TcpStream, mut cut: watch::Receiver<u32>) {
    server.cut();
    let mut connection = Connection::new(stream.peer_addr().unwrap(), stream);
    cut.mark_unchanged();
    let mut greeted = false;
    loop {
        let moved = tokio::select! {
            moved = connection.moved() => moved,
            _ = cut.changed() => return,
        };
        if moved.is_err() {
            return;
        }
        let taken = connection.packets(|packet| {
            if std::mem::replace(&mut greeted, true) {
                let (xid, request) = Request::decode(packet).unwrap();
                server.answer(xid, &request);
            } else {
                assert!(server.greet(&ConnectRequest::decode(packet).unwrap()));
            }
            Ok(())
        });
        taken.unwrap();
        for packet in server.sent.drain(..) {
            write_packet(connection.unsent(), |out| out.extend(&packet));
        }
    }
}

#[tokio::test]
async fn over_sockets_a_list_is_told_and_outlives_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place: ZooKeeper = format!("zookeeper://{}/r", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let (cut, cuts) = watch::channel(0);
    tokio::spawn(async move {
        let mut server = Server::default();
        server.provider(2);
        while let Ok((stream, _)) = listener.accept().await {
            serve(&mut server, stream, cuts.clone()).await;
            server.provider(3);
        }
    });
    let client = RegistryClient::start(RegistryOptions::new(Servers::ZooKeeper(place))).unwrap();
    let listed = async |wanted: &[u16]| {
        let mut list = client.subscribe(SERVICE);
        let has = |providers: &Arc<[Provider]>| {
            let mut ports: Vec<u16> = providers.iter().map(|one| one.addr.port()).collect();
            ports.sort_unstable();
            ports == wanted
        };
        let wait = timeout(Duration::from_secs(20), list.wait_for(has)).await;
        drop(wait.unwrap().unwrap());
    };
    let addr = "127.0.0.1:1".parse().unwrap();
    let published = client
        .publish(SERVICE, &Announcement::default(), addr)
        .unwrap();
    listed(&[1, 2]).await;
    cut.send_replace(1);
    listed(&[1, 2, 3]).await;
    assert!(published.end().await);
    listed(&[2, 3]).await;
    let stats: BTreeMap<_, _> = client.stats().snapshot().into_iter().collect();
    assert_eq!((stats["connected"], stats["lost"]), (2, 1));
    assert_eq!(stats["sessions_expired"], 0);
}

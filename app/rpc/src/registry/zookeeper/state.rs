//! A session with ZooKeeper and everything that is registered and watched in it, through all its connections.
//!
//! On every connection everything is created and listed again, whether the session is a new one or goes on: what the server has
//! already answers that the node exists, and a list that is read is a watch that is set. So no watch and no node is lost, and
//! whoever was cut off knows what happened meanwhile.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use diwan_zookeeper::{
    Acl, Buffer, ConnectRequest, ConnectResponse, CreateRequest, DeleteRequest, ErrorCode,
    Incoming, PathRequest, Record, ReplyHeader, Request, Response, WatcherEvent, write_packet,
};

use super::super::event::RegistryEvent;
use super::super::state::{GuardRule, Instances, RegistId, ServiceLists, Shown, Told, Wanted};
use super::layout;

/// Bounds and times of a client.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) root: String,
    /// What is asked for; the server decides.
    pub(super) session_timeout: Duration,
    pub(super) guard: GuardRule,
    /// If no list has come by then, the snapshot's is shown.
    pub(super) snapshot_after: Duration,
    /// What was not taken is sent again after this.
    pub(super) retry_after: Duration,
    /// Registrations on their way.
    pub(super) in_flight_max: usize,
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Connect(ConnectRequest),
    Request(i32, Request),
}

impl Packet {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_packet(out, |out| match self {
            Self::Connect(request) => request.write(out),
            Self::Request(xid, request) => request.write(*xid, out),
        });
    }
}

/// Why a connection is of no more use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    #[error("{0}")]
    Undecodable(#[from] diwan_zookeeper::DecodeError),
    #[error("an answer to request {came} came, {awaited:?} is next")]
    OutOfOrder { came: i32, awaited: Option<i32> },
    #[error("nothing was heard for {0:?}")]
    Silent(Duration),
    #[error("the session has expired")]
    Expired,
    #[error("{0}")]
    Refused(ErrorCode),
}

struct Session {
    id: i64,
    password: Buffer,
    timeout: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    Away,
    /// The server has not said yet whether there is a session.
    Greeting,
    Open,
}

struct Registration {
    service: String,
    wanted: Wanted,
    /// Of the provider's node, or of the one whose children are watched.
    path: String,
    /// It is to be taken back.
    ends: bool,
    /// When it is to be sent.
    due: Option<Duration>,
}

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Aim {
    /// What is answered changes nothing: what follows says it.
    Prepare,
    /// A provider's node is to be there. How often this was tried in a row.
    Publish(RegistId, u32),
    /// There is such a node already: whose is it?
    Whose(RegistId, u32),
    Withdraw(RegistId),
    List(RegistId),
    /// The node with the children is not there: tell when it is.
    Appears(RegistId),
}

/// A node is prepared for and created so often before it counts as a failure.
const TRIES_MAX: u32 = 3;

pub(super) struct State {
    config: Config,
    registrations: BTreeMap<RegistId, Registration>,
    /// Registrations to be sent.
    due: BTreeSet<(Duration, RegistId)>,
    lists: ServiceLists,
    /// Numbers the lists that were read.
    lists_read: i64,
    session: Option<Session>,
    /// The newest change that a server has told of. A server that knows less would show an old list: it refuses.
    zxid: i64,
    link: Link,
    /// When something was heard.
    heard: Duration,
    /// When a connection was begun or a ping sent.
    greeted: Duration,
    xid: i32,
    /// What has not been answered, in the order in which it will be.
    asked: VecDeque<(i32, Request, Aim)>,
    packets: Vec<Packet>,
    events: Vec<RegistryEvent>,
    ended: Vec<(RegistId, bool)>,
}

impl State {
    pub(super) fn new(config: Config, snapshot: BTreeMap<String, Instances>) -> Self {
        let lists = ServiceLists::new(config.guard, config.snapshot_after, snapshot);
        Self {
            config,
            registrations: BTreeMap::new(),
            due: BTreeSet::new(),
            lists,
            lists_read: 0,
            session: None,
            zxid: 0,
            link: Link::Away,
            heard: Duration::ZERO,
            greeted: Duration::ZERO,
            xid: 0,
            asked: VecDeque::new(),
            packets: Vec::new(),
            events: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// A publisher or subscriber begins. Its id is new.
    pub(super) fn register(&mut self, id: RegistId, service: &str, wanted: Wanted, now: Duration) {
        let mut path = layout::providers(&self.config.root, service);
        match &wanted {
            Wanted::Publish(data) => {
                path.push('/');
                path.push_str(&layout::node_name(data));
            }
            Wanted::Subscribe => self.lists.add(&id, service, now),
        }
        let registration = Registration {
            service: service.to_owned(),
            wanted,
            path,
            ends: false,
            due: None,
        };
        self.registrations.insert(id.clone(), registration);
        self.schedule(&id, now);
    }

    /// A publisher ends. Without a connection its node stays, until there is one again or the session expires.
    pub(super) fn unregister(&mut self, id: &RegistId, now: Duration) {
        let Some(registration) = self.registrations.get_mut(id) else {
            return self.ended.push((id.clone(), false));
        };
        if std::mem::replace(&mut registration.ends, true) {
            return;
        }
        if self.link != Link::Open {
            self.ended.push((id.clone(), false));
        }
        self.schedule(id, now);
    }

    /// A server accepted a connection: is there a session?
    pub(super) fn opened(&mut self, now: Duration) {
        self.link = Link::Greeting;
        self.heard_or_expired(now);
        let (session_id, password) = match &self.session {
            Some(session) => (session.id, session.password.clone()),
            None => (0, Buffer(vec![0; 16])),
        };
        let timeout_ms = self.config.session_timeout.as_millis();
        self.greeted = now;
        self.packets.push(Packet::Connect(ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.zxid,
            timeout_ms: i32::try_from(timeout_ms).unwrap_or(i32::MAX),
            session_id,
            password,
            read_only: false,
        }));
    }

    /// The connection ended. Lists stay.
    pub(super) fn closed(&mut self) {
        self.link = Link::Away;
        self.asked.clear();
        self.packets.clear();
        self.lists.disconnected();
        let ends = |(id, one): (&RegistId, &Registration)| one.ends.then(|| (id.clone(), false));
        self.ended
            .extend(self.registrations.iter().filter_map(ends));
    }

    /// A packet came.
    ///
    /// # Errors
    /// The connection has to be given up.
    pub(super) fn received(&mut self, packet: &[u8], now: Duration) -> Result<(), Broken> {
        if self.link != Link::Open {
            let greeting = ConnectResponse::decode(packet)?;
            return self.greeted(greeting, now);
        }
        self.heard = now;
        match Incoming::decode(packet)? {
            Incoming::Event(event) => self.changed(&event, now),
            Incoming::Reply(header) => {
                self.zxid = self.zxid.max(header.zxid);
                if header.xid != Request::PING_XID {
                    return self.answered(&header, packet, now);
                }
            }
        }
        Ok(())
    }

    fn greeted(&mut self, greeting: ConnectResponse, now: Duration) -> Result<(), Broken> {
        let timeout = u64::try_from(greeting.timeout_ms).unwrap_or_default();
        if timeout == 0 || greeting.session_id == 0 {
            self.expired();
            return Err(Broken::Expired);
        }
        self.heard = now;
        self.link = Link::Open;
        self.session = Some(Session {
            id: greeting.session_id,
            password: greeting.password,
            timeout: Duration::from_millis(timeout),
        });
        self.lists.connected();
        let ids: Vec<RegistId> = self.registrations.keys().cloned().collect();
        for id in ids {
            self.schedule(&id, now);
        }
        Ok(())
    }

    /// Something that was watched has changed: it is read again, which sets the watch again.
    fn changed(&mut self, event: &WatcherEvent, now: Duration) {
        let watches =
            |one: &Registration| one.wanted == Wanted::Subscribe && one.path == event.path;
        let all = self.registrations.iter();
        let ids: Vec<RegistId> = all
            .filter(|(_, one)| watches(one))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            self.schedule(&id, now);
        }
    }

    fn answered(
        &mut self,
        header: &ReplyHeader,
        packet: &[u8],
        now: Duration,
    ) -> Result<(), Broken> {
        let awaited = self.asked.front().map(|(xid, ..)| *xid);
        let came = header.xid;
        let next = self.asked.pop_front().filter(|(xid, ..)| *xid == came);
        let Some((_, request, aim)) = next else {
            return Err(Broken::OutOfOrder { came, awaited });
        };
        let answer = match header.code() {
            ErrorCode::OK => Ok(Response::decode(request.op(), packet)?),
            ErrorCode::SESSION_EXPIRED => {
                self.expired();
                return Err(Broken::Expired);
            }
            code @ ErrorCode::SESSION_MOVED => return Err(Broken::Refused(code)),
            code => Err(code),
        };
        match aim {
            Aim::Prepare => {}
            Aim::Publish(id, tries) => self.published(&id, tries, answer, now),
            Aim::Whose(id, tries) => self.told_whose(&id, tries, answer, now),
            Aim::Withdraw(id) => match answer {
                Ok(_) | Err(ErrorCode::NO_NODE) => self.remove(&id, true),
                Err(code) => self.failed(&id, code, now),
            },
            Aim::List(id) => match answer {
                Ok(Response::Children(names, _)) => self.listed(&id, &names, now),
                Ok(_) => {}
                Err(ErrorCode::NO_NODE) => self.ask_about(id, Aim::Appears),
                Err(code) => self.failed(&id, code, now),
            },
            Aim::Appears(id) => match answer {
                // It has come in between.
                Ok(_) => self.schedule(&id, now),
                Err(ErrorCode::NO_NODE) => self.listed(&id, &[], now),
                Err(code) => self.failed(&id, code, now),
            },
        }
        Ok(())
    }

    fn published(
        &mut self,
        id: &RegistId,
        tries: u32,
        answer: Result<Response, ErrorCode>,
        now: Duration,
    ) {
        let Some(registration) = self.registrations.get(id).filter(|one| !one.ends) else {
            return;
        };
        match answer {
            Ok(_) => self.registered(id),
            Err(ErrorCode::NO_NODE) if tries < TRIES_MAX => {
                let path = registration.path.clone();
                for above in layout::above(&path) {
                    self.ask(create(above, false), Aim::Prepare);
                }
                self.ask(create(&path, true), Aim::Publish(id.clone(), tries + 1));
            }
            Err(ErrorCode::NODE_EXISTS) if tries < TRIES_MAX => {
                self.ask_about(id.clone(), |id| Aim::Whose(id, tries));
            }
            Err(code) => self.failed(id, code, now),
        }
    }

    /// A node that another session left behind would go with it: it is made anew.
    fn told_whose(
        &mut self,
        id: &RegistId,
        tries: u32,
        answer: Result<Response, ErrorCode>,
        now: Duration,
    ) {
        let Some(registration) = self.registrations.get(id).filter(|one| !one.ends) else {
            return;
        };
        let ours = self.session.as_ref().map(|session| session.id);
        match answer {
            Ok(Response::Stat(stat)) if Some(stat.ephemeral_owner) == ours => self.registered(id),
            Ok(_) | Err(ErrorCode::NO_NODE) => {
                let path = registration.path.clone();
                self.ask(delete(&path), Aim::Prepare);
                self.ask(create(&path, true), Aim::Publish(id.clone(), tries + 1));
            }
            Err(code) => self.failed(id, code, now),
        }
    }

    fn registered(&mut self, id: &RegistId) {
        if let Some(registration) = self.registrations.get(id) {
            let (service, regist_id) = (registration.service.clone(), id.0.clone());
            self.events
                .push(RegistryEvent::Registered { service, regist_id });
        }
    }

    fn listed(&mut self, id: &RegistId, names: &[String], now: Duration) {
        let Some(registration) = self.registrations.get(id) else {
            return;
        };
        self.lists_read += 1;
        let told = Told {
            segment: String::new(),
            version: self.lists_read,
            instances: layout::instances(names, &registration.service),
        };
        self.lists.told(id, told, now, &mut self.events);
    }

    /// It is tried again.
    fn failed(&mut self, id: &RegistId, code: ErrorCode, now: Duration) {
        if let Some(registration) = self.registrations.get(id) {
            self.events.push(RegistryEvent::NotRegistered {
                service: registration.service.clone(),
                regist_id: id.0.clone(),
                reason: code.to_string(),
            });
            self.schedule(id, now + self.config.retry_after);
        }
    }

    /// Carries out what time has brought.
    ///
    /// # Errors
    /// The connection has to be given up.
    pub(super) fn advance(&mut self, now: Duration) -> Result<(), Broken> {
        self.lists.advance(now, &mut self.events);
        match self.link {
            Link::Away => self.heard_or_expired(now),
            Link::Greeting | Link::Open if self.silence_ends() <= now => {
                return Err(Broken::Silent(self.patience()));
            }
            Link::Open if self.ping_at() <= now => {
                self.greeted = now;
                self.packets
                    .push(Packet::Request(Request::PING_XID, Request::Ping));
            }
            Link::Greeting | Link::Open => {}
        }
        self.send_due(now);
        Ok(())
    }

    fn send_due(&mut self, now: Duration) {
        while self.may_send() {
            match self.due.first() {
                Some((at, _)) if *at <= now => {}
                _ => break,
            }
            let Some((_, id)) = self.due.pop_first() else {
                break;
            };
            let Some(registration) = self.registrations.get_mut(&id) else {
                continue;
            };
            registration.due = None;
            let path = registration.path.clone();
            let (request, aim) = match (&registration.wanted, registration.ends) {
                (Wanted::Publish(_), true) => (delete(&path), Aim::Withdraw(id)),
                (Wanted::Publish(_), false) => (create(&path, true), Aim::Publish(id, 1)),
                (Wanted::Subscribe, _) => {
                    let watched = PathRequest { path, watch: true };
                    (Request::Children(watched), Aim::List(id))
                }
            };
            self.ask(request, aim);
        }
    }

    /// What is to be sent, in this order.
    pub(super) fn packets(&mut self) -> Vec<Packet> {
        std::mem::take(&mut self.packets)
    }

    /// There is a session on this connection.
    pub(super) fn is_open(&self) -> bool {
        self.link == Link::Open
    }

    /// The session ends, and everything that was published in it.
    pub(super) fn close(&mut self) {
        if self.is_open() {
            self.ask(Request::Close, Aim::Prepare);
        }
    }

    /// Lists that consumers are to see from now on.
    pub(super) fn shown(&mut self) -> Vec<Shown> {
        self.lists.shown(&mut self.events)
    }

    /// The lists that were asked for.
    pub(super) fn lists(&mut self) -> &mut ServiceLists {
        &mut self.lists
    }

    /// What happened since it was asked last.
    pub(super) fn events(&mut self) -> Vec<RegistryEvent> {
        std::mem::take(&mut self.events)
    }

    /// Registrations that have ended, and whether a server said so.
    pub(super) fn ended(&mut self) -> Vec<(RegistId, bool)> {
        std::mem::take(&mut self.ended)
    }

    /// Publishers that have not ended.
    pub(super) fn publishers(&self) -> usize {
        let publishes = |one: &&Registration| one.wanted != Wanted::Subscribe && !one.ends;
        self.registrations.values().filter(publishes).count()
    }

    /// When there is something to do without any input.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let due = self.due.first().filter(|_| self.may_send());
        let link = match self.link {
            Link::Away => self.life_ends(),
            Link::Greeting => Some(self.silence_ends()),
            Link::Open => Some(self.silence_ends().min(self.ping_at())),
        };
        let due = due.map(|(at, _)| *at);
        let all = [due, link, self.lists.next_deadline()];
        all.into_iter().flatten().min()
    }

    fn may_send(&self) -> bool {
        self.link == Link::Open && self.asked.len() < self.config.in_flight_max
    }

    /// The server's word for how long a session lives, or ours before it has spoken.
    fn timeout(&self) -> Duration {
        let session = self.session.as_ref();
        session.map_or(self.config.session_timeout, |session| session.timeout)
    }

    /// A server that says nothing for so long is given up while there is time for another (`ClientCnxn.readTimeout`).
    fn patience(&self) -> Duration {
        self.timeout() * 2 / 3
    }

    fn silence_ends(&self) -> Duration {
        // In a greeting the silence begins with the question.
        let since = if self.link == Link::Greeting {
            self.greeted
        } else {
            self.heard
        };
        since + self.patience()
    }

    fn ping_at(&self) -> Duration {
        self.greeted + self.timeout() / 3
    }

    /// A session that no server has heard of for its lifetime is over, though nobody says so: a server that has lost its data
    /// refuses who has seen more than it has. With a new session nothing was seen.
    fn heard_or_expired(&mut self, now: Duration) {
        if self.life_ends().is_some_and(|end| end <= now) {
            self.expired();
            self.zxid = 0;
        }
    }

    /// When what is known from before the connection was lost is of no use any more. A third later than the server would say
    /// it, as with the original.
    fn life_ends(&self) -> Option<Duration> {
        let any = self.session.is_some() || self.zxid != 0;
        any.then(|| self.heard + self.timeout() * 4 / 3)
    }

    fn expired(&mut self) {
        if self.session.take().is_some() {
            self.events.push(RegistryEvent::SessionExpired);
        }
    }

    fn schedule(&mut self, id: &RegistId, at: Duration) {
        let Some(registration) = self.registrations.get_mut(id) else {
            return;
        };
        if let Some(before) = registration.due.replace(at) {
            self.due.remove(&(before, id.clone()));
        }
        self.due.insert((at, id.clone()));
    }

    fn remove(&mut self, id: &RegistId, told: bool) {
        if let Some(registration) = self.registrations.remove(id)
            && let Some(at) = registration.due
        {
            self.due.remove(&(at, id.clone()));
        }
        self.lists.remove(id);
        self.ended.push((id.clone(), told));
    }

    fn ask_about(&mut self, id: RegistId, aim: impl FnOnce(RegistId) -> Aim) {
        if let Some(registration) = self.registrations.get(&id) {
            let path = registration.path.clone();
            let watch = registration.wanted == Wanted::Subscribe;
            self.ask(Request::Exists(PathRequest { path, watch }), aim(id));
        }
    }

    fn ask(&mut self, request: Request, aim: Aim) {
        self.xid = self.xid.checked_add(1).unwrap_or(1);
        self.asked.push_back((self.xid, request.clone(), aim));
        self.packets.push(Packet::Request(self.xid, request));
    }
}

fn create(path: &str, provider: bool) -> Request {
    // sofastack/sofa-rpc:.../zk/ZookeeperRegistry.java: PROVIDER_ONLINE.
    let data = if provider { vec![1] } else { Vec::new() };
    Request::Create(CreateRequest {
        path: path.to_owned(),
        data: Buffer(data),
        acl: vec![Acl::open()],
        flags: if provider {
            CreateRequest::EPHEMERAL
        } else {
            0
        },
    })
}

fn delete(path: &str) -> Request {
    Request::Delete(DeleteRequest {
        path: path.to_owned(),
        version: -1,
    })
}

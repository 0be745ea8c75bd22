//! A TM's or an RM's connections to all its coordinators, and what goes over which.

use std::time::Duration;

use diwan_seata::frame::Kind;
use diwan_seata::{
    BranchEnd, BranchEnded, BranchStatus, ExceptionCode, Identify, Message, Outcome,
};

use super::orders::{Came, Key, OrderId, Orders};
use super::requests::{Failure, Place, Requests, Ticket};
use super::server::{Connection, Link, Pending, Server};

/// After a connection has ended the next one is tried within this: all clients of a coordinator that went down would come at once
/// otherwise.
const AFTER_LOSS_MAX: Duration = Duration::from_millis(100);
/// First and longest wait after attempts in vain.
const AFTER_FAILURE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What a client is to its coordinators; each part has its own connections, as the original's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Begins and ends transactions.
    Tm,
    /// Has branches. Connects when there is a resource.
    Rm,
}

impl Role {
    /// As in logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tm => "TM",
            Self::Rm => "RM",
        }
    }
}

/// Bounds and times.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) role: Role,
    pub(crate) identify: Identify,
    /// `host:port` each.
    pub(crate) servers: Vec<String>,
    pub(crate) request_timeout: Duration,
    /// For a connection, and again until the coordinator has accepted it.
    pub(crate) connect_timeout: Duration,
    /// When nothing else was sent for so long.
    pub(crate) ping_after: Duration,
    /// A connection over which nothing has come for so long is over.
    pub(crate) silent_max: Duration,
    /// Requests without an answer.
    pub(crate) requests_max: usize,
    /// Orders that are being carried out.
    pub(crate) orders_max: usize,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Output {
    /// Make a connection.
    Dial(Connection),
    /// Send a frame; without a message if it is a ping or its answer.
    Send {
        connection: Connection,
        kind: Kind,
        id: i32,
        message: Option<Message>,
    },
    /// End a connection; nothing more is said of it.
    Close(Connection),
    /// A request has ended.
    Answer(Ticket, Result<Message, Failure>),
    /// A branch is to be committed or rolled back, until [`State::carried_out`].
    Order {
        order: OrderId,
        commit: bool,
        end: BranchEnd,
    },
    /// For the log.
    Happened(Event),
}

/// What somebody who looks after it wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A coordinator has accepted a connection.
    Registered { server: String, version: String },
    /// There is no connection.
    NotConnected { server: String, why: String },
    /// An answer came that nobody waits for.
    Late { server: String, id: i32 },
    /// An order is being carried out already, or there are too many.
    Held { server: String, end: BranchEnd },
    /// A message that a coordinator does not say.
    Unexpected { server: String, message: Message },
}

pub(crate) struct State {
    config: Config,
    servers: Vec<Server>,
    resources: Vec<String>,
    requests: Requests,
    orders: Orders,
    next_ticket: Ticket,
    /// Server that the next request goes to if it is all the same.
    next_server: usize,
    random: u64,
    outputs: Vec<Output>,
}

impl State {
    /// `seed` spreads what many clients do at the same time.
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        let servers: Vec<Server> = config.servers.iter().cloned().map(Server::new).collect();
        let count = servers.len().max(1) as u64;
        Self {
            config,
            servers,
            resources: Vec::new(),
            requests: Requests::default(),
            orders: Orders::default(),
            next_ticket: 0,
            next_server: (seed % count) as usize,
            random: seed,
            outputs: Vec::new(),
        }
    }

    /// What is to be done since this was last asked, in this order.
    pub(crate) fn outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// The application asks for something. Without room the answer is ready at once.
    pub(crate) fn request(&mut self, message: Message, repeatable: bool, now: Duration) -> Ticket {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        let limit = self.config.requests_max;
        if self.requests.len() >= limit {
            self.answer(ticket, Err(Failure::TooMany(limit)));
            return ticket;
        }
        let deadline = now + self.config.request_timeout;
        self.requests.add(ticket, message, repeatable, deadline);
        self.send_waiting(now);
        ticket
    }

    /// There is one more resource.
    pub(crate) fn add_resource(&mut self, resource: String, now: Duration) {
        self.resources.push(resource);
        for server in 0..self.servers.len() {
            if self.servers[server].is_ready() {
                self.register(server, now);
            }
        }
        self.advance(now);
    }

    /// A connection was made.
    pub(crate) fn connected(&mut self, connection: Connection, now: Duration) {
        let until = now + self.config.connect_timeout;
        let server = &mut self.servers[connection.server];
        if server.number != connection.number || !matches!(server.link, Link::Dialing { .. }) {
            return;
        }
        server.link = Link::Registering { until };
        server.heard_at = now;
        self.register(connection.server, now);
    }

    /// A connection could not be made, or has ended.
    pub(crate) fn ended(&mut self, connection: Connection, why: &str, now: Duration) {
        if self.servers[connection.server].is_current(connection) {
            self.lose(connection.server, why, now);
        }
    }

    /// A frame came; without a message if it is a ping or its answer.
    pub(crate) fn received(
        &mut self,
        connection: Connection,
        kind: Kind,
        id: i32,
        message: Option<Message>,
        now: Duration,
    ) {
        let server = &mut self.servers[connection.server];
        if !server.is_current(connection) {
            return;
        }
        server.heard_at = now;
        match (kind, message) {
            (Kind::Ping, _) => self.send(connection.server, Kind::Pong, id, None, now),
            (Kind::Pong, _) | (_, None) => {}
            (_, Some(Message::BranchCommit(end))) => self.ordered(connection, id, true, end, now),
            (_, Some(Message::BranchRollback(end))) => {
                self.ordered(connection, id, false, end, now);
            }
            // Of resource managers with undo logs.
            (_, Some(Message::UndoLogDelete { .. })) => {}
            (_, Some(Message::BatchResult { messages, ids })) => {
                for (message, id) in messages.into_iter().zip(ids) {
                    self.answered(connection, id, message, now);
                }
            }
            (Kind::Response, Some(message)) => self.answered(connection, id, message, now),
            (Kind::Request | Kind::Oneway, Some(message)) => {
                let server = self.servers[connection.server].name.clone();
                self.happened(Event::Unexpected { server, message });
            }
        }
    }

    /// An order was carried out, or was not: whoever asked is told, unless the connection is over; then the coordinator asks again.
    pub(crate) fn carried_out(&mut self, order: OrderId, ended: &BranchEnded, now: Duration) {
        let Some((key, asked)) = self.orders.ended(order) else {
            return;
        };
        for (connection, id) in asked {
            self.tell(connection, id, key.commit, ended.clone(), now);
        }
    }

    /// Carries out what time has brought.
    pub(crate) fn advance(&mut self, now: Duration) {
        while let Some((ticket, request)) = self.requests.expired(now) {
            if let Place::Sent { server, id } = request.place {
                self.servers[server].pending.remove(&id);
            }
            let timeout = self.config.request_timeout;
            let failure = match request.was_sent {
                true => Failure::TimedOut(timeout),
                false => Failure::NotConnected(timeout),
            };
            self.answer(ticket, Err(failure));
        }
        let is_wanted = self.config.role == Role::Tm || !self.resources.is_empty();
        for index in 0..self.servers.len() {
            let server = &self.servers[index];
            let connect_timeout = self.config.connect_timeout;
            match server.link {
                Link::Idle { until } if until <= now && is_wanted => self.dial(index, now),
                Link::Dialing { until } if until <= now => {
                    self.give_up(index, &format!("not within {connect_timeout:?}"), now);
                }
                Link::Registering { until } if until <= now => {
                    let why = format!("not accepted within {connect_timeout:?}");
                    self.give_up(index, &why, now);
                }
                Link::Ready if server.heard_at + self.config.silent_max <= now => {
                    let why = format!("it was silent for {:?}", self.config.silent_max);
                    self.give_up(index, &why, now);
                }
                Link::Ready if server.sent_at + self.config.ping_after <= now => {
                    let id = self.servers[index].id();
                    self.send(index, Kind::Ping, id, None, now);
                }
                _ => {}
            }
        }
        self.send_waiting(now);
    }

    /// When there is something to do without any input.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let is_wanted = self.config.role == Role::Tm || !self.resources.is_empty();
        let links = self.servers.iter().filter_map(|server| match server.link {
            Link::Idle { until } => is_wanted.then_some(until),
            Link::Dialing { until } | Link::Registering { until } => Some(until),
            Link::Ready => {
                let silent = server.heard_at + self.config.silent_max;
                Some(silent.min(server.sent_at + self.config.ping_after))
            }
        });
        links.chain(self.requests.next_deadline()).min()
    }

    fn dial(&mut self, index: usize, now: Duration) {
        let until = now + self.config.connect_timeout;
        let server = &mut self.servers[index];
        server.number += 1;
        server.link = Link::Dialing { until };
        let number = server.number;
        self.outputs.push(Output::Dial(Connection {
            server: index,
            number,
        }));
    }

    /// Tells a coordinator who speaks, and all resources.
    fn register(&mut self, index: usize, now: Duration) {
        let identify = self.config.identify.clone();
        let message = match self.config.role {
            Role::Tm => Message::RegisterTm(identify),
            Role::Rm => Message::RegisterRm {
                identify,
                resource_ids: self.resources.join(","),
            },
        };
        let server = &mut self.servers[index];
        server.resources = self.resources.len();
        let id = server.id();
        server.pending.insert(id, Pending::Registration);
        self.send(index, Kind::Request, id, Some(message), now);
    }

    fn answered(&mut self, connection: Connection, id: i32, message: Message, now: Duration) {
        let server = &mut self.servers[connection.server];
        match server.pending.remove(&id) {
            None => {
                let server = server.name.clone();
                self.happened(Event::Late { server, id });
            }
            Some(Pending::Request(ticket)) => {
                self.requests.remove(ticket);
                self.answer(ticket, Ok(message));
            }
            Some(Pending::Registration) => self.registered(connection, message, now),
        }
    }

    fn registered(&mut self, connection: Connection, message: Message, now: Duration) {
        let identified = match message {
            Message::RegisterTmResult(identified) | Message::RegisterRmResult(identified) => {
                identified
            }
            _ => return self.give_up(connection.server, "its answer is to something else", now),
        };
        if !identified.accepted {
            return self.give_up(connection.server, "it does not accept this client", now);
        }
        let server = &mut self.servers[connection.server];
        if !matches!(server.link, Link::Registering { .. }) {
            return;
        }
        server.link = Link::Ready;
        server.failures = 0;
        let is_complete = server.resources == self.resources.len();
        let event = Event::Registered {
            server: server.name.clone(),
            version: identified.version,
        };
        self.happened(event);
        if !is_complete {
            // One was added meanwhile.
            self.register(connection.server, now);
        }
        self.send_waiting(now);
    }

    fn ordered(
        &mut self,
        connection: Connection,
        id: i32,
        commit: bool,
        end: BranchEnd,
        now: Duration,
    ) {
        let key = Key::new(&end, commit);
        let limit = self.config.orders_max;
        let server = || self.servers[connection.server].name.clone();
        match self.orders.came(key, connection, id, limit) {
            Came::New(order) => self.outputs.push(Output::Order { order, commit, end }),
            Came::Again => {
                let server = server();
                self.happened(Event::Held { server, end });
            }
            Came::TooMany => {
                let server = server();
                let why = format!("{limit} branches are being committed or rolled back");
                let ended = failed(&end, commit, why);
                self.happened(Event::Held { server, end });
                self.tell(connection, id, commit, ended, now);
            }
        }
    }

    fn tell(
        &mut self,
        connection: Connection,
        id: i32,
        commit: bool,
        ended: BranchEnded,
        now: Duration,
    ) {
        if !self.servers[connection.server].is_current(connection) {
            return;
        }
        let message = match commit {
            true => Message::BranchCommitResult(ended),
            false => Message::BranchRollbackResult(ended),
        };
        self.send(connection.server, Kind::Response, id, Some(message), now);
    }

    fn send_waiting(&mut self, now: Duration) {
        while let Some((ticket, request)) = self.requests.next_waiting() {
            let message = request.message.clone();
            let Some(index) = self.choose(&message) else {
                return;
            };
            let id = self.servers[index].id();
            self.servers[index]
                .pending
                .insert(id, Pending::Request(ticket));
            self.requests.sent(index, id);
            self.send(index, Kind::Request, id, Some(message), now);
        }
    }

    /// Where a request goes: to the coordinator that its transaction is named after if there is a connection, else to any one.
    /// Source: apache/incubator-seata:discovery/seata-discovery-core/src/main/java/org/apache/seata/discovery/loadbalance/
    /// XIDLoadBalance.java.
    fn choose(&mut self, message: &Message) -> Option<usize> {
        let home = xid_of(message).and_then(|xid| xid.rsplit_once(':'));
        let mut servers = self.servers.iter();
        if let Some((home, _)) = home
            && let Some(index) = servers.position(|server| server.name == home && server.is_ready())
        {
            return Some(index);
        }
        let count = self.servers.len();
        let mut round = (0..count).map(|step| (self.next_server + step) % count);
        let index = round.find(|index| self.servers[*index].is_ready())?;
        self.next_server = (index + 1) % count;
        Some(index)
    }

    fn send(&mut self, index: usize, kind: Kind, id: i32, message: Option<Message>, now: Duration) {
        let server = &mut self.servers[index];
        server.sent_at = now;
        let connection = Connection {
            server: index,
            number: server.number,
        };
        self.outputs.push(Output::Send {
            connection,
            kind,
            id,
            message,
        });
    }

    /// Ends a connection from this side.
    fn give_up(&mut self, index: usize, why: &str, now: Duration) {
        let number = self.servers[index].number;
        self.outputs.push(Output::Close(Connection {
            server: index,
            number,
        }));
        self.lose(index, why, now);
    }

    fn lose(&mut self, index: usize, why: &str, now: Duration) {
        let (random, server) = (self.draw(), &mut self.servers[index]);
        let wait = if server.is_ready() {
            part(AFTER_LOSS_MAX, random)
        } else {
            let (first, longest) = AFTER_FAILURE;
            let wait = (first * 2_u32.saturating_pow(server.failures.min(16))).min(longest);
            server.failures += 1;
            wait / 2 + part(wait / 2, random)
        };
        server.link = Link::Idle { until: now + wait };
        let name = server.name.clone();
        let pending = std::mem::take(&mut server.pending);
        for pending in pending.into_values() {
            if let Pending::Request(ticket) = pending
                && !self.requests.lost(ticket)
            {
                self.requests.remove(ticket);
                self.answer(ticket, Err(Failure::Lost(format!("{name}: {why}"))));
            }
        }
        self.happened(Event::NotConnected {
            server: name,
            why: why.to_owned(),
        });
        self.send_waiting(now);
    }

    fn answer(&mut self, ticket: Ticket, result: Result<Message, Failure>) {
        self.outputs.push(Output::Answer(ticket, result));
    }

    fn happened(&mut self, event: Event) {
        self.outputs.push(Output::Happened(event));
    }

    /// SplitMix64: spreads, no more.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

/// A branch that is where it was, and why: the coordinator tells it again.
pub(crate) fn failed(end: &BranchEnd, commit: bool, why: String) -> BranchEnded {
    BranchEnded {
        outcome: Outcome::failure(ExceptionCode::Unknown, why),
        xid: end.xid.clone(),
        branch_id: end.branch_id,
        status: retryable(commit),
    }
}

/// Where a branch is that could not do yet as it was told.
pub(crate) fn retryable(commit: bool) -> BranchStatus {
    match commit {
        true => BranchStatus::PhaseTwoCommitFailedRetryable,
        false => BranchStatus::PhaseTwoRollbackFailedRetryable,
    }
}

fn xid_of(message: &Message) -> Option<&str> {
    match message {
        Message::GlobalCommit(one) | Message::GlobalRollback(one) | Message::GlobalStatus(one) => {
            Some(&one.xid)
        }
        Message::GlobalReport { xid, .. } => Some(&xid.xid),
        Message::BranchRegister(one) => Some(&one.xid),
        Message::BranchReport(one) => Some(&one.xid),
        _ => None,
    }
}

fn part(of: Duration, random: u64) -> Duration {
    of.mul_f64((random >> 11) as f64 / (u64::MAX >> 11) as f64)
}

//! A client and its coordinators in virtual time: what each is told, when, and what the application hears.

use std::collections::BTreeMap;
use std::time::Duration;

use diwan_seata::frame::Kind;
use diwan_seata::{
    BranchEnd, BranchEnded, BranchStatus, BranchType, GlobalStatus, Identified, Identify, Message,
    Outcome, Xid,
};
use proptest::prelude::*;

use super::{Config, Connection, Event, Failure, OrderId, Output, Role, State, Ticket};

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

struct World {
    state: State,
    now: Duration,
    dialed: Vec<Connection>,
    sent: Vec<(Connection, Kind, i32, Option<Message>)>,
    closed: Vec<Connection>,
    answers: BTreeMap<Ticket, Result<Message, Failure>>,
    orders: Vec<(OrderId, bool, BranchEnd)>,
    events: Vec<Event>,
}

fn config(role: Role, servers: usize) -> Config {
    Config {
        role,
        identify: Identify {
            application_id: "app".into(),
            ..Identify::default()
        },
        servers: (0..servers).map(|n| format!("tc{n}:8091")).collect(),
        request_timeout: 30 * S,
        connect_timeout: 10 * S,
        ping_after: 5 * S,
        silent_max: 15 * S,
        requests_max: 4,
        orders_max: 2,
    }
}

impl World {
    fn new(role: Role, servers: usize) -> Self {
        let mut world = Self {
            state: State::new(config(role, servers), 7),
            now: Duration::ZERO,
            dialed: Vec::new(),
            sent: Vec::new(),
            closed: Vec::new(),
            answers: BTreeMap::new(),
            orders: Vec::new(),
            events: Vec::new(),
        };
        world.wait(Duration::ZERO);
        world
    }

    /// Lets time pass, as the driver does: to each deadline.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.state.advance(self.now);
            self.take();
            match self.state.next_deadline() {
                Some(next) if next <= until && self.now < until => {
                    // Nothing is due in the past for ever.
                    self.now = next.max(self.now + MS / 1000).min(until);
                }
                _ if self.now < until => self.now = until,
                _ => return,
            }
        }
    }

    fn take(&mut self) {
        for output in self.state.outputs() {
            match output {
                Output::Dial(connection) => self.dialed.push(connection),
                Output::Send {
                    connection,
                    kind,
                    id,
                    message,
                } => self.sent.push((connection, kind, id, message)),
                Output::Close(connection) => self.closed.push(connection),
                Output::Answer(ticket, result) => {
                    let before = self.answers.insert(ticket, result);
                    assert_eq!(before, None, "request {ticket} was answered twice");
                }
                Output::Order { order, commit, end } => self.orders.push((order, commit, end)),
                Output::Happened(event) => self.events.push(event),
            }
        }
    }

    fn request(&mut self, message: Message, repeatable: bool) -> Ticket {
        let ticket = self.state.request(message, repeatable, self.now);
        self.take();
        ticket
    }

    /// The newest connection to a server is made, and accepted.
    fn accept(&mut self, server: usize) -> Connection {
        let connection = self.newest(server);
        self.state.connected(connection, self.now);
        self.take();
        let id = self.last_sent(connection).0;
        self.answer(connection, id, registered(true));
        connection
    }

    fn newest(&self, server: usize) -> Connection {
        let mut dialed = self.dialed.iter().rev();
        *dialed.find(|one| one.server == server).unwrap()
    }

    fn last_sent(&self, connection: Connection) -> (i32, Message) {
        let mut sent = self.sent.iter().rev();
        let last = sent.find_map(|(to, _, id, message)| {
            (*to == connection).then(|| Some((*id, message.clone()?)))?
        });
        last.unwrap()
    }

    fn answer(&mut self, connection: Connection, id: i32, message: Message) {
        self.hear(connection, Kind::Response, id, Some(message));
    }

    fn hear(&mut self, connection: Connection, kind: Kind, id: i32, message: Option<Message>) {
        self.state.received(connection, kind, id, message, self.now);
        self.take();
    }

    fn lose(&mut self, connection: Connection) {
        self.state.ended(connection, "reset", self.now);
        self.take();
    }
}

fn registered(accepted: bool) -> Message {
    Message::RegisterTmResult(Identified {
        accepted,
        version: "2".into(),
    })
}

fn xid(xid: &str) -> Xid {
    Xid {
        xid: xid.into(),
        extra_data: String::new(),
    }
}

fn begin() -> Message {
    Message::GlobalBegin {
        timeout_ms: 1,
        name: "t".into(),
    }
}

fn commit(of: &str) -> Message {
    Message::GlobalCommit(xid(of))
}

fn committed() -> Message {
    Message::GlobalCommitResult(Outcome::SUCCESS, GlobalStatus::Committed)
}

#[test]
fn nothing_is_asked_before_the_coordinator_knows_who_asks() {
    let mut world = World::new(Role::Tm, 1);
    let ticket = world.request(begin(), false);
    let connection = world.newest(0);
    assert_eq!(world.sent, []);
    world.state.connected(connection, world.now);
    world.take();
    let (id, message) = world.last_sent(connection);
    assert!(matches!(message, Message::RegisterTm(_)), "{message:?}");
    assert_eq!(world.sent.len(), 1);
    world.answer(connection, id, registered(true));
    let (id, message) = world.last_sent(connection);
    assert_eq!(message, begin());
    world.answer(connection, id, committed());
    assert_eq!(world.answers[&ticket], Ok(committed()));
}

#[test]
fn who_is_not_accepted_tries_again_later_and_later() {
    let mut world = World::new(Role::Tm, 1);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let connection = world.newest(0);
        world.state.connected(connection, world.now);
        world.take();
        let id = world.last_sent(connection).0;
        world.answer(connection, id, registered(false));
        assert_eq!(world.closed.last(), Some(&connection));
        let (before, count) = (world.now, world.dialed.len());
        while world.dialed.len() == count {
            world.wait(MS);
        }
        waits.push(world.now - before);
    }
    assert!(waits[0] >= 50 * MS && waits[0] <= 101 * MS, "{waits:?}");
    assert!(waits[7] >= 2500 * MS && waits[7] <= 5001 * MS, "{waits:?}");
}

#[test]
fn a_connection_that_is_not_made_or_not_accepted_in_time_is_given_up() {
    let mut world = World::new(Role::Tm, 1);
    world.wait(10 * S);
    let first = Connection {
        server: 0,
        number: 1,
    };
    assert_eq!(world.closed, [first]);
    world.wait(S);
    let second = world.newest(0);
    assert_ne!(second, first);
    // What comes late of the first one means nothing.
    world.state.connected(first, world.now);
    world.lose(first);
    assert_eq!(world.sent, []);
    world.state.connected(second, world.now);
    world.wait(10 * S);
    assert_eq!(world.closed, [first, second]);
}

#[test]
fn pings_keep_a_connection_and_silence_ends_it() {
    let mut world = World::new(Role::Tm, 1);
    let connection = world.accept(0);
    world.sent.clear();
    world.wait(5 * S);
    let [(_, Kind::Ping, id, None)] = world.sent[..] else {
        panic!("{:?}", world.sent);
    };
    world.hear(connection, Kind::Pong, id, None);
    world.hear(connection, Kind::Ping, 9, None);
    assert_eq!(world.sent.last(), Some(&(connection, Kind::Pong, 9, None)));
    world.wait(15 * S - MS);
    assert_eq!(world.closed, []);
    world.wait(MS);
    assert_eq!(world.closed, [connection]);
}

#[test]
fn who_asks_without_any_coordinator_is_told_that_nothing_was_sent() {
    let mut world = World::new(Role::Tm, 1);
    let ticket = world.request(begin(), false);
    world.wait(30 * S - MS);
    assert!(world.answers.is_empty());
    world.wait(MS);
    assert_eq!(world.answers[&ticket], Err(Failure::NotConnected(30 * S)));
}

#[test]
fn an_answer_that_is_late_or_comes_twice_or_belongs_to_nothing_means_nothing() {
    let mut world = World::new(Role::Tm, 1);
    let connection = world.accept(0);
    let ticket = world.request(commit("a"), true);
    let id = world.last_sent(connection).0;
    // Only so that it is not silent.
    for _ in 0..3 {
        world.wait(10 * S);
        world.hear(connection, Kind::Pong, 1, None);
    }
    assert_eq!(world.answers[&ticket], Err(Failure::TimedOut(30 * S)));
    world.answer(connection, id, committed());
    world.answer(connection, id, committed());
    world.answer(connection, 4711, committed());
    let late = |event: &&Event| matches!(event, Event::Late { .. });
    assert_eq!(world.events.iter().filter(late).count(), 3);
    assert_eq!(world.answers.len(), 1);
}

#[test]
fn what_may_be_repeated_goes_to_another_coordinator_and_what_may_not_is_told() {
    let mut world = World::new(Role::Tm, 2);
    let first = world.accept(0);
    let begun = world.request(begin(), false);
    let ended = world.request(commit("elsewhere:1:7"), true);
    world.lose(first);
    assert!(matches!(&world.answers[&begun], Err(Failure::Lost(why)) if why.contains("tc0")));
    assert!(!world.answers.contains_key(&ended));
    let second = world.accept(1);
    let (id, message) = world.last_sent(second);
    assert_eq!(message, commit("elsewhere:1:7"));
    // The first one's answer would come now, over a connection that is over.
    world.answer(first, 2, committed());
    assert!(!world.answers.contains_key(&ended));
    world.answer(second, id, committed());
    assert_eq!(world.answers[&ended], Ok(committed()));
}

#[test]
fn what_was_sent_and_lost_may_have_been_done_also_when_nobody_is_left_to_be_asked() {
    let mut world = World::new(Role::Tm, 1);
    let connection = world.accept(0);
    let ticket = world.request(commit("a"), true);
    world.lose(connection);
    world.wait(30 * S);
    assert_eq!(world.answers[&ticket], Err(Failure::TimedOut(30 * S)));
}

#[test]
fn after_a_loss_it_connects_again_within_a_moment() {
    let mut world = World::new(Role::Tm, 1);
    let first = world.accept(0);
    world.lose(first);
    world.wait(100 * MS);
    assert_ne!(world.newest(0), first);
}

#[test]
fn a_transactions_own_coordinator_is_asked_if_it_is_there() {
    let mut world = World::new(Role::Tm, 3);
    let connections = [world.accept(0), world.accept(1), world.accept(2)];
    for _ in 0..3 {
        world.request(commit("tc1:8091:5"), true);
    }
    let home = connections[1];
    let commits = |to: Connection| {
        let is_commit =
            |message: &Option<Message>| matches!(message, Some(Message::GlobalCommit(_)));
        let sent = world.sent.iter();
        sent.filter(|(at, _, _, message)| *at == to && is_commit(message))
            .count()
    };
    assert_eq!(connections.map(commits), [0, 3, 0]);
    world.lose(home);
    assert_eq!(world.last_sent(connections[0]).1, commit("tc1:8091:5"));
}

#[test]
fn there_is_a_limit_of_requests() {
    let mut world = World::new(Role::Tm, 1);
    for _ in 0..4 {
        world.request(begin(), false);
    }
    let fifth = world.request(begin(), false);
    assert_eq!(world.answers[&fifth], Err(Failure::TooMany(4)));
}

fn end(branch_id: i64) -> BranchEnd {
    BranchEnd {
        xid: "a".into(),
        branch_id,
        branch_type: BranchType::Tcc,
        resource_id: "debit".into(),
        application_data: String::new(),
    }
}

fn ended(branch_id: i64) -> BranchEnded {
    BranchEnded {
        outcome: Outcome::SUCCESS,
        xid: "a".into(),
        branch_id,
        status: BranchStatus::PhaseTwoCommitted,
    }
}

fn resource_manager(servers: usize) -> World {
    let mut world = World::new(Role::Rm, servers);
    assert_eq!(world.dialed, [], "without resources nobody is needed");
    world.state.add_resource("debit".into(), world.now);
    world.take();
    world
}

#[test]
fn resources_are_told_at_the_beginning_and_when_they_are_added() {
    let mut world = resource_manager(1);
    let connection = world.newest(0);
    world.state.connected(connection, world.now);
    world.take();
    let told = |world: &World| match world.last_sent(connection).1 {
        Message::RegisterRm { resource_ids, .. } => resource_ids,
        other => panic!("{other:?}"),
    };
    assert_eq!(told(&world), "debit");
    // While the coordinator has not answered yet.
    let id = world.last_sent(connection).0;
    world.state.add_resource("credit".into(), world.now);
    world.answer(connection, id, registered(true));
    assert_eq!(told(&world), "debit,credit");
    world.state.add_resource("hold".into(), world.now);
    world.take();
    assert_eq!(told(&world), "debit,credit,hold");
    let id = world.last_sent(connection).0;
    world.answer(connection, id, registered(true));
    assert_eq!(world.closed, []);
}

#[test]
fn an_order_that_comes_again_waits_for_the_first_and_both_are_answered() {
    let mut world = resource_manager(2);
    let (one, other) = (world.accept(0), world.accept(1));
    let order = |id, world: &mut World, at| {
        world.hear(at, Kind::Request, id, Some(Message::BranchCommit(end(1))));
    };
    order(5, &mut world, one);
    order(6, &mut world, one);
    order(9, &mut world, other);
    assert_eq!(world.orders.len(), 1);
    world.sent.clear();
    let (number, commit, _) = world.orders[0].clone();
    assert!(commit);
    world.state.carried_out(number, &ended(1), world.now);
    world.state.carried_out(number, &ended(1), world.now);
    world.take();
    let answer = Some(Message::BranchCommitResult(ended(1)));
    let sent = [
        (one, Kind::Response, 6, answer.clone()),
        (other, Kind::Response, 9, answer),
    ];
    assert_eq!(world.sent, sent);
    // Later it is a new one.
    order(7, &mut world, one);
    assert_eq!(world.orders.len(), 2);
}

#[test]
fn an_order_whose_connection_ended_is_carried_out_and_answered_to_nobody() {
    let mut world = resource_manager(1);
    let first = world.accept(0);
    world.hear(
        first,
        Kind::Request,
        5,
        Some(Message::BranchRollback(end(1))),
    );
    world.lose(first);
    world.wait(S);
    let second = world.accept(0);
    // The coordinator tells it again while it is still being carried out.
    world.hear(
        second,
        Kind::Request,
        1,
        Some(Message::BranchRollback(end(1))),
    );
    assert_eq!(world.orders.len(), 1);
    world.sent.clear();
    world
        .state
        .carried_out(world.orders[0].0, &ended(1), world.now);
    world.take();
    let answer = Some(Message::BranchRollbackResult(ended(1)));
    assert_eq!(world.sent, [(second, Kind::Response, 1, answer)]);
}

#[test]
fn of_too_many_orders_the_coordinator_is_told_to_come_again() {
    let mut world = resource_manager(1);
    let connection = world.accept(0);
    for branch in 1..4 {
        let told = Message::BranchCommit(end(branch));
        world.hear(connection, Kind::Request, 10 + branch as i32, Some(told));
    }
    assert_eq!(world.orders.len(), 2);
    let (id, message) = world.last_sent(connection);
    let Message::BranchCommitResult(told) = message else {
        panic!("{message:?}");
    };
    assert_eq!((id, told.branch_id), (13, 3));
    assert_eq!(told.status, BranchStatus::PhaseTwoCommitFailedRetryable);
    assert!(told.outcome.failure.is_some());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask {
        repeatable: bool,
    },
    Wait(u64),
    Connect(usize),
    Lose(usize),
    /// The newest request of a server is answered, or the id before it.
    Answer {
        server: usize,
        back: i32,
    },
    Order(usize, i64),
    CarryOut,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<bool>().prop_map(|repeatable| Step::Ask { repeatable }),
        (0_u64..20_000).prop_map(Step::Wait),
        (0_usize..2).prop_map(Step::Connect),
        (0_usize..2).prop_map(Step::Lose),
        (0_usize..2, 0_i32..3).prop_map(|(server, back)| Step::Answer { server, back }),
        (0_usize..2, 0_i64..3).prop_map(|(server, branch)| Step::Order(server, branch)),
        Just(Step::CarryOut),
    ]
}

proptest! {
    /// Whatever happens: each request ends exactly once and in its time, at most so many are under way, an order is never carried out twice
    /// at a time, and "nothing was sent" is only said of what was not sent.
    #[test]
    fn every_request_ends_once_and_in_time(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = resource_manager(2);
        let mut asked = Vec::new();
        let mut running: Vec<(OrderId, i64)> = Vec::new();
        for step in steps {
            match step {
                Step::Ask { repeatable } => {
                    // Its number is in it, so that what was sent is known by what it says.
                    let message = commit(&format!("{}", asked.len()));
                    let ticket = world.request(message.clone(), repeatable);
                    asked.push((ticket, message, world.now));
                }
                Step::Wait(ms) => world.wait(Duration::from_millis(ms)),
                Step::Connect(server) => {
                    if let Some(connection) = world.dialed.iter().rev().find(|one| one.server == server).copied() {
                        world.state.connected(connection, world.now);
                        world.take();
                        for id in 1..4 {
                            world.answer(connection, id, registered(true));
                        }
                    }
                }
                Step::Lose(server) => {
                    if let Some(connection) = world.dialed.iter().rev().find(|one| one.server == server).copied() {
                        world.lose(connection);
                    }
                }
                Step::Answer { server, back } => {
                    let last = world.sent.iter().rev().find(|(to, ..)| to.server == server);
                    if let Some((connection, _, id, _)) = last.cloned() {
                        world.answer(connection, id - back, committed());
                    }
                }
                Step::Order(server, branch) => {
                    if let Some(connection) = world.dialed.iter().rev().find(|one| one.server == server).copied() {
                        let before = world.orders.len();
                        world.hear(connection, Kind::Request, 1, Some(Message::BranchCommit(end(branch))));
                        for (order, _, end) in &world.orders[before..] {
                            prop_assert!(running.iter().all(|(_, branch)| *branch != end.branch_id));
                            running.push((*order, end.branch_id));
                        }
                    }
                }
                Step::CarryOut => {
                    if let Some((order, branch)) = running.pop() {
                        world.state.carried_out(order, &ended(branch), world.now);
                        world.take();
                    }
                }
            }
            let open = asked.iter().filter(|(ticket, ..)| !world.answers.contains_key(ticket));
            prop_assert!(open.count() <= 4);
            for (ticket, _, at) in &asked {
                prop_assert!(world.answers.contains_key(ticket) || world.now < *at + 30 * S);
            }
        }
        world.wait(30 * S);
        for (ticket, message, _) in &asked {
            let was_sent = world.sent.iter().any(|(_, _, _, sent)| sent.as_ref() == Some(message));
            match &world.answers[ticket] {
                Ok(_) | Err(Failure::TimedOut(_) | Failure::Lost(_)) => prop_assert!(was_sent),
                Err(Failure::NotConnected(_) | Failure::TooMany(_)) => prop_assert!(!was_sent),
            }
        }
    }
}

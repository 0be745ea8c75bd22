//! Connections as they are called: who has which resources, and the calls on their way.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use diwan_net::Connection;
use diwan_seata::body::{self, Speech};
use diwan_seata::frame::Kind;
use diwan_seata::{BranchEnd, BranchEnded, BranchStatus, BranchType, Identify, Message};
use tokio::time::Instant;

use super::desk::Desk;

/// A resource manager that does not answer within this is asked again later, it or another.
/// Source: apache/incubator-seata:common/src/main/java/org/apache/seata/common/DefaultValues.java (`DEFAULT_RPC_RM_REQUEST_TIMEOUT`).
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// What came of a call: where the branch is, or why nobody said.
pub(super) type CallResult = Result<BranchStatus, String>;
type Done = Box<dyn FnOnce(CallResult)>;

struct Pending {
    branch: i64,
    deadline: Instant,
    done: Done,
}

/// A connection.
pub(super) struct Channel {
    pub(super) connection: Rc<Connection>,
    /// How its client spoke last; it is called in the same way.
    pub(super) speech: Cell<Speech>,
    client: RefCell<Rc<Client>>,
    pub(super) resources: RefCell<Vec<Rc<str>>>,
    next_id: Cell<i32>,
    pending: RefCell<BTreeMap<i32, Pending>>,
}

/// Who speaks over a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    pub(super) application: String,
    pub(super) group: String,
    /// `application:ip:port`.
    pub(super) id: String,
}

impl Channel {
    pub(super) fn new(connection: Rc<Connection>) -> Rc<Self> {
        Rc::new(Self {
            connection,
            speech: Cell::new(Speech::USUAL),
            client: RefCell::default(),
            resources: RefCell::default(),
            next_id: Cell::new(1),
            pending: RefCell::default(),
        })
    }

    pub(super) fn identify(&self, identity: Identify) {
        let id = format!("{}:{}", identity.application_id, self.connection.remote());
        *self.client.borrow_mut() = Rc::new(Client {
            application: identity.application_id,
            group: identity.transaction_group,
            id,
        });
    }

    pub(super) fn client(&self) -> Rc<Client> {
        self.client.borrow().clone()
    }

    pub(super) fn write(&self, kind: Kind, speech: Speech, id: i32, message: &Message) {
        self.connection
            .write(|outbox| body::write(outbox.buffer(), kind, speech, id, message));
    }

    fn id(&self) -> i32 {
        let id = self.next_id.get();
        self.next_id.set(id.checked_add(1).unwrap_or(1));
        id
    }

    /// Says something that is not answered.
    pub(super) fn tell(&self, message: &Message) {
        self.write(Kind::Oneway, self.speech.get(), self.id(), message);
    }

    /// Tells a branch to commit or to roll back; `done` is told once.
    pub(super) fn call(&self, commit: bool, end: BranchEnd, done: Done) {
        let id = self.id();
        let branch = end.branch_id;
        let message = match commit {
            true => Message::BranchCommit(end),
            false => Message::BranchRollback(end),
        };
        self.write(Kind::Request, self.speech.get(), id, &message);
        let pending = Pending {
            branch,
            deadline: Instant::now() + CALL_TIMEOUT,
            done,
        };
        self.pending.borrow_mut().insert(id, pending);
    }

    pub(super) fn answered(&self, id: i32, ended: &BranchEnded, desk: &Desk) {
        let pending = self.pending.borrow_mut().remove(&id);
        let Some(pending) = pending.filter(|pending| pending.branch == ended.branch_id) else {
            // Too late, or an answer to nothing.
            return desk.count_malformed();
        };
        (pending.done)(match &ended.outcome.failure {
            None => Ok(ended.status),
            Some(why) => Err(format!("its resource manager says: {why}")),
        });
    }

    /// Ends the calls whose time is over; says when the next one's is.
    pub(super) fn expire(&self, now: Instant) -> Option<Instant> {
        loop {
            let mut pending = self.pending.borrow_mut();
            // Ids grow, and so do deadlines.
            let first = pending.first_entry()?;
            if first.get().deadline > now {
                return Some(first.get().deadline);
            }
            let expired = first.remove();
            drop(pending);
            (expired.done)(Err(format!(
                "its resource manager has not answered within {CALL_TIMEOUT:?}"
            )));
        }
    }

    pub(super) fn has_calls(&self) -> bool {
        !self.pending.borrow().is_empty()
    }

    pub(super) fn closed(self: &Rc<Self>, desk: &Desk) {
        desk.resources_went(self);
        for (_, pending) in std::mem::take(&mut *self.pending.borrow_mut()) {
            (pending.done)(Err("the connection to its resource manager ended".into()));
        }
    }
}

/// Who has which resource.
#[derive(Default)]
pub(super) struct Resources {
    all: RefCell<BTreeMap<Rc<str>, Vec<Rc<Channel>>>>,
}

impl Resources {
    pub(super) fn came(&self, channel: &Rc<Channel>, new: &[Rc<str>]) {
        for resource in new {
            let mut known = channel.resources.borrow_mut();
            if !known.contains(resource) {
                known.push(resource.clone());
                let mut all = self.all.borrow_mut();
                all.entry(resource.clone())
                    .or_default()
                    .push(channel.clone());
            }
        }
    }

    pub(super) fn went(&self, channel: &Rc<Channel>) {
        for resource in std::mem::take(&mut *channel.resources.borrow_mut()) {
            let mut all = self.all.borrow_mut();
            let Some(channels) = all.get_mut(&resource) else {
                continue;
            };
            channels.retain(|one| !Rc::ptr_eq(one, channel));
            if channels.is_empty() {
                all.remove(&resource);
            }
        }
    }

    /// A resource manager of each resource.
    pub(super) fn each(&self) -> Vec<(Rc<str>, Rc<Channel>)> {
        let all = self.all.borrow();
        let each = all
            .iter()
            .filter_map(|(resource, channels)| Some((resource.clone(), channels.last()?.clone())));
        each.collect()
    }

    /// Who can be told about a branch: its own client first, then one of the same machine, of the same application, and for AT any one
    /// that has the database.
    /// Source: apache/incubator-seata:core/src/main/java/org/apache/seata/core/rpc/netty/ChannelManager.java (`getChannel`).
    pub(super) fn of(&self, end: &BranchEnd, client: &str) -> Option<Rc<Channel>> {
        let all = self.all.borrow();
        let channels = all.get(&*end.resource_id)?;
        if end.branch_type == BranchType::Saga {
            return channels.last().cloned();
        }
        let mut parts = client.splitn(2, ':');
        let application = parts.next().unwrap_or_default();
        let address = parts.next().unwrap_or_default();
        let ip = address.rsplit_once(':').map_or("", |(ip, _)| ip);
        let rank = |channel: &Rc<Channel>| {
            let of_application = channel.client.borrow().application == application;
            let remote = channel.connection.remote();
            if of_application && remote.to_string() == address {
                Some(3)
            } else if of_application && remote.ip().to_string() == ip.trim_matches(['[', ']']) {
                Some(2)
            } else if of_application {
                Some(1)
            } else {
                (end.branch_type == BranchType::At).then_some(0)
            }
        };
        let ranked = channels
            .iter()
            .filter_map(|channel| Some((rank(channel)?, channel)));
        ranked
            .max_by_key(|(rank, _)| *rank)
            .map(|(_, channel)| channel.clone())
    }
}

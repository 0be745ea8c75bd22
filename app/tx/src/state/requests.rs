//! Requests of the application that have no answer yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use diwan_seata::Message;

/// A request of the application.
pub(crate) type Ticket = u64;

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It waited so long for a connection; it was never sent.
    NotConnected(Duration),
    /// It was sent and has no answer after this.
    TimedOut(Duration),
    /// The connection ended after it was sent.
    Lost(String),
    /// So many have no answer already; it was not sent.
    TooMany(usize),
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It waits for a connection.
    Waiting,
    /// It was sent to this server under this id.
    Sent { server: usize, id: i32 },
}

pub(super) struct Request {
    pub(super) message: Message,
    /// The same once more does no harm: it goes to another server when its connection ends.
    pub(super) repeatable: bool,
    pub(super) place: Place,
    pub(super) was_sent: bool,
    deadline: Duration,
}

/// All of them.
#[derive(Default)]
pub(super) struct Requests {
    all: BTreeMap<Ticket, Request>,
    waiting: VecDeque<Ticket>,
    deadlines: BTreeSet<(Duration, Ticket)>,
}

impl Requests {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn add(
        &mut self,
        ticket: Ticket,
        message: Message,
        repeatable: bool,
        deadline: Duration,
    ) {
        let request = Request {
            message,
            repeatable,
            place: Place::Waiting,
            was_sent: false,
            deadline,
        };
        self.all.insert(ticket, request);
        self.waiting.push_back(ticket);
        self.deadlines.insert((deadline, ticket));
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Request> {
        let request = self.all.remove(&ticket)?;
        self.deadlines.remove(&(request.deadline, ticket));
        if request.place == Place::Waiting {
            self.waiting.retain(|one| *one != ticket);
        }
        Some(request)
    }

    /// The request that waits longest.
    pub(super) fn next_waiting(&mut self) -> Option<(Ticket, &mut Request)> {
        let ticket = *self.waiting.front()?;
        Some((ticket, self.all.get_mut(&ticket)?))
    }

    /// The one that waited longest is on its way.
    pub(super) fn sent(&mut self, server: usize, id: i32) {
        if let Some(ticket) = self.waiting.pop_front()
            && let Some(request) = self.all.get_mut(&ticket)
        {
            request.place = Place::Sent { server, id };
            request.was_sent = true;
        }
    }

    /// The connection of a request ended: it waits again if it may be repeated. False if it may not.
    pub(super) fn lost(&mut self, ticket: Ticket) -> bool {
        match self.all.get_mut(&ticket) {
            Some(request) if request.repeatable => {
                request.place = Place::Waiting;
                self.waiting.push_back(ticket);
                true
            }
            _ => false,
        }
    }

    /// Takes a request whose time is over.
    pub(super) fn expired(&mut self, now: Duration) -> Option<(Ticket, Request)> {
        let (deadline, ticket) = *self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        Some((ticket, self.remove(ticket)?))
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }
}

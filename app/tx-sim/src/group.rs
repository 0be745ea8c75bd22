//! Three nodes that apply one log: the replicated state machine of a service, with whatever happens to its nodes.

use bytes::Bytes;
use diwan_log::{Command, Event, LogTime, StateMachine};
use tokio::sync::mpsc::UnboundedReceiver;

pub(crate) const NODES: usize = 3;

/// A service with a log.
pub(crate) trait Service {
    /// Its state, as its host looks at it.
    type Shared;
    /// What its host is told.
    type Signal;

    /// A replica that knows nothing yet.
    fn replica(&self) -> (Self::Shared, UnboundedReceiver<Self::Signal>);
    fn machine(shared: &Self::Shared) -> Box<dyn StateMachine>;
}

struct Node<S: Service> {
    shared: S::Shared,
    machine: Box<dyn StateMachine>,
    signals: UnboundedReceiver<S::Signal>,
    /// Entries that it has applied.
    applied: usize,
    alive: bool,
    /// On its disk: a snapshot, and how many entries are in it.
    snapshot: Option<(usize, Vec<u8>)>,
}

/// What becomes of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is committed, applied and answered.
    Answered,
    /// Its leader dies before anybody else has it.
    Lost,
    /// Its leader dies after it is committed.
    Unknown,
    /// A leader that answers before anybody else has it, and dies.
    Early,
}

pub(crate) struct Group<S: Service> {
    service: S,
    nodes: Vec<Node<S>>,
    /// Time, leadership and command of each entry.
    log: Vec<(u64, u64, Bytes)>,
    leader: Option<usize>,
    epoch: u64,
    /// Whether replicas are told of which leadership an entry is.
    tells_epochs: bool,
}

impl<S: Service> Group<S> {
    pub(crate) fn new(service: S, tells_epochs: bool) -> Self {
        let mut group = Self {
            service,
            nodes: Vec::new(),
            log: Vec::new(),
            leader: None,
            epoch: 0,
            tells_epochs,
        };
        group.nodes = (0..NODES).map(|_| group.empty()).collect();
        group
    }

    fn empty(&self) -> Node<S> {
        let (shared, signals) = self.service.replica();
        Node {
            machine: S::machine(&shared),
            shared,
            signals,
            applied: 0,
            alive: true,
            snapshot: None,
        }
    }

    pub(crate) fn leader(&self) -> Option<usize> {
        self.leader
    }

    /// Grows with each leadership.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn is_alive(&self, node: usize) -> bool {
        self.nodes[node].alive
    }

    /// The state as the leader knows it.
    pub(crate) fn shared(&self) -> Option<&S::Shared> {
        Some(&self.nodes[self.leader?].shared)
    }

    /// What the leader's host is told.
    pub(crate) fn signals(&mut self) -> Vec<S::Signal> {
        let mut heard = Vec::new();
        for (number, node) in self.nodes.iter_mut().enumerate() {
            while let Ok(signal) = node.signals.try_recv() {
                if self.leader == Some(number) {
                    heard.push(signal);
                }
            }
        }
        heard
    }

    fn apply(&mut self, node: usize, upto: usize) -> Bytes {
        let node = &mut self.nodes[node];
        let mut answer = Bytes::new();
        while node.applied < upto {
            let (time, epoch, data) = &self.log[node.applied];
            node.applied += 1;
            answer = node.machine.apply(Command {
                index: node.applied as u64,
                epoch: if self.tells_epochs { *epoch } else { 0 },
                time: LogTime(*time),
                data,
            });
        }
        answer
    }

    /// Proposes to the leader. The answer, if there is one.
    pub(crate) fn propose(&mut self, now_us: u64, data: Bytes, fate: Fate) -> Option<Bytes> {
        let leader = self.leader?;
        if matches!(fate, Fate::Answered | Fate::Unknown) {
            let last = self.log.last().map_or(0, |(time, ..)| *time);
            self.log.push((now_us.max(last), self.epoch, data.clone()));
        }
        match fate {
            Fate::Answered => Some(self.apply(leader, self.log.len())),
            Fate::Lost | Fate::Unknown => {
                self.crash(leader);
                None
            }
            Fate::Early => {
                let answer = self.nodes[leader].machine.apply(Command {
                    index: self.log.len() as u64 + 1,
                    epoch: self.epoch,
                    time: LogTime(now_us),
                    data: &data,
                });
                self.crash(leader);
                Some(answer)
            }
        }
    }

    /// A follower comes nearer to the leader.
    pub(crate) fn follow(&mut self, node: usize, entries: usize) {
        if self.nodes[node].alive {
            let upto = (self.nodes[node].applied + entries).min(self.log.len());
            self.apply(node, upto);
        }
    }

    /// A node leads from now on; the one that did hears of it.
    pub(crate) fn elect(&mut self, node: usize) {
        if let Some(old) = self.leader.take() {
            let stop = Event::StopLeading { epoch: self.epoch };
            self.nodes[old].machine.event(&stop);
        }
        self.epoch += 1;
        self.apply(node, self.log.len());
        let start = Event::StartLeading { epoch: self.epoch };
        self.nodes[node].machine.event(&start);
        self.leader = Some(node);
    }

    pub(crate) fn crash(&mut self, node: usize) {
        self.nodes[node].alive = false;
        if self.leader == Some(node) {
            self.leader = None;
        }
    }

    /// A dead one starts again. What it had in memory is gone.
    pub(crate) fn restart(&mut self, node: usize) -> Result<(), String> {
        if self.nodes[node].alive {
            return Ok(());
        }
        let snapshot = self.nodes[node].snapshot.take();
        let mut again = self.empty();
        if let Some((applied, bytes)) = &snapshot {
            let restored = again.machine.restore(&mut bytes.as_slice());
            restored.map_err(|error| format!("a snapshot cannot be read: {error}"))?;
            again.applied = *applied;
        }
        again.snapshot = snapshot;
        self.nodes[node] = again;
        Ok(())
    }

    pub(crate) fn snapshot(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        let mut bytes = Vec::new();
        if node.alive && node.machine.snapshot()(&mut bytes).is_ok() {
            node.snapshot = Some((node.applied, bytes));
        }
    }
}

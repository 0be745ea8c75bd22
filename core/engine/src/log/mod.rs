//! One node's part in one log: it follows, takes the log when its owner shows no sign of life, appends, and serves reads.

mod follow;
mod lead;
mod read;
mod snapshot;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::block::{BLOCK_BYTES, Block, BlockError};
use crate::record::{Owner, Position, RecordError, Snapshot};
use crate::{Failure, Head, Reply, Request};
use follow::Follow;
use lead::Lead;
use read::Reads;
use snapshot::Upload;

/// How a node takes part in a log.
#[derive(Clone, Debug)]
pub struct Config {
    /// The log's name.
    pub log: String,
    /// The node's name, without line breaks.
    pub node: String,
    /// Other nodes leave this one the log as long as it shows a sign of life this often.
    pub lease: Duration,
    /// How often the log is looked at where nothing tells that it changed.
    pub poll: Duration,
    /// How much longer than the lease this node leaves a log to others: so that they do not all take it at once.
    pub patience: Duration,
    /// Whether this node answers reads without asking the engine while it owns the log and nobody can have taken it.
    pub lease_reads: bool,
    /// The most bytes of a block.
    pub block_bytes_max: usize,
    /// The most bytes of commands that wait.
    pub queue_bytes_max: usize,
    /// The most reads that wait.
    pub reads_max: usize,
    /// A snapshot is taken when so many bytes of blocks were appended since the last one, or as many as it has.
    pub snapshot_log_bytes: u64,
    /// Larger snapshots are not read.
    pub snapshot_bytes_max: u64,
    /// Blocks that stay behind a snapshot, for slow followers.
    pub keep_blocks: u64,
    /// Another one for each start of each node.
    pub seed: u64,
}

impl Config {
    /// The usual one.
    pub fn new(log: &str, node: &str, seed: u64) -> Self {
        Self {
            log: log.to_owned(),
            node: node.to_owned(),
            lease: Duration::from_secs(3),
            poll: Duration::from_millis(250),
            patience: Duration::ZERO,
            lease_reads: false,
            block_bytes_max: crate::VALUE_BYTES_MAX,
            queue_bytes_max: 64 << 20,
            reads_max: 100_000,
            snapshot_log_bytes: 64 << 20,
            snapshot_bytes_max: 1 << 30,
            keep_blocks: 64,
            seed,
        }
    }
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Apply a block. If this node proposed it, `tickets` are those of its commands; otherwise there are none.
    Apply {
        /// The block.
        block: Block,
        /// A ticket for each command, or none at all.
        tickets: Vec<u64>,
    },
    /// Replace the state by what a snapshot holds.
    Restore {
        /// The snapshot.
        snapshot: Snapshot,
        /// Its pieces, in order.
        pieces: Vec<Bytes>,
    },
    /// Tell a proposer that its command is not applied here as its own.
    Ended {
        /// The proposal.
        ticket: u64,
        /// What is known of it.
        outcome: Outcome,
    },
    /// Answer a read from the state as it is now, or refuse it.
    Read {
        /// The read.
        ticket: u64,
        /// Whether the state is recent enough.
        confirmed: bool,
    },
    /// Who leads.
    Leadership(Leadership),
    /// Freeze the state, whose position this is, and give it to [`Log::snapshot_written`].
    Snapshot(Position),
    /// Stop: this replica can keep its promises no longer.
    Failed(LogError),
}

/// How a command ended that was not applied as its proposer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not carried out and never will be.
    NotCarriedOut,
    /// It was not carried out and never will be: the engine has no space.
    NoSpace,
    /// It may have been carried out, or may be later.
    Unknown,
}

/// Who leads a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// This node, from now on: everything appended in earlier terms is applied.
    Start {
        /// Its term.
        epoch: u64,
    },
    /// This node no more.
    Stop {
        /// Its term.
        epoch: u64,
    },
    /// Another node.
    Following {
        /// Its name.
        leader: String,
        /// Its term.
        epoch: u64,
    },
    /// Nobody.
    Nobody,
}

/// Why a proposal is not taken. Nothing was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This node does not lead.
    NotLeader {
        /// Who does, as far as it knows.
        leader: Option<String>,
    },
    /// Too much is waiting.
    Busy,
    /// The engine has no space.
    NoSpace,
    /// The command does not fit into a block.
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// The most bytes.
        limit: usize,
    },
}

/// Why a replica must stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// A block cannot be read.
    #[error("block {number}: {error}; restore the engine from a backup of one moment")]
    Block {
        /// Its number.
        number: u64,
        /// What is wrong.
        error: BlockError,
    },
    /// A block does not follow the one before it.
    #[error(
        "block {number} is not the one that follows: {what}; restore the engine from a backup of one moment"
    )]
    Chain {
        /// Its number.
        number: u64,
        /// What is wrong.
        what: String,
    },
    /// A block is gone and no snapshot holds it.
    #[error(
        "block {number} is missing, the log goes on to block {next}: restore the engine from a backup of one moment"
    )]
    Missing {
        /// Its number.
        number: u64,
        /// The number of the block that comes next.
        next: u64,
    },
    /// The engine lost blocks that were acknowledged.
    #[error(
        "the engine's log ends before block {next}, this node has applied what came before block {applied}: acknowledged writes \
         are lost there, most often by a failover to an asynchronous replica or by an old backup"
    )]
    Rewound {
        /// The number of the engine's next block.
        next: u64,
        /// The number of this node's.
        applied: u64,
    },
    /// A snapshot is not what its record says.
    #[error("the log's snapshot {id:016x}: {what}; restore the engine from a backup of one moment")]
    Snapshot {
        /// Which.
        id: u64,
        /// What is wrong.
        what: String,
    },
    /// A record of the log cannot be read.
    #[error("{0}: run the version that wrote it, or take another prefix or schema")]
    Record(#[from] RecordError),
    /// It was copied here from elsewhere, and not to its end.
    #[error("it was copied here, and not all of it is there: delete it, and copy it again")]
    HalfCopied,
    /// The engine's client says that this is no log.
    #[error("{0}")]
    Foreign(String),
}

/// A log as its operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether this node leads.
    pub leads: bool,
    /// The owner's term, as far as this node knows.
    pub term: u64,
    /// The owner, as far as this node knows.
    pub owner: Option<String>,
    /// The number of the engine's next block, as far as this node knows.
    pub next: u64,
    /// What this node has applied.
    pub position: Position,
    /// The log's snapshot, as far as this node knows.
    pub snapshot: Option<Snapshot>,
    /// Bytes of blocks that were applied since the last snapshot.
    pub since_snapshot: u64,
    /// Commands and bytes that wait to be appended.
    pub waiting: (usize, usize),
    /// Whether the engine had no space when something was last to be appended.
    pub no_space: bool,
    /// What the engine last said in place of a reply.
    pub trouble: Option<String>,
}

/// What is asked of the engine. At most one of each kind is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ask {
    Look,
    Take,
    Beat,
    Resign,
    Append,
    Verify,
    Tail,
    PutPiece,
    Seal,
    Clean,
    GetPiece,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    ask: Ask,
    /// The term in which it was asked; 0 if none.
    term: u64,
    at: Duration,
}

/// After a failure a kind of request rests for so long, and twice as long after each further one.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, Default)]
struct Pause {
    until: Duration,
    failures: u32,
}

#[derive(Debug)]
enum Role {
    Following,
    /// Wants the log, since it asked for it; `looking` once it is not known how that ended: a look that is no older than this
    /// request tells.
    Taking {
        nonce: u64,
        asked: Duration,
        looking: Option<u64>,
    },
    Leading(Box<Lead>),
}

/// One node's part in one log. It is given what happens and the time since some beginning, and tells what to ask the engine and
/// what to do.
#[derive(Debug)]
pub struct Log {
    config: Config,
    now: Duration,
    role: Role,
    position: Position,
    /// How the log stood when it was last looked at, and since when it stands so, as far as is known.
    head: Option<Head>,
    changed: Duration,
    owner: Option<Owner>,
    /// What was last told of other leaders.
    told: Option<Leadership>,
    newest: Option<Snapshot>,
    follow: Follow,
    reads: Reads,
    upload: Option<Upload>,
    since_snapshot: u64,
    /// It takes no log any more.
    retired: bool,
    /// It leaves the log to others, and does not take it before then.
    resting: Option<Duration>,
    failed: bool,
    no_space_until: Option<Duration>,
    trouble: Option<String>,
    next_ask: u64,
    asked: BTreeMap<u64, Asked>,
    pauses: BTreeMap<Ask, Pause>,
    drawn: u64,
    requests: Vec<(u64, Request)>,
    steps: Vec<Step>,
}

impl Log {
    /// A node that knows nothing of the log yet.
    pub fn new(config: Config, now: Duration) -> Self {
        Self {
            position: Position::beginning(&config.log),
            config,
            now,
            role: Role::Following,
            head: None,
            changed: now,
            owner: None,
            told: None,
            newest: None,
            follow: Follow::new(now),
            reads: Reads::default(),
            upload: None,
            since_snapshot: 0,
            retired: false,
            resting: None,
            failed: false,
            no_space_until: None,
            trouble: None,
            next_ask: 1,
            asked: BTreeMap::new(),
            pauses: BTreeMap::new(),
            drawn: 0,
            requests: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// What to ask the engine. Each request wants one [`Log::reply`], at the latest when its time is up.
    pub fn requests(&mut self) -> Vec<(u64, Request)> {
        std::mem::take(&mut self.requests)
    }

    /// What to do, in order.
    pub fn steps(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.steps)
    }

    /// Time has passed.
    pub fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        self.drive();
    }

    /// Something may have changed in the engine. Who owns the log has most likely done it itself.
    pub fn hint(&mut self, now: Duration) {
        self.follow.look |= self.term() == 0;
        self.advance(now);
    }

    /// What the engine said to a request. A second reply to the same request changes nothing.
    pub fn reply(&mut self, id: u64, reply: Result<Reply, Failure>, now: Duration) {
        self.now = self.now.max(now);
        let Some(asked) = self.asked.remove(&id).filter(|_| !self.failed) else {
            return;
        };
        match reply {
            Ok(reply) => {
                self.pauses.remove(&asked.ask);
                self.replied(id, asked, reply);
            }
            Err(failure) => {
                let pause = self.pauses.entry(asked.ask).or_default();
                let rest = PAUSE.saturating_mul(1 << pause.failures.min(10));
                pause.until = self.now + rest.min(PAUSE_MAX);
                pause.failures += 1;
                self.trouble = Some(failure.to_string());
                self.failed_request(id, asked, failure);
            }
        }
        self.drive();
    }

    fn replied(&mut self, id: u64, asked: Asked, reply: Reply) {
        let leads = self.term() == asked.term && asked.term != 0;
        match (asked.ask, reply) {
            (Ask::Look, Reply::Head(head)) => self.looked(id, head),
            (Ask::Take, Reply::Taken { term }) => self.taken(term),
            (Ask::Take, Reply::Refused) => {
                self.role = Role::Following;
                self.follow.look = true;
            }
            (Ask::Tail, Reply::Blocks(blocks)) => self.tail(&blocks),
            (Ask::GetPiece, Reply::Piece(piece)) => self.piece(piece),
            (Ask::Resign, Reply::Done | Reply::Refused) if leads => self.resigned(),
            // What an earlier leadership asked for.
            _ if !leads => {}
            (Ask::Append, Reply::Done) => self.appended(asked.at),
            (Ask::Append, Reply::Refused) => self.append_refused(),
            (Ask::Verify, Reply::Blocks(blocks)) => self.verified(blocks.first()),
            (Ask::PutPiece, Reply::Done) => self.piece_put(),
            (Ask::Seal, Reply::Done) => self.sealed(),
            (Ask::Seal, Reply::Refused) => self.seal_unknown(),
            (Ask::Clean, Reply::Cleaned { more }) => self.cleaned(more),
            (Ask::Clean, Reply::Refused) => self.upload = None,
            (Ask::Beat, Reply::Done) => self.signed(asked.at),
            (_, Reply::Refused) => self.deposed(),
            (ask, reply) => {
                let what = format!("the engine's client answered {reply:?} to {ask:?}");
                self.fail(LogError::Foreign(what));
            }
        }
    }

    fn failed_request(&mut self, id: u64, asked: Asked, failure: Failure) {
        if let Failure::Foreign(what) = failure {
            return self.fail(LogError::Foreign(what));
        }
        let leads = self.term() == asked.term && asked.term != 0;
        match asked.ask {
            Ask::Look => self.reads_not_confirmed(),
            Ask::Take => match (&mut self.role, &failure) {
                (Role::Taking { looking, .. }, Failure::Unknown(_) | Failure::NoSpace(_)) => {
                    *looking = Some(id);
                }
                (role, _) => *role = Role::Following,
            },
            Ask::Append if leads => self.not_appended(failure),
            Ask::Seal if leads => self.seal_unknown(),
            Ask::Resign if leads => self.resigned(),
            _ => {}
        }
    }

    /// The term in which this node owns the log; 0 if it does not.
    fn term(&self) -> u64 {
        match &self.role {
            Role::Leading(lead) => lead.term,
            Role::Following | Role::Taking { .. } => 0,
        }
    }

    /// When [`Log::advance`] wants to be called.
    pub fn next_deadline(&self) -> Duration {
        if self.failed {
            return Duration::MAX;
        }
        let pauses = self.pauses.values().map(|pause| pause.until);
        let mut next = pauses
            .filter(|until| *until > self.now)
            .min()
            .unwrap_or(Duration::MAX)
            .min(self.follow.next_look(self.config.poll))
            .min(self.reads.next_deadline());
        match &self.role {
            Role::Leading(lead) => {
                next = next.min(lead.beat_at(self.config.lease));
                next = next.min(lead.hopeless_at(self.config.lease));
                next = next.min(self.no_space_until.unwrap_or(Duration::MAX));
            }
            Role::Following | Role::Taking { .. } => {
                next = next.min(self.take_at().unwrap_or(Duration::MAX));
            }
        }
        // Whatever could be asked for has been asked for: an earlier time means that a reply is awaited.
        match next > self.now {
            true => next,
            false => self.now + self.config.poll,
        }
    }

    /// How the log stands.
    pub fn status(&self) -> Status {
        let lead = match &self.role {
            Role::Leading(lead) => Some(lead),
            Role::Following | Role::Taking { .. } => None,
        };
        let seen = self.head.as_ref().map(|head| head.seen).unwrap_or_default();
        Status {
            leads: lead.is_some_and(|lead| lead.serves()),
            term: lead.map_or(seen.term, |lead| lead.term),
            owner: self.owner.as_ref().map(|owner| owner.name.clone()),
            next: seen.next.max(self.position.next),
            position: self.position,
            snapshot: self.newest,
            since_snapshot: self.since_snapshot,
            waiting: lead.map_or((0, 0), |lead| lead.waiting()),
            no_space: self.no_space_until.is_some(),
            trouble: self.trouble.clone(),
        }
    }

    /// Asks for what is wanted now.
    fn drive(&mut self) {
        if self.failed {
            return;
        }
        if let Role::Leading(lead) = &self.role
            && self.now >= lead.hopeless_at(self.config.lease)
        {
            self.give_up();
        }
        self.drive_leading();
        if self.failed {
            return;
        }
        self.drive_following();
        self.drive_reads();
        self.drive_snapshot();
    }

    /// Asks the engine, unless something of the kind is under way or rests.
    fn ask(&mut self, ask: Ask, request: impl FnOnce(u64) -> Request) -> Option<u64> {
        if !self.may_ask(ask) {
            return None;
        }
        let id = self.next_ask;
        self.next_ask += 1;
        let term = self.term();
        self.asked.insert(
            id,
            Asked {
                ask,
                term,
                at: self.now,
            },
        );
        self.requests.push((id, request(term)));
        Some(id)
    }

    fn may_ask(&self, ask: Ask) -> bool {
        let rests = self.pauses.get(&ask).is_some_and(|it| it.until > self.now);
        !rests && !self.is_asked(ask)
    }

    fn is_asked(&self, ask: Ask) -> bool {
        self.asked.values().any(|asked| asked.ask == ask)
    }

    fn fail(&mut self, error: LogError) {
        if let Role::Leading(lead) = std::mem::replace(&mut self.role, Role::Following) {
            self.leave(*lead, Outcome::Unknown);
        }
        for ticket in self.reads.all() {
            self.steps.push(Step::Read {
                ticket,
                confirmed: false,
            });
        }
        self.failed = true;
        self.steps.push(Step::Failed(error));
    }

    /// A number that nobody else draws: SplitMix64.
    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        let mut bits = self
            .config
            .seed
            .wrapping_add(self.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// The most bytes of a command.
    pub fn command_bytes_max(&self) -> usize {
        self.config.block_bytes_max - BLOCK_BYTES - crate::block::COMMAND_BYTES
    }
}

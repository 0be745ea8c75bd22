//! A simulated machine: its disk, its clock, and its members, one of each group.

use std::collections::BTreeMap;

use diwan_raft::{Configuration, Payload, PeerId, Priority, Time, Token, Write};
use diwan_replica::wire::RequestKind;
use diwan_replica::{Flushed, Group, Liveness, WriteQueue};

use crate::machine::Machine;
use crate::store::{Snapshot, Store};
use crate::traffic::Outboxes;

/// One machine of the world.
pub(crate) struct Node {
    pub(crate) id: PeerId,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    /// What is lost in a crash.
    pub(crate) alive: Option<Alive>,
    /// Grows with every start: what belongs to an earlier life is ignored.
    pub(crate) life: u64,
    /// Until then it does nothing, though its clock goes on.
    pub(crate) paused_until: u64,
    /// Its disk takes this many times longer.
    pub(crate) disk_factor: u64,
    /// A fault was injected that its disk will report.
    pub(crate) disk_may_fail: bool,
}

impl Node {
    /// The name of a machine's member. It is the machine's number and how often its disk was replaced: a disk that lost what
    /// its member had promised never comes back under the same name.
    pub(crate) fn name(place: usize, disks_replaced: u32) -> PeerId {
        let port = 7000 + u16::try_from(place).unwrap_or(0);
        PeerId::with("10.0.0.1", port, disks_replaced, Priority::Off)
    }

    /// Its member of a group, while it is up.
    pub(crate) fn member(&self, group: usize) -> Option<&Member> {
        self.alive.as_ref().map(|alive| &alive.members[group])
    }

    pub(crate) fn member_mut(&mut self, group: usize) -> Option<&mut Member> {
        self.alive.as_mut().map(|alive| &mut alive.members[group])
    }

    /// One line for people.
    pub(crate) fn describe(&self, group: usize) -> String {
        let Some(member) = self.member(group) else {
            return format!("{} is down", self.id);
        };
        let status = member.group.raft().status();
        format!(
            "{} {:?} term {} leader {:?} committed {} applied {} last {:?} stable {} of [{}] {:?}",
            self.id,
            status.role,
            status.term,
            status.leader.map(|leader| leader.port()),
            status.committed,
            status.applied,
            status.last,
            status.stable,
            status.configuration,
            status.peers,
        )
    }
}

pub(crate) struct Alive {
    pub(crate) members: Vec<Member>,
    /// Writes that wait for the disk, which makes one sync at a time.
    pub(crate) queue: WriteQueue,
    /// What the sync under way makes durable.
    pub(crate) syncing: Option<Flushed>,
    /// What it knows of the other nodes.
    pub(crate) liveness: Liveness<usize>,
    /// What it is about to say, where it hosts several groups.
    pub(crate) outboxes: Outboxes,
}

pub(crate) struct Member {
    pub(crate) group: Group,
    pub(crate) machine: Machine,
    /// The next timer that the world knows of.
    pub(crate) timer: u64,
    /// This leader was asked for a membership change that has not ended.
    pub(crate) changing: bool,
    /// Requests that wait for this member's answer.
    pub(crate) asked: BTreeMap<(PeerId, Token), RequestKind>,
    /// The configurations in its log, from what it wrote.
    pub(crate) configurations: BTreeMap<u64, Configuration>,
    pub(crate) applied: u64,
}

impl Member {
    /// Asks this leader for a membership change; whether it has begun.
    pub(crate) fn change_members(&mut self, target: Configuration) -> bool {
        let begun = self.group.raft_mut().change_members(target).is_ok();
        self.changing |= begun;
        begun
    }

    /// Whether this leader's configuration is committed and no change of it is under way.
    pub(crate) fn is_settled(&self) -> bool {
        let raft = self.group.raft();
        let since = self.configurations.keys().next_back();
        !self.changing
            && !raft.configuration().is_joint()
            && since.is_some_and(|since| raft.committed() >= *since)
    }

    /// What a write does to the configurations in the log.
    pub(crate) fn note_configurations(&mut self, write: &Write, snapshot: Option<&Snapshot>) {
        if let Some(reset) = write.reset {
            self.configurations.clear();
            if let Some(snapshot) = snapshot.filter(|it| it.meta.last == reset) {
                let configuration = snapshot.meta.configuration.clone();
                self.configurations.insert(reset.index, configuration);
            }
        }
        if let Some(first) = write.append.first() {
            self.configurations.split_off(&first.id.index);
        }
        for entry in &write.append {
            if let Payload::Configuration(configuration) = &entry.payload {
                self.configurations
                    .insert(entry.id.index, Configuration::clone(configuration));
            }
        }
    }
}

/// A monotonic clock that runs a little wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    base_world: u64,
    base_local: u64,
    /// Local microseconds in a million of the world's.
    rate_ppm: u64,
}

impl Clock {
    pub(crate) fn new(offset: u64, rate_ppm: u64) -> Self {
        Self {
            base_world: 0,
            base_local: offset,
            rate_ppm,
        }
    }

    pub(crate) fn local(&self, world: u64) -> Time {
        Time(self.base_local + (world - self.base_world) * self.rate_ppm / 1_000_000)
    }

    /// The first moment of the world at which this clock shows `local` or more.
    pub(crate) fn world(&self, local: Time) -> u64 {
        let ahead = local.0.saturating_sub(self.base_local);
        self.base_world + ahead.saturating_mul(1_000_000).div_ceil(self.rate_ppm)
    }

    pub(crate) fn set_rate(&mut self, world: u64, rate_ppm: u64) {
        self.base_local = self.local(world).0;
        self.base_world = world;
        self.rate_ppm = rate_ppm;
    }
}

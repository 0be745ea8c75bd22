//! Where instances come from: the nodes whose clients publish them, in each of their lives, and what is known of each in short.

use std::sync::Arc;
use std::time::Duration;

use diwan_registry_wire::nodes::Life;

/// Services are spread over so many slots by their names: what two nodes compare is compared slot by slot.
pub(super) const SLOTS: usize = 256;

/// The place of an origin in [`Origins`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OriginId(u32);

/// This node in this life.
pub(super) const OWN: OriginId = OriginId(0);

#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) node: Arc<str>,
    pub(super) epoch: u64,
    /// When anybody heard of it last, as far as is known here. Its instances are removed when that is too long ago.
    pub(super) heard: Duration,
    /// When this node itself heard of it.
    pub(super) met: Option<Duration>,
    /// It was not heard of for too long: it counts as gone until it speaks itself.
    pub(super) expired: bool,
    /// All changes up to this number are known.
    pub(super) stream: u64,
    /// In single slots more are.
    numbers: Box<[u64; SLOTS]>,
    /// A sum over its instances, by slot.
    pub(super) sums: Box<[u64; SLOTS]>,
}

impl Origin {
    fn new(node: Arc<str>, epoch: u64, heard: Duration) -> Self {
        Self {
            node,
            epoch,
            heard,
            met: None,
            expired: false,
            stream: 0,
            numbers: Box::new([0; SLOTS]),
            sums: Box::new([0; SLOTS]),
        }
    }

    pub(super) fn life(&self) -> Life {
        Life {
            node: self.node.to_string(),
            epoch: self.epoch,
        }
    }

    /// All changes in the slot up to this number are known.
    pub(super) fn known(&self, slot: u8) -> u64 {
        self.stream.max(self.numbers[usize::from(slot)])
    }

    pub(super) fn know(&mut self, slot: u8, number: u64) {
        let known = &mut self.numbers[usize::from(slot)];
        *known = number.max(*known);
        let all = self.numbers.iter().min();
        self.stream = self.stream.max(all.copied().unwrap_or(0));
    }

    /// Nothing counts as known any more: it tells everything again.
    pub(super) fn forget(&mut self) {
        self.stream = 0;
        self.numbers.fill(0);
    }

    pub(super) fn add(&mut self, slot: u8, sum: u64) {
        let all = &mut self.sums[usize::from(slot)];
        *all = all.wrapping_add(sum);
    }

    pub(super) fn subtract(&mut self, slot: u8, sum: u64) {
        let all = &mut self.sums[usize::from(slot)];
        *all = all.wrapping_sub(sum);
    }
}

/// All origins that are known; the first is this node.
#[derive(Debug)]
pub(super) struct Origins(Vec<Origin>);

impl Origins {
    pub(super) fn new(node: &str, epoch: u64) -> Self {
        Self(vec![Origin::new(node.into(), epoch, Duration::ZERO)])
    }

    pub(super) fn get(&self, id: OriginId) -> &Origin {
        &self.0[id.0 as usize]
    }

    pub(super) fn get_mut(&mut self, id: OriginId) -> &mut Origin {
        &mut self.0[id.0 as usize]
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (OriginId, &Origin)> {
        (0..).map(OriginId).zip(&self.0)
    }

    pub(super) fn find(&self, life: &Life) -> Option<OriginId> {
        let is = |origin: &Origin| origin.epoch == life.epoch && *origin.node == *life.node;
        self.all().find(|(_, one)| is(one)).map(|(id, _)| id)
    }

    /// An origin that may be new. One that was forgotten long ago makes room for it.
    pub(super) fn find_or_add(
        &mut self,
        life: &Life,
        heard: Duration,
        forget_before: Duration,
    ) -> OriginId {
        if let Some(id) = self.find(life) {
            return id;
        }
        let new = Origin::new(life.node.as_str().into(), life.epoch, heard);
        let empty = |one: &Origin| one.sums.iter().all(|sum| *sum == 0);
        let forgotten = |one: &Origin| one.expired && one.heard < forget_before && empty(one);
        let free = self.all().find(|(_, one)| forgotten(one)).map(|(id, _)| id);
        match free {
            Some(id) => {
                *self.get_mut(id) = new;
                id
            }
            None => {
                self.0.push(new);
                OriginId(u32::try_from(self.0.len() - 1).unwrap_or(u32::MAX))
            }
        }
    }

    /// Whether a later life of this node is known.
    pub(super) fn is_outlived(&self, life: &Life) -> bool {
        let mut all = self.0.iter();
        all.any(|one| *one.node == *life.node && one.epoch > life.epoch)
    }
}

/// FNV-1a with a last mix, so that sums of it tell sets apart. Nodes of all versions compare it: it never changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sum(u64);

impl Sum {
    pub(super) fn new(seed: u64) -> Self {
        Self(0xcbf2_9ce4_8422_2325 ^ seed)
    }

    /// Adds a part and its end.
    #[must_use]
    pub(super) fn with(mut self, part: &[u8]) -> Self {
        for byte in part.iter().chain(&part.len().to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
        self
    }

    pub(super) fn finish(self) -> u64 {
        let mut sum = self.0;
        sum = (sum ^ sum >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        sum ^ sum >> 33
    }
}

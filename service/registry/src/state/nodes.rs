//! What this node tells the others, and what it learns from them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use diwan_registry_wire::Version;
use diwan_registry_wire::nodes::{
    Change, Digest, Instance, Name, NodesAnswer, NodesMessage, Slot, Standing, Wanted, Withdrawn,
};
use foldhash::quality::FixedState;

use super::boundary::Now;
use super::ids::{RegistId, ServiceName};
use super::instance::{self, Copy, Data, Edition, Owner};
use super::origin::{OWN, Origin, OriginId};
use super::own::OwnChange;
use super::registry::{Registry, Timer};
use super::service::ServiceId;

/// Another node, as it is spoken to.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// It knows this node's changes up to this number.
    known: u64,
    /// A message is on its way.
    awaiting: bool,
    /// Nothing is sent before: it did not answer.
    not_before: Duration,
    next_beat: Duration,
    next_digests: Duration,
    /// What it asked for.
    owed: BTreeSet<(OriginId, u8)>,
    /// How long it had pushed lists when it last said so; None if it is not known, or does not answer.
    pub(super) serving: Option<Option<Duration>>,
    /// Nothing that it knows was missing here.
    pub(super) synced: bool,
    /// So many milliseconds its clock is ahead of ours.
    ahead_ms: i64,
    /// Where its clients connect.
    address: String,
    /// When all that living nodes knew was known there, as it says.
    heard_by_it: Duration,
    /// When nothing of its own was unknown here for the last time; at first, when it was named.
    heard_all: Duration,
}

/// The names of services in one message.
#[derive(Default)]
struct Names {
    places: HashMap<ServiceId, u32, FixedState>,
    names: Vec<Name>,
}

impl Names {
    fn place(&mut self, id: ServiceId, name: &ServiceName) -> u32 {
        let next = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        *self.places.entry(id).or_insert_with(|| {
            self.names.push(name.into());
            next
        })
    }
}

/// Where another node stands, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// Its name.
    pub node: Arc<str>,
    /// Whether it answers, and pushes lists.
    pub serving: bool,
    /// Nothing that it knows was missing here when it was last compared.
    pub synced: bool,
    /// Changes of this node that it does not know yet.
    pub behind: u64,
    /// So many milliseconds its clock is ahead of ours.
    pub ahead_ms: i64,
}

impl Registry {
    /// The other nodes, from now on.
    pub fn set_nodes(&mut self, names: impl IntoIterator<Item = String>, now: Now) {
        let own = self.origins.get(OWN).node.clone();
        let names: BTreeSet<Arc<str>> = names.into_iter().map(Arc::from).collect();
        self.nodes.retain(|name, _| names.contains(name));
        self.addresses_changed = true;
        for name in names {
            if name != own {
                self.nodes.entry(name).or_insert(Node {
                    heard_all: now.monotonic,
                    ..Node::default()
                });
            }
        }
        self.tick_nodes(now);
    }

    /// Where the other nodes stand.
    pub fn nodes(&self) -> Vec<NodeState> {
        let state = |(name, node): (&Arc<str>, &Node)| NodeState {
            node: name.clone(),
            serving: node.serving.flatten().is_some(),
            synced: node.synced,
            behind: self.own.number() - node.known,
            ahead_ms: node.ahead_ms,
        };
        self.nodes.iter().map(state).collect()
    }

    /// Where clients may connect: here, and to the other nodes that push lists; None if that is as it was.
    pub fn new_addresses(&mut self) -> Option<Vec<String>> {
        std::mem::take(&mut self.addresses_changed).then(|| {
            let others = self.nodes.values();
            let others = others.filter(|node| node.serving.flatten().is_some());
            let others = others.map(|node| node.address.clone());
            let mut all = vec![self.address.clone()];
            for other in others {
                if !all.contains(&other) {
                    all.push(other);
                }
            }
            all
        })
    }

    /// Whether lists are pushed: not before all is known that living nodes know.
    pub fn is_serving(&self) -> bool {
        self.starting.is_none()
    }

    fn standing(&self, now: Now) -> Standing {
        let passed = |since: Duration| {
            let passed = now.monotonic.saturating_sub(since);
            u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
        };
        Standing {
            life: Some(self.origins.get(OWN).life()),
            serving_ms: self.is_serving().then(|| passed(self.serving_since)),
            unix_ms: now.unix_ms,
            version: self.version.0,
            address: self.address.clone(),
            heard_ms: passed(self.heard_all(now)),
        }
    }

    /// What is to be sent to other nodes now, one message at a time to each: [`Registry::answered`] or
    /// [`Registry::unanswered`] ends it. To be asked for after every turn.
    pub fn to_nodes(&mut self, now: Now) -> Vec<(Arc<str>, NodesMessage)> {
        let standing = self.standing(now);
        let mut nodes = std::mem::take(&mut self.nodes);
        let mut messages = Vec::new();
        for (name, node) in &mut nodes {
            let due = node.known < self.own.number()
                || !node.owed.is_empty()
                || node.next_beat <= now.monotonic;
            if due && !node.awaiting && node.not_before <= now.monotonic {
                node.awaiting = true;
                messages.push((name.clone(), self.message(node, &standing, now)));
            }
        }
        self.nodes = nodes;
        messages
    }

    fn message(&self, node: &mut Node, standing: &Standing, now: Now) -> NodesMessage {
        let mut names = Names::default();
        let mut room = self.config.message_bytes;
        let (changes, up_to) = match self.own.after(node.known) {
            Some(after) => self.told(after, &mut room, &mut names),
            None => {
                if node.owed.iter().all(|(origin, _)| *origin != OWN) {
                    node.owed.extend((0..=u8::MAX).map(|slot| (OWN, slot)));
                }
                (Vec::new(), node.known)
            }
        };
        let mut slots = Vec::new();
        while room > 0
            && let Some((origin, slot)) = node.owed.pop_first()
        {
            slots.push(self.slot(origin, slot, &mut room, &mut names));
            if node.owed.is_empty() {
                // Whether that was all.
                node.next_digests = now.monotonic;
            }
        }
        let complete = up_to == self.own.number() && node.owed.is_empty();
        let mut digests = Vec::new();
        if complete && node.next_digests <= now.monotonic {
            node.next_digests = now.monotonic + self.config.digest_interval;
            digests = self.digests(now);
        }
        node.next_beat = now.monotonic + self.config.beat;
        NodesMessage {
            standing: Some(standing.clone()),
            after: node.known,
            up_to,
            more: up_to < self.own.number(),
            names: names.names,
            changes,
            slots,
            digests,
        }
    }

    /// As many changes as there is room for, and the number up to which they are all.
    fn told<'a>(
        &self,
        changes: impl Iterator<Item = &'a OwnChange>,
        room: &mut usize,
        names: &mut Names,
    ) -> (Vec<Change>, u64) {
        let mut told = Vec::new();
        for own in changes {
            if *room == 0 {
                return (told, own.number - 1);
            }
            let known = &self.services[own.service];
            let copy = known.copy(&own.id, OWN);
            // What changed again is told then.
            if copy.is_some_and(|copy| copy.number > own.number) {
                continue;
            }
            let name = names.place(own.service, &known.name);
            told.push(match copy.filter(|copy| copy.number == own.number) {
                Some(copy) => change(name, &own.id, copy, room),
                None => Change {
                    number: own.number,
                    name,
                    id: own.id.to_string(),
                    instance: None,
                    withdrawn: own
                        .withdrawn
                        .map(|(version, timestamp)| Withdrawn { version, timestamp }),
                },
            });
            *room = room.saturating_sub(CHANGE_BYTES);
        }
        (told, self.own.number())
    }

    fn slot(&self, origin: OriginId, slot: u8, room: &mut usize, names: &mut Names) -> Slot {
        let mut instances = Vec::new();
        for service in &self.slots[usize::from(slot)] {
            let known = &self.services[*service];
            for (id, copies) in &known.publishers {
                if let Some(copy) = instance::of_origin(copies, origin) {
                    let name = names.place(*service, &known.name);
                    instances.push(change(name, id, copy, room));
                    *room = room.saturating_sub(CHANGE_BYTES);
                }
            }
        }
        Slot {
            origin: Some(self.origins.get(origin).life()),
            slot: u32::from(slot),
            number: self.known(origin, slot),
            instances,
        }
    }

    /// All changes of an origin in a slot up to this number are known.
    fn known(&self, origin: OriginId, slot: u8) -> u64 {
        match origin {
            OWN => self.own.number(),
            _ => self.origins.get(origin).known(slot),
        }
    }

    fn digests(&self, now: Now) -> Vec<Digest> {
        let digest = |(id, origin): (OriginId, &Origin)| {
            let age = match id {
                OWN => Duration::ZERO,
                _ => now.monotonic.saturating_sub(origin.heard),
            };
            Digest {
                origin: Some(origin.life()),
                age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
                numbers: (0..=u8::MAX).map(|slot| self.known(id, slot)).collect(),
                sums: origin.sums.to_vec(),
            }
        };
        let known = self.origins.all().filter(|(_, origin)| !origin.expired);
        known.map(digest).collect()
    }

    /// When this node knew all that living nodes knew. One that is silent for longer than a lease counts as dead.
    fn heard_all(&self, now: Now) -> Duration {
        let heard = self.living(now).map(|node| node.heard_all);
        heard.min().unwrap_or(now.monotonic)
    }

    fn living(&self, now: Now) -> impl Iterator<Item = &Node> {
        let dead = now.monotonic.checked_sub(self.config.lease);
        let living = move |node: &&Node| dead.is_none_or(|dead| node.heard_all > dead);
        self.nodes.values().filter(living)
    }

    /// Whether everybody knows here and at all living nodes what anybody knew then.
    pub(super) fn is_known_to_all(&self, then: Duration, now: Now) -> bool {
        let mut living = self.living(now);
        // What a node knew that has started again since may never be heard of.
        let ended = |origin: &Origin| !origin.expired && self.origins.is_outlived(&origin.life());
        let unheard = |origin: &Origin| origin.met.is_none_or(|met| met < then);
        let mut origins = self.origins.all();
        living.all(|node| node.heard_all >= then && node.heard_by_it >= then)
            && !origins.any(|(_, origin)| ended(origin) && unheard(origin))
    }

    /// Where an instance has come from, up to an edition, that does not speak any more.
    pub(super) fn ended_with(
        &self,
        service: ServiceId,
        id: &RegistId,
        edition: Edition,
        now: Now,
    ) -> Vec<OriginId> {
        let recently = now.monotonic.saturating_sub(4 * self.config.beat);
        let ended = |id: OriginId| {
            let origin = self.origins.get(id);
            let silent = origin.met.is_none_or(|met| met < recently);
            id != OWN && (silent || self.origins.is_outlived(&origin.life()))
        };
        let copies = self.services[service].publishers.get(id);
        let copies = copies.into_iter().flatten();
        let old = copies.filter(|copy| copy.edition <= edition && ended(copy.origin));
        old.map(|copy| copy.origin).collect()
    }

    /// A node did not answer.
    pub fn unanswered(&mut self, node: &str, now: Now) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.awaiting = false;
            node.not_before = now.monotonic + self.config.beat;
            self.addresses_changed |= node.serving.take().is_some();
        }
    }

    /// A node answered.
    pub fn answered(&mut self, node: &str, answer: NodesAnswer, now: Now) {
        self.met(node, &answer.standing.unwrap_or_default(), now);
        let mut owed = BTreeSet::new();
        for wanted in &answer.wanted {
            let origin = wanted.origin.as_ref();
            let Some(origin) = origin.and_then(|origin| self.origins.find(origin)) else {
                continue;
            };
            let slots = wanted.slots.iter();
            owed.extend(slots.filter_map(|slot| Some((origin, u8::try_from(*slot).ok()?))));
        }
        let highest = self.own.number();
        if let Some(node) = self.nodes.get_mut(node) {
            node.awaiting = false;
            node.known = answer.known.min(highest);
            node.owed.extend(owed);
        }
        self.check_start(now);
    }

    /// A node spoke.
    fn met(&mut self, node: &str, standing: &Standing, now: Now) {
        self.version = self.version.max(Version(standing.version));
        if let Some(node) = self.nodes.get_mut(node) {
            let serving = standing.serving_ms.map(Duration::from_millis);
            let before = node.serving.flatten().is_some();
            self.addresses_changed |=
                before != serving.is_some() || node.address != standing.address;
            node.serving = Some(serving);
            node.address.clone_from(&standing.address);
            let heard = Duration::from_millis(standing.heard_ms);
            node.heard_by_it = now.monotonic.saturating_sub(heard);
            let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
            node.ahead_ms = signed(standing.unix_ms) - signed(now.unix_ms);
        }
    }

    /// The clock that versions are taken from: the one that is furthest ahead, so that a client that changes its node takes what
    /// it is told.
    pub(super) fn version_ms(&self, now: Now) -> u64 {
        let ahead = self.nodes.values().map(|node| node.ahead_ms).max();
        now.unix_ms.saturating_add_signed(ahead.unwrap_or(0).max(0))
    }

    /// Another node speaks.
    pub fn received(&mut self, message: NodesMessage, now: Now) -> NodesAnswer {
        let mut answer = NodesAnswer {
            standing: Some(self.standing(now)),
            known: 0,
            wanted: Vec::new(),
        };
        let own = self.origins.get(OWN).node.clone();
        let standing = message.standing.unwrap_or_default();
        let Some(from) = standing.life.as_ref().filter(|from| *from.node != *own) else {
            self.malformed += 1;
            return answer;
        };
        if self.origins.is_outlived(from) {
            // Late, from an earlier life.
            return answer;
        }
        self.met(&from.node, &standing, now);
        let forget_before = now.monotonic.saturating_sub(self.config.forget);
        let origin = self.origins.find_or_add(from, now.monotonic, forget_before);
        let known = self.origins.get_mut(origin);
        known.heard = now.monotonic;
        known.met = Some(now.monotonic);
        if std::mem::take(&mut known.expired) {
            known.forget();
        }
        let services = self.named(&message.names);
        if message.after <= self.origins.get(origin).stream {
            for change in &message.changes {
                self.apply(origin, change, &services, now);
            }
            let known = self.origins.get_mut(origin);
            known.stream = known.stream.max(message.up_to);
            if let Some(node) = self.nodes.get_mut(&*from.node)
                && !message.more
            {
                node.heard_all = now.monotonic;
            }
        }
        for slot in &message.slots {
            self.apply_slot(slot, &services, now);
        }
        answer.known = self.origins.get(origin).stream;
        if !message.digests.is_empty() {
            answer.wanted = self.compare(origin, &message.digests, now);
            if let Some(node) = self.nodes.get_mut(&*from.node) {
                node.synced = answer.wanted.is_empty();
            }
            self.check_start(now);
        }
        answer
    }

    fn named(&mut self, names: &[Name]) -> Vec<ServiceId> {
        let names = names.iter().cloned().map(ServiceName::from);
        names.map(|name| self.service(&name)).collect()
    }

    /// What an origin says of one of its instances.
    fn apply(&mut self, origin: OriginId, change: &Change, services: &[ServiceId], now: Now) {
        let Some(&service) = services.get(change.name as usize) else {
            self.malformed += 1;
            return;
        };
        let known = &self.services[service];
        let id = RegistId::new(&change.id);
        if change.number <= self.origins.get(origin).known(known.slot) {
            return;
        }
        match (&change.instance, change.withdrawn) {
            (Some(instance), _) => {
                self.put_foreign(origin, service, &id, change.number, instance, now)
            }
            (None, Some(withdrawn)) => {
                let edition = (withdrawn.version, withdrawn.timestamp);
                self.withdraw(origin, service, &id, edition, now);
                let own = self.services[service].copy(&id, OWN);
                if own.is_some_and(|own| own.edition <= edition) {
                    self.take(service, &id, OWN, None, now);
                }
            }
            (None, None) => drop(self.take(service, &id, origin, None, now)),
        }
    }

    fn put_foreign(
        &mut self,
        origin: OriginId,
        service: ServiceId,
        id: &RegistId,
        number: u64,
        instance: &Instance,
        now: Now,
    ) {
        let items = instance.items.iter();
        let data = Data::new(items.map(|item| item.data.as_deref()));
        let edition = (instance.version, instance.timestamp);
        let copy = Copy {
            origin,
            number,
            sum: 0,
            data,
            cell: self.cell(&instance.cell),
            edition,
            owner: Owner::Node,
            provisional: instance.provisional,
        };
        self.put(service, id, copy, now);
        // It has moved there: the copy here is not needed any more as soon as everybody knows that.
        let until = now.monotonic + self.config.grace;
        if !instance.provisional
            && let Some(own) = self.services[service].copy_mut(id, OWN)
            && own.edition <= edition
            && match own.owner {
                Owner::Grace(end) => end > until,
                Owner::Held => true,
                Owner::Connection(_) | Owner::Node => false,
            }
        {
            own.owner = Owner::Grace(until);
            self.set_timer(until, Timer::Grace(service));
        }
    }

    /// All that another node knows of an origin's slot takes the place of what is known here, unless that is newer.
    fn apply_slot(&mut self, slot: &Slot, services: &[ServiceId], now: Now) {
        let origin = slot.origin.as_ref();
        let origin = origin.and_then(|origin| self.origins.find(origin));
        let (Some(origin), Ok(place)) = (origin, u8::try_from(slot.slot)) else {
            return;
        };
        let known = self.origins.get(origin);
        if origin == OWN || known.expired || slot.number < known.known(place) {
            return;
        }
        let mut kept: BTreeSet<(ServiceId, RegistId)> = BTreeSet::new();
        for change in &slot.instances {
            let (Some(instance), Some(&service)) =
                (&change.instance, services.get(change.name as usize))
            else {
                self.malformed += 1;
                return;
            };
            let id = RegistId::new(&change.id);
            self.put_foreign(origin, service, &id, change.number, instance, now);
            kept.insert((service, id));
        }
        for service in self.slots[usize::from(place)].clone() {
            let all = self.services[service].publishers.iter();
            let missing = all.filter(|(id, copies)| {
                instance::of_origin(copies, origin).is_some()
                    && !kept.contains(&(service, (*id).clone()))
            });
            let missing: Vec<RegistId> = missing.map(|(id, _)| id.clone()).collect();
            for id in missing {
                self.take(service, &id, origin, None, now);
            }
        }
        self.origins.get_mut(origin).know(place, slot.number);
    }

    /// Which slots differ from what a node knows, and are not newer here.
    fn compare(&mut self, from: OriginId, digests: &[Digest], now: Now) -> Vec<Wanted> {
        let mut all = Vec::new();
        for digest in digests {
            let Some(life) = &digest.origin else {
                self.malformed += 1;
                continue;
            };
            let age = Duration::from_millis(digest.age_ms);
            let forget_before = now.monotonic.saturating_sub(self.config.forget);
            let origin = match self.origins.find(life) {
                Some(origin) => origin,
                None if age >= self.config.lease => continue,
                None => self
                    .origins
                    .find_or_add(life, Duration::ZERO, forget_before),
            };
            if origin == OWN {
                continue;
            }
            let known = self.origins.get_mut(origin);
            if known.expired {
                continue;
            }
            known.heard = known.heard.max(now.monotonic.saturating_sub(age));
            // Who speaks for itself is asked itself: others may only be a moment ahead.
            let recently = now.monotonic.saturating_sub(self.config.beat * 4);
            if origin != from && known.met.is_some_and(|met| met >= recently) {
                continue;
            }
            let theirs = digest.numbers.iter().zip(&digest.sums);
            let slots = (0_u8..=u8::MAX).zip(theirs);
            let slots = slots.filter(|(slot, (number, sum))| {
                **number >= known.known(*slot) && **sum != known.sums[usize::from(*slot)]
            });
            let slots: Vec<u32> = slots.map(|(slot, _)| u32::from(slot)).collect();
            if !slots.is_empty() {
                all.push(Wanted {
                    origin: Some(life.clone()),
                    slots,
                });
            }
        }
        all
    }

    /// Looks after the other nodes, again and again.
    pub(super) fn tick_nodes(&mut self, now: Now) {
        if !self.ticking && (!self.nodes.is_empty() || !self.is_serving()) {
            self.ticking = true;
            let next = now.monotonic + self.config.beat / 4;
            self.set_timer(next, Timer::Nodes);
        }
        self.check_start(now);
        let lost = now.monotonic.saturating_sub(self.config.lease);
        let lost: Vec<OriginId> = self
            .origins
            .all()
            .filter(|(id, origin)| *id != OWN && !origin.expired && origin.heard < lost)
            .map(|(id, _)| id)
            .collect();
        for origin in lost {
            self.origins.get_mut(origin).expired = true;
            self.expire(origin, now);
        }
    }
}

/// What a change takes beside its data, about.
const CHANGE_BYTES: usize = 64;

fn change(name: u32, id: &RegistId, copy: &Copy, room: &mut usize) -> Change {
    *room = room.saturating_sub(copy.data.bytes().len());
    Change {
        number: copy.number,
        name,
        id: id.to_string(),
        instance: Some(copy.to_wire()),
        withdrawn: None,
    }
}

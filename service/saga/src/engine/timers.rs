//! When sagas are to be looked at. A saga has one timer, at the earliest time at which something may be due; what became of it
//! meanwhile is found out then. So a call that is answered costs no timer.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use serde::{Deserialize, Serialize};

use super::command::SagaKey;
use super::saga::{Saga, Waits};
use super::sagas::Sagas;
use super::step::World;

/// Timers that one [`super::Command::Tick`] serves; [`Sagas::due_ms`] tells whether there are more.
const TIMERS_AT_ONCE: usize = 10_000;

/// A saga is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Timer {
    pub at_ms: u64,
    pub saga: SagaKey,
}

/// The timers of all sagas, at most one each. A timer that is taken away only counts no more, and leaves the heap later.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// The first one counts.
    heap: BinaryHeap<Reverse<Armed>>,
    /// By the saga's place, the timer that counts.
    armed: Vec<Option<Armed>>,
    /// How many count.
    count: usize,
    serial: u64,
}

/// A timer, and which of all that there ever were: a saga may be given the same one twice.
type Armed = (Timer, u64);

/// So many timers that count no more stay in any case.
const IDLE_TIMERS: usize = 64;

impl Timers {
    /// The earliest one.
    pub fn first(&self) -> Option<Timer> {
        self.heap.peek().map(|Reverse((timer, _))| *timer)
    }

    /// All of them.
    pub fn all(&self) -> BTreeSet<Timer> {
        let armed = self.armed.iter().flatten();
        armed.map(|(timer, _)| *timer).collect()
    }

    /// Adds the timer of a saga that has none.
    pub fn insert(&mut self, timer: Timer) {
        let place = timer.saga.slot as usize;
        if self.armed.len() <= place {
            self.armed.resize(place + 1, None);
        }
        self.serial += 1;
        let armed = (timer, self.serial);
        if self.armed[place].replace(armed).is_none() {
            self.count += 1;
        }
        self.heap.push(Reverse(armed));
    }

    fn remove(&mut self, timer: Timer) {
        let place = timer.saga.slot as usize;
        let Some(armed) = self.armed.get_mut(place) else {
            return;
        };
        if armed.take_if(|(armed, _)| *armed == timer).is_none() {
            return;
        }
        self.count -= 1;
        let armed = &self.armed;
        let counts = |timer: &Reverse<Armed>| {
            let place = timer.0.0.saga.slot as usize;
            armed[place] == Some(timer.0)
        };
        // At least as many have been taken away since the last time, so that it costs little for each.
        if self.heap.len() > 2 * self.count + IDLE_TIMERS {
            self.heap.retain(counts);
        }
        while self.heap.peek().is_some_and(|first| !counts(first)) {
            self.heap.pop();
        }
    }

    fn pop_first(&mut self) -> Option<Timer> {
        let first = self.first()?;
        self.remove(first);
        Some(first)
    }
}

impl World {
    /// Has a saga looked at then, or earlier.
    pub fn arm(&mut self, saga: &mut Saga, at_ms: u64) {
        if saga.armed_ms.is_some_and(|armed_ms| armed_ms <= at_ms) {
            return;
        }
        self.disarm(saga);
        saga.armed_ms = Some(at_ms);
        let saga = saga.key;
        self.timers.insert(Timer { at_ms, saga });
    }

    pub fn disarm(&mut self, saga: &mut Saga) {
        if let Some(at_ms) = saga.armed_ms.take() {
            let saga = saga.key;
            self.timers.remove(Timer { at_ms, saga });
        }
    }
}

impl Saga {
    /// The earliest time at which something is due.
    fn due_ms(&self) -> Option<u64> {
        let pending = self
            .pending
            .iter()
            .filter_map(|pending| match pending.waits {
                Waits::Answer(at_ms) | Waits::Pause(at_ms) => Some(at_ms),
                Waits::Child => None,
            });
        let deadline = (self.parent.is_none() && !self.is_timed_out).then_some(self.deadline_ms);
        let recovery = self.recovery.as_ref().map(|recovery| recovery.due_ms);
        pending
            .chain(deadline)
            .chain(recovery.filter(|_| !self.is_running))
            .chain(self.leaves_ms)
            .chain(
                self.run
                    .forks
                    .iter()
                    .filter_map(|forked| forked.deadline_ms),
            )
            .min()
    }
}

impl Sagas {
    pub(super) fn tick(&mut self) {
        for _ in 0..TIMERS_AT_ONCE {
            match self.world.timers.first() {
                Some(timer) if timer.at_ms <= self.world.now_ms => {}
                _ => return,
            }
            if let Some(timer) = self.world.timers.pop_first() {
                self.look_at(timer.saga);
            }
        }
    }

    /// Does what is due of a saga.
    fn look_at(&mut self, key: SagaKey) {
        let now_ms = self.world.now_ms;
        let Some(saga) = self.saga_mut(key) else {
            return;
        };
        saga.armed_ms = None;
        let calls: Vec<u32> = saga
            .pending
            .iter()
            .filter(|pending| {
                matches!(pending.waits, Waits::Answer(at_ms) | Waits::Pause(at_ms) if at_ms <= now_ms)
            })
            .map(|pending| pending.number)
            .collect();
        for number in calls {
            self.with(key, |step| step.call_due(number));
            self.work();
        }
        self.with(key, |step| {
            let flow = step.fork_due();
            step.proceed(flow);
        });
        self.work();
        self.with(key, |step| {
            let saga = &*step.saga;
            if saga.parent.is_none() && !saga.is_timed_out && saga.deadline_ms <= now_ms {
                let flow = step.deadline();
                step.proceed(flow);
            }
        });
        self.work();
        self.with_children(key, true, |step, child| {
            let recovery = step.saga.recovery.as_ref();
            if !step.saga.is_running && recovery.is_some_and(|recovery| recovery.due_ms <= now_ms) {
                step.recover(child);
            }
        });
        self.work();
        let leaves_ms = self.saga(key).and_then(|saga| saga.leaves_ms);
        if leaves_ms.is_some_and(|leaves_ms| leaves_ms <= now_ms) {
            self.leave(key);
        }
        self.with(key, |step| {
            if let Some(due_ms) = step.saga.due_ms() {
                step.world.arm(step.saga, due_ms);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A saga of few is given a timer, or loses it; or the first timer comes up.
    #[derive(Clone, Debug)]
    enum Act {
        Arm(u32, u64),
        Disarm(u32),
        Pop,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (0..100_u32, 0..20_u64).prop_map(|(slot, at_ms)| Act::Arm(slot, at_ms)),
            3 => (0..100_u32).prop_map(Act::Disarm),
            1 => Just(Act::Pop),
        ]
    }

    proptest! {
        #[test]
        fn they_come_up_as_those_of_a_sorted_set(acts in prop::collection::vec(act(), 0..2_000)) {
            let mut timers = Timers::default();
            let mut sorted = BTreeSet::new();
            for act in acts {
                let of = |slot: u32| sorted.iter().copied().find(|timer: &Timer| timer.saga.slot == slot);
                match act {
                    Act::Arm(slot, at_ms) => {
                        if of(slot).is_none() {
                            let saga = SagaKey { slot, generation: 0 };
                            timers.insert(Timer { at_ms, saga });
                            sorted.insert(Timer { at_ms, saga });
                        }
                    }
                    Act::Disarm(slot) => {
                        if let Some(timer) = of(slot) {
                            timers.remove(timer);
                            sorted.remove(&timer);
                        }
                    }
                    Act::Pop => prop_assert_eq!(timers.pop_first(), sorted.pop_first()),
                }
                prop_assert_eq!(timers.first(), sorted.first().copied());
                prop_assert!(timers.heap.len() <= 2 * sorted.len() + IDLE_TIMERS + 1);
            }
            prop_assert_eq!(timers.all(), sorted);
        }
    }
}

//! Forks (`apache/incubator-seata` pull request 5847: `ForkStateHandler.java`, `ParallelTaskUtils.java`). Which branch a saga
//! is in follows from the state that it is at, so branches need no names. A branch that fails, or wants to go elsewhere, is
//! heard when those that run have come to their ends; those that wait do not start any more.

use std::collections::BTreeMap;

use serde_json::Value;

use super::exception::{Code, Exception};
use super::saga::{Forked, Operation, Record, bytes};
use super::status::Status;
use super::step::{Flow, Step};
use super::task::outputs;
use crate::lang::{Fork, StateId, StateKind};

impl Step<'_> {
    /// The fork in progress that it is in a branch of.
    pub fn branch(&self) -> Option<StateId> {
        if self.saga.run.forks.is_empty() {
            return None;
        }
        let fork = self.machine.fork_of(self.at?)?;
        let is_open = self.saga.run.forks.iter().any(|forked| forked.fork == fork);
        is_open.then_some(fork)
    }

    /// Starts the branches, as many as may run at once.
    pub fn fork(&mut self, id: StateId, fork: &Fork) -> Flow {
        let mut waiting: Vec<StateId> = (0..fork.branches.len())
            .map(|branch| self.branch_start(id, fork, branch))
            .filter(|start| *start != fork.join)
            .collect();
        waiting.reverse();
        let count = u32::try_from(waiting.len())
            .unwrap_or(u32::MAX)
            .min(fork.parallel);
        for _ in 0..count {
            // The first one goes on first.
            self.ready.insert(0, waiting.pop().unwrap_or(fork.join));
        }
        let deadline_ms = fork
            .await_timeout_ms
            .map(|timeout_ms| self.world.now_ms.saturating_add(timeout_ms));
        if let Some(deadline_ms) = deadline_ms {
            self.world.arm(self.saga, deadline_ms);
        }
        self.saga.run.forks.push(Forked {
            fork: id,
            waiting,
            active: count,
            deadline_ms,
            exception: None,
            is_thrown: false,
            route: None,
        });
        if count == 0 {
            return self.end_fork(id);
        }
        Flow::Wait
    }

    /// Where a branch starts: going forward, where it was.
    fn branch_start(&self, id: StateId, fork: &Fork, branch: usize) -> StateId {
        let start = fork.branches[branch];
        if self.saga.run.operation != Operation::Forward {
            return start;
        }
        let last = self.saga.records.iter().rev().find(|record| {
            record.compensates.is_none()
                && !record.is_ignored
                && self.saga.compensation_of(record) != Some(Status::Succeeded)
                && fork.states[branch].binary_search(&record.state).is_ok()
        });
        let Some(last) = last else {
            return start;
        };
        // In a fork within the branch it is that fork that starts again.
        let mut at = last.state;
        while let Some(inner) = self.machine.fork_of(at).filter(|inner| *inner != id) {
            at = inner;
        }
        // Of a loop all elements must be.
        let is_done = self
            .latest(last.state)
            .values()
            .all(|record| matches!(record.status, Status::Succeeded | Status::Skipped));
        if at == last.state && is_done {
            return self.machine.state(at).next.unwrap_or(fork.join);
        }
        at
    }

    /// Goes forward within a fork: from the outermost one, whose branches know where they were.
    pub fn fork_again(&mut self, fork: StateId, skip: bool) -> Flow {
        let mut outermost = fork;
        while let Some(outer) = self.machine.fork_of(outermost) {
            outermost = outer;
        }
        if let (true, StateKind::Fork(fork)) = (skip, &self.machine.state(outermost).kind) {
            for record in &mut self.saga.records {
                let is_open = !matches!(record.status, Status::Succeeded | Status::Skipped);
                let is_in = fork
                    .states
                    .iter()
                    .any(|states| states.binary_search(&record.state).is_ok());
                if is_open && is_in && !record.is_ignored && record.compensates.is_none() {
                    record.is_ignored = record.status == Status::Failed;
                    record.status = Status::Skipped;
                }
            }
        }
        Flow::Next(outermost)
    }

    /// A branch has come to a join.
    pub fn join(&mut self, id: StateId) -> Flow {
        let forked = self.saga.run.forks.iter().rev().find(|forked| {
            matches!(&self.machine.state(forked.fork).kind, StateKind::Fork(fork) if fork.join == id)
        });
        match forked.map(|forked| forked.fork) {
            Some(fork) => self.leave_branch(fork, None, None),
            // Without a fork there is nobody to wait for.
            None => match self.machine.state(id).next {
                Some(next) => Flow::Next(next),
                None => self.end(),
            },
        }
    }

    /// A branch is at its end: another one starts, or all are.
    pub fn leave_branch(
        &mut self,
        fork: StateId,
        exception: Option<Box<Exception>>,
        route: Option<StateId>,
    ) -> Flow {
        let machine = self.machine;
        let is_trigger =
            |route: StateId| matches!(machine.state(route).kind, StateKind::CompensationTrigger);
        let is_thrown = std::mem::take(&mut self.saga.thrown);
        let Some(forked) = self
            .saga
            .run
            .forks
            .iter_mut()
            .find(|forked| forked.fork == fork)
        else {
            return Flow::Wait;
        };
        forked.active = forked.active.saturating_sub(1);
        if exception.is_some() || route.is_some() {
            forked.waiting.clear();
        }
        if forked.exception.is_none() {
            forked.exception = exception;
            forked.is_thrown = is_thrown;
        }
        // Compensation goes before all else.
        if forked.route.is_none() || route.is_some_and(is_trigger) {
            forked.route = route.or(forked.route);
        }
        if let Some(start) = forked.waiting.pop() {
            forked.active += 1;
            self.at = Some(start);
            return Flow::Next(start);
        }
        if forked.active > 0 {
            return Flow::Wait;
        }
        self.end_fork(fork)
    }

    /// An exception leads elsewhere: within a branch, or the whole of a Parallel.
    pub fn caught(&mut self, route: StateId) -> Flow {
        match self.branch().map(|fork| (fork, self.machine.state(fork))) {
            Some((id, state)) if matches!(&state.kind, StateKind::Fork(fork) if fork.is_parallel) =>
            {
                let exception = self.saga.run.exception.take();
                self.leave_branch(id, exception, Some(route))
            }
            _ => Flow::Next(route),
        }
    }

    /// The last record of a state that counts; of a loop, of each element.
    fn latest(&self, state: StateId) -> BTreeMap<Option<u32>, &Record> {
        let all = self.saga.records.iter().filter(|record| {
            record.state == state
                && !record.is_ignored
                && record.compensates.is_none()
                && self.saga.compensation_of(record) != Some(Status::Succeeded)
        });
        all.map(|record| (record.index(), record)).collect()
    }

    /// What the branches of a Parallel returned, in their order; of a loop, that of each element in the order of elements.
    fn results(&self, fork: &Fork) -> Value {
        let of = |branch: &StateId| {
            let output = |record: &Record| record.output.as_deref().cloned().unwrap_or_default();
            let latest = self.latest(*branch);
            match latest.get(&None) {
                Some(alone) => output(alone),
                None if latest.is_empty() => Value::Null,
                None => latest.values().map(|record| output(record)).collect(),
            }
        };
        Value::Array(fork.branches.iter().map(of).collect())
    }

    /// Gives the results of a Parallel's branches to its variables.
    fn assign_results(&mut self, fork: &Fork) -> Result<(), String> {
        if fork.output.is_empty() {
            return Ok(());
        }
        let results = self.results(fork);
        if bytes(&results) > self.world.config.value_bytes_max {
            return Err("the results are larger or deeper than allowed".into());
        }
        let saga = &mut *self.saga;
        let named = outputs(&fork.output, &results.into(), &saga.id, &mut saga.sequence);
        for (name, value) in named.map_err(|error| error.to_string())? {
            saga.vars.set(&name, value);
        }
        Ok(())
    }

    fn end_fork(&mut self, id: StateId) -> Flow {
        let found = self
            .saga
            .run
            .forks
            .iter()
            .position(|forked| forked.fork == id);
        let Some(forked) = found.map(|found| self.saga.run.forks.remove(found)) else {
            return Flow::Wait;
        };
        // What follows is the business of the branch that the fork itself is in.
        self.at = Some(id);
        match (forked.route, forked.exception) {
            (Some(route), exception) => {
                self.saga.run.exception = exception;
                Flow::Next(route)
            }
            (None, Some(exception)) => {
                self.saga.thrown = forked.is_thrown;
                self.fail(exception)
            }
            (None, None) => {
                let machine = self.machine;
                let StateKind::Fork(fork) = &machine.state(id).kind else {
                    return Flow::Wait;
                };
                if let Err(why) = self.assign_results(fork) {
                    let message = format!("Parallel [{}]: {why}", self.machine.state(id).name);
                    return self.throw(Code::VariablesAssign, message);
                }
                match self.machine.state(fork.join).next {
                    Some(next) => Flow::Next(next),
                    None => self.end(),
                }
            }
        }
    }

    /// A join has waited for long enough: what its branches call may or may not be done.
    pub fn fork_due(&mut self) -> Flow {
        let now_ms = self.world.now_ms;
        let is_due = |forked: &Forked| {
            forked
                .deadline_ms
                .is_some_and(|deadline_ms| deadline_ms <= now_ms)
        };
        let Some(found) = self.saga.run.forks.iter().position(is_due) else {
            return Flow::Wait;
        };
        let machine = self.machine;
        let id = self.saga.run.forks[found].fork;
        let StateKind::Fork(fork) = &machine.state(id).kind else {
            return Flow::Wait;
        };
        let is_in = |state: StateId| {
            fork.states
                .iter()
                .any(|states| states.binary_search(&state).is_ok())
        };
        self.abandon_of(is_in);
        self.saga.run.repeats.retain(|repeat| !is_in(repeat.state));
        self.saga
            .run
            .forks
            .retain(|forked| forked.fork != id && !is_in(forked.fork));
        self.at = Some(id);
        let message = format!(
            "Executing fork state [{}]: execution timeout",
            machine.state(id).name
        );
        self.throw(Code::Timeout, message)
    }
}

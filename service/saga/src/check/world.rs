//! Where a saga can be: a position, what was done and what is known of it, for every state of every copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::outcome::{Done, Facts};
use super::program::{Node, Program};
use crate::engine::Status;
use crate::lang::{Money, Recover, StateKind, Work};

/// What is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum At {
    /// A state is entered; going forward, again.
    Enter(Node, bool),
    /// A branch of the innermost fork has come to its end.
    Branches,
    /// The saga runs no more, and waits for its recovery.
    Stopped,
    /// It is over.
    Over,
}

/// What a state has come to: as recorded, and in truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    pub record: Option<Status>,
    pub done: Done,
    /// By which outcome it was refused: the next time it is, too.
    pub refused: Option<u16>,
}

/// What one copy has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Run {
    pub last: Option<Node>,
    /// `None` while it runs.
    pub status: Option<Status>,
    pub is_compensated: bool,
    /// It came to a Fail.
    pub has_failed: bool,
    /// It is on its way again: what it does replaces what it did.
    pub is_forward: bool,
    /// A state came to this and was gone through again: its history keeps both.
    pub kept_failed: bool,
    /// The same.
    pub kept_unknown: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct OpenFork {
    pub node: Node,
    /// The branches that have not started.
    pub left: Vec<usize>,
    pub has_thrown: bool,
    pub route: Option<Node>,
    /// States that are done are not done again.
    pub resumes: bool,
}

/// One point of one way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub at: At,
    pub marks: Vec<Mark>,
    pub runs: Vec<Run>,
    pub forks: Vec<OpenFork>,
    /// What is known of a copy's variables, as JSON.
    vars: BTreeMap<(usize, Arc<str>), String>,
    /// What a copy's choices have asked and found, of what nobody knows.
    asked: BTreeMap<(usize, usize), bool>,
}

/// Longer values are not remembered.
const VALUE_BYTES_MAX: usize = 256;

impl World {
    pub fn new(program: &Program<'_>) -> Self {
        let nothing = Mark {
            record: None,
            done: Done::No,
            refused: None,
        };
        Self {
            at: At::Enter(program.start(0), false),
            marks: vec![nothing; program.len()],
            runs: vec![Run::default(); program.copies.len()],
            forks: Vec::new(),
            vars: BTreeMap::new(),
            asked: BTreeMap::new(),
        }
    }

    pub fn facts(&self, copy: usize) -> Facts {
        let known = self
            .vars
            .range((copy, Arc::from(""))..(copy + 1, Arc::from("")));
        let map: Map<String, Value> = known
            .map(|((_, name), text)| {
                (
                    name.to_string(),
                    serde_json::from_str(text).unwrap_or_default(),
                )
            })
            .collect();
        Facts::Vars(map)
    }

    /// A variable has a value, or one that nobody knows.
    pub fn set(&mut self, copy: usize, name: &Arc<str>, value: Option<&Value>) {
        let text = value
            .map(Value::to_string)
            .filter(|text| text.len() <= VALUE_BYTES_MAX);
        match text {
            Some(text) => self.vars.insert((copy, Arc::clone(name)), text),
            None => self.vars.remove(&(copy, Arc::clone(name))),
        };
    }

    /// What a choice has found before, and still does.
    pub fn asked(&self, copy: usize, question: usize) -> Option<bool> {
        self.asked.get(&(copy, question)).copied()
    }

    pub fn answer(&mut self, copy: usize, question: usize, holds: bool) {
        self.asked.insert((copy, question), holds);
    }

    /// Something that questions are about has changed.
    pub fn forget(&mut self, copy: usize, is_about: impl Fn(usize) -> bool) {
        self.asked
            .retain(|(of, question), _| *of != copy || !is_about(*question));
    }

    /// A copy starts from the beginning. What it did before stays done.
    pub fn start(&mut self, copy: usize) {
        self.runs[copy] = Run::default();
        self.vars.retain(|(of, _), _| *of != copy);
        self.asked.retain(|(of, _), _| *of != copy);
    }

    /// The fork of a copy that is at hand.
    pub fn branch(&self, program: &Program<'_>, copy: usize) -> Option<&OpenFork> {
        let fork = self.forks.last()?;
        (program.copy_of(fork.node) == copy).then_some(fork)
    }

    /// The copies that a copy has started and that are not undone, itself first.
    pub fn family(&self, program: &Program<'_>, copy: usize) -> Vec<usize> {
        let mut all = vec![copy];
        let mut next = 0;
        while let Some(copy) = all.get(next).copied() {
            next += 1;
            for node in program.nodes(copy) {
                if let Some(inner) = program.starts[node]
                    && !matches!(self.marks[node].record, None | Some(Status::Failed))
                    && !self.runs[inner].is_compensated
                {
                    all.push(inner);
                }
            }
        }
        all
    }

    /// Whether a copy has called a credit that may have been carried out, as the engine sees it.
    pub fn is_past_pivot(&self, program: &Program<'_>, copy: usize) -> bool {
        let is_paid = |node: Node| {
            program.money(node) == Some(Money::Credit)
                && !matches!(self.marks[node].record, None | Some(Status::Failed))
        };
        let family = self.family(program, copy);
        family
            .into_iter()
            .any(|copy| program.nodes(copy).any(is_paid))
    }

    /// Whether time or recovery may lead the saga forward, and whether to compensation.
    pub fn ways(&self, program: &Program<'_>) -> (bool, bool) {
        match program.copies[0].machine.recover {
            Some(Recover::Forward) => (true, false),
            Some(Recover::Pivot) => {
                let is_past = self.is_past_pivot(program, 0);
                (is_past, !is_past)
            }
            Some(Recover::Compensate) | None => (true, true),
        }
    }

    /// `engine/decide.rs`: what a copy comes to, by what its states came to.
    pub fn status(&self, program: &Program<'_>, copy: usize, threw: bool) -> Status {
        let run = &self.runs[copy];
        if run.kept_unknown {
            return Status::Unknown;
        }
        let (mut changed, mut failed) = (false, run.kept_failed);
        for node in program.nodes(copy) {
            let Some(task) = program.task(node) else {
                continue;
            };
            match self.marks[node].record {
                Some(Status::Unknown) => return Status::Unknown,
                Some(Status::Succeeded) => {
                    changed |= task.is_for_update && matches!(task.work, Work::Service(_));
                }
                Some(Status::Failed | Status::Running) => failed = true,
                Some(Status::Skipped) | None => {}
            }
        }
        match (failed || threw || run.has_failed, changed) {
            (false, _) => Status::Succeeded,
            (true, true) => Status::Unknown,
            (true, false) => Status::Failed,
        }
    }

    /// The nodes of one kind of which something is done.
    pub fn moved(&self, program: &Program<'_>, money: Money) -> Vec<Node> {
        (0..program.len())
            .filter(|node| {
                program.money(*node) == Some(money) && self.marks[*node].done != Done::No
            })
            .collect()
    }

    /// The branches of a fork that are to be gone through.
    pub fn open_fork(&mut self, program: &Program<'_>, node: Node, resumes: bool) {
        let StateKind::Fork(fork) = &program.state(node).kind else {
            return;
        };
        let left = (0..fork.branches.len())
            .filter(|branch| fork.branches[*branch] != fork.join)
            .collect();
        self.forks.push(OpenFork {
            node,
            left,
            has_thrown: false,
            route: None,
            resumes,
        });
        self.at = At::Branches;
    }

    /// A branch of the innermost fork ends, by an exception or to go elsewhere.
    pub fn leave_branch(&mut self, has_thrown: bool, route: Option<Node>, is_trigger: bool) {
        if let Some(fork) = self.forks.last_mut() {
            fork.has_thrown |= has_thrown;
            if fork.route.is_none() || is_trigger {
                fork.route = route.or(fork.route);
            }
        }
        self.at = At::Branches;
    }
}

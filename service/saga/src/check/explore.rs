//! All the ways that a saga can go, breadth first, so that the path of what is found is a shortest one. What is told apart are
//! the positions of `world.rs`; there are finitely many.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use super::Rule;
use super::outcome::{self, Done, Outcome};
use super::program::{Node, Program};
use super::world::{At, World};
use crate::engine::{Exception, Status};
use crate::lang::{Money, StateKind, Task, Work};

/// So many positions are looked at,
const WORLDS_MAX: usize = 200_000;
/// and so many states in all of them: this is memory.
const MARKS_MAX: usize = 8_000_000;

/// Something for each set of states.
pub(super) type Sets<T> = BTreeMap<Vec<Node>, T>;

/// What is wrong on one way.
pub(super) struct Wrong {
    pub rule: Rule,
    pub node: Node,
    pub message: String,
    pub path: Vec<String>,
}

pub(super) struct Explorer<'p, 'a> {
    pub program: &'p Program<'a>,
    pub worlds: Vec<Rc<World>>,
    /// Where each one comes from, and by what.
    pub from: Vec<(usize, String)>,
    pub known: HashMap<Rc<World>, usize>,
    /// For each one, where else it may come from.
    pub before_it: Vec<Vec<usize>>,
    /// Where the saga is over, or waits for somebody's decision.
    pub resting: Vec<usize>,
    /// For each credit, which debits were done when it was called.
    pub before: BTreeMap<Node, Sets<usize>>,
    /// For each set of debits, with which credits it came to an end.
    pub ends: Sets<Sets<(usize, String)>>,
    pub outcomes: HashMap<Node, Vec<Outcome>>,
    /// The expressions of choices, and what each is about.
    pub questions: HashMap<String, usize>,
    pub about: Vec<Option<BTreeSet<Arc<str>>>>,
    pub at: usize,
    /// What follows is nothing to count on: a call fails that has not always failed, or the time is over.
    pub by_chance: bool,
    pub wrong: BTreeMap<(Rule, Node), Wrong>,
}

/// Everything that is wrong on some way of a saga.
pub(super) fn explore(program: &Program<'_>) -> Vec<Wrong> {
    let mut explorer = Explorer {
        program,
        worlds: Vec::new(),
        from: Vec::new(),
        known: HashMap::new(),
        before_it: Vec::new(),
        resting: Vec::new(),
        before: BTreeMap::new(),
        ends: BTreeMap::new(),
        outcomes: HashMap::new(),
        questions: HashMap::new(),
        about: Vec::new(),
        at: 0,
        by_chance: false,
        wrong: BTreeMap::new(),
    };
    explorer.add(World::new(program), String::new());
    while explorer.at < explorer.worlds.len() {
        let count = explorer.worlds.len();
        if count > WORLDS_MAX || count * program.len() > MARKS_MAX {
            let start = program.start(0);
            let why = format!("there are more than {count} positions: nothing is proven");
            explorer.note(Rule::TooLarge, start, why);
            break;
        }
        let world = Rc::clone(&explorer.worlds[explorer.at]);
        explorer.visit(World::clone(&world));
        explorer.at += 1;
    }
    explorer.compare();
    explorer.endless();
    explorer.wrong.into_values().collect()
}

impl Explorer<'_, '_> {
    pub fn add(&mut self, world: World, by: String) {
        let next = self.worlds.len();
        let world = Rc::new(world);
        let index = *self.known.entry(Rc::clone(&world)).or_insert(next);
        if index == next {
            self.worlds.push(world);
            self.from.push((self.at, by));
            self.before_it.push(Vec::new());
        }
        if !self.by_chance {
            self.before_it[index].push(self.at);
        }
    }

    pub fn path(&self, mut at: usize) -> Vec<String> {
        let mut path = Vec::new();
        while at != 0 {
            let (from, by) = &self.from[at];
            if !by.is_empty() {
                path.push(by.clone());
            }
            at = *from;
        }
        path.reverse();
        path
    }

    pub fn note(&mut self, rule: Rule, node: Node, message: String) {
        let path = self.path(self.at);
        self.note_at(rule, node, message, path);
    }

    pub fn note_at(&mut self, rule: Rule, node: Node, message: String, path: Vec<String>) {
        self.wrong.entry((rule, node)).or_insert(Wrong {
            rule,
            node,
            message,
            path,
        });
    }

    pub fn names(&self, nodes: &[Node]) -> String {
        let names: Vec<String> = nodes.iter().map(|node| self.program.name(*node)).collect();
        match names.is_empty() {
            true => "nothing".into(),
            false => names.join(", "),
        }
    }

    pub fn visit(&mut self, world: World) {
        let (_, compensates) = world.ways(self.program);
        if compensates && !matches!(world.at, At::Over) && !world.runs[0].is_compensated {
            // The time may be over anywhere.
            self.by_chance = world.at != At::Stopped;
            self.undo_all(world.clone(), "the time is over: compensation");
            self.by_chance = false;
        }
        match world.at {
            At::Enter(node, again) => self.enter(world, node, again),
            At::Branches => self.branches(world),
            At::Stopped => self.recover(world),
            At::Over => self.over(&world),
        }
    }

    pub fn enter(&mut self, mut world: World, node: Node, again: bool) {
        let state = self.program.state(node);
        let copy = self.program.copy_of(node);
        let name = self.program.name(node);
        let in_branch = world.branch(self.program, copy).is_some();
        match &state.kind {
            StateKind::Task(task) => self.task(world, node, task, again),
            StateKind::Choice(choice) => self.choose(world, node, choice),
            StateKind::CompensationTrigger | StateKind::Succeed | StateKind::Fail { .. }
                if in_branch =>
            {
                let is_trigger = matches!(state.kind, StateKind::CompensationTrigger);
                world.leave_branch(false, Some(node), is_trigger);
                self.add(world, name);
            }
            StateKind::CompensationTrigger => self.trigger(world, node),
            StateKind::Succeed => self.end(world, copy, name),
            StateKind::Fail { .. } => {
                world.runs[copy].has_failed = true;
                self.end(world, copy, name);
            }
            StateKind::Fork(_) => {
                world.open_fork(self.program, node, again);
                self.add(world, name);
            }
            StateKind::Join if in_branch => {
                world.leave_branch(false, None, false);
                self.add(world, name);
            }
            StateKind::Join => self.go_on(world, node, name),
        }
    }

    /// After a state without a route of its own.
    pub fn go_on(&mut self, mut world: World, node: Node, by: String) {
        match self.program.next(node) {
            Some(next) => {
                world.at = At::Enter(next, false);
                self.add(world, by);
            }
            None => self.end(world, self.program.copy_of(node), by),
        }
    }

    pub fn branches(&mut self, mut world: World) {
        let Some(open) = world.forks.last().cloned() else {
            return;
        };
        // In which order branches are done matters only if some take what others pay out.
        let orders = match self.program.mixes_money(open.node) {
            true => open.left.len(),
            false => 1,
        };
        for (index, branch) in open.left.iter().enumerate().take(orders) {
            let StateKind::Fork(fork) = &self.program.state(open.node).kind else {
                return;
            };
            let mut started = world.clone();
            if let Some(open) = started.forks.last_mut() {
                open.left.remove(index);
            }
            let copy = self.program.copy_of(open.node);
            let start = self.program.node(copy, fork.branches[*branch]);
            started.at = At::Enter(start, open.resumes);
            self.add(started, String::new());
        }
        if !open.left.is_empty() && !open.has_thrown && open.route.is_none() {
            return;
        }
        world.forks.pop();
        let name = format!("{} ends", self.program.name(open.node));
        match (open.route, open.has_thrown) {
            (Some(route), _) => {
                world.at = At::Enter(route, false);
                self.add(world, name);
            }
            (None, true) => self.fail(world, self.program.copy_of(open.node), true, name),
            (None, false) => {
                let StateKind::Fork(fork) = &self.program.state(open.node).kind else {
                    return;
                };
                let copy = self.program.copy_of(open.node);
                for (variable, _) in &fork.output {
                    // What branches return together is not looked into.
                    self.set(&mut world, copy, variable, None);
                }
                let join = self.program.node(copy, fork.join);
                self.go_on(world, join, name);
            }
        }
    }

    pub fn task(&mut self, world: World, node: Node, task: &Task, again: bool) {
        let name = self.program.name(node);
        let copy = self.program.copy_of(node);
        let resumes = world
            .branch(self.program, copy)
            .is_some_and(|fork| fork.resumes);
        if resumes && world.marks[node].record == Some(Status::Succeeded) {
            return self.go_on(world, node, name);
        }
        match (&task.work, self.program.starts[node]) {
            (Work::SubMachine(_), Some(inner)) => self.start(world, node, inner, again, name),
            (Work::SubMachine(_) | Work::CompensateSubMachine, _) => {
                self.go_on(world, node, name);
            }
            (Work::Service(_) | Work::Script(_), _) => {
                self.calls_money(&world, node);
                let machine = self.program.machine_of(node);
                let outcomes = self.outcomes.entry(node);
                let outcomes = outcomes
                    .or_insert_with(|| outcome::of_task(task, machine))
                    .clone();
                for (number, outcome) in outcomes.iter().enumerate() {
                    let is_same = world.marks[node].refused.map(usize::from) == Some(number);
                    self.by_chance = outcome.status != Status::Succeeded && !is_same;
                    self.settle(world.clone(), node, task, (number, outcome), again);
                    self.by_chance = false;
                }
            }
        }
    }

    pub fn settle(
        &mut self,
        mut world: World,
        node: Node,
        task: &Task,
        (number, outcome): (usize, &Outcome),
        again: bool,
    ) {
        let copy = self.program.copy_of(node);
        let by = match outcome.status == Status::Succeeded
            && outcome.exception.is_none()
            && outcome.how == "succeeds"
        {
            true => self.program.name(node),
            false => format!("{} {}", self.program.name(node), outcome.how),
        };
        let money = self.program.money(node);
        // For good only as long as nothing is paid out: from there on it is answered some day.
        let may_refuse = money != Some(Money::Credit) && !world.is_past_pivot(self.program, 0);
        let run = &mut world.runs[copy];
        let mark = &mut world.marks[node];
        let again = again || run.is_forward;
        if !again {
            run.kept_failed |= mark.record == Some(Status::Failed);
            run.kept_unknown |= mark.record == Some(Status::Unknown);
        }
        let is_of_network = outcome
            .exception
            .as_ref()
            .is_some_and(Exception::is_of_network);
        let mut status = outcome.status;
        if again
            && is_of_network
            && status == Status::Failed
            && task.is_for_update
            && mark.record == Some(Status::Unknown)
        {
            // What may be done already has not failed because nobody was reached this time.
            status = Status::Unknown;
        }
        if outcome.refuses && mark.done == Done::Yes {
            // Who has done it does not refuse it: calls are carried out once.
            return;
        }
        let is_silent = is_of_network && outcome.done == Done::No;
        if mark
            .refused
            .is_some_and(|refused| usize::from(refused) != number)
            && !is_silent
        {
            return;
        }
        if outcome.refuses && may_refuse {
            mark.refused = u16::try_from(number).ok();
        }
        mark.record = Some(status);
        if money.is_some() {
            // What is done once is not done again, nor undone by a call that fails.
            mark.done = mark.done.max(outcome.done);
        }
        world.runs[copy].last = Some(node);
        if outcome.is_engines {
            return self.fail(world, copy, true, by);
        }
        if outcome.exception.is_none() {
            self.assign(&mut world, copy, task, &outcome.result);
        }
        // A loop does not look at exceptions that are none.
        let is_fine = task.repeat.is_some() && status == Status::Succeeded;
        let exception = outcome.exception.as_ref().filter(|_| !is_fine);
        self.route(world, node, task, exception, by);
    }

    /// Where a task's end leads.
    pub fn route(
        &mut self,
        mut world: World,
        node: Node,
        task: &Task,
        exception: Option<&Exception>,
        by: String,
    ) {
        let copy = self.program.copy_of(node);
        match exception.map(|exception| outcome::caught(task, exception)) {
            Some(None) => self.fail(world, copy, false, by),
            Some(Some(Some(target))) => {
                let target = self.program.node(copy, target);
                let fork = world.branch(self.program, copy).map(|fork| fork.node);
                match fork {
                    Some(fork) if self.program.is_parallel(fork) => {
                        let kind = &self.program.state(target).kind;
                        let is_trigger = matches!(kind, StateKind::CompensationTrigger);
                        world.leave_branch(false, Some(target), is_trigger);
                    }
                    _ => world.at = At::Enter(target, false),
                }
                self.add(world, by);
            }
            _ => self.go_on(world, node, by),
        }
    }

    pub fn start(&mut self, mut world: World, node: Node, inner: usize, again: bool, name: String) {
        let copy = self.program.copy_of(node);
        world.runs[copy].last = Some(node);
        let run = &world.runs[inner];
        if again && world.marks[node].record.is_some() && !run.is_compensated {
            if run.status == Some(Status::Succeeded) {
                return self.tell(world, inner, false, name);
            }
            return self.forward(world, inner, format!("{name} goes forward"));
        }
        world.start(inner);
        // Until it has an end nobody knows what it has done.
        world.marks[node].record = Some(Status::Unknown);
        world.at = At::Enter(self.program.start(inner), false);
        self.add(world, name);
    }

    /// A copy is at the end of its way.
    pub fn end(&mut self, mut world: World, copy: usize, by: String) {
        if world.branch(self.program, copy).is_some() {
            world.leave_branch(false, None, false);
            return self.add(world, by);
        }
        let status = match world.runs[copy].is_compensated {
            true => Status::Unknown,
            false => world.status(self.program, copy, false),
        };
        world.runs[copy].status = Some(status);
        if copy == 0 {
            self.at_rest(&world, &by, "the machine ends");
            self.comes_to(&world, &by);
        }
        self.stopped(world, copy, false, by);
    }

    /// A copy cannot go on.
    pub fn fail(&mut self, mut world: World, copy: usize, is_engines: bool, by: String) {
        if world.branch(self.program, copy).is_some() {
            world.leave_branch(true, None, false);
            return self.add(world, by);
        }
        world.runs[copy].status = Some(world.status(self.program, copy, true));
        self.stopped(world, copy, is_engines, by);
    }

    pub fn stopped(&mut self, mut world: World, copy: usize, threw: bool, by: String) {
        if copy != 0 {
            return self.tell(world, copy, threw, by);
        }
        let is_over = world.runs[0].is_compensated
            || matches!(
                world.runs[0].status,
                Some(Status::Succeeded | Status::Failed)
            );
        world.at = if is_over { At::Over } else { At::Stopped };
        self.add(world, by);
    }

    /// The state that started a copy hears of its end.
    pub fn tell(&mut self, mut world: World, inner: usize, threw: bool, by: String) {
        let Some(node) = self.program.copies[inner].caller else {
            return;
        };
        let Some(task) = self.program.task(node) else {
            return;
        };
        let copy = self.program.copy_of(node);
        world.runs[copy].last = Some(node);
        if threw {
            let exception = Exception::business("com.example.EngineFailed", "");
            let status = match task.is_for_update {
                true => Status::Unknown,
                false => Status::Failed,
            };
            world.marks[node].record = Some(status);
            return self.route(world, node, task, Some(&exception), by);
        }
        let status = match (&world.runs[inner].status, world.runs[inner].is_compensated) {
            (_, true) => Status::Failed,
            (status, false) => status.unwrap_or(Status::Unknown),
        };
        for (status, facts) in outcome::of_child(task, status) {
            let mut world = world.clone();
            world.marks[node].record = Some(status);
            self.assign(&mut world, copy, task, &facts);
            self.route(world, node, task, None, by.clone());
        }
    }
}

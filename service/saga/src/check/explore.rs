//! All the ways that a saga can go, breadth first, so that the path of what is found is a shortest one. What is told apart are
//! the positions of `world.rs`; there are finitely many.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Rule;
use super::outcome::{self, Done, Facts, Outcome};
use super::program::{Node, Program};
use super::world::{At, World};
use crate::engine::{Exception, Status};
use crate::expr::Template;
use crate::lang::{Choice, Machine, Money, Recover, StateId, StateKind, Task, Work};

/// So many positions are looked at.
const WORLDS_MAX: usize = 200_000;

/// What is wrong on one way.
pub(super) struct Wrong {
    pub rule: Rule,
    pub node: Node,
    pub message: String,
    pub path: Vec<String>,
}

pub(super) struct Explorer<'p, 'a> {
    program: &'p Program<'a>,
    worlds: Vec<World>,
    /// Where each one comes from, and by what.
    from: Vec<(usize, String)>,
    known: HashMap<World, usize>,
    /// For each one, where else it may come from.
    before_it: Vec<Vec<usize>>,
    /// Where the saga is over, or waits for somebody's decision.
    resting: Vec<usize>,
    /// For each credit, which debits were done when it was called.
    before: BTreeMap<Node, BTreeMap<Vec<Node>, usize>>,
    /// For each set of debits, with which credits it came to an end.
    ends: BTreeMap<Vec<Node>, BTreeMap<Vec<Node>, usize>>,
    outcomes: HashMap<Node, Vec<Outcome>>,
    at: usize,
    /// What follows is nothing to count on: a call fails that has not always failed, or the time is over.
    by_chance: bool,
    wrong: BTreeMap<(Rule, Node), Wrong>,
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
        at: 0,
        by_chance: false,
        wrong: BTreeMap::new(),
    };
    explorer.add(World::new(program), String::new());
    while explorer.at < explorer.worlds.len() {
        if explorer.worlds.len() > WORLDS_MAX {
            let start = program.start(0);
            let why = format!("it has more than {WORLDS_MAX} positions: nothing is proven");
            explorer.note(Rule::TooLarge, start, why);
            break;
        }
        let world = explorer.worlds[explorer.at].clone();
        explorer.visit(world);
        explorer.at += 1;
    }
    explorer.compare();
    explorer.endless();
    explorer.wrong.into_values().collect()
}

impl Explorer<'_, '_> {
    fn add(&mut self, world: World, by: String) {
        let next = self.worlds.len();
        let index = *self.known.entry(world.clone()).or_insert(next);
        if index == next {
            self.worlds.push(world);
            self.from.push((self.at, by));
            self.before_it.push(Vec::new());
        }
        if !self.by_chance {
            self.before_it[index].push(self.at);
        }
    }

    fn path(&self, mut at: usize) -> Vec<String> {
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

    fn note(&mut self, rule: Rule, node: Node, message: String) {
        let path = self.path(self.at);
        self.note_at(rule, node, message, path);
    }

    fn note_at(&mut self, rule: Rule, node: Node, message: String, path: Vec<String>) {
        self.wrong.entry((rule, node)).or_insert(Wrong {
            rule,
            node,
            message,
            path,
        });
    }

    fn names(&self, nodes: &[Node]) -> String {
        let names: Vec<String> = nodes.iter().map(|node| self.program.name(*node)).collect();
        match names.is_empty() {
            true => "nothing".into(),
            false => names.join(", "),
        }
    }

    fn visit(&mut self, world: World) {
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

    fn enter(&mut self, mut world: World, node: Node, again: bool) {
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
    fn go_on(&mut self, mut world: World, node: Node, by: String) {
        match self.program.next(node) {
            Some(next) => {
                world.at = At::Enter(next, false);
                self.add(world, by);
            }
            None => self.end(world, self.program.copy_of(node), by),
        }
    }

    fn branches(&mut self, mut world: World) {
        let Some(open) = world.forks.last().cloned() else {
            return;
        };
        for (index, branch) in open.left.iter().enumerate() {
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
                let join = self
                    .program
                    .node(self.program.copy_of(open.node), fork.join);
                self.go_on(world, join, name);
            }
        }
    }

    fn choose(&mut self, world: World, node: Node, choice: &Choice) {
        let copy = self.program.copy_of(node);
        let name = self.program.name(node);
        let to = |target: StateId| self.program.node(copy, target);
        let go = |explorer: &mut Self, mut world: World, target: StateId| {
            // A choice's own Next goes before what it chooses.
            let target = explorer.program.next(node).unwrap_or(to(target));
            world.at = At::Enter(target, false);
            let by = format!("{name} chooses {}", explorer.program.state(target).name);
            explorer.add(world, by);
        };
        let mut world = world;
        for (expression, target) in &choice.choices {
            let question = format!("{expression:?}");
            let holds = match world.facts(copy).eval(expression) {
                Some(Some(value)) => Some(value == serde_json::Value::Bool(true)),
                Some(None) => return self.fail(world, copy, true, name),
                None => world.asked(copy, &question),
            };
            match holds {
                Some(true) => return go(self, world, *target),
                Some(false) => {}
                None => {
                    let mut held = world.clone();
                    held.answer(copy, &question, true);
                    go(self, held, *target);
                    world.answer(copy, &question, false);
                }
            }
        }
        match choice.default {
            Some(target) => go(self, world, target),
            None => self.fail(world, copy, true, format!("{name} has no choice")),
        }
    }

    fn task(&mut self, world: World, node: Node, task: &Task, again: bool) {
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
                    let is_same = world.marks[node].refused == Some(number);
                    self.by_chance = outcome.status != Status::Succeeded && !is_same;
                    self.settle(world.clone(), node, task, (number, outcome), again);
                    self.by_chance = false;
                }
            }
        }
    }

    /// What must be true before money is moved.
    fn calls_money(&mut self, world: &World, node: Node) {
        let name = self.program.name(node);
        let mark = world.marks[node];
        match self.program.money(node) {
            Some(Money::Credit) if matches!(mark.record, None | Some(Status::Failed)) => {
                let debits = world.moved(self.program, Money::Debit);
                let partly = debits
                    .iter()
                    .find(|debit| world.marks[**debit].done == Done::Partly);
                if let Some(partly) = partly {
                    let partly = self.program.name(*partly);
                    let message =
                        format!("`{name}` pays out when `{partly}` has taken only a part");
                    self.note(Rule::CreditFirst, node, message);
                } else if debits.is_empty() {
                    let message = format!("`{name}` pays out what no debit has taken");
                    self.note(Rule::CreditFirst, node, message);
                }
                let at = self.at;
                self.before
                    .entry(node)
                    .or_default()
                    .entry(debits)
                    .or_insert(at);
            }
            Some(Money::Debit) if mark.done == Done::No => {
                let is_paid = |credit: &Node| {
                    self.program.money(*credit) == Some(Money::Credit)
                        && (world.marks[*credit].done != Done::No
                            || matches!(
                                world.marks[*credit].record,
                                Some(Status::Succeeded | Status::Unknown)
                            ))
                };
                if let Some(credit) = (0..self.program.len()).find(is_paid) {
                    let credit = self.program.name(credit);
                    let message = format!("`{credit}` has paid out before `{name}` takes");
                    self.note(Rule::CreditFirst, node, message);
                }
            }
            _ => {}
        }
    }

    fn settle(
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
        if mark.refused.is_some_and(|refused| refused != number) && !is_silent {
            return;
        }
        if outcome.refuses && may_refuse {
            mark.refused = Some(number);
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
            assign(&mut world, copy, task, &outcome.result);
        }
        // A loop does not look at exceptions that are none.
        let is_fine = task.repeat.is_some() && status == Status::Succeeded;
        let exception = outcome.exception.as_ref().filter(|_| !is_fine);
        self.route(world, node, task, exception, by);
    }

    /// Where a task's end leads.
    fn route(
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
                world.at = At::Enter(self.program.node(copy, target), false);
                self.add(world, by);
            }
            _ => self.go_on(world, node, by),
        }
    }

    fn start(&mut self, mut world: World, node: Node, inner: usize, again: bool, name: String) {
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
    fn end(&mut self, mut world: World, copy: usize, by: String) {
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
            self.comes_to(&world);
        }
        self.stopped(world, copy, false, by);
    }

    /// A copy cannot go on.
    fn fail(&mut self, mut world: World, copy: usize, is_engines: bool, by: String) {
        if world.branch(self.program, copy).is_some() {
            world.leave_branch(true, None, false);
            return self.add(world, by);
        }
        world.runs[copy].status = Some(world.status(self.program, copy, true));
        self.stopped(world, copy, is_engines, by);
    }

    fn stopped(&mut self, mut world: World, copy: usize, threw: bool, by: String) {
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
    fn tell(&mut self, mut world: World, inner: usize, threw: bool, by: String) {
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
            assign(&mut world, copy, task, &facts);
            self.route(world, node, task, None, by.clone());
        }
    }

    fn trigger(&mut self, mut world: World, node: Node) {
        let copy = self.program.copy_of(node);
        let name = self.program.name(node);
        let machine: &Machine = self.program.copies[copy].machine;
        if machine.recover == Some(Recover::Pivot) && world.is_past_pivot(self.program, copy) {
            world.runs[copy].status = Some(Status::Unknown);
            return self.stopped(world, copy, false, format!("{name} comes too late"));
        }
        let needs = self.program.nodes(copy).any(|node| {
            matches!(
                world.marks[node].record,
                Some(Status::Succeeded | Status::Unknown)
            ) && self
                .program
                .task(node)
                .is_some_and(|task| task.compensate.is_some())
        });
        if self.undo(&mut world, copy, &name).is_none() {
            return;
        }
        if !needs {
            return self.end(world, copy, name);
        }
        self.go_on(world, node, name);
    }

    /// The saga is compensated, and that is its end.
    fn undo_all(&mut self, mut world: World, by: &str) {
        world.forks.clear();
        if self.undo(&mut world, 0, by).is_none() {
            return;
        }
        world.runs[0].status = Some(Status::Unknown);
        world.runs[0].is_compensated = true;
        world.at = At::Over;
        self.add(world, by.into());
    }

    /// Undoes what a copy did; `None` if that cannot be.
    fn undo(&mut self, world: &mut World, copy: usize, by: &str) -> Option<()> {
        for node in self.program.nodes(copy) {
            if !matches!(
                world.marks[node].record,
                Some(Status::Succeeded | Status::Unknown)
            ) {
                continue;
            }
            let Some(task) = self.program.task(node) else {
                continue;
            };
            let Some(compensation) = task.compensate else {
                if task.is_for_update && matches!(task.work, Work::Service(_)) {
                    let name = self.program.name(node);
                    let mut path = self.path(self.at);
                    path.push(by.into());
                    let message = format!("`{name}` may be done, and has no compensation");
                    self.note_at(Rule::Uncompensated, node, message, path);
                    return None;
                }
                continue;
            };
            let compensation = self.program.node(copy, compensation);
            match self.program.starts[node] {
                None => self.undone(world, node, by)?,
                Some(inner) => {
                    let undoes = self.program.task(compensation);
                    let by_itself =
                        undoes.is_some_and(|task| matches!(task.work, Work::CompensateSubMachine));
                    if by_itself {
                        self.undo(world, inner, by)?;
                    } else {
                        for copy in world.family(self.program, inner) {
                            for node in self.program.nodes(copy) {
                                self.undone(world, node, by)?;
                            }
                        }
                    }
                    world.marks[node].record = None;
                }
            }
        }
        world.runs[copy].is_compensated = true;
        Some(())
    }

    fn undone(&mut self, world: &mut World, node: Node, by: &str) -> Option<()> {
        let mark = &mut world.marks[node];
        if matches!(mark.record, None | Some(Status::Failed)) {
            return Some(());
        }
        if self.program.money(node) == Some(Money::Credit) {
            let name = self.program.name(node);
            let mut path = self.path(self.at);
            path.push(by.into());
            let message = format!("`{name}` is taken back, when its money may be spent");
            self.note_at(Rule::CreditUndone, node, message, path);
            return None;
        }
        mark.record = None;
        mark.done = Done::No;
        Some(())
    }

    /// Recovery of a saga that has stopped.
    fn recover(&mut self, world: World) {
        // Compensation has been looked at: it may come at any time.
        let ways = world.ways(self.program);
        if world.runs[0]
            .last
            .is_some_and(|last| world.marks[last].refused.is_some())
        {
            // It is tried again and again, and listed, until somebody decides.
            self.resting.push(self.at);
            if !ways.1 {
                self.at_rest(&world, "", "recovery only goes forward to what is refused");
            }
        }
        if ways.0 {
            self.forward(world, 0, "recovery goes forward".into());
        }
    }

    fn forward(&mut self, mut world: World, copy: usize, by: String) {
        let stuck = |explorer: &mut Self, world: World| match copy {
            0 => {
                if !world.ways(explorer.program).1 {
                    explorer.resting.push(explorer.at);
                    explorer.at_rest(&world, "", "there is nothing to go forward from");
                }
            }
            _ => explorer.tell(world, copy, true, format!("{by}: refused")),
        };
        let Some(last) = world.runs[copy].last else {
            return stuck(self, world);
        };
        let machine = self.program.copies[copy].machine;
        world.runs[copy].status = None;
        world.runs[copy].has_failed = false;
        world.runs[copy].is_forward = true;
        if let Some(mut fork) = machine.fork_of(self.program.id(last)) {
            while let Some(outer) = machine.fork_of(fork) {
                fork = outer;
            }
            world.at = At::Enter(self.program.node(copy, fork), true);
            return self.add(world, by);
        }
        let is_done = matches!(
            world.marks[last].record,
            Some(Status::Succeeded | Status::Skipped)
        );
        world.at = match (is_done, self.program.next(last)) {
            (true, None) => return stuck(self, world),
            (true, Some(next)) => At::Enter(next, false),
            (false, _) => At::Enter(last, true),
        };
        self.add(world, by);
    }

    fn over(&mut self, world: &World) {
        self.resting.push(self.at);
        self.at_rest(world, "", "the saga is over");
        self.comes_to(world);
    }

    /// Which credits there are at an end.
    fn comes_to(&mut self, world: &World) {
        let credits = world.moved(self.program, Money::Credit);
        if !credits.is_empty() {
            let debits = world.moved(self.program, Money::Debit);
            let at = self.at;
            self.ends
                .entry(debits)
                .or_default()
                .entry(credits)
                .or_insert(at);
        }
    }

    /// Nothing more happens: all money must be somewhere.
    fn at_rest(&mut self, world: &World, by: &str, when: &str) {
        if world.runs[0].status == Some(Status::Unknown)
            && world.is_past_pivot(self.program, 0)
            && when.starts_with("the machine")
        {
            // It goes forward from here.
            return;
        }
        let mut path = self.path(self.at);
        if !by.is_empty() {
            path.push(by.into());
        }
        let debits = world.moved(self.program, Money::Debit);
        let credits = world.moved(self.program, Money::Credit);
        let partly = credits
            .iter()
            .find(|credit| world.marks[**credit].done == Done::Partly);
        if let (Some(debit), true) = (debits.first(), credits.is_empty()) {
            let name = self.program.name(*debit);
            let message = format!(
                "{when}, and `{name}` may have taken money that is neither paid out nor given back"
            );
            self.note_at(Rule::DebitLost, *debit, message, path);
        } else if let Some(partly) = partly {
            let name = self.program.name(*partly);
            let message = format!("{when}, and `{name}` has paid out only a part");
            self.note_at(Rule::Unbalanced, *partly, message, path);
        }
    }

    /// Where a saga can be from which no way leads to its end, nor to somebody who decides.
    fn endless(&mut self) {
        if !self.program.moves_money() || !self.wrong.is_empty() {
            return;
        }
        let mut ends = vec![false; self.worlds.len()];
        let mut open = std::mem::take(&mut self.resting);
        while let Some(at) = open.pop() {
            if !std::mem::replace(&mut ends[at], true) {
                open.extend(&self.before_it[at]);
            }
        }
        if let Some(at) = ends.iter().position(|ends| !ends) {
            let path = self.path(at);
            let message = "from there on the saga does not end, whatever is answered".into();
            self.note_at(Rule::Stuck, self.program.start(0), message, path);
        }
    }

    /// Two ways whose money cannot both come to nothing.
    fn compare(&mut self) {
        for (credit, sets) in std::mem::take(&mut self.before) {
            if let Some((less, more, at)) = nested(&sets) {
                let name = self.program.name(credit);
                let (less, more) = (self.names(&less), self.names(&more));
                let message = format!(
                    "`{name}` pays out after {less} on this way, but after {more} on another one"
                );
                let path = self.path(at);
                self.note_at(Rule::CreditFirst, credit, message, path);
            }
        }
        for (debits, sets) in std::mem::take(&mut self.ends) {
            if let Some((less, more, at)) = nested(&sets) {
                let node = less[0];
                let (less, more) = (self.names(&less), self.names(&more));
                let debits = self.names(&debits);
                let message = format!(
                    "what {debits} took is paid out by {less} on this way, but by {more} on another one"
                );
                let path = self.path(at);
                self.note_at(Rule::Unbalanced, node, message, path);
            }
        }
    }
}

/// A set that is a part of another one.
fn nested(sets: &BTreeMap<Vec<Node>, usize>) -> Option<(Vec<Node>, Vec<Node>, usize)> {
    let set = |nodes: &[Node]| nodes.iter().copied().collect::<BTreeSet<Node>>();
    for (less, at) in sets.iter().filter(|(less, _)| !less.is_empty()) {
        for more in sets.keys() {
            if less != more && set(less).is_subset(&set(more)) {
                return Some((less.clone(), more.clone(), *at));
            }
        }
    }
    None
}

fn assign(world: &mut World, copy: usize, task: &Task, result: &Facts) {
    for (name, template) in &task.output {
        let value = match template {
            Template::Literal(value) => Some(value.clone()),
            Template::Expr(expression) => result.eval(expression).flatten(),
            _ => None,
        };
        world.set(copy, name, value.as_ref());
    }
}

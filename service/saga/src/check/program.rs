//! A machine with its sub-machines in it: each place that starts one has its own copy of that one's states.

use crate::lang::{Machine, Money, State, StateId, StateKind, Task, Work};

/// So deep sub-machines are followed, as the engine follows them.
const DEPTH_MAX: usize = 16;
/// So many states, copies counted, are looked at together.
const NODES_MAX: usize = 4_096;

/// One state of one copy.
pub(super) type Node = usize;

/// One copy of a machine.
pub(super) struct Copy<'a> {
    pub machine: &'a Machine,
    /// The state that starts it; the outermost one has none.
    pub caller: Option<Node>,
    /// Its first state's place; the others follow.
    first: Node,
}

pub(super) struct Program<'a> {
    pub copies: Vec<Copy<'a>>,
    /// For each node, its copy.
    of: Vec<usize>,
    /// For each node, the copy that it starts.
    pub starts: Vec<Option<usize>>,
}

impl<'a> Program<'a> {
    /// `None` if it becomes too large, or has no end.
    pub fn new(root: &'a Machine, find: impl Fn(&str) -> Option<&'a Machine>) -> Option<Self> {
        let mut program = Self {
            copies: Vec::new(),
            of: Vec::new(),
            starts: Vec::new(),
        };
        program.add(root, None, 0, &find)?;
        Some(program)
    }

    fn add(
        &mut self,
        machine: &'a Machine,
        caller: Option<Node>,
        depth: usize,
        find: &impl Fn(&str) -> Option<&'a Machine>,
    ) -> Option<usize> {
        let first = self.of.len();
        let copy = self.copies.len();
        if depth > DEPTH_MAX || first + machine.states.len() > NODES_MAX {
            return None;
        }
        self.copies.push(Copy {
            machine,
            caller,
            first,
        });
        self.of.resize(first + machine.states.len(), copy);
        self.starts.resize(first + machine.states.len(), None);
        for (index, state) in machine.states.iter().enumerate() {
            if let Some(Work::SubMachine(name)) = state.task().map(|task| &task.work)
                && let Some(inner) = find(name)
            {
                let node = first + index;
                self.starts[node] = Some(self.add(inner, Some(node), depth + 1, find)?);
            }
        }
        Some(copy)
    }

    pub fn len(&self) -> usize {
        self.of.len()
    }

    pub fn copy_of(&self, node: Node) -> usize {
        self.of[node]
    }

    pub fn machine_of(&self, node: Node) -> &'a Machine {
        self.copies[self.of[node]].machine
    }

    pub fn id(&self, node: Node) -> StateId {
        let id = node - self.copies[self.of[node]].first;
        StateId(u16::try_from(id).unwrap_or(u16::MAX))
    }

    pub fn state(&self, node: Node) -> &'a State {
        self.machine_of(node).state(self.id(node))
    }

    pub fn task(&self, node: Node) -> Option<&'a Task> {
        self.state(node).task()
    }

    pub fn node(&self, copy: usize, id: StateId) -> Node {
        self.copies[copy].first + usize::from(id.0)
    }

    pub fn start(&self, copy: usize) -> Node {
        self.node(copy, self.copies[copy].machine.start)
    }

    pub fn next(&self, node: Node) -> Option<Node> {
        let next = self.state(node).next?;
        Some(self.node(self.of[node], next))
    }

    pub fn nodes(&self, copy: usize) -> std::ops::Range<Node> {
        let first = self.copies[copy].first;
        first..first + self.copies[copy].machine.states.len()
    }

    /// What it does with money on the way forward; compensations move it back, which is another matter.
    pub fn money(&self, node: Node) -> Option<Money> {
        let state = self.state(node);
        let undoes = state.task().is_some_and(|task| task.is_for_compensation);
        state.money.filter(|_| !undoes)
    }

    pub fn moves_money(&self) -> bool {
        self.copies.iter().any(|copy| moves_money(copy.machine))
    }

    /// Whether a fork is a Parallel.
    pub fn is_parallel(&self, fork: Node) -> bool {
        matches!(&self.state(fork).kind, StateKind::Fork(of) if of.is_parallel)
    }

    /// Whether branches of a fork both take and pay.
    pub fn mixes_money(&self, fork: Node) -> bool {
        let StateKind::Fork(of) = &self.state(fork).kind else {
            return false;
        };
        let copy = self.of[fork];
        let states = of.states.iter().flatten();
        let mut open: Vec<Node> = states.map(|id| self.node(copy, *id)).collect();
        let mut found = [false; 2];
        while let Some(node) = open.pop() {
            match self.money(node) {
                Some(Money::Debit) => found[0] = true,
                Some(Money::Credit) => found[1] = true,
                None => {}
            }
            open.extend(
                self.starts[node]
                    .into_iter()
                    .flat_map(|inner| self.nodes(inner)),
            );
        }
        found == [true; 2]
    }

    /// `Sub/Debit`, or the name alone.
    pub fn name(&self, node: Node) -> String {
        let name = self.state(node).name.to_string();
        match self.copies[self.of[node]].caller {
            Some(caller) => format!("{}/{name}", self.name(caller)),
            None => name,
        }
    }
}

pub(super) fn moves_money(machine: &Machine) -> bool {
    machine.states.iter().any(|state| state.money.is_some())
}

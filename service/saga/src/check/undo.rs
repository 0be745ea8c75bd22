//! Compensation, and recovery.

use super::Rule;
use super::explore::Explorer;
use super::outcome::Done;
use super::program::Node;
use super::world::{At, World};
use crate::engine::Status;
use crate::lang::{Machine, Money, Recover, Work};

impl Explorer<'_, '_> {
    pub fn trigger(&mut self, mut world: World, node: Node) {
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
    pub fn undo_all(&mut self, mut world: World, by: &str) {
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
    pub fn undo(&mut self, world: &mut World, copy: usize, by: &str) -> Option<()> {
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
                if self.program.money(node) == Some(Money::Credit) {
                    self.undone(world, node, by)?;
                } else if task.is_for_update && matches!(task.work, Work::Service(_)) {
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

    pub fn undone(&mut self, world: &mut World, node: Node, by: &str) -> Option<()> {
        let mark = &mut world.marks[node];
        if matches!(mark.record, None | Some(Status::Failed)) {
            return Some(());
        }
        if self.program.money(node) == Some(Money::Credit) && mark.done != Done::No {
            let name = self.program.name(node);
            let mut path = self.path(self.at);
            path.push(by.into());
            let message =
                format!("`{name}` has paid out, its money may be spent, and all is undone");
            self.note_at(Rule::CreditUndone, node, message, path);
            return None;
        }
        mark.record = None;
        mark.done = Done::No;
        Some(())
    }

    /// Recovery of a saga that has stopped.
    pub fn recover(&mut self, world: World) {
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

    pub fn forward(&mut self, mut world: World, copy: usize, by: String) {
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
}

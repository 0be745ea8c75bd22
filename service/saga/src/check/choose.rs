//! What a saga's variables are known to be, and which way a choice goes by them. What nobody knows is asked once: the same
//! question has the same answer until what it is about changes.

use std::sync::Arc;

use serde_json::Value;

use super::explore::Explorer;
use super::outcome::Facts;
use super::program::Node;
use super::world::{At, World};
use crate::expr::{Expr, Template};
use crate::lang::{Choice, StateId, Task};

impl Explorer<'_, '_> {
    pub fn question(&mut self, expression: &Expr) -> usize {
        let next = self.about.len();
        let question = *self
            .questions
            .entry(format!("{expression:?}"))
            .or_insert(next);
        if question == next {
            self.about.push(expression.reads());
        }
        question
    }

    pub fn assign(&self, world: &mut World, copy: usize, task: &Task, result: &Facts) {
        for (name, template) in &task.output {
            let value = match template {
                Template::Literal(value) => Some(value.clone()),
                Template::Expr(expression) => result.eval(expression).flatten(),
                _ => None,
            };
            self.set(world, copy, name, value.as_ref());
        }
    }

    pub fn set(&self, world: &mut World, copy: usize, name: &Arc<str>, value: Option<&Value>) {
        world.set(copy, name, value);
        let is_about = |question: usize| {
            self.about[question]
                .as_ref()
                .is_none_or(|about| about.contains(name))
        };
        world.forget(copy, is_about);
    }

    pub fn choose(&mut self, world: World, node: Node, choice: &Choice) {
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
            let question = self.question(expression);
            let holds = match world.facts(copy).eval(expression) {
                Some(Some(value)) => Some(value == Value::Bool(true)),
                Some(None) => return self.fail(world, copy, true, name),
                None => world.asked(copy, question),
            };
            match holds {
                Some(true) => return go(self, world, *target),
                Some(false) => {}
                None => {
                    let mut held = world.clone();
                    held.answer(copy, question, true);
                    go(self, held, *target);
                    world.answer(copy, question, false);
                }
            }
        }
        match choice.default {
            Some(target) => go(self, world, target),
            None => self.fail(world, copy, true, format!("{name} has no choice")),
        }
    }
}

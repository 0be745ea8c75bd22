//! What must be true of money, on a way and at its end.

use std::collections::BTreeSet;

use super::Rule;
use super::explore::{Explorer, Sets};
use super::outcome::Done;
use super::program::Node;
use super::world::World;
use crate::engine::Status;
use crate::lang::Money;

impl Explorer<'_, '_> {
    /// What must be true before money is moved.
    pub fn calls_money(&mut self, world: &World, node: Node) {
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

    pub fn over(&mut self, world: &World) {
        self.resting.push(self.at);
        self.at_rest(world, "", "the saga is over");
        self.comes_to(world, "");
    }

    /// Which credits there are at an end.
    pub fn comes_to(&mut self, world: &World, by: &str) {
        let credits = world.moved(self.program, Money::Credit);
        if !credits.is_empty() {
            let debits = world.moved(self.program, Money::Debit);
            let at = self.at;
            let ends = self.ends.entry(debits).or_default();
            ends.entry(credits).or_insert((at, by.into()));
        }
    }

    /// Nothing more happens: all money must be somewhere.
    pub fn at_rest(&mut self, world: &World, by: &str, when: &str) {
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
        } else if let (Some(credit), true) = (credits.first(), debits.is_empty()) {
            let name = self.program.name(*credit);
            let message = format!("{when}, and `{name}` has paid out what is taken from nobody");
            self.note_at(Rule::Unbalanced, *credit, message, path);
        } else if let Some(partly) = partly {
            let name = self.program.name(*partly);
            let message = format!("{when}, and `{name}` has paid out only a part");
            self.note_at(Rule::Unbalanced, *partly, message, path);
        }
    }

    /// Where a saga can be from which no way leads to its end, nor to somebody who decides.
    pub fn endless(&mut self) {
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
    pub fn compare(&mut self) {
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
            if let Some((less, more, (at, by))) = nested(&sets) {
                let node = less[0];
                let (less, more) = (self.names(&less), self.names(&more));
                let debits = self.names(&debits);
                let message = format!(
                    "what {debits} took is paid out by {less} on this way, but by {more} on another one"
                );
                let mut path = self.path(at);
                path.extend(Some(by).filter(|by| !by.is_empty()));
                self.note_at(Rule::Unbalanced, node, message, path);
            }
        }
    }
}

/// A set that is a part of another one.
fn nested<T: Clone>(sets: &Sets<T>) -> Option<(Vec<Node>, Vec<Node>, T)> {
    let set = |nodes: &[Node]| nodes.iter().copied().collect::<BTreeSet<Node>>();
    for (less, at) in sets.iter().filter(|(less, _)| !less.is_empty()) {
        for more in sets.keys() {
            if less != more && set(less).is_subset(&set(more)) {
                return Some((less.clone(), more.clone(), at.clone()));
            }
        }
    }
    None
}

//! Is a history of puts and gets on one register linearizable? The search of Wing and Gong with the memory of Lowe:
//! a set of finished operations and the value they leave need to be looked at only once.

use std::collections::BTreeSet;

/// One operation as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What was done.
    pub action: Action,
    /// When it was asked for.
    pub called: u64,
    /// When it was answered; `u64::MAX` if its outcome is unknown: it may take effect at any time, or never.
    pub returned: u64,
}

impl Operation {
    fn seen(&self) -> Option<u64> {
        match self.action {
            Action::Put(_) => None,
            Action::Get(value) => Some(value),
        }
    }
}

/// What an operation did. Values are unique; 0 is the value of a register nobody wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Wrote this value.
    Put(u64),
    /// Saw this value.
    Get(u64),
}

/// Whether the operations on one register, at most 512, have an order that explains them.
pub fn is_linearizable(history: &[Operation]) -> bool {
    assert!(
        history.len() <= 512,
        "rotate keys before a history grows this long"
    );
    let seen_values: BTreeSet<u64> = history.iter().filter_map(Operation::seen).collect();
    // A put without an answer whose value nobody saw may as well never have happened. With many of them the search would not end.
    let matters = |operation: &&Operation| match operation.action {
        Action::Put(value) => operation.returned != u64::MAX || seen_values.contains(&value),
        Action::Get(_) => true,
    };
    let mut operations: Vec<Operation> = history.iter().filter(matters).copied().collect();
    operations.sort_by_key(|operation| (operation.called, operation.returned));
    let mut seen = BTreeSet::new();
    search(&operations, &mut Done::default(), 0, 0, &mut seen)
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Done([u64; 8]);

impl Done {
    fn has(&self, place: usize) -> bool {
        self.0[place / 64] & (1 << (place % 64)) != 0
    }

    fn flip(&mut self, place: usize) {
        self.0[place / 64] ^= 1 << (place % 64);
    }
}

/// `first`: everything before it is done.
fn search(
    operations: &[Operation],
    done: &mut Done,
    first: usize,
    value: u64,
    seen: &mut BTreeSet<(Done, u64)>,
) -> bool {
    let first = (first..operations.len())
        .find(|place| !done.has(*place))
        .unwrap_or(operations.len());
    let open = || (first..operations.len()).filter(|place| !done.has(*place));
    let known = |place: usize| operations[place].returned != u64::MAX;
    if !open().any(known) {
        return true;
    }
    if !seen.insert((*done, value)) {
        return false;
    }
    // Whatever returned before another was called comes before it.
    let earliest_return = open()
        .map(|place| operations[place].returned)
        .min()
        .unwrap_or(u64::MAX);
    let candidates: Vec<usize> = open()
        .take_while(|place| operations[*place].called <= earliest_return)
        .collect();
    for place in candidates {
        let next = match operations[place].action {
            Action::Put(written) => written,
            Action::Get(read) if read == value => value,
            Action::Get(_) => continue,
        };
        done.flip(place);
        let found = search(operations, done, first, next, seen);
        done.flip(place);
        if found {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(text: &[(Action, u64, u64)]) -> Vec<Operation> {
        text.iter()
            .map(|(action, called, returned)| Operation {
                action: *action,
                called: *called,
                returned: *returned,
            })
            .collect()
    }

    #[test]
    fn puts_without_answers_that_nobody_saw_cost_nothing() {
        use Action::{Get, Put};
        let never = u64::MAX;
        let unseen = (2..60).map(|value| (Put(value), value, never));
        let mut operations = history(&[(Put(1), 0, 1)]);
        operations.extend(history(&unseen.collect::<Vec<_>>()));
        operations.extend(history(&[(Get(1), 100, 101), (Get(0), 102, 103)]));
        assert!(!is_linearizable(&operations));
        operations.pop();
        assert!(is_linearizable(&operations));
    }

    #[test]
    fn what_an_order_explains_is_linearizable() {
        use Action::{Get, Put};
        let never = u64::MAX;
        for (history, expected) in [
            (history(&[(Put(1), 0, 1), (Get(1), 2, 3)]), true),
            (history(&[(Put(1), 0, 1), (Get(0), 2, 3)]), false),
            (
                history(&[(Put(1), 0, 9), (Get(0), 2, 3), (Get(1), 4, 5)]),
                true,
            ),
            (
                history(&[(Put(1), 0, 9), (Get(1), 2, 3), (Get(0), 4, 5)]),
                false,
            ),
            (
                history(&[(Put(1), 0, never), (Get(0), 2, 3), (Get(1), 4, 5)]),
                true,
            ),
            (
                history(&[
                    (Put(1), 0, never),
                    (Put(2), 1, 2),
                    (Get(1), 3, 4),
                    (Get(2), 5, 6),
                ]),
                false,
            ),
            (
                history(&[(Put(1), 0, 1), (Put(2), 2, 3), (Get(1), 4, 5)]),
                false,
            ),
            (history(&[(Get(7), 0, 1)]), false),
        ] {
            assert_eq!(is_linearizable(&history), expected, "{history:?}");
        }
    }
}

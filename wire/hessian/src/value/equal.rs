//! Comparing values by structure.

use std::collections::BTreeMap;

use super::{Kind, Value, ValueRef};

/// Same kinds, classes, names and content in the same order. A shared reference equals a copy of its target; cycles
/// are equal when no step along them tells them apart. NaN equals NaN.
///
/// Containers found side by side are assumed equal and merged into one set, after Hopcroft and Karp's test of
/// automata: at most as many merges as there are nodes, whatever the cycles.
impl PartialEq for Value<'_> {
    fn eq(&self, other: &Value<'_>) -> bool {
        let mut sets = Sets::default();
        let mut pending = vec![(self.root(), other.root())];
        while let Some((a, b)) = pending.pop() {
            match same_content(a, b) {
                None => return false,
                Some(false) => {}
                Some(true) => {
                    if sets.merge((0, a.index()), (1, b.index())) {
                        if a.class_name() != b.class_name()
                            || a.len() != b.len()
                            || !same_fields(a, b)
                        {
                            return false;
                        }
                        let below = a.children().iter().zip(b.children());
                        pending.extend(below.map(|(&x, &y)| (a.go(x), b.go(y))));
                    }
                }
            }
        }
        true
    }
}

/// Sets of containers of the two sides, by the one that stands for the set.
#[derive(Default)]
struct Sets(BTreeMap<Member, Member>);

/// Side and node.
type Member = (u8, u32);

impl Sets {
    fn find(&mut self, mut member: Member) -> Member {
        while let Some(&parent) = self.0.get(&member) {
            // Every step is shortened to two: long chains are walked once.
            if let Some(&grandparent) = self.0.get(&parent) {
                self.0.insert(member, grandparent);
            }
            member = parent;
        }
        member
    }

    /// Whether the two were in different sets until now.
    fn merge(&mut self, a: Member, b: Member) -> bool {
        let (a, b) = (self.find(a), self.find(b));
        if a != b {
            self.0.insert(a, b);
        }
        a != b
    }
}

/// `None` if the two differ, otherwise whether they are containers to be compared further.
fn same_content(a: ValueRef<'_>, b: ValueRef<'_>) -> Option<bool> {
    match (a.kind(), b.kind()) {
        (Kind::List, Kind::List) | (Kind::Map, Kind::Map) | (Kind::Object, Kind::Object) => {
            Some(true)
        }
        (Kind::Double(x), Kind::Double(y)) => (x == y || x.is_nan() && y.is_nan()).then_some(false),
        (x, y) => (x == y).then_some(false),
    }
}

fn same_fields(a: ValueRef<'_>, b: ValueRef<'_>) -> bool {
    a.fields()
        .map(|(name, _)| name)
        .eq(b.fields().map(|(name, _)| name))
}

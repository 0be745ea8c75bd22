//! Comparing values by structure.

use std::collections::BTreeSet;

use super::{Kind, Value, ValueRef};

/// Same kinds, classes, names and content in the same order. A shared reference equals a copy of its target; cycles
/// are equal when no step along them tells them apart. NaN equals NaN.
impl PartialEq for Value<'_> {
    fn eq(&self, other: &Value<'_>) -> bool {
        let mut assumed: BTreeSet<(u32, u32)> = BTreeSet::new();
        let mut pending = vec![(self.root(), other.root())];
        while let Some((a, b)) = pending.pop() {
            match same_content(a, b) {
                None => return false,
                Some(false) => {}
                Some(true) => {
                    if a.class_name() != b.class_name() || a.len() != b.len() || !same_fields(a, b)
                    {
                        return false;
                    }
                    if assumed.insert((a.index(), b.index())) {
                        let below = a.children().iter().zip(b.children());
                        pending.extend(below.map(|(&x, &y)| (a.go(x), b.go(y))));
                    }
                }
            }
        }
        true
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

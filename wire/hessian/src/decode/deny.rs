//! Class names that a relay does not let through.

use std::collections::BTreeSet;

/// Names and package prefixes of classes to refuse.
///
/// Nothing here ever constructs a class by name; the list is for relays in front of Java, whose readers do. Java's own
/// list is `sofastack/sofa-hessian@3.x:src/main/resources/security/serialize.blacklist`.
#[derive(Clone, Debug, Default)]
pub struct DenyList {
    names: BTreeSet<Box<str>>,
    prefixes: Vec<Box<str>>,
}

impl DenyList {
    /// A list of entries: a class name, or a prefix when it ends with `.` (`org.apache.commons.collections.`).
    pub fn new<'e>(entries: impl IntoIterator<Item = &'e str>) -> Self {
        let mut list = DenyList::default();
        for entry in entries {
            if entry.ends_with('.') {
                list.prefixes.push(entry.into());
            } else {
                list.names.insert(entry.into());
            }
        }
        list
    }

    /// Whether a class is on the list. An array is denied with the class of its items.
    pub fn denies(&self, class: &str) -> bool {
        let class = class.trim_start_matches('[');
        self.names.contains(class)
            || self
                .prefixes
                .iter()
                .any(|prefix| class.starts_with(&**prefix))
    }
}

//! What an expression is about.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A name and its value.
pub type Variable = (Arc<str>, Arc<Value>);

/// The variables of a saga, in the order in which they came. There are few of them, so they are searched one by one. A value
/// may be shared with the history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Vars(Vec<Variable>);

/// The variables that there is room for besides those that a saga starts with.
const ROOM: usize = 4;

impl Vars {
    /// A variable's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.shared(name).map(|value| &**value)
    }

    pub(crate) fn shared(&self, name: &str) -> Option<&Arc<Value>> {
        let mut all = self.0.iter();
        all.find(|(known, _)| **known == *name)
            .map(|(_, value)| value)
    }

    /// Gives a variable a value; null takes it away, as Seata's maps hold no null.
    pub fn set(&mut self, name: &Arc<str>, value: impl Into<Arc<Value>>) {
        let value = value.into();
        let known = self.0.iter_mut().find(|(known, _)| known == name);
        match (known, value.is_null()) {
            (Some(known), false) => known.1 = value,
            (None, false) => self.0.push((Arc::clone(name), value)),
            (Some(_), true) => self.0.retain(|(known, _)| known != name),
            (None, true) => {}
        }
    }

    /// Makes a variable known that has no value.
    pub(crate) fn bind(&mut self, name: &str) {
        if self.get(name).is_none() {
            self.0.push((name.into(), Value::Null.into()));
        }
    }

    /// Gives variables the values of an object's entries.
    pub fn extend(&mut self, values: Map<String, Value>) {
        if !self.0.is_empty() {
            for (name, value) in values {
                self.set(&name.into(), value);
            }
            return;
        }
        // Most sagas learn something on their way.
        self.0 = Vec::with_capacity(values.len() + ROOM);
        let given = values.into_iter().filter(|(_, value)| !value.is_null());
        self.0
            .extend(given.map(|(name, value)| (name.into(), value.into())));
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// All of them as an object.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        self.0
            .iter()
            .map(|(name, value)| (name.to_string(), Value::clone(value)))
            .collect()
    }
}

/// What `#root` is.
#[derive(Clone, Copy, Debug)]
pub enum Root<'a> {
    /// A saga's variables, and before them those of a loop. Like Java's maps they have entries but no properties.
    Vars {
        /// The saga's.
        vars: &'a Vars,
        /// The loop's.
        over: &'a [Variable],
    },
    /// What a participant returned.
    Value(&'a Value),
}

impl<'a> Root<'a> {
    /// A saga's variables alone.
    #[must_use]
    pub fn vars(vars: &'a Vars) -> Self {
        Self::Vars { vars, over: &[] }
    }
}

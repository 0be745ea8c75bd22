//! Reading attributes of one object, with errors that say where.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::place::Path;
use super::{Doubt, Fault};
use crate::expr::{Dialect, Expr, Template};

/// An error before its file and line are known.
pub(super) type Refusal = (Path, Fault);

/// What is found while reading, before its file and line are known.
pub(super) type Doubts = Vec<(Path, Doubt)>;

/// One object and where it stands.
#[derive(Clone)]
pub(super) struct Object<'a> {
    pub map: &'a Map<String, Value>,
    pub path: Path,
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

pub(super) fn wrong(path: &Path, expected: &'static str, value: &Value) -> Refusal {
    let found = kind_of(value);
    (path.clone(), Fault::Type { expected, found })
}

impl<'a> Object<'a> {
    pub fn of(value: &'a Value, path: Path) -> Result<Self, Refusal> {
        match value {
            Value::Object(map) => Ok(Self { map, path }),
            other => Err(wrong(&path, "an object", other)),
        }
    }

    /// An attribute; null is as none.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub fn text(&self, key: &str) -> Result<Option<&'a str>, Refusal> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(&self.path.key(key), "a text", other)),
        }
    }

    /// A text that says something.
    pub fn name(&self, key: &str) -> Result<Option<&'a str>, Refusal> {
        Ok(self.text(key)?.filter(|text| !text.trim().is_empty()))
    }

    pub fn must_name(&self, key: &'static str) -> Result<&'a str, Refusal> {
        self.name(key)?
            .ok_or_else(|| (self.path.clone(), Fault::Missing(key)))
    }

    /// Seata takes anything but a boolean as nothing said (`AbstractTaskStateParser.java`).
    pub fn flag(&self, key: &str, doubts: &mut Doubts) -> Option<bool> {
        match self.get(key)? {
            Value::Bool(flag) => Some(*flag),
            _ => {
                let what = "not a boolean: it counts as not said";
                doubts.push((self.path.key(key), Doubt::Misleading(what)));
                None
            }
        }
    }

    pub fn list(&self, key: &str) -> Result<Option<(&'a [Value], Path)>, Refusal> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some((list, self.path.key(key)))),
            Some(other) => Err(wrong(&self.path.key(key), "a list", other)),
        }
    }

    pub fn object(&self, key: &str) -> Result<Option<Object<'a>>, Refusal> {
        self.get(key)
            .map(|value| Object::of(value, self.path.key(key)))
            .transpose()
    }

    pub fn texts(&self, key: &str) -> Result<Option<Vec<Arc<str>>>, Refusal> {
        let Some((list, path)) = self.list(key)? else {
            return Ok(None);
        };
        let texts = list
            .iter()
            .enumerate()
            .map(|(index, value)| match value {
                Value::String(text) => Ok(text.as_str().into()),
                other => Err(wrong(&path.index(index), "a text", other)),
            })
            .collect::<Result<_, _>>()?;
        Ok(Some(texts))
    }

    pub fn number(&self, key: &str) -> Result<Option<f64>, Refusal> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match value.as_f64().filter(|number| *number >= 0.0) {
                Some(number) => Ok(Some(number)),
                None => Err(wrong(&self.path.key(key), "a number from 0", value)),
            },
        }
    }

    pub fn count(&self, key: &str) -> Result<Option<u32>, Refusal> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match value.as_u64().and_then(|count| u32::try_from(count).ok()) {
                Some(count) => Ok(Some(count)),
                None => Err(wrong(&self.path.key(key), "a whole number from 0", value)),
            },
        }
    }
}

/// Reads an expression as it stands in Choice, Status and CompletionCondition.
pub(super) fn expression(dialect: Dialect, text: &str, path: &Path) -> Result<Expr, Refusal> {
    Expr::parse_in(dialect, text).map_err(|why| {
        let text = text.chars().take(200).collect();
        (path.clone(), Fault::Expression { text, why })
    })
}

/// Reads a value of Input or Output.
pub(super) fn template(dialect: Dialect, value: &Value, path: &Path) -> Result<Template, Refusal> {
    match value {
        Value::String(text) if text.starts_with('$') => {
            Template::parse_in(dialect, text).map_err(|why| {
                let text = text.chars().take(200).collect();
                (path.clone(), Fault::Expression { text, why })
            })
        }
        Value::Array(list) => {
            let parts = list
                .iter()
                .enumerate()
                .map(|(index, part)| template(dialect, part, &path.index(index)))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(Template::list(parts))
        }
        Value::Object(map) => {
            let parts = map
                .iter()
                .map(|(key, part)| Ok((key.clone(), template(dialect, part, &path.key(key))?)))
                .collect::<Result<Vec<_>, Refusal>>()?;
            Ok(Template::map(parts))
        }
        other => Ok(Template::Literal(other.clone())),
    }
}

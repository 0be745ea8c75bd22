//! Values of Input and Output: literals with expressions in them (`apache/incubator-seata:saga/seata-saga-engine`,
//! `ParameterUtils.java`).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::eval::EvalError;
use super::lex::ParseError;
use super::vars::{Root, Variable, Vars};
use super::{Dialect, Expr, TEXT_BYTES_MAX};

/// A value with expressions in it.
#[derive(Debug)]
pub enum Template {
    /// A value without.
    Literal(Value),
    /// `$.expression`
    Expr(Expr),
    /// `$Sequence.ENTITY|RULE`: something that no other has.
    Sequence {
        /// What for.
        entity: String,
        /// How; Seata's generator ignores it.
        rule: String,
    },
    /// An object; entries that come to null are left out.
    Map(Parts),
    /// A list; null stays.
    List(Vec<Template>),
}

/// The entries of an object.
#[derive(Debug)]
pub struct Parts {
    list: Vec<(String, Template)>,
    /// The object with nulls for values: to clone it hashes no key.
    blank: Map<String, Value>,
}

impl Parts {
    /// The names of the entries.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|(name, _)| &**name)
    }

    fn eval(
        &self,
        root: Root<'_>,
        sequence: &mut Sequence<'_>,
    ) -> Result<Map<String, Value>, EvalError> {
        let mut map = self.blank.clone();
        let mut has_null = false;
        for ((_, part), value) in self.list.iter().zip(map.values_mut()) {
            *value = match part.variable(root) {
                Some(found) => found.map(|found| Value::clone(found)).unwrap_or_default(),
                None => part.eval(root, sequence)?,
            };
            has_null |= value.is_null();
        }
        if has_null {
            map.retain(|_, value| !value.is_null());
        }
        Ok(map)
    }
}

/// Makes what `$Sequence` stands for: the saga's id and a number.
#[derive(Debug)]
pub struct Sequence<'a> {
    /// The saga.
    pub saga: &'a str,
    /// The saga's next number.
    pub next: &'a mut u32,
    /// The first one that was made: the business key of its state.
    pub first: Option<String>,
}

impl Sequence<'_> {
    fn make(&mut self) -> String {
        let made = format!("{}-{}", self.saga, self.next);
        *self.next = self.next.wrapping_add(1);
        self.first.get_or_insert_with(|| made.clone());
        made
    }
}

impl Template {
    /// Reads a text that starts with `$`.
    /// # Errors
    /// It is no expression.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Self::parse_in(Dialect::Spring, text)
    }

    /// The same for a machine whose expressions are of a dialect, if nothing else is said.
    /// # Errors
    /// As of [`Template::parse`].
    pub fn parse_in(dialect: Dialect, text: &str) -> Result<Self, ParseError> {
        match split(text)? {
            Some(("Sequence" | "SEQUENCE" | "SEQ", body)) => {
                let (entity, rule) = body.split_once('|').unwrap_or((body, ""));
                Ok(Self::Sequence {
                    entity: entity.into(),
                    rule: rule.into(),
                })
            }
            Some(_) => Ok(match Expr::parse_in(dialect, text)? {
                Expr {
                    node: super::node::Node::Literal(value),
                    ..
                } => Self::Literal(value),
                expression => Self::Expr(expression),
            }),
            None => Ok(Self::Literal(text.into())),
        }
    }

    /// An object of parts, each with a name of its own.
    #[must_use]
    pub(crate) fn map(parts: Vec<(String, Self)>) -> Self {
        if parts
            .iter()
            .all(|(_, part)| matches!(part, Self::Literal(_)))
        {
            let map = parts.into_iter().filter_map(|(key, part)| match part {
                Self::Literal(value) if !value.is_null() => Some((key, value)),
                _ => None,
            });
            return Self::Literal(Value::Object(map.collect()));
        }
        let names = parts.iter().map(|(name, _)| name.clone());
        let blank: Map<_, _> = names.map(|name| (name, Value::Null)).collect();
        debug_assert_eq!(blank.len(), parts.len());
        Self::Map(Parts { list: parts, blank })
    }

    /// A list of parts.
    #[must_use]
    pub fn list(parts: Vec<Self>) -> Self {
        if parts.iter().all(|part| matches!(part, Self::Literal(_))) {
            let list = parts.into_iter().filter_map(|part| match part {
                Self::Literal(value) => Some(value),
                _ => None,
            });
            return Self::Literal(list.collect());
        }
        Self::List(parts)
    }

    /// What it comes to about a value; the value itself is shared.
    /// # Errors
    /// As of [`Template::eval`].
    pub fn of_value(
        &self,
        value: &Arc<Value>,
        sequence: &mut Sequence<'_>,
    ) -> Result<Arc<Value>, EvalError> {
        match self {
            Self::Expr(expression) if expression.is_root() => Ok(Arc::clone(value)),
            other => Ok(Arc::new(other.eval(Root::Value(value), sequence)?)),
        }
    }

    /// What it comes to about a saga's variables; a variable itself is shared.
    /// # Errors
    /// As of [`Template::eval`].
    pub fn of_vars(
        &self,
        vars: &Vars,
        over: &[Variable],
        sequence: &mut Sequence<'_>,
    ) -> Result<Arc<Value>, EvalError> {
        let root = Root::Vars { vars, over };
        if let Some(found) = self.variable(root) {
            return Ok(found.cloned().unwrap_or_default());
        }
        Ok(Arc::new(match self {
            Self::Map(parts) => Value::Object(parts.eval(root, sequence)?),
            other => other.eval(root, sequence)?,
        }))
    }

    /// The variable that it is, if there is one; `None` if it is something else.
    #[inline]
    fn variable<'a>(&self, root: Root<'a>) -> Option<Option<&'a Arc<Value>>> {
        match (self, root) {
            (Self::Expr(expression), Root::Vars { vars, over }) => {
                let name = expression.as_variable()?;
                let mut over = over.iter();
                let found = over.find(|(known, _)| **known == *name);
                Some(found.map(|(_, value)| value).or_else(|| vars.shared(name)))
            }
            _ => None,
        }
    }

    /// What it comes to.
    /// # Errors
    /// An expression in it comes to nothing.
    pub fn eval(&self, root: Root<'_>, sequence: &mut Sequence<'_>) -> Result<Value, EvalError> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Expr(expression) => match self.variable(root) {
                Some(found) => Ok(found.map(|found| Value::clone(found)).unwrap_or_default()),
                None => Ok(expression.eval(root)?.into_owned()),
            },
            Self::Sequence { .. } => Ok(sequence.make().into()),
            Self::Map(parts) => Ok(Value::Object(parts.eval(root, sequence)?)),
            Self::List(parts) => {
                let list: Result<Vec<_>, _> =
                    parts.iter().map(|part| part.eval(root, sequence)).collect();
                Ok(Value::Array(list?))
            }
        }
    }
}

/// The type and the body of `$type.body` and `$type{body}`; `None` of a text without `$`.
pub(super) fn split(text: &str) -> Result<Option<(&str, &str)>, ParseError> {
    if text.len() > TEXT_BYTES_MAX {
        let why = format!("{} bytes; {TEXT_BYTES_MAX} are allowed", text.len());
        return Err(ParseError::new(0, why));
    }
    let Some(rest) = text.strip_prefix('$') else {
        return Ok(None);
    };
    let Some(end) = rest.find(['.', '{']) else {
        return Err(ParseError::new(
            0,
            "the type is not closed: `.` or `{` is missing",
        ));
    };
    let (kind, body) = (&rest[..end], &rest[end + 1..]);
    if rest[end..].starts_with('.') {
        return Ok(Some((kind, body)));
    }
    let close = body
        .find('}')
        .ok_or_else(|| ParseError::new(text.len(), "`}` is missing"))?;
    Ok(Some((kind, &body[..close])))
}

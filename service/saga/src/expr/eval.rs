//! What expressions come to: the rules of Spring's expression language, without Java's types. Whole numbers do not wrap, and
//! a result that JSON cannot hold is an error.

use std::borrow::Cow;
use std::cell::Cell;

use serde_json::Value;

use super::arithmetic::{Num, calculate, equal, number, order, real, whole};
use super::node::{Method, Node, Operator};
use super::vars::Root;
use super::{Dialect, RESULT_BYTES_MAX, STEPS_MAX, cel};

/// Why an expression comes to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// A property of something that has none such.
    #[error("property or field `{0}` cannot be found")]
    NoProperty(String),
    /// A name that a script does not know.
    #[error("no such variable: {0}")]
    NoVariable(String),
    /// An index into null, a property or method of null.
    #[error("{0} of null")]
    OfNull(&'static str),
    /// A map has no such key, which CEL does not take for null.
    #[error("no such key")]
    NoEntry,
    /// A list is shorter.
    #[error("index {0} is beyond a list of {1}")]
    Beyond(i64, usize),
    /// An operation on types that it does not know.
    #[error("{0} does not apply to {1}")]
    Type(&'static str, &'static str),
    /// A division by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// A number that JSON cannot hold.
    #[error("the number is too large")]
    TooLarge,
    /// More steps than [`STEPS_MAX`].
    #[error("more than {STEPS_MAX} steps")]
    TooManySteps,
    /// A longer text than [`RESULT_BYTES_MAX`].
    #[error("a text of more than {RESULT_BYTES_MAX} bytes")]
    TooLong,
}

pub(super) fn eval<'a>(node: &'a Node, root: Root<'a>, dialect: Dialect) -> Result2<'a> {
    let steps = Cell::new(0);
    Scope {
        root,
        this: None,
        names: match dialect {
            Dialect::Spring => Names::Properties,
            Dialect::Cel => Names::Members,
        },
        steps: &steps,
    }
    .eval(node)
}

/// What bare names are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// Properties of `#this`.
    Properties,
    /// Entries of the root.
    Variables,
    /// The same in CEL, whose rules are stricter.
    Members,
}

#[derive(Clone, Copy)]
pub(super) struct Scope<'a, 's> {
    pub root: Root<'a>,
    pub this: Option<&'a Value>,
    pub names: Names,
    pub steps: &'s Cell<u32>,
}

pub(super) type Result2<'a> = Result<Cow<'a, Value>, EvalError>;

const NULL: &Value = &Value::Null;

impl<'a> Scope<'a, '_> {
    pub fn eval(self, node: &'a Node) -> Result2<'a> {
        self.spend(1)?;
        match node {
            Node::Literal(value) => Ok(Cow::Borrowed(value)),
            Node::Root => self.whole_root(),
            Node::This => self
                .this
                .map_or_else(|| self.whole_root(), |this| Ok(Cow::Borrowed(this))),
            Node::Name(name) => self.name(name),
            Node::Property { of, name, safe } => {
                if self.is_root(of) && self.names == Names::Members {
                    let found = self.entry(name)?.map(Cow::Borrowed);
                    return found.ok_or_else(|| EvalError::NoProperty(name.to_string()));
                }
                // The root's entries are no properties, whatever way the root is written.
                if self.is_root(of) && matches!(self.root, Root::Vars { .. }) {
                    return Err(EvalError::NoProperty(name.to_string()));
                }
                match self.eval(of)? {
                    of if of.is_null() && *safe => Ok(Cow::Borrowed(NULL)),
                    of => property(of, name),
                }
            }
            Node::Index { of, index } => self.index(of, index),
            Node::Call {
                of,
                method,
                arguments,
                safe,
            } => {
                let of = self.eval(of)?;
                if of.is_null() {
                    return if *safe {
                        Ok(Cow::Borrowed(NULL))
                    } else {
                        Err(EvalError::OfNull("a method"))
                    };
                }
                if let (Names::Members, Method::Size, Value::String(text)) =
                    (self.names, method, &*of)
                {
                    self.spend(weight(&of))?;
                    return Ok(Cow::Owned(text.chars().count().into()));
                }
                let argument = match arguments.first() {
                    Some(argument) => self.eval(argument)?,
                    None => Cow::Borrowed(NULL),
                };
                self.spend(match method {
                    Method::Contains | Method::Equals => weight(&of),
                    _ => 1,
                })?;
                call(of, *method, &argument)
            }
            Node::Select { of, predicate } => self.select(&*self.eval(of)?, predicate),
            Node::List(parts) => self.list(parts),
            Node::Has { of, name } => self.has(of, name),
            Node::Not(node) => Ok(Cow::Owned((!self.truth(&*self.eval(node)?)?).into())),
            Node::Minus(node) => match number(&*self.eval(node)?) {
                Some(Num::Whole(number)) => whole(-number),
                Some(Num::Real(number)) => real(-number),
                None => Err(EvalError::Type("-", "what is no number")),
            },
            Node::Binary(operator, left, right) => self.binary(*operator, left, right),
            Node::Either(parts) => {
                let [condition, then, otherwise] = &**parts;
                self.eval(if self.truth(&*self.eval(condition)?)? {
                    then
                } else {
                    otherwise
                })
            }
        }
    }

    /// Evaluation may not run for long, however large its input is.
    pub fn spend(self, steps: usize) -> Result<(), EvalError> {
        let spent = usize::try_from(self.steps.get())
            .unwrap_or(usize::MAX)
            .saturating_add(steps);
        match u32::try_from(spent) {
            Ok(spent) if spent <= STEPS_MAX => {
                self.steps.set(spent);
                Ok(())
            }
            _ => Err(EvalError::TooManySteps),
        }
    }

    /// Whether a condition holds.
    pub fn truth(self, value: &Value) -> Result<bool, EvalError> {
        match value {
            Value::Bool(_) => truth(value),
            other if self.names == Names::Members => {
                Err(EvalError::Type("a condition", kind(other)))
            }
            other => truth(other),
        }
    }

    pub fn is_root(self, node: &Node) -> bool {
        matches!(node, Node::Root) || matches!(node, Node::This) && self.this.is_none()
    }

    fn whole_root(self) -> Result2<'a> {
        match self.root {
            Root::Value(value) => Ok(Cow::Borrowed(value)),
            Root::Vars { vars, over } => {
                for (_, value) in vars.iter() {
                    self.spend(weight(value))?;
                }
                let mut map = vars.to_map();
                map.extend(
                    over.iter()
                        .map(|(name, value)| (name.to_string(), Value::clone(value))),
                );
                Ok(Cow::Owned(Value::Object(map)))
            }
        }
    }

    /// An entry of the root.
    pub fn entry(self, key: &str) -> Result<Option<&'a Value>, EvalError> {
        match self.root {
            Root::Vars { vars, over } => Ok(over
                .iter()
                .find(|(name, _)| **name == *key)
                .map(|(_, value)| &**value)
                .or_else(|| vars.get(key))),
            Root::Value(Value::Object(map)) => Ok(map.get(key)),
            Root::Value(Value::Null) => Err(EvalError::OfNull("an index")),
            Root::Value(other) => Err(EvalError::Type("an index", kind(other))),
        }
    }

    fn name(self, name: &str) -> Result2<'a> {
        match (self.names, self.this, self.root) {
            (Names::Variables | Names::Members, ..) => self
                .entry(name)?
                .map(Cow::Borrowed)
                .ok_or_else(|| EvalError::NoVariable(name.into())),
            (_, Some(this), _) => property(Cow::Borrowed(this), name),
            (_, None, Root::Value(value)) => property(Cow::Borrowed(value), name),
            (_, None, Root::Vars { .. }) => Err(EvalError::NoProperty(name.into())),
        }
    }

    fn index(self, of: &'a Node, index: &'a Node) -> Result2<'a> {
        if self.is_root(of)
            && matches!(self.root, Root::Vars { .. } | Root::Value(Value::Object(_)))
        {
            // Without making an object of all variables.
            let found = match index {
                Node::Name(key) if self.names == Names::Properties => self.entry(key)?,
                index => match &*self.eval(index)? {
                    Value::String(key) => self.entry(key)?,
                    Value::Number(key) => self.entry(&key.to_string())?,
                    other => return Err(EvalError::Type("an index of a map", kind(other))),
                },
            };
            if found.is_none() && self.names == Names::Members {
                return Err(EvalError::NoEntry);
            }
            return Ok(Cow::Borrowed(found.unwrap_or(NULL)));
        }
        let of = self.eval(of)?;
        if let (Value::Object(_), Node::Name(key), Names::Properties) = (&*of, index, self.names) {
            return Ok(take(of, |of| of.get(&**key)));
        }
        if of.is_null() {
            return Err(EvalError::OfNull("an index"));
        }
        let index = self.eval(index)?;
        match (&*of, &*index) {
            (Value::Object(map), Value::String(key))
                if self.names == Names::Members && !map.contains_key(key) =>
            {
                Err(EvalError::NoEntry)
            }
            (Value::Object(_), Value::String(key)) => Ok(take(of, |of| of.get(key))),
            (Value::Object(_), Value::Number(key)) => {
                let key = key.to_string();
                Ok(take(of, |of| of.get(&key)))
            }
            (Value::Array(list), Value::Number(at)) => {
                let at = at
                    .as_i64()
                    .ok_or(EvalError::Type("an index", "a real number"))?;
                match usize::try_from(at).ok().filter(|at| *at < list.len()) {
                    Some(at) => Ok(take(of, |of| of.get(at))),
                    None => Err(EvalError::Beyond(at, list.len())),
                }
            }
            (other, _) => Err(EvalError::Type("this index", kind(other))),
        }
    }

    fn select(self, of: &Value, predicate: &Node) -> Result2<'a> {
        let keep = |value: &Value| {
            let scope = Scope {
                root: self.root,
                this: Some(value),
                names: self.names,
                steps: self.steps,
            };
            let kept = scope.eval(predicate)?;
            match &*kept {
                Value::Bool(keep) => Ok(*keep),
                other => Err(EvalError::Type("a selection", kind(other))),
            }
        };
        match of {
            Value::Array(list) => {
                let mut kept = Vec::new();
                for value in list {
                    if keep(value)? {
                        self.spend(weight(value))?;
                        kept.push(value.clone());
                    }
                }
                Ok(Cow::Owned(kept.into()))
            }
            Value::Object(map) => {
                let mut kept = serde_json::Map::new();
                for (key, value) in map {
                    // An entry has a key and a value, as Java's have.
                    let entry = serde_json::json!({"key": key, "value": value});
                    self.spend(weight(value))?;
                    if keep(&entry)? {
                        kept.insert(key.clone(), value.clone());
                    }
                }
                Ok(Cow::Owned(kept.into()))
            }
            Value::Null => Err(EvalError::OfNull("a selection")),
            other => Err(EvalError::Type("a selection", kind(other))),
        }
    }

    fn binary(self, operator: Operator, left: &'a Node, right: &'a Node) -> Result2<'a> {
        if self.names == Names::Members && matches!(operator, Operator::Or | Operator::And) {
            return self.either_side(operator, left, right);
        }
        let left = self.eval(left)?;
        match operator {
            Operator::Or if truth(&left)? => return Ok(Cow::Owned(true.into())),
            Operator::And if !truth(&left)? => return Ok(Cow::Owned(false.into())),
            Operator::Or | Operator::And => {
                return Ok(Cow::Owned(truth(&*self.eval(right)?)?.into()));
            }
            _ => {}
        }
        let right = self.eval(right)?;
        // Comparing and writing go through all of a value.
        self.spend(weight(&left).saturating_add(weight(&right)))?;
        if self.names == Names::Members {
            cel::check(operator, &left, &right)?;
        }
        let answer = match operator {
            Operator::Equal => equal(&left, &right),
            Operator::Unequal => !equal(&left, &right),
            Operator::Less => order(&left, &right)?.is_lt(),
            Operator::LessOrEqual => order(&left, &right)?.is_le(),
            Operator::Greater => order(&left, &right)?.is_gt(),
            Operator::GreaterOrEqual => order(&left, &right)?.is_ge(),
            Operator::In => cel::is_in(&left, &right)?,
            arithmetic => return calculate(arithmetic, &left, &right),
        };
        Ok(Cow::Owned(answer.into()))
    }
}

/// A part of a value, without copying what is borrowed.
fn take<'a>(of: Cow<'a, Value>, part: impl Fn(&Value) -> Option<&Value>) -> Cow<'a, Value> {
    match of {
        Cow::Borrowed(of) => Cow::Borrowed(part(of).unwrap_or(NULL)),
        Cow::Owned(of) => Cow::Owned(part(&of).cloned().unwrap_or(Value::Null)),
    }
}

fn property<'a>(of: Cow<'a, Value>, name: &str) -> Result2<'a> {
    match &*of {
        Value::Object(map) if map.contains_key(name) => Ok(take(of, |of| of.get(name))),
        Value::Null => Err(EvalError::OfNull("a property")),
        _ => Err(EvalError::NoProperty(name.into())),
    }
}

fn call<'a>(of: Cow<'a, Value>, method: Method, argument: &Value) -> Result2<'a> {
    let answer = match (method, &*of, argument) {
        (Method::Size, Value::Array(list), _) => list.len().into(),
        (Method::Size, Value::Object(map), _) => map.len().into(),
        (Method::EndsWith, Value::String(text), Value::String(end)) => {
            text.ends_with(end.as_str()).into()
        }
        (Method::Length, Value::String(text), _) => text.encode_utf16().count().into(),
        (Method::IsEmpty, Value::Array(list), _) => list.is_empty().into(),
        (Method::IsEmpty, Value::Object(map), _) => map.is_empty().into(),
        (Method::IsEmpty, Value::String(text), _) => text.is_empty().into(),
        (Method::Contains, Value::Array(list), one) => {
            list.iter().any(|other| equal(other, one)).into()
        }
        (Method::Contains, Value::String(text), Value::String(part)) => {
            text.contains(part.as_str()).into()
        }
        (Method::ContainsKey, Value::Object(map), Value::String(key)) => {
            map.contains_key(key).into()
        }
        (Method::StartsWith, Value::String(text), Value::String(start)) => {
            text.starts_with(start.as_str()).into()
        }
        (Method::Equals, one, other) => equal(one, other).into(),
        (Method::Get, Value::Object(_), Value::String(key)) => {
            let key = key.clone();
            return Ok(take(of, |of| of.get(&key)));
        }
        (Method::Get, Value::Array(list), Value::Number(at)) => {
            let at = at.as_i64().unwrap_or(-1);
            return match usize::try_from(at).ok().filter(|at| *at < list.len()) {
                Some(at) => Ok(take(of, |of| of.get(at))),
                None => Err(EvalError::Beyond(at, list.len())),
            };
        }
        (_, other, _) => return Err(EvalError::Type("this method", kind(other))),
    };
    Ok(Cow::Owned(answer))
}

/// What going through a value costs.
pub(super) fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 1 + text.len() / 64,
        Value::Array(list) => 1 + list.iter().map(weight).sum::<usize>(),
        Value::Object(map) => {
            let keys = map.keys().map(|key| key.len() / 64).sum::<usize>();
            1 + keys + map.values().map(weight).sum::<usize>()
        }
        _ => 1,
    }
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Spring takes these words for booleans, too.
fn truth(value: &Value) -> Result<bool, EvalError> {
    match value {
        Value::Bool(truth) => Ok(*truth),
        Value::String(text) if matches!(text.as_str(), "true" | "on" | "yes" | "1") => Ok(true),
        Value::String(text) if matches!(text.as_str(), "false" | "off" | "no" | "0") => Ok(false),
        other => Err(EvalError::Type("a condition", kind(other))),
    }
}

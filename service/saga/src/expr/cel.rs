//! What the common expression language has of its own: literals of lists, `in`, `size(...)`, `has(...)`, and `&&` and `||` that an
//! error on one side does not decide if the other side does. Macros over lists, conversions and regular expressions are not
//! read. Names are entries of the root, which is also called `elContext`
//! (`apache/incubator-seata-go:pkg/saga/statemachine/engine/expr/cel_expression.go`), and `return` and `#root`, as in seata-go's own machines.
//! Whole and real numbers may be mixed: a machine's JSON does not tell them apart.

use std::borrow::Cow;

use serde_json::Value;

use super::arithmetic::equal;
use super::eval::{EvalError, Result2, Scope, kind, weight};
use super::lex::{ParseError, Token};
use super::node::{Method, Node, Operator};
use super::parse::{Deep, Parser};

impl Parser {
    /// What only CEL begins so; `None` if it is none of it.
    pub(super) fn cel_primary(&mut self, outer: usize) -> Result<Option<Deep>, ParseError> {
        if self.take("[") {
            let (parts, depth) = self.arguments(outer + 1, "]")?;
            return Ok(Some((Node::List(parts), self.check(depth + 1)?)));
        }
        if self.take("#") {
            return match self.take_word("root") {
                true => Ok(Some((Node::Root, 1))),
                false => Err(self.error("`#` is not of CEL")),
            };
        }
        let Some(Token::Word(word)) = self.peek() else {
            return Ok(None);
        };
        let word = word.clone();
        if matches!(word.as_str(), "elContext" | "return") {
            self.take_word(&word);
            return Ok(Some((Node::Root, 1)));
        }
        if !matches!(word.as_str(), "size" | "has") {
            return Ok(None);
        }
        let before = self.at();
        self.take_word(&word);
        if !self.take("(") {
            self.back_to(before);
            return Ok(None);
        }
        let (mut arguments, depth) = self.arguments(outer + 1, ")")?;
        let depth = self.check(depth + 1)?;
        match (word.as_str(), arguments.pop(), arguments.is_empty()) {
            ("has", Some(Node::Property { of, name, .. }), true) => {
                Ok(Some((Node::Has { of, name }, depth)))
            }
            ("has", ..) => Err(self.error("`has` takes a member: `has(a.b)`")),
            (_, Some(of), true) => {
                let node = Node::Call {
                    of: Box::new(of),
                    method: Method::Size,
                    arguments: Vec::new(),
                    safe: false,
                };
                Ok(Some((node, depth)))
            }
            _ => Err(self.error("`size` takes one argument")),
        }
    }
}

impl<'a> Scope<'a, '_> {
    pub(super) fn list(self, parts: &'a [Node]) -> Result2<'a> {
        let mut list = Vec::with_capacity(parts.len());
        for part in parts {
            let value = self.eval(part)?;
            self.spend(weight(&value))?;
            list.push(value.into_owned());
        }
        Ok(Cow::Owned(Value::Array(list)))
    }

    pub(super) fn has(self, of: &'a Node, name: &str) -> Result2<'a> {
        let has = match self.is_root(of) {
            true => self.entry(name)?.is_some(),
            false => match &*self.eval(of)? {
                Value::Object(map) => map.contains_key(name),
                other => return Err(EvalError::Type("has", kind(other))),
            },
        };
        Ok(Cow::Owned(has.into()))
    }

    /// One side that decides is enough.
    pub(super) fn either_side(
        self,
        operator: Operator,
        left: &'a Node,
        right: &'a Node,
    ) -> Result2<'a> {
        let deciding = operator == Operator::Or;
        let truth = |node| self.eval(node).and_then(|value| self.truth(&value));
        let left = truth(left);
        let answer = match left {
            Ok(left) if left == deciding => deciding,
            left => match (left, truth(right)) {
                (_, Ok(right)) if right == deciding => deciding,
                (Err(error), _) | (Ok(_), Err(error)) => return Err(error),
                (Ok(_), Ok(right)) => right,
            },
        };
        Ok(Cow::Owned(answer.into()))
    }
}

/// `in`
pub(super) fn is_in(one: &Value, of: &Value) -> Result<bool, EvalError> {
    match (one, of) {
        (one, Value::Array(list)) => Ok(list.iter().any(|other| equal(other, one))),
        (Value::String(key), Value::Object(map)) => Ok(map.contains_key(key)),
        (_, other) => Err(EvalError::Type("in", kind(other))),
    }
}

/// Where CEL knows no operator although Spring's language does.
pub(super) fn check(operator: Operator, left: &Value, right: &Value) -> Result<(), EvalError> {
    let wrong = |what, value| Err(EvalError::Type(what, kind(value)));
    match operator {
        Operator::Plus if left.is_string() != right.is_string() => {
            wrong("+ with a text", if left.is_string() { right } else { left })
        }
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual
            if left.is_null() || right.is_null() =>
        {
            wrong("a comparison", &Value::Null)
        }
        _ => Ok(()),
    }
}

//! Expressions: the part of the Spring expression language that Seata's machines use, with bounds on text, depth and steps;
//! and groovy scripts as far as they are expressions, conditions and exceptions. Nothing here reaches outside its input.

mod eval;
mod lex;
mod node;
mod parse;
mod reads;
mod script;
mod template;
mod vars;

use std::borrow::Cow;

use serde_json::Value;

pub use eval::EvalError;
pub use lex::ParseError;
pub use script::{Program, Thrown};
pub use template::{Sequence, Template};
pub use vars::{Root, Variable, Vars};

/// The longest expression.
pub const TEXT_BYTES_MAX: usize = 64 << 10;
/// The deepest nesting, chains of operators included.
pub const DEPTH_MAX: usize = 128;
/// The steps of one evaluation.
pub const STEPS_MAX: u32 = 100_000;
/// The longest text that an evaluation makes.
pub const RESULT_BYTES_MAX: usize = 1 << 20;

/// An expression that has been read.
#[derive(Debug)]
pub struct Expr {
    body: Body,
}

/// The dialects. seata-go's machines have CEL instead, which has no place here yet but this one.
#[derive(Debug)]
enum Body {
    Spring(node::Node),
}

impl Expr {
    /// Reads an expression, with or without the `$.` that Input and Output want
    /// (`apache/incubator-seata:saga/seata-saga-engine`, `DefaultExpressionResolver.java`).
    /// # Errors
    /// It is not one of the language, or beyond its bounds.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let body = match template::split(text)? {
            Some(("", body)) => body,
            Some((kind, _)) => return Err(ParseError::kind(kind)),
            None => text,
        };
        let body = Body::Spring(parse::expression(body)?);
        Ok(Self { body })
    }

    /// What it comes to.
    /// # Errors
    /// A type does not fit, something is not there, or a bound is reached.
    pub fn eval<'a>(&'a self, root: Root<'a>) -> Result<Cow<'a, Value>, EvalError> {
        match &self.body {
            Body::Spring(node) => eval::spring(node, root),
        }
    }

    /// Whether it is all of its root.
    pub(crate) fn is_root(&self) -> bool {
        let Body::Spring(node) = &self.body;
        matches!(node, node::Node::Root | node::Node::This)
    }

    /// The variable that it is: `[name]`.
    pub(crate) fn as_variable(&self) -> Option<&str> {
        let Body::Spring(node) = &self.body;
        match node {
            node::Node::Index { of, index } => match (&**of, &**index) {
                (node::Node::Root | node::Node::This, node::Node::Name(name)) => Some(name),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether it comes to true, and not to anything else.
    /// # Errors
    /// As of [`Expr::eval`].
    pub fn holds(&self, root: Root<'_>) -> Result<bool, EvalError> {
        Ok(*self.eval(root)? == Value::Bool(true))
    }
}

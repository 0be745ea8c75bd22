//! Expressions: the parts of the Spring expression language that Seata's machines use, and of CEL, which seata-go's use, with
//! bounds on text, depth and steps; and groovy scripts as far as they are expressions, conditions and exceptions. Nothing here
//! reaches outside its input.

mod arithmetic;
mod cel;
mod eval;
mod lex;
mod node;
mod parse;
mod reads;
mod script;
mod template;
mod vars;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

pub use eval::EvalError;
pub use lex::ParseError;
pub use script::{Program, Thrown};
pub use template::{Parts, Sequence, Template};
pub use vars::{Root, Variable, Vars};

/// The longest expression.
pub const TEXT_BYTES_MAX: usize = 64 << 10;
/// The deepest nesting, chains of operators included.
pub const DEPTH_MAX: usize = 128;
/// The steps of one evaluation.
pub const STEPS_MAX: u32 = 100_000;
/// The longest text that an evaluation makes.
pub const RESULT_BYTES_MAX: usize = 1 << 20;

/// What a machine's expressions are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Spring's expression language, as of Seata for Java.
    #[default]
    Spring,
    /// The common expression language, as of seata-go.
    Cel,
}

/// An expression that has been read.
#[derive(Debug)]
pub struct Expr {
    dialect: Dialect,
    node: node::Node,
    variable: Option<Arc<str>>,
}

impl Expr {
    /// Reads an expression of Spring's language, with or without the `$.` that Input and Output want
    /// (`apache/incubator-seata:saga/seata-saga-engine`, `DefaultExpressionResolver.java`). One that starts with `$CEL.` or `$el.`
    /// is of CEL (`apache/incubator-seata-go:pkg/saga/statemachine/engine/config/default_statemachine_config.go`).
    /// # Errors
    /// It is not one of the language, or beyond its bounds.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Self::parse_in(Dialect::Spring, text)
    }

    /// The same for a machine whose expressions are of a dialect, if nothing else is said.
    /// # Errors
    /// As of [`Expr::parse`].
    pub fn parse_in(dialect: Dialect, text: &str) -> Result<Self, ParseError> {
        let (dialect, body) = match template::split(text)? {
            Some(("", body)) => (dialect, body),
            Some(("CEL" | "el", body)) => (Dialect::Cel, body),
            Some((kind, _)) => return Err(ParseError::kind(kind)),
            None => (dialect, text),
        };
        let node = parse::expression(body, dialect)?;
        let variable = match &node {
            node::Node::Name(name) if dialect == Dialect::Cel => Some(Arc::clone(name)),
            node::Node::Index { of, index } if dialect == Dialect::Spring => {
                match (&**of, &**index) {
                    (node::Node::Root | node::Node::This, node::Node::Name(name)) => {
                        Some(Arc::clone(name))
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        Ok(Self {
            dialect,
            node,
            variable,
        })
    }

    /// What it comes to.
    /// # Errors
    /// A type does not fit, something is not there, or a bound is reached.
    pub fn eval<'a>(&'a self, root: Root<'a>) -> Result<Cow<'a, Value>, EvalError> {
        eval::eval(&self.node, root, self.dialect)
    }

    /// Whether it is all of its root.
    pub(crate) fn is_root(&self) -> bool {
        matches!(self.node, node::Node::Root | node::Node::This)
    }

    /// The variable that it is, `[name]` or CEL's `name`: in a template it is null if there is none.
    pub(crate) fn as_variable(&self) -> Option<&str> {
        self.variable.as_deref()
    }

    /// Whether it comes to true, and not to anything else.
    /// # Errors
    /// As of [`Expr::eval`].
    pub fn holds(&self, root: Root<'_>) -> Result<bool, EvalError> {
        Ok(*self.eval(root)? == Value::Bool(true))
    }
}

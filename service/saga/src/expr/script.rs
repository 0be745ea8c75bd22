//! Scripts, as far as the corpus has them: conditions, exceptions and expressions of groovy.

use std::cell::Cell;

use serde_json::Value;

use super::DEPTH_MAX;
use super::eval::{EvalError, Names, Scope};
use super::lex::{ParseError, Token};
use super::node::Node;
use super::parse::{Mode, Parser};
use super::vars::{Root, Vars};

/// A script that has been read.
#[derive(Debug)]
pub struct Program(Vec<Statement>);

#[derive(Debug)]
enum Statement {
    If(Node, Vec<Statement>, Vec<Statement>),
    Throw(String, Option<Node>),
    Return(Option<Node>),
    Value(Node),
}

/// A script threw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thrown {
    /// The exception's class.
    pub class: String,
    /// Its message.
    pub message: String,
}

enum Flow {
    On(Value),
    Returned(Value),
    Thrown(Thrown),
}

impl Program {
    /// Reads a script.
    /// # Errors
    /// It has something that cannot be translated.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser::new(text, Mode::Groovy)?;
        let mut statements = Vec::new();
        while !parser.is_at_end() {
            statements.push(statement(&mut parser, 0)?);
            while parser.take(";") {}
        }
        Ok(Self(statements))
    }

    /// Runs it; the last expression is its result.
    /// # Errors
    /// As of an expression. A [`Thrown`] is none.
    pub fn run(&self, vars: &Vars) -> Result<Result<Value, Thrown>, EvalError> {
        let steps = Cell::new(0);
        let scope = Scope {
            root: Root::vars(vars),
            this: None,
            names: Names::Variables,
            steps: &steps,
        };
        Ok(match block(&self.0, scope)? {
            Flow::On(value) | Flow::Returned(value) => Ok(value),
            Flow::Thrown(thrown) => Err(thrown),
        })
    }
}

fn statement(parser: &mut Parser, depth: usize) -> Result<Statement, ParseError> {
    if depth > DEPTH_MAX {
        return Err(parser.error(format!("more than {DEPTH_MAX} levels deep")));
    }
    if parser.take_word("if") {
        parser.expect("(")?;
        let condition = parser.either(0)?.0;
        parser.expect(")")?;
        let then = branch(parser, depth + 1)?;
        while parser.take(";") {}
        let otherwise = if parser.take_word("else") {
            branch(parser, depth + 1)?
        } else {
            Vec::new()
        };
        return Ok(Statement::If(condition, then, otherwise));
    }
    if parser.take_word("throw") {
        if !parser.take_word("new") {
            return Err(parser.error("`new` is missing"));
        }
        let mut class = parser.word()?;
        while parser.take(".") {
            class = class + "." + &parser.word()?;
        }
        parser.expect("(")?;
        let message = match parser.peek() {
            Some(Token::Symbol(")")) => None,
            _ => Some(parser.either(0)?.0),
        };
        parser.expect(")")?;
        if !class.contains('.') {
            class.insert_str(0, "java.lang.");
        }
        return Ok(Statement::Throw(class, message));
    }
    if parser.take_word("return") {
        let ends = matches!(parser.peek(), None | Some(Token::Symbol(";" | "}")));
        let value = if ends {
            None
        } else {
            Some(parser.either(0)?.0)
        };
        return Ok(Statement::Return(value));
    }
    if let Some(Token::Word(word)) = parser.peek()
        && matches!(
            word.as_str(),
            "def"
                | "for"
                | "while"
                | "try"
                | "switch"
                | "import"
                | "class"
                | "new"
                | "assert"
                | "do"
        )
    {
        let why = format!("`{word}` cannot be translated");
        return Err(parser.error(why));
    }
    Ok(Statement::Value(parser.either(0)?.0))
}

fn branch(parser: &mut Parser, depth: usize) -> Result<Vec<Statement>, ParseError> {
    if !parser.take("{") {
        return Ok(vec![statement(parser, depth)?]);
    }
    let mut statements = Vec::new();
    while !parser.take("}") {
        statements.push(statement(parser, depth)?);
        while parser.take(";") {}
    }
    Ok(statements)
}

fn block<'a>(statements: &'a [Statement], scope: Scope<'a, '_>) -> Result<Flow, EvalError> {
    let mut last = Value::Null;
    for statement in statements {
        match statement {
            Statement::Value(node) => last = scope.eval(node)?.into_owned(),
            Statement::Return(node) => {
                let value = match node {
                    Some(node) => scope.eval(node)?.into_owned(),
                    None => Value::Null,
                };
                return Ok(Flow::Returned(value));
            }
            Statement::Throw(class, message) => {
                let message = match message {
                    Some(node) => match &*scope.eval(node)? {
                        Value::String(text) => text.clone(),
                        other => other.to_string(),
                    },
                    None => String::new(),
                };
                let class = class.clone();
                return Ok(Flow::Thrown(Thrown { class, message }));
            }
            Statement::If(condition, then, otherwise) => {
                let branch = if groovy_truth(&*scope.eval(condition)?) {
                    then
                } else {
                    otherwise
                };
                match block(branch, scope)? {
                    Flow::On(value) => last = value,
                    left => return Ok(left),
                }
            }
        }
    }
    Ok(Flow::On(last))
}

/// Groovy takes anything for a condition.
fn groovy_truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

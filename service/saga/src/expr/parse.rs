//! Tokens into a tree. Every path of recursion counts its depth, and so does every chain: `a + a + ...` is deep to the left.

use super::lex::{ParseError, Token, tokens};
use super::node::{Method, Node, Operator};
use super::{DEPTH_MAX, Dialect};
use serde_json::Value;

pub(super) fn expression(text: &str, dialect: Dialect) -> Result<Node, ParseError> {
    let mode = match dialect {
        Dialect::Spring => Mode::Spring,
        Dialect::Cel => Mode::Cel,
    };
    let mut parser = Parser::new(text, mode)?;
    let node = parser.either(0)?.0;
    parser.end()?;
    Ok(node)
}

/// Where an expression stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Spring,
    Groovy,
    Cel,
}

pub(super) struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    end: usize,
    mode: Mode,
}

/// A node and how deep it is.
pub(super) type Deep = (Node, usize);

impl Parser {
    pub fn new(text: &str, mode: Mode) -> Result<Self, ParseError> {
        Ok(Self {
            tokens: tokens(text, mode == Mode::Cel)?,
            next: 0,
            end: text.len(),
            mode,
        })
    }

    pub fn at(&self) -> usize {
        self.next
    }

    pub fn back_to(&mut self, at: usize) {
        self.next = at;
    }

    pub fn is_at_end(&self) -> bool {
        self.next == self.tokens.len()
    }

    pub fn end(&self) -> Result<(), ParseError> {
        if self.is_at_end() {
            return Ok(());
        }
        Err(self.error("the expression should end here"))
    }

    pub fn error(&self, why: impl Into<String>) -> ParseError {
        let at = self.tokens.get(self.next).map_or(self.end, |(at, _)| *at);
        ParseError::new(at, why)
    }

    pub fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    pub fn take(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Symbol(next)) if *next == symbol);
        self.next += usize::from(found);
        found
    }

    pub fn expect(&mut self, symbol: &str) -> Result<(), ParseError> {
        if self.take(symbol) {
            return Ok(());
        }
        Err(self.error(format!("`{symbol}` is missing")))
    }

    pub fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(next)) if next == word);
        self.next += usize::from(found);
        found
    }

    pub fn word(&mut self) -> Result<String, ParseError> {
        let Some(Token::Word(word)) = self.peek() else {
            return Err(self.error("a name is missing"));
        };
        let word = word.clone();
        self.next += 1;
        Ok(word)
    }

    pub(super) fn check(&self, depth: usize) -> Result<usize, ParseError> {
        if depth > DEPTH_MAX {
            let why = format!("more than {DEPTH_MAX} levels deep");
            return Err(self.error(why));
        }
        Ok(depth)
    }

    /// `outer` is how many levels are open.
    pub fn either(&mut self, outer: usize) -> Result<Deep, ParseError> {
        self.check(outer)?;
        let (condition, depth) = self.binary(outer + 1, 0)?;
        if !self.take("?") {
            return Ok((condition, depth));
        }
        let (then, depth_then) = self.either(outer + 1)?;
        self.expect(":")?;
        let (otherwise, depth_otherwise) = self.either(outer + 1)?;
        let depth = self.check(depth.max(depth_then).max(depth_otherwise) + 1)?;
        Ok((Node::Either(Box::new([condition, then, otherwise])), depth))
    }

    fn binary(&mut self, outer: usize, level: usize) -> Result<Deep, ParseError> {
        let Some(operators) = LEVELS.get(level) else {
            return self.unary(outer);
        };
        let (mut left, mut depth) = self.binary(outer, level + 1)?;
        while let Some(operator) = self.operator(operators)? {
            let (right, depth_right) = self.binary(outer + 1, level + 1)?;
            depth = self.check(depth.max(depth_right) + 1)?;
            left = Node::Binary(operator, Box::new(left), Box::new(right));
        }
        Ok((left, depth))
    }

    fn operator(
        &mut self,
        among: &[(&str, &str, Operator)],
    ) -> Result<Option<Operator>, ParseError> {
        let found = match self.peek() {
            Some(Token::Symbol(symbol)) => among.iter().find(|(known, ..)| known == symbol),
            Some(Token::Word(word)) if self.mode == Mode::Spring => among
                .iter()
                .find(|(_, known, _)| known.eq_ignore_ascii_case(word)),
            Some(Token::Word(word)) if self.mode == Mode::Cel && word == "in" => {
                IN.iter().find(|_| among.len() == RELATIONS)
            }
            _ => None,
        };
        let Some((.., operator)) = found else {
            return Ok(None);
        };
        if self.mode == Mode::Groovy && *operator == Operator::Divided {
            return Err(self.error("division in groovy makes decimals, which this engine has not"));
        }
        self.next += 1;
        Ok(Some(*operator))
    }

    fn unary(&mut self, outer: usize) -> Result<Deep, ParseError> {
        self.check(outer)?;
        let not = self.take("!")
            || self.mode == Mode::Spring
                && matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case("not"))
                && self.take_any();
        if not {
            let (node, depth) = self.unary(outer + 1)?;
            return Ok((Node::Not(Box::new(node)), self.check(depth + 1)?));
        }
        if self.take("-") {
            let (node, depth) = self.unary(outer + 1)?;
            return Ok((Node::Minus(Box::new(node)), self.check(depth + 1)?));
        }
        if self.mode != Mode::Cel && self.take("+") {
            return self.unary(outer + 1);
        }
        self.postfix(outer)
    }

    fn take_any(&mut self) -> bool {
        self.next += 1;
        true
    }

    fn postfix(&mut self, outer: usize) -> Result<Deep, ParseError> {
        let (mut node, mut depth) = self.primary(outer)?;
        loop {
            let of = |node| Box::new(node);
            let inner;
            if self.take("[") {
                let index;
                (index, inner) = self.either(outer + 1)?;
                self.expect("]")?;
                node = Node::Index {
                    of: of(node),
                    index: Box::new(index),
                };
            } else if self.mode != Mode::Cel && self.take(".?[") {
                let predicate;
                (predicate, inner) = self.either(outer + 1)?;
                self.expect("]")?;
                node = Node::Select {
                    of: of(node),
                    predicate: Box::new(predicate),
                };
            } else if matches!(self.peek(), Some(Token::Symbol("." | "?."))) {
                let safe = self.peek() == Some(&Token::Symbol("?."));
                if safe && self.mode == Mode::Cel {
                    return Err(self.error("`?.` is not of CEL"));
                }
                self.next += 1;
                if self.mode == Mode::Spring && self.take("[") {
                    return Err(self.error("`.[` is not of the language; write `[`"));
                }
                let name = self.word()?;
                if self.take("(") {
                    let arguments;
                    (arguments, inner) = self.arguments(outer + 1, ")")?;
                    let method = match self.mode {
                        Mode::Cel => Method::named_in_cel(&name, arguments.len()),
                        _ => Method::named(&name, arguments.len()),
                    };
                    let method = method.ok_or_else(|| {
                        let count = arguments.len();
                        self.error(format!(
                            "no method `{name}` with {count} arguments is known"
                        ))
                    })?;
                    node = Node::Call {
                        of: of(node),
                        method,
                        arguments,
                        safe,
                    };
                } else {
                    inner = 0;
                    let name = name.into();
                    node = Node::Property {
                        of: of(node),
                        name,
                        safe,
                    };
                }
            } else {
                return Ok((node, depth));
            }
            depth = self.check(depth.max(inner) + 1)?;
        }
    }

    pub(super) fn arguments(
        &mut self,
        outer: usize,
        end: &str,
    ) -> Result<(Vec<Node>, usize), ParseError> {
        let mut arguments = Vec::new();
        let mut deepest = 0;
        if self.take(end) {
            return Ok((arguments, deepest));
        }
        loop {
            let (argument, depth) = self.either(outer)?;
            arguments.push(argument);
            deepest = deepest.max(depth);
            if self.take(end) {
                return Ok((arguments, deepest));
            }
            self.expect(",")?;
        }
    }

    fn primary(&mut self, outer: usize) -> Result<Deep, ParseError> {
        if self.take("(") {
            let inner = self.either(outer + 1)?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.mode == Mode::Cel
            && let Some(found) = self.cel_primary(outer)?
        {
            return Ok(found);
        }
        if self.mode == Mode::Spring && self.take("#") {
            let node = match self.word()?.as_str() {
                "root" => Node::Root,
                "this" => Node::This,
                // Seata defines no others, and Spring takes an undefined one as null.
                _ => Node::Literal(Value::Null),
            };
            return Ok((node, 1));
        }
        if self.mode == Mode::Spring && self.peek() == Some(&Token::Symbol("[")) {
            return Ok((Node::This, 1));
        }
        let node = match self.peek() {
            Some(Token::Text(text)) => Node::Literal(text.as_str().into()),
            Some(Token::Whole(number)) => Node::Literal((*number).into()),
            Some(Token::Real(number)) => Node::Literal((*number).into()),
            Some(Token::Word(word)) => match word.as_str() {
                "true" => Node::Literal(true.into()),
                "false" => Node::Literal(false.into()),
                "null" => Node::Literal(Value::Null),
                "new" | "T" | "instanceof" | "matches" | "between" => {
                    return Err(self.error(format!("`{word}` is not supported")));
                }
                name => Node::Name(name.into()),
            },
            Some(Token::Symbol(symbol)) => {
                return Err(self.error(format!("unexpected `{symbol}`")));
            }
            None => return Err(self.error("the expression ends too early")),
        };
        self.next += 1;
        if matches!(
            (&node, self.peek()),
            (Node::Name(_), Some(Token::Symbol("(")))
        ) {
            return Err(self.error("functions are not supported"));
        }
        Ok((node, 1))
    }
}

/// How many operators the level of comparisons has, where CEL's `in` stands, too.
const RELATIONS: usize = 6;
const IN: &[(&str, &str, Operator)] = &[("", "in", Operator::In)];

/// By how weakly they bind, with the words that Spring also knows them by.
const LEVELS: &[&[(&str, &str, Operator)]] = &[
    &[("||", "or", Operator::Or)],
    &[("&&", "and", Operator::And)],
    &[
        ("==", "eq", Operator::Equal),
        ("!=", "ne", Operator::Unequal),
        ("<", "lt", Operator::Less),
        ("<=", "le", Operator::LessOrEqual),
        (">", "gt", Operator::Greater),
        (">=", "ge", Operator::GreaterOrEqual),
    ],
    &[("+", "+", Operator::Plus), ("-", "-", Operator::Minus)],
    &[
        ("*", "*", Operator::Times),
        ("/", "div", Operator::Divided),
        ("%", "mod", Operator::Modulo),
    ],
];

//! Text into tokens.

use super::TEXT_BYTES_MAX;

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {why}")]
pub struct ParseError {
    /// Where in the text.
    pub at: usize,
    /// What is wrong there.
    pub why: String,
}

impl ParseError {
    pub(super) fn new(at: usize, why: impl Into<String>) -> Self {
        Self {
            at,
            why: why.into(),
        }
    }

    pub(super) fn kind(kind: &str) -> Self {
        let kind: String = kind.chars().take(40).collect();
        Self::new(
            0,
            format!("there are no expressions of the type `${kind}` here"),
        )
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Word(String),
    Text(String),
    Whole(i64),
    Real(f64),
    /// One of [`SYMBOLS`].
    Symbol(&'static str),
}

/// Longer ones before those that they start with.
const SYMBOLS: &[&str] = &[
    "?.", ".?[", "==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "+", "-", "*", "/", "%", "(",
    ")", "[", "]", "{", "}", ".", ",", "?", ":", "#", ";", "=",
];

/// Tokens, each with the byte it starts at.
pub(super) fn tokens(text: &str, is_cel: bool) -> Result<Vec<(usize, Token)>, ParseError> {
    if text.len() > TEXT_BYTES_MAX {
        let why = format!("{} bytes; {TEXT_BYTES_MAX} are allowed", text.len());
        return Err(ParseError::new(0, why));
    }
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (token, length) = if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        } else if first.is_alphabetic() || first == '_' || first == '$' {
            let length = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
                .unwrap_or(rest.len());
            (Token::Word(rest[..length].into()), length)
        } else if first.is_ascii_digit() {
            number(rest, is_cel).map_err(|why| ParseError::new(at, why))?
        } else if is_cel && matches!(first, '\'' | '"') {
            escaped(rest, first).map_err(|why| ParseError::new(at, why))?
        } else if first == '\'' || first == '"' {
            quoted(rest, first).ok_or_else(|| ParseError::new(at, "the text does not end"))?
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            (Token::Symbol(symbol), symbol.len())
        } else {
            return Err(ParseError::new(at, format!("unexpected `{first}`")));
        };
        tokens.push((at, token));
        at += length;
    }
    Ok(tokens)
}

fn number(rest: &str, is_cel: bool) -> Result<(Token, usize), &'static str> {
    let digits = |from: usize| {
        rest[from..]
            .find(|c: char| !c.is_ascii_digit())
            .map_or(rest.len(), |end| from + end)
    };
    let mut end = digits(0);
    let mut real = false;
    if rest[end..].starts_with('.') && rest[end + 1..].starts_with(|c: char| c.is_ascii_digit()) {
        real = true;
        end = digits(end + 1);
    }
    if rest[end..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
        if rest[end + 1 + sign..].starts_with(|c: char| c.is_ascii_digit()) {
            real = true;
            end = digits(end + 1 + sign);
        }
    }
    let text = &rest[..end];
    let token = if real {
        let number: f64 = text.parse().map_err(|_| "not a number")?;
        if !number.is_finite() {
            return Err("the number is too large");
        }
        Token::Real(number)
    } else {
        Token::Whole(text.parse().map_err(|_| "the number is too large")?)
    };
    // Java's suffixes: a long is a whole number, a float or double is a real one.
    match (rest[end..].chars().next(), token) {
        // CEL has but one, of whole numbers without a sign.
        (Some('u' | 'U'), Token::Whole(number)) if is_cel => Ok((Token::Whole(number), end + 1)),
        (Some(c), _) if is_cel && c.is_alphanumeric() => Err("a number runs into a word"),
        (Some('l' | 'L'), Token::Whole(number)) => Ok((Token::Whole(number), end + 1)),
        (Some('f' | 'F' | 'd' | 'D'), Token::Whole(number)) => {
            Ok((Token::Real(number as f64), end + 1))
        }
        (Some('f' | 'F' | 'd' | 'D'), token) => Ok((token, end + 1)),
        (Some(c), _) if c.is_alphanumeric() => Err("a number runs into a word"),
        (_, token) => Ok((token, end)),
    }
}

/// A quotation mark within is written twice; scripts also write it after a backslash.
fn quoted(rest: &str, mark: char) -> Option<(Token, usize)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == mark {
            if chars.peek().is_some_and(|(_, next)| *next == mark) {
                text.push(mark);
                chars.next();
                continue;
            }
            return Some((Token::Text(text), at + 1));
        }
        match (c, chars.peek()) {
            ('\\', Some((_, next))) if *next == mark || *next == '\\' => {
                text.push(*next);
                chars.next();
            }
            _ => text.push(c),
        }
    }
    None
}

/// A text of CEL: what a backslash means is said by the character after it.
fn escaped(rest: &str, mark: char) -> Result<(Token, usize), &'static str> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == mark && at == 1 && rest[2..].starts_with(mark) => {
                return Err("texts in three quotation marks are not supported");
            }
            _ if c == mark => return Ok((Token::Text(text), at + 1)),
            '\n' | '\r' => break,
            '\\' => text.push(match chars.next().map(|(_, c)| c) {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(c @ ('\\' | '\'' | '"' | '`' | '?')) => c,
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                    let is_hex = digits.len() == 4 && digits.chars().all(|c| c.is_ascii_hexdigit());
                    let code = u32::from_str_radix(&digits, 16).ok().filter(|_| is_hex);
                    code.and_then(char::from_u32).ok_or("no such character")?
                }
                _ => return Err("this escape is not supported"),
            }),
            c => text.push(c),
        }
    }
    Err("the text does not end")
}

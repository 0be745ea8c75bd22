//! Where something stands in a machine: a path of keys and indices, and the line it is on.

use std::fmt;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A key of an object.
    Key(String),
    /// A place in a list.
    Index(usize),
}

/// From the root of a JSON text to something in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(Vec<Step>);

impl Path {
    /// The root itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// One key deeper.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Key(key.into()));
        Self(steps)
    }

    /// One index deeper.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        Self(steps)
    }

    /// The key at a depth.
    pub(super) fn key_at(&self, depth: usize) -> Option<&str> {
        match self.0.get(depth) {
            Some(Step::Key(key)) => Some(key),
            _ => None,
        }
    }

    /// The same with another key there.
    pub(super) fn with_key_at(mut self, depth: usize, key: &str) -> Self {
        if let Some(step) = self.0.get_mut(depth) {
            *step = Step::Key(key.into());
        }
        self
    }

    /// The line and column, both from 1, at which `self` starts in a valid JSON text; the nearest enclosing thing if it is
    /// not there.
    #[must_use]
    pub fn find(&self, text: &str) -> (usize, usize) {
        let mut walk = Walk {
            bytes: text.as_bytes(),
            at: 0,
        };
        walk.to(&self.0);
        let before = &walk.bytes[..walk.at.min(walk.bytes.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        (line, column)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        for step in &self.0 {
            match step {
                Step::Key(key) => write!(f, "/{key}")?,
                Step::Index(index) => write!(f, "/{index}")?,
            }
        }
        Ok(())
    }
}

/// File, line, column and path, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// What the text was read from.
    pub file: Option<String>,
    /// Line and column, from 1.
    pub line: Option<(usize, usize)>,
    /// The path in the JSON; in a designer's file, in the machine that it means.
    pub path: Path,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
        }
        if let Some((line, column)) = self.line {
            write!(f, "{line}:{column}: ")?;
        } else if self.file.is_some() {
            f.write_str(" ")?;
        }
        write!(f, "{}", self.path)
    }
}

/// Walks over a JSON text that `serde_json` has accepted. Nothing here nests deeper than it allows.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn to(&mut self, path: &[Step]) {
        self.space();
        let Some((step, rest)) = path.split_first() else {
            return;
        };
        let start = self.at;
        let mut found = None;
        match (self.peek(), step) {
            (b'{', Step::Key(wanted)) => {
                self.at += 1;
                while self.entry(b'}') {
                    let key = self.string();
                    self.space();
                    self.at += 1;
                    self.space();
                    if serde_json::from_slice::<String>(key).is_ok_and(|key| key == *wanted) {
                        // The last one of the same name is the one that counts.
                        found = Some(self.at);
                    }
                    self.skip();
                }
            }
            (b'[', Step::Index(wanted)) => {
                self.at += 1;
                let mut index = 0;
                while self.entry(b']') {
                    if index == *wanted {
                        found = Some(self.at);
                        break;
                    }
                    self.skip();
                    index += 1;
                }
            }
            _ => {}
        }
        self.at = found.unwrap_or(start);
        if found.is_some() {
            self.to(rest);
        }
    }

    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) {
        while self.peek().is_ascii_whitespace() {
            self.at += 1;
        }
    }

    /// Whether another entry of an object or a list follows; the walk stands before it.
    fn entry(&mut self, end: u8) -> bool {
        self.space();
        if self.peek() == b',' {
            self.at += 1;
            self.space();
        }
        self.at < self.bytes.len() && self.peek() != end
    }

    fn string(&mut self) -> &'a [u8] {
        let start = self.at;
        self.at += 1;
        while self.at < self.bytes.len() && self.peek() != b'"' {
            self.at += if self.peek() == b'\\' { 2 } else { 1 };
        }
        self.at = (self.at + 1).min(self.bytes.len());
        &self.bytes[start..self.at]
    }

    fn skip(&mut self) {
        let mut depth = 0_usize;
        loop {
            self.space();
            match self.peek() {
                b'"' => {
                    self.string();
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                b',' | b':' => self.at += 1,
                _ => {
                    while !matches!(
                        self.peek(),
                        b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t' | 0
                    ) {
                        self.at += 1;
                    }
                }
            }
            if depth == 0 || self.at >= self.bytes.len() {
                return;
            }
        }
    }
}

/// Keys that stand twice in one object of a valid JSON text.
pub(super) fn duplicate_keys(text: &str) -> Vec<(Path, String)> {
    use std::collections::BTreeSet;
    enum Open {
        Object(BTreeSet<String>, Path, Option<String>),
        List(usize, Path),
    }
    fn child(open: &[Open]) -> Path {
        match open.last() {
            None => Path::root(),
            Some(Open::Object(_, path, key)) => path.key(key.as_deref().unwrap_or_default()),
            Some(Open::List(index, path)) => path.index(*index),
        }
    }
    let mut walk = Walk {
        bytes: text.as_bytes(),
        at: 0,
    };
    let mut open: Vec<Open> = Vec::new();
    let mut found = Vec::new();
    while walk.at < walk.bytes.len() {
        walk.space();
        match walk.peek() {
            b'{' => {
                let path = child(&open);
                open.push(Open::Object(BTreeSet::new(), path, None));
                walk.at += 1;
            }
            b'[' => {
                let path = child(&open);
                open.push(Open::List(0, path));
                walk.at += 1;
            }
            b'}' | b']' => {
                open.pop();
                walk.at += 1;
            }
            b',' => {
                match open.last_mut() {
                    Some(Open::List(index, _)) => *index += 1,
                    Some(Open::Object(_, _, key)) => *key = None,
                    None => {}
                }
                walk.at += 1;
            }
            b'"' => {
                let text = walk.string();
                if let Some(Open::Object(seen, path, key @ None)) = open.last_mut()
                    && let Ok(name) = serde_json::from_slice::<String>(text)
                {
                    if !seen.insert(name.clone()) {
                        found.push((path.clone(), name.clone()));
                    }
                    *key = Some(name);
                }
            }
            _ => walk.at += 1,
        }
    }
    found
}

//! What expressions are made of.

use std::sync::Arc;

use serde_json::Value;

#[derive(Debug)]
pub(super) enum Node {
    Literal(Value),
    /// `#root`
    Root,
    /// `#this`: the element of a selection, else the root; what bare names and indices are about.
    This,
    /// `name`: a property of `#this`; in a script, a variable.
    Name(Arc<str>),
    /// `.name`, `?.name`
    Property {
        of: Box<Node>,
        name: Arc<str>,
        safe: bool,
    },
    /// `[index]`; a bare name in it is a key of a map.
    Index {
        of: Box<Node>,
        index: Box<Node>,
    },
    /// `.method(arguments)`
    Call {
        of: Box<Node>,
        method: Method,
        arguments: Vec<Node>,
        safe: bool,
    },
    /// `.?[predicate]`
    Select {
        of: Box<Node>,
        predicate: Box<Node>,
    },
    /// `[a, b]` of CEL.
    List(Vec<Node>),
    /// `has(of.name)` of CEL.
    Has {
        of: Box<Node>,
        name: Arc<str>,
    },
    Not(Box<Node>),
    Minus(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    /// `if ? then : otherwise`
    Either(Box<[Node; 3]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// An element of a list, or a key of a map.
    In,
    Plus,
    Minus,
    Times,
    Divided,
    Modulo,
}

/// The methods that values have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Size,
    Length,
    IsEmpty,
    Contains,
    ContainsKey,
    Get,
    Equals,
    StartsWith,
    EndsWith,
}

impl Method {
    /// The method of a name that takes this many arguments.
    pub fn named(name: &str, arguments: usize) -> Option<Self> {
        let (method, wanted) = match name {
            "size" => (Self::Size, 0),
            "length" => (Self::Length, 0),
            "isEmpty" => (Self::IsEmpty, 0),
            "contains" => (Self::Contains, 1),
            "containsKey" => (Self::ContainsKey, 1),
            "get" => (Self::Get, 1),
            "equals" => (Self::Equals, 1),
            "startsWith" => (Self::StartsWith, 1),
            "endsWith" => (Self::EndsWith, 1),
            _ => return None,
        };
        (wanted == arguments).then_some(method)
    }

    /// The same of CEL.
    pub fn named_in_cel(name: &str, arguments: usize) -> Option<Self> {
        let is_known = matches!(name, "size" | "contains" | "startsWith" | "endsWith");
        Self::named(name, arguments).filter(|_| is_known)
    }
}

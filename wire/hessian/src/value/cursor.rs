//! Looking into a value.

use super::{Arena, EMPTY, NO_NAME, Node, Repr, Value, text};

/// A place in a value. Cycles make the walk endless: whoever recurses bounds it.
#[derive(Clone, Copy)]
pub struct ValueRef<'v> {
    arena: &'v Arena<'v>,
    node: &'v Node<'v>,
    id: u32,
}

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind<'v> {
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// A `byte`, `short` or `int`.
    Int(i32),
    /// A `long`.
    Long(i64),
    /// A `float` or `double`.
    Double(f64),
    /// A date in milliseconds since 1970 UTC.
    Date(i64),
    /// A string.
    Str(&'v str),
    /// A string with lone surrogates, by its UTF-16 units.
    Utf16(&'v [u16]),
    /// `byte[]`.
    Bytes(&'v [u8]),
    /// A list, set or array; see [`ValueRef::items`].
    List,
    /// A map; see [`ValueRef::entries`].
    Map,
    /// An object or enum constant; see [`ValueRef::fields`].
    Object,
}

impl<'v> ValueRef<'v> {
    /// What stands here.
    pub fn kind(self) -> Kind<'v> {
        match self.node() {
            Node::Null => Kind::Null,
            Node::Bool(value) => Kind::Bool(*value),
            Node::Int(value) => Kind::Int(*value),
            Node::Long(value) => Kind::Long(*value),
            Node::Double(value) => Kind::Double(*value),
            Node::Date(value) => Kind::Date(*value),
            Node::Str(value) => Kind::Str(value),
            Node::OwnedStr(value) => Kind::Str(value),
            Node::Utf16(value) => Kind::Utf16(value),
            Node::Bytes(value) => Kind::Bytes(value),
            Node::OwnedBytes(value) => Kind::Bytes(value),
            Node::List { .. } => Kind::List,
            Node::Map { .. } => Kind::Map,
            Node::Object { .. } => Kind::Object,
        }
    }

    /// Class of an object, or of a list or map that has one.
    pub fn class_name(self) -> Option<&'v str> {
        let name = match *self.node() {
            Node::List { class, .. } | Node::Map { class, .. } => class,
            Node::Object { class, .. } => self.arena.classes[class as usize].name,
            _ => NO_NAME,
        };
        (name != NO_NAME).then(|| self.arena.text(name))
    }

    /// Items of a list, entries of a map, fields of an object; zero for anything else.
    pub fn len(self) -> usize {
        match self.node() {
            Node::Map { .. } => self.children().len() / 2,
            _ => self.children().len(),
        }
    }

    /// Whether there are no items, entries or fields.
    pub fn is_empty(self) -> bool {
        self.children().is_empty()
    }

    /// Items of a list, in order; none of anything else.
    pub fn items(self) -> impl ExactSizeIterator<Item = ValueRef<'v>> + use<'v> {
        let items = if matches!(self.node(), Node::List { .. }) {
            self.children()
        } else {
            &[]
        };
        items.iter().map(move |&id| self.go(id))
    }

    /// Keys and values of a map, in order; none of anything else.
    pub fn entries(self) -> impl ExactSizeIterator<Item = (ValueRef<'v>, ValueRef<'v>)> + use<'v> {
        let entries = if matches!(self.node(), Node::Map { .. }) {
            self.children()
        } else {
            &[]
        };
        entries
            .chunks_exact(2)
            .map(move |pair| (self.go(pair[0]), self.go(pair[1])))
    }

    /// Names and values of an object's fields, in class order; none of anything else.
    pub fn fields(self) -> impl ExactSizeIterator<Item = (&'v str, ValueRef<'v>)> + use<'v> {
        let names = match *self.node() {
            Node::Object { class, .. } => self.arena.fields(class),
            _ => &[],
        };
        let values = if names.is_empty() {
            &[]
        } else {
            self.children()
        };
        names
            .iter()
            .zip(values)
            .map(move |(name, &id)| (text(name), self.go(id)))
    }

    /// Field of an object, or entry of a map with this string as its key.
    pub fn get(self, name: &str) -> Option<ValueRef<'v>> {
        match self.node() {
            Node::Map { .. } => self
                .entries()
                .find(|(key, _)| key.as_str() == Some(name))
                .map(|(_, value)| value),
            _ => self
                .fields()
                .find(|(field, _)| *field == name)
                .map(|(_, value)| value),
        }
    }

    /// The text of a string without lone surrogates.
    pub fn as_str(self) -> Option<&'v str> {
        match self.kind() {
            Kind::Str(text) => Some(text),
            _ => None,
        }
    }

    /// A boolean.
    pub fn as_bool(self) -> Option<bool> {
        match self.kind() {
            Kind::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// An `int` or `long`.
    pub fn as_i64(self) -> Option<i64> {
        match self.kind() {
            Kind::Int(value) => Some(i64::from(value)),
            Kind::Long(value) => Some(value),
            _ => None,
        }
    }

    /// Any number, rounded if it is a large `long`.
    pub fn as_f64(self) -> Option<f64> {
        match self.kind() {
            Kind::Double(value) => Some(value),
            _ => self.as_i64().map(|value| value as f64),
        }
    }

    /// Whether this is null.
    pub fn is_null(self) -> bool {
        matches!(self.node(), Node::Null)
    }

    /// Whether both are one container, Java's `==`: within a value, and between values read of one body.
    pub fn ptr_eq(self, other: ValueRef<'_>) -> bool {
        match (self.number(), other.number()) {
            (Some(number), Some(other_number)) => {
                number == other_number && self.arena.id == other.arena.id
            }
            _ => false,
        }
    }

    fn number(self) -> Option<u32> {
        match *self.node() {
            Node::List { children, .. }
            | Node::Map { children, .. }
            | Node::Object { children, .. } => Some(children.number),
            _ => None,
        }
    }

    pub(super) fn index(self) -> u32 {
        self.id
    }

    pub(super) fn arena_address(self) -> *const () {
        (&raw const *self.arena).cast()
    }

    pub(super) fn node(self) -> &'v Node<'v> {
        self.node
    }

    /// The nodes below this one.
    pub(super) fn children(self) -> &'v [u32] {
        match *self.node() {
            Node::List { children, .. }
            | Node::Map { children, .. }
            | Node::Object { children, .. } => self.arena.children(children),
            _ => &[],
        }
    }

    pub(super) fn go(self, id: u32) -> Self {
        ValueRef {
            arena: self.arena,
            node: &self.arena.nodes[id as usize],
            id,
        }
    }
}

impl<'a> Value<'a> {
    /// The top of the value.
    pub fn root(&self) -> ValueRef<'_> {
        match &self.0 {
            Repr::Leaf(node) => ValueRef {
                arena: &EMPTY,
                node,
                id: 0,
            },
            Repr::Tree { arena, root } => ValueRef {
                arena,
                node: &arena.nodes[*root as usize],
                id: *root,
            },
        }
    }

    /// What the value is.
    pub fn kind(&self) -> Kind<'_> {
        self.root().kind()
    }

    /// See [`ValueRef::class_name`].
    pub fn class_name(&self) -> Option<&str> {
        self.root().class_name()
    }

    /// See [`ValueRef::get`].
    pub fn get(&self, name: &str) -> Option<ValueRef<'_>> {
        self.root().get(name)
    }

    /// See [`ValueRef::items`].
    pub fn items(&self) -> impl ExactSizeIterator<Item = ValueRef<'_>> {
        self.root().items()
    }

    /// See [`ValueRef::entries`].
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (ValueRef<'_>, ValueRef<'_>)> {
        self.root().entries()
    }

    /// See [`ValueRef::fields`].
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&str, ValueRef<'_>)> {
        self.root().fields()
    }

    /// See [`ValueRef::as_str`].
    pub fn as_str(&self) -> Option<&str> {
        self.root().as_str()
    }

    /// See [`ValueRef::as_bool`].
    pub fn as_bool(&self) -> Option<bool> {
        self.root().as_bool()
    }

    /// See [`ValueRef::as_i64`].
    pub fn as_i64(&self) -> Option<i64> {
        self.root().as_i64()
    }

    /// See [`ValueRef::as_f64`].
    pub fn as_f64(&self) -> Option<f64> {
        self.root().as_f64()
    }

    /// Whether the value is null.
    pub fn is_null(&self) -> bool {
        self.root().is_null()
    }

    /// Whether Java's writer counts a field of this value among the primitive ones.
    pub(crate) fn is_simple(&self) -> bool {
        !matches!(
            self.kind(),
            Kind::Date(_) | Kind::Bytes(_) | Kind::List | Kind::Map | Kind::Object
        )
    }
}

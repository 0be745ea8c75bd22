//! `Value`: anything the wire can carry, without a Rust type.

mod build;
mod cursor;
mod describe;
mod equal;
mod read;
mod write;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use build::{Builder, NodeId};
pub use cursor::{Kind, ValueRef};
pub(crate) use write::Written;

use crate::java_type::JavaType;

/// A value of any kind: cycles and shared references as they are on the wire, class names and field order kept, lone
/// surrogates kept. No class is ever constructed: an unknown one is data like any other.
///
/// The nodes lie in one arena and refer to each other by index, so a value is cheap to clone, to send and to drop,
/// however deep it is. Values read together ([`Decoder::values`](crate::Decoder::values)) share an arena. Strings and
/// bytes are lent from the input where they were one chunk of plain UTF-8.
#[derive(Clone)]
pub struct Value<'a>(Repr<'a>);

#[derive(Clone)]
enum Repr<'a> {
    /// Without children there is no need of an arena: a list of a million numbers read as `Vec<Value>` has none.
    Leaf(Node<'a>),
    Tree {
        arena: Arc<Arena<'a>>,
        root: u32,
    },
}

/// Nodes and what they point to.
pub(crate) struct Arena<'a> {
    /// Tells bodies apart for as long as the program runs: a writer remembers what it wrote of each.
    id: u64,
    nodes: Vec<Node<'a>>,
    /// Node indices: items of lists, keys and values of maps in turn, fields of objects.
    children: Vec<u32>,
    classes: Vec<ClassInfo>,
    /// Names of classes, fields and types, as bytes until somebody asks: most are only handed on.
    names: Vec<Cow<'a, [u8]>>,
}

#[derive(Clone)]
pub(crate) enum Node<'a> {
    Null,
    Bool(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Date(i64),
    Str(&'a str),
    /// Not a `Cow`: a node is three words this way.
    OwnedStr(Box<str>),
    /// A string with lone surrogates.
    Utf16(Box<[u16]>),
    Bytes(&'a [u8]),
    OwnedBytes(Box<[u8]>),
    /// `class` is an index into `names`, or [`NO_NAME`].
    List {
        class: u32,
        children: Children,
    },
    Map {
        class: u32,
        children: Children,
    },
    /// `class` is an index into `classes`.
    Object {
        class: u32,
        children: Children,
    },
}

impl<'a> Node<'a> {
    fn str(text: Cow<'a, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Node::Str(text),
            Cow::Owned(text) => Node::OwnedStr(text.into()),
        }
    }

    fn bytes(bytes: Cow<'a, [u8]>) -> Self {
        match bytes {
            Cow::Borrowed(bytes) => Node::Bytes(bytes),
            Cow::Owned(bytes) => Node::OwnedBytes(bytes.into()),
        }
    }

    fn is_leaf(&self) -> bool {
        !matches!(
            self,
            Node::List { .. } | Node::Map { .. } | Node::Object { .. }
        )
    }

    fn into_owned(self) -> Node<'static> {
        match self {
            Node::Null => Node::Null,
            Node::Bool(value) => Node::Bool(value),
            Node::Int(value) => Node::Int(value),
            Node::Long(value) => Node::Long(value),
            Node::Double(value) => Node::Double(value),
            Node::Date(value) => Node::Date(value),
            Node::Str(value) => Node::OwnedStr(value.into()),
            Node::OwnedStr(value) => Node::OwnedStr(value),
            Node::Utf16(value) => Node::Utf16(value),
            Node::Bytes(value) => Node::OwnedBytes(value.into()),
            Node::OwnedBytes(value) => Node::OwnedBytes(value),
            Node::List { class, children } => Node::List { class, children },
            Node::Map { class, children } => Node::Map { class, children },
            Node::Object { class, children } => Node::Object { class, children },
        }
    }
}

/// What makes a container itself: a range of `Arena::children`, and its number among those of all arenas with the same
/// id. What was read of one body by several calls has one id and the numbers of that body, so that a container that
/// was read twice is still one when both are written.
#[derive(Clone, Copy, Default)]
pub(crate) struct Children {
    start: u32,
    end: u32,
    number: u32,
}

/// A class by its names: `name` and `field_count` fields from `first_field`.
#[derive(Clone, Copy)]
struct ClassInfo {
    /// Its number among the classes of all arenas with the same id.
    number: u32,
    name: u32,
    first_field: u32,
    field_count: u32,
}

const NO_NAME: u32 = u32::MAX;

/// Names and classes that are searched for one that is there already.
const SEARCHED_MAX: usize = 256;

impl<'a> Arena<'a> {
    fn new(id: u64) -> Self {
        Arena {
            id,
            nodes: Vec::new(),
            children: Vec::new(),
            classes: Vec::new(),
            names: Vec::new(),
        }
    }

    fn push(&mut self, node: Node<'a>) -> u32 {
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    fn push_children(&mut self, number: u32, ids: impl IntoIterator<Item = u32>) -> Children {
        let start = self.children.len() as u32;
        self.children.extend(ids);
        Children {
            start,
            end: self.children.len() as u32,
            number,
        }
    }

    fn children(&self, children: Children) -> &[u32] {
        &self.children[children.start as usize..children.end as usize]
    }

    fn fields(&self, class: u32) -> &[Cow<'a, [u8]>] {
        let class = self.classes[class as usize];
        &self.names[class.first_field as usize..][..class.field_count as usize]
    }

    fn text(&self, name: u32) -> &str {
        text(&self.names[name as usize])
    }

    /// Index of a type name, added if it is new.
    fn name(&mut self, name: Cow<'a, [u8]>) -> u32 {
        // The names of a value are few; the search stops where only an attacker gets to.
        let known = self
            .names
            .iter()
            .take(SEARCHED_MAX)
            .position(|known| *known == name);
        known.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        }) as u32
    }

    fn class(
        &mut self,
        number: u32,
        name: Cow<'a, [u8]>,
        fields: impl IntoIterator<Item = Cow<'a, [u8]>>,
    ) -> u32 {
        let first = self.names.len() as u32;
        self.names.push(name);
        self.names.extend(fields);
        let field_count = self.names.len() as u32 - first - 1;
        self.classes.push(ClassInfo {
            number,
            name: first,
            first_field: first + 1,
            field_count,
        });
        (self.classes.len() - 1) as u32
    }

    fn into_owned(self) -> Arena<'static> {
        Arena {
            id: self.id,
            nodes: self.nodes.into_iter().map(Node::into_owned).collect(),
            children: self.children,
            classes: self.classes,
            names: self
                .names
                .into_iter()
                .map(|name| Cow::Owned(name.into_owned()))
                .collect(),
        }
    }
}

/// An id for the arenas of one body.
pub(crate) fn new_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A name as text. Only UTF-8 gets into an arena: builders take text, readers check.
fn text(name: &[u8]) -> &str {
    std::str::from_utf8(name).unwrap_or_default()
}

impl Clone for Arena<'_> {
    fn clone(&self) -> Self {
        Arena {
            // Same nodes under the same indices: what was written of one was written of the other.
            id: self.id,
            nodes: self.nodes.clone(),
            children: self.children.clone(),
            classes: self.classes.clone(),
            names: self.names.clone(),
        }
    }
}

/// The arena of values that need none.
static EMPTY: Arena<'static> = Arena {
    id: u64::MAX,
    nodes: Vec::new(),
    children: Vec::new(),
    classes: Vec::new(),
    names: Vec::new(),
};

impl<'a> Value<'a> {
    fn leaf(node: Node<'a>) -> Self {
        Value(Repr::Leaf(node))
    }

    /// The value with node `root` of an arena at its top.
    fn tree(arena: &Arc<Arena<'a>>, root: u32) -> Self {
        let node = &arena.nodes[root as usize];
        if node.is_leaf() {
            return Value::leaf(node.clone());
        }
        Value(Repr::Tree {
            arena: arena.clone(),
            root,
        })
    }

    /// The value without borrows from the input.
    pub fn into_owned(self) -> Value<'static> {
        match self.0 {
            Repr::Leaf(node) => Value::leaf(node.into_owned()),
            Repr::Tree { arena, root } => {
                let arena = Arc::try_unwrap(arena).unwrap_or_else(|shared| (*shared).clone());
                Value(Repr::Tree {
                    arena: Arc::new(arena.into_owned()),
                    root,
                })
            }
        }
    }
}

impl Default for Value<'_> {
    fn default() -> Self {
        Value::null()
    }
}

/// The canonical text: finite whatever cycles there are.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl JavaType for Value<'_> {
    fn java_type() -> Cow<'static, str> {
        Cow::Borrowed("java.lang.Object")
    }
}

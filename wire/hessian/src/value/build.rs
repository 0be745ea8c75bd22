//! Making values by hand.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Arena, Children, NO_NAME, Node, Repr, SEARCHED_MAX, Value, ValueRef, new_id};

/// Builds one value node by node, for shared references and cycles; the constructors of [`Value`] do for trees.
///
/// ```
/// use diwan_hessian::Builder;
/// let mut b = Builder::new();
/// let node = b.reserve();
/// let name = b.str("root");
/// let object = b.object("com.x.Node", &[("name", name), ("parent", node)]);
/// b.put(node, object); // the object's parent is the object itself
/// let value = b.finish(node);
/// assert_eq!(value.describe(), r#"O"com.x.Node"{"name"="root","parent"=@0}"#);
/// ```
pub struct Builder<'a> {
    arena: Arena<'a>,
}

/// A node of a [`Builder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeId(u32);

impl Default for Builder<'_> {
    fn default() -> Self {
        Builder::new()
    }
}

impl<'a> Builder<'a> {
    /// An empty builder.
    pub fn new() -> Self {
        Builder {
            arena: Arena::new(new_id()),
        }
    }

    /// Adds null.
    pub fn null(&mut self) -> NodeId {
        self.node(Node::Null)
    }

    /// Adds a boolean.
    pub fn bool(&mut self, value: bool) -> NodeId {
        self.node(Node::Bool(value))
    }

    /// Adds an `int`.
    pub fn int(&mut self, value: i32) -> NodeId {
        self.node(Node::Int(value))
    }

    /// Adds a `long`.
    pub fn long(&mut self, value: i64) -> NodeId {
        self.node(Node::Long(value))
    }

    /// Adds a `double`.
    pub fn double(&mut self, value: f64) -> NodeId {
        self.node(Node::Double(value))
    }

    /// Adds a date in milliseconds since 1970 UTC.
    pub fn date_ms(&mut self, value: i64) -> NodeId {
        self.node(Node::Date(value))
    }

    /// Adds a string.
    pub fn str(&mut self, value: impl Into<Cow<'a, str>>) -> NodeId {
        self.node(Node::str(value.into()))
    }

    /// Adds a string by its UTF-16 units.
    pub fn str_utf16(&mut self, units: &[u16]) -> NodeId {
        match String::from_utf16(units) {
            Ok(text) => self.str(text),
            Err(_) => self.node(Node::Utf16(units.into())),
        }
    }

    /// Adds `byte[]`.
    pub fn bytes(&mut self, value: impl Into<Cow<'a, [u8]>>) -> NodeId {
        self.node(Node::bytes(value.into()))
    }

    /// Adds a list.
    pub fn list(&mut self, class: Option<&str>, items: &[NodeId]) -> NodeId {
        let class = self.type_name(class);
        let children = self
            .arena
            .push_children(self.next(), items.iter().map(|id| id.0));
        self.node(Node::List { class, children })
    }

    /// Adds a map.
    pub fn map(&mut self, class: Option<&str>, entries: &[(NodeId, NodeId)]) -> NodeId {
        let class = self.type_name(class);
        let children = self.arena.push_children(
            self.next(),
            entries.iter().flat_map(|(key, value)| [key.0, value.0]),
        );
        self.node(Node::Map { class, children })
    }

    /// Adds an object.
    pub fn object(&mut self, class: &str, fields: &[(&str, NodeId)]) -> NodeId {
        let class = self.class(class, fields.iter().map(|(name, _)| *name));
        let children = self
            .arena
            .push_children(self.next(), fields.iter().map(|(_, id)| id.0));
        self.node(Node::Object { class, children })
    }

    /// Adds a node that [`put`](Self::put) fills later; null until then.
    pub fn reserve(&mut self) -> NodeId {
        self.null()
    }

    /// Moves `node` to the place that was reserved: what refers to `reserved` refers to it.
    pub fn put(&mut self, reserved: NodeId, node: NodeId) {
        let content = std::mem::replace(&mut self.arena.nodes[node.0 as usize], Node::Null);
        self.arena.nodes[reserved.0 as usize] = content;
    }

    /// Adds a copy of a value, its shared references and cycles as they are.
    pub fn copy(&mut self, value: &Value<'a>) -> NodeId {
        let (source, root) = match &value.0 {
            Repr::Leaf(node) => return self.node(node.clone()),
            Repr::Tree { arena, root } => (&**arena, *root),
        };
        // Nodes are added first and their children filled in afterwards, so depth costs no stack.
        let mut copies: BTreeMap<u32, u32> = BTreeMap::new();
        let mut pending = vec![root];
        while let Some(id) = pending.pop() {
            if copies.contains_key(&id) {
                continue;
            }
            let node = source.nodes[id as usize].clone();
            if let Node::List { children, .. }
            | Node::Map { children, .. }
            | Node::Object { children, .. } = node
            {
                pending.extend(source.children(children));
            }
            copies.insert(id, self.arena.push(node));
        }
        let mut classes: BTreeMap<u32, u32> = BTreeMap::new();
        for &copy in copies.values() {
            let moved = |children: Children, arena: &mut Arena<'a>| {
                arena.push_children(copy, source.children(children).iter().map(|id| copies[id]))
            };
            let node = match self.arena.nodes[copy as usize] {
                Node::List { class, children } => Node::List {
                    class: self.copy_name(source, class),
                    children: moved(children, &mut self.arena),
                },
                Node::Map { class, children } => Node::Map {
                    class: self.copy_name(source, class),
                    children: moved(children, &mut self.arena),
                },
                Node::Object { class, children } => {
                    let class = *classes.entry(class).or_insert_with(|| {
                        let name =
                            source.names[source.classes[class as usize].name as usize].clone();
                        self.add_class(name, source.fields(class).to_vec())
                    });
                    Node::Object {
                        class,
                        children: moved(children, &mut self.arena),
                    }
                }
                _ => continue,
            };
            self.arena.nodes[copy as usize] = node;
        }
        NodeId(copies[&root])
    }

    /// The value with `root` at its top.
    pub fn finish(self, root: NodeId) -> Value<'a> {
        Value::tree(&Arc::new(self.arena), root.0)
    }

    /// Index of the next node, which is also the number of a container made as such.
    fn next(&self) -> u32 {
        self.arena.nodes.len() as u32
    }

    fn node(&mut self, node: Node<'a>) -> NodeId {
        NodeId(self.arena.push(node))
    }

    fn type_name(&mut self, class: Option<&str>) -> u32 {
        match class {
            Some(name) if !name.is_empty() => self.arena.name(owned(name)),
            _ => NO_NAME,
        }
    }

    fn copy_name(&mut self, source: &Arena<'a>, name: u32) -> u32 {
        if name == NO_NAME {
            NO_NAME
        } else {
            self.arena.name(source.names[name as usize].clone())
        }
    }

    fn class<'n>(&mut self, name: &str, fields: impl Iterator<Item = &'n str>) -> u32 {
        self.add_class(owned(name), fields.map(owned).collect())
    }

    fn add_class(&mut self, name: Cow<'a, [u8]>, fields: Vec<Cow<'a, [u8]>>) -> u32 {
        let arena = &mut self.arena;
        let same = |class: &u32| {
            arena.names[arena.classes[*class as usize].name as usize] == name
                && *arena.fields(*class) == *fields
        };
        let known = (0..arena.classes.len() as u32)
            .take(SEARCHED_MAX)
            .find(same);
        known.unwrap_or_else(|| arena.class(arena.classes.len() as u32, name, fields))
    }
}

fn owned(name: &str) -> Cow<'static, [u8]> {
    Cow::Owned(name.as_bytes().to_vec())
}

impl<'a> Value<'a> {
    /// Null.
    pub fn null() -> Self {
        Self::leaf(Node::Null)
    }

    /// A boolean.
    pub fn bool(value: bool) -> Self {
        Self::leaf(Node::Bool(value))
    }

    /// An `int`.
    pub fn int(value: i32) -> Self {
        Self::leaf(Node::Int(value))
    }

    /// A `long`.
    pub fn long(value: i64) -> Self {
        Self::leaf(Node::Long(value))
    }

    /// A `double`.
    pub fn double(value: f64) -> Self {
        Self::leaf(Node::Double(value))
    }

    /// A date in milliseconds since 1970 UTC.
    pub fn date_ms(value: i64) -> Self {
        Self::leaf(Node::Date(value))
    }

    /// A string.
    pub fn str(value: impl Into<Cow<'a, str>>) -> Self {
        Self::leaf(Node::str(value.into()))
    }

    /// `byte[]`.
    pub fn bytes(value: impl Into<Cow<'a, [u8]>>) -> Self {
        Self::leaf(Node::bytes(value.into()))
    }

    /// A list of copies of `items`.
    pub fn list(class: Option<&str>, items: impl IntoIterator<Item = Value<'a>>) -> Self {
        let mut b = Builder::new();
        let items: Vec<_> = items.into_iter().map(|item| b.copy(&item)).collect();
        let root = b.list(class, &items);
        b.finish(root)
    }

    /// A map of copies of `entries`.
    pub fn map(
        class: Option<&str>,
        entries: impl IntoIterator<Item = (Value<'a>, Value<'a>)>,
    ) -> Self {
        let mut b = Builder::new();
        let entries: Vec<_> = entries
            .into_iter()
            .map(|(key, value)| (b.copy(&key), b.copy(&value)))
            .collect();
        let root = b.map(class, &entries);
        b.finish(root)
    }

    /// An object with copies of the values of `fields`.
    pub fn object<'n>(class: &str, fields: impl IntoIterator<Item = (&'n str, Value<'a>)>) -> Self {
        let mut b = Builder::new();
        let fields: Vec<_> = fields
            .into_iter()
            .map(|(name, value)| (name, b.copy(&value)))
            .collect();
        let root = b.object(class, &fields);
        b.finish(root)
    }

    /// The value that `node`, found in this one, is the top of. It shares this value's arena.
    pub fn at(&self, node: ValueRef<'_>) -> Option<Value<'a>> {
        match &self.0 {
            Repr::Leaf(leaf) => std::ptr::addr_eq(leaf, node.node()).then(|| self.clone()),
            Repr::Tree { arena, .. } => {
                let same = std::ptr::addr_eq(Arc::as_ptr(arena), node.arena_address());
                same.then(|| Value::tree(arena, node.index()))
            }
        }
    }
}

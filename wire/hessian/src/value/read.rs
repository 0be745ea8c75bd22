//! Reading a value into an arena.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{Arena, NO_NAME, Node, Value};
use crate::decode::{Decode, Decoder, Names, Number, Text, Walk, name_text};
use crate::dialect::{Dialect, draft, last, tag};
use crate::error::{Error, Result};

/// Elements an arena costs: the smallest container takes a byte of the input and some hundreds of memory.
const ARENA_COST: usize = 16;

/// Nodes to reserve room for: those of an argument of some twenty fields.
const NODES_USUAL: usize = 40;

/// An arena that is being filled.
struct Collector<'a> {
    arena: Arena<'a>,
    /// First container number that belongs to this arena.
    base: u32,
    /// Node of each container from `base` on.
    containers: SmallVec<[u32; 16]>,
    /// Nodes of earlier containers that were read again into this arena.
    earlier: BTreeMap<u32, u32>,
    /// Arena class of each class number of the input.
    classes: SmallVec<[u32; 8]>,
    /// Children of the containers that are still open.
    pending: SmallVec<[u32; 64]>,
    open: SmallVec<[Open<'a>; 8]>,
}

/// A container that is being read.
struct Open<'a> {
    walk: Walk<'a>,
    node: u32,
    class: u32,
    /// Where its children start among the pending ones.
    mark: usize,
}

impl<'de> Decoder<'de> {
    /// Reads one value of any kind.
    pub fn value(&mut self) -> Result<Value<'de>> {
        self.definitions()?;
        let start = self.position();
        if let Some(text) = self.short_text() {
            return Ok(Value::leaf(Node::Str(text)));
        }
        let byte = self.byte()?;
        if let Some(leaf) = leaf(self, byte)? {
            return Ok(Value::leaf(leaf));
        }
        self.rewind(start);
        self.charge(ARENA_COST)?;
        let mut collector = Collector::new(self);
        let root = collector.read(self)?;
        Ok(Value::tree(&Arc::new(collector.arena), root))
    }

    /// Reads `count` values into one arena: references that cross from one to another stay references, for reading as
    /// for writing.
    pub fn values(&mut self, count: usize) -> Result<Vec<Value<'de>>> {
        let mut collector = Collector::new(self);
        let mut roots = Vec::new();
        for _ in 0..count {
            roots.push(collector.read(self)?);
        }
        let arena = Arc::new(collector.arena);
        Ok(roots
            .into_iter()
            .map(|root| Value::tree(&arena, root))
            .collect())
    }
}

/// Owned, so that a field of a type without lifetimes can hold it; [`Decoder::value`] lends.
impl<'de, 'a> Decode<'de> for Value<'a> {
    fn decode(d: &mut Decoder<'de>) -> Result<Self> {
        d.value().map(Value::into_owned)
    }

    fn absent() -> Option<Self> {
        Some(Value::null())
    }
}

impl<'a> Collector<'a> {
    fn new(d: &mut Decoder<'a>) -> Self {
        Collector {
            arena: Arena::new(d.body_id()),
            base: d.container_count(),
            containers: SmallVec::new(),
            earlier: BTreeMap::new(),
            classes: SmallVec::new(),
            pending: SmallVec::new(),
            open: SmallVec::new(),
        }
    }

    /// Reserves room for the outermost container with `count` children, and as much again for what is inside them.
    fn reserve(&mut self, d: &Decoder<'a>, count: usize) {
        if self.arena.nodes.is_empty() {
            let room = (2 * count + 1).min(NODES_USUAL).min(d.left());
            self.arena.nodes.reserve(room);
            self.arena.children.reserve(room);
        }
    }

    /// Reads one value, returns its node. Without recursion: depth costs memory, not stack.
    fn read(&mut self, d: &mut Decoder<'a>) -> Result<u32> {
        loop {
            self.start(d)?;
            loop {
                let Some(open) = self.open.last_mut() else {
                    return Ok(self.pending.pop().unwrap_or_default());
                };
                if d.walk_next(&mut open.walk)? {
                    break;
                }
                self.close();
            }
        }
    }

    /// Reads a value without content, or a container up to its content. Either becomes a child of what is open.
    fn start(&mut self, d: &mut Decoder<'a>) -> Result<()> {
        if let Some(text) = d.short_text() {
            let node = self.arena.push(Node::Str(text));
            self.pending.push(node);
            return Ok(());
        }
        let mut byte = d.byte()?;
        if d.is_definition(byte) {
            d.definition(None)?;
            d.definitions()?;
            byte = d.byte()?;
        }
        let offset = d.position() - 1;
        if let Some(leaf) = leaf(d, byte)? {
            let node = self.arena.push(leaf);
            self.pending.push(node);
            return Ok(());
        }
        if let Some(walk) = d.walk_after(byte, None)? {
            self.begin(d, walk);
            return Ok(());
        }
        let Some(number) = d.reference_after(byte)? else {
            return Err(Error::Tag {
                offset,
                tag: byte,
                expected: "a value",
            });
        };
        if let Some(node) = self.node_of(number) {
            self.pending.push(node);
            return Ok(());
        }
        // Read before, outside of this arena.
        let resume = d.follow(number)?;
        let byte = d.byte()?;
        match d.walk_after(byte, Some(resume))? {
            Some(walk) => self.begin(d, walk),
            None => {
                return Err(Error::Tag {
                    offset,
                    tag: byte,
                    expected: "a container",
                });
            }
        }
        Ok(())
    }

    /// Opens a container: its node is there before its content is, which may refer to it.
    fn begin(&mut self, d: &Decoder<'a>, walk: Walk<'a>) {
        let (count, class) = match &walk {
            Walk::Object { head, left } => (*left as usize, self.class(d, head.class_index())),
            Walk::List(head) => (head.len_hint(), self.type_name(d, head.class_bytes())),
            Walk::Map { head, .. } => (0, self.type_name(d, head.class_bytes())),
        };
        self.reserve(d, count);
        let node = self.arena.push(Node::Null);
        self.note(walk.number(), node);
        self.pending.push(node);
        let mark = self.pending.len();
        self.open.push(Open {
            walk,
            node,
            class,
            mark,
        });
    }

    /// Closes the innermost container: its children are those that are pending since it was opened.
    fn close(&mut self) {
        let Some(Open {
            walk,
            node,
            class,
            mark,
        }) = self.open.pop()
        else {
            return;
        };
        let children = self
            .arena
            .push_children(walk.number(), self.pending.drain(mark..));
        self.arena.nodes[node as usize] = match walk {
            Walk::Object { .. } => Node::Object { class, children },
            Walk::List(_) => Node::List { class, children },
            Walk::Map { .. } => Node::Map { class, children },
        };
    }

    fn node_of(&self, number: u32) -> Option<u32> {
        match number.checked_sub(self.base) {
            Some(index) => self.containers.get(index as usize).copied(),
            None => self.earlier.get(&number).copied(),
        }
    }

    /// Notes the node of container `number` before its content is read: the content may refer to it.
    fn note(&mut self, number: u32, node: u32) {
        match number.checked_sub(self.base) {
            Some(index) if index as usize == self.containers.len() => self.containers.push(node),
            Some(_) => {}
            None => {
                self.earlier.insert(number, node);
            }
        }
    }

    fn type_name(&mut self, d: &Decoder<'a>, name: &'a [u8]) -> u32 {
        if name.is_empty() {
            NO_NAME
        } else {
            self.arena.name(name_bytes(name, d.has_surrogate_names()))
        }
    }

    fn class(&mut self, d: &Decoder<'a>, index: usize) -> u32 {
        if self.classes.len() <= index {
            self.classes.resize(index + 1, NO_NAME);
        }
        if self.classes[index] == NO_NAME {
            let number = index as u32;
            let surrogates = d.has_surrogate_names();
            let (name, fields) = d.class(index);
            self.classes[index] = match fields {
                Names::Known(fields) => {
                    let fields = fields.iter().map(|field| Cow::Borrowed(field.as_bytes()));
                    self.arena
                        .class(number, name_bytes(name, surrogates), fields)
                }
                Names::Read(fields) => {
                    let fields = fields.iter().map(|field| name_bytes(field, surrogates));
                    self.arena
                        .class(number, name_bytes(name, surrogates), fields)
                }
            };
        }
        self.classes[index]
    }
}

/// A name as UTF-8: as it stands, unless some name of the input has surrogates.
fn name_bytes(name: &[u8], surrogates: bool) -> Cow<'_, [u8]> {
    if !surrogates {
        return Cow::Borrowed(name);
    }
    match name_text(name) {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// The value without children that `byte` starts, if it does.
#[inline]
fn leaf<'a>(d: &mut Decoder<'a>, byte: u8) -> Result<Option<Node<'a>>> {
    Ok(Some(match byte {
        0x80..=0xbf => Node::Int(i32::from(byte) - 0x90),
        tag::NULL => Node::Null,
        tag::TRUE => Node::Bool(true),
        tag::FALSE => Node::Bool(false),
        // Neither dialect starts a leaf with these, nor the final version with those.
        tag::MAP | tag::LIST | draft::OBJECT => return Ok(None),
        0x60..=0x7f | last::MAP_UNTYPED if d.dialect() == Some(Dialect::Final) => return Ok(None),
        _ => return other_leaf(d, byte),
    }))
}

fn other_leaf<'a>(d: &mut Decoder<'a>, byte: u8) -> Result<Option<Node<'a>>> {
    if let Some(number) = d.number_after(byte)? {
        return Ok(Some(match number {
            Number::Null => Node::Null,
            Number::Bool(value) => Node::Bool(value),
            Number::Int(value) => Node::Int(value),
            Number::Long(value) => Node::Long(value),
            Number::Double(value) => Node::Double(value),
        }));
    }
    if let Some(date) = d.date_after(byte)? {
        return Ok(Some(Node::Date(date)));
    }
    if let Some(text) = d.text_after(byte)? {
        return Ok(Some(match text {
            Text::Utf8(text) => Node::str(text),
            Text::Lone(units) => Node::Utf16(units.into()),
        }));
    }
    Ok(d.bytes_after(byte)?.map(Node::bytes))
}

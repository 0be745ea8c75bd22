//! Writing a value: shared nodes once, references afterwards.

use super::{Arena, NO_NAME, Node, Repr, Value};
use crate::encode::{Encode, Encoder};

/// What a writer has written of the arenas of one id.
#[derive(Default)]
pub(crate) struct Written {
    /// What number each container has in the output, by its own.
    numbers: Vec<u32>,
    /// What number each class has in the output, by its own.
    classes: Vec<u32>,
}

const NOT_WRITTEN: u32 = u32::MAX;

/// A container that is being written.
struct Open {
    node: u32,
    /// Next child and end, in `Arena::children`.
    next: u32,
    end: u32,
}

impl Encode for Value<'_> {
    fn encode(&self, e: &mut Encoder<'_>) {
        match &self.0 {
            Repr::Leaf(leaf) => write_leaf(leaf, e),
            Repr::Tree { arena, root } => write_tree(arena, *root, e),
        }
    }
}

fn write_tree(arena: &Arena<'_>, root: u32, e: &mut Encoder<'_>) {
    let mut written = e.take_written(arena.id).unwrap_or_default();
    let mut open: Vec<Open> = Vec::new();
    let mut id = root;
    loop {
        if let Some(container) = written.write(arena, id, e) {
            open.push(container);
        }
        // The next child of the innermost container that has one left.
        id = loop {
            match open.last_mut() {
                Some(top) if top.next < top.end => {
                    top.next += 1;
                    break arena.children[top.next as usize - 1];
                }
                Some(top) => {
                    match arena.nodes[top.node as usize] {
                        Node::List { .. } => e.list_end(),
                        Node::Map { .. } => e.map_end(),
                        _ => {}
                    }
                    open.pop();
                }
                None => return e.put_written(arena.id, written),
            }
        };
    }
}

impl Written {
    /// Writes a reference to container `number` if it was written; otherwise notes that it is now.
    fn refers(&mut self, number: u32, e: &mut Encoder<'_>) -> bool {
        let known = slot(&mut self.numbers, number);
        if *known != NOT_WRITTEN {
            e.reference(*known);
            return true;
        }
        *known = e.next_reference();
        false
    }

    /// Writes a node up to its children.
    fn write(&mut self, arena: &Arena<'_>, id: u32, e: &mut Encoder<'_>) -> Option<Open> {
        let name = |class: u32| (class != NO_NAME).then(|| arena.text(class));
        let children = match &arena.nodes[id as usize] {
            Node::List { class, children } => {
                if self.refers(children.number, e) {
                    return None;
                }
                e.list_begin(name(*class), (children.end - children.start) as usize);
                children
            }
            Node::Map { class, children } => {
                if self.refers(children.number, e) {
                    return None;
                }
                e.map_begin(name(*class));
                children
            }
            Node::Object { class, children } => {
                if self.refers(children.number, e) {
                    return None;
                }
                let index = slot(&mut self.classes, arena.classes[*class as usize].number);
                if *index == NOT_WRITTEN {
                    let class_name = &arena.names[arena.classes[*class as usize].name as usize];
                    let fields = arena.fields(*class).iter().map(|field| &**field);
                    *index = e.define(class_name, fields) as u32;
                }
                e.object_tag(*index as usize);
                children
            }
            leaf => {
                write_leaf(leaf, e);
                return None;
            }
        };
        Some(Open {
            node: id,
            next: children.start,
            end: children.end,
        })
    }
}

/// The number noted under `index`.
fn slot(numbers: &mut Vec<u32>, index: u32) -> &mut u32 {
    let index = index as usize;
    if numbers.len() <= index {
        numbers.resize(index + 1, NOT_WRITTEN);
    }
    &mut numbers[index]
}

fn write_leaf(node: &Node<'_>, e: &mut Encoder<'_>) {
    match node {
        Node::Bool(value) => e.bool(*value),
        Node::Int(value) => e.int(*value),
        Node::Long(value) => e.long(*value),
        Node::Double(value) => e.double(*value),
        Node::Date(value) => e.date_ms(*value),
        Node::Str(value) => e.str(value),
        Node::OwnedStr(value) => e.str(value),
        Node::Utf16(value) => e.str_utf16(value),
        Node::Bytes(value) => e.bytes(value),
        Node::OwnedBytes(value) => e.bytes(value),
        Node::Null | Node::List { .. } | Node::Map { .. } | Node::Object { .. } => e.null(),
    }
}

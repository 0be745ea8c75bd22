//! What an expression is about: which entries of its root it reads, and which values it compares them with.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::Expr;
use super::node::Node;

impl Expr {
    /// The entries of its root that it reads; `None` if it needs the whole of it.
    #[must_use]
    pub fn reads(&self) -> Option<BTreeSet<Arc<str>>> {
        let mut keys = BTreeSet::new();
        reads(&self.node, &mut keys).then_some(keys)
    }

    /// The literals in it.
    #[must_use]
    pub fn literals(&self) -> Vec<Value> {
        let mut found = Vec::new();
        literals(&self.node, &mut found);
        found
    }
}

fn is_root(node: &Node) -> bool {
    matches!(node, Node::Root | Node::This)
}

/// Whether all of it is about entries of the root.
fn reads(node: &Node, keys: &mut BTreeSet<Arc<str>>) -> bool {
    match node {
        Node::Literal(_) => true,
        Node::Root | Node::This => false,
        Node::Name(name) => {
            keys.insert(Arc::clone(name));
            true
        }
        Node::Property { of, name, .. } if is_root(of) => {
            keys.insert(Arc::clone(name));
            true
        }
        Node::Index { of, index } if is_root(of) => match &**index {
            Node::Name(name) => {
                keys.insert(Arc::clone(name));
                true
            }
            Node::Literal(Value::String(name)) => {
                keys.insert(name.as_str().into());
                true
            }
            _ => false,
        },
        Node::Property { of, .. } => reads(of, keys),
        Node::Index { of, index } => {
            let fixed = matches!(**index, Node::Name(_) | Node::Literal(_));
            fixed && reads(of, keys)
        }
        Node::Call { of, arguments, .. } => {
            reads(of, keys) && arguments.iter().all(|argument| reads(argument, keys))
        }
        Node::Select { .. } => false,
        Node::List(parts) => parts.iter().all(|part| reads(part, keys)),
        Node::Has { of, name } if is_root(of) => {
            keys.insert(Arc::clone(name));
            true
        }
        Node::Has { of, .. } => reads(of, keys),
        Node::Not(of) | Node::Minus(of) => reads(of, keys),
        Node::Binary(_, left, right) => reads(left, keys) && reads(right, keys),
        Node::Either(parts) => parts.iter().all(|part| reads(part, keys)),
    }
}

fn literals(node: &Node, found: &mut Vec<Value>) {
    match node {
        Node::Literal(value) => found.push(value.clone()),
        Node::Root | Node::This | Node::Name(_) => {}
        Node::Property { of, .. } | Node::Not(of) | Node::Minus(of) => literals(of, found),
        Node::Index { of, .. } => literals(of, found),
        Node::Call { of, arguments, .. } => {
            literals(of, found);
            arguments.iter().for_each(|one| literals(one, found));
        }
        Node::Select { of, predicate } => {
            literals(of, found);
            literals(predicate, found);
        }
        Node::Binary(_, left, right) => {
            literals(left, found);
            literals(right, found);
        }
        Node::Either(parts) => parts.iter().for_each(|part| literals(part, found)),
        Node::List(parts) => parts.iter().for_each(|part| literals(part, found)),
        Node::Has { of, .. } => literals(of, found),
    }
}

//! Graphs that may have cycles and shared parts.

use std::collections::HashMap;
use std::fmt::Write;

use diwan::Hessian;
use diwan::hessian::{Shared, SharedRef};

/// A vertex.
#[derive(Clone, Debug, Default, Hessian)]
#[hessian(class = "com.diwan.interop.Node")]
pub struct Node {
    /// Its label.
    pub name: Option<String>,
    /// One neighbour.
    pub next: Option<Shared<Node>>,
    /// Others.
    pub peers: Vec<Shared<Node>>,
}

/// Nodes of [`ring`]: as deep as the stack of a peer allows.
const RING_MAX: i32 = 1000;

fn address(node: &SharedRef<Node>) -> usize {
    std::ptr::from_ref::<Node>(node).addr()
}

/// Every node that can be reached: its peers backwards, its name with `'` at the end. The same graph otherwise.
pub fn swap_peers(start: &Shared<Node>) -> Option<Shared<Node>> {
    swapped(start, &mut HashMap::new())
}

fn swapped(edge: &Shared<Node>, made: &mut HashMap<usize, Shared<Node>>) -> Option<Shared<Node>> {
    let node = edge.get()?;
    if let Some(known) = made.get(&address(&node)) {
        return Some(known.clone());
    }
    let done = Shared::new_cyclic(|this| {
        made.insert(address(&node), this);
        let name = node.name.as_deref().unwrap_or("null");
        Node {
            name: Some(format!("{name}'")),
            next: node.next.as_ref().and_then(|next| swapped(next, made)),
            peers: (node.peers.iter().rev())
                .filter_map(|peer| swapped(peer, made))
                .collect(),
        }
    });
    made.insert(address(&node), done.clone());
    Some(done)
}

/// How many different nodes can be reached.
pub fn reach(start: &Shared<Node>) -> usize {
    let mut seen = HashMap::new();
    let mut open = vec![start.clone()];
    while let Some(edge) = open.pop() {
        let Some(node) = edge.get() else { continue };
        if seen.insert(address(&node), ()).is_none() {
            open.extend(node.next.iter().chain(&node.peers).cloned());
        }
    }
    seen.len()
}

/// `size` nodes `0`, `1`, ... whose next leads around; each has its predecessor and itself as peers.
pub fn ring(size: i32) -> Option<Shared<Node>> {
    (1..=RING_MAX)
        .contains(&size)
        .then(|| segment(0, size as usize, &mut Vec::new()))
}

fn segment(index: usize, size: usize, made: &mut Vec<Shared<Node>>) -> Shared<Node> {
    let done = Shared::new_cyclic(|this| {
        made.push(this.clone());
        let next = match index + 1 {
            end if end == size => made[0].clone(),
            next => segment(next, size, made),
        };
        let before = made[(index + size - 1) % size].clone();
        Node {
            name: Some(index.to_string()),
            next: Some(next),
            peers: vec![before, this],
        }
    });
    made[index] = done.clone();
    done
}

/// The graph as text: a node met again is its number.
pub fn graph_text(start: Option<&Shared<Node>>) -> String {
    let mut out = String::new();
    write_edge(start, &mut HashMap::new(), &mut out);
    out
}

fn write_edge(edge: Option<&Shared<Node>>, seen: &mut HashMap<usize, usize>, out: &mut String) {
    let Some(node) = edge.and_then(Shared::get) else {
        return out.push_str("null ");
    };
    let number = seen.len();
    if let Some(known) = seen.get(&address(&node)) {
        let _ = write!(out, "#{known} ");
        return;
    }
    seen.insert(address(&node), number);
    let _ = write!(out, "#{number}{:?}(", node.name);
    write_edge(node.next.as_ref(), seen, out);
    for peer in &node.peers {
        write_edge(Some(peer), seen, out);
    }
    out.push(')');
}

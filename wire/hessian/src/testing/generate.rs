//! Random values from a seed.

use crate::value::{Builder, NodeId, Value};

/// A small generator of numbers (splitmix64): the same everywhere, which is all it has to be.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }
}

/// A random value that the wire can carry: every kind, every compact form and its edges, classes, shared references
/// and cycles.
pub fn generate(seed: u64) -> Value<'static> {
    Generator::new(seed, false).finish()
}

/// A random value that Java and JavaScript read without loss: arrays hold what their class says, keys are strings,
/// decimals are decimals, no classes that a reader knows better, no lone surrogates, dates of our time.
pub fn generate_readable(seed: u64) -> Value<'static> {
    Generator::new(seed, true).finish()
}

struct Generator {
    random: Random,
    b: Builder<'static>,
    /// Containers so far, open ones included: targets of references.
    containers: Vec<NodeId>,
    /// Nodes still to make.
    left: usize,
    readable: bool,
}

/// Classes with their fields, so that one class always has the same ones.
const CLASSES: &[(&str, &[&str])] = &[
    ("com.x.Empty", &[]),
    ("com.x.Node", &["next", "value"]),
    ("com.x.Color", &["name"]),
    ("java.math.BigDecimal", &["value"]),
    ("com.x.Wide", &["a", "b", "c", "d", "e"]),
    (
        "com.\u{4e2d}.Klass",
        &[
            "\u{6587}",
            "a_field_name_with_more_than_thirty_one_characters",
        ],
    ),
];

/// Those of them that no reader has a class for.
const CLASSES_READABLE: &[usize] = &[1, 4];

const LIST_CLASSES: &[&str] = &[
    "[int",
    "[string",
    "java.util.LinkedList",
    "java.util.HashSet",
    "[com.x.Node",
];
const MAP_CLASSES: &[&str] = &[
    "java.util.TreeMap",
    "java.util.Hashtable",
    "java.util.LinkedHashMap",
];

impl Generator {
    fn new(seed: u64, readable: bool) -> Self {
        Generator {
            random: Random::new(seed),
            b: Builder::new(),
            containers: Vec::new(),
            left: 60,
            readable,
        }
    }

    fn finish(mut self) -> Value<'static> {
        let root = self.value(0);
        self.b.finish(root)
    }

    fn value(&mut self, depth: usize) -> NodeId {
        self.left = self.left.saturating_sub(1);
        let leaf = depth >= 6 || self.left == 0;
        match self.random.below(if leaf { 9 } else { 14 }) {
            0 => self.b.null(),
            1 => {
                let value = self.random.below(2) == 0;
                self.b.bool(value)
            }
            2 => {
                let value = self.edge() as i32;
                self.b.int(value)
            }
            3 => {
                let value = self.edge();
                self.b.long(value)
            }
            4 => {
                let value = self.double();
                self.b.double(value)
            }
            5 => {
                let value = self.date();
                self.b.date_ms(value)
            }
            6 | 7 => self.string(),
            8 => self.bytes(),
            9 | 10 => self.list(depth),
            11 => self.map(depth),
            12 => self.object(depth),
            _ => match self.containers.len() {
                0 => self.b.null(),
                count => self.containers[self.random.below(count)],
            },
        }
    }

    /// A number at or beside an edge of some compact form, or anywhere.
    fn edge(&mut self) -> i64 {
        const EDGES: &[i64] = &[
            0,
            -16,
            47,
            -8,
            15,
            -2048,
            2047,
            -262_144,
            262_143,
            -0x8000_0000,
            0x7fff_ffff,
        ];
        match self.random.below(4) {
            0 => self.random.number().cast_signed(),
            1 => i64::from((self.random.number() as i32) >> self.random.below(32)),
            _ => EDGES[self.random.below(EDGES.len())] + self.random.below(3) as i64 - 1,
        }
    }

    fn double(&mut self) -> f64 {
        match self.random.below(7) {
            0 => f64::from_bits(self.random.number()),
            1 => self.edge() as f64,
            2 => self.edge() as f64 / 1000.0,
            3 => f64::from(f32::from_bits(self.random.number() as u32)),
            4 => self.random.below(300) as f64 - 150.0,
            5 => 0.001 * (self.edge() as i32) as f64,
            _ => [
                f64::INFINITY,
                f64::NEG_INFINITY,
                f64::NAN,
                f64::MIN,
                f64::MIN_POSITIVE,
            ][self.random.below(5)],
        }
    }

    fn date(&mut self) -> i64 {
        match self.random.below(3) {
            0 if self.readable => 60_000 * self.random.below(1 << 25) as i64,
            _ if self.readable => 1_585_267_200_000 + self.random.below(1 << 30) as i64,
            0 => self.edge().wrapping_mul(60_000),
            1 => 1_585_267_200_000 + self.random.below(1 << 30) as i64,
            _ => self.edge(),
        }
    }

    fn length(&mut self) -> usize {
        const LENGTHS: &[usize] = &[15, 16, 31, 32, 255, 256, 1023, 1024];
        match self.random.below(60) {
            0 => 0x8000 + self.random.below(3) - 1,
            1 => 0x10000 + self.random.below(3) - 1,
            2..=9 => LENGTHS[self.random.below(LENGTHS.len())],
            _ => self.random.below(20),
        }
    }

    fn string(&mut self) -> NodeId {
        let length = self.length();
        let alphabet = self.random.below(if self.readable { 3 } else { 4 });
        let units: Vec<u16> = (0..length)
            .flat_map(|_| self.units(alphabet))
            .take(length)
            .collect();
        // A pair that was cut is half of one.
        let cut = self.readable
            && units
                .last()
                .is_some_and(|unit| (0xd800..0xdc00).contains(unit));
        self.b.str_utf16(&units[..units.len() - usize::from(cut)])
    }

    /// A character, or part of one.
    fn units(&mut self, alphabet: usize) -> Vec<u16> {
        match (alphabet, self.random.below(40)) {
            (3, 0) => vec![0xd800 + self.random.below(0x800) as u16],
            (2 | 3, 1..=10) => {
                let pair = 0x1_f600 + self.random.below(64) as u32;
                char::from_u32(pair).map_or(vec![], |c| c.encode_utf16(&mut [0; 2]).to_vec())
            }
            (1.., 11..=25) => vec![0x4e00 + self.random.below(0x100) as u16],
            (1.., 26..=30) => vec![0x80 + self.random.below(0x780) as u16],
            (_, 31) => vec![self.random.below(0x20) as u16],
            _ => vec![0x20 + self.random.below(0x5f) as u16],
        }
    }

    fn bytes(&mut self) -> NodeId {
        let length = self.length();
        let bytes: Vec<u8> = (0..length).map(|_| self.random.number() as u8).collect();
        self.b.bytes(bytes)
    }

    fn children(&mut self) -> usize {
        match self.random.below(20) {
            0 => 7 + self.random.below(3),
            1 => 20,
            _ => self.random.below(5),
        }
    }

    /// Reserves a node for a container, so that what is inside can refer to it.
    fn begin(&mut self) -> NodeId {
        let node = self.b.reserve();
        self.containers.push(node);
        node
    }

    fn list(&mut self, depth: usize) -> NodeId {
        let node = self.begin();
        let class = LIST_CLASSES
            .get(self.random.below(2 * LIST_CLASSES.len()))
            .copied();
        let count = self.children();
        let items: Vec<_> = match class {
            Some(class) if self.readable => {
                (0..count).map(|_| self.item_of(class, depth)).collect()
            }
            _ => (0..count).map(|_| self.value(depth + 1)).collect(),
        };
        let list = self.b.list(class, &items);
        self.b.put(node, list);
        node
    }

    /// An item that a list of `class` can hold in Java.
    fn item_of(&mut self, class: &str, depth: usize) -> NodeId {
        match class {
            "[int" => {
                let value = self.edge() as i32;
                self.b.int(value)
            }
            "[string" | "java.util.HashSet" => {
                let text = format!("item{}", self.random.number());
                self.b.str(text)
            }
            "[com.x.Node" => self.b.null(),
            _ => self.value(depth + 1),
        }
    }

    fn map(&mut self, depth: usize) -> NodeId {
        let node = self.begin();
        let entries: Vec<_> = (0..self.children())
            .map(|index| (self.key(index), self.value(depth + 1)))
            .collect();
        // A Hashtable holds no null.
        let class = MAP_CLASSES
            .get(self.random.below(2 * MAP_CLASSES.len()))
            .copied()
            .filter(|class| !self.readable || *class != "java.util.Hashtable");
        let map = self.b.map(class, &entries);
        self.b.put(node, map);
        node
    }

    /// Different keys, so that every language keeps all entries.
    fn key(&mut self, index: usize) -> NodeId {
        match self.random.below(3) {
            0 if !self.readable => self.b.int(index as i32),
            _ => self.b.str(format!("key{index}")),
        }
    }

    fn object(&mut self, depth: usize) -> NodeId {
        let node = self.begin();
        let index = match self.readable {
            true => CLASSES_READABLE[self.random.below(CLASSES_READABLE.len())],
            false => self.random.below(CLASSES.len()),
        };
        let (class, names) = CLASSES[index];
        let fields: Vec<_> = names
            .iter()
            .map(|name| (*name, self.value(depth + 1)))
            .collect();
        let object = self.b.object(class, &fields);
        self.b.put(node, object);
        node
    }
}

//! Bounds a reader keeps whatever the bytes claim.

/// What one [`Decoder`](crate::Decoder) accepts at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Containers (lists, maps, objects) inside each other. Reading recurses, so this bounds the stack: some hundred
    /// bytes a level for values, about the size of the struct and its largest fields for derived ones (several times
    /// that without optimisation).
    pub depth_max: u32,
    /// List items, map entries and object fields of the whole input. What is read a second time through a back
    /// reference counts again (its strings and bytes too, eight bytes an element), which is what stops reference bombs.
    pub elements_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            depth_max: 256,
            elements_max: 8_000_000,
        }
    }
}

//! Bounds a reader keeps whatever the bytes claim.

/// What one [`Decoder`](crate::Decoder) accepts at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Containers (lists, maps, objects) inside each other. Values and skipping take no stack for them; a derived
    /// struct that holds itself recurses, by about its own size a level and several times that without optimisation.
    pub depth_max: u32,
    /// List items, map entries and object fields of the whole input. What is read a second time through a back
    /// reference counts again (its strings and bytes too, eight bytes an element), which is what stops reference bombs.
    pub elements_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            depth_max: 512,
            elements_max: 8_000_000,
        }
    }
}

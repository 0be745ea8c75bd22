//! The simulated world. What happens in it depends on a seed and nothing else.

mod disk;
mod random;

pub use disk::{DiskCounts, SimDisk, SimFile};
pub use random::Random;

//! What load generators share.

pub mod histogram;
pub mod process;

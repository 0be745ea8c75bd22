//! What load generators share.

pub mod process;

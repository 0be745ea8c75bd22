//! What tests, fuzzers and examples share. No part of the API.

mod fuzz;
mod generate;
mod mutate;

pub use fuzz::{fuzz_draft, fuzz_final};
pub use generate::{Random, generate, generate_readable};
pub use mutate::mutate;

//! What a registry's client sends when, and which lists it shows: no clock, no socket, the same inputs give the same outputs.

mod client;
mod list;
mod lists;
mod registration;
#[cfg(test)]
mod tests;

pub(super) use client::{Config, Now, State, Ticket};
pub use list::GuardRule;
pub(super) use list::Instances;
pub(super) use lists::{ServiceLists, Shown, Told};
pub(super) use registration::{Identity, RegistId, Wanted};

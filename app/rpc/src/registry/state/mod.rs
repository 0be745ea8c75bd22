//! What a registry's client sends when, and which lists it shows: no clock, no socket, the same inputs give the same outputs.

mod list;
mod registration;
mod session;
#[cfg(test)]
mod tests;

pub use list::GuardRule;
pub(super) use registration::{Identity, RegistId, Wanted};
pub(super) use session::{Config, Now, Shown, State, Ticket};

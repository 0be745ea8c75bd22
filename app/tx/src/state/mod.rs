//! What a client says to its coordinators when, and what it makes of what they say: no clock, no socket, no chance. The same inputs
//! give the same outputs.

mod links;
mod orders;
mod requests;
mod server;
#[cfg(test)]
mod tests;

pub(crate) use links::{Config, Event, Output, Role, State, failed, retryable};
pub(crate) use orders::OrderId;
pub(crate) use requests::{Failure, Ticket};
pub(crate) use server::Connection;

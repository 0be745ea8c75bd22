//! The service registry. [`state`] decides who is told what and when, without a clock or a socket; [`edge`] brings it to clients;
//! [`settings`] is what all nodes must agree on, and goes through the log.

pub mod edge;
pub mod fuzz;
pub mod settings;
pub mod state;

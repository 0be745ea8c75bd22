//! The service registry. [`state`] decides who is told what and when, without a clock or a socket.

pub mod state;

//! Sagas. [`lang`] reads Seata's state language, [`expr`] is its expressions, [`engine`] runs machines: commands in,
//! replies and effects out. It reads no clock, draws nothing at random and opens no socket; what must survive is the
//! sequence of its commands, and calls that are not answered yet are an outbox in its state. Before that, [`check`](mod@check)
//! finds out whether a machine can lose money, [`draw`] shows it, and [`build`] writes it. [`host`] gives the engine a log and a world.

pub mod build;
pub mod check;
pub mod draw;
pub mod engine;
pub mod expr;
pub mod fuzz;
pub mod host;
pub mod lang;

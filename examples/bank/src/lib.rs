//! A small bank over Diwan: `account` keeps balances (two instances, each with a range of accounts), `gateway` takes
//! transfers over HTTP, and a node makes them as sagas of calls to the instances that it finds in its registry. The demonstration
//! drives them, kills one instance and the node, puts others in their places and counts the money.
//!
//! The one place that knows how a transfer is made of several calls is [`saga`], or [`tcc`] where the gateway makes transfers itself, as
//! transactions that the node coordinates.

pub mod account;
pub mod demo;
mod fence;
pub mod gateway;
mod generate;
mod http;
mod ledger;
mod lifeline;
mod money;
mod saga;
mod shard;
pub mod tcc;
mod transfers_file;

pub use generate::{TRANSFERS_CSV, generate};
pub use ledger::{Ledger, LedgerError, Side};
pub use money::{Cents, MoneyError, account_name, account_number};
pub use shard::Shard;
pub use transfers_file::{BadLine, Line, Transfer, read_lines};

/// The runtime of a service's main thread.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

/// Ready when the process is asked to stop.
async fn stop_signal() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    let _ = interrupted.await;
}

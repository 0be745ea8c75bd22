//! Logs on etcd and PostgreSQL in the real world: clients that carry the protocol's requests out on an engine, and what drives
//! the protocol over them.

mod address;
mod client;
mod copy;
mod etcd;
mod host;
mod logs;
mod postgres;
mod spread;

pub use address::{Address, AddressError, EtcdAddress, PostgresAddress, SslCheck, TlsFiles, User};
pub use client::Client;
pub use copy::{Copied, CopyError, copy, copy_to_engine, copy_to_node};
pub use diwan_engine::Failure;
pub use host::{Counts, Host, LogOptions, LogStatus, Options};
pub use logs::Logs;

//! The facade that an application depends on.
//!
//! Write a service as a trait of async functions and mark it with [`macro@service`]; publish its implementation with an
//! [`rpc::Server`]; call it with the client that the macro makes. Types that travel derive [`Hessian`].
//!
//! ```
//! use diwan::rpc::{ConsumerOptions, Server, ServiceClient, client::block_on};
//!
//! #[diwan::service(interface = "com.x.Hello")]
//! pub trait Hello {
//!     /// Greets.
//!     async fn say(&self, name: String) -> String;
//! }
//!
//! struct Polite;
//!
//! impl Hello for Polite {
//!     async fn say(&self, name: String) -> String {
//!         format!("Hello, {name}!")
//!     }
//! }
//!
//! let server = Server::builder("127.0.0.1:0").publish(HelloServer::new(Polite)).start()?;
//! let url = format!("bolt://{}", server.local_addr());
//! let hello = HelloClient::direct(&url, ConsumerOptions::default())?;
//! assert_eq!(block_on(hello.say("Ann".into()))?, "Hello, Ann!");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

/// The documents' examples.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/tx.md")]
struct Transactions;

pub use diwan_hessian as hessian;
pub use diwan_hessian_derive::FacadeHessian as Hessian;
pub use diwan_macros::{service, transactional};
pub use diwan_net as net;
pub use diwan_rpc as rpc;
pub use diwan_tx_client as tx;

//! `#[diwan::service]`: from a trait of async functions to the server's dispatcher and a typed client.
//! `#[diwan::transactional]`: an async function as a distributed transaction.

mod method;
mod service;
mod transactional;

use proc_macro::TokenStream;
use syn::{ItemFn, ItemTrait, parse_macro_input};

/// Makes a SOFARPC service of a trait.
///
/// ```text
/// #[diwan::service(interface = "com.x.Hello", version = "1.0")]
/// pub trait Hello {
///     async fn say(&self, name: String) -> String;
///     async fn pay(&self, cents: i64) -> Result<i64, PaymentException>;
///     #[rpc(oneway)]
///     async fn note(&self, text: String);
///     /// Not async: runs on the pool for blocking work.
///     fn digest(&self, bytes: Bytes) -> String;
/// }
/// ```
///
/// For a trait `Hello` this makes `HelloServer<S>`, to be published by a server, and `HelloClient`. A method's Java
/// name is its name in camel case unless `#[rpc(name = "...")]` says otherwise; `Result<T, E>` declares the exception
/// `E`. `codecs(hessian, json, protobuf)` tells which codecs the service speaks (Hessian alone if it is not given);
/// the client speaks the first.
#[proc_macro_attribute]
pub fn service(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as ItemTrait);
    service::expand(arguments.into(), item)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Makes a distributed transaction of an async function that returns a `Result`: `Ok` commits, `Err` rolls back.
///
/// ```text
/// #[diwan::transactional(name = "transfer", timeout_ms = 10_000)]
/// async fn transfer(from: &str, to: &str, cents: i64) -> Result<(), TransferError> { ... }
/// ```
///
/// If it is called in a transaction it takes part, and whoever has begun that one decides; `propagation = "..."` with `required`,
/// `requires_new`, `supports`, `not_supported`, `never` or `mandatory` says otherwise. Without `name` it is the function's, without
/// `timeout_ms` a minute. `client = expression` is the `TxClient`, the one that was installed if it is not given. The error type is made from
/// `diwan::tx::TransactionError` where the transaction itself fails.
#[proc_macro_attribute]
pub fn transactional(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as ItemFn);
    transactional::expand(arguments.into(), item)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

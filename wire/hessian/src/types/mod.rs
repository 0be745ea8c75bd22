//! What Rust types are in Java, and the Java types that have no Rust counterpart.

mod array;
mod big_integer;
mod collections;
mod decimal;
mod pointer;
mod scalar;
mod shared;
mod text;
mod throwable;
mod time;

pub use array::JavaArray;
pub use big_integer::BigInteger;
pub use collections::JavaMap;
pub use decimal::{BigDecimal, JavaClass, Locale};
pub use shared::{Shared, SharedRef};
pub use text::Bytes;
pub use throwable::{StackFrame, Throwable};
#[doc(hidden)]
pub use throwable::{read_cause, write_head, write_tail};
pub use time::*;

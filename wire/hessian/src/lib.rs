//! Hessian serialization in both dialects: SOFA's 3.x draft and the final Hessian 2.0.
//!
//! [`Encoder`] and [`Decoder`] write and read values one by one; [`Encode`] and [`Decode`] do it for Rust types, most
//! of them through `#[derive(Hessian)]`; [`Value`] holds anything the wire can carry. The crate knows no protocol
//! around the values and never constructs a class by its name.
//!
//! ```
//! use diwan_hessian::{Decode, Decoder, Dialect, Encode, Encoder, Hessian};
//!
//! #[derive(Debug, PartialEq, Hessian)]
//! #[hessian(class = "com.x.Point")]
//! struct Point {
//!     x: i32,
//!     label: Option<String>,
//! }
//!
//! let point = Point { x: 1, label: None };
//! let mut bytes = Vec::new();
//! point.encode(&mut Encoder::new(Dialect::Draft, &mut bytes));
//! assert_eq!(bytes, b"O\x9bcom.x.Point\x92\x01x\x05labelo\x90\x91N");
//!
//! let mut decoder = Decoder::new(&bytes);
//! assert_eq!(Point::decode(&mut decoder), Ok(point));
//! assert_eq!(decoder.dialect(), Some(Dialect::Draft));
//! ```

mod class;
mod decode;
mod dialect;
mod encode;
mod error;
mod java_type;
mod limits;
mod types;
mod value;
mod words;

#[doc(hidden)]
pub mod derive_support;
#[doc(hidden)]
pub mod testing;

pub use class::{Class, Typed};
pub use decode::{Decode, Decoder, DenyList, ListHead, MapHead, ObjectHead};
pub use dialect::Dialect;
pub use diwan_hessian_derive::Hessian;
pub use encode::{Encode, Encoder};
pub use error::{Error, Result};
pub use java_type::{JavaType, array_class, array_of, element_of};
pub use limits::Limits;
pub use types::{
    BigDecimal, BigInteger, Bytes, Date, Duration, Instant, JavaArray, JavaClass, JavaMap,
    LocalDate, LocalDateTime, LocalTime, Locale, MonthDay, OffsetDateTime, OffsetTime, Period,
    Shared, SharedRef, StackFrame, Throwable, Year, YearMonth, ZoneId, ZoneOffset, ZonedDateTime,
};
pub use value::{Builder, Kind, NodeId, Value, ValueRef};

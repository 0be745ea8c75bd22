//! `com.diwan.interop.PbKitchen`: messages of `interop/proto/pb_kitchen.proto`, by hand.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

/// `CookRequest` and `CookReply`, which have the same fields.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Cook {
    /// What is cooked.
    #[prost(string, tag = "1")]
    pub dish: String,
    /// How many.
    #[prost(int32, tag = "2")]
    pub portions: i32,
    /// Any bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub raw: Vec<u8>,
    /// Any texts.
    #[prost(string, repeated, tag = "4")]
    pub notes: Vec<String>,
    /// Any counts.
    #[prost(map = "string, int64", tag = "5")]
    pub counts: HashMap<String, i64>,
    /// Weight.
    #[prost(double, tag = "6")]
    pub weight_kg: f64,
    /// Heat.
    #[prost(enumeration = "Heat", tag = "7")]
    pub heat: i32,
    /// A side dish.
    #[prost(message, optional, boxed, tag = "8")]
    pub side: Option<Box<Cook>>,
}

/// How hot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Heat {
    /// Not at all.
    Cold = 0,
    /// A little.
    Warm = 1,
    /// Very.
    Hot = 2,
}

/// Why nothing is cooked. Protocol buffers carry its text alone.
#[derive(Clone, Debug)]
pub struct NotCooked(pub String);

impl fmt::Display for NotCooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The kitchen over protocol buffers.
#[diwan::service(
    interface = "com.diwan.interop.PbKitchen",
    version = "1.0",
    codecs(protobuf)
)]
pub trait PbKitchen {
    /// Dish backwards, one more portion, and so on as the proto file says.
    async fn cook(&self, request: Cook) -> Cook;
    /// Always fails: `no DISH`.
    async fn refuse(&self, request: Cook) -> Result<Cook, NotCooked>;
    /// As `cook`, after as many milliseconds as there are portions.
    async fn slow(&self, request: Cook) -> Cook;
}

/// The implementation.
#[derive(Clone, Copy, Debug)]
pub struct PbService;

impl PbKitchen for PbService {
    async fn cook(&self, request: Cook) -> Cook {
        cooked(request)
    }

    async fn refuse(&self, request: Cook) -> Result<Cook, NotCooked> {
        Err(NotCooked(format!("no {}", request.dish)))
    }

    async fn slow(&self, request: Cook) -> Cook {
        let delay_ms = u64::try_from(request.portions).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        cooked(request)
    }
}

fn cooked(mut request: Cook) -> Cook {
    request.dish = request.dish.chars().rev().collect();
    request.portions = request.portions.wrapping_add(1);
    request.raw.iter_mut().for_each(|byte| *byte ^= 0x5a);
    request.notes.reverse();
    request.counts.values_mut().for_each(|count| *count += 1);
    request.weight_kg /= 2.0;
    request.heat = (request.heat + 1).min(2);
    request.side = request.side.map(|side| Box::new(cooked(*side)));
    request
}

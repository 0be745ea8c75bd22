//! The service that every server under measurement offers, `com.diwan.bench.Echo:1.0`, as the Java one in
//! `interop/java` has it.

use std::collections::BTreeMap;

use diwan::Hessian;
use diwan::hessian::{BigDecimal, Date, Decode, Decoder, Dialect, Encoder};
use diwan_bolt::{Decoded, FrameTooLarge, FrameWriter, Head, decode, write_entry};

pub mod counting;

/// A business object of 20 fields with the types that real payloads mix, in the order of the Java class.
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.diwan.bench.Order")]
#[expect(
    missing_docs,
    reason = "the names say it; the Java class is the specification"
)]
pub struct Order {
    pub order_id: String,
    pub user_id: String,
    pub channel: String,
    pub currency: String,
    pub remark: String,
    pub coupon_code: Option<String>,
    pub status: i32,
    pub item_count: i32,
    pub priority: i32,
    pub created_at_ms: i64,
    pub version: i64,
    pub weight_kg: f64,
    pub discount_rate: f64,
    pub paid: bool,
    pub gift: bool,
    pub deliver_by: Option<Date>,
    pub amount: BigDecimal,
    pub skus: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub address: Option<Address>,
}

/// Where an order goes.
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.diwan.bench.Address")]
#[expect(
    missing_docs,
    reason = "the names say it; the Java class is the specification"
)]
pub struct Address {
    pub street: String,
    pub city: String,
    pub zip: String,
    pub country: String,
    pub latitude: f64,
    pub longitude: f64,
}

/// The declared exception of the service.
#[derive(Clone, Debug, PartialEq, Hessian)]
#[hessian(class = "com.diwan.bench.BusinessException", throwable)]
pub struct BusinessException {
    /// Java's `detailMessage`.
    #[hessian(message)]
    pub message: String,
    /// An HTTP-like code.
    pub code: i32,
}

impl std::fmt::Display for BusinessException {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Does no work of its own: what is measured is the framework.
#[diwan::service(interface = "com.diwan.bench.Echo", version = "1.0")]
pub trait Echo {
    /// The text.
    async fn echo(&self, text: String) -> String;
    /// The order.
    async fn order(&self, order: Order) -> Order;
    /// Nothing.
    #[rpc(oneway)]
    async fn oneway(&self, text: String);
    /// Always throws [`BusinessException`] with `text` as its message.
    async fn fail(&self, text: String) -> Result<String, BusinessException>;
}

/// The implementation.
#[derive(Clone, Copy, Debug)]
pub struct EchoService;

impl Echo for EchoService {
    async fn echo(&self, text: String) -> String {
        text
    }

    async fn order(&self, order: Order) -> Order {
        order
    }

    async fn oneway(&self, _text: String) {}

    async fn fail(&self, text: String) -> Result<String, BusinessException> {
        Err(BusinessException {
            message: text,
            code: 409,
        })
    }
}

/// A request frame of Java's client 5.13.2 that carries the sample order.
const ORDER_FRAME: &[u8] = include_bytes!("../frames/bolt-order.bin");

/// The sample order that all measurements share, as the Java client sent it.
///
/// # Panics
/// When the recording does not hold it.
pub fn recorded_order() -> Order {
    let Ok(Decoded::Frame { frame, .. }) = decode(ORDER_FRAME, 1 << 20) else {
        panic!("the recording is no frame");
    };
    let mut decoder = Decoder::new(frame.content);
    let read = decoder.skip().and_then(|()| Order::decode(&mut decoder));
    read.expect("the recording holds a request and an order")
}

/// A request frame for a method of one `long`.
///
/// # Errors
/// When a name is too long for a frame.
pub fn number_request(service: &str, method: &str) -> Result<Vec<u8>, FrameTooLarge> {
    let mut out = Vec::new();
    let class = "com.alipay.sofa.rpc.core.request.SofaRequest";
    let mut writer = FrameWriter::begin(&mut out, Head::request(1, 1, 3000), class.as_bytes());
    writer.header(|out| write_entry(out, "service", service));
    let mut encoder = Encoder::new(Dialect::Draft, writer.content());
    encoder.object_dyn(class, &["methodName", "methodArgSigs"]);
    encoder.str(method);
    encoder.list_begin(Some("[string"), 1);
    encoder.str("long");
    encoder.list_end();
    encoder.long(42);
    writer.finish()?;
    Ok(out)
}

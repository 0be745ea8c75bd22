//! The sample business object of the Java benchmark service.

use diwan_hessian::{BigDecimal, Date, Hessian, JavaMap};

/// `com.diwan.bench.Order`, 20 fields in the order of the Java source.
#[derive(Clone, Debug, PartialEq, Hessian)]
#[hessian(class = "com.diwan.bench.Order")]
pub(crate) struct Order {
    pub(crate) order_id: String,
    pub(crate) user_id: String,
    pub(crate) channel: String,
    pub(crate) currency: String,
    pub(crate) remark: String,
    pub(crate) coupon_code: String,
    pub(crate) status: i32,
    pub(crate) item_count: i32,
    pub(crate) priority: i32,
    pub(crate) created_at_ms: i64,
    pub(crate) version: i64,
    pub(crate) weight_kg: f64,
    pub(crate) discount_rate: f64,
    pub(crate) paid: bool,
    pub(crate) gift: bool,
    pub(crate) deliver_by: Date,
    pub(crate) amount: BigDecimal,
    pub(crate) skus: Vec<String>,
    pub(crate) labels: JavaMap<String, String>,
    pub(crate) address: Address,
}

/// `com.diwan.bench.Address`.
#[derive(Clone, Debug, PartialEq, Hessian)]
#[hessian(class = "com.diwan.bench.Address")]
pub(crate) struct Address {
    pub(crate) street: String,
    pub(crate) city: String,
    pub(crate) zip: String,
    pub(crate) country: String,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
}

impl Order {
    /// What `Order.sample()` of the Java service makes; the labels in the order `HashMap` gives them.
    pub(crate) fn sample() -> Order {
        let text = |text: &str| text.to_string();
        Order {
            order_id: text("ORD-2020-0327-000000042"),
            user_id: text("user-8812736401"),
            channel: text("mobile-app"),
            currency: text("CNY"),
            remark: text("请在工作日配送, leave at the front desk"),
            coupon_code: text("SPRING-2020-15"),
            status: 3,
            item_count: 4,
            priority: 70_000,
            created_at_ms: 1_585_267_200_123,
            version: 17,
            weight_kg: 12.375,
            discount_rate: 0.15,
            paid: true,
            gift: false,
            deliver_by: Date(1_585_526_400_000),
            amount: BigDecimal::new("12345678.90").expect("a decimal"),
            skus: [
                "SKU-100-RED-XL",
                "SKU-204-BLUE-M",
                "SKU-377-GREEN-S",
                "SKU-999-BLACK-L",
            ]
            .map(text)
            .into(),
            labels: JavaMap(vec![
                (text("abtest"), text("checkout-b")),
                (text("region"), text("cn-hangzhou")),
                (text("cell"), text("GZ00A")),
            ]),
            address: Address {
                street: text("569 Xixi Road"),
                city: text("Hangzhou"),
                zip: text("310013"),
                country: text("CN"),
                latitude: 30.2741,
                longitude: 120.1551,
            },
        }
    }
}

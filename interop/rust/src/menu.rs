//! The classes of `com.diwan.interop` that travel, as the Java ones declare them.
#![allow(
    missing_docs,
    reason = "the names say it; the Java classes are the specification"
)]

use std::borrow::Cow;
use std::fmt;

use diwan::Hessian;
use diwan::hessian::{
    BigDecimal, Decode, Decoder, Encode, Encoder, JavaType, Result, Shared, Throwable,
};

/// The superclass of [`Dish`].
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.diwan.interop.Item")]
pub struct Item {
    pub id: i64,
    pub name: Option<String>,
}

/// Fields of its own and of a superclass.
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.diwan.interop.Dish")]
pub struct Dish {
    pub price_cents: i32,
    pub vegan: bool,
    pub spice: Option<Spice>,
    pub weight_kg: Option<BigDecimal>,
    pub notes: Option<Vec<String>>,
    #[hessian(extends)]
    pub item: Item,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Hessian)]
#[hessian(class = "com.diwan.interop.Spice")]
pub enum Spice {
    Salt,
    Pepper,
    Chili,
}

impl Spice {
    /// The one declared after it.
    pub fn next(self) -> Self {
        match self {
            Self::Salt => Self::Pepper,
            Self::Pepper => Self::Chili,
            Self::Chili => Self::Salt,
        }
    }
}

/// An element of sets: equal by content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Hessian)]
#[hessian(class = "com.diwan.interop.Tag")]
pub struct Tag {
    pub text: Option<String>,
    pub weight: i32,
}

/// An interface; what travels is one of its classes.
#[derive(Clone, Debug, PartialEq, Hessian)]
#[hessian(class = "com.diwan.interop.Tool")]
pub enum Tool {
    Knife(Knife),
    Pan(Pan),
}

#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.diwan.interop.Knife")]
pub struct Knife {
    pub length_cm: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.diwan.interop.Pan")]
pub struct Pan {
    pub diameter_cm: i32,
    pub lid: bool,
}

/// Its favourite may be one of its tools.
#[derive(Clone, Debug, Default, Hessian)]
#[hessian(class = "com.diwan.interop.Drawer")]
pub struct Drawer {
    pub favourite: Option<Shared<Tool>>,
    pub tools: Vec<Option<Shared<Tool>>>,
}

/// The declared exception of the service.
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.diwan.interop.KitchenException", throwable)]
pub struct KitchenException {
    #[hessian(message)]
    pub message: Option<String>,
    #[hessian(cause)]
    pub cause: Option<Box<Throwable>>,
    pub code: i32,
}

impl fmt::Display for KitchenException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.as_deref().unwrap_or_default())
    }
}

/// `java.util.LinkedList`: where it is declared, a Java peer takes no other list.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkedList<T>(pub Vec<T>);

impl<T: Encode> Encode for LinkedList<T> {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.list_begin(Some("java.util.LinkedList"), self.0.len());
        for item in &self.0 {
            item.encode(encoder);
        }
        encoder.list_end();
    }
}

impl<'de, T: Decode<'de>> Decode<'de> for LinkedList<T> {
    fn decode(decoder: &mut Decoder<'de>) -> Result<Self> {
        Vec::decode(decoder).map(Self)
    }
}

impl<T> JavaType for LinkedList<T> {
    fn java_type() -> Cow<'static, str> {
        Cow::Borrowed("java.util.LinkedList")
    }
}

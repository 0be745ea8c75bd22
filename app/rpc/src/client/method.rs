use std::borrow::Cow;

use crate::codec::Codecs;

/// A method as a client calls it: arguments `A` (a tuple), value `T`, declared exception `E`.
#[derive(Debug)]
pub struct ClientMethod<A, T, E> {
    pub(crate) name: &'static str,
    pub(crate) signatures: Vec<Cow<'static, str>>,
    pub(crate) codecs: Codecs<A, T, E>,
}

impl<A, T, E> ClientMethod<A, T, E> {
    /// A method by its Java name and signatures.
    pub fn new(
        name: &'static str,
        signatures: Vec<Cow<'static, str>>,
        codecs: Codecs<A, T, E>,
    ) -> Self {
        Self {
            name,
            signatures,
            codecs,
        }
    }
}

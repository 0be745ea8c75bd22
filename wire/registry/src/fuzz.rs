//! Fuzz target of this crate, run on seeds by the test suite and by cargo-fuzz from `fuzz/`.

use diwan_hessian::Dialect;

use crate::{Answer, Codec, Push, Request};

/// Bytes up to the first zero are a class, the next is a serializer, the rest content: whatever is read is written in the same
/// form, and read again as the same.
pub fn fuzz_messages(data: &[u8]) {
    let end = data
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(data.len());
    let (class, rest) = data.split_at(end);
    let (serializer, content) = match rest {
        [_, serializer, content @ ..] => (*serializer, content),
        _ => return,
    };
    macro_rules! check {
        ($($kind:ident)*) => {$(
            if let Ok((message, codec)) = $kind::decode(class, serializer, content) {
                let mut written = Vec::new();
                message.encode(codec, &mut written);
                let class = message.class(codec).as_bytes();
                assert_eq!($kind::decode(class, serializer, &written), Ok((message, codec)));
            }
        )*};
    }
    check! { Request Push Answer }
}

/// One message of each kind in each form, to begin with.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for codec in [
        Codec::Hessian(Dialect::Draft),
        Codec::Hessian(Dialect::Final),
        Codec::Protobuf,
    ] {
        macro_rules! seed {
            ($($kind:ident::$name:ident)*) => {$(
                let message = $kind::$name(Default::default());
                let mut seed = message.class(codec).as_bytes().to_vec();
                seed.extend([0, codec.byte()]);
                message.encode(codec, &mut seed);
                seeds.push(seed);
            )*};
        }
        seed! {
            Request::PublisherRegister Request::SubscriberRegister Request::ConfiguratorRegister Request::SyncConfigRequest
            Push::ReceivedData Push::MultiReceivedData Push::ReceivedConfigData
            Answer::RegisterResponse Answer::SyncConfigResponse Answer::Result
        }
    }
    seeds
}

//! Compressed pushes, for clients that say that they read them and speak protocol buffers, as the original has it.
//! sofastack/sofa-registry:server/common/util/.../compress/{CompressConstants,CompressUtils}.java and
//! sofastack/sofa-registry:server/server/session/.../converter/pb/ReceivedDataConvertor.java

use std::io::Write as _;

use diwan_registry_wire::{Codec, SubscriberRegister};
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::state::Instances;

/// Less is not worth it.
const BYTES_MIN: usize = 4 << 10;

/// How a list may be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Zstd,
    Gzip,
}

impl Encoding {
    const ALL: [Self; 2] = [Self::Zstd, Self::Gzip];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    fn compress(self, bytes: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Zstd => Some(compress_to_vec(bytes, CompressionLevel::Fastest)),
            Self::Gzip => {
                let mut out = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                out.write_all(bytes).ok()?;
                out.finish().ok()
            }
        }
    }
}

/// What the subscribers of a connection read. The original has it with each, but those of one client are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Accepts {
    /// Lists of several data centres in one.
    pub(super) multi: bool,
    /// The first of those it names that there is.
    pub(super) encoding: Option<Encoding>,
}

impl Accepts {
    /// Only in protocol buffers there is a form for it.
    pub(super) fn of(subscriber: &SubscriberRegister, codec: Codec) -> Self {
        if codec != Codec::Protobuf {
            return Self::default();
        }
        let named = subscriber.accept_encoding.as_deref().unwrap_or_default();
        let mut named = named.split(',').map(str::trim);
        Self {
            multi: subscriber.accept_multi,
            encoding: named.find_map(|name| {
                let mut all = Encoding::ALL.into_iter();
                all.find(|encoding| encoding.name().eq_ignore_ascii_case(name))
            }),
        }
    }
}

/// A compressed list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Compressed<'a> {
    pub(super) encoding: Encoding,
    pub(super) body: &'a [u8],
    /// What it was before.
    pub(super) bytes: usize,
}

/// A list compressed, if it is worth it: once for all who are pushed it. What is compressed is the list as it stands in a push: in
/// the original's `ReceivedDataBodyPb` it has the same number.
pub(super) fn compressed(
    instances: &Instances,
    encoding: Option<Encoding>,
) -> Option<Compressed<'_>> {
    let encoding = encoding?;
    let whole = instances.encoded(Codec::Protobuf);
    if whole.len() < BYTES_MIN {
        return None;
    }
    let place = usize::from(encoding == Encoding::Gzip);
    let body = instances.compressed(place, || encoding.compress(whole))?;
    (body.len() < whole.len()).then_some(Compressed {
        encoding,
        body,
        bytes: whole.len(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::io::Read as _;

    use diwan_registry_wire::DataBox;

    use super::*;

    fn list(count: usize) -> Instances {
        let one = |number: usize| DataBox {
            data: Some(format!(
                "10.0.{}.{}:12200?_TIMEOUT=3000&p=1&_SERIALIZETYPE=hessian2&_WEIGHT=100&app_name=app",
                number / 250,
                number % 250
            )),
        };
        Instances::new([("cell".to_owned(), (0..count).map(one).collect())].into())
    }

    #[test]
    fn long_lists_come_out_as_they_were_and_short_ones_are_left_alone() {
        for encoding in Encoding::ALL {
            let long = list(1_000);
            let done = compressed(&long, Some(encoding)).unwrap();
            assert_eq!(done.bytes, long.encoded(Codec::Protobuf).len());
            assert!(
                done.body.len() * 4 < done.bytes,
                "{} of {}",
                done.body.len(),
                done.bytes
            );
            let mut out = Vec::new();
            match encoding {
                Encoding::Zstd => {
                    let mut reader = ruzstd::decoding::StreamingDecoder::new(done.body).unwrap();
                    reader.read_to_end(&mut out).unwrap();
                }
                Encoding::Gzip => {
                    flate2::read::GzDecoder::new(done.body)
                        .read_to_end(&mut out)
                        .unwrap();
                }
            }
            assert_eq!(out, long.encoded(Codec::Protobuf));
            assert_eq!(compressed(&list(10), Some(encoding)), None);
        }
        assert_eq!(compressed(&list(1_000), None), None);
    }

    #[test]
    fn the_first_encoding_that_there_is_counts() {
        let accepts = |text: Option<&str>, codec| {
            let subscriber = SubscriberRegister {
                accept_encoding: text.map(Into::into),
                accept_multi: true,
                ..SubscriberRegister::default()
            };
            Accepts::of(&subscriber, codec)
        };
        for (text, encoding) in [
            (None, None),
            (Some(""), None),
            (Some("br, gzip,zstd"), Some(Encoding::Gzip)),
            (Some("zstd,gzip"), Some(Encoding::Zstd)),
        ] {
            let multi = true;
            assert_eq!(accepts(text, Codec::Protobuf), Accepts { multi, encoding });
        }
        let hessian = Codec::Hessian(diwan_hessian::Dialect::Draft);
        assert_eq!(accepts(Some("zstd"), hessian), Accepts::default());
    }
}

//! What subscribers are told.

use std::collections::BTreeMap;

use diwan_hessian::Hessian;
use prost::Message as _;

use crate::codec::Codec;
use crate::message::Push;
use crate::pb::CompressedPb;

/// What an instance publishes.
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.alipay.sofa.registry.core.model.DataBox")]
pub struct DataBox {
    /// Whatever: for SOFARPC a URL.
    pub data: Option<String>,
}

/// All instances of a service, as some of a connection's subscribers see them.
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.alipay.sofa.registry.core.model.ReceivedData")]
pub struct ReceivedData {
    /// The service.
    pub data_id: Option<String>,
    /// Its group.
    pub group: Option<String>,
    /// Its tenant.
    pub instance_id: Option<String>,
    /// The data centre that the data is of.
    pub segment: Option<String>,
    /// How far these subscribers look.
    pub scope: Option<String>,
    /// [`crate::Version`].
    pub version: Option<i64>,
    /// The subscriber's own cell.
    pub local_zone: Option<String>,
    /// The subscribers.
    pub subscriber_regist_ids: Option<Vec<String>>,
    /// Instances by cell as numbers, where a push holds back some.
    pub data_count: Option<BTreeMap<String, i32>>,
    /// Instances by cell. Absent data tells a client nothing, an empty map empties its list. It is written last
    /// ([`ReceivedData::encode_with`]).
    pub data: Option<Zones>,
}

/// Instances by cell.
pub type Zones = BTreeMap<String, Vec<DataBox>>;

impl ReceivedData {
    /// Instances as part of a push, to be encoded once for many: [`ReceivedData::encode_with`].
    pub fn encode_instances(zones: Zones, codec: Codec) -> Vec<u8> {
        let mut out = Vec::new();
        let nothing = Self::default();
        nothing.clone().begin(codec, &mut out);
        let before = out.len();
        out.clear();
        let all = Self {
            data: Some(zones),
            ..nothing
        };
        Push::ReceivedData(all).encode(codec, &mut out);
        out.split_off(before)
    }

    /// Instances that are compressed, as part of a push in protocol buffers: [`ReceivedData::encode_with`]. `bytes`: what
    /// [`ReceivedData::encode_instances`] had before.
    pub fn encode_compressed(encoding: &str, body: &[u8], bytes: usize) -> Vec<u8> {
        let compressed = CompressedPb {
            encoding: encoding.to_owned(),
            body: body.to_vec(),
            origin_body_size: i32::try_from(bytes).unwrap_or(i32::MAX),
        };
        compressed.encode_to_vec()
    }

    /// Appends the content of a frame whose instances are encoded already; `self` has none.
    pub fn encode_with(self, instances: &[u8], codec: Codec, out: &mut Vec<u8>) {
        self.begin(codec, out);
        out.extend_from_slice(instances);
    }

    /// Everything before the instances: they are the last field in Hessian, where null is one byte, and a field of its own
    /// in protocol buffers.
    fn begin(self, codec: Codec, out: &mut Vec<u8>) {
        let without = Self { data: None, ..self };
        Push::ReceivedData(without).encode(codec, out);
        if matches!(codec, Codec::Hessian(_)) {
            out.pop();
        }
    }
}

/// A [`ReceivedData`] of several data centres.
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.alipay.sofa.registry.core.model.MultiReceivedData")]
pub struct MultiReceivedData {
    /// The service.
    pub data_id: Option<String>,
    /// Its group.
    pub group: Option<String>,
    /// Its tenant.
    pub instance_id: Option<String>,
    /// How far these subscribers look.
    pub scope: Option<String>,
    /// The subscriber's own data centre.
    pub local_segment: Option<String>,
    /// The subscriber's own cell.
    pub local_zone: Option<String>,
    /// The subscribers.
    pub subscriber_regist_ids: Option<Vec<String>>,
    /// By data centre.
    pub multi_data: Option<BTreeMap<String, MultiSegmentData>>,
}

/// One data centre of a [`MultiReceivedData`].
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.alipay.sofa.registry.core.model.MultiSegmentData")]
pub struct MultiSegmentData {
    /// The data centre.
    pub segment: Option<String>,
    /// How `zip_data` is compressed.
    pub encoding: Option<String>,
    /// [`crate::Version`].
    pub version: i64,
    /// A compressed `ReceivedDataBodyPb`.
    pub zip_data: Option<diwan_hessian::Bytes>,
    /// Instances by cell.
    pub unzip_data: Option<BTreeMap<String, Vec<DataBox>>>,
    /// Instances by cell as numbers.
    pub data_count: Option<BTreeMap<String, i32>>,
}

/// A configuration.
#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.alipay.sofa.registry.core.model.ReceivedConfigData")]
pub struct ReceivedConfigData {
    /// Its name.
    pub data_id: Option<String>,
    /// Its group.
    pub group: Option<String>,
    /// Its tenant.
    pub instance_id: Option<String>,
    /// [`crate::Version`].
    pub version: Option<i64>,
    /// Who asked for it.
    pub configurator_regist_ids: Option<Vec<String>>,
    /// What it says; absent if it was never set.
    pub data_box: Option<DataBox>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_compressed_list_stands_in_fields_of_its_own() {
        let head = ReceivedData {
            data_id: Some("s".into()),
            ..ReceivedData::default()
        };
        let mut out = Vec::new();
        let compressed = ReceivedData::encode_compressed("zstd", b"body", 9);
        head.encode_with(&compressed, Codec::Protobuf, &mut out);
        let read = CompressedPb::decode(out.as_slice()).unwrap();
        assert_eq!(
            (read.encoding.as_str(), read.body.as_slice()),
            ("zstd", &b"body"[..])
        );
        assert_eq!(read.origin_body_size, 9);
        let class = "com.alipay.sofa.registry.common.model.client.pb.ReceivedDataPb";
        let (read, _) = Push::decode(class.as_bytes(), 11, &out).unwrap();
        let Push::ReceivedData(read) = read else {
            panic!("{read:?}");
        };
        assert_eq!(
            (read.data_id.as_deref(), read.data),
            (Some("s"), Some(Zones::new()))
        );
    }
}

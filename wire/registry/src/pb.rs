//! The messages in protocol buffers (proto3): absent and empty are the same here.
//! sofastack/sofa-registry:server/common/model/src/main/resources/proto/*.proto

use std::collections::BTreeMap;

use prost::Message;

use crate::push::{DataBox, MultiReceivedData, MultiSegmentData, ReceivedConfigData, ReceivedData};
use crate::register::{
    BaseRegister, PublisherRegister, RegisterResponse, SubscriberRegister, SyncConfigRequest,
    SyncConfigResponse, SyncResult,
};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct BaseRegisterPb {
    #[prost(string, tag = "1")]
    instance_id: String,
    #[prost(string, tag = "2")]
    zone: String,
    #[prost(string, tag = "3")]
    app_name: String,
    #[prost(string, tag = "4")]
    data_id: String,
    #[prost(string, tag = "5")]
    group: String,
    #[prost(string, tag = "6")]
    process_id: String,
    #[prost(string, tag = "7")]
    regist_id: String,
    #[prost(string, tag = "8")]
    client_id: String,
    #[prost(string, tag = "9")]
    data_info_id: String,
    #[prost(string, tag = "10")]
    ip: String,
    #[prost(int32, tag = "11")]
    port: i32,
    #[prost(string, tag = "12")]
    event_type: String,
    #[prost(int64, tag = "13")]
    version: i64,
    #[prost(int64, tag = "14")]
    timestamp: i64,
    #[prost(btree_map = "string, string", tag = "15")]
    attributes: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DataBoxPb {
    #[prost(string, tag = "1")]
    data: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DataBoxesPb {
    #[prost(message, repeated, tag = "1")]
    data: Vec<DataBoxPb>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PublisherRegisterPb {
    #[prost(message, repeated, tag = "1")]
    data_list: Vec<DataBoxPb>,
    #[prost(message, optional, tag = "2")]
    base: Option<BaseRegisterPb>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SubscriberRegisterPb {
    #[prost(string, tag = "1")]
    scope: String,
    #[prost(message, optional, tag = "2")]
    base: Option<BaseRegisterPb>,
    #[prost(string, tag = "3")]
    accept_encoding: String,
    #[prost(bool, tag = "4")]
    accept_multi: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RegisterResponsePb {
    #[prost(bool, tag = "1")]
    success: bool,
    #[prost(string, tag = "2")]
    regist_id: String,
    #[prost(int64, tag = "3")]
    version: i64,
    #[prost(bool, tag = "4")]
    refused: bool,
    #[prost(string, tag = "5")]
    message: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ResultPb {
    #[prost(bool, tag = "1")]
    success: bool,
    #[prost(string, tag = "2")]
    message: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SyncConfigRequestPb {
    #[prost(string, tag = "1")]
    data_center: String,
    #[prost(string, tag = "2")]
    zone: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SyncConfigResponsePb {
    #[prost(message, optional, tag = "1")]
    result: Option<ResultPb>,
    #[prost(string, repeated, tag = "2")]
    available_segments: Vec<String>,
    #[prost(int32, tag = "3")]
    retry_interval: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReceivedDataPb {
    #[prost(string, tag = "1")]
    data_id: String,
    #[prost(string, tag = "2")]
    group: String,
    #[prost(string, tag = "3")]
    instance_id: String,
    #[prost(string, tag = "4")]
    segment: String,
    #[prost(string, tag = "5")]
    scope: String,
    #[prost(string, repeated, tag = "6")]
    subscriber_regist_ids: Vec<String>,
    #[prost(btree_map = "string, message", tag = "7")]
    data: BTreeMap<String, DataBoxesPb>,
    #[prost(int64, tag = "8")]
    version: i64,
    #[prost(string, tag = "9")]
    local_zone: String,
    #[prost(btree_map = "string, int32", tag = "13")]
    data_count: BTreeMap<String, i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MultiSegmentDataPb {
    #[prost(string, tag = "1")]
    segment: String,
    #[prost(bytes = "vec", tag = "2")]
    zip_data: Vec<u8>,
    #[prost(btree_map = "string, message", tag = "3")]
    unzip_data: BTreeMap<String, DataBoxesPb>,
    #[prost(string, tag = "4")]
    encoding: String,
    #[prost(int64, tag = "5")]
    version: i64,
    #[prost(btree_map = "string, int32", tag = "6")]
    data_count: BTreeMap<String, i32>,
}

/// The instances of a `ReceivedDataPb` when they are compressed: its fields 10 to 12, in place of 7.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CompressedPb {
    #[prost(string, tag = "10")]
    pub(crate) encoding: String,
    #[prost(bytes = "vec", tag = "11")]
    pub(crate) body: Vec<u8>,
    #[prost(int32, tag = "12")]
    pub(crate) origin_body_size: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MultiReceivedDataPb {
    #[prost(string, tag = "1")]
    data_id: String,
    #[prost(string, tag = "2")]
    group: String,
    #[prost(string, tag = "3")]
    instance_id: String,
    #[prost(string, tag = "4")]
    scope: String,
    #[prost(string, repeated, tag = "5")]
    subscriber_regist_ids: Vec<String>,
    #[prost(string, tag = "6")]
    local_segment: String,
    #[prost(string, tag = "7")]
    local_zone: String,
    #[prost(btree_map = "string, message", tag = "8")]
    multi_data: BTreeMap<String, MultiSegmentDataPb>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReceivedConfigDataPb {
    #[prost(string, tag = "1")]
    data_id: String,
    #[prost(string, tag = "2")]
    group: String,
    #[prost(string, tag = "3")]
    instance_id: String,
    #[prost(string, repeated, tag = "4")]
    configurator_regist_ids: Vec<String>,
    #[prost(message, optional, tag = "5")]
    data_box: Option<DataBoxPb>,
    #[prost(int64, tag = "6")]
    version: i64,
}

/// A field in both forms.
trait Form<Pb> {
    fn to_pb(&self) -> Pb;
    fn of_pb(pb: Pb) -> Self;
}

/// The fields of a message have the same names in both.
macro_rules! messages {
    ($($rust:ident = $pb:ident { $($field:ident)* })*) => {$(
        impl From<&$rust> for $pb {
            fn from(rust: &$rust) -> Self {
                Self { $($field: rust.$field.to_pb(),)* }
            }
        }

        impl From<$pb> for $rust {
            fn from(pb: $pb) -> Self {
                Self { $($field: Form::of_pb(pb.$field),)* }
            }
        }
    )*};
}

messages! {
    BaseRegister = BaseRegisterPb {
        instance_id zone app_name data_id group process_id regist_id client_id data_info_id ip port event_type version timestamp
        attributes
    }
    DataBox = DataBoxPb { data }
    PublisherRegister = PublisherRegisterPb { data_list base }
    SubscriberRegister = SubscriberRegisterPb { scope base accept_encoding accept_multi }
    RegisterResponse = RegisterResponsePb { success regist_id version refused message }
    SyncResult = ResultPb { success message }
    SyncConfigRequest = SyncConfigRequestPb { data_center zone }
    SyncConfigResponse = SyncConfigResponsePb { result available_segments retry_interval }
    ReceivedData = ReceivedDataPb {
        data_id group instance_id segment scope subscriber_regist_ids data version local_zone data_count
    }
    MultiSegmentData = MultiSegmentDataPb { segment zip_data unzip_data encoding version data_count }
    MultiReceivedData = MultiReceivedDataPb {
        data_id group instance_id scope subscriber_regist_ids local_segment local_zone multi_data
    }
    ReceivedConfigData = ReceivedConfigDataPb { data_id group instance_id configurator_regist_ids data_box version }
}

macro_rules! same {
    ($($type:ty)*) => {$(
        impl Form<$type> for $type {
            fn to_pb(&self) -> $type {
                *self
            }

            fn of_pb(pb: $type) -> Self {
                pb
            }
        }
    )*};
}

same! { bool i32 i64 }

/// What is empty or zero on the wire may as well be absent.
macro_rules! absent_if_default {
    ($($type:ty)*) => {$(
        impl Form<$type> for Option<$type> {
            fn to_pb(&self) -> $type {
                self.clone().unwrap_or_default()
            }

            fn of_pb(pb: $type) -> Self {
                (pb != <$type>::default()).then_some(pb)
            }
        }
    )*};
}

absent_if_default! { String i32 i64 Vec<String> BTreeMap<String, String> BTreeMap<String, i32> }

impl Form<Vec<u8>> for Option<diwan_hessian::Bytes> {
    fn to_pb(&self) -> Vec<u8> {
        self.as_ref().map_or_else(Vec::new, |bytes| bytes.0.clone())
    }

    fn of_pb(pb: Vec<u8>) -> Self {
        (!pb.is_empty()).then_some(diwan_hessian::Bytes(pb))
    }
}

/// A message that holds another one.
macro_rules! inner {
    ($($rust:ty = $pb:ty;)*) => {$(
        impl Form<Option<$pb>> for $rust {
            fn to_pb(&self) -> Option<$pb> {
                Some(self.into())
            }

            fn of_pb(pb: Option<$pb>) -> Self {
                pb.unwrap_or_default().into()
            }
        }
    )*};
}

inner! {
    BaseRegister = BaseRegisterPb;
    SyncResult = ResultPb;
}

impl Form<Option<DataBoxPb>> for Option<DataBox> {
    fn to_pb(&self) -> Option<DataBoxPb> {
        self.as_ref().map(Into::into)
    }

    fn of_pb(pb: Option<DataBoxPb>) -> Self {
        pb.map(Into::into)
    }
}

impl Form<Vec<DataBoxPb>> for Option<Vec<DataBox>> {
    fn to_pb(&self) -> Vec<DataBoxPb> {
        self.iter().flatten().map(Into::into).collect()
    }

    fn of_pb(pb: Vec<DataBoxPb>) -> Self {
        Some(pb.into_iter().map(Into::into).collect())
    }
}

/// No instance left is something else than nothing said: there is always a map.
impl Form<BTreeMap<String, DataBoxesPb>> for Option<BTreeMap<String, Vec<DataBox>>> {
    fn to_pb(&self) -> BTreeMap<String, DataBoxesPb> {
        let zones = self.iter().flatten();
        let boxes = |list: &[DataBox]| DataBoxesPb {
            data: list.iter().map(Into::into).collect(),
        };
        zones
            .map(|(zone, list)| (zone.clone(), boxes(list)))
            .collect()
    }

    fn of_pb(pb: BTreeMap<String, DataBoxesPb>) -> Self {
        let list = |boxes: DataBoxesPb| boxes.data.into_iter().map(Into::into).collect();
        Some(
            pb.into_iter()
                .map(|(zone, boxes)| (zone, list(boxes)))
                .collect(),
        )
    }
}

impl Form<BTreeMap<String, MultiSegmentDataPb>> for Option<BTreeMap<String, MultiSegmentData>> {
    fn to_pb(&self) -> BTreeMap<String, MultiSegmentDataPb> {
        let segments = self.iter().flatten();
        segments
            .map(|(name, data)| (name.clone(), data.into()))
            .collect()
    }

    fn of_pb(pb: BTreeMap<String, MultiSegmentDataPb>) -> Self {
        Some(
            pb.into_iter()
                .map(|(name, data)| (name, data.into()))
                .collect(),
        )
    }
}

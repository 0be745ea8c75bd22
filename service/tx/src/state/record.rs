//! A transaction as it stands in a snapshot and in the archive.

use diwan_seata::{BranchStatus, BranchType, GlobalStatus};
use prost::Message;

use super::global::{Branch, Global, Origin};
use super::pool::Pool;

/// A transaction.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GlobalRecord {
    #[prost(sint64, tag = "1")]
    id: i64,
    #[prost(string, tag = "2")]
    xid: String,
    #[prost(string, tag = "3")]
    application: String,
    #[prost(string, tag = "4")]
    group: String,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(uint32, tag = "6")]
    timeout_ms: u32,
    #[prost(uint64, tag = "7")]
    begun_us: u64,
    #[prost(uint32, tag = "8")]
    status: u32,
    #[prost(message, repeated, tag = "9")]
    branches: Vec<BranchRecord>,
    #[prost(uint32, tag = "10")]
    tries: u32,
    #[prost(uint64, tag = "11")]
    due_us: u64,
    #[prost(uint32, tag = "12")]
    saga_call: u32,
    #[prost(string, tag = "13")]
    trouble: String,
    #[prost(bool, tag = "14")]
    settled: bool,
    #[prost(message, optional, tag = "15")]
    told: Option<Told>,
}

#[derive(Clone, PartialEq, Message)]
struct Told {
    #[prost(message, repeated, tag = "1")]
    branches: Vec<BranchRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct BranchRecord {
    #[prost(sint64, tag = "1")]
    id: i64,
    #[prost(uint32, tag = "2")]
    branch_type: u32,
    #[prost(string, tag = "3")]
    resource: String,
    #[prost(string, tag = "4")]
    client: String,
    #[prost(string, tag = "5")]
    lock_key: String,
    #[prost(string, tag = "6")]
    application_data: String,
    #[prost(uint32, tag = "7")]
    status: u32,
    #[prost(uint32, tag = "8")]
    call: u32,
}

/// What transactions have alike.
#[derive(Debug, Default)]
pub(super) struct Pools {
    pub(super) origins: Pool<Origin>,
    /// Of resources and clients.
    pub(super) names: Pool<str>,
}

impl Global {
    /// As it stands in the archive.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        GlobalRecord::from(self).encode_to_vec()
    }

    /// One out of the archive; none of what is not one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        GlobalRecord::decode(bytes)
            .ok()?
            .read(&mut Pools::default())
    }
}

impl From<&Global> for GlobalRecord {
    fn from(global: &Global) -> Self {
        let told = &global.told;
        Self {
            id: global.id,
            xid: global.xid(),
            application: global.origin.application.clone(),
            group: global.origin.group.clone(),
            name: global.origin.name.clone(),
            timeout_ms: global.timeout_ms,
            begun_us: global.begun_us,
            status: global.status.byte().into(),
            branches: global.branches.iter().map(BranchRecord::from).collect(),
            tries: global.tries,
            due_us: global.due_us,
            saga_call: global.saga_call.into(),
            trouble: global.trouble.to_string(),
            settled: global.settled,
            told: (!told.is_empty()).then(|| Told {
                branches: told.iter().map(BranchRecord::from).collect(),
            }),
        }
    }
}

impl From<&Branch> for BranchRecord {
    fn from(branch: &Branch) -> Self {
        Self {
            id: branch.id,
            branch_type: branch.branch_type.byte().into(),
            resource: branch.resource.to_string(),
            client: branch.client.to_string(),
            lock_key: branch.lock_key.to_string(),
            application_data: branch.application_data.to_string(),
            status: branch.status.byte().into(),
            call: branch.call.into(),
        }
    }
}

impl GlobalRecord {
    /// None if its xid does not end with its number, as each one's does.
    pub(super) fn read(self, pools: &mut Pools) -> Option<Global> {
        let status = u8::try_from(self.status).ok();
        let origin = Origin {
            label: self.xid.strip_suffix(&self.id.to_string())?.to_owned(),
            application: self.application,
            group: self.group,
            name: self.name,
        };
        let mut read = |branches: Vec<BranchRecord>| -> Vec<Branch> {
            let branches = branches.into_iter();
            branches
                .map(|branch| branch.read(&mut pools.names))
                .collect()
        };
        Some(Global {
            id: self.id,
            timeout_ms: self.timeout_ms,
            begun_us: self.begun_us,
            status: status
                .and_then(GlobalStatus::from_byte)
                .unwrap_or(GlobalStatus::UnKnown),
            branches: read(self.branches),
            told: read(self.told.unwrap_or_default().branches),
            tries: self.tries,
            due_us: self.due_us,
            saga_call: u8::try_from(self.saga_call).unwrap_or_default(),
            trouble: self.trouble.into(),
            settled: self.settled,
            origin: pools.origins.share(origin),
        })
    }
}

impl BranchRecord {
    fn read(self, names: &mut Pool<str>) -> Branch {
        let branch_type = u8::try_from(self.branch_type).ok();
        let status = u8::try_from(self.status).ok();
        Branch {
            id: self.id,
            branch_type: branch_type
                .and_then(BranchType::from_byte)
                .unwrap_or(BranchType::At),
            resource: names.share(self.resource),
            client: names.share(self.client),
            lock_key: self.lock_key.into(),
            application_data: self.application_data.into(),
            status: status
                .and_then(BranchStatus::from_byte)
                .unwrap_or(BranchStatus::Unknown),
            call: u8::try_from(self.call).unwrap_or_default(),
        }
    }
}

//! The fields that messages have, whichever message it is.

use std::str::FromStr;

use diwan_hessian::Decoder;

use super::HessianError;
use super::read::{Inner, messages};
use crate::{
    BranchEnd, BranchEnded, BranchRegister, BranchStatus, BranchType, ExceptionCode, GlobalStatus,
    Identified, Identify, Message, Outcome, Xid,
};

/// What was read of one.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) class: String,
    pub(super) xid: String,
    pub(super) extra_data: String,
    pub(super) resource_id: String,
    pub(super) resource_ids: String,
    pub(super) lock_key: String,
    pub(super) application_data: String,
    pub(super) application_id: String,
    pub(super) group: String,
    pub(super) version: String,
    pub(super) name: String,
    pub(super) text: String,
    pub(super) branch_id: i64,
    pub(super) timeout_ms: i32,
    pub(super) save_days: i16,
    pub(super) identified: bool,
    pub(super) lockable: bool,
    pub(super) branch_type: Option<BranchType>,
    pub(super) branch_status: Option<BranchStatus>,
    pub(super) global_status: Option<GlobalStatus>,
    pub(super) code: Option<ExceptionCode>,
    pub(super) success: Option<bool>,
    pub(super) messages: Vec<Message>,
    pub(super) ids: Vec<i32>,
}

impl Fields {
    pub(super) fn read(
        &mut self,
        d: &mut Decoder<'_>,
        field: &str,
        inner: Inner,
    ) -> Result<(), HessianError> {
        match field {
            "xid" => self.xid = text(d)?,
            "extraData" => self.extra_data = text(d)?,
            "resourceId" => self.resource_id = text(d)?,
            "resourceIds" => self.resource_ids = text(d)?,
            "lockKey" => self.lock_key = text(d)?,
            "applicationData" => self.application_data = text(d)?,
            "applicationId" => self.application_id = text(d)?,
            "transactionServiceGroup" => self.group = text(d)?,
            "version" => self.version = text(d)?,
            "transactionName" => self.name = text(d)?,
            "msg" => self.text = text(d)?,
            "branchId" => self.branch_id = d.long()?,
            "timeout" => self.timeout_ms = d.int()?,
            "saveDays" => {
                let number = d.int()?;
                let offset = d.position();
                self.save_days =
                    i16::try_from(number).map_err(|_| HessianError::Days { offset, number })?;
            }
            "identified" => self.identified = d.bool()?,
            "lockable" => self.lockable = d.bool()?,
            "branchType" => self.branch_type = constant(d, "branchType")?,
            "branchStatus" | "status" => self.branch_status = constant(d, "branchStatus")?,
            "globalStatus" => self.global_status = constant(d, "globalStatus")?,
            "transactionExceptionCode" => self.code = constant(d, "transactionExceptionCode")?,
            "resultCode" => {
                let code: Option<ResultCode> = constant(d, "resultCode")?;
                self.success = code.map(|code| code == ResultCode::Success);
            }
            "msgs" | "resultMessages" => self.messages = messages(d, inner)?,
            "msgIds" => self.ids = ids(d)?,
            // Java's own: its channel and its handler, both null.
            _ => d.skip()?,
        }
        Ok(())
    }

    fn missing(&self, field: &'static str) -> HessianError {
        HessianError::Missing {
            class: self.class.clone(),
            field,
        }
    }

    pub(super) fn outcome(&mut self) -> Result<Outcome, HessianError> {
        let success = self.success.ok_or_else(|| self.missing("resultCode"))?;
        Ok(Outcome {
            failure: (!success).then(|| std::mem::take(&mut self.text)),
            code: self.code.unwrap_or_default(),
        })
    }

    /// Java leaves it away after failures.
    pub(super) fn global_status(&self) -> GlobalStatus {
        self.global_status.unwrap_or(GlobalStatus::UnKnown)
    }

    pub(super) fn branch_type(&self) -> Result<BranchType, HessianError> {
        self.branch_type.ok_or_else(|| self.missing("branchType"))
    }

    pub(super) fn identify(self) -> (Identify, String) {
        let identify = Identify {
            version: self.version,
            application_id: self.application_id,
            transaction_group: self.group,
            extra_data: self.extra_data,
        };
        (identify, self.resource_ids)
    }

    pub(super) fn identified(self) -> Identified {
        Identified {
            accepted: self.identified,
            version: self.version,
        }
    }

    pub(super) fn of_transaction(self) -> Xid {
        Xid {
            xid: self.xid,
            extra_data: self.extra_data,
        }
    }

    pub(super) fn branch_register(self) -> Result<BranchRegister, HessianError> {
        Ok(BranchRegister {
            branch_type: self.branch_type()?,
            xid: self.xid,
            resource_id: self.resource_id,
            lock_key: self.lock_key,
            application_data: self.application_data,
        })
    }

    pub(super) fn branch_end(self) -> Result<BranchEnd, HessianError> {
        Ok(BranchEnd {
            branch_type: self.branch_type()?,
            xid: self.xid,
            branch_id: self.branch_id,
            resource_id: self.resource_id,
            application_data: self.application_data,
        })
    }

    pub(super) fn branch_ended(mut self) -> Result<BranchEnded, HessianError> {
        Ok(BranchEnded {
            outcome: self.outcome()?,
            xid: self.xid,
            branch_id: self.branch_id,
            // Java leaves it away after failures.
            status: self.branch_status.unwrap_or(BranchStatus::Unknown),
        })
    }
}

#[derive(PartialEq)]
enum ResultCode {
    Success,
    Failed,
}

impl FromStr for ResultCode {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "Success" => Ok(Self::Success),
            "Failed" => Ok(Self::Failed),
            _ => Err(()),
        }
    }
}

fn text(d: &mut Decoder<'_>) -> Result<String, HessianError> {
    Ok(d.str()?.unwrap_or_default().into_owned())
}

/// A constant of an enum, if there is one.
fn constant<T: FromStr>(
    d: &mut Decoder<'_>,
    field: &'static str,
) -> Result<Option<T>, HessianError> {
    let Some(head) = d.object_begin()? else {
        return Ok(None);
    };
    let mut constant = String::new();
    for index in 0..d.field_count(head) {
        match d.field_bytes(head, index) == b"name" {
            true => constant = text(d)?,
            false => d.skip()?,
        }
    }
    d.object_end(head)?;
    match constant.parse() {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(HessianError::Constant {
            offset: d.position(),
            field,
            constant,
        }),
    }
}

fn ids(d: &mut Decoder<'_>) -> Result<Vec<i32>, HessianError> {
    let mut ids = Vec::new();
    if let Some(mut head) = d.list_begin()? {
        while d.list_more(&mut head)? {
            ids.push(d.int()?);
        }
    }
    Ok(ids)
}

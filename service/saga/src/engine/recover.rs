//! What becomes of sagas that did not end well, or not in time. Seata's coordinator decides that for its engine
//! (`apache/incubator-seata:saga/seata-saga-rm`, `SagaResourceManager.java`, and `DbAndReportTcStateLogStore.java`): a commit
//! that failed is committed again, a compensation that failed is compensated again, a timeout compensates, or goes forward
//! if the machine says so. The pivot is ours: once a credit was called its money may be spent, so from there on recovery
//! goes forward, unless every credit failed for certain.

use serde_json::Map;

use super::exception::{Code, Exception};
use super::operate::ChildCompensation;
use super::saga::{Operation, Recovery, Saga};
use super::status::Status;
use super::step::{Flow, Step};
use crate::lang::{Machine, Money, Recover};

/// Whether a saga has called a credit that may have been carried out. Its record stands before the call is made.
pub(super) fn is_past_pivot(saga: &Saga, machine: &Machine) -> bool {
    saga.records.iter().any(|record| {
        record.compensates.is_none()
            && machine.state(record.state).money == Some(Money::Credit)
            && (record.status != Status::Failed || record.is_doubtful)
    })
}

impl Step<'_> {
    pub fn is_past_pivot(&self) -> bool {
        self.is_child_past_pivot || is_past_pivot(self.saga, self.machine)
    }

    /// Whether a stopped saga is to go forward; `None` if nothing is to be done.
    fn goal(&self) -> Option<bool> {
        let saga = &*self.saga;
        match (saga.status, saga.compensation) {
            (_, Some(Status::Succeeded)) | (Status::Succeeded | Status::Failed, None) => None,
            // Going forward has made up for a compensation that failed. (Seata's coordinator would compensate again.)
            (Status::Succeeded, Some(_)) if saga.run.operation == Operation::Forward => None,
            (_, Some(_)) => Some(false),
            (_, None) => Some(match self.machine.recover {
                Some(Recover::Forward) => true,
                Some(Recover::Pivot) => self.is_past_pivot(),
                Some(Recover::Compensate) | None => !saga.is_timed_out,
            }),
        }
    }

    /// Plans the recovery of a saga that has stopped.
    pub fn plan(&mut self) -> Option<u64> {
        let tries = self.drop_plan().map_or(0, |recovery| recovery.tries);
        if !self.world.config.recovers {
            return None;
        }
        let is_forward = self.goal()?;
        self.plan_at(tries, is_forward, None)
    }

    fn plan_at(&mut self, tries: u32, is_forward: bool, refused: Option<String>) -> Option<u64> {
        let config = &self.world.config;
        let pause_ms = config
            .recovery_first_ms
            .saturating_mul(1_u64.checked_shl(tries).unwrap_or(u64::MAX))
            .min(config.recovery_most_ms);
        let due_ms = self.world.now_ms.saturating_add(pause_ms);
        self.saga.recovery = Some(Recovery {
            due_ms,
            tries,
            is_forward,
            refused,
        });
        self.world.arm(self.saga, due_ms);
        Some(due_ms)
    }

    /// Somebody decides instead.
    pub fn drop_plan(&mut self) -> Option<Recovery> {
        self.saga.recovery.take()
    }

    /// The time of a recovery has come.
    pub fn recover(&mut self, child: ChildCompensation<'_>) {
        let Some(mut recovery) = self.saga.recovery.take() else {
            return;
        };
        let Some(is_forward) = self.goal() else {
            return;
        };
        recovery.tries = recovery.tries.saturating_add(1);
        let tried = if is_forward {
            self.forward(Map::new(), false, child)
        } else {
            self.compensate(Map::new())
        };
        match tried {
            Ok(Flow::Wait) if !self.saga.is_running => {
                let refused = "there is nothing to go forward from".into();
                self.plan_at(recovery.tries, is_forward, Some(refused));
            }
            Ok(flow) => {
                // Counts on if it stops again.
                recovery.refused = None;
                self.saga.recovery = Some(recovery);
                self.proceed(flow);
            }
            Err(refused) => {
                self.plan_at(recovery.tries, is_forward, Some(refused.to_string()));
            }
        }
    }

    /// The saga should be done by now.
    pub fn deadline(&mut self) -> Flow {
        self.saga.is_timed_out = true;
        if !self.world.config.recovers {
            // It ends before its next call.
            return Flow::Wait;
        }
        let compensates = match self.machine.recover {
            Some(Recover::Forward) => false,
            Some(Recover::Pivot) => !self.is_past_pivot(),
            Some(Recover::Compensate) | None => true,
        };
        let is_open = self.saga.is_running || self.goal().is_some();
        if !compensates || !is_open || self.saga.compensation.is_some() {
            return Flow::Wait;
        }
        self.drop_plan();
        if self.saga.is_running {
            let message = format!("saga [{}] has timed out", self.saga.id);
            self.saga.exception = Some(Exception::engine(Code::Timeout, message).into());
        }
        self.compensate(Map::new()).unwrap_or(Flow::Wait)
    }
}

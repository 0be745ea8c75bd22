use std::collections::BTreeMap;

use diwan_seata::{BranchStatus, BranchType, ExceptionCode, GlobalStatus};
use diwan_tx::state::{
    Answer, Begin, Config, Coordinator, Decision, Effect, Ended, Kind, Operate, Register, Report,
};

pub(crate) const SECOND: u64 = 1_000_000;
const NOON: u64 = 1_800_000_000 * SECOND;

/// A coordinator, and the calls that it wants made.
pub(crate) struct World {
    pub(crate) state: Coordinator,
    pub(crate) now_us: u64,
    pub(crate) calls: Vec<Call>,
    pub(crate) settled: Vec<(i64, GlobalStatus)>,
    pub(crate) ended: Vec<(i64, GlobalStatus)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) transaction: i64,
    pub(crate) branch: i64,
    pub(crate) commit: bool,
    pub(crate) resource: String,
    pub(crate) data: String,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            state: Coordinator::new(Config::default(), 1),
            now_us: NOON,
            calls: Vec::new(),
            settled: Vec::new(),
            ended: Vec::new(),
        }
    }

    pub(crate) fn apply(&mut self, kind: Kind) -> Answer {
        let answer = self.state.apply(kind.into(), self.now_us);
        let effects = self.state.effects();
        self.perform(effects);
        answer
    }

    pub(crate) fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Call {
                    transaction,
                    commit,
                    end,
                    ..
                } => self.calls.push(Call {
                    transaction,
                    branch: end.branch_id,
                    commit,
                    resource: end.resource_id,
                    data: end.application_data,
                }),
                Effect::Settled {
                    transaction,
                    status,
                } => self.settled.push((transaction, status)),
                Effect::Ended { global, status } => self.ended.push((global.id, status)),
            }
        }
    }

    pub(crate) fn begin(&mut self, name: &str) -> i64 {
        let begin = Begin {
            label: "127.0.0.1:8091:".into(),
            application: "app".into(),
            group: "group".into(),
            name: name.into(),
            timeout_ms: 60_000,
        };
        self.apply(Kind::Begin(begin)).id
    }

    pub(crate) fn register(
        &mut self,
        transaction: i64,
        branch_type: BranchType,
        resource: &str,
        lock_key: &str,
    ) -> Answer {
        self.apply(Kind::Register(Register {
            transaction,
            branch_type: branch_type.byte().into(),
            resource: resource.into(),
            client: "app:10.0.0.1:4000".into(),
            lock_key: lock_key.into(),
            application_data: format!("data of {resource}"),
        }))
    }

    pub(crate) fn operate(&mut self, transaction: i64, decision: Decision, branch: i64) -> Answer {
        self.apply(Kind::Operate(Operate {
            transaction,
            decision: decision as u32,
            branch,
            ..Operate::default()
        }))
    }

    /// The branch says that its first phase has failed.
    pub(crate) fn fail(&mut self, transaction: i64, branch: i64) -> Answer {
        self.apply(Kind::Report(Report {
            transaction,
            branch,
            status: BranchStatus::PhaseOneFailed.byte().into(),
            ..Report::default()
        }))
    }

    /// Which rows are locked, and whose they are.
    pub(crate) fn locked(&self) -> BTreeMap<String, (i64, i64)> {
        let locks = self.state.locks();
        locks
            .map(|lock| (lock.row, (lock.transaction, lock.branch)))
            .collect()
    }

    pub(crate) fn tcc(&mut self, transaction: i64, resource: &str) -> i64 {
        let answer = self.register(transaction, BranchType::Tcc, resource, "");
        assert_eq!(answer.refused, None);
        answer.id
    }

    pub(crate) fn end(&mut self, call: &Call, status: Option<BranchStatus>) {
        self.apply(Kind::Ended(Ended {
            transaction: call.transaction,
            branch: call.branch,
            commit: call.commit,
            status: status.map(|status| status.byte().into()),
            why: if status.is_none() {
                "nobody".into()
            } else {
                String::new()
            },
        }));
    }

    pub(crate) fn take(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    pub(crate) fn resources(&self) -> Vec<&str> {
        self.calls.iter().map(|call| &*call.resource).collect()
    }

    /// Time passes, and the log is told so.
    pub(crate) fn pass(&mut self, us: u64) {
        self.now_us += us;
        self.apply(Kind::Tick(0));
    }

    pub(crate) fn status(&self, transaction: i64) -> GlobalStatus {
        self.state.status(transaction)
    }
}

pub(crate) fn status(answer: &Answer) -> GlobalStatus {
    GlobalStatus::from_byte(u8::try_from(answer.status).unwrap()).unwrap()
}

pub(crate) fn code(answer: &Answer) -> ExceptionCode {
    assert!(answer.refused.is_some());
    ExceptionCode::from_byte(u8::try_from(answer.code).unwrap()).unwrap()
}

pub(crate) const COMMITTED: Option<BranchStatus> = Some(BranchStatus::PhaseTwoCommitted);
pub(crate) const ROLLBACKED: Option<BranchStatus> = Some(BranchStatus::PhaseTwoRollbacked);

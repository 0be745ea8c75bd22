//! The application that makes transfers as TCC transactions: it begins, has both sides tried, and decides.

use diwan_seata::{BranchType, GlobalStatus};
use diwan_tx::state::{Begin, Kind, Register};
use diwan_tx_client::fence::Operation;

use crate::bank::{Order, Said, Side};
use crate::requests::{Silence, Waiter, branch_key, data, resource};
use crate::world::{Event, Way, World};

/// Transactions that are begun for one transfer, if the coordinator does not answer.
const BEGINS_MAX: u32 = 3;
/// What nobody answered is asked again after this.
const PAUSE_US: u64 = 200_000;

/// How far a transfer is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tcc {
    begins: u32,
    pub(crate) transaction: i64,
    pub(crate) xid: String,
    /// What was registered: which side, and its number.
    pub(crate) branches: Vec<(Side, i64)>,
    decision: Option<bool>,
    /// What the coordinator has promised.
    pub(crate) told: Option<bool>,
}

impl World {
    /// Whether the application dies now: it says nothing more.
    fn dies(&mut self, transfer: usize) -> bool {
        let dies = self.is_faulty() && self.random.permille(15);
        if dies {
            self.counts.add("applications dead in the middle");
            self.transfers[transfer].is_dead = true;
        }
        self.transfers[transfer].is_dead
    }

    pub(crate) fn begin(&mut self, transfer: usize) {
        let timeout_ms = *self.random.pick(&[1_000, 3_000, 10_000, 60_000]);
        let begin = Begin {
            label: "tc:1:".into(),
            application: "bank".into(),
            group: "default".into(),
            name: format!("transfer {transfer}"),
            timeout_ms,
        };
        let answer = self.ask_coordinator(Kind::Begin(begin));
        let Way::Tcc(tcc) = &mut self.transfers[transfer].way else {
            return;
        };
        match answer {
            Some(answer) => {
                tcc.transaction = answer.id;
                tcc.xid = format!("tc:1:{}", answer.id);
                self.next_side(transfer, Side::Debit);
            }
            None if tcc.begins < BEGINS_MAX => {
                tcc.begins += 1;
                self.after(PAUSE_US, Event::Start(transfer));
            }
            // Whatever began is ended by its timeout.
            None => {}
        }
    }

    fn next_side(&mut self, transfer: usize, side: Side) {
        if self.dies(transfer) {
            return;
        }
        let (from, to, cents) = {
            let one = &self.transfers[transfer];
            (one.from, one.to, one.cents)
        };
        let account = if side == Side::Debit { from } else { to };
        let Way::Tcc(tcc) = &self.transfers[transfer].way else {
            return;
        };
        let register = Register {
            transaction: tcc.transaction,
            branch_type: BranchType::Tcc.byte().into(),
            resource: resource(side).into(),
            client: "bank:10.0.0.1:4000".into(),
            lock_key: String::new(),
            application_data: data(account, cents),
        };
        let xid = tcc.xid.clone();
        let answer = self.ask_coordinator(Kind::Register(register));
        let branch = answer.filter(|answer| answer.refused.is_none());
        let key = branch.and_then(|branch| {
            let key = branch_key(&xid, branch.id, side).ok()?;
            Some((key, branch.id))
        });
        let Some((key, branch)) = key else {
            return self.decide(transfer, false);
        };
        if let Way::Tcc(tcc) = &mut self.transfers[transfer].way {
            tcc.branches.push((side, branch));
        }
        if self.dies(transfer) {
            return;
        }
        let order = Order {
            key,
            operation: Operation::Try,
            side,
            account,
            cents,
        };
        self.send(order, Waiter::Try { transfer, side });
    }

    pub(crate) fn tried(&mut self, transfer: usize, side: Side, said: Result<Said, Silence>) {
        if self.dies(transfer) {
            return;
        }
        match (said, side) {
            (Ok(Said::Done(_)), Side::Debit) => self.next_side(transfer, Side::Credit),
            (Ok(Said::Done(_)), Side::Credit) => self.decide(transfer, true),
            _ => self.decide(transfer, false),
        }
    }

    fn decide(&mut self, transfer: usize, commit: bool) {
        if let Way::Tcc(tcc) = &mut self.transfers[transfer].way {
            tcc.decision = Some(commit);
        }
        self.say_decision(transfer);
    }

    /// Asks until it is answered.
    pub(crate) fn say_decision(&mut self, transfer: usize) {
        if self.dies(transfer) {
            return;
        }
        let Way::Tcc(tcc) = &self.transfers[transfer].way else {
            return;
        };
        let decision = match tcc.decision {
            Some(true) => Kind::Commit(tcc.transaction),
            _ => Kind::Rollback(tcc.transaction),
        };
        let Some(answer) = self.ask_coordinator(decision) else {
            return self.after(PAUSE_US, Event::Decide(transfer));
        };
        let status = u8::try_from(answer.status).ok();
        let told = status.and_then(GlobalStatus::from_byte).and_then(promise);
        if let Way::Tcc(tcc) = &mut self.transfers[transfer].way {
            tcc.told = told;
        }
    }
}

/// What a client may rely on from then on.
fn promise(status: GlobalStatus) -> Option<bool> {
    match status {
        GlobalStatus::Committed
        | GlobalStatus::Committing
        | GlobalStatus::CommitRetrying
        | GlobalStatus::AsyncCommitting => Some(true),
        GlobalStatus::Rollbacked
        | GlobalStatus::Rollbacking
        | GlobalStatus::RollbackRetrying
        | GlobalStatus::TimeoutRollbacked
        | GlobalStatus::TimeoutRollbacking
        | GlobalStatus::TimeoutRollbackRetrying => Some(false),
        _ => None,
    }
}

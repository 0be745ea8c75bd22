//! What must hold when everything has come to rest.

use diwan_saga::engine::Status;
use diwan_tx_client::fence::FenceStatus;

use crate::bank::Side;
use crate::requests::{branch_key, step_key};
use crate::tcc::Tcc;
use crate::world::{Transfer, Way, World};

impl World {
    /// What is open, for people.
    pub(crate) fn open(&self) -> String {
        let mut open = Vec::new();
        if let Some(sagas) = self.sagas.shared() {
            let sagas = sagas.lock();
            let living = sagas.iter();
            let living = living.filter(|saga| saga.is_running || saga.recovery.is_some());
            open.extend(living.map(|saga| {
                format!(
                    "saga {} is {:?}/{:?}, recovered by {:?}",
                    saga.id, saga.status, saga.compensation, saga.recovery
                )
            }));
        }
        if let Some(state) = self.coordinator.shared() {
            let state = state.lock();
            let globals = state.globals();
            open.extend(globals.map(|global| format!("{} is {}", global.xid(), global.status)));
        }
        open.join("; ")
    }

    pub(crate) fn judge(&mut self) {
        for number in 0..self.transfers.len() {
            let ended = match &self.transfers[number].way {
                Way::Saga(machine) => self.saga(&self.transfers[number], machine),
                Way::Tcc(tcc) => self.transaction(tcc),
            };
            match ended {
                Ok(name) => self.counts.add(name),
                Err(why) => {
                    let id = &self.transfers[number].id;
                    self.broken = Some(format!("transfer {id}: {why}"));
                    return;
                }
            }
        }
        let balances: i64 = self.banks.accounts.iter().map(|one| one.balance).sum();
        let held: i64 = self.banks.accounts.iter().map(|one| one.held).sum();
        if balances + self.spent != self.opening() {
            self.broken = Some(format!(
                "there were {}, and there are {balances} and {} spent",
                self.opening(),
                self.spent
            ));
        } else if held != 0 {
            self.broken = Some(format!("{held} are held for nobody"));
        }
    }

    fn saga(&self, transfer: &Transfer, machine: &str) -> Result<&'static str, String> {
        let row = |(side, account): (Side, usize)| {
            let key = step_key(&transfer.id, side, account).ok();
            key.and_then(|key| self.banks.row(&key))
        };
        let paid = row((Side::Credit, transfer.to)) == Some(FenceStatus::Tried);
        let payers = transfer.payers(machine).into_iter();
        let taken = payers.filter(|payer| row(*payer) == Some(FenceStatus::Tried));
        let taken = taken.count();
        let (all, none) = (
            taken == transfer.payers(machine).len() && paid,
            taken == 0 && !paid,
        );
        let Some(sagas) = self.sagas.shared() else {
            return Err("nobody leads".into());
        };
        let sagas = sagas.lock();
        let Some(saga) = sagas.get(&transfer.id) else {
            return Err("its saga is gone".into());
        };
        match (saga.status, saga.compensation) {
            (Status::Succeeded, None) if all => Ok("sagas done"),
            (_, Some(Status::Succeeded)) if none => Ok("sagas undone"),
            (Status::Failed, None) if none => Ok("sagas failed with nothing done"),
            (status, compensation) => {
                let machine = sagas.machine(saga.machine);
                let states = saga.records.iter().map(|record| {
                    let name = machine.map(|machine| record.name(machine));
                    let compensation = saga.compensation_of(record);
                    format!(
                        "{} {}/{compensation:?}",
                        name.unwrap_or_default(),
                        record.status
                    )
                });
                let states: Vec<String> = states.collect();
                Err(format!(
                    "its saga is {status:?}/{compensation:?}; {taken} have paid, the receiver has it: {paid}; {}",
                    states.join(", ")
                ))
            }
        }
    }

    fn transaction(&self, tcc: &Tcc) -> Result<&'static str, String> {
        let rows = tcc.branches.iter().map(|(side, branch)| {
            let key = branch_key(&tcc.xid, *branch, *side).ok();
            key.and_then(|key| self.banks.row(&key))
        });
        let rows: Vec<Option<FenceStatus>> = rows.collect();
        let committed = rows
            .iter()
            .filter(|row| **row == Some(FenceStatus::Committed));
        let committed = committed.count();
        let tried = rows.contains(&Some(FenceStatus::Tried));
        match (committed, tcc.told) {
            (2, Some(true) | None) if !tried => Ok("transactions committed"),
            (0, Some(false) | None) if !tried => Ok("transactions rolled back"),
            _ => Err(format!(
                "{rows:?}, and the application was told {:?}",
                tcc.told
            )),
        }
    }
}

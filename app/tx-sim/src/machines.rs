//! The sagas: transfers that `diwan saga check --strict` accepts.

use diwan_saga::build::{Machine, Recover, State, Status, Task};
use serde_json::Value;

pub(crate) const REFUSED: &str = "com.diwan.bank.Refused";
/// From one account to another.
pub(crate) const TRANSFER: &str = "transfer";
/// Half from each of two accounts.
pub(crate) const SPLIT: &str = "split";
/// The same, both at once.
pub(crate) const FORK: &str = "fork";

/// All machines, in Seata's state language.
#[must_use]
pub fn machines() -> [Value; 3] {
    [transfer(), split(), fork()]
}

fn task(method: &str, account: &str, cents: &str) -> Task {
    let task = Task::call("bank", method).input("$.[id]");
    task.input(account).input(cents)
}

fn debit(account: &str, cents: &str, refund: &State, refused: &State) -> Task {
    task("debit", account, cents)
        .undone_by(refund)
        .debits(account, cents)
        .catch(&[REFUSED], refused)
        .retry(&[], 2, 0.5, 2.0)
}

/// Nothing leads from a credit to compensation, but for somebody who decides so: then the bank is asked never to make it, which it refuses
/// if it has.
fn credit(machine: &mut Machine) -> State {
    let done = machine.succeed("Done");
    let forbid = machine.task("Forbid", task("forbid", "$.[to]", "$.[cents]"));
    let credit = task("credit", "$.[to]", "$.[cents]").undone_by(&forbid);
    let credit = credit.credits("$.[to]", "$.[cents]");
    machine.task("Credit", credit.retry(&[], 2, 0.5, 2.0).next(&done))
}

fn undone(machine: &mut Machine) -> State {
    let failed = machine.fail("Failed", "REFUSED", "a bank has refused");
    machine.compensate("Undo", &failed)
}

fn transfer() -> Value {
    let mut machine = Machine::new(TRANSFER, "1").recover(Recover::Pivot);
    let credit = credit(&mut machine);
    let refused = undone(&mut machine);
    let refund = machine.task("Refund", task("refund", "$.[from]", "$.[cents]"));
    // A refusal counts: there is nothing to be undone.
    let debit = debit("$.[from]", "$.[cents]", &refund, &refused)
        .status("#root == true", Status::Succeeded)
        .status(&format!("$Exception{{{REFUSED}}}"), Status::Failed)
        .status("$Exception{java.lang.Throwable}", Status::Unknown);
    let debit = machine.task("Debit", debit.next(&credit));
    machine.start(&debit)
}

/// Half of the money from one account.
fn half(
    machine: &mut Machine,
    [name, undo]: [&str; 2],
    account: &str,
    refused: &State,
    next: &State,
) -> State {
    let refund = machine.task(undo, task("refund", account, "$.[half]"));
    let debit = debit(account, "$.[half]", &refund, refused);
    machine.task(name, debit.next(next))
}

fn split() -> Value {
    let mut machine = Machine::new(SPLIT, "1").recover(Recover::Pivot);
    let credit = credit(&mut machine);
    let refused = undone(&mut machine);
    let other = ["DebitOther", "RefundOther"];
    let other = half(&mut machine, other, "$.[other]", &refused, &credit);
    let first = ["Debit", "Refund"];
    let first = half(&mut machine, first, "$.[from]", &refused, &other);
    machine.start(&first)
}

fn fork() -> Value {
    let mut machine = Machine::new(FORK, "1").recover(Recover::Pivot);
    let credit = credit(&mut machine);
    let join = machine.join("Join", &credit);
    let refused = undone(&mut machine);
    let other = ["DebitOther", "RefundOther"];
    let other = half(&mut machine, other, "$.[other]", &refused, &join);
    let first = ["Debit", "Refund"];
    let first = half(&mut machine, first, "$.[from]", &refused, &join);
    let fork = machine.fork("Both", &[&first, &other], 2);
    machine.start(&fork)
}

#[cfg(test)]
mod tests {
    use diwan_saga::check::{Source, check};

    use super::*;

    #[test]
    fn machines_lose_no_money_as_far_as_they_can_be_read() {
        for machine in machines() {
            let text = machine.to_string();
            let source = Source {
                file: "machine",
                text: &text,
            };
            let findings = check(&[source], true);
            let said: Vec<String> = findings.iter().map(ToString::to_string).collect();
            assert!(said.is_empty(), "{}", said.join("\n"));
        }
    }
}

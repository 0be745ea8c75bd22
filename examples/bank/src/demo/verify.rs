use std::collections::BTreeMap;

use super::drive::{LineOutcome, Outcome};
use super::processes::Bank;
use crate::account::{AccountView, EntryView};

/// What the account services say, read by RPC from their stores.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    pub(super) accounts: BTreeMap<String, AccountView>,
    pub(super) entries: Vec<EntryView>,
}

const PAGE: i32 = 5000;

pub(super) async fn read_books(bank: &Bank) -> Result<Books, Box<dyn std::error::Error>> {
    let mut books = Books::default();
    for client in bank.account_clients()? {
        let accounts = client.all().await?;
        books.accounts.extend(
            accounts
                .into_iter()
                .map(|account| (account.account.clone(), account)),
        );
        let mut after = None;
        loop {
            let page = client.entries(after.clone(), PAGE).await?;
            if page.is_empty() {
                break;
            }
            after = page.last().cloned();
            books.entries.extend(page);
        }
    }
    Ok(books)
}

impl Books {
    pub(super) fn sum(&self) -> i64 {
        self.accounts
            .values()
            .map(|account| account.balance_cents)
            .sum()
    }
}

/// Compares the books with the result file; each string is one thing that is wrong.
pub(super) fn differences(outcomes: &[LineOutcome], before: &Books, after: &Books) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut expected: BTreeMap<&str, i64> = before
        .accounts
        .iter()
        .map(|(name, account)| (name.as_str(), account.balance_cents))
        .collect();
    // Transfers of an earlier run on the same stores are in both books.
    let mut sides: BTreeMap<(&str, bool), (&str, i64)> = BTreeMap::new();
    for entry in &before.entries {
        sides.insert(
            (&entry.transfer, entry.debit),
            (&entry.account, entry.cents),
        );
    }
    for LineOutcome {
        transfer,
        outcome,
        number,
        ..
    } in outcomes
    {
        match (transfer, outcome) {
            (Some(transfer), Outcome::Done) => {
                let cents = transfer.amount.0;
                let new = sides
                    .insert((&transfer.id, true), (&transfer.from, cents))
                    .is_none();
                sides.insert((&transfer.id, false), (&transfer.to, cents));
                if new {
                    *expected.entry(&transfer.from).or_default() -= cents;
                    *expected.entry(&transfer.to).or_default() += cents;
                }
            }
            (_, Outcome::Unknown(reason)) => {
                wrong.push(format!("line {number}: outcome unknown: {reason}"))
            }
            _ => {}
        }
    }
    for (name, account) in &after.accounts {
        let should = expected.get(name.as_str()).copied().unwrap_or_default();
        if account.balance_cents != should {
            wrong.push(format!(
                "account {name} has {} cents, should have {should}",
                account.balance_cents
            ));
        }
        if account.held_cents != 0 {
            wrong.push(format!(
                "account {name} still has {} cents held",
                account.held_cents
            ));
        }
    }
    if after.accounts.len() != expected.len() {
        wrong.push(format!(
            "{} accounts, should be {}",
            after.accounts.len(),
            expected.len()
        ));
    }
    for entry in &after.entries {
        match sides.remove(&(entry.transfer.as_str(), entry.debit)) {
            Some(side) if side == (entry.account.as_str(), entry.cents) => {}
            Some(_) => wrong.push(format!(
                "transfer {} was booked with other content",
                entry.transfer
            )),
            None => wrong.push(format!(
                "transfer {} was booked without being asked for, or twice",
                entry.transfer
            )),
        }
    }
    for (transfer, debit) in sides.keys() {
        let side = if *debit { "debit" } else { "credit" };
        wrong.push(format!(
            "transfer {transfer} is done but its {side} is missing"
        ));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::money::Cents;
    use crate::transfers_file::Transfer;

    fn books(amounts: [i64; 2], entries: &[(&str, &str, bool, i64)]) -> Books {
        let account = |(index, cents): (usize, &i64)| {
            let account = format!("A000{index}");
            (
                account.clone(),
                AccountView {
                    account,
                    balance_cents: *cents,
                    held_cents: 0,
                },
            )
        };
        let entry = |(transfer, account, debit, cents): &(&str, &str, bool, i64)| EntryView {
            transfer: (*transfer).into(),
            account: (*account).into(),
            debit: *debit,
            cents: *cents,
        };
        Books {
            accounts: amounts.iter().enumerate().map(account).collect(),
            entries: entries.iter().map(entry).collect(),
        }
    }

    fn line(outcome: Outcome) -> LineOutcome {
        let transfer = Transfer {
            id: "T1".into(),
            from: "A0000".into(),
            to: "A0001".into(),
            amount: Cents(5),
        };
        LineOutcome {
            number: 2,
            transfer: Some(transfer),
            outcome,
            took: Duration::ZERO,
        }
    }

    const DEBIT: (&str, &str, bool, i64) = ("T1", "A0000", true, 5);
    const CREDIT: (&str, &str, bool, i64) = ("T1", "A0001", false, 5);

    /// What the verdict rests on: each way of losing or making money is noticed.
    #[test]
    fn every_difference_is_found() {
        let before = books([100, 100], &[]);
        let done = [line(Outcome::Done)];
        let rejected = [line(Outcome::Rejected("no".into()))];
        assert_eq!(
            differences(&done, &before, &books([95, 105], &[DEBIT, CREDIT])),
            [""; 0]
        );
        assert_eq!(differences(&rejected, &before, &before), [""; 0]);
        let cases: [(&[LineOutcome], Books, usize); 6] = [
            (&done, books([95, 100], &[DEBIT]), 2),
            (&done, books([100, 100], &[]), 4),
            (&done, books([90, 110], &[DEBIT, CREDIT, DEBIT, CREDIT]), 4),
            (&rejected, books([95, 105], &[DEBIT, CREDIT]), 4),
            (
                &done,
                books([95, 105], &[DEBIT, ("T1", "A0001", false, 6)]),
                1,
            ),
            (&[line(Outcome::Unknown("?".into()))], before.clone(), 1),
        ];
        for (index, (outcomes, after, count)) in cases.iter().enumerate() {
            let wrong = differences(outcomes, &before, after);
            assert_eq!(wrong.len(), *count, "case {index}: {wrong:#?}");
        }
        let mut held = before.clone();
        if let Some(account) = held.accounts.get_mut("A0000") {
            account.held_cents = 1;
        }
        assert_eq!(differences(&[], &before, &held).len(), 1);
    }
}

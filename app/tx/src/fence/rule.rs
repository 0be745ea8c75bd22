//! The rule. Source: apache/incubator-seata:spring/src/main/java/org/apache/seata/rm/fence/SpringFenceHandler.java; the numbers:
//! apache/incubator-seata:integration-tx-api/src/main/java/org/apache/seata/integration/tx/api/fence/constant/CommonFenceConstant.java.

use thiserror::Error;

/// What a branch's row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FenceStatus {
    /// It was tried.
    Tried = 1,
    /// It was committed.
    Committed = 2,
    /// It was tried and rolled back.
    RolledBack = 3,
    /// It was to be rolled back and had not been tried: it must not be any more.
    Suspended = 4,
}

impl FenceStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Tried,
        Self::Committed,
        Self::RolledBack,
        Self::Suspended,
    ];

    /// As it stands in the row.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// What a number in a row stands for, if anything.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.number() == number)
    }
}

/// What is to be done with a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// TCC's first step.
    Try,
    /// TCC's second.
    Commit,
    /// TCC's second, otherwise.
    Rollback,
    /// A saga's step: like a try, but once it is done the same again is no error.
    Act,
    /// What undoes a saga's step.
    Compensate,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Try,
        Self::Commit,
        Self::Rollback,
        Self::Act,
        Self::Compensate,
    ];
}

/// What follows for an operation from the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write the row, and do it.
    Do(FenceStatus),
    /// Write the row; there is nothing to be done.
    Only(FenceStatus),
    /// It was done before.
    Done,
    /// It must not be done.
    Refuse(Refusal),
}

/// Why an operation must not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Refusal {
    /// A try of what was tried.
    #[error("it was tried before")]
    TriedBefore,
    /// A try or a step after its rollback, or a commit.
    #[error("it was rolled back before")]
    RolledBackBefore,
    /// A rollback, or a second try, after the commit.
    #[error("it was committed before")]
    CommittedBefore,
    /// A commit of what was not tried, as far as the row says.
    #[error("it was not tried")]
    NotTried,
}

/// What is to be done, by what the branch's row says; `None` if there is no row.
pub fn decide(row: Option<FenceStatus>, operation: Operation) -> Decision {
    use FenceStatus::{Committed, RolledBack, Suspended, Tried};
    use Operation::{Act, Commit, Compensate, Rollback, Try};
    match (operation, row) {
        (Try | Act, None) => Decision::Do(Tried),
        (Act, Some(Tried | Committed)) => Decision::Done,
        (Try, Some(Tried)) => Decision::Refuse(Refusal::TriedBefore),
        (Try, Some(Committed)) => Decision::Refuse(Refusal::CommittedBefore),
        (Try | Act | Commit, Some(RolledBack | Suspended)) => {
            Decision::Refuse(Refusal::RolledBackBefore)
        }
        (Commit, None) => Decision::Refuse(Refusal::NotTried),
        (Commit, Some(Tried)) => Decision::Do(Committed),
        (Commit, Some(Committed)) => Decision::Done,
        (Rollback | Compensate, None) => Decision::Only(Suspended),
        (Rollback | Compensate, Some(Tried)) => Decision::Do(RolledBack),
        (Rollback | Compensate, Some(RolledBack | Suspended)) => Decision::Done,
        (Rollback | Compensate, Some(Committed)) => Decision::Refuse(Refusal::CommittedBefore),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_combination() {
        use Decision::{Do, Done, Only, Refuse};
        use FenceStatus::{Committed, RolledBack, Suspended, Tried};
        use Refusal::{CommittedBefore, NotTried, RolledBackBefore, TriedBefore};
        let rows = [
            None,
            Some(Tried),
            Some(Committed),
            Some(RolledBack),
            Some(Suspended),
        ];
        #[rustfmt::skip]
        let table = [
            (Operation::Try,        [Do(Tried),       Refuse(TriedBefore), Refuse(CommittedBefore), Refuse(RolledBackBefore), Refuse(RolledBackBefore)]),
            (Operation::Commit,     [Refuse(NotTried), Do(Committed),      Done,                    Refuse(RolledBackBefore), Refuse(RolledBackBefore)]),
            (Operation::Rollback,   [Only(Suspended), Do(RolledBack),      Refuse(CommittedBefore), Done,                     Done]),
            (Operation::Act,        [Do(Tried),       Done,                Done,                    Refuse(RolledBackBefore), Refuse(RolledBackBefore)]),
            (Operation::Compensate, [Only(Suspended), Do(RolledBack),      Refuse(CommittedBefore), Done,                     Done]),
        ];
        assert_eq!(table.len(), Operation::ALL.len());
        for (operation, expected) in table {
            for (row, expected) in rows.into_iter().zip(expected) {
                assert_eq!(decide(row, operation), expected, "{operation:?} of {row:?}");
            }
        }
    }

    #[test]
    fn numbers_are_the_originals() {
        let numbers = FenceStatus::ALL.map(FenceStatus::number);
        assert_eq!(numbers, [1, 2, 3, 4]);
        for number in 0..=u8::MAX {
            let read = FenceStatus::from_number(number);
            assert_eq!(
                read.map(FenceStatus::number),
                (1..=4).contains(&number).then_some(number)
            );
        }
    }

    proptest! {
        /// In whatever order the steps of one branch come: each is done at most once, what is undone was done before, nothing is done
        /// after it was undone, and it is never both committed and rolled back.
        #[test]
        fn any_order_is_harmless(steps in prop::collection::vec(prop::sample::select(&[Operation::Try, Operation::Commit, Operation::Rollback][..]), 0..12)) {
            let mut row = None;
            let mut done = Vec::new();
            for step in steps {
                match decide(row, step) {
                    Decision::Do(status) => {
                        row = Some(status);
                        done.push(step);
                    }
                    Decision::Only(status) => row = Some(status),
                    Decision::Done | Decision::Refuse(_) => {}
                }
            }
            let allowed: [&[Operation]; 4] = [
                &[],
                &[Operation::Try],
                &[Operation::Try, Operation::Commit],
                &[Operation::Try, Operation::Rollback],
            ];
            prop_assert!(allowed.contains(&&*done), "{done:?}");
        }

        #[test]
        fn a_sagas_step_is_done_once_and_not_after_its_compensation(steps in prop::collection::vec(any::<bool>(), 0..12)) {
            let (mut row, mut done) = (None, Vec::new());
            for acts in steps {
                let step = if acts { Operation::Act } else { Operation::Compensate };
                match decide(row, step) {
                    Decision::Do(status) => {
                        row = Some(status);
                        done.push(step);
                    }
                    Decision::Only(status) => row = Some(status),
                    Decision::Done | Decision::Refuse(_) => {}
                }
            }
            let allowed: [&[Operation]; 3] = [&[], &[Operation::Act], &[Operation::Act, Operation::Compensate]];
            prop_assert!(allowed.contains(&&*done), "{done:?}");
        }
    }
}

//! What a client has done: numbers for whoever looks after it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use diwan_seata::BranchStatus;

/// Names each counter once: for who counts, for who reads it, and for Prometheus.
macro_rules! counters {
    ($($count:ident $name:ident $what:literal)*) => {
        #[derive(Clone, Copy)]
        pub(crate) enum Count {
            $($count,)*
        }

        /// What a client has done since it was started. Its text is Prometheus'.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters {
            $(#[doc = $what] pub $name: u64,)*
        }

        impl Tally {
            pub(crate) fn read(&self) -> Counters {
                Counters { $($name: self.0[Count::$count as usize].load(Ordering::Relaxed),)* }
            }
        }

        impl fmt::Display for Counters {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(
                    let name = concat!("diwan_tx_client_", stringify!($name), "_total");
                    writeln!(f, "# HELP {name} {}\n# TYPE {name} counter\n{name} {}", $what, self.$name)?;
                )*
                Ok(())
            }
        }

        const COUNTERS: usize = [$(Count::$count,)*].len();
    };
}

counters! {
    Begun begun "Transactions that have begun."
    Ended ended "Answers that said where a transaction is that was to be committed or rolled back."
    EndFailed end_failed "Attempts to commit or roll back that were refused or not answered."
    Registered branches_registered "Branches that take part."
    NotRegistered branches_not_registered "Branches that were refused, or of which nobody knows."
    Committed branches_committed "Branches that were told to commit, and have."
    RolledBack branches_rolled_back "Branches that were told to roll back, and have."
    InVain branches_in_vain "Branches that were told, and are to be told again."
    Connected connections "Registrations with a coordinator, one for each connection."
    NotConnected connections_failed "Connections that ended, or did not come about."
    Unexpected messages_unexpected "Messages that a coordinator does not send, or that nobody waits for any more."
}

#[derive(Debug, Default)]
pub(crate) struct Tally([AtomicU64; COUNTERS]);

impl Tally {
    pub(crate) fn add(&self, count: Count) {
        self.0[count as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// What came of something.
    pub(crate) fn add_result<T, E>(&self, result: &Result<T, E>, done: Count, failed: Count) {
        self.add(if result.is_ok() { done } else { failed });
    }

    /// Where a branch is that was told.
    pub(crate) fn add_branch(&self, status: BranchStatus) {
        self.add(match status {
            BranchStatus::PhaseTwoCommitted => Count::Committed,
            BranchStatus::PhaseTwoRollbacked => Count::RolledBack,
            _ => Count::InVain,
        });
    }
}

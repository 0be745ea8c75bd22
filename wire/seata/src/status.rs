//! Numbers that stand for something.

/// An enum whose variants travel as one byte.
macro_rules! byte_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $byte:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $byte,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As it travels.
            pub fn byte(self) -> u8 {
                self as u8
            }

            /// What a byte stands for, if anything.
            pub fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($byte => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The original's name for it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                Self::ALL.iter().copied().find(|one| one.name() == text).ok_or(())
            }
        }
    };
}

byte_enum! {
    /// What kind of branch.
    /// Source: apache/incubator-seata:core/src/main/java/org/apache/seata/core/model/BranchType.java.
    BranchType {
        /// Automatic: undo logs and global row locks.
        At = 0 "AT",
        /// Try, confirm, cancel.
        Tcc = 1 "TCC",
        /// A step of a saga.
        Saga = 2 "SAGA",
        /// A database's own two-phase commit.
        Xa = 3 "XA",
        /// A step whose compensation an annotation names; since 2.3.
        SagaAnnotation = 4 "SAGA_ANNOTATION",
    }
}

byte_enum! {
    /// Where a global transaction is.
    /// Source: apache/incubator-seata:core/src/main/java/org/apache/seata/core/model/GlobalStatus.java.
    GlobalStatus {
        /// Not begun, or not known.
        UnKnown = 0 "UnKnown",
        /// Begun: branches register.
        Begin = 1 "Begin",
        /// To be committed.
        Committing = 2 "Committing",
        /// To be committed; not every branch has succeeded at the first try.
        CommitRetrying = 3 "CommitRetrying",
        /// To be rolled back.
        Rollbacking = 4 "Rollbacking",
        /// To be rolled back; not every branch has succeeded at the first try.
        RollbackRetrying = 5 "RollbackRetrying",
        /// To be rolled back, because its time is over.
        TimeoutRollbacking = 6 "TimeoutRollbacking",
        /// The same; not every branch has succeeded at the first try.
        TimeoutRollbackRetrying = 7 "TimeoutRollbackRetrying",
        /// Committed as far as anybody can see; branches are yet to be told.
        AsyncCommitting = 8 "AsyncCommitting",
        /// Committed.
        Committed = 9 "Committed",
        /// A branch says that it cannot be committed.
        CommitFailed = 10 "CommitFailed",
        /// Rolled back.
        Rollbacked = 11 "Rollbacked",
        /// A branch says that it cannot be rolled back.
        RollbackFailed = 12 "RollbackFailed",
        /// Rolled back because its time was over.
        TimeoutRollbacked = 13 "TimeoutRollbacked",
        /// A branch of one whose time was over says that it cannot be rolled back.
        TimeoutRollbackFailed = 14 "TimeoutRollbackFailed",
        /// Not known any more, or a saga that has ended.
        Finished = 15 "Finished",
        /// Given up to be committed.
        CommitRetryTimeout = 16 "CommitRetryTimeout",
        /// Given up to be rolled back.
        RollbackRetryTimeout = 17 "RollbackRetryTimeout",
        /// Being deleted by an operator; since 2.1.
        Deleting = 18 "Deleting",
        /// An operator has stopped its commit.
        StopCommitOrCommitRetry = 19 "StopCommitOrCommitRetry",
        /// An operator has stopped its rollback.
        StopRollbackOrRollbackRetry = 20 "StopRollbackOrRollbackRetry",
    }
}

byte_enum! {
    /// Where a branch is.
    /// Source: apache/incubator-seata:core/src/main/java/org/apache/seata/core/model/BranchStatus.java.
    BranchStatus {
        /// Nothing is known.
        Unknown = 0 "Unknown",
        /// It takes part.
        Registered = 1 "Registered",
        /// Its first phase is done.
        PhaseOneDone = 2 "PhaseOne_Done",
        /// Its first phase has failed.
        PhaseOneFailed = 3 "PhaseOne_Failed",
        /// Its first phase took too long.
        PhaseOneTimeout = 4 "PhaseOne_Timeout",
        /// Committed.
        PhaseTwoCommitted = 5 "PhaseTwo_Committed",
        /// Not committed yet.
        PhaseTwoCommitFailedRetryable = 6 "PhaseTwo_CommitFailed_Retryable",
        /// Cannot be committed.
        PhaseTwoCommitFailedUnretryable = 7 "PhaseTwo_CommitFailed_Unretryable",
        /// Rolled back.
        PhaseTwoRollbacked = 8 "PhaseTwo_Rollbacked",
        /// Not rolled back yet.
        PhaseTwoRollbackFailedRetryable = 9 "PhaseTwo_RollbackFailed_Retryable",
        /// Cannot be rolled back.
        PhaseTwoRollbackFailedUnretryable = 10 "PhaseTwo_RollbackFailed_Unretryable",
        /// The database does not know the branch that is to be committed: maybe not yet.
        PhaseTwoCommitFailedXaerNotaRetryable = 11 "PhaseTwo_CommitFailed_XAER_NOTA_Retryable",
        /// The database does not know the branch that is to be rolled back: maybe not yet.
        PhaseTwoRollbackFailedXaerNotaRetryable = 12 "PhaseTwo_RollbackFailed_XAER_NOTA_Retryable",
        /// It has only read: there is no second phase for it.
        PhaseOneReadOnly = 13 "PhaseOne_RDONLY",
        /// An operator has stopped telling it.
        StopRetry = 14 "STOP_RETRY",
    }
}

byte_enum! {
    /// Why something did not succeed.
    /// Source: apache/incubator-seata:core/src/main/java/org/apache/seata/core/exception/TransactionExceptionCode.java.
    ExceptionCode {
        /// Nothing in particular; also what successes carry.
        Unknown = 0 "Unknown",
        /// A global transaction did not begin.
        BeginFailed = 1 "BeginFailed",
        /// Another transaction holds a row's lock.
        LockKeyConflict = 2 "LockKeyConflict",
        /// Input or output.
        Io = 3 "IO",
        /// A branch is not rolled back yet.
        BranchRollbackFailedRetriable = 4 "BranchRollbackFailed_Retriable",
        /// A branch cannot be rolled back.
        BranchRollbackFailedUnretriable = 5 "BranchRollbackFailed_Unretriable",
        /// A branch was not registered.
        BranchRegisterFailed = 6 "BranchRegisterFailed",
        /// A branch's report was not taken.
        BranchReportFailed = 7 "BranchReportFailed",
        /// Locks could not be looked at.
        LockableCheckFailed = 8 "LockableCheckFailed",
        /// There is no such branch.
        BranchTransactionNotExist = 9 "BranchTransactionNotExist",
        /// There is no such global transaction.
        GlobalTransactionNotExist = 10 "GlobalTransactionNotExist",
        /// The global transaction is decided.
        GlobalTransactionNotActive = 11 "GlobalTransactionNotActive",
        /// The global transaction is not in a status for this.
        GlobalTransactionStatusInvalid = 12 "GlobalTransactionStatusInvalid",
        /// A branch could not be told to commit.
        FailedToSendBranchCommitRequest = 13 "FailedToSendBranchCommitRequest",
        /// A branch could not be told to roll back.
        FailedToSendBranchRollbackRequest = 14 "FailedToSendBranchRollbackRequest",
        /// A branch was not added.
        FailedToAddBranch = 15 "FailedToAddBranch",
        /// The transaction could not be locked.
        FailedLockGlobalTransaction = 16 "FailedLockGlobalTransaction",
        /// The session was not written.
        FailedWriteSession = 17 "FailedWriteSession",
        /// The store failed.
        FailedStore = 18 "FailedStore",
        /// Another node leads.
        NotRaftLeader = 19 "NotRaftLeader",
        /// A row's lock is held by one that is being rolled back: waiting is no use.
        LockKeyConflictFailFast = 20 "LockKeyConflictFailFast",
        /// The transaction's time is over.
        TransactionTimeout = 21 "TransactionTimeout",
        /// Decided otherwise by the resource itself.
        CommitHeuristic = 22 "CommitHeuristic",
        /// Broken.
        Broken = 23 "Broken",
    }
}

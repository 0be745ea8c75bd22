//! Published bugs of Raft implementations, to be switched on one at a time by the tests that prove that the simulator
//! finds them. Only with the cargo feature `museum`, which no release build has.

/// A bug that somebody once shipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Bug {
    /// sofastack/sofa-jraft#1245: a candidate asks for votes before its own vote is durable.
    VoteRequestBeforePersist,
    /// sofastack/sofa-jraft#1243: a vote counts although it could not be written; here: is answered before it is.
    VoteAnswerBeforePersist,
    /// sofastack/sofa-jraft `syncMeta=false`, and NATS: term and vote, or entries, are acknowledged unsynced.
    AcknowledgeUnsynced,
    /// sofastack/sofa-jraft#1049: a leader answers reads before it has committed an entry of its own term.
    ReadBeforeTermCommit,
    /// Reads are answered without asking a majority whether this member still leads, and nothing else makes a leader ask.
    ReadWithoutQuorum,
    /// Figure 8 of the Raft paper: an entry of an older term is committed by counting copies.
    CommitOlderTerm,
    /// databendlabs/openraft#1802: what counts as reached by a majority is looked up in a list that is not in order.
    CommitWithoutQuorum,
    /// databendlabs/openraft#1808: a snapshot replaces the log, and a configuration that only the old log held stays in force.
    StaleAfterSnapshot,
    /// Membership changes skip joint consensus.
    SkipJoint,
    /// databendlabs/openraft#2080: a leader without a majority never steps down.
    NoStepDown,
    /// A follower believes the leader's committed index beyond what its log has in common with the leader's.
    CommitBeyondMatch,
    /// Our own, found by the simulator: a leader that is leaving loses its leadership, cannot stand because the entry that
    /// removes it is in its log, and the others need its vote because theirs lack it.
    LeaverMayNotStand,
    /// JRaft's and our own, found by the simulator: a pre-vote is refused to whom the voter's configuration lacks, although the
    /// candidate has entries, and thereby a configuration, that the voter lacks.
    StrangersGetNoPreVote,
    /// etcd-io/etcd#14370: a leader counts its own entries before its disk has them.
    CountOwnUnsynced,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::VoteRequestBeforePersist,
        Self::VoteAnswerBeforePersist,
        Self::AcknowledgeUnsynced,
        Self::ReadBeforeTermCommit,
        Self::ReadWithoutQuorum,
        Self::CommitOlderTerm,
        Self::CommitWithoutQuorum,
        Self::StaleAfterSnapshot,
        Self::SkipJoint,
        Self::NoStepDown,
        Self::CommitBeyondMatch,
        Self::LeaverMayNotStand,
        Self::StrangersGetNoPreVote,
        Self::CountOwnUnsynced,
    ];
}

/// The bugs that are switched on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bugs(u32);

impl Bugs {
    /// One bug, and what has to be missing with it for anybody to notice.
    pub fn of(bug: Bug) -> Self {
        let with = if bug == Bug::ReadWithoutQuorum {
            Bug::NoStepDown
        } else {
            bug
        };
        Self(1 << bug as u8 | 1 << with as u8)
    }

    /// Whether `bug` is switched on.
    pub fn contains(self, bug: Bug) -> bool {
        self.0 & (1 << bug as u8) != 0
    }
}

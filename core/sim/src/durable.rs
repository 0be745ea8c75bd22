//! What a node's log has told a group's member to be durable: whatever the other groups do to the same log, it is there when the
//! node starts again.

use std::collections::BTreeMap;

use diwan_raft::{HardState, LogId, LogState, Start, Write};

/// What is durable of one group, and what was asked for since.
#[derive(Debug, Default)]
pub(crate) struct Durable {
    hard_state: HardState,
    last: LogId,
    asked: BTreeMap<u64, Asked>,
}

/// What a write changes.
#[derive(Debug)]
struct Asked {
    hard_state: Option<HardState>,
    last: Option<LogId>,
}

fn last(log: &LogState) -> LogId {
    let term = log.terms.last().map(|(_, term)| *term);
    LogId {
        term: term.unwrap_or(log.compacted.term),
        index: log.last,
    }
}

impl Durable {
    pub(crate) fn asks(&mut self, write: &Write) {
        let appended = write.append.last().map(|entry| entry.id);
        let asked = Asked {
            hard_state: write.hard_state.clone(),
            last: appended.or(write.reset),
        };
        self.asked.insert(write.sequence, asked);
    }

    /// Everything up to this write was told to be durable.
    pub(crate) fn persisted(&mut self, sequence: u64) {
        self.hard_state_persisted(sequence);
        let later = self.asked.split_off(&(sequence + 1));
        let done = std::mem::replace(&mut self.asked, later);
        if let Some(last) = done.values().rev().find_map(|asked| asked.last) {
            self.last = last;
        }
    }

    /// Terms and votes up to this write were.
    pub(crate) fn hard_state_persisted(&mut self, sequence: u64) {
        let mut done = self.asked.range(..=sequence).rev();
        if let Some(state) = done.find_map(|(_, asked)| asked.hard_state.clone()) {
            self.hard_state = state;
        }
    }

    /// The member starts from what is there now, which is durable.
    pub(crate) fn starts(&mut self, start: &Start) -> Result<(), String> {
        let found = Self {
            hard_state: start.hard_state.clone(),
            last: last(&start.log),
            asked: BTreeMap::new(),
        };
        let told = std::mem::replace(self, found);
        let (before, now) = (&told.hard_state, &self.hard_state);
        let kept = now.term > before.term
            || now.term == before.term && (before.vote.is_none() || now.vote == before.vote);
        if !kept {
            return Err(format!("{before:?} was durable, {now:?} is there"));
        }
        // What was asked for and not yet durable may be there or not, and may replace entries.
        if told.asked.is_empty() && told.last != self.last {
            return Err(format!(
                "the log that was durable ended at {:?}, the one that is there ends at {:?}",
                told.last, self.last
            ));
        }
        Ok(())
    }
}

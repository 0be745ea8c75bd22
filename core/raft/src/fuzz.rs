//! Fuzz target of this crate, run on seeds by the test suite and by cargo-fuzz from `fuzz/`.
//!
//! The input says what the other members tell one member, and in which order its disk, its clock and its user come in
//! between. They may say anything; whatever it is, the member's assertions hold.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::{
    AppendRequest, AppendResponse, Body, Config, Configuration, Entry, ErrorCode, Event, Fetch,
    InstallRequest, LogId, Outgoing, Payload, PeerId, Raft, SnapshotMeta, Start, Time, VoteRequest,
    Write,
};

/// Steps of one input.
const STEPS_MAX: usize = 300;

/// No message, however wrong, makes a member panic, and nobody has it take back what is committed.
pub fn fuzz_member(data: &[u8]) {
    let mut world = World::new();
    let mut input = Input(data);
    for _ in 0..STEPS_MAX {
        if input.0.is_empty() {
            return;
        }
        let committed = world.raft.committed();
        world.step(&mut input);
        world.turn();
        assert!(world.raft.committed() >= committed, "a commit sinks");
    }
}

/// Inputs to begin with.
pub fn seeds() -> Vec<Vec<u8>> {
    // It stands, and 2 grants the pre-vote and the vote; 3 takes the first entry; a proposal, a read, a transfer.
    let elected = b"\x00\x3c\x06\x00\x01\x00\x00\x02\x06\x00\x01\x00\x00\x02\x06\x00\x01\x00\x00\x02\x08\x05\x06\x00\x01\x00\x00\x02\x09\x07\x06\x00\x01\x00\x00\x02\x0a\x01";
    // 2 leads: entries, a snapshot that is installed, entries that follow it and a heartbeat; then a vote for 3.
    let led = b"\x02\xa0\x00\x02\x01\x00\x10\x01\x00\x11\x02\x01\x00\x04\xe0\x01\x09\x07\x00\x00\x01\x01\x0d\x01\x02\x00\x00\x01\x01\x00\x05\x0a\x01\x00\x02\x00\x00\x00\x0a\x01\x01\x01\x01\xa0\x00\x00\x01\x02\x00";
    vec![elected.to_vec(), led.to_vec()]
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *byte
    }

    /// Mostly small, sometimes at the end of what a message may hold.
    fn number(&mut self) -> u64 {
        match self.byte() {
            0xff => i64::MAX as u64,
            0xfe => i64::MAX as u64 / 2,
            0xfd => u64::from(u32::MAX),
            byte => u64::from(byte),
        }
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Mostly the member's own term, or one beside it.
    fn term(&mut self, raft: &Raft) -> u64 {
        match self.byte() {
            0..0xa0 => raft.term(),
            0xa0..0xd0 => raft.term() + 1,
            0xd0..0xe0 => raft.term().saturating_sub(1),
            _ => self.number(),
        }
    }

    /// Mostly an entry of the member's own log, most often its last one.
    fn at(&mut self, raft: &Raft) -> LogId {
        let back = match self.byte() {
            0..0x80 => 0,
            byte @ 0x80..0xe0 => u64::from(byte) % 8,
            _ => {
                let (term, index) = (self.number(), self.number());
                return LogId { term, index };
            }
        };
        let index = raft.last_id().index.saturating_sub(back);
        LogId {
            term: raft.term_at(index).unwrap_or(0),
            index,
        }
    }

    fn peer(&mut self) -> PeerId {
        peer(u16::from(self.byte() % 5) + 1)
    }

    fn configuration(&mut self) -> Configuration {
        let mask = self.byte();
        let old = self.byte();
        let chosen = |mask: u8| (0..4).filter(move |bit| mask >> bit & 1 == 1);
        let peers = |mask: u8| chosen(mask).map(|bit| peer(bit + 1)).collect();
        let learners = Vec::from_iter((mask & 0xf0 == 0x30).then(|| peer(5)));
        Configuration {
            learners,
            old_peers: peers(if old & 0x10 == 0 { 0 } else { old }),
            ..Configuration::of(peers(mask))
        }
    }

    fn payload(&mut self) -> Payload {
        match self.byte() {
            kind @ 0..0xc0 => Payload::Data(Bytes::from(vec![kind; usize::from(kind)])),
            0xc0..0xd0 => Payload::NoOp,
            _ => Payload::Configuration(Arc::new(self.configuration())),
        }
    }
}

fn peer(number: u16) -> PeerId {
    PeerId::new("m", number)
}

/// One member, and what its surroundings would keep for it.
struct World {
    raft: Raft,
    now: Time,
    /// Requests and answers of its own, the newest last.
    sent: VecDeque<Outgoing>,
    entries: BTreeMap<u64, Entry>,
    held: Vec<Write>,
    holds: bool,
    fetch: Option<Fetch>,
    committed: Vec<Entry>,
}

impl World {
    fn new() -> Self {
        let members = Configuration::of(vec![peer(1), peer(2), peer(3)]);
        let mut config = Config::new(peer(1), members);
        config.cache_bytes_max = 200;
        config.message_entries_max = 3;
        config.inflight_messages_max = 2;
        config.uncommitted_bytes_max = 2000;
        config.lease_reads = true;
        config.catch_up_margin = 2;
        Self {
            raft: Raft::new(config, Start::default(), Time(0)),
            now: Time(0),
            sent: VecDeque::new(),
            entries: BTreeMap::new(),
            held: Vec::new(),
            holds: false,
            fetch: None,
            committed: Vec::new(),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0 => {
                self.now = self.now + Duration::from_millis(input.number().min(3000) * 50);
                self.raft.advance(self.now);
            }
            1 => {
                let request = VoteRequest {
                    term: input.term(&self.raft),
                    last: input.at(&self.raft),
                    pre_vote: input.flag(),
                    transfer: input.flag(),
                };
                self.tell(input, Body::VoteRequest(request));
            }
            2 | 3 => self.append(input),
            4 => {
                let meta = SnapshotMeta {
                    last: input.at(&self.raft),
                    configuration: input.configuration(),
                };
                let (term, uri) = (input.term(&self.raft), "remote://m:2/1".to_owned());
                self.tell(
                    input,
                    Body::InstallRequest(InstallRequest { term, meta, uri }),
                );
            }
            5 => {
                let body = match input.flag() {
                    true => Body::TimeoutNowRequest {
                        term: input.term(&self.raft),
                    },
                    false => Body::ReadIndexRequest {
                        contexts: vec![Bytes::new(); usize::from(input.byte())],
                    },
                };
                self.tell(input, body);
            }
            6 | 7 => self.answer(input),
            8 => {
                let _ = self
                    .raft
                    .propose(vec![0; usize::from(input.byte()) * 4].into());
            }
            9 => self.raft.read_index(input.number()),
            10 => {
                let _ = self.raft.transfer_leader(&input.peer());
            }
            11 => {
                let _ = self.raft.change_members(input.configuration());
            }
            12 => {
                let (index, keep) = (self.raft.applied_index(), input.number());
                self.raft.compact(index, keep);
            }
            13 => self.fetched(input.byte() & 3 != 0),
            14 => match input.byte() {
                0 => self.raft.hand_over(),
                1..0x20 => self.raft.nodes_answer(true),
                0x20..0x30 => self.raft.nodes_answer(false),
                0x30..0x40 => self.raft.disk_full(true),
                0x40..0x50 => self.raft.disk_full(false),
                _ => self.holds = true,
            },
            _ => {
                self.holds = false;
                for write in std::mem::take(&mut self.held) {
                    self.persist(write);
                }
            }
        }
    }

    fn tell(&mut self, input: &mut Input<'_>, body: Body) {
        let from = input.peer();
        if from == peer(1) {
            return;
        }
        let token = crate::Token(input.number());
        let _ = self.raft.step(&from, token, body);
    }

    fn append(&mut self, input: &mut Input<'_>) {
        let (term, prev) = (input.term(&self.raft), input.at(&self.raft));
        let count = input.byte() % 8;
        let mut index = prev.index;
        let mut entries = Vec::new();
        for _ in 0..count {
            // Now and then there is a gap.
            index = index.saturating_add(1 + u64::from(input.byte() == 0xff));
            let id = LogId {
                term: match input.byte() {
                    0..0xc0 => term,
                    0xc0..0xf0 => prev.term,
                    _ => input.number(),
                },
                index,
            };
            let payload = input.payload();
            // What has no voter is refused before it gets here.
            if !matches!(&payload, Payload::Configuration(members) if members.is_empty()) {
                entries.push(Entry { id, payload });
            }
        }
        let request = AppendRequest {
            term,
            prev,
            committed: input.number(),
            heartbeat: entries.is_empty() && input.flag(),
            quiesce: entries.is_empty() && input.flag(),
            entries,
        };
        self.tell(input, Body::AppendRequest(request));
    }

    /// An answer, mostly to something that this member asked.
    fn answer(&mut self, input: &mut Input<'_>) {
        let back = usize::from(input.byte() % 8);
        let Some(place) = self.sent.len().checked_sub(1 + back) else {
            return;
        };
        let sent = self.sent[place].clone();
        let flag = input.byte() & 7 != 0;
        let (term, index) = (input.term(&self.raft), input.number());
        let body = match input.byte() % 16 {
            0 => Body::Error {
                code: ErrorCode::Busy,
                message: String::new(),
            },
            1 => return self.raft.unanswered(&sent.to, sent.token),
            _ => match sent.body {
                Body::VoteRequest(_) => Body::VoteResponse {
                    term,
                    granted: flag,
                },
                Body::AppendRequest(_) => Body::AppendResponse(AppendResponse {
                    term,
                    success: flag,
                    last_index: (index != 0).then_some(index),
                    quiesced: flag,
                }),
                Body::InstallRequest(_) => Body::InstallResponse {
                    term,
                    success: flag,
                },
                Body::TimeoutNowRequest { .. } => Body::TimeoutNowResponse {
                    term,
                    success: flag,
                },
                _ => Body::ReadIndexResponse {
                    index,
                    success: flag,
                },
            },
        };
        let _ = self.raft.step(&sent.to, sent.token, body);
    }

    fn fetched(&mut self, well: bool) {
        let Some(fetch) = self.fetch.take() else {
            return;
        };
        if !well {
            return self.raft.snapshot_failed(fetch.token, "it broke");
        }
        if self.raft.begin_install(fetch.token) {
            let meta = fetch.request.meta;
            self.committed.clear();
            self.raft.snapshot_installed(fetch.token, meta);
        }
    }

    fn turn(&mut self) {
        // Every turn asks for less; a member that never comes to rest would hang here.
        for _ in 0..1000 {
            let ready = self.raft.ready();
            if ready.is_empty() {
                return;
            }
            self.sent.extend(ready.messages);
            while self.sent.len() > 64 {
                self.sent.pop_front();
            }
            for event in &ready.events {
                if let Event::Leading { index, .. } = event {
                    assert!(*index <= self.raft.committed());
                }
            }
            if let Some(last) = ready.apply.last() {
                let index = last.id.index;
                self.committed.extend(ready.apply);
                self.raft.applied(index);
            }
            for entry in &self.committed {
                let term = self.raft.term_at(entry.id.index);
                assert!(
                    term.is_none_or(|term| term == entry.id.term),
                    "what is committed stays"
                );
            }
            if let Some(write) = ready.write {
                match self.holds {
                    true => self.held.push(write),
                    false => self.persist(write),
                }
            }
            for read in ready.read_back {
                let entries = self.entries.range(read.low..=read.high);
                let entries = entries.map(|(_, entry)| entry.clone()).collect();
                self.raft.entries_read(&read.purpose, entries);
            }
            for peer in &ready.offers {
                let applied = self.raft.applied_index();
                match self.raft.snapshot_meta(applied) {
                    Some(meta) => self.raft.offer_snapshot(peer, meta, String::new()),
                    None => self.raft.snapshot_refused(peer),
                }
            }
            self.fetch = ready.fetch.or(self.fetch.take());
        }
        panic!("a member that never comes to rest");
    }

    fn persist(&mut self, write: Write) {
        if write.reset.is_some() {
            self.entries.clear();
        }
        if let Some(first) = write.append.first() {
            self.entries.split_off(&first.id.index);
        }
        let append = write.append.into_iter();
        self.entries
            .extend(append.map(|entry| (entry.id.index, entry)));
        if let Some(compact) = write.compact {
            self.entries = self.entries.split_off(&(compact.index + 1));
        }
        self.raft.persisted(write.sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Random;

    #[test]
    fn any_input_is_borne() {
        for seed in seeds() {
            fuzz_member(&seed);
        }
        for seed in 0..20_000 {
            let mut random = Random::new(seed);
            let length = random.next() % 400;
            // Small numbers meet each other more often.
            let mask = [0x0f, 0x1f, 0xff][(seed % 3) as usize];
            let data: Vec<u8> = (0..length)
                .map(|_| match random.next() {
                    large if large % 64 == 0 => (large >> 8) as u8,
                    other => (other >> 8) as u8 & mask,
                })
                .collect();
            let borne = std::panic::catch_unwind(|| fuzz_member(&data));
            assert!(borne.is_ok(), "input {seed}: {data:02x?}");
        }
    }
}

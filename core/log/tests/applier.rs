//! Replicas that see the same log in different batches, and restored from snapshots in between, come to the same state; each
//! command of a session is carried out once; time never jumps.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use diwan_log::provider::{Applier, ApplyError, Entry, Envelope, EnvelopeError, Kind, LeaderClock};
use diwan_log::{
    Command, LogTime, Once, ProposalError, Sequences, SessionId, SnapshotWriter, StateMachine,
};
use proptest::prelude::*;

/// Keeps all commands that it was given, with their times; answers how many they are.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<(u64, Bytes)>>>);

impl Diary {
    fn pages(&self) -> Vec<(u64, Bytes)> {
        self.0.lock().unwrap().clone()
    }
}

impl StateMachine for Diary {
    fn apply(&mut self, command: Command<'_>) -> Bytes {
        let mut pages = self.0.lock().unwrap();
        pages.push((command.time.0, command.data.clone()));
        pages.len().to_string().into()
    }

    fn snapshot(&mut self) -> SnapshotWriter {
        let pages = self.pages();
        Box::new(move |out: &mut dyn Write| {
            pages.iter().try_for_each(|(time, data)| {
                out.write_all(&time.to_be_bytes())?;
                out.write_all(&[data.len() as u8])?;
                out.write_all(data)
            })
        })
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        snapshot.read_to_end(&mut bytes)?;
        let mut pages = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some((head, after)) = rest.split_first_chunk::<9>() {
            let (data, after) = after.split_at(head[8].into());
            let time = u64::from_be_bytes(head[..8].try_into().unwrap());
            pages.push((time, Bytes::copy_from_slice(data)));
            rest = after;
        }
        *self.0.lock().unwrap() = pages;
        Ok(())
    }
}

struct Replica {
    diary: Diary,
    applier: Applier,
}

impl Replica {
    fn new() -> Self {
        let diary = Diary::default();
        let applier = Applier::new(Box::new(diary.clone()), false);
        Self { diary, applier }
    }

    fn apply(
        &mut self,
        log: &[Bytes],
        from: usize,
    ) -> Result<Vec<Result<Bytes, ProposalError>>, ApplyError> {
        let entries = log.iter().zip(from as u64 + 1..);
        let entries: Vec<_> = entries
            .map(|(data, index)| Entry {
                index,
                epoch: 1,
                data,
            })
            .collect();
        self.applier.apply(&entries)
    }

    fn snapshot(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.applier.snapshot()(&mut bytes).unwrap();
        bytes
    }

    fn restored(snapshot: &[u8]) -> Self {
        let mut other = Self::new();
        other.applier.restore(&mut &snapshot[..]).unwrap();
        other
    }
}

/// A log of a few sessions whose clients try again and again, and of leaders whose clocks disagree.
fn logs() -> impl Strategy<Value = Vec<Bytes>> {
    let step = (0..10u8, 0..4usize, 0..5_000u64, -1_000_000i64..1_000_000);
    prop::collection::vec(step, 1..200).prop_map(|steps| {
        let mut log = Vec::new();
        let mut sessions: Vec<(Sequences, Vec<u64>)> = Vec::new();
        let (mut clock, mut monotonic, mut offset) = (LeaderClock::begin(LogTime(0), 0), 0, 0);
        for (what, who, wait, skew) in steps {
            monotonic += wait;
            let time = |clock: &mut LeaderClock, offset: i64| {
                clock
                    .stamp(monotonic, (2_000_000 + monotonic as i64 + offset) as u64)
                    .time
            };
            let mut put =
                |time, kind, data: &str| log.push(Envelope::write(time, kind, data.as_bytes()));
            let opened = sessions.len();
            match (what, sessions.get_mut(who)) {
                (0, _) => {
                    // Another leader, who saw all or not.
                    clock =
                        LeaderClock::begin(LogTime(1_000_000 + skew as u64 % 1_000_000), monotonic);
                    offset = skew;
                }
                (1, Some((numbers, _))) if skew > 900_000 => {
                    let session = numbers.again(0).session;
                    put(time(&mut clock, offset), Kind::Close(session), "");
                }
                (1..=3, Some((numbers, open))) => {
                    let once = numbers.begin();
                    open.push(once.sequence);
                    put(
                        time(&mut clock, offset),
                        Kind::Once(once),
                        &format!("{who}/{}", once.sequence),
                    );
                }
                (4..=6, Some((numbers, open))) if !open.is_empty() => {
                    let sequence = open[wait as usize % open.len()];
                    let once = numbers.again(sequence);
                    put(
                        time(&mut clock, offset),
                        Kind::Once(once),
                        &format!("{who}/{sequence}"),
                    );
                }
                (7, Some((numbers, open))) if !open.is_empty() => {
                    numbers.settle(open.remove(0));
                }
                (8, _) if opened < 4 => {
                    put(time(&mut clock, offset), Kind::Open, "");
                    let session = SessionId(log.len() as u64);
                    sessions.push((Sequences::new(session), Vec::new()));
                }
                _ => put(time(&mut clock, offset), Kind::Command, "plain"),
            }
        }
        log
    })
}

proptest! {
    #[test]
    fn batches_and_snapshots_make_no_difference(
        log in logs(), cuts in prop::collection::vec((1..20usize, any::<bool>()), 1..60)
    ) {
        let mut one = Replica::new();
        let mut answers = Vec::new();
        for (at, entry) in log.iter().enumerate() {
            answers.extend(one.apply(std::slice::from_ref(entry), at).unwrap());
        }
        let mut other = Replica::new();
        let mut at = 0;
        for (length, restart) in cuts.iter().cycle().copied() {
            let end = log.len().min(at + length);
            prop_assert_eq!(&other.apply(&log[at..end], at).unwrap()[..], &answers[at..end]);
            at = end;
            if restart {
                other = Replica::restored(&other.snapshot());
            }
            if at == log.len() {
                break;
            }
        }
        prop_assert_eq!(one.snapshot(), other.snapshot());
        prop_assert_eq!(one.diary.pages(), other.diary.pages());

        // Each command once, and each try of it got the same answer, or none.
        let pages = one.diary.pages();
        let mut named: Vec<_> = pages.iter().filter(|page| page.1 != "plain").collect();
        let all = named.len();
        named.sort_unstable_by_key(|page| page.1.clone());
        named.dedup_by_key(|page| page.1.clone());
        prop_assert_eq!(named.len(), all, "a command was carried out twice");
        for (entry, answer) in log.iter().zip(&answers) {
            let envelope = Envelope::read(entry).unwrap();
            if let (Kind::Once(_), Ok(answer)) = (envelope.kind, answer) {
                let page: usize = std::str::from_utf8(answer).unwrap().parse().unwrap();
                prop_assert_eq!(&pages[page - 1].1, &envelope.data);
            }
        }
        prop_assert!(pages.is_sorted_by_key(|page| page.0), "time went back");
    }
}

fn once(session: u64, sequence: u64, settled: u64) -> Kind {
    Kind::Once(Once {
        session: SessionId(session),
        sequence,
        settled,
    })
}

fn entry(kind: Kind) -> Bytes {
    Envelope::write(LogTime(7), kind, b"x")
}

#[test]
fn what_a_session_may_not_do_is_refused_and_not_carried_out() {
    let mut replica = Replica::new();
    let log = [
        entry(Kind::Open),
        entry(once(1, 0, 0)),
        entry(once(1, 1, 1)),
        entry(once(1, 0, 0)),
        entry(once(9, 0, 0)),
        entry(Kind::Close(SessionId(1))),
        entry(once(1, 2, 1)),
    ];
    let ended = replica.apply(&log, 0).unwrap();
    assert_eq!(ended[1], Ok("1".into()));
    assert_eq!(ended[2], Ok("2".into()));
    assert_eq!(ended[3], Err(ProposalError::Settled { sequence: 0 }));
    assert_eq!(ended[4], Err(ProposalError::NoSession(SessionId(9))));
    assert_eq!(ended[6], Err(ProposalError::NoSession(SessionId(1))));
    assert_eq!(replica.diary.pages().len(), 2);
    assert_eq!(replica.applier.sessions(), 0);
}

#[test]
fn a_client_that_settles_nothing_is_stopped_and_goes_on_once_it_does() {
    let mut replica = Replica::new();
    let mut log = vec![entry(Kind::Open)];
    log.extend((0..=1024).map(|sequence| entry(once(1, sequence, 0))));
    log.push(entry(once(1, 1024, 1)));
    let ended = replica.apply(&log, 0).unwrap();
    assert_eq!(ended[1024], Ok("1024".into()));
    assert_eq!(ended[1025], Err(ProposalError::Unsettled));
    assert_eq!(ended[1026], Ok("1025".into()));
}

#[test]
fn the_session_that_was_not_used_for_longest_is_given_up() {
    let mut replica = Replica::new();
    let mut log: Vec<_> = (0..65_536).map(|_| entry(Kind::Open)).collect();
    log.extend([
        entry(once(1, 0, 0)),
        entry(Kind::Open),
        entry(once(2, 0, 0)),
        entry(once(1, 1, 0)),
    ]);
    let ended = replica.apply(&log, 0).unwrap();
    assert_eq!(replica.applier.sessions(), 65_536);
    assert_eq!(ended[65_538], Err(ProposalError::NoSession(SessionId(2))));
    assert_eq!(ended[65_539], Ok("2".into()));
    let restored = Replica::restored(&replica.snapshot());
    assert_eq!(restored.applier.sessions(), 65_536);
}

#[test]
fn an_entry_of_another_version_stops_the_replica() {
    let mut replica = Replica::new();
    let error = replica
        .apply(&[Bytes::from_static(b"\x02\0")], 4)
        .unwrap_err();
    let wanted = ApplyError::Envelope {
        index: 5,
        error: EnvelopeError::Version(2),
    };
    assert_eq!(error, wanted);
}

#[test]
fn snapshots_that_are_none_are_refused() {
    let mut replica = Replica::new();
    replica
        .apply(&[entry(Kind::Open), entry(once(1, 0, 0))], 0)
        .unwrap();
    let snapshot = replica.snapshot();
    for length in 0..snapshot.len() - 10 {
        let mut other = Replica::new();
        assert!(other.applier.restore(&mut &snapshot[..length]).is_err());
    }
    let mut plain = Applier::new(Box::new(Diary::default()), true);
    let mut bytes = Vec::new();
    plain.snapshot()(&mut bytes).unwrap();
    let error = replica.applier.restore(&mut &[1u8; 40][..]).unwrap_err();
    assert!(error.to_string().contains("plain"), "{error}");
}

#[test]
fn a_plain_log_carries_commands_as_they_are() {
    let diary = Diary::default();
    let mut applier = Applier::new(Box::new(diary.clone()), true);
    let data = Bytes::from_static(b"\x09raw");
    let entry = Entry {
        index: 1,
        epoch: 1,
        data: &data,
    };
    assert_eq!(applier.apply(&[entry]).unwrap(), [Ok("1".into())]);
    assert_eq!(diary.pages(), [(0, data)]);
}

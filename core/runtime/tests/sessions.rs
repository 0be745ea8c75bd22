//! A client of three real nodes, whose leader stops again and again, adds each number once however often it has to ask; and the
//! log's time goes on where it was.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use diwan_log::{
    Command, Committed, LogTime, Once, ProposalError, Sequences, SessionId, SnapshotWriter,
    StateMachine,
};
use diwan_raft::{Configuration, PeerId};
use diwan_runtime::{GroupOptions, NodeHandle, NodeOptions};
use tokio::sync::oneshot;

const GROUP: &str = "sum";

/// The sum of all commands, and the time of the last one.
#[derive(Clone, Default)]
struct Sum(Arc<Mutex<(u64, u64)>>);

impl StateMachine for Sum {
    fn apply(&mut self, command: Command<'_>) -> Bytes {
        let mut state = self.0.lock().unwrap();
        assert!(command.time.0 >= state.1, "time went back");
        state.0 += u64::from(command.data[0]);
        state.1 = command.time.0;
        state.0.to_string().into()
    }

    fn snapshot(&mut self) -> SnapshotWriter {
        let state = *self.0.lock().unwrap();
        Box::new(move |out: &mut dyn Write| {
            out.write_all(&state.0.to_be_bytes())?;
            out.write_all(&state.1.to_be_bytes())
        })
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        let mut number = [0; 8];
        let mut next = || {
            snapshot.read_exact(&mut number)?;
            io::Result::Ok(u64::from_be_bytes(number))
        };
        *self.0.lock().unwrap() = (next()?, next()?);
        Ok(())
    }
}

fn start(id: &PeerId, members: &[PeerId], data: &Path) -> (NodeHandle, Sum) {
    let sum = Sum::default();
    let own = sum.clone();
    let mut group = GroupOptions::new(GROUP, Configuration::of(members.to_vec()), move || {
        Box::new(own)
    });
    group.election_timeout = Duration::from_millis(200);
    let options = NodeOptions::new(id.clone(), data.join(id.port().to_string()));
    (diwan_runtime::start(options, vec![group]).unwrap(), sum)
}

async fn add(node: &NodeHandle, once: Once, number: u8) -> Result<Committed, ProposalError> {
    let (tell, told) = oneshot::channel();
    node.run(move |node| {
        node.propose_once(GROUP, once, Bytes::copy_from_slice(&[number]), |result| {
            let _ = tell.send(result);
        });
    });
    // A node that stops tells nobody.
    match tokio::time::timeout(Duration::from_secs(2), told).await {
        Ok(Ok(result)) => result,
        _ => Err(ProposalError::Unknown),
    }
}

async fn open(nodes: &[(NodeHandle, Sum)]) -> SessionId {
    for (node, _) in nodes.iter().cycle() {
        let (tell, told) = oneshot::channel();
        node.run(move |node| {
            node.open_session(GROUP, |result| {
                let _ = tell.send(result);
            });
        });
        if let Ok(Ok(session)) = told.await {
            return session;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    unreachable!()
}

async fn leader(nodes: &[(NodeHandle, Sum)]) -> Option<usize> {
    for (at, (node, _)) in nodes.iter().enumerate() {
        if node.ask(|node| node.metrics().groups[0].leading).await? {
            return Some(at);
        }
    }
    None
}

#[tokio::test]
async fn each_command_is_carried_out_once() {
    let data = tempfile::tempdir().unwrap();
    let listeners: Vec<_> = (0..3)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let members: Vec<PeerId> = listeners
        .iter()
        .map(|listener| PeerId::new("127.0.0.1", listener.local_addr().unwrap().port()))
        .collect();
    drop(listeners);
    let mut nodes: Vec<_> = members
        .iter()
        .map(|id| start(id, &members, data.path()))
        .collect();
    let mut numbers = Sequences::new(open(&nodes).await);
    let (mut sum, mut tries) = (0, 0);
    for round in 0..120u64 {
        let number = (round % 7) as u8;
        sum += u64::from(number);
        let sequence = numbers.begin().sequence;
        let mut answer = None;
        if round % 40 == 20
            && let Some(at) = leader(&nodes).await
        {
            // It stops with the command on its way, and comes back.
            let node = nodes[at].0.clone();
            let (_, result) = tokio::join!(
                node.stop(),
                add(&nodes[at].0, numbers.again(sequence), number)
            );
            answer = result.ok();
            nodes[at] = start(&members[at], &members, data.path());
        }
        // Asks once more even when it has the answer.
        let mut again = true;
        for (node, _) in nodes.clone().iter().cycle() {
            tries += 1;
            match add(node, numbers.again(sequence), number).await {
                Ok(committed) => {
                    let first = answer.get_or_insert_with(|| committed.clone());
                    assert_eq!(committed.answer, first.answer);
                    if !std::mem::take(&mut again) {
                        break;
                    }
                }
                Err(ProposalError::NotLeader { .. } | ProposalError::Unknown) => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
        numbers.settle(sequence);
        assert_eq!(answer.unwrap().answer, sum.to_string());
    }
    assert!(tries >= 240, "{tries} tries");

    let leading = leader(&nodes).await.unwrap();
    let metrics = nodes[leading].0.ask(|node| node.metrics()).await.unwrap();
    assert_eq!(metrics.groups[0].sessions, 1);
    assert_ne!(metrics.groups[0].time, LogTime(0));
    // What is settled is forgotten: it can be told from what was never carried out.
    let old = Once {
        sequence: 3,
        ..numbers.again(0)
    };
    assert_eq!(
        add(&nodes[leading].0, old, 1).await,
        Err(ProposalError::Settled { sequence: 3 })
    );
    for (node, _) in &nodes {
        node.stop().await;
    }
}

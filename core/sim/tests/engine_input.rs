//! What a log makes of an engine whose content is not what it wrote: it stops and says what is wrong, and appends nothing.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use diwan_engine::{Block, Config, Leadership, Log, Refusal, Step, contract};
use diwan_sim::engine::Model;

/// Lets a log do what it wants with an engine that answers at once. Returns what it wanted done.
fn pump(log: &mut Log, model: &mut Model, now: &mut Duration) -> Vec<Step> {
    let mut steps = Vec::new();
    log.advance(*now);
    loop {
        let requests = log.requests();
        let mut some = log.steps();
        if requests.is_empty() && some.is_empty() {
            return steps;
        }
        for step in &some {
            if let Step::Snapshot(position) = step {
                let pieces = vec![Bytes::from("state"), Bytes::from("more state")];
                log.snapshot_written(*position, Ok(pieces));
            }
        }
        steps.append(&mut some);
        for (id, request) in requests {
            *now += Duration::from_micros(100);
            let reply = model.carry_out(request);
            log.reply(id, reply, *now);
        }
    }
}

fn config(node: &str) -> Config {
    let mut config = Config::new("log", node, 7);
    config.keep_blocks = 0;
    config
}

/// An engine with a log of ten blocks that its owner has left.
fn written(snapshot_log_bytes: u64) -> Model {
    let (mut model, mut now) = (Model::default(), Duration::ZERO);
    let mut config = config("writer");
    config.snapshot_log_bytes = snapshot_log_bytes;
    let mut log = Log::new(config, now);
    let steps = pump(&mut log, &mut model, &mut now);
    let leads = |step: &Step| matches!(step, Step::Leadership(Leadership::Start { .. }));
    assert!(steps.iter().any(leads), "{steps:?}");
    for number in 0..10_u64 {
        log.propose(number, Bytes::from(format!("command {number}")))
            .unwrap();
        pump(&mut log, &mut model, &mut now);
    }
    log.retire(now);
    pump(&mut log, &mut model, &mut now);
    assert!(log.is_free());
    model
}

/// What a reader that starts says when it stops.
fn says(model: &mut Model, config: Config) -> String {
    let mut now = Duration::from_secs(100);
    let mut log = Log::new(config, now);
    for _ in 0..5 {
        let steps = pump(&mut log, model, &mut now);
        if let Some(Step::Failed(error)) = steps.last() {
            let refused = log.propose(1, Bytes::from("more"));
            assert_eq!(refused, Err(Refusal::NotLeader { leader: None }));
            assert_eq!(log.next_deadline(), Duration::MAX);
            return error.to_string();
        }
        now += Duration::from_secs(1);
    }
    "it goes on".to_owned()
}

/// The model is an engine as the real ones are.
#[test]
fn the_model_keeps_the_contract() {
    let logs = RefCell::new(BTreeMap::<String, Model>::new());
    let check = contract::check("log", |log, request| {
        let reply = logs.borrow_mut().entry(log).or_default().carry_out(request);
        std::future::ready(reply)
    });
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(check).poll(&mut context).is_ready());
}

#[test]
fn what_is_whole_is_read() {
    let mut model = written(1 << 20);
    assert_eq!(says(&mut model, config("reader")), "it goes on");
    let mut model = written(300);
    assert!(model.block(0).is_none(), "a snapshot was taken");
    assert_eq!(says(&mut model, config("reader")), "it goes on");
}

#[test]
fn a_block_that_was_changed_is_named() {
    let mut model = written(1 << 20);
    let mut bytes = model.block(4).unwrap().to_vec();
    bytes[60] ^= 1;
    model.damage(4, Some(bytes.into()));
    let says = says(&mut model, config("reader"));
    assert!(says.starts_with("block 4: its checksum is"), "{says}");
}

#[test]
fn a_block_that_is_missing_is_named() {
    let mut model = written(1 << 20);
    model.damage(4, None);
    let says = says(&mut model, config("reader"));
    assert!(
        says.starts_with("block 4 is missing, the log goes on to block 10"),
        "{says}"
    );
}

#[test]
fn a_block_of_another_version_says_so() {
    let mut model = written(1 << 20);
    let mut bytes = model.block(0).unwrap().to_vec();
    bytes[4] = 9;
    model.damage(0, Some(bytes.into()));
    let says = says(&mut model, config("reader"));
    assert!(says.contains("version 9 of the blocks' format"), "{says}");
}

#[test]
fn a_block_of_another_history_is_named() {
    let mut model = written(1 << 20);
    let (mut block, _) = Block::read(&model.block(4).unwrap()).unwrap();
    block.commands = vec!["another command".into()];
    model.damage(4, Some(block.write().0));
    // It is whole; the one after it does not follow it.
    let said = says(&mut model, config("reader"));
    assert!(
        said.starts_with("block 5 is not the one that follows"),
        "{said}"
    );

    let mut model = written(1 << 20);
    let mut other = config("reader");
    other.log = "another log".to_owned();
    let said = says(&mut model, other);
    assert!(
        said.starts_with("block 0 is not the one that follows"),
        "{said}"
    );
}

#[test]
fn an_engine_that_lost_what_was_acknowledged_is_noticed() {
    let mut model = written(1 << 20);
    let mut now = Duration::from_secs(100);
    let mut log = Log::new(config("reader"), now);
    pump(&mut log, &mut model, &mut now);
    assert_eq!(log.status().position.next, 10);
    model.rewind(8);
    now += Duration::from_secs(1);
    let steps = pump(&mut log, &mut model, &mut now);
    let Some(Step::Failed(error)) = steps.last() else {
        panic!("{steps:?}");
    };
    let said = error.to_string();
    assert!(
        said.starts_with("the engine's log ends before block 8"),
        "{said}"
    );
}

#[test]
fn a_damaged_snapshot_is_named() {
    let mut model = written(300);
    model.damage_piece("other".into());
    let said = says(&mut model, config("reader"));
    assert!(said.contains("its checksum is"), "{said}");

    let mut model = written(300);
    let mut small = config("reader");
    small.snapshot_bytes_max = 3;
    let said = says(&mut model, small);
    assert!(said.contains("this node takes 3"), "{said}");
}

#[test]
fn a_command_that_fits_into_no_block_is_refused() {
    let (mut model, mut now) = (Model::default(), Duration::ZERO);
    let mut log = Log::new(config("writer"), now);
    pump(&mut log, &mut model, &mut now);
    let limit = log.command_bytes_max();
    log.propose(1, Bytes::from(vec![0; limit])).unwrap();
    let refused = log.propose(2, Bytes::from(vec![0; limit + 1]));
    let bytes = limit + 1;
    assert_eq!(refused, Err(Refusal::TooLarge { bytes, limit }));
    pump(&mut log, &mut model, &mut now);
    assert_eq!(model.block(0).unwrap().len(), diwan_engine::VALUE_BYTES_MAX);
}

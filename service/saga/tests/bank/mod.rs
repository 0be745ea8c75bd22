//! A bank that carries each call out once, and schedules in which everything happens to calls that can: answers that get
//! lost, calls that come late or never, refusals for good and for now, the end of the saga's time, another node that takes
//! over. Whoever is paid spends it at once.
#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::BTreeMap;

use diwan_saga::engine::{Call, Command, Config, Effect, Exception, Kind, Outcome, Sagas};
use serde_json::{Map, Value, json};

/// Xorshift: enough to choose by.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xA076_1D64_78BD_642F) | 1)
    }

    pub fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % count
    }
}

/// What breaks an invariant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// Somebody has less than nothing: more was paid than taken, or what is spent was taken back.
    Short,
    /// At the end more was taken than paid.
    Lost,
    /// It does not end, and waits for nobody's decision.
    Endless,
}

#[derive(Default)]
struct Bank {
    /// Whether it is done, or never to be done.
    done: BTreeMap<String, bool>,
    taken: i64,
    paid: i64,
    is_short: bool,
}

impl Bank {
    fn carry_out(&mut self, call: &Call) -> bool {
        let amount = call
            .args
            .get(1)
            .and_then(|value| value.as_i64())
            .unwrap_or(0);
        let args = json!(call.args);
        let key = |of: &str| format!("{of} {args}");
        let is_done = match &*call.service.method {
            "debit" | "debitOrFalse" => match self.done.get(&key("debit")) {
                Some(is_done) => *is_done,
                None => {
                    self.done.insert(key("debit"), true);
                    self.taken += amount;
                    true
                }
            },
            "credit" => match self.done.get(&key("credit")) {
                Some(is_done) => *is_done,
                None => {
                    self.done.insert(key("credit"), true);
                    self.paid += amount;
                    true
                }
            },
            "refund" => {
                if self.done.insert(key("debit"), false) == Some(true) {
                    self.taken -= amount;
                }
                true
            }
            "takeBack" => {
                if self.done.insert(key("credit"), false) == Some(true) {
                    self.is_short = true;
                    self.paid -= amount;
                }
                true
            }
            _ => true,
        };
        self.is_short |= self.paid > self.taken;
        is_done
    }

    fn has(&self, call: &Call) -> bool {
        let args = json!(call.args);
        let of = match &*call.service.method {
            "debitOrFalse" => "debit",
            method => method,
        };
        self.done.get(&format!("{of} {args}")) == Some(&true)
    }
}

fn params(dice: &mut Dice) -> Map<String, Value> {
    let kind = ["inside", "outside"][dice.below(2)];
    let params = json!({
        "from": "A", "other": "B", "to": "C", "bank": "D", "kind": kind,
        "amount": 10, "half": 5, "net": 9, "fee": 1,
        "parts": [{"account": "A", "amount": 4}, {"account": "B", "amount": 6}],
    });
    match params {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// One schedule of a saga of the first machine. `None` if nothing can be broken, as a machine does not load.
pub fn run(machines: &[Value], seed: u64) -> Result<(), Broken> {
    let mut dice = Dice::new(seed);
    let mut sagas = Sagas::new(Config {
        retention_ms: 1 << 50,
        records_max: 400,
        transaction_timeout_ms: [800, 20_000, 310_000, 1_800_000][dice.below(4)],
        ..Config::default()
    });
    let mut effects = Vec::new();
    for machine in machines {
        let (tenant, text) = ("t".into(), machine.to_string());
        sagas
            .apply(0, Command::Define { tenant, text }, &mut effects)
            .unwrap();
    }
    let start = Command::Start {
        id: "s".into(),
        machine: machines[0]["Name"].as_str().unwrap().into(),
        tenant: "t".into(),
        business_key: None,
        params: params(&mut dice),
    };
    sagas.apply(0, start, &mut effects).unwrap();
    let mut bank = Bank::default();
    let mut late: Vec<Call> = Vec::new();
    let mut bad = [0, 1, 2, 4, 8, 20][dice.below(6)];
    // Refusals for good: the debit of one account, or what is asked before.
    let refuses = [None, None, None, Some("A"), Some("B"), Some("check")][dice.below(6)];
    let mut now_ms = 0;
    let (mut idle, mut ticks) = (0, 0);
    loop {
        let mut calls: Vec<Call> = effects
            .drain(..)
            .filter_map(|effect| match effect {
                Effect::Call(call) => Some(call),
                _ => None,
            })
            .collect();
        if bad > 0 && dice.below(8) == 0 {
            // Another node takes over, and makes all calls again.
            sagas = Sagas::restore(sagas.snapshot()).unwrap();
            calls = sagas.outstanding().collect();
        }
        while calls.len() > 1 && dice.below(2) == 0 {
            calls.rotate_left(1);
        }
        for call in calls {
            let is_bad = bad > 0 && dice.below(2) == 0;
            bad -= i32::from(is_bad);
            let fate = if is_bad { 1 + dice.below(5) } else { 0 };
            let Some(outcome) = answer(&mut bank, &call, fate, refuses, &mut dice) else {
                late.push(call);
                continue;
            };
            if !matches!(&outcome, Outcome::Exception(exception) if exception.is_of_network()) {
                // Who has answered a call does not carry out an earlier attempt of it afterwards.
                let method = &call.service.method;
                late.retain(|other| other.args != call.args || other.service.method != *method);
            }
            let call = call.id;
            sagas
                .apply(now_ms, Command::Returned { call, outcome }, &mut effects)
                .unwrap();
        }
        if !late.is_empty() && dice.below(4) == 0 {
            let call = late.remove(0);
            bank.carry_out(&call);
        }
        if !effects.is_empty() {
            continue;
        }
        let saga = sagas.get("s").unwrap();
        let is_over = !saga.is_running && saga.recovery.is_none();
        idle += usize::from(bad == 0);
        ticks += 1;
        if is_over || idle > 40 || ticks > 200 {
            break;
        }
        now_ms = now_ms.max(sagas.due_ms().unwrap());
        sagas.apply(now_ms, Command::Tick, &mut effects).unwrap();
    }
    late.iter().for_each(|call| {
        bank.carry_out(call);
    });
    let saga = sagas.get("s").unwrap();
    if std::env::var("HISTORY").is_ok() {
        println!(
            "{}/{:?} {:?}",
            saga.status, saga.compensation, saga.exception
        );
        for record in &saga.records {
            let machine = sagas.machine(saga.machine).unwrap();
            let exception = record.exception.as_ref().map(|exception| &exception.class);
            let name = record.name(machine);
            println!(
                "    {} {name} {} {exception:?} {:?}",
                record.started_ms, record.status, record.output
            );
        }
    }
    // Who is refused for good is listed, and waits for somebody's decision; so is who has nothing to go forward from.
    let waits = saga
        .recovery
        .as_ref()
        .is_none_or(|recovery| recovery.refused.is_some() || refuses.is_some());
    match (
        bank.is_short,
        waits && !saga.is_running,
        bank.taken == bank.paid,
    ) {
        (true, _, _) => Err(Broken::Short),
        (_, false, _) => Err(Broken::Endless),
        (_, _, false) => Err(Broken::Lost),
        _ => Ok(()),
    }
}

fn answer(
    bank: &mut Bank,
    call: &Call,
    fate: usize,
    refuses: Option<&str>,
    dice: &mut Dice,
) -> Option<Outcome> {
    let exception = |kind, class: &str| {
        Some(Outcome::Exception(Exception {
            kind,
            ..Exception::business(class, "m")
        }))
    };
    let method = &*call.service.method;
    let account = call.args.first().and_then(|value| value.as_str());
    let is_debit = method.starts_with("debit");
    let refusal = |bank: &Bank| match method {
        _ if bank.has(call) => Some(Outcome::Value(json!(true).into())),
        "debitOrFalse" => Some(Outcome::Value(json!(false).into())),
        _ => exception(Kind::Business, "com.bank.Refused"),
    };
    let is_refused = refuses.is_some()
        && (is_debit && account == refuses || method == "check" && refuses == Some("check"));
    match fate {
        2 => exception(Kind::ReadTimeout, "java.net.SocketTimeoutException"),
        3 => exception(Kind::Connect, "java.net.ConnectException"),
        4 => None,
        5 => refusal(bank),
        _ if is_refused => refusal(bank),
        _ if !bank.carry_out(call) => refusal(bank),
        1 => exception(Kind::ReadTimeout, "java.net.SocketTimeoutException"),
        _ if method == "ask" => {
            let answers = if fate == 0 {
                ["yes", "no", "wait"]
            } else {
                ["no"; 3]
            };
            Some(Outcome::Value(Value::from(answers[dice.below(3)]).into()))
        }
        _ => Some(Outcome::Value(json!(true).into())),
    }
}

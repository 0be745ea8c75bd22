//! Sagas in virtual time, with a participant that does as it is told.
#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::VecDeque;

use diwan_saga::engine::{
    Call, CallId, Command, Config, Effect, Ended, Exception, Kind, Outcome, Refused, Reply, Saga,
    Sagas,
};
use serde_json::{Map, Value, json};

pub const TENANT: &str = "t";

/// What the participant does with a call; `None` is no answer.
pub type Answer = Box<dyn FnMut(&Call) -> Option<Outcome>>;

pub struct World {
    pub sagas: Sagas,
    pub now_ms: u64,
    pub answer: Answer,
    /// `time method arguments`, one for each call.
    pub calls: Vec<String>,
    /// The calls that got no answer.
    pub open: Vec<CallId>,
    pub ended: Vec<Ended>,
    /// Every command with its time.
    pub log: Vec<(u64, Command)>,
}

pub fn done(value: Value) -> Option<Outcome> {
    Some(Outcome::Value(value.into()))
}

pub fn fails(class: &str) -> Option<Outcome> {
    Some(Outcome::Exception(Exception::business(class, "failed")))
}

pub fn network(kind: Kind) -> Option<Outcome> {
    let class = "java.net.ConnectException";
    Some(Outcome::Exception(Exception {
        kind,
        ..Exception::business(class, "network")
    }))
}

/// Stays operable after its end.
pub fn lasting() -> Config {
    Config {
        retention_ms: 1 << 50,
        ..Config::default()
    }
}

impl World {
    pub fn new(config: Config, answer: impl FnMut(&Call) -> Option<Outcome> + 'static) -> Self {
        Self {
            sagas: Sagas::new(config),
            now_ms: 0,
            answer: Box::new(answer),
            calls: Vec::new(),
            open: Vec::new(),
            ended: Vec::new(),
            log: Vec::new(),
        }
    }

    pub fn with(machine: &Value, answer: impl FnMut(&Call) -> Option<Outcome> + 'static) -> Self {
        let mut world = Self::new(lasting(), answer);
        world.define(machine);
        world
    }

    pub fn define(&mut self, machine: &Value) {
        let (tenant, text) = (TENANT.into(), machine.to_string());
        self.apply(Command::Define { tenant, text }).unwrap();
    }

    pub fn apply(&mut self, command: Command) -> Result<Reply, Refused> {
        let mut effects = Vec::new();
        self.log.push((self.now_ms, command.clone()));
        let reply = self.sagas.apply(self.now_ms, command, &mut effects);
        let mut open = VecDeque::from(effects);
        while let Some(effect) = open.pop_front() {
            match effect {
                Effect::Call(call) => {
                    let args = json!(call.args);
                    self.calls
                        .push(format!("{} {} {args}", self.now_ms, call.service.method));
                    let Some(outcome) = (self.answer)(&call) else {
                        self.open.push(call.id);
                        continue;
                    };
                    let returned = Command::Returned {
                        call: call.id,
                        outcome,
                    };
                    self.log.push((self.now_ms, returned.clone()));
                    let mut effects = Vec::new();
                    let reply = self.sagas.apply(self.now_ms, returned, &mut effects);
                    assert_eq!(reply, Ok(Reply::Done));
                    open.extend(effects);
                }
                Effect::Ended(ended) => self.ended.push(*ended),
                Effect::Stopped { .. } => {}
            }
        }
        reply
    }

    pub fn start(&mut self, machine: &str, params: Value) -> Result<Reply, Refused> {
        self.start_as("s", machine, params)
    }

    pub fn start_as(&mut self, id: &str, machine: &str, params: Value) -> Result<Reply, Refused> {
        self.apply(Command::Start {
            id: id.into(),
            machine: machine.into(),
            tenant: TENANT.into(),
            business_key: None,
            params: map(params),
        })
    }

    pub fn forward(&mut self, params: Value) -> Result<Reply, Refused> {
        let (saga, params) = ("s".into(), map(params));
        self.apply(Command::Forward {
            saga,
            params,
            skip: false,
        })
    }

    pub fn skip(&mut self) -> Result<Reply, Refused> {
        let (saga, params) = ("s".into(), Map::new());
        self.apply(Command::Forward {
            saga,
            params,
            skip: true,
        })
    }

    pub fn compensate(&mut self, params: Value) -> Result<Reply, Refused> {
        let (saga, params) = ("s".into(), map(params));
        self.apply(Command::Compensate { saga, params })
    }

    pub fn returned(&mut self, call: CallId, outcome: Outcome) -> Reply {
        self.apply(Command::Returned { call, outcome }).unwrap()
    }

    /// Lives through the time until then.
    pub fn until(&mut self, at_ms: u64) {
        while let Some(due_ms) = self.sagas.due_ms().filter(|due_ms| *due_ms <= at_ms) {
            self.now_ms = self.now_ms.max(due_ms);
            self.apply(Command::Tick).unwrap();
        }
        self.now_ms = at_ms;
    }

    pub fn saga(&self) -> &Saga {
        self.sagas.get("s").unwrap()
    }

    /// `status/compensation` of the saga, and `name status/compensation` of its states.
    pub fn history(&self) -> (String, Vec<String>) {
        self.history_of(self.saga())
    }

    pub fn history_of(&self, saga: &Saga) -> (String, Vec<String>) {
        let both =
            |status: diwan_saga::engine::Status,
             compensation: Option<diwan_saga::engine::Status>| match compensation {
                Some(compensation) => format!("{status}/{compensation}"),
                None => status.to_string(),
            };
        let machine = self.sagas.machine(saga.machine).unwrap();
        let states = saga
            .records
            .iter()
            .map(|record| {
                let name = record.name(machine);
                format!(
                    "{name} {}",
                    both(record.status, saga.compensation_of(record))
                )
            })
            .collect();
        (both(saga.status, saga.compensation), states)
    }

    /// The same, for comparing with texts.
    pub fn tells(&self, of_saga: &str, of_states: &[&str]) {
        let (saga, states) = self.history();
        assert_eq!(
            (saga.as_str(), states),
            (of_saga, of_states.iter().map(ToString::to_string).collect())
        );
    }
}

pub fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null => Map::new(),
        other => panic!("{other}"),
    }
}

/// A machine of states that start at `A`.
pub fn machine(name: &str, attributes: Value, states: Value) -> Value {
    let mut machine = map(json!({"Name": name, "Version": "1", "StartState": "A"}));
    machine.extend(map(attributes));
    machine.insert("States".into(), states);
    machine.into()
}

/// A call of the method of that name, with attributes.
pub fn task(method: &str, attributes: Value) -> Value {
    let mut task =
        map(json!({"Type": "ServiceTask", "ServiceName": "service", "ServiceMethod": method}));
    task.extend(map(attributes));
    task.into()
}

/// A is done and undone, B is done and undone; then the end.
pub fn two_steps(attributes: Value) -> Value {
    machine(
        "two",
        attributes,
        json!({
            "A": task("a", json!({"CompensateState": "UndoA", "Next": "B", "Output": {"a": "$.#root"}})),
            "B": task("b", json!({"CompensateState": "UndoB"})),
            "UndoA": task("undoA", json!({"Input": ["$.[a]"]})),
            "UndoB": task("undoB", json!({})),
        }),
    )
}

/// Answers with the method's name.
pub fn echo(call: &Call) -> Option<Outcome> {
    done(json!(&*call.service.method))
}

/// States that run once; the first is `A`.
pub fn run(
    states: Value,
    params: Value,
    answer: impl FnMut(&Call) -> Option<Outcome> + 'static,
) -> World {
    let mut world = World::with(&machine("m", json!(null), states), answer);
    world.start("m", params).unwrap();
    world
}

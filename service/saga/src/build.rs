//! Machines written in Rust. What comes out is Seata's JSON, which anybody's engine reads; what names a state takes the state,
//! so that a name cannot lead nowhere.
//!
//! ```
//! use diwan_saga::build::{Machine, Recover, Status, Task};
//!
//! let mut transfer = Machine::new("transfer", "1").recover(Recover::Pivot);
//! let succeed = transfer.succeed("Succeed");
//! let refund = transfer.task("Refund", Task::call("bank", "refund").input("$.[from]").input("$.[amount]"));
//! let credit = Task::call("bank", "credit")
//!     .input("$.[to]")
//!     .input("$.[amount]")
//!     .changes()
//!     .credits("$.[to]", "$.[amount]")
//!     .next(&succeed);
//! let credit = transfer.task("Credit", credit);
//! let debit = Task::call("bank", "debit")
//!     .input("$.[from]")
//!     .input("$.[amount]")
//!     .status("#root == true", Status::Succeeded)
//!     .status("$Exception{com.bank.Refused}", Status::Failed)
//!     .status("$Exception{java.lang.Throwable}", Status::Unknown)
//!     .retry(&["java.net.ConnectException"], 2, 1.0, 1.5)
//!     .undone_by(&refund)
//!     .debits("$.[from]", "$.[amount]")
//!     .next(&credit);
//! let debit = transfer.task("Debit", debit);
//! let json = transfer.start(&debit);
//!
//! let text = json.to_string();
//! let found = diwan_saga::check::check(&[diwan_saga::check::Source { file: "transfer", text: &text }], true);
//! assert!(found.is_empty(), "{found:?}");
//! ```

use serde_json::{Map, Value, json};

pub use crate::engine::Status;
pub use crate::lang::Recover;

/// A state of the machine that is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State(String);

/// A machine that is being written, from its end to its start.
#[derive(Clone, Debug)]
pub struct Machine {
    attributes: Map<String, Value>,
    states: Map<String, Value>,
}

impl Machine {
    /// One without states.
    #[must_use]
    pub fn new(name: &str, version: &str) -> Self {
        let mut attributes = Map::new();
        attributes.insert("Name".into(), name.into());
        attributes.insert("Version".into(), version.into());
        Self {
            attributes,
            states: Map::new(),
        }
    }

    /// For people.
    #[must_use]
    pub fn comment(mut self, comment: &str) -> Self {
        self.attributes.insert("Comment".into(), comment.into());
        self
    }

    /// What becomes of sagas that do not end well, in the form that Seata's engine loads, too.
    #[must_use]
    pub fn recover(mut self, recover: Recover) -> Self {
        let strategy = match recover {
            Recover::Compensate => "Compensate",
            Recover::Forward | Recover::Pivot => "Forward",
        };
        self.attributes
            .insert("RecoverStrategy".into(), strategy.into());
        if recover == Recover::Pivot {
            self.attributes
                .insert("Extensions".into(), json!({"recover": "Pivot"}));
        }
        self
    }

    /// Adds a state; one of the same name is replaced.
    fn add(&mut self, name: &str, state: Value) -> State {
        self.states.insert(name.into(), state);
        State(name.into())
    }

    /// Adds a task.
    pub fn task(&mut self, name: &str, task: Task) -> State {
        self.add(name, Value::Object(task.0))
    }

    /// The end.
    pub fn succeed(&mut self, name: &str) -> State {
        self.add(name, json!({"Type": "Succeed"}))
    }

    /// The end of what failed.
    pub fn fail(&mut self, name: &str, code: &str, message: &str) -> State {
        self.add(
            name,
            json!({"Type": "Fail", "ErrorCode": code, "Message": message}),
        )
    }

    /// Undoes what was done, and goes on.
    pub fn compensate(&mut self, name: &str, next: &State) -> State {
        self.add(name, json!({"Type": "CompensationTrigger", "Next": next.0}))
    }

    /// Goes to the state of the first expression that holds, or else to the other one.
    pub fn choice(&mut self, name: &str, choices: &[(&str, &State)], otherwise: &State) -> State {
        let choices: Vec<Value> = choices
            .iter()
            .map(|(expression, next)| json!({"Expression": expression, "Next": next.0}))
            .collect();
        let state = json!({"Type": "Choice", "Choices": choices, "Default": otherwise.0});
        self.add(name, state)
    }

    /// Where branches meet.
    pub fn join(&mut self, name: &str, next: &State) -> State {
        self.add(name, json!({"Type": "Join", "Next": next.0}))
    }

    /// Several branches at once, so many of them, until they meet.
    pub fn fork(&mut self, name: &str, branches: &[&State], parallel: u32) -> State {
        let branches: Vec<&str> = branches.iter().map(|branch| branch.0.as_str()).collect();
        self.add(
            name,
            json!({"Type": "Fork", "Branches": branches, "Parallel": parallel}),
        )
    }

    /// A task that an earlier one leads back to: a cycle. `task` is given the state itself.
    pub fn again(&mut self, name: &str, task: impl FnOnce(&mut Self, &State) -> Task) -> State {
        let state = State(name.into());
        let task = task(self, &state);
        self.task(name, task)
    }

    /// The whole machine, which starts there.
    #[must_use]
    pub fn start(mut self, state: &State) -> Value {
        self.attributes
            .insert("StartState".into(), state.0.as_str().into());
        self.attributes.insert("States".into(), self.states.into());
        Value::Object(self.attributes)
    }
}

/// A task that is being written.
#[derive(Clone, Debug)]
pub struct Task(Map<String, Value>);

impl Task {
    fn of(kind: &str) -> Self {
        let mut map = Map::new();
        map.insert("Type".into(), kind.into());
        Self(map)
    }

    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.into(), value.into());
        self
    }

    fn entry(mut self, key: &str, name: &str, value: Value) -> Self {
        if let Value::Object(map) = self.0.entry(key).or_insert_with(|| json!({})) {
            map.insert(name.into(), value);
        }
        self
    }

    fn push(mut self, key: &str, value: Value) -> Self {
        if let Value::Array(list) = self.0.entry(key).or_insert_with(|| json!([])) {
            list.push(value);
        }
        self
    }

    /// Calls a participant.
    #[must_use]
    pub fn call(service: &str, method: &str) -> Self {
        Self::of("ServiceTask")
            .with("ServiceName", service)
            .with("ServiceMethod", method)
    }

    /// Runs another machine.
    #[must_use]
    pub fn machine(name: &str) -> Self {
        Self::of("SubStateMachine").with("StateMachineName", name)
    }

    /// Computes something, in groovy.
    #[must_use]
    pub fn script(content: &str) -> Self {
        Self::of("ScriptTask").with("ScriptContent", content)
    }

    /// One more argument.
    #[must_use]
    pub fn input(self, value: impl Into<Value>) -> Self {
        self.push("Input", value.into())
    }

    /// A variable that takes something of the result.
    #[must_use]
    pub fn output(self, variable: &str, expression: &str) -> Self {
        self.entry("Output", variable, expression.into())
    }

    /// What a result means: `when` is an expression about it, or `$Exception{class}`. The first one that holds counts.
    #[must_use]
    pub fn status(self, when: &str, status: Status) -> Self {
        self.entry("Status", when, status.name().into())
    }

    /// It changes something.
    #[must_use]
    pub fn changes(self) -> Self {
        self.with("IsForUpdate", true)
    }

    /// What undoes it.
    #[must_use]
    pub fn undone_by(self, state: &State) -> Self {
        self.with("CompensateState", state.0.as_str())
    }

    /// Where exceptions of these classes lead.
    #[must_use]
    pub fn catch(self, classes: &[&str], next: &State) -> Self {
        self.push("Catch", json!({"Exceptions": classes, "Next": next.0}))
    }

    /// Calls that are made again: after exceptions of which classes, how often, after how many seconds, and by how much
    /// longer each time.
    #[must_use]
    pub fn retry(
        self,
        classes: &[&str],
        attempts_max: u32,
        interval_seconds: f64,
        rate: f64,
    ) -> Self {
        let retry = json!({
            "Exceptions": classes, "MaxAttempts": attempts_max, "IntervalSeconds": interval_seconds, "BackoffRate": rate,
        });
        self.push("Retry", retry)
    }

    /// Once for each element of a collection, so many at once.
    #[must_use]
    pub fn for_each(self, collection: &str, element: &str, parallel: u32) -> Self {
        let repeat =
            json!({"Collection": collection, "ElementVariableName": element, "Parallel": parallel});
        self.with("Loop", repeat)
    }

    /// It takes money from an account.
    #[must_use]
    pub fn debits(self, account: &str, amount: &str) -> Self {
        self.money("debit", account, amount)
    }

    /// It puts money on an account.
    #[must_use]
    pub fn credits(self, account: &str, amount: &str) -> Self {
        self.money("credit", account, amount)
    }

    fn money(self, effect: &str, account: &str, amount: &str) -> Self {
        self.with(
            "Extensions",
            json!({"effect": effect, "account": account, "amount": amount}),
        )
    }

    /// Where it goes on.
    #[must_use]
    pub fn next(self, state: &State) -> Self {
        self.with("Next", state.0.as_str())
    }
}

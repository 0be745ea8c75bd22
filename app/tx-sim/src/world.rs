//! The world: what happens when.

use std::collections::BTreeMap;

use bytes::Bytes;
use diwan_log::StateMachine;
use diwan_saga::engine::{Command, Config as SagaConfig, Saga};
use diwan_saga::host::{self, Shared as Sagas, Signal as SagaSignal};
use diwan_sim::{Counts, Random, Report, Violation};
use diwan_tx::state::{
    Answer, Answers, Batch, Config as TxConfig, Effect, Ended, Kind, Shared as Coordinator,
    Signal as TxSignal,
};
use prost::Message as _;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::bank::{Account, Banks, Order, Said, Side};
use crate::group::{Fate, Group, NODES, Service};
use crate::machines::{FORK, SPLIT, TRANSFER, machines};
use crate::requests::{Silence, Waiter, branch_status, of_branch, of_call, outcome};
use crate::tcc::Tcc;

const SECOND_US: u64 = 1_000_000;
/// Transfers come, and everything fails, for so long.
const FAULTS_US: u64 = 60 * SECOND_US;
/// After that everything must have ended within a day.
const DAY_US: u64 = 24 * 3_600 * SECOND_US;
const EVENTS_MAX: u64 = 200_000;
const ACCOUNTS: usize = 4;
const ACCOUNTS_OF_A_BANK: usize = 2;
const OPENING: i64 = 60;
/// Somebody looks after sagas that are stuck each ten minutes.
const OPERATOR_US: u64 = 600 * SECOND_US;
/// Those that were tried in vain so often.
const STUCK_TRIES: u32 = 10;
/// A call without an answer is given up after this.
const CALL_US: u64 = 2 * SECOND_US;
/// When the world begins, in microseconds since 1970.
const BEGINNING_US: u64 = 1_800_000_000_000_000;

/// What is broken on purpose, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Banks carry out whatever comes.
    NoFence,
    /// A bank that has refused a saga's step may carry out an earlier attempt of it.
    RefusalsForgotten,
    /// Who begins to lead makes no calls again.
    CallsForgotten,
    /// Nodes answer before the log has it.
    AnswersTooEarly,
    /// That a call reached nobody is believed although another leader may have made it before.
    EarlierCallsForgotten,
}

/// Which world.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Everything follows from it.
    pub seed: u64,
    /// None in a world that is to hold.
    pub flaw: Option<Flaw>,
}

pub(crate) struct SagaService(SagaConfig);

impl Service for SagaService {
    type Shared = Sagas;
    type Signal = SagaSignal;

    fn replica(&self) -> (Sagas, UnboundedReceiver<SagaSignal>) {
        Sagas::new(self.0.clone(), None)
    }

    fn machine(shared: &Sagas) -> Box<dyn StateMachine> {
        shared.machine()
    }
}

pub(crate) struct TxService;

impl Service for TxService {
    type Shared = Coordinator;
    type Signal = TxSignal;

    fn replica(&self) -> (Coordinator, UnboundedReceiver<TxSignal>) {
        Coordinator::new(TxConfig::default(), 7, None)
    }

    fn machine(shared: &Coordinator) -> Box<dyn StateMachine> {
        shared.machine()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Sagas,
    Transactions,
}

pub(crate) enum Event {
    /// A transfer begins.
    Start(usize),
    /// Its decision is said again.
    Decide(usize),
    /// An order reaches its bank.
    Request(u64, Order),
    Answer(u64, Said),
    Timeout(u64),
    /// The outcome of a call that the log did not take is proposed again.
    Returned(Command),
    Elect(Which),
    Restart(Which, usize),
    /// Time has passed.
    Tick,
    Fault,
    /// Somebody looks after sagas that are stuck.
    Operate,
}

pub(crate) enum Way {
    Saga(&'static str),
    Tcc(Tcc),
}

pub(crate) struct Transfer {
    pub(crate) id: String,
    pub(crate) way: Way,
    pub(crate) from: usize,
    pub(crate) other: usize,
    pub(crate) to: usize,
    pub(crate) cents: i64,
    /// Who makes it is dead.
    pub(crate) is_dead: bool,
}

pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) random: Random,
    now_us: u64,
    number: u64,
    events: BTreeMap<(u64, u64), Event>,
    pub(crate) sagas: Group<SagaService>,
    pub(crate) coordinator: Group<TxService>,
    pub(crate) banks: Banks,
    /// Each bank is down until then.
    down_us: [u64; ACCOUNTS / ACCOUNTS_OF_A_BANK],
    waiting: BTreeMap<u64, Waiter>,
    /// Orders on their way.
    travelling: usize,
    pub(crate) transfers: Vec<Transfer>,
    pub(crate) spent: i64,
    pub(crate) counts: Counts,
    digest: u64,
    next_tick_us: u64,
    pub(crate) broken: Option<String>,
}

/// Lives through one schedule.
#[must_use]
pub fn run(options: &Options) -> Report {
    let mut world = World::new(*options);
    world.live();
    Report {
        seed: options.seed,
        digest: world.digest,
        lived_micros: world.now_us - BEGINNING_US,
        counts: world.counts,
        violation: world.broken.map(|what| Violation {
            seconds: (world.now_us - BEGINNING_US) / SECOND_US,
            micros: (world.now_us - BEGINNING_US) % SECOND_US,
            what,
        }),
    }
}

impl World {
    fn new(options: Options) -> Self {
        let mut random = Random::new(options.seed);
        let config = SagaConfig {
            retention_ms: 1 << 50,
            transaction_timeout_ms: *random.pick(&[2_000, 8_000, 30_000, 1_800_000]),
            call_timeout_ms: 10_000,
            recovery_most_ms: 30_000,
            ..SagaConfig::default()
        };
        let account = |random: &mut Random| Account {
            balance: OPENING,
            held: 0,
            closed: random.chance(1, 8),
        };
        let accounts = (0..ACCOUNTS).map(|_| account(&mut random)).collect();
        let count = random.between(2, 10);
        let transfers = (0..count)
            .map(|number| transfer(&mut random, number))
            .collect();
        Self {
            options,
            random,
            now_us: BEGINNING_US,
            number: 0,
            events: BTreeMap::new(),
            sagas: Group::new(
                SagaService(config),
                options.flaw != Some(Flaw::EarlierCallsForgotten),
            ),
            coordinator: Group::new(TxService, true),
            banks: Banks::new(accounts),
            down_us: [0; ACCOUNTS / ACCOUNTS_OF_A_BANK],
            waiting: BTreeMap::new(),
            travelling: 0,
            transfers,
            spent: 0,
            counts: Counts::default(),
            digest: 0xcbf2_9ce4_8422_2325,
            next_tick_us: u64::MAX,
            broken: None,
        }
    }

    pub(crate) fn opening(&self) -> i64 {
        OPENING * ACCOUNTS as i64
    }

    pub(crate) fn is_faulty(&self) -> bool {
        self.now_us < BEGINNING_US + FAULTS_US
    }

    fn mark(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) fn after(&mut self, us: u64, event: Event) {
        self.number += 1;
        if matches!(event, Event::Request(..)) {
            self.travelling += 1;
        }
        self.events.insert((self.now_us + us, self.number), event);
    }

    fn live(&mut self) {
        self.sagas.elect(0);
        self.coordinator.elect(0);
        for machine in machines() {
            let (tenant, text) = (String::new(), machine.to_string());
            let data = host::batch(&[Command::Define { tenant, text }]);
            self.sagas.propose(self.now_us, data, Fate::Answered);
        }
        for transfer in 0..self.transfers.len() {
            let at_us = self.random.below(FAULTS_US / 2);
            self.after(at_us, Event::Start(transfer));
        }
        self.after(0, Event::Fault);
        self.after(OPERATOR_US, Event::Operate);
        let mut lived = 0;
        while self.broken.is_none() {
            self.hear();
            self.keep_time();
            if !self.is_faulty() && self.is_quiet() {
                self.judge();
                return;
            }
            let Some(((at_us, _), event)) = self.events.pop_first() else {
                self.broken = Some("nothing happens any more, and something is open".into());
                return;
            };
            self.now_us = self.now_us.max(at_us);
            lived += 1;
            if lived > EVENTS_MAX || self.now_us > BEGINNING_US + FAULTS_US + DAY_US {
                self.broken = Some(format!("it does not end: {}", self.open()));
                return;
            }
            self.happen(event);
        }
    }

    /// Nothing is on its way, and nothing is left to be done.
    fn is_quiet(&self) -> bool {
        let sagas = self.sagas.shared().is_some_and(|sagas| {
            let sagas = sagas.lock();
            sagas
                .iter()
                .all(|saga| !saga.is_running && saga.recovery.is_none())
        });
        let transactions = self.coordinator.shared();
        let transactions = transactions.is_some_and(|state| state.lock().is_empty());
        let is_work = |event: &Event| {
            matches!(
                event,
                Event::Start(_) | Event::Decide(_) | Event::Returned(_)
            )
        };
        sagas
            && transactions
            && self.waiting.is_empty()
            && self.travelling == 0
            && !self.events.values().any(is_work)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start(transfer) => match self.transfers[transfer].way {
                Way::Saga(machine) => self.start_saga(transfer, machine),
                Way::Tcc(_) => self.begin(transfer),
            },
            Event::Decide(transfer) => self.say_decision(transfer),
            Event::Request(token, order) => {
                self.travelling -= 1;
                self.arrive(token, &order);
            }
            Event::Answer(token, said) => match self.waiting.remove(&token) {
                Some(waiter) => self.said(waiter, Ok(said)),
                None => self.counts.add("answers too late"),
            },
            Event::Timeout(token) => {
                if let Some(waiter) = self.waiting.remove(&token) {
                    self.counts.add("calls without an answer");
                    self.said(waiter, Err(Silence::Timeout));
                }
            }
            Event::Returned(command) => self.returned(command),
            Event::Elect(which) => self.elect(which),
            Event::Restart(which, node) => self.restart(which, node),
            Event::Tick => self.next_tick_us = u64::MAX,
            Event::Fault => self.fault(),
            Event::Operate => self.operate(),
        }
    }

    // Groups.

    fn fate(&mut self, which: Which) -> Fate {
        let is_early = self.options.flaw == Some(Flaw::AnswersTooEarly);
        let fate = match self.is_faulty() {
            true if self.random.permille(30) && is_early => Fate::Early,
            true if self.random.permille(30) => Fate::Lost,
            true if self.random.permille(30) => Fate::Unknown,
            _ => Fate::Answered,
        };
        match fate {
            Fate::Answered => {}
            Fate::Lost | Fate::Early => self.counts.add("leaders dead before a write"),
            Fate::Unknown => self.counts.add("leaders dead after a write"),
        }
        if fate != Fate::Answered {
            let pause = self.random.between(1_000, 3 * SECOND_US);
            self.after(pause, Event::Elect(which));
        }
        fate
    }

    fn propose(&mut self, which: Which, data: Bytes) -> Option<Bytes> {
        let leader = match which {
            Which::Sagas => self.sagas.leader(),
            Which::Transactions => self.coordinator.leader(),
        }?;
        self.mark(&data);
        let fate = self.fate(which);
        let now_us = self.now_us;
        let answer = match which {
            Which::Sagas => self.sagas.propose(now_us, data, fate),
            Which::Transactions => self.coordinator.propose(now_us, data, fate),
        };
        if fate != Fate::Answered {
            let pause = self.random.between(1_000, 5 * SECOND_US);
            self.after(pause, Event::Restart(which, leader));
        }
        answer
    }

    fn elect(&mut self, which: Which) {
        let all: Vec<usize> = (0..NODES)
            .filter(|node| match which {
                Which::Sagas => self.sagas.is_alive(*node),
                Which::Transactions => self.coordinator.is_alive(*node),
            })
            .collect();
        if all.len() <= NODES / 2 {
            // There is no majority.
            return self.after(100_000, Event::Elect(which));
        }
        let node = *self.random.pick(&all);
        self.counts.add("leaders");
        match which {
            Which::Sagas => self.sagas.elect(node),
            Which::Transactions => self.coordinator.elect(node),
        }
    }

    fn restart(&mut self, which: Which, node: usize) {
        self.counts.add("nodes started again");
        let restarted = match which {
            Which::Sagas => self.sagas.restart(node),
            Which::Transactions => self.coordinator.restart(node),
        };
        if let Err(why) = restarted {
            self.broken = Some(why);
        }
    }

    /// Says to the logs that time has passed, if that makes a difference.
    fn keep_time(&mut self) {
        let sagas = self.sagas.shared();
        let sagas_us = sagas.and_then(|sagas| Some(sagas.lock().due_ms()? * 1_000));
        let transactions = self.coordinator.shared();
        let transactions_us = transactions.and_then(|state| state.lock().next_due_us());
        if sagas_us.is_some_and(|due_us| due_us <= self.now_us) {
            self.propose(Which::Sagas, host::batch(&[Command::Tick]));
            self.hear();
        }
        if transactions_us.is_some_and(|due_us| due_us <= self.now_us) {
            self.ask_coordinator(Kind::Tick(0));
            self.hear();
        }
        let due_us = [sagas_us, transactions_us].into_iter().flatten().min();
        if let Some(due_us) = due_us.map(|due_us| due_us.max(self.now_us + 1_000))
            && due_us < self.next_tick_us
        {
            self.next_tick_us = due_us;
            self.after(due_us - self.now_us, Event::Tick);
        }
    }

    /// What those who lead want done.
    fn hear(&mut self) {
        loop {
            let (sagas, transactions) = (self.sagas.signals(), self.coordinator.signals());
            if sagas.is_empty() && transactions.is_empty() {
                return;
            }
            for signal in sagas {
                let calls = match signal {
                    SagaSignal::Calls(calls) => calls,
                    SagaSignal::Leads if self.options.flaw != Some(Flaw::CallsForgotten) => {
                        let sagas = self.sagas.shared();
                        sagas.map_or(Vec::new(), |sagas| sagas.lock().outstanding().collect())
                    }
                    _ => Vec::new(),
                };
                let epoch = self.sagas.epoch();
                for call in calls {
                    if let Some(order) = of_call(&call) {
                        let call = call.id;
                        self.send(order, Waiter::Call { epoch, call });
                    }
                }
            }
            for signal in transactions {
                let effects = match signal {
                    TxSignal::Effects(effects) => effects,
                    TxSignal::Leads { .. } if self.options.flaw != Some(Flaw::CallsForgotten) => {
                        let state = self.coordinator.shared();
                        state.map_or(Vec::new(), |state| state.lock().outstanding())
                    }
                    _ => Vec::new(),
                };
                for effect in effects {
                    self.effect(effect);
                }
            }
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Call {
                transaction,
                commit,
                end,
                ..
            } => {
                let waiter = Waiter::Branch {
                    epoch: self.coordinator.epoch(),
                    transaction,
                    branch: end.branch_id,
                    commit,
                };
                if let Some(order) = of_branch(&end, commit) {
                    self.send(order, waiter);
                }
            }
            Effect::Settled { .. } => {}
            Effect::Ended { status, .. } => self.counts.add(status.name()),
        }
    }

    pub(crate) fn ask_coordinator(&mut self, kind: Kind) -> Option<Answer> {
        let batch = Batch {
            operations: vec![kind.into()],
        };
        let answer = self.propose(Which::Transactions, batch.encode_to_vec().into())?;
        Answers::decode(answer).ok()?.answers.pop()
    }

    fn start_saga(&mut self, transfer: usize, machine: &str) {
        let one = &self.transfers[transfer];
        let params = json!({
            "id": one.id, "from": one.from, "other": one.other, "to": one.to,
            "cents": one.cents, "half": one.cents / 2,
        });
        let start = Command::Start {
            id: one.id.as_str().into(),
            machine: machine.into(),
            tenant: "".into(),
            business_key: None,
            params: match params {
                Value::Object(params) => params,
                _ => Map::new(),
            },
        };
        let answer = self.propose(Which::Sagas, host::batch(&[start]));
        // Nobody knows: the same id again is the same saga. One in a hundred is asked again although it was answered.
        if answer.is_none() || self.random.permille(10) {
            self.after(SECOND_US / 2, Event::Start(transfer));
        }
    }

    // Messages.

    /// Sends an order to its bank.
    pub(crate) fn send(&mut self, order: Order, waiter: Waiter) {
        self.number += 1;
        let token = self.number;
        if self.is_down(order.account) && self.random.chance(1, 2) {
            self.counts.add("calls that reach nobody");
            return self.said(waiter, Err(Silence::Connect));
        }
        self.waiting.insert(token, waiter);
        self.after(CALL_US, Event::Timeout(token));
        let faulty = self.is_faulty();
        if faulty && self.random.permille(60) {
            return self.counts.add("orders lost");
        }
        if faulty && self.random.permille(60) {
            self.counts.add("orders that come twice");
            let later_us = self.random.below(20 * SECOND_US);
            self.after(later_us, Event::Request(token, order.clone()));
        }
        let delay_us = match faulty && self.random.permille(60) {
            true => {
                self.counts.add("orders that come late");
                self.random.below(30 * SECOND_US)
            }
            false => self.random.between(500, 50_000),
        };
        self.after(delay_us, Event::Request(token, order));
    }

    fn is_down(&self, account: usize) -> bool {
        self.down_us[account / ACCOUNTS_OF_A_BANK] > self.now_us
    }

    fn bank_dies(&mut self, account: usize) {
        let down_us = self.random.between(SECOND_US / 10, 10 * SECOND_US);
        self.down_us[account / ACCOUNTS_OF_A_BANK] = self.now_us + down_us;
    }

    fn arrive(&mut self, token: u64, order: &Order) {
        if self.is_down(order.account) {
            return self.counts.add("orders to a bank that is down");
        }
        if self.is_faulty() && self.random.permille(30) {
            self.counts.add("banks dead before a write");
            return self.bank_dies(order.account);
        }
        let flaw = self.options.flaw;
        let said = self.banks.carry_out(order, flaw);
        self.counts.add(match said {
            Said::Done(diwan_tx_client::fence::Entered::Do) => "orders carried out",
            Said::Done(_) => "orders with nothing to do",
            Said::Refused => "orders refused",
            Said::Fenced(_) => "orders that the fence refuses",
        });
        self.mark(format!("{order:?} {said:?}").as_bytes());
        if Banks::has_paid(order, said) && self.random.chance(1, 2) {
            self.counts.add("credits spent at once");
            self.banks.accounts[order.account].balance -= order.cents;
            self.spent += order.cents;
        }
        if let Some(account) = self.banks.short() {
            self.broken = Some(format!(
                "account {account} is short: {:?} after {order:?}",
                self.banks.accounts[account]
            ));
        }
        if self.is_faulty() && self.random.permille(30) {
            self.counts.add("banks dead after a write");
            return self.bank_dies(order.account);
        }
        if self.is_faulty() && self.random.permille(60) {
            return self.counts.add("answers lost");
        }
        let delay_us = self.random.between(500, 50_000);
        self.after(delay_us, Event::Answer(token, said));
    }

    fn said(&mut self, waiter: Waiter, said: Result<Said, Silence>) {
        match waiter {
            Waiter::Try { transfer, side } => self.tried(transfer, side, said),
            Waiter::Call { epoch, call } => {
                if epoch != self.sagas.epoch() {
                    self.counts.add("outcomes for a node that leads no more");
                }
                // Any node proposes, whoever leads by now.
                let outcome = outcome(said);
                self.returned(Command::Returned { call, outcome });
            }
            Waiter::Branch {
                epoch,
                transaction,
                branch,
                commit,
            } => {
                if epoch != self.coordinator.epoch() {
                    return self.counts.add("outcomes for a node that leads no more");
                }
                let status = branch_status(said, commit);
                self.ask_coordinator(Kind::Ended(Ended {
                    transaction,
                    branch,
                    commit,
                    status: status.map(|status| status.byte().into()),
                    why: match status {
                        Some(_) => String::new(),
                        None => "no answer".into(),
                    },
                }));
            }
        }
    }

    fn returned(&mut self, command: Command) {
        let data = host::batch(std::slice::from_ref(&command));
        if self.propose(Which::Sagas, data).is_none() && self.random.chance(1, 2) {
            self.after(100_000, Event::Returned(command));
        }
    }

    /// A credit that was in doubt and is refused for good may have been made, as far as the engine knows. Somebody decides to undo the
    /// saga: its machine asks the bank never to make that credit.
    fn operate(&mut self) {
        self.after(OPERATOR_US, Event::Operate);
        let Some(sagas) = self.sagas.shared() else {
            return;
        };
        let is_stuck = |saga: &&Saga| {
            let recovery = saga.recovery.as_ref();
            recovery.is_some_and(|recovery| recovery.is_forward && recovery.tries >= STUCK_TRIES)
        };
        let stuck: Vec<Command> = {
            let sagas = sagas.lock();
            let stuck = sagas.iter().filter(is_stuck);
            let undo = stuck.map(|saga| Command::Compensate {
                saga: saga.id.to_string(),
                params: Map::new(),
            });
            undo.collect()
        };
        for compensate in stuck {
            self.counts.add("sagas that somebody decides to undo");
            self.propose(Which::Sagas, host::batch(&[compensate]));
        }
    }

    // What fails by itself.

    fn fault(&mut self) {
        if !self.is_faulty() {
            return;
        }
        let pause_us = self.random.below(4 * SECOND_US);
        self.after(pause_us, Event::Fault);
        let which = *self.random.pick(&[Which::Sagas, Which::Transactions]);
        let node = self.random.below(NODES as u64) as usize;
        match self.random.below(5) {
            0 => {
                self.counts.add("snapshots");
                match which {
                    Which::Sagas => self.sagas.snapshot(node),
                    Which::Transactions => self.coordinator.snapshot(node),
                }
            }
            1 => {
                self.counts.add("nodes dead");
                let was_leader = match which {
                    Which::Sagas => {
                        let leads = self.sagas.leader() == Some(node);
                        self.sagas.crash(node);
                        leads
                    }
                    Which::Transactions => {
                        let leads = self.coordinator.leader() == Some(node);
                        self.coordinator.crash(node);
                        leads
                    }
                };
                let pause_us = self.random.between(1_000, 5 * SECOND_US);
                self.after(pause_us, Event::Restart(which, node));
                if was_leader {
                    self.after(SECOND_US / 2, Event::Elect(which));
                }
            }
            2 => self.elect(which),
            3 => {
                let entries = self.random.below(20) as usize;
                match which {
                    Which::Sagas => self.sagas.follow(node, entries),
                    Which::Transactions => self.coordinator.follow(node, entries),
                }
            }
            _ => {
                self.counts.add("banks dead");
                let account = self.random.below(ACCOUNTS as u64) as usize;
                self.bank_dies(account);
            }
        }
    }
}

fn transfer(random: &mut Random, number: u64) -> Transfer {
    let mut accounts: Vec<usize> = (0..ACCOUNTS).collect();
    let mut draw = || {
        let at = random.below(accounts.len() as u64) as usize;
        accounts.swap_remove(at)
    };
    let (from, other, to) = (draw(), draw(), draw());
    Transfer {
        id: format!("T{number}"),
        way: match random.below(5) {
            0 | 1 => Way::Tcc(Tcc::default()),
            2 => Way::Saga(TRANSFER),
            3 => Way::Saga(SPLIT),
            _ => Way::Saga(FORK),
        },
        from,
        other,
        to,
        cents: 2 * random.between(5, 60) as i64,
        is_dead: false,
    }
}

impl Transfer {
    /// Whom a saga takes money from.
    pub(crate) fn payers(&self, machine: &str) -> Vec<(Side, usize)> {
        match machine {
            TRANSFER => vec![(Side::Debit, self.from)],
            _ => vec![(Side::Debit, self.from), (Side::Debit, self.other)],
        }
    }
}

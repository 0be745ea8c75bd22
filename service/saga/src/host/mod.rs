//! Sagas in a process: commands go into a log, calls of participants leave by the node that leads, and whoever started a saga hears
//! what became of it. A server hosts it, or an application.

mod api;
mod log;
mod spread;
mod view;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use diwan_archive::{Archive, ArchiveError};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::engine::{Call, CallId, Command, Ended, Outcome};
pub use log::{Shared, Signal, batch};
pub use spread::Hosts;
pub use view::{Counts, RecordView, SagaView, Summary};

/// What will be.
pub type Promise<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Carries a batch to the log, wherever its leader is, and brings the answer.
pub type Proposer = Arc<dyn Fn(Bytes) -> Promise<Result<Bytes, String>> + Send + Sync>;

/// Calls participants.
pub trait Invoker: Send + Sync + 'static {
    /// Makes one attempt of a call. It may be made again with the same arguments: by a new leader, or as a repetition.
    fn invoke(&self, call: Call) -> Promise<Outcome>;
}

/// What a host needs.
pub struct Options {
    /// The sagas.
    pub shared: Shared,
    /// What their log says.
    pub signals: mpsc::UnboundedReceiver<Signal>,
    /// The way into the log.
    pub propose: Proposer,
    /// The way to participants.
    pub invoker: Arc<dyn Invoker>,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The engine says no.
    #[error("{0}")]
    Refused(String),
    /// The log did not take it, or nobody knows: it may be said again, all of it can be repeated.
    #[error("{0}")]
    Log(String),
    /// The archive cannot be read.
    #[error("{0}")]
    Archive(String),
}

/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_millis(50);
/// Commands of one batch.
const BATCH_MAX: usize = 1_000;
/// An outcome that the log did not take is proposed again after this.
const PAUSE: Duration = Duration::from_millis(100);

/// Who waits for sagas to stop.
type Waiting = HashMap<Arc<str>, Vec<oneshot::Sender<()>>>;
type Told = oneshot::Sender<Result<log::Answer, String>>;

/// Sagas, as the rest of a process sees them. Cheap to clone.
#[derive(Clone)]
pub struct Host {
    shared: Shared,
    commands: mpsc::UnboundedSender<(Command, Told)>,
    waiting: Arc<Mutex<Waiting>>,
    /// A tick is on its way.
    ticking: Arc<AtomicBool>,
}

/// What a saga is started with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Start {
    /// Its id; the same id again is the same saga.
    pub id: String,
    /// The machine's name.
    pub machine: String,
    /// Whose.
    pub tenant: String,
    /// What the business calls it.
    pub business_key: Option<String>,
    /// Its first variables.
    pub params: Map<String, Value>,
}

/// Starts the host's tasks on this thread's runtime.
pub fn start(options: Options) -> Host {
    let (commands, to_propose) = mpsc::unbounded_channel();
    let host = Host {
        shared: options.shared,
        commands,
        waiting: Arc::default(),
        ticking: Arc::default(),
    };
    tokio::spawn(propose(to_propose, options.propose));
    tokio::spawn(host.clone().run(options.signals, options.invoker));
    host
}

/// What came since the last batch goes into the next one; batches do not wait for each other.
async fn propose(mut commands: mpsc::UnboundedReceiver<(Command, Told)>, propose: Proposer) {
    let mut taken = Vec::new();
    while commands.recv_many(&mut taken, BATCH_MAX).await > 0 {
        let (batch, told): (Vec<Command>, Vec<Told>) = taken.drain(..).unzip();
        let proposed = propose(log::batch(&batch));
        tokio::spawn(async move {
            let answers = proposed.await.map(|content| log::decode_answers(&content));
            match answers {
                Ok(answers) => {
                    let answers = answers.into_iter().map(Some).chain(std::iter::repeat(None));
                    for (told, answer) in told.into_iter().zip(answers) {
                        let answer = answer.ok_or_else(|| "the log answers nothing".to_owned());
                        let _ = told.send(answer);
                    }
                }
                Err(why) => {
                    for told in told {
                        let _ = told.send(Err(why.clone()));
                    }
                }
            }
        });
    }
}

impl Host {
    /// The sagas, as this node knows them.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// How many there are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::new(&self.shared.lock())
    }

    async fn command(&self, command: Command) -> Result<log::Answer, HostError> {
        let (tell, told) = oneshot::channel();
        let stopped = || HostError::Log("the host has stopped".into());
        self.commands.send((command, tell)).map_err(|_| stopped())?;
        told.await.map_err(|_| stopped())?.map_err(HostError::Log)
    }

    async fn carry_out(&self, command: Command) -> Result<(), HostError> {
        match self.command(command).await?.refused {
            None => Ok(()),
            Some(why) => Err(HostError::Refused(why)),
        }
    }

    /// Defines a machine; sagas that run keep theirs.
    /// # Errors
    /// It does not load, or the log did not take it.
    pub async fn define(&self, tenant: String, text: String) -> Result<(), HostError> {
        self.carry_out(Command::Define { tenant, text }).await
    }

    /// Starts a saga, unless it is there already, and waits until it has stopped, for `patience` at most.
    /// # Errors
    /// It cannot start, or the log did not take it.
    pub async fn start(&self, start: Start, patience: Duration) -> Result<SagaView, HostError> {
        let id: Arc<str> = start.id.as_str().into();
        // Before it starts: it may stop at once.
        let (tell, told) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let all = waiting.entry(id.clone()).or_default();
            all.retain(|one| !one.is_closed());
            all.push(tell);
        }
        let answer = self
            .command(Command::Start {
                id: id.clone(),
                machine: start.machine.into(),
                tenant: start.tenant.into(),
                business_key: start.business_key,
                params: start.params,
            })
            .await?;
        match answer {
            log::Answer {
                refused: Some(why),
                exists: false,
            } => return Err(HostError::Refused(why)),
            log::Answer { exists: true, .. } => {
                // It may have stopped long ago.
                if let Some(view) = self.get(&id)
                    && !view.is_running
                {
                    return Ok(view);
                }
            }
            log::Answer { refused: None, .. } => {}
        }
        if tokio::time::timeout(patience, told).await.is_err() {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(all) = waiting.get_mut(&id) {
                all.retain(|one| !one.is_closed());
                if all.is_empty() {
                    waiting.remove(&id);
                }
            }
        }
        let gone = || HostError::Log(format!("saga `{id}` has left"));
        self.get(&id).ok_or_else(gone)
    }

    /// Whether a saga lives, or has ended not long ago.
    fn lives(&self, id: &str) -> bool {
        self.shared.lock().get(id).is_some()
    }

    /// A saga, if it lives, or has ended not long ago.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<SagaView> {
        let sagas = self.shared.lock();
        let saga = sagas.get(id)?;
        Some(SagaView::new(saga, &sagas))
    }

    /// A saga, if it lives, or is in this node's archive.
    /// # Errors
    /// The archive cannot be read.
    pub async fn find(&self, id: &str) -> Result<Option<SagaView>, HostError> {
        if let Some(view) = self.get(id) {
            return Ok(Some(view));
        }
        let ended = self.archived(id).await?;
        let sagas = self.shared.lock();
        Ok(ended.map(|ended| SagaView::new(&ended.saga, &sagas)))
    }

    async fn archived(&self, id: &str) -> Result<Option<Ended>, HostError> {
        let id = id.to_owned();
        self.in_archive(move |archive| {
            let kept = archive.get(&id)?;
            Ok(kept.and_then(|kept| serde_json::from_slice(&kept.value).ok()))
        })
        .await
        .map(Option::flatten)
    }

    /// Sagas that have left, the newest first, and whether there are more; `is` says which. None without an archive.
    /// # Errors
    /// The archive cannot be read.
    pub async fn ended(
        &self,
        limit: usize,
        is: impl Fn(&Summary) -> bool + Send + 'static,
    ) -> Result<Option<(Vec<Summary>, bool)>, HostError> {
        let shared = self.shared.clone();
        self.in_archive(move |archive| {
            let page = archive.list(None, limit, |kept| {
                let ended: Ended = serde_json::from_slice(&kept.value).ok()?;
                Some(Summary::new(&ended.saga, &shared.lock())).filter(&is)
            })?;
            Ok((page.entries, page.more.is_some()))
        })
        .await
    }

    /// What the archive says, on a thread that may wait for the disk.
    async fn in_archive<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Archive) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<Option<T>, HostError> {
        let Some(archive) = self.shared.archive().cloned() else {
            return Ok(None);
        };
        let said = tokio::task::spawn_blocking(move || ask(&archive)).await;
        let said = said.map_err(|error| HostError::Archive(error.to_string()))?;
        said.map(Some)
            .map_err(|error| HostError::Archive(error.to_string()))
    }

    /// A saga that has left comes back, so that it can be decided about.
    /// # Errors
    /// It is not in this node's archive, lives, or the log did not take it.
    pub async fn reload(&self, id: &str) -> Result<(), HostError> {
        let none = || HostError::Refused(format!("saga `{id}` is not in this node's archive"));
        let ended = self.archived(id).await?.ok_or_else(none)?;
        self.carry_out(Command::Reload(Box::new(ended))).await
    }

    /// Sagas that live, without their histories; `is` says which.
    #[must_use]
    pub fn list(&self, limit: usize, is: impl Fn(&Summary) -> bool) -> Vec<Summary> {
        let sagas = self.shared.lock();
        let all = sagas.iter().filter(|saga| saga.parent.is_none());
        let all = all.map(|saga| Summary::new(saga, &sagas));
        all.filter(is).take(limit).collect()
    }

    /// A saga that stopped goes on, without the state at which it stopped if `skip`.
    /// # Errors
    /// It cannot, or the log did not take it.
    pub async fn forward(
        &self,
        saga: String,
        params: Map<String, Value>,
        skip: bool,
    ) -> Result<(), HostError> {
        self.carry_out(Command::Forward { saga, params, skip })
            .await
    }

    /// A saga is undone.
    /// # Errors
    /// It cannot be, or the log did not take it.
    pub async fn compensate(
        &self,
        saga: String,
        params: Map<String, Value>,
    ) -> Result<(), HostError> {
        self.carry_out(Command::Compensate { saga, params }).await
    }

    /// A saga that stopped is settled by other means.
    /// # Errors
    /// It runs, or the log did not take it.
    pub async fn forget(&self, saga: String) -> Result<(), HostError> {
        self.carry_out(Command::Forget { saga }).await
    }

    async fn run(self, mut signals: mpsc::UnboundedReceiver<Signal>, invoker: Arc<dyn Invoker>) {
        let mut leads = false;
        // The log's time, and when that was.
        let mut clock = (0, Instant::now());
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                signal = signals.recv() => match signal {
                    None => return,
                    Some(Signal::Leads) => {
                        leads = true;
                        let outstanding: Vec<Call> = self.shared.lock().outstanding().collect();
                        tracing::info!(calls = outstanding.len(), "this node leads the sagas");
                        self.call(outstanding, &invoker);
                    }
                    Some(Signal::Follows) => leads = false,
                    Some(Signal::Calls(calls)) => self.call(calls, &invoker),
                    Some(Signal::Stopped(ids)) => self.stopped(&ids),
                },
                _ = tick.tick() => {
                    let (now_ms, due_ms) = {
                        let sagas = self.shared.lock();
                        (sagas.now_ms(), sagas.due_ms())
                    };
                    if now_ms != clock.0 {
                        clock = (now_ms, Instant::now());
                    }
                    let passed = u64::try_from(clock.1.elapsed().as_millis()).unwrap_or(u64::MAX);
                    let is_due = due_ms.is_some_and(|due_ms| clock.0.saturating_add(passed) >= due_ms);
                    if leads && is_due && !self.ticking.swap(true, Relaxed) {
                        let host = self.clone();
                        tokio::spawn(async move {
                            // What is due stays due.
                            let _ = host.command(Command::Tick).await;
                            host.ticking.store(false, Relaxed);
                        });
                    }
                }
            }
        }
    }

    fn stopped(&self, ids: &[Arc<str>]) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for told in ids.iter().filter_map(|id| waiting.remove(id)).flatten() {
            let _ = told.send(());
        }
    }

    fn call(&self, calls: Vec<Call>, invoker: &Arc<dyn Invoker>) {
        for call in calls {
            let (host, id) = (self.clone(), call.id);
            let outcome = invoker.invoke(call);
            tokio::spawn(async move { host.returned(id, outcome.await).await });
        }
    }

    /// The outcome goes into the log, unless another node leads: that one calls again.
    async fn returned(&self, call: CallId, outcome: Outcome) {
        for _ in 0..100 {
            let outcome = outcome.clone();
            match self.command(Command::Returned { call, outcome }).await {
                Ok(_) => return,
                Err(why) => tracing::warn!(%why, ?call, "an outcome is not in the log yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

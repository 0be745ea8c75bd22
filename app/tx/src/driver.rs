//! The state with its clock and its connections: one task on one of the threads that hold connections.

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use diwan_net::Workers;
use diwan_seata::{BranchEnd, BranchEnded, Message};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use crate::connection::{self, Framed};
use crate::counters::{Count, Tally};
use crate::state::{Config, Connection, Event, Failure, OrderId, Output, State, Ticket};

/// Carries out an order, whatever happens.
pub(crate) type Branches =
    Arc<dyn Fn(bool, BranchEnd) -> Pin<Box<dyn Future<Output = BranchEnded> + Send>> + Send + Sync>;

type Tell = oneshot::Sender<Result<Message, Failure>>;

enum Input {
    Request {
        message: Message,
        repeatable: bool,
        tell: Tell,
    },
    Resource(String),
    Connected(Connection),
    Received(Connection, Framed),
    Ended(Connection, String),
    CarriedOut(OrderId, BranchEnded),
    /// There is no handle any more.
    Abandoned,
}

/// Where requests and resources go. When the last one is gone the connections end.
pub(crate) struct Handle {
    inputs: mpsc::UnboundedSender<Input>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.inputs.send(Input::Abandoned);
    }
}

impl Handle {
    /// Starts to connect.
    pub(crate) fn start(
        config: Config,
        branches: Branches,
        tally: Arc<Tally>,
    ) -> std::io::Result<Self> {
        let (inputs, todo) = mpsc::unbounded_channel();
        let own = inputs.clone();
        Workers::shared()?.spawn(0, move || {
            Driver::new(config, branches, own, tally).run(todo)
        });
        Ok(Self { inputs })
    }

    /// Asks. None if the driver is gone.
    pub(crate) async fn request(
        &self,
        message: Message,
        repeatable: bool,
    ) -> Option<Result<Message, Failure>> {
        let (tell, told) = oneshot::channel();
        let input = Input::Request {
            message,
            repeatable,
            tell,
        };
        self.inputs.send(input).ok()?;
        told.await.ok()
    }

    /// Asks, and does not wait for the answer.
    pub(crate) fn tell(&self, message: Message) {
        let (tell, _) = oneshot::channel();
        let _ = self.inputs.send(Input::Request {
            message,
            repeatable: true,
            tell,
        });
    }

    pub(crate) fn add_resource(&self, name: String) {
        let _ = self.inputs.send(Input::Resource(name));
    }
}

/// A connection's task.
struct Link {
    number: u64,
    frames: mpsc::UnboundedSender<Framed>,
    task: AbortHandle,
}

struct Driver {
    state: State,
    servers: Vec<String>,
    role: &'static str,
    branches: Branches,
    tally: Arc<Tally>,
    inputs: mpsc::UnboundedSender<Input>,
    links: BTreeMap<usize, Link>,
    waiting: BTreeMap<Ticket, Tell>,
    began: Instant,
    abandoned: bool,
}

impl Driver {
    fn new(
        config: Config,
        branches: Branches,
        inputs: mpsc::UnboundedSender<Input>,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            servers: config.servers.clone(),
            role: config.role.name(),
            state: State::new(config, RandomState::new().build_hasher().finish()),
            branches,
            tally,
            inputs,
            links: BTreeMap::new(),
            waiting: BTreeMap::new(),
            began: Instant::now(),
            abandoned: false,
        }
    }

    async fn run(mut self, mut inputs: mpsc::UnboundedReceiver<Input>) {
        loop {
            self.state.advance(self.began.elapsed());
            for output in self.state.outputs() {
                self.carry_out(output);
            }
            if self.abandoned && self.waiting.is_empty() {
                for link in self.links.into_values() {
                    link.task.abort();
                }
                return;
            }
            let next = self.state.next_deadline();
            let wait = next.map_or(Duration::from_secs(3600), |at| {
                at.saturating_sub(self.began.elapsed())
            });
            if let Ok(Some(input)) = timeout(wait, inputs.recv()).await {
                self.take(input);
                while let Ok(input) = inputs.try_recv() {
                    self.take(input);
                }
            }
        }
    }

    fn take(&mut self, input: Input) {
        let now = self.began.elapsed();
        match input {
            Input::Request {
                message,
                repeatable,
                tell,
            } => {
                let ticket = self.state.request(message, repeatable, now);
                self.waiting.insert(ticket, tell);
            }
            Input::Resource(name) => self.state.add_resource(name, now),
            Input::Connected(connection) => self.state.connected(connection, now),
            Input::Received(connection, (kind, id, message)) => {
                self.state.received(connection, kind, id, message, now);
            }
            Input::Ended(connection, why) => {
                self.drop_link(connection);
                self.state.ended(connection, &why, now);
            }
            Input::CarriedOut(order, ended) => {
                self.tally.add_branch(ended.status);
                self.state.carried_out(order, &ended, now);
            }
            Input::Abandoned => self.abandoned = true,
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Dial(connection) => self.dial(connection),
            Output::Send {
                connection,
                kind,
                id,
                message,
            } => {
                if let Some(link) = self.links.get(&connection.server)
                    && link.number == connection.number
                {
                    // Of a connection that has just ended the state will be told.
                    let _ = link.frames.send((kind, id, message));
                }
            }
            Output::Close(connection) => self.drop_link(connection),
            Output::Answer(ticket, result) => {
                if let Some(tell) = self.waiting.remove(&ticket) {
                    // Whoever asked may have stopped waiting.
                    let _ = tell.send(result);
                }
            }
            Output::Order { order, commit, end } => {
                let (work, inputs) = ((self.branches)(commit, end), self.inputs.clone());
                tokio::task::spawn_local(async move {
                    let _ = inputs.send(Input::CarriedOut(order, work.await));
                });
            }
            Output::Happened(event) => self.note(&event),
        }
    }

    fn dial(&mut self, connection: Connection) {
        let (frames, to_send) = mpsc::unbounded_channel();
        let addr = self.servers[connection.server].clone();
        let [tell_connected, tell_received, tell_ended] = [
            self.inputs.clone(),
            self.inputs.clone(),
            self.inputs.clone(),
        ];
        let task = tokio::task::spawn_local(async move {
            let connected = move || {
                let _ = tell_connected.send(Input::Connected(connection));
            };
            let received = move |framed| {
                let _ = tell_received.send(Input::Received(connection, framed));
            };
            let why = connection::run(addr, connected, to_send, received).await;
            let _ = tell_ended.send(Input::Ended(connection, why));
        });
        let link = Link {
            number: connection.number,
            frames,
            task: task.abort_handle(),
        };
        if let Some(older) = self.links.insert(connection.server, link) {
            older.task.abort();
        }
    }

    fn drop_link(&mut self, connection: Connection) {
        if let Some(link) = self.links.get(&connection.server)
            && link.number == connection.number
        {
            link.task.abort();
            self.links.remove(&connection.server);
        }
    }

    fn note(&self, event: &Event) {
        let role = self.role;
        let count = match event {
            Event::Registered { server, version } => {
                tracing::info!(role, server, version, "registered with a coordinator");
                Count::Connected
            }
            Event::NotConnected { server, why } => {
                tracing::warn!(role, server, why, "no connection to a coordinator");
                Count::NotConnected
            }
            Event::Late { server, id } => {
                tracing::debug!(role, server, id, "an answer that nobody waits for");
                Count::Unexpected
            }
            Event::Held { server, end } => {
                tracing::warn!(
                    role,
                    server,
                    xid = end.xid,
                    branch = end.branch_id,
                    "a branch is told again while it does what it was told, or too many are told"
                );
                Count::InVain
            }
            Event::Unexpected { server, message } => {
                tracing::warn!(role, server, ?message, "not what a coordinator says");
                Count::Unexpected
            }
        };
        self.tally.add(count);
    }
}

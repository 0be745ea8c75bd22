//! The coordinator on its port: Seata's clients, and the other nodes of the cluster. All connections live on one thread, beside what
//! is proposed to the log and what comes out of it.

mod api;
mod call;
mod console;
mod desk;
mod peers;
mod request;
mod session;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use diwan_net::{
    Connection, Protocol, ProtocolWorker, Recognition, Server, ServerOptions, Session,
};
use diwan_seata::GlobalStatus;
use diwan_seata::frame::MAGIC;
use prost::Message as _;
use tokio::sync::{mpsc, watch};

use crate::state::{Shared, Signal};
use desk::Desk;
use peers::{Answered, Kind, Said, Where};

/// A node that does not say where its ports are within this is not named.
const WHERE_PATIENCE: Duration = Duration::from_millis(500);

/// Carries a batch to the log. It is told the answers, or why there are none, on any thread.
pub type Proposer = Arc<dyn Fn(Bytes, Proposed) + Send + Sync>;
/// What comes of a batch.
pub type Proposed = Box<dyn FnOnce(Result<Bytes, NotDone>) + Send>;
/// Waits until this node's state is as new as anybody's; is told on any thread, with false if that cannot be said.
pub type Barrier = Arc<dyn Fn(Box<dyn FnOnce(bool) + Send>) + Send + Sync>;

/// Why a batch has no answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// It was not carried out: another node leads, or none, or the one that does has too much to do.
    #[error("{0}")]
    No(String),
    /// It may have been carried out.
    #[error("unknown whether it was carried out: {0}")]
    Unknown(String),
}

/// What a coordinator needs to run.
pub struct Options {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// The same as clients see it, which is what xids begin with.
    pub advertise: String,
    /// Where its console answers over HTTP, as others see it.
    pub control: String,
    /// Limits of connections. It always runs on one thread.
    pub server: ServerOptions,
    /// The state.
    pub shared: Shared,
    /// What its log says.
    pub signals: mpsc::UnboundedReceiver<Signal>,
    /// The way into the log.
    pub propose: Proposer,
    /// Before the state is read.
    pub barrier: Barrier,
    /// The other nodes; None for one that is alone.
    pub nodes: Option<peers::Nodes>,
}

pub use console::Users;
pub use peers::{Caller, Nodes, TX_CLASS};

/// Who leads, and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Leadership {
    leader: Option<String>,
    epoch: u64,
}

/// How a coordinator does.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Connections of clients.
    pub connections: u64,
    /// Transactions that have begun since this process knows of them.
    pub begun: u64,
    /// And ended, by how.
    pub ended: BTreeMap<GlobalStatus, u64>,
    /// Open ones, by where they are.
    pub open: BTreeMap<GlobalStatus, u64>,
    /// Open ones that wait for somebody.
    pub stuck: u64,
    /// Rows that are locked.
    pub locked_rows: u64,
}

type Task = Box<dyn FnOnce(&Rc<Desk>) + Send>;

/// A coordinator that runs, as other threads see it.
#[derive(Clone)]
pub struct Handle {
    addr: SocketAddr,
    tasks: mpsc::UnboundedSender<Task>,
    server: Arc<Mutex<Option<Server>>>,
    shared: Shared,
    ports: Where,
    nodes: Option<Nodes>,
    leadership: watch::Receiver<Leadership>,
}

impl Handle {
    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// The nodes that answer, with their ports, and who leads.
    async fn nodes(&self) -> (Vec<(String, Where)>, Leadership) {
        let own = self.nodes.as_ref().map_or("", |nodes| &*nodes.name);
        let mut all = vec![(own.to_owned(), self.ports.clone())];
        if let Some(nodes) = &self.nodes {
            let others = nodes.all.borrow().clone();
            for other in others.into_iter().filter(|other| *other != nodes.name) {
                let said = Said {
                    kind: Some(Kind::Where(true)),
                };
                let called = (nodes.call)(&other, said.encode_to_vec().into());
                let answered = tokio::time::timeout(WHERE_PATIENCE, called).await;
                let answered = answered.ok().and_then(Result::ok);
                let answered = answered.and_then(|content| Answered::decode(&content[..]).ok());
                all.extend(answered.and_then(|answered| Some((other, answered.ports?))));
            }
        }
        (all, self.leadership.borrow().clone())
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The state, as this node knows it.
    pub fn state(&self) -> &Shared {
        &self.shared
    }

    /// Connections of clients.
    pub fn connections(&self) -> usize {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.as_ref().map_or(0, Server::connections)
    }

    /// What its metrics say.
    pub fn status(&self) -> Status {
        let state = self.shared.lock();
        let mut status = Status {
            connections: self.connections() as u64,
            begun: state.begun(),
            ended: state.ended().filter(|(_, count)| *count > 0).collect(),
            locked_rows: state.locked_rows() as u64,
            ..Status::default()
        };
        for global in state.globals() {
            *status.open.entry(global.status).or_default() += 1;
            status.stuck += u64::from(api::is_stuck(global));
        }
        status
    }

    /// Another node speaks: to be given the answer, unless what it says makes no sense.
    pub fn received(&self, content: Bytes, answer: impl FnOnce(Bytes) + Send + 'static) {
        let _ = self.tasks.send(Box::new(move |desk| {
            peers::received(desk, &content, Box::new(answer));
        }));
    }

    /// Ends all connections and stops.
    pub async fn stop(&self) {
        let server = self.server.lock();
        let server = server.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server {
            server.stop(Duration::from_secs(1)).await;
        }
    }
}

/// Starts a coordinator.
///
/// # Errors
/// Its address or its thread is not to be had.
pub fn start(options: Options) -> io::Result<Handle> {
    let (tasks, todo) = mpsc::unbounded_channel();
    let mut server = options.server.clone();
    server.workers = Some(1);
    let (listen, shared) = (options.listen, options.shared.clone());
    let (nodes, ports) = (
        options.nodes.clone(),
        Where {
            transaction: options.advertise.clone(),
            control: options.control.clone(),
        },
    );
    let (leadership, leadership_seen) = watch::channel(Leadership::default());
    let protocol: Arc<dyn Protocol> = Arc::new(Seata {
        once: Mutex::new(Some((options, todo, leadership))),
        tasks: tasks.clone(),
    });
    let server = Server::start(listen, vec![protocol], server)?;
    Ok(Handle {
        addr: server.local_addr(),
        tasks,
        server: Arc::new(Mutex::new(Some(server))),
        shared,
        ports,
        nodes,
        leadership: leadership_seen,
    })
}

type Beginning = (
    Options,
    mpsc::UnboundedReceiver<Task>,
    watch::Sender<Leadership>,
);

struct Seata {
    once: Mutex<Option<Beginning>>,
    tasks: mpsc::UnboundedSender<Task>,
}

impl Protocol for Seata {
    fn recognize(&self, first: &[u8]) -> Recognition {
        let known = first.len().min(MAGIC.len());
        match first[..known] == MAGIC[..known] {
            false => Recognition::No,
            true if known < MAGIC.len() => Recognition::More,
            true => Recognition::Yes,
        }
    }

    fn worker(&self) -> Box<dyn ProtocolWorker> {
        let once = self
            .once
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // There is one worker, and it asks once.
        let desk = once.map(|(options, todo, leadership)| {
            let (desk, signals) = Desk::new(options, self.tasks.clone(), leadership);
            tokio::task::spawn_local(desk.clone().run(todo, signals));
            desk
        });
        Box::new(Worker { desk })
    }
}

struct Worker {
    desk: Option<Rc<Desk>>,
}

impl ProtocolWorker for Worker {
    fn open(&self, connection: Rc<Connection>) -> Box<dyn Session> {
        match &self.desk {
            Some(desk) => Box::new(session::SeataSession::new(desk.clone(), connection)),
            None => unreachable!("there is one worker, and it has the desk"),
        }
    }
}

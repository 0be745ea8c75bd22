//! The session with its clock and its connection: one task on one of the threads that hold connections.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::super::client::{Lists, RegistryOptions, random};
use super::super::dial::{Dial, Step};
use super::super::display::Display;
use super::super::driver::{ABANDONED_CHECK, Input};
use super::super::event::{RegistryEvent, RegistryStats};
use super::super::servers::resolve;
use super::super::state::RegistId;
use super::ZooKeeper;
use super::connection::Connection;
use super::state::{Config, State};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Shorter sessions are not asked for.
const SESSION_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// The end of a session is answered within this, or the server finds out by itself.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(500);
const RETRY_AFTER: Duration = Duration::from_secs(1);
const IN_FLIGHT_MAX: usize = 64;

enum Link {
    /// Nothing is done until then.
    Waiting(Duration),
    /// Addresses are looked up.
    Asking,
    Dialing,
    Connected(Connection),
}

impl Link {
    /// Waits until something has come over a connection.
    async fn moved(&mut self) -> std::io::Result<()> {
        match self {
            Self::Connected(connection) => connection.moved().await,
            _ => std::future::pending().await,
        }
    }
}

pub(in super::super) struct Driver {
    servers: Vec<String>,
    inputs: mpsc::UnboundedSender<Input>,
    display: Display,
    state: State,
    began: Instant,
    dial: Dial,
    link: Link,
    /// Who waits for the end of a registration.
    ends: BTreeMap<RegistId, oneshot::Sender<bool>>,
    abandoned: bool,
}

impl Driver {
    pub(in super::super) fn new(
        zookeeper: ZooKeeper,
        options: &RegistryOptions,
        inputs: mpsc::UnboundedSender<Input>,
        lists: Lists,
        stats: Arc<RegistryStats>,
    ) -> Self {
        let config = Config {
            root: zookeeper.root,
            session_timeout: zookeeper.session_timeout.max(SESSION_TIMEOUT_MIN),
            guard: options.guard,
            snapshot_after: options.snapshot_after,
            retry_after: RETRY_AFTER,
            in_flight_max: IN_FLIGHT_MAX,
        };
        let (display, saved) = Display::new(options, inputs.clone(), lists, stats);
        Self {
            servers: zookeeper.servers,
            inputs,
            display,
            state: State::new(config, saved),
            began: Instant::now(),
            dial: Dial::default(),
            link: Link::Waiting(Duration::ZERO),
            ends: BTreeMap::new(),
            abandoned: false,
        }
    }

    pub(in super::super) async fn run(mut self, mut inputs: mpsc::UnboundedReceiver<Input>) {
        loop {
            self.turn();
            if self.abandoned && !self.display.is_followed() && self.state.publishers() == 0 {
                return self.leave().await;
            }
            let wait = self.wait();
            tokio::select! {
                input = inputs.recv() => {
                    let mut next = input;
                    while let Some(input) = next {
                        self.take(input);
                        next = inputs.try_recv().ok();
                    }
                }
                moved = self.link.moved() => self.moved(moved.map_err(|error| error.to_string())),
                () = sleep(wait) => {}
            }
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn wait(&self) -> Duration {
        let link = match self.link {
            Link::Waiting(until) => Some(until),
            _ => None,
        };
        let now = self.now();
        let check = self.abandoned.then_some(now + ABANDONED_CHECK);
        let deadlines = [
            link,
            check,
            self.display.deadline(),
            self.state.next_deadline(),
        ];
        let next = deadlines.into_iter().flatten().min();
        next.map_or(Duration::from_secs(3600), |at| at.saturating_sub(now))
    }

    fn take(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Register {
                id,
                service,
                wanted,
            } => self.state.register(id, &service, wanted, now),
            Input::Unregister { id, tell } => {
                if let Some(tell) = tell {
                    self.ends.insert(id.clone(), tell);
                }
                self.state.unregister(&id, now);
            }
            Input::Servers(servers) => self.told_servers(servers),
            Input::Dialed(addr, Ok(stream)) => {
                self.link = Link::Connected(Connection::new(addr, stream));
                self.state.opened(now);
            }
            Input::Dialed(addr, Err(reason)) => self.not_reached(addr, reason),
            Input::Read(service, number, providers, unreadable) => {
                self.display.read(&service, number, providers, unreadable);
            }
            Input::SnapshotWritten(result) => self.display.saved(result),
            Input::Abandoned => self.abandoned = true,
            // Of the other kind of registry.
            Input::Connection(..)
            | Input::Pushed(..)
            | Input::PushRefused(_)
            | Input::Answered(..) => {}
        }
    }

    /// Carries out what follows from what came and from the time that passed.
    fn turn(&mut self) {
        let now = self.now();
        if let Err(error) = self.state.advance(now) {
            self.lost(error.to_string());
        }
        if let Link::Waiting(until) = self.link
            && until <= now
        {
            self.step();
        }
        for packet in self.state.packets() {
            if let Link::Connected(connection) = &mut self.link {
                packet.write(connection.unsent());
            }
        }
        for shown in self.state.shown() {
            self.display.show(shown);
        }
        for event in self.state.events() {
            self.display.happened(&event);
        }
        for (id, told) in self.state.ended() {
            if let Some(tell) = self.ends.remove(&id) {
                let _ = tell.send(told);
            }
        }
        self.display.save(self.state.lists(), now);
    }

    fn step(&mut self) {
        let inputs = self.inputs.clone();
        match self.dial.step() {
            Step::Ask => {
                let servers = self.servers.clone();
                tokio::task::spawn_local(async move {
                    let names = servers.iter().map(String::as_str).collect();
                    let _ = inputs.send(Input::Servers(resolve(names).await));
                });
                self.link = Link::Asking;
            }
            Step::Connect(addr) => {
                tokio::task::spawn_local(async move {
                    let dialed = timeout(CONNECT_TIMEOUT, TcpStream::connect(addr)).await;
                    let dialed = dialed.unwrap_or_else(|late| Err(late.into()));
                    let dialed = dialed.and_then(|stream| {
                        stream.set_nodelay(true)?;
                        Ok(stream)
                    });
                    let dialed = dialed.map_err(|error| error.to_string());
                    let _ = inputs.send(Input::Dialed(addr, dialed));
                });
                self.link = Link::Dialing;
            }
        }
    }

    fn told_servers(&mut self, servers: Result<Vec<SocketAddr>, String>) {
        let servers = servers.unwrap_or_else(|reason| {
            self.display.happened(&RegistryEvent::NoServers { reason });
            Vec::new()
        });
        let wait = if servers.is_empty() {
            self.dial.failed(random())
        } else {
            Duration::ZERO
        };
        self.dial.told(servers, random());
        self.link = Link::Waiting(self.now() + wait);
    }

    fn not_reached(&mut self, addr: SocketAddr, reason: String) {
        self.display
            .happened(&RegistryEvent::ConnectFailed { addr, reason });
        let wait = self.dial.failed(random());
        self.link = Link::Waiting(self.now() + wait);
    }

    /// Something has come, or the connection has ended.
    fn moved(&mut self, moved: Result<(), String>) {
        let now = self.now();
        let Link::Connected(connection) = &mut self.link else {
            return;
        };
        let was_open = self.state.is_open();
        let state = &mut self.state;
        let read = moved.and_then(|()| {
            connection.packets(|packet| {
                state
                    .received(packet, now)
                    .map_err(|error| error.to_string())
            })
        });
        if !was_open && self.state.is_open() {
            let addr = connection.addr;
            self.dial.connected();
            self.display.happened(&RegistryEvent::Connected { addr });
        }
        if let Err(reason) = read {
            self.lost(reason);
        }
    }

    fn lost(&mut self, reason: String) {
        let Link::Connected(connection) = &self.link else {
            return;
        };
        let (addr, was_open) = (connection.addr, self.state.is_open());
        self.state.closed();
        if !was_open {
            return self.not_reached(addr, format!("no session: {reason}"));
        }
        self.display.happened(&RegistryEvent::Lost { addr, reason });
        let wait = self.dial.lost(addr, random());
        self.link = Link::Waiting(self.now() + wait);
    }

    /// Ends the session, so that nothing waits for its time to be up.
    async fn leave(mut self) {
        self.state.close();
        self.turn();
        let ended = async { while self.link.moved().await.is_ok() {} };
        if self.state.is_open() {
            let _ = timeout(LEAVE_TIMEOUT, ended).await;
        }
    }
}

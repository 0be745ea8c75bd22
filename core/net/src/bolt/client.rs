use std::cell::RefCell;
use std::future::poll_fn;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::peer::{Command, PeerShared, PeerState};
use super::session::{BoltSession, Heartbeats, Mailbox};
use super::{CallError, ClientOptions, Handler, Peer, opening};
use crate::connection::{Connection, Shared};
use crate::driver::Driver;
use crate::stats::Stats;
use crate::stream::Stream;
use crate::{CloseReason, Workers};

/// What becomes of a client's connection.
#[derive(Clone, Debug)]
pub enum ClientEvent {
    /// Connected.
    Connected(SocketAddr),
    /// An attempt failed.
    ConnectFailed(SocketAddr, String),
    /// A connection ended.
    Closed(SocketAddr, String),
}

/// Is told of every [`ClientEvent`], on a worker thread: it must not block.
pub type ClientEvents = Arc<dyn Fn(&ClientEvent) + Send + Sync>;

/// Connections to one address that are made again when they end. Dropping it closes them.
pub struct Client {
    peers: Vec<Peer>,
    next: AtomicUsize,
    stats: Arc<Stats>,
}

impl Client {
    /// Starts connecting to `addr`, or waits for the first call when lazy. Returns at once.
    ///
    /// # Errors
    /// When the threads that hold connections cannot be started.
    pub fn connect(addr: SocketAddr, options: ClientOptions) -> io::Result<Self> {
        static NEXT_WORKER: AtomicUsize = AtomicUsize::new(0);
        let workers = Workers::shared()?;
        let next = || NEXT_WORKER.fetch_add(1, Relaxed) % workers.len();
        Ok(Self::connect_with(workers, next, addr, options))
    }

    /// The same, with all connections on one worker: for who calls from that worker and answers there.
    pub fn connect_on(
        workers: &Workers,
        worker: usize,
        addr: SocketAddr,
        options: ClientOptions,
    ) -> Self {
        Self::connect_with(workers, || worker, addr, options)
    }

    fn connect_with(
        workers: &Workers,
        next_worker: impl Fn() -> usize,
        addr: SocketAddr,
        options: ClientOptions,
    ) -> Self {
        let shared = Arc::new(Shared {
            in_flight_max: options.limits.in_flight_max,
            ..Shared::default()
        });
        let stats = shared.stats.clone();
        let peers = (0..options.connections.max(1))
            .map(|_| {
                let (commands, mailbox) = mpsc::unbounded_channel();
                let state = PeerState::Connecting;
                let peer = Peer {
                    shared: PeerShared::new(addr, state, options.session.calls_max),
                    commands,
                };
                let slot = (peer.shared.clone(), peer.commands.downgrade());
                let (options, shared) = (options.clone(), shared.clone());
                workers.spawn(next_worker(), move || async move {
                    let handler = options.handler.as_ref().map(|make| make());
                    let slot = Slot {
                        peer: slot.0,
                        commands: slot.1,
                        mailbox: Rc::new(RefCell::new(mailbox)),
                        options,
                        shared,
                        handler,
                    };
                    slot.run().await;
                });
                peer
            })
            .collect();
        Self {
            peers,
            next: AtomicUsize::new(0),
            stats,
        }
    }

    /// The connection for the next call: the next one round, connected ones before others.
    pub fn peer(&self) -> &Peer {
        let first = self.next.fetch_add(1, Relaxed);
        let mut round =
            (0..self.peers.len()).map(|step| &self.peers[(first + step) % self.peers.len()]);
        round
            .find(|peer| peer.state() == PeerState::Connected)
            .unwrap_or(&self.peers[first % self.peers.len()])
    }

    /// All connections.
    pub fn peers(&self) -> &[Peer] {
        &self.peers
    }

    /// The best state of its connections.
    pub fn state(&self) -> PeerState {
        let states = || self.peers.iter().map(Peer::state);
        [PeerState::Connected, PeerState::Connecting, PeerState::Down]
            .into_iter()
            .find(|&wanted| states().any(|state| state == wanted))
            .unwrap_or(PeerState::Closed)
    }

    /// The counters of these connections.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        for peer in &self.peers {
            peer.close();
        }
    }
}

/// One connection of a client through all its lives.
struct Slot {
    peer: Arc<PeerShared>,
    commands: mpsc::WeakUnboundedSender<Command>,
    mailbox: Mailbox,
    options: ClientOptions,
    shared: Arc<Shared>,
    handler: Option<Rc<dyn Handler>>,
}

impl Slot {
    async fn run(self) {
        if self.options.lazy && !self.wait_for_command().await {
            return self.peer.set_state(PeerState::Closed);
        }
        let mut wait = self.options.reconnect.0;
        loop {
            self.peer.set_state(PeerState::Connecting);
            let failure = match self.connect().await {
                Ok(stream) => {
                    let began = Instant::now();
                    match self.live(stream).await {
                        None => break,
                        Some(reason) => {
                            self.tell(&ClientEvent::Closed(self.peer.addr, reason.clone()));
                            // A server that accepts and closes at once is no better than one that does not accept.
                            if began.elapsed() > self.options.connect_timeout {
                                wait = self.options.reconnect.0;
                                continue;
                            }
                            reason
                        }
                    }
                }
                Err(reason) => {
                    Stats::add(&self.shared.stats.connect_failed, 1);
                    self.tell(&ClientEvent::ConnectFailed(self.peer.addr, reason.clone()));
                    reason
                }
            };
            self.peer.set_state(PeerState::Down);
            if !self
                .fail_calls_until(Instant::now() + jittered(wait), &failure)
                .await
            {
                break;
            }
            wait = (wait * 2).min(self.options.reconnect.1);
        }
        self.peer.set_state(PeerState::Closed);
    }

    fn tell(&self, event: &ClientEvent) {
        tracing::debug!(?event, "client connection");
        if let Some(events) = &self.options.events {
            events(event);
        }
    }

    /// Waits until something is in the mailbox, without taking it; false when no handle is left.
    async fn wait_for_command(&self) -> bool {
        // A receiver cannot be peeked at with a waker, so the command goes round once.
        let command = poll_fn(|cx| self.mailbox.borrow_mut().poll_recv(cx)).await;
        match (command, self.commands.upgrade()) {
            (Some(command), Some(commands)) => commands.send(command).is_ok(),
            _ => false,
        }
    }

    async fn connect(&self) -> Result<Stream, String> {
        let attempt = async {
            let stream = TcpStream::connect(self.peer.addr).await?;
            stream.set_nodelay(true)?;
            let mut stream = match &self.options.tls {
                None => Stream::Plain(stream),
                Some(tls) => {
                    let stream = tls
                        .connector
                        .connect(tls.server_name.clone(), stream)
                        .await?;
                    Stream::Tls(Box::new(stream.into()))
                }
            };
            if let Some(make) = &self.options.opening {
                opening::run(&mut stream, &mut *make()).await?;
            }
            Ok::<_, io::Error>(stream)
        };
        let limit = self.options.connect_timeout;
        match timeout(limit, attempt).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no connection within {limit:?}")),
        }
    }

    /// Runs one connection to its end; the reason, or `None` when it was closed from this side for good.
    async fn live(&self, stream: Stream) -> Option<String> {
        let commands = self.commands.upgrade()?;
        let connection = Connection::new(self.peer.addr, self.options.limits, self.shared.clone());
        let rule = Heartbeats {
            interval: self.options.heartbeat_interval,
            timeout: self.options.heartbeat_timeout,
            failures_max: self.options.heartbeat_failures_max,
        };
        let peer = Peer {
            shared: self.peer.clone(),
            commands,
        };
        let session = BoltSession::client(
            connection.clone(),
            self.handler.clone(),
            self.options.session,
            &peer,
            self.mailbox.clone(),
            rule,
        );
        drop(peer);
        self.peer.set_state(PeerState::Connected);
        Stats::add(&self.shared.stats.connections_opened, 1);
        self.tell(&ClientEvent::Connected(self.peer.addr));
        match Driver::new(stream, connection, Box::new(session)).await {
            CloseReason::Requested => None,
            reason => Some(reason.to_string()),
        }
    }

    /// Answers calls with the reason until `end`; false when the client is closed.
    async fn fail_calls_until(&self, end: Instant, reason: &str) -> bool {
        let fail = async {
            loop {
                match poll_fn(|cx| self.mailbox.borrow_mut().poll_recv(cx)).await {
                    Some(Command::Call { reply, .. }) => {
                        let reason = reason.to_owned();
                        let _ = reply.send(Err(CallError::NotConnected {
                            addr: self.peer.addr,
                            reason,
                        }));
                    }
                    Some(Command::Oneway { .. }) => {
                        self.peer.oneways.fetch_sub(1, Relaxed);
                        Stats::add(&self.shared.stats.oneways_dropped, 1);
                    }
                    Some(Command::Forget { .. }) => {}
                    Some(Command::Close) | None => return,
                }
            }
        };
        tokio::select! {
            () = fail => false,
            () = sleep_until(end) => true,
        }
    }
}

/// Between half of `wait` and all of it, so that clients of a server that went down do not come back in step.
fn jittered(wait: Duration) -> Duration {
    // A fresh hasher is seeded by the system: random enough to spread clients.
    let share = (RandomState::new().build_hasher().finish() >> 48) as u16;
    wait / 2 + wait.mul_f64(f64::from(share) / f64::from(u16::MAX) / 2.0)
}

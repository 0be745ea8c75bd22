use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use crate::connection::{ConnectionLimits, Shared};
use crate::room::Room;
use crate::session::Protocol;
use crate::stats::Stats;
use crate::workers::LoadGuard;
use crate::{ServerTls, Workers};

/// How a [`Server`] listens and what it allows.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Bounds of each connection.
    pub limits: ConnectionLimits,
    /// Connections of the whole server; one more is closed at once.
    pub connections_max: usize,
    /// Requests of the whole server whose handler has not finished; one more is answered busy.
    pub in_flight_max: usize,
    /// Every connection must speak TLS.
    pub tls: Option<ServerTls>,
    /// A TLS handshake, and the first byte of a protocol, must come within this.
    pub handshake_timeout: Duration,
    /// Each worker has a listening socket of its own and the kernel spreads connections by hash (Linux), instead of
    /// one acceptor that picks the least loaded worker.
    pub reuse_port: bool,
    /// Threads; the number of cores when `None`.
    pub workers: Option<usize>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            limits: ConnectionLimits::default(),
            connections_max: 20_000,
            in_flight_max: 100_000,
            tls: None,
            handshake_timeout: Duration::from_secs(10),
            reuse_port: false,
            workers: None,
        }
    }
}

/// A listening port that serves one or more protocols, told apart by the first bytes of a connection.
#[derive(Debug)]
pub struct Server {
    local_addr: SocketAddr,
    shared: Arc<Shared>,
    connections: Arc<AtomicUsize>,
    phase: watch::Sender<Phase>,
    /// Closed when every part of the server has ended.
    ended: mpsc::Receiver<()>,
    workers: Workers,
}

/// What a server is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Phase {
    Serving,
    /// No new connections and requests; connections end when they have nothing left to do, at `deadline` in any case.
    Draining {
        deadline: Instant,
    },
}

impl Server {
    /// Listens on `addr` and serves `protocols`.
    ///
    /// # Errors
    /// When the address cannot be bound or a thread cannot be made.
    pub fn start(
        addr: SocketAddr,
        protocols: Vec<Arc<dyn Protocol>>,
        options: ServerOptions,
    ) -> io::Result<Self> {
        let workers = Workers::start("diwan-net", options.workers)?;
        let first = listen(addr, options.reuse_port)?;
        let local_addr = first.local_addr()?;
        let shared = Arc::new(Shared {
            in_flight_max: options.in_flight_max,
            ..Shared::default()
        });
        let connections = Arc::new(AtomicUsize::new(0));
        let (phase, phase_seen) = watch::channel(Phase::Serving);
        let (ended_sender, ended) = mpsc::channel(1);
        let protocols: Arc<[Arc<dyn Protocol>]> = protocols.into();

        let mut listeners = vec![first];
        if options.reuse_port {
            for _ in 1..workers.len() {
                listeners.push(listen(local_addr, true)?);
            }
        }
        let mut to_workers = Vec::new();
        for index in 0..workers.len() {
            let (sender, accepted) = mpsc::unbounded_channel();
            to_workers.push(sender);
            let (protocols, options) = (protocols.clone(), options.clone());
            let (shared, phase, ended) = (shared.clone(), phase_seen.clone(), ended_sender.clone());
            workers.spawn(index, move || async move {
                let room = Room::new(&protocols, shared, options);
                room.run(accepted, phase).await;
                drop(ended);
            });
        }
        for (index, listener) in listeners.into_iter().enumerate() {
            let acceptor = Acceptor {
                fixed_worker: options.reuse_port.then_some(index),
                to_workers: to_workers.clone(),
                workers: workers.clone(),
                connections: connections.clone(),
                connections_max: options.connections_max,
                stats: shared.stats.clone(),
            };
            let phase = phase_seen.clone();
            workers.spawn(index, move || acceptor.run(listener, phase));
        }
        Ok(Self {
            local_addr,
            shared,
            connections,
            phase,
            ended,
            workers,
        })
    }

    /// The address it listens on, with the port the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The counters of this server.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.shared.stats
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// Requests whose handler has not finished.
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Relaxed)
    }

    /// Worker threads of this server.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Stops: no new connection; a request that has not begun is answered busy, so that its client goes elsewhere;
    /// what has begun is finished and answered, for at most `within`. Returns when every connection is closed.
    pub async fn stop(mut self, within: Duration) {
        self.shared.draining.store(true, Relaxed);
        let deadline = Instant::now() + within;
        let _ = self.phase.send(Phase::Draining { deadline });
        while self.ended.recv().await.is_some() {}
    }
}

fn listen(addr: SocketAddr, reuse_port: bool) -> io::Result<std::net::TcpListener> {
    const BACKLOG: i32 = 1024;
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    #[cfg(target_os = "linux")]
    socket.set_reuse_port(reuse_port)?;
    #[cfg(not(target_os = "linux"))]
    let _ = reuse_port;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A connection on its way to its worker.
pub(crate) struct Accepted {
    pub(crate) stream: StdTcpStream,
    pub(crate) remote: SocketAddr,
    /// Held while the connection lives.
    pub(crate) guards: (Counted, LoadGuard),
}

/// One connection of the server's limit, given back on drop.
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

struct Acceptor {
    fixed_worker: Option<usize>,
    to_workers: Vec<mpsc::UnboundedSender<Accepted>>,
    workers: Workers,
    connections: Arc<AtomicUsize>,
    connections_max: usize,
    stats: Arc<Stats>,
}

impl Acceptor {
    async fn run(self, listener: std::net::TcpListener, mut phase: watch::Receiver<Phase>) {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "cannot listen"),
        };
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = phase.changed() => return,
            };
            match accepted.and_then(|(stream, remote)| Ok((stream.into_std()?, remote))) {
                Ok((stream, remote)) => self.hand_over(stream, remote),
                Err(error) => {
                    // Out of file descriptors, most often: the ones in use must end first.
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    fn hand_over(&self, stream: StdTcpStream, remote: SocketAddr) {
        let counted = Counted(self.connections.clone());
        if self.connections.fetch_add(1, Relaxed) >= self.connections_max {
            Stats::add(&self.stats.connections_refused, 1);
            tracing::warn!(%remote, limit = self.connections_max, "connection refused: too many");
            return;
        }
        let (index, load) = match self.fixed_worker {
            Some(index) => (index, self.workers.load_guard(index)),
            None => self.workers.least_loaded(),
        };
        // A send fails when the worker's part has ended: the server is stopping and the socket closes.
        let _ = self.to_workers[index].send(Accepted {
            stream,
            remote,
            guards: (counted, load),
        });
    }
}

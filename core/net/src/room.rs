use std::cell::{Cell, RefCell};
use std::net::TcpStream as StdTcpStream;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::connection::{Connection, Shared};
use crate::driver::Driver;
use crate::server::{Accepted, Phase};
use crate::session::{Protocol, ProtocolWorker, Received, Recognition, Session};
use crate::stats::Stats;
use crate::stream::Stream;
use crate::{CloseReason, ServerOptions};

/// A connection from which nothing came for so long is taken to have nothing on its way.
const QUIET: Duration = Duration::from_millis(60);
/// No protocol needs more bytes to be told from the others.
const RECOGNITION_BYTES_MAX: usize = 64;

/// The part of a server that lives on one worker.
pub(crate) struct Room {
    protocols: Vec<(Arc<dyn Protocol>, Box<dyn ProtocolWorker>)>,
    connections: RefCell<Vec<Weak<Connection>>>,
    live: Cell<usize>,
    shared: Arc<Shared>,
    options: ServerOptions,
}

impl Room {
    pub(crate) fn new(
        protocols: &[Arc<dyn Protocol>],
        shared: Arc<Shared>,
        options: ServerOptions,
    ) -> Rc<Self> {
        Rc::new(Self {
            protocols: protocols
                .iter()
                .map(|protocol| (protocol.clone(), protocol.worker()))
                .collect(),
            connections: RefCell::default(),
            live: Cell::new(0),
            shared,
            options,
        })
    }

    /// Serves what is accepted until the server stops, then lets every connection come to its end.
    pub(crate) async fn run(
        self: Rc<Self>,
        mut accepted: mpsc::UnboundedReceiver<Accepted>,
        mut phase: watch::Receiver<Phase>,
    ) {
        loop {
            let next = tokio::select! {
                next = accepted.recv() => next,
                _ = phase.changed() => None,
            };
            let Some(next) = next else { break };
            let room = self.clone();
            self.live.set(self.live.get() + 1);
            tokio::task::spawn_local(async move {
                room.serve(next).await;
                room.live.set(room.live.get() - 1);
            });
        }
        let deadline = match *phase.borrow() {
            Phase::Draining { deadline } => deadline,
            // The server was dropped without a stop.
            Phase::Serving => Instant::now(),
        };
        self.drain(deadline).await;
    }

    async fn drain(&self, deadline: Instant) {
        while self.live.get() > 0 {
            let now = Instant::now();
            for connection in self.connections.borrow().iter().filter_map(Weak::upgrade) {
                let quiet = connection.may_end_any_time() || now >= connection.last_read() + QUIET;
                if quiet && connection.in_flight() == 0 || now >= deadline {
                    connection.close(CloseReason::Drained);
                }
            }
            if now >= deadline + 20 * QUIET {
                let connections = self.live.get();
                return tracing::warn!(connections, "peers that do not read are left behind");
            }
            sleep(QUIET / 10).await;
        }
    }

    async fn serve(self: &Rc<Self>, accepted: Accepted) {
        let Accepted {
            stream,
            remote,
            guards: _guards,
        } = accepted;
        let stats = &self.shared.stats;
        Stats::add(&stats.connections_opened, 1);
        let reason = match self.prepare(stream).await {
            Err(reason) => {
                Stats::add(&stats.connections_closed, 1);
                match reason {
                    CloseReason::Tls(_) => Stats::add(&stats.tls_failed, 1),
                    _ => Stats::add(&stats.setup_failed, 1),
                }
                reason
            }
            Ok(stream) => {
                let connection = Connection::new(remote, self.options.limits, self.shared.clone());
                self.remember(&connection);
                let session = Box::new(Sniffer {
                    room: self.clone(),
                    decide_by: connection.now() + self.options.handshake_timeout,
                    connection: connection.clone(),
                    session: None,
                });
                Driver::new(stream, connection, session).await
            }
        };
        match reason {
            CloseReason::Peer
            | CloseReason::Drained
            | CloseReason::Requested
            | CloseReason::Io(_) => {
                tracing::debug!(%remote, %reason, "connection ended");
            }
            _ => tracing::warn!(%remote, %reason, "connection ended"),
        }
    }

    async fn prepare(&self, stream: StdTcpStream) -> Result<Stream, CloseReason> {
        stream.set_nodelay(true)?;
        let stream = TcpStream::from_std(stream)?;
        let Some(tls) = &self.options.tls else {
            return Ok(Stream::Plain(stream));
        };
        match timeout(self.options.handshake_timeout, tls.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream.into()))),
            Ok(Err(error)) => Err(CloseReason::Tls(error.to_string())),
            Err(_) => Err(CloseReason::Tls(format!(
                "no handshake within {:?}",
                self.options.handshake_timeout
            ))),
        }
    }

    fn remember(&self, connection: &Rc<Connection>) {
        let mut connections = self.connections.borrow_mut();
        // Swept when it would grow, so that it stays below twice the live connections.
        if connections.len() == connections.capacity() {
            connections.retain(|connection| connection.strong_count() > 0);
        }
        connections.push(Rc::downgrade(connection));
    }
}

/// Decides by the first bytes which protocol a connection speaks, then stands aside.
struct Sniffer {
    room: Rc<Room>,
    connection: Rc<Connection>,
    decide_by: Instant,
    session: Option<Box<dyn Session>>,
}

impl Session for Sniffer {
    fn receive(&mut self, input: &[u8]) -> Result<Received, CloseReason> {
        if let Some(session) = &mut self.session {
            return session.receive(input);
        }
        let mut undecided = false;
        for (protocol, worker) in &self.room.protocols {
            match protocol.recognize(input) {
                Recognition::Yes => {
                    let session = self.session.insert(worker.open(self.connection.clone()));
                    return session.receive(input);
                }
                Recognition::More => undecided = true,
                Recognition::No => {}
            }
        }
        if undecided && input.len() < RECOGNITION_BYTES_MAX {
            return Ok(Received {
                consumed: 0,
                wanted: input.len() + 1,
                skip: 0,
            });
        }
        Err(CloseReason::UnknownProtocol(
            input[..input.len().min(8)].to_vec(),
        ))
    }

    fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<Option<Instant>, CloseReason> {
        match &mut self.session {
            Some(session) => session.poll(cx, now),
            None if now >= self.decide_by => {
                Err(CloseReason::SlowFrame(self.room.options.handshake_timeout))
            }
            None => Ok(Some(self.decide_by)),
        }
    }

    fn finish(&mut self) {
        if let Some(session) = &mut self.session {
            session.finish();
        }
    }

    fn has_calls_out(&self) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| session.has_calls_out())
    }

    fn closed(&mut self, reason: &CloseReason) {
        if let Some(session) = &mut self.session {
            session.closed(reason);
        }
    }
}

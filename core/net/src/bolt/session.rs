use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use diwan_bolt::{
    Command as Code, Decoded, Frame, FrameWriter, Head, Kind, RefusedFrame, Status, decode,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::call::PeerSource;
use super::peer::{Command, PeerShared, PeerState, Reply};
use super::{CallError, Handler, Incoming, OwnedFrame, Peer, Responder, SessionOptions};
use crate::stats::Stats;
use crate::{CloseReason, Connection, Received, Session};

/// Commands from other threads, shared between the connections that follow each other on one client slot.
pub(super) type Mailbox = Rc<RefCell<mpsc::UnboundedReceiver<Command>>>;

/// Heartbeats that a client sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heartbeats {
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) failures_max: u32,
}

/// One Bolt connection of either end.
pub(super) struct BoltSession {
    connection: Rc<Connection>,
    handler: Option<Rc<dyn Handler>>,
    options: SessionOptions,
    /// Outgoing calls; a server's connection has none until a handler asks for its peer.
    calls: Option<Calls>,
    heartbeats: Option<HeartbeatState>,
    /// Requests that came while the server is stopping, and when the first of them did.
    held: Vec<Responder>,
    held_since: Option<Instant>,
}

/// Busy answers of a stopping server are held back for at most so long.
const HOLD: Duration = Duration::from_secs(1);

struct Calls {
    shared: Arc<PeerShared>,
    commands: mpsc::WeakUnboundedSender<Command>,
    mailbox: Mailbox,
    pending: HashMap<u32, PendingCall>,
    /// Deadlines of calls, answered ones among them until they come up or are too many.
    deadlines: BinaryHeap<Reverse<(Instant, u32)>>,
}

struct PendingCall {
    reply: Reply,
    timeout: Duration,
}

struct HeartbeatState {
    rule: Heartbeats,
    /// Id and deadline of the heartbeat that is under way.
    waiting: Option<(u32, Instant)>,
    failures: u32,
    next: Instant,
}

impl BoltSession {
    pub(super) fn server(
        connection: Rc<Connection>,
        handler: Rc<dyn Handler>,
        options: SessionOptions,
    ) -> Self {
        Self {
            connection,
            handler: Some(handler),
            options,
            calls: None,
            heartbeats: None,
            held: Vec::new(),
            held_since: None,
        }
    }

    pub(super) fn client(
        connection: Rc<Connection>,
        handler: Option<Rc<dyn Handler>>,
        options: SessionOptions,
        peer: &Peer,
        mailbox: Mailbox,
        rule: Heartbeats,
    ) -> Self {
        let next = connection.now() + rule.interval;
        Self {
            connection,
            handler,
            options,
            calls: Some(Calls::new(peer, mailbox)),
            heartbeats: Some(HeartbeatState {
                rule,
                waiting: None,
                failures: 0,
                next,
            }),
            held: Vec::new(),
            held_since: None,
        }
    }

    fn frame(&mut self, frame: Frame<'_>) {
        match (frame.head.kind, frame.head.command) {
            (Kind::Response { status }, command) => self.response(&frame, status, command),
            (_, Code::Heartbeat) => {
                Responder::new(self.connection.clone(), frame.head).send_status(Status::Success);
            }
            _ => self.request(frame),
        }
    }

    fn request(&mut self, frame: Frame<'_>) {
        let stats = self.connection.stats();
        let mut responder = Responder::new(self.connection.clone(), frame.head);
        if self.connection.is_draining() && responder.wants_response() {
            // To be refused with the one status on which the original's client goes to another server. It does so at
            // once, and would come back here by chance: so the refusal is held until the connection can close with
            // it, when every caller of the connection waits and nothing is on its way.
            Stats::add(&stats.requests_draining, 1);
            self.held.push(responder);
            self.held_since.get_or_insert(self.connection.now());
        } else if !self.connection.has_room() {
            responder.send_busy();
        } else if frame.head.command != Code::Request {
            Stats::add(&stats.requests_unserved, 1);
            responder.send_status(Status::NoProcessor);
        } else if let Some(handler) = self.handler.clone() {
            handler.request(Incoming {
                frame,
                responder,
                session: self,
            });
        } else {
            Stats::add(&stats.requests_unserved, 1);
            responder.send_status(Status::NoProcessor);
        }
    }

    fn response(&mut self, frame: &Frame<'_>, status: u16, command: Code) {
        if command == Code::Heartbeat
            && let Some(heartbeats) = &mut self.heartbeats
            && heartbeats
                .waiting
                .is_some_and(|(id, _)| id == frame.head.id)
        {
            heartbeats.waiting = None;
            if status == Status::Success.code() {
                heartbeats.failures = 0;
            } else {
                heartbeats.failures += 1;
            }
            return;
        }
        match self
            .calls
            .as_mut()
            .and_then(|calls| calls.pending.remove(&frame.head.id))
        {
            Some(call) => {
                let _ = call.reply.send(Ok(OwnedFrame::copy(frame)));
            }
            None => {
                let handler = self.handler.as_ref();
                if !handler.is_some_and(|handler| handler.response(frame)) {
                    Stats::add(&self.connection.stats().responses_unknown, 1);
                }
            }
        }
    }

    /// Answers for a frame that is too large to be read.
    fn refuse(&mut self, refused: RefusedFrame) {
        Stats::add(&self.connection.stats().frames_too_large, 1);
        let (addr, bytes, limit) = (
            self.connection.remote(),
            refused.bytes,
            self.options.frame_bytes_max,
        );
        tracing::warn!(remote = %addr, id = refused.head.id, bytes, limit, "frame refused: too large");
        if refused.head.wants_response() {
            Responder::new(self.connection.clone(), refused.head)
                .send_status(Status::ServerDeserialException);
        } else if matches!(refused.head.kind, Kind::Response { .. })
            && let Some(calls) = &mut self.calls
            && let Some(call) = calls.pending.remove(&refused.head.id)
        {
            let _ = call
                .reply
                .send(Err(CallError::ResponseTooLarge { addr, bytes, limit }));
        }
    }

    fn poll_heartbeats(&mut self, now: Instant) -> Result<Option<Instant>, CloseReason> {
        let Some(state) = &mut self.heartbeats else {
            return Ok(None);
        };
        if let Some((_, deadline)) = state.waiting {
            if now < deadline {
                return Ok(Some(deadline));
            }
            state.waiting = None;
            state.failures += 1;
        }
        if state.failures >= state.rule.failures_max {
            return Err(CloseReason::Heartbeat(state.failures));
        }
        // Bytes that came since are as good as an answer.
        let quiet_until = self.connection.last_read() + state.rule.interval;
        if quiet_until > state.next && state.failures == 0 {
            state.next = quiet_until;
        }
        if now < state.next {
            return Ok(Some(state.next));
        }
        let Some(calls) = &self.calls else {
            return Ok(None);
        };
        let id = calls.shared.next_id();
        self.connection.write(|outbox| {
            // A heartbeat has no parts that could be too long.
            let _ = FrameWriter::begin(outbox.buffer(), Head::heartbeat(id, 1), b"").finish();
        });
        state.waiting = Some((id, now + state.rule.timeout));
        state.next = now + state.rule.interval;
        Ok(Some(now + state.rule.timeout))
    }
}

impl Session for BoltSession {
    fn receive(&mut self, input: &[u8]) -> Result<Received, CloseReason> {
        let mut consumed = 0;
        let mut frames = 0;
        let outcome = loop {
            match decode(&input[consumed..], self.options.frame_bytes_max) {
                Ok(Decoded::Frame { frame, bytes }) => {
                    self.frame(frame);
                    consumed += bytes;
                    frames += 1;
                }
                Ok(Decoded::Incomplete { bytes }) => {
                    break Ok(Received {
                        consumed,
                        wanted: bytes,
                        skip: 0,
                    });
                }
                Ok(Decoded::TooLarge(refused)) => {
                    self.refuse(refused);
                    let here = (input.len() - consumed) as u64;
                    if refused.bytes > here {
                        break Ok(Received {
                            consumed: input.len(),
                            wanted: 0,
                            skip: refused.bytes - here,
                        });
                    }
                    consumed += refused.bytes as usize;
                }
                Err(error) => break Err(CloseReason::Framing(error.to_string())),
            }
        };
        Stats::add(&self.connection.stats().frames_in, frames);
        outcome
    }

    fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<Option<Instant>, CloseReason> {
        let release_at = self.held_since.map(|since| since + HOLD);
        if release_at.is_some_and(|release_at| now >= release_at) {
            self.finish();
        }
        let release_at = self.held_since.and(release_at);
        let Some(calls) = &mut self.calls else {
            return Ok(release_at);
        };
        calls.take_commands(cx, &self.connection);
        let deadline = calls.expire(now, &self.connection);
        let heartbeat = self.poll_heartbeats(now)?;
        Ok([release_at, deadline, heartbeat]
            .into_iter()
            .flatten()
            .min())
    }

    fn finish(&mut self) {
        self.held_since = None;
        for mut responder in self.held.drain(..) {
            responder.send_status(Status::ServerThreadPoolBusy);
        }
    }

    fn has_calls_out(&self) -> bool {
        self.calls
            .as_ref()
            .is_some_and(|calls| !calls.pending.is_empty())
    }

    fn closed(&mut self, reason: &CloseReason) {
        let Some(calls) = &mut self.calls else { return };
        let addr = calls.shared.addr;
        for (_, call) in calls.pending.drain() {
            let _ = call.reply.send(Err(CallError::ConnectionClosed {
                addr,
                reason: reason.to_string(),
            }));
        }
        if self.heartbeats.is_none() {
            // A server's connection does not come back.
            calls.shared.set_state(PeerState::Closed);
            calls.mailbox.borrow_mut().close();
        }
    }
}

impl PeerSource for BoltSession {
    fn peer(&mut self) -> Peer {
        let calls = self.calls.get_or_insert_with(|| {
            let (commands, mailbox) = mpsc::unbounded_channel();
            let shared = PeerShared::new(
                self.connection.remote(),
                PeerState::Connected,
                self.options.calls_max,
            );
            Calls::new(&Peer { shared, commands }, Rc::new(RefCell::new(mailbox)))
        });
        let commands = calls.commands.upgrade().unwrap_or_else(|| {
            // Every earlier handle was dropped, and the mailbox with them.
            let (commands, mailbox) = mpsc::unbounded_channel();
            calls.commands = commands.downgrade();
            calls.mailbox = Rc::new(RefCell::new(mailbox));
            commands
        });
        Peer {
            shared: calls.shared.clone(),
            commands,
        }
    }
}

impl Calls {
    fn new(peer: &Peer, mailbox: Mailbox) -> Self {
        Self {
            shared: peer.shared.clone(),
            commands: peer.commands.downgrade(),
            mailbox,
            pending: HashMap::new(),
            deadlines: BinaryHeap::new(),
        }
    }

    fn take_commands(&mut self, cx: &mut Context<'_>, connection: &Connection) {
        let mut mailbox = self.mailbox.borrow_mut();
        while let Poll::Ready(command) = mailbox.poll_recv(cx) {
            let waiting = connection.outbox().borrow().bytes();
            let full = waiting > connection.limits.outbox_bytes_max;
            match command {
                Some(Command::Call {
                    id,
                    frame,
                    timeout,
                    deadline,
                    reply,
                }) => {
                    if full {
                        let addr = self.shared.addr;
                        let _ = reply.send(Err(CallError::SendBufferFull {
                            addr,
                            bytes: waiting,
                        }));
                    } else if !reply.is_closed() {
                        // A call that nobody waits for any more is not worth sending.
                        self.pending.insert(id, PendingCall { reply, timeout });
                        self.deadlines.push(Reverse((deadline, id)));
                        connection.write(|outbox| outbox.push(frame));
                    }
                }
                Some(Command::Oneway { frame }) => {
                    self.shared.oneways.fetch_sub(1, Relaxed);
                    if full {
                        Stats::add(&connection.stats().oneways_dropped, 1);
                    } else {
                        connection.write(|outbox| outbox.push(frame));
                    }
                }
                Some(Command::Forget { id }) => {
                    self.pending.remove(&id);
                }
                Some(Command::Close) => {
                    self.shared.set_state(PeerState::Closed);
                    connection.close(CloseReason::Requested);
                    return;
                }
                // No handle is left.
                None => return,
            }
        }
    }

    /// Fails the calls whose time is over; says when the next one's is.
    fn expire(&mut self, now: Instant, connection: &Connection) -> Option<Instant> {
        // Answered calls leave their deadline behind.
        if self.deadlines.len() > 1024 + 2 * self.pending.len() {
            self.deadlines
                .retain(|Reverse((_, id))| self.pending.contains_key(id));
        }
        while let Some(&Reverse((deadline, id))) = self.deadlines.peek() {
            if self.pending.contains_key(&id) && deadline > now {
                return Some(deadline);
            }
            self.deadlines.pop();
            if let Some(call) = self.pending.remove(&id) {
                Stats::add(&connection.stats().calls_timed_out, 1);
                let error = CallError::Timeout {
                    addr: self.shared.addr,
                    timeout: call.timeout,
                };
                let _ = call.reply.send(Err(error));
            }
        }
        None
    }
}

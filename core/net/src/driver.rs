use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::connection::Connection;
use crate::inbox::{Inbox, SCRATCH_BYTES};
use crate::stats::Stats;
use crate::stream::Stream;
use crate::{CloseReason, Session};

/// Reads of one turn before other connections of the worker get theirs.
const READS_PER_TURN: usize = 16;
/// A frame's time to arrive grows by a second for each so many bytes.
const FRAME_BYTES_PER_S_MIN: u64 = 64 << 10;

thread_local! {
    /// Every connection of a worker reads into this; what is left of a frame moves to its connection.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Moves bytes between a socket and its session until the connection ends.
pub(crate) struct Driver {
    stream: Stream,
    connection: Rc<Connection>,
    session: Box<dyn Session>,
    inbox: Inbox,
    peer_closed: bool,
    last_written: Instant,
    frame_began: Option<Instant>,
    write_blocked: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Why the connection ends, and until when it is read from after its last byte was written.
    lingering: Option<(CloseReason, Instant)>,
}

/// A connection closed from this side is read from for so long at most, until the peer closes, too: bytes that nobody
/// reads would make the kernel take back what was written last.
const LINGER: Duration = Duration::from_millis(500);

impl Driver {
    pub(crate) fn new(
        stream: Stream,
        connection: Rc<Connection>,
        session: Box<dyn Session>,
    ) -> Self {
        let now = connection.now();
        Self {
            stream,
            connection,
            session,
            inbox: Inbox::default(),
            peer_closed: false,
            last_written: now,
            frame_began: None,
            write_blocked: None,
            timer: None,
            lingering: None,
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<CloseReason> {
        if self.lingering.is_some() {
            return self.linger(cx, now);
        }
        for _ in 0..READS_PER_TURN {
            let session_deadline = match self.session.poll(cx, now) {
                Ok(deadline) => deadline,
                Err(reason) => return Poll::Ready(reason),
            };
            if self.connection.close_requested() {
                // What came before this moment still gets its answer.
                for _ in 0..READS_PER_TURN {
                    if !matches!(self.read(cx), Poll::Ready(Ok(1..))) {
                        break;
                    }
                }
                self.session.finish();
            }
            let flushed = match self.flush(cx, now) {
                Ok(flushed) => flushed,
                Err(reason) => return Poll::Ready(reason),
            };
            if flushed && let Some(reason) = self.is_finished() {
                self.lingering = Some((reason, now + LINGER));
                return self.linger(cx, now);
            }
            if self.peer_closed || !self.may_read() {
                return self.sleep(cx, now, session_deadline);
            }
            match self.read(cx) {
                Poll::Pending => return self.sleep(cx, now, session_deadline),
                Poll::Ready(Err(reason)) => {
                    // What was answered before framing was lost still goes out.
                    let _ = self.flush(cx, now);
                    return Poll::Ready(reason);
                }
                Poll::Ready(Ok(0)) => self.peer_closed = true,
                Poll::Ready(Ok(count)) => {
                    self.connection.has_read();
                    Stats::add(&self.connection.stats().bytes_in, count as u64);
                    if !self.inbox.is_inside_frame() {
                        self.frame_began = None;
                    } else if self.frame_began.is_none() || self.inbox.partial_bytes() < count {
                        // Either nothing was there before, or whole frames came since: this one is new.
                        self.frame_began = Some(now);
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Closes the writing side and throws away what still comes.
    fn linger(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<CloseReason> {
        let Some((_, until)) = self.lingering else {
            return Poll::Pending;
        };
        let closed = Pin::new(&mut self.stream).poll_shutdown(cx);
        let mut over = self.peer_closed || now >= until || matches!(closed, Poll::Ready(Err(_)));
        while !over {
            let mut waste = [0; 4096];
            let mut buffer = ReadBuf::new(&mut waste);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(outcome) => over = outcome.is_err() || buffer.filled().is_empty(),
            }
        }
        if !over && self.wake_at(cx, now, until).is_pending() {
            return Poll::Pending;
        }
        let reason = self.lingering.take().map(|(reason, _)| reason);
        Poll::Ready(reason.unwrap_or(CloseReason::Requested))
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, CloseReason>> {
        SCRATCH.with_borrow_mut(|scratch| {
            if scratch.is_empty() {
                scratch.resize(SCRATCH_BYTES, 0);
            }
            self.inbox
                .poll_receive(&mut self.stream, cx, scratch, &mut *self.session)
        })
    }

    fn may_read(&self) -> bool {
        !self.connection.close_requested()
            && self.connection.outbox().borrow().bytes() <= self.connection.limits.outbox_bytes_max
    }

    fn flush(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, CloseReason> {
        let mut outbox = self.connection.outbox().borrow_mut();
        if outbox.is_empty() {
            return Ok(true);
        }
        let mut written = 0;
        let outcome = outbox.poll_write(&mut self.stream, cx, &mut written);
        if written > 0 {
            self.last_written = now;
            self.write_blocked = None;
            Stats::add(&self.connection.stats().bytes_out, written as u64);
        }
        match outcome {
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(error)) => Err(error.into()),
            Poll::Pending => {
                self.write_blocked.get_or_insert(now);
                Ok(false)
            }
        }
    }

    /// Whether the connection has come to its end, everything being written.
    fn is_finished(&self) -> Option<CloseReason> {
        if let Some(reason) = self.connection.take_close() {
            return Some(reason);
        }
        let idle = self.connection.in_flight() == 0;
        if self.peer_closed && idle {
            return Some(match self.inbox.partial_bytes() {
                0 => CloseReason::Peer,
                bytes => CloseReason::PeerInFrame { bytes },
            });
        }
        None
    }

    /// Ends the turn: checks the time limits and sees to it that the next one wakes the task.
    fn sleep(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        session: Option<Instant>,
    ) -> Poll<CloseReason> {
        let limits = &self.connection.limits;
        let idle_at = self.connection.last_read().max(self.last_written) + limits.idle_timeout;
        let busy = self.connection.in_flight() > 0 || self.session.has_calls_out();
        if now >= idle_at && !busy {
            return Poll::Ready(CloseReason::Idle(limits.idle_timeout));
        }
        // A handler that works longer than the idle limit is no reason to close: look again later.
        let mut next = if busy && now >= idle_at {
            now + limits.idle_timeout
        } else {
            idle_at
        };
        if let Some(began) = self.frame_began {
            let allowed = limits.frame_timeout
                + Duration::from_secs(self.inbox.frame_bytes() / FRAME_BYTES_PER_S_MIN);
            if now >= began + allowed {
                return Poll::Ready(CloseReason::SlowFrame(allowed));
            }
            next = next.min(began + allowed);
        }
        if let Some(blocked) = self.write_blocked {
            if now >= blocked + limits.write_timeout {
                return Poll::Ready(CloseReason::SlowReader(limits.write_timeout));
            }
            next = next.min(blocked + limits.write_timeout);
        }
        if let Some(deadline) = session {
            next = next.min(deadline);
        }
        if self.wake_at(cx, now, next).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Sees to it that the task is woken at `next`, or earlier.
    fn wake_at(&mut self, cx: &mut Context<'_>, now: Instant, next: Instant) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(next)));
        // A timer that fires too early costs one turn; re-arming it at every turn would cost more.
        if timer.is_elapsed() || next < timer.deadline() {
            timer
                .as_mut()
                .reset(next.max(now + Duration::from_millis(1)));
        }
        timer.as_mut().poll(cx)
    }
}

impl Future for Driver {
    type Output = CloseReason;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let this = self.get_mut();
        let now = Instant::now();
        this.connection.turn_begins(cx.waker(), now);
        let outcome = this.turn(cx, now);
        this.connection.turn_ends();
        if let Poll::Ready(reason) = &outcome {
            let stats = this.connection.stats();
            Stats::add(&stats.connections_closed, 1);
            match reason {
                CloseReason::Framing(_) => Stats::add(&stats.framing_lost, 1),
                CloseReason::UnknownProtocol(_) => Stats::add(&stats.protocol_unknown, 1),
                CloseReason::SlowFrame(_) => Stats::add(&stats.frame_slow, 1),
                CloseReason::SlowReader(_) => Stats::add(&stats.reader_slow, 1),
                CloseReason::Idle(_) => Stats::add(&stats.idle_closed, 1),
                CloseReason::Heartbeat(_) => Stats::add(&stats.heartbeat_lost, 1),
                _ => {}
            }
            this.session.closed(reason);
        }
        outcome
    }
}

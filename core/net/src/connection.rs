use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use crate::{CloseReason, Outbox, Stats};

/// Bounds of one connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Requests whose handler has not finished; one more is answered busy.
    pub in_flight_max: usize,
    /// Nothing is read, and no call begins, while so much waits to be written.
    pub outbox_bytes_max: usize,
    /// Closed when nothing was read or written for so long; the original's server uses 90 s.
    pub idle_timeout: Duration,
    /// A frame that has begun must be whole after so long plus one second for each 64 KiB of it.
    pub frame_timeout: Duration,
    /// Closed when the peer took no byte for so long although something waits.
    pub write_timeout: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            in_flight_max: 10_000,
            outbox_bytes_max: 8 << 20,
            idle_timeout: Duration::from_secs(90),
            frame_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// What all connections of one server share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) stats: Arc<Stats>,
    /// Requests of the whole server whose handler has not finished.
    pub(crate) in_flight: AtomicUsize,
    pub(crate) in_flight_max: usize,
    pub(crate) draining: AtomicBool,
}

/// One connection as its session, its handlers and its driver see it. Lives on one worker thread.
#[derive(Debug)]
pub struct Connection {
    remote: SocketAddr,
    pub(crate) limits: ConnectionLimits,
    pub(crate) shared: Arc<Shared>,
    outbox: RefCell<Outbox>,
    in_flight: Cell<usize>,
    close: RefCell<Option<CloseReason>>,
    may_end_any_time: Cell<bool>,
    now: Cell<Instant>,
    last_read: Cell<Instant>,
    /// Set while the driver runs: it will look at the outbox before it sleeps, so nobody needs to wake it.
    driving: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Connection {
    pub(crate) fn new(
        remote: SocketAddr,
        limits: ConnectionLimits,
        shared: Arc<Shared>,
    ) -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            remote,
            limits,
            shared,
            outbox: RefCell::default(),
            in_flight: Cell::new(0),
            close: RefCell::new(None),
            may_end_any_time: Cell::new(false),
            now: Cell::new(now),
            last_read: Cell::new(now),
            driving: Cell::new(false),
            waker: RefCell::new(None),
        })
    }

    /// Address of the peer.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// When the current turn of the connection began.
    pub fn now(&self) -> Instant {
        self.now.get()
    }

    /// The counters that this connection adds to.
    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// Whether the server is stopping: requests that have not begun are to be refused.
    pub fn is_draining(&self) -> bool {
        self.shared.draining.load(Relaxed)
    }

    /// Appends to the outbox and sees to it that it is written.
    pub fn write<R>(&self, append: impl FnOnce(&mut Outbox) -> R) -> R {
        let result = append(&mut self.outbox.borrow_mut());
        self.wake();
        result
    }

    /// Bytes that wait to be written.
    pub fn outbox_bytes(&self) -> usize {
        self.outbox.borrow().bytes()
    }

    /// Closes the connection once everything that waits is written.
    pub fn close(&self, reason: CloseReason) {
        self.close.borrow_mut().get_or_insert(reason);
        self.wake();
    }

    /// Whoever is on the other side repeats what gets lost: a stopping server does not wait for a moment in which nothing comes.
    pub fn set_may_end_any_time(&self) {
        self.may_end_any_time.set(true);
    }

    pub(crate) fn may_end_any_time(&self) -> bool {
        self.may_end_any_time.get()
    }

    /// Whether one more request may begin.
    pub fn has_room(&self) -> bool {
        self.in_flight.get() < self.limits.in_flight_max
            && self.shared.in_flight.load(Relaxed) < self.shared.in_flight_max
    }

    /// Requests whose handler has not finished.
    pub fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    pub(crate) fn request_begins(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
        self.shared.in_flight.fetch_add(1, Relaxed);
    }

    pub(crate) fn request_ends(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
        self.shared.in_flight.fetch_sub(1, Relaxed);
        self.wake();
    }

    fn wake(&self) {
        if !self.driving.get()
            && let Some(waker) = self.waker.borrow().as_ref()
        {
            waker.wake_by_ref();
        }
    }

    pub(crate) fn outbox(&self) -> &RefCell<Outbox> {
        &self.outbox
    }

    pub(crate) fn close_requested(&self) -> bool {
        self.close.borrow().is_some()
    }

    pub(crate) fn take_close(&self) -> Option<CloseReason> {
        self.close.borrow_mut().take()
    }

    pub(crate) fn turn_begins(&self, waker: &Waker, now: Instant) {
        self.driving.set(true);
        self.now.set(now);
        let mut kept = self.waker.borrow_mut();
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
    }

    pub(crate) fn last_read(&self) -> Instant {
        self.last_read.get()
    }

    pub(crate) fn has_read(&self) {
        self.last_read.set(self.now.get());
    }

    pub(crate) fn turn_ends(&self) {
        self.driving.set(false);
    }
}

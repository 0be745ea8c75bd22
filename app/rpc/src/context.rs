use std::cell::RefCell;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use diwan_bolt::HeaderMap;
use diwan_sofarpc::names;
use smallvec::SmallVec;
use tokio::time::Instant;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Context>>> = const { RefCell::new(None) };
}

/// What came with the request that is being handled: deadline, trace context, baggage. Calls made while it is
/// current carry it on, untouched.
#[derive(Debug, Default)]
pub struct Context {
    /// Room for what a Java client sends, so that it needs no allocation of its own.
    header: SmallVec<[u8; 512]>,
    deadline: Option<Instant>,
    /// Entries of the answer's header.
    answered: Mutex<Vec<(String, String)>>,
}

impl Context {
    pub(crate) fn new(header: &[u8], deadline: Option<Instant>) -> Arc<Self> {
        Arc::new(Self {
            header: SmallVec::from_slice(header),
            deadline,
            answered: Mutex::default(),
        })
    }

    /// The context of the request that this thread is handling right now. It follows the handler's future, not the
    /// tasks that the handler spawns: see [`scope`](Self::scope).
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Runs `work` with this context as the current one. To carry a context into a spawned task, call it around
    /// each poll, or make the calls' futures inside of it.
    pub fn scope<R>(this: Option<&Arc<Self>>, work: impl FnOnce() -> R) -> R {
        struct Restore(Option<Arc<Context>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _restore = Restore(CURRENT.replace(this.cloned()));
        work()
    }

    /// [`scope`](Self::scope) without a count up and down: the context is lent to the thread and comes back. `work` must
    /// not unwind.
    pub(crate) fn lend<R>(this: &mut Option<Arc<Self>>, work: impl FnOnce() -> R) -> R {
        let outer = CURRENT.replace(this.take());
        let result = work();
        *this = CURRENT.replace(outer);
        result
    }

    /// When the caller stops waiting.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// A header entry of the request.
    pub fn entry(&self, key: &str) -> Option<&str> {
        HeaderMap::new(&self.header).get(key)
    }

    /// Baggage that the caller set.
    pub fn baggage(&self, key: &str) -> Option<&str> {
        self.carried()
            .find(|(name, _)| {
                name.strip_prefix(names::REQUEST_BAGGAGE) == Some(&format!(".{key}")[..])
            })
            .map(|(_, value)| value)
    }

    /// Baggage for the caller, which goes back with the answer.
    pub fn put_response_baggage(&self, key: &str, value: impl Into<String>) {
        let entry = (format!("{}.{key}", names::RESPONSE_BAGGAGE), value.into());
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.retain(|(name, _)| *name != entry.0);
        answered.push(entry);
    }

    /// The entries that the answer carries.
    pub(crate) fn take_answered(&self) -> Vec<(String, String)> {
        mem::take(&mut *self.answered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The entries that go on with further calls.
    pub(crate) fn carried(&self) -> impl Iterator<Item = (&str, &str)> {
        HeaderMap::new(&self.header)
            .iter()
            .map_while(Result::ok)
            .filter(|(key, _)| {
                key.starts_with(names::TRACE_CONTEXT) || key.starts_with(names::REQUEST_BAGGAGE)
            })
    }
}

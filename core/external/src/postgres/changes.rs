//! Who is told of changes, and what is being told to others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio_postgres::AsyncMessage;

use super::session::Dialer;

/// A connection that ended is dialed again after this.
const PAUSE: Duration = Duration::from_millis(500);

/// The changes of all logs of a node.
#[derive(Default)]
pub(super) struct Changes {
    listening: AtomicBool,
    told: Mutex<HashMap<String, watch::Sender<()>>>,
    /// Logs whose change is being told to others, and whether it has to be told again.
    telling: Mutex<HashMap<String, bool>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Changes {
    /// Is told of the changes of a log.
    pub(super) fn of(&self, log: &str) -> watch::Receiver<()> {
        let mut told = lock(&self.told);
        let tell = told.entry(log.to_owned()).or_default();
        tell.subscribe()
    }

    /// Whether nobody listens yet: whoever asks does from now on.
    pub(super) fn begins_to_listen(&self) -> bool {
        !self.listening.swap(true, Relaxed)
    }

    fn tell(&self, log: &str) {
        if let Some(tell) = lock(&self.told).get(log) {
            tell.send_replace(());
        }
    }

    /// Whether nobody tells others of this log: whoever asks does from now on.
    pub(super) fn begins_to_tell(&self, log: &str) -> bool {
        let mut telling = lock(&self.telling);
        match telling.get_mut(log) {
            Some(again) => {
                *again = true;
                false
            }
            None => telling.insert(log.to_owned(), false).is_none(),
        }
    }

    /// Whether it has changed again meanwhile.
    pub(super) fn goes_on_telling(&self, log: &str) -> bool {
        let mut telling = lock(&self.telling);
        let again = telling.get_mut(log).is_some_and(std::mem::take);
        if !again {
            telling.remove(log);
        }
        again
    }
}

/// Listens for the changes of all logs, as long as somebody has the client. Where the database tells nothing, polling does it.
pub(super) async fn listen(dialer: Arc<Dialer>, changes: Weak<Changes>) {
    while changes.strong_count() > 0 && dialer.notifies() {
        let listens = dialer.listen(|message| {
            if let AsyncMessage::Notification(notification) = message
                && let Some(changes) = changes.upgrade()
            {
                changes.tell(notification.payload());
            }
        });
        let gone = async {
            while changes.strong_count() > 0 {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            Err(failure) = listens => tracing::debug!(%failure, "listening to PostgreSQL ended"),
            () = gone => return,
            else => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

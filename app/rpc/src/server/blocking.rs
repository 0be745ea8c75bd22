use std::sync::Arc;

use tokio::sync::Semaphore;

/// Threads for methods that block. As in the original's default there is no queue: when all are taken, the answer is
/// busy.
#[derive(Clone, Debug)]
pub(crate) struct BlockingPool {
    free: Arc<Semaphore>,
}

impl BlockingPool {
    pub(crate) fn new(threads_max: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(threads_max)),
        }
    }

    /// Runs `work` on a thread of its own; `None` when none is free or `work` panicked.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Ran<R> {
        let Ok(permit) = self.free.clone().try_acquire_owned() else {
            return Ran::Busy;
        };
        let run = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        match run.await {
            Ok(result) => Ran::Done(result),
            Err(_) => Ran::Panicked,
        }
    }
}

pub(crate) enum Ran<R> {
    Done(R),
    Busy,
    Panicked,
}

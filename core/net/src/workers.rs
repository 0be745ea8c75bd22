use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread;

use tokio::sync::mpsc;
use tokio::task::LocalSet;

/// Something to run on a worker: made there, because what lives there cannot change threads.
type Spawn = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// Arguments nest as deep as Hessian's limit allows, and reading them recurses. Only what is used takes memory.
const STACK_BYTES: usize = 8 << 20;

/// Threads with one single-threaded runtime each. A connection stays on the worker it began on.
#[derive(Debug, Clone)]
pub struct Workers {
    workers: Arc<[Worker]>,
}

#[derive(Debug)]
struct Worker {
    spawn: mpsc::UnboundedSender<Spawn>,
    /// Connections that live here.
    connections: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts `count` threads, at least one; the number of cores this process may use when `None`. The threads end
    /// when the last clone is dropped and everything spawned has ended.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub fn start(name: &str, count: Option<usize>) -> io::Result<Self> {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        let count = count.unwrap_or_else(cores).max(1);
        let workers = (0..count)
            .map(|index| Worker::start(format!("{name}-{index}")))
            .collect::<io::Result<_>>()?;
        Ok(Self { workers })
    }

    /// The workers that all clients of this process share, started at the first use.
    ///
    /// # Errors
    /// When a thread cannot be made.
    pub fn shared() -> io::Result<&'static Self> {
        static SHARED: OnceLock<Workers> = OnceLock::new();
        if let Some(workers) = SHARED.get() {
            return Ok(workers);
        }
        let started = Self::start("diwan-io", None)?;
        Ok(SHARED.get_or_init(|| started))
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.workers.len()
    }

    /// The worker with the fewest connections; it counts one more until the guard is dropped.
    pub(crate) fn least_loaded(&self) -> (usize, LoadGuard) {
        let index = (0..self.workers.len())
            .min_by_key(|&index| self.workers[index].connections.load(Relaxed))
            .unwrap_or(0);
        (index, self.load_guard(index))
    }

    pub(crate) fn load_guard(&self, index: usize) -> LoadGuard {
        let connections = self.workers[index].connections.clone();
        connections.fetch_add(1, Relaxed);
        LoadGuard(connections)
    }

    /// Runs a future on one worker.
    pub fn spawn<F: Future<Output = ()> + 'static>(
        &self,
        index: usize,
        make: impl FnOnce() -> F + Send + 'static,
    ) {
        // The receiver lives as long as a clone of `self`.
        let _ = self.workers[index]
            .spawn
            .send(Box::new(move || Box::pin(make())));
    }
}

#[derive(Debug)]
pub(crate) struct LoadGuard(Arc<AtomicUsize>);

impl Drop for LoadGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Worker {
    fn start(name: String) -> io::Result<Self> {
        let (spawn, mut to_spawn) = mpsc::unbounded_channel::<Spawn>();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        thread::Builder::new()
            .name(name)
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let local = LocalSet::new();
                local.spawn_local(async move {
                    while let Some(make) = to_spawn.recv().await {
                        tokio::task::spawn_local(make());
                    }
                });
                runtime.block_on(local);
            })?;
        Ok(Self {
            spawn,
            connections: Arc::default(),
        })
    }
}

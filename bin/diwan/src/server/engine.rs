//! Logs that an engine keeps, in place of this node's own groups.

use std::rc::Rc;
use std::time::Duration;

use diwan_external::{Address, Client, Host, LogOptions, LogStatus, Options};
use diwan_raft::PeerId;
use diwan_runtime::{GroupOptions, NodeHandle};
use tokio::sync::{mpsc, oneshot};

use super::ServeError;
use super::config::Engine;

type Task = Box<dyn FnOnce(&Rc<Host>) + Send>;

/// The logs in an engine, as other threads see them.
#[derive(Clone)]
pub(crate) struct Logs {
    /// Where they are, without passwords.
    pub(crate) engine: String,
    tasks: mpsc::UnboundedSender<Task>,
}

/// Takes part in the logs of `groups`, on the node's thread.
pub(super) async fn start(
    node: &NodeHandle,
    name: &PeerId,
    members: Vec<String>,
    address: Address,
    engine: &Engine,
    groups: Vec<GroupOptions>,
) -> Result<Logs, ServeError> {
    let shown = address.to_string();
    tracing::info!(engine = shown, "logs are kept in an engine");
    let options = Options {
        node: name.to_string(),
        members,
        lease: Duration::from_millis(engine.lease_ms),
        lease_reads: engine.lease_reads,
        snapshot_log_bytes: engine.snapshot_log_bytes,
        snapshot_bytes_max: engine.snapshot_bytes_max,
        seed: diwan_runtime::random(),
    };
    let timeout = Duration::from_millis(engine.timeout_ms);
    let (tasks, mut todo) = mpsc::unbounded_channel::<Task>();
    let (tell, told) = oneshot::channel();
    node.run(move |node| {
        // Not to hold the node: it ends with the last one who does.
        let (node, failing) = (Rc::downgrade(node), Rc::downgrade(node));
        tokio::task::spawn_local(async move {
            let names: Vec<String> = groups.iter().map(|group| group.name.clone()).collect();
            let logs = groups.into_iter().map(|group| LogOptions {
                name: group.name,
                plain: group.plain,
                machine: group.machine,
            });
            let started = async {
                let client = Client::connect(&address, timeout).await?;
                let failed = move |why| {
                    if let Some(node) = failing.upgrade() {
                        node.fail(why);
                    }
                };
                Host::start(client, options, logs.collect(), failed).await
            };
            let host = match started.await {
                Ok(host) => Rc::new(host),
                Err(failure) => {
                    let _ = tell.send(Err(failure));
                    return;
                }
            };
            for name in names {
                if let (Some(log), Some(node)) = (host.log(&name), node.upgrade()) {
                    node.host(&name, log);
                }
            }
            let _ = tell.send(Ok(()));
            while let Some(task) = todo.recv().await {
                task(&host);
            }
        });
    });
    match told.await {
        Ok(Ok(())) => Ok(Logs {
            engine: shown,
            tasks,
        }),
        Ok(Err(failure)) => Err(ServeError::Engine(shown, failure)),
        Err(_) => Err(ServeError::Failed("the node has stopped".to_owned())),
    }
}

impl Logs {
    /// How the logs stand. None if the node is gone.
    pub(crate) async fn status(&self) -> Option<Vec<LogStatus>> {
        let (tell, told) = oneshot::channel();
        self.run(move |host| drop(tell.send(host.status())));
        told.await.ok()
    }

    /// Waits until this node has read what stood in the logs, so that nobody is served from an empty state.
    pub(super) async fn until_read(&self) {
        while !self.read().await {
            tracing::info!("the logs cannot be read to their end yet");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn read(&self) -> bool {
        let (tell, mut told) = mpsc::unbounded_channel();
        self.run(move |host| {
            for log in host.logs() {
                let tell = tell.clone();
                log.read(Box::new(move |result| {
                    let _ = tell.send(result.is_ok());
                }));
            }
        });
        let mut all = true;
        while let Some(one) = told.recv().await {
            all &= one;
        }
        all
    }

    /// Takes a snapshot of a log soon, where its owner is asked. Whether there is such a log.
    pub(crate) async fn snapshot(&self, name: String) -> bool {
        let (tell, told) = oneshot::channel();
        self.run(move |host| {
            let _ = tell.send(host.snapshot(&name));
        });
        told.await.unwrap_or(false)
    }

    /// Leaves the logs to others.
    pub(crate) async fn stop(&self, within: Duration) {
        let (tell, told) = oneshot::channel();
        self.run(move |host| {
            let host = host.clone();
            tokio::task::spawn_local(async move {
                host.stop(within).await;
                let _ = tell.send(());
            });
        });
        let _ = told.await;
    }

    fn run(&self, task: impl FnOnce(&Rc<Host>) + Send + 'static) {
        // The node's thread is gone only when the process ends.
        let _ = self.tasks.send(Box::new(task));
    }
}

//! Logs of a node in an engine, in place of groups of its own.

use std::rc::Rc;
use std::time::Duration;

use diwan_engine::Failure;
use diwan_runtime::{GroupOptions, NodeHandle};
use tokio::sync::{mpsc, oneshot};

use crate::address::Address;
use crate::client::Client;
use crate::host::{Host, LogOptions, LogStatus, Options};

type Task = Box<dyn FnOnce(&Rc<Host>) + Send>;

/// The logs in an engine, as other threads see them.
#[derive(Clone)]
pub struct Logs {
    /// Where they are, without passwords.
    pub engine: String,
    tasks: mpsc::UnboundedSender<Task>,
}

impl Logs {
    /// Keeps the logs of `groups` in the engine from now on, on the node's thread; of their options only name, state machine and
    /// whether they are plain count. A request to the engine that brings no reply within `timeout` has failed, unknown whether it was carried out.
    /// # Errors
    /// The engine is not to be had, or not fit for logs.
    pub async fn start(
        node: &NodeHandle,
        address: Address,
        timeout: Duration,
        options: Options,
        groups: Vec<GroupOptions>,
    ) -> Result<Self, Failure> {
        let engine = address.to_string();
        tracing::info!(engine, "logs are kept in an engine");
        let (tasks, mut todo) = mpsc::unbounded_channel::<Task>();
        let (tell, told) = oneshot::channel();
        node.run(move |node| {
            // Not to hold the node: it ends with the last one who does.
            let (node, failing) = (Rc::downgrade(node), Rc::downgrade(node));
            tokio::task::spawn_local(async move {
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
                if let Some(node) = node.upgrade() {
                    host.logs().for_each(|(name, log)| node.host(name, log));
                }
                let _ = tell.send(Ok(()));
                while let Some(task) = todo.recv().await {
                    task(&host);
                }
            });
        });
        let started = told.await;
        started.unwrap_or_else(|_| Err(Failure::Unknown("the node has stopped".into())))?;
        Ok(Self { engine, tasks })
    }

    /// How the logs stand. None if the node is gone.
    pub async fn status(&self) -> Option<Vec<LogStatus>> {
        let (tell, told) = oneshot::channel();
        self.run(move |host| drop(tell.send(host.status())));
        told.await.ok()
    }

    /// Waits until this node has read what stood in the logs, so that nobody is served from an empty state.
    pub async fn until_read(&self) {
        while !self.read().await {
            tracing::info!("the logs cannot be read to their end yet");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn read(&self) -> bool {
        let (tell, mut told) = mpsc::unbounded_channel();
        self.run(move |host| {
            for (_, log) in host.logs() {
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
    pub async fn snapshot(&self, name: String) -> bool {
        let (tell, told) = oneshot::channel();
        self.run(move |host| {
            let _ = tell.send(host.snapshot(&name));
        });
        told.await.unwrap_or(false)
    }

    /// Leaves the logs to others.
    pub async fn stop(&self, within: Duration) {
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

    pub(crate) fn run(&self, task: impl FnOnce(&Rc<Host>) + Send + 'static) {
        // The node's thread is gone only when the process ends.
        let _ = self.tasks.send(Box::new(task));
    }
}

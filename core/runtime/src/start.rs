//! Starting a node, and the handle by which other threads reach it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, mpsc as std_mpsc};
use std::time::{Duration, Instant};

use diwan_net::bolt::{Bolt, Handler, HandlerFactory, SessionOptions};
use diwan_net::{Server, ServerOptions};
use diwan_raft::{PeerId, Start};
use diwan_replica::hello::ClusterToken;
use diwan_replica::store;
use diwan_wal::{GroupId, OsDirectory, Wal};
use tokio::sync::{mpsc, watch};

use crate::dial::{Dialing, NodeTls};
use crate::directory::DataDirectory;
use crate::error::StartError;
use crate::group::GroupOptions;
use crate::handler::{AppHandler, NodeHandler};
use crate::node::{Node, Task};
use crate::{peers, snapshot};
/// How a node runs.
pub struct NodeOptions {
    /// Its name among the members, and unless `listen` says otherwise the address it listens on.
    pub id: PeerId,
    /// Where its log and snapshots lie.
    pub data: PathBuf,
    /// The address to listen on.
    pub listen: Option<SocketAddr>,
    /// Limits of its connections. It always runs on one worker thread.
    pub server: ServerOptions,
    /// Layout of its write-ahead log.
    pub wal: diwan_wal::Options,
    /// What members must prove to know; without one everybody may speak as a member. See also [`GroupOptions::jraft`].
    pub token: Option<ClusterToken>,
    /// TLS of all connections, in place of `server.tls`.
    pub tls: Option<NodeTls>,
    /// Bytes per second of snapshots that others pull here, and as many that are pulled here; None for no limit.
    pub snapshot_bytes_per_second: Option<u64>,
    /// What its groups may hold in memory together.
    pub limits: diwan_replica::Limits,
    /// Serves requests that are not between members.
    pub app: Option<AppHandler>,
    /// Another one for each start: spreads timers.
    pub seed: u64,
}

impl NodeOptions {
    /// The usual options.
    pub fn new(id: PeerId, data: PathBuf) -> Self {
        Self {
            id,
            data,
            listen: None,
            server: ServerOptions::default(),
            wal: diwan_wal::Options {
                salt: random(),
                ..diwan_wal::Options::default()
            },
            token: None,
            tls: None,
            snapshot_bytes_per_second: None,
            limits: diwan_replica::Limits::default(),
            app: None,
            seed: random(),
        }
    }
}

/// A number from the system's randomness, by way of the only part of the standard library that has it.
pub fn random() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish()
}

/// A node that stops waits so long at most for the next leaders of its groups.
const HAND_OVER_TIMEOUT: Duration = Duration::from_millis(500);

/// A node as other threads see it. The node stops when `stop` is called.
#[derive(Clone)]
pub struct NodeHandle {
    tasks: mpsc::UnboundedSender<Task>,
    server: Arc<Mutex<Option<Server>>>,
    failed: watch::Receiver<Option<String>>,
}

impl NodeHandle {
    /// Runs something on the node's thread, soon.
    pub fn run(&self, task: impl FnOnce(&Rc<Node>) + Send + 'static) {
        // The node's thread is gone only when the process ends.
        let _ = self.tasks.send(Box::new(task));
    }

    /// Runs something on the node's thread and waits for what it returns. None if the node is gone.
    pub async fn ask<T: Send + 'static>(
        &self,
        task: impl FnOnce(&Rc<Node>) -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = tokio::sync::oneshot::channel();
        self.run(move |node| {
            let _ = tell.send(task(node));
        });
        told.await.ok()
    }

    /// The counters of the node's own port and the connections open on it, until it stops.
    pub fn connections(&self) -> Option<(Arc<diwan_net::Stats>, usize)> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server
            .as_ref()
            .map(|server| (server.stats().clone(), server.connections()))
    }

    /// Why the node had to stop, if it had to.
    pub fn failure(&self) -> Option<String> {
        self.failed.borrow().clone()
    }

    /// Waits until the node has to stop, and says why.
    pub async fn failed(&self) -> String {
        match self.failed.clone().wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "the node's thread is gone".to_owned(),
        }
    }

    /// Hands leadership on, then ends connections and stops. When it returns, the data's directory is free.
    pub async fn stop(&self) {
        let began = Instant::now();
        let mut waiting = self.ask(|node| node.hand_over_all()).await;
        // The others may need this node's vote. Where nobody takes over, nobody is waited for any longer.
        while let Some(groups) = waiting.filter(|groups| !groups.is_empty())
            && began.elapsed() < HAND_OVER_TIMEOUT
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
            waiting = self.ask(move |node| node.leaderless(groups)).await;
        }
        let server = self
            .server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(server) = server {
            server.stop(Duration::from_secs(1)).await;
        }
        self.ask(|node| node.stop()).await;
        // The sender is the node's own: it is gone with it. A file that is being read may hold it for a while.
        let mut failed = self.failed.clone();
        let gone = async { while failed.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(Duration::from_secs(2), gone).await;
    }
}

/// What a node is made of, on its own thread.
pub(crate) struct Seed {
    pub(crate) options: NodeOptions,
    pub(crate) directory: DataDirectory,
    pub(crate) wal: Wal<OsDirectory>,
    pub(crate) groups: Vec<(GroupOptions, Start, PathBuf)>,
    pub(crate) tasks: mpsc::UnboundedSender<Task>,
    pub(crate) failed: watch::Sender<Option<String>>,
}

/// Starts a node with its groups.
/// # Errors
/// Its data, its address or its threads are not to be had. Nothing runs then.
pub fn start(options: NodeOptions, groups: Vec<GroupOptions>) -> Result<NodeHandle, StartError> {
    tell_apart(groups.iter().map(|group| group.name.as_str()), group_id)?;
    let mut directory = DataDirectory::take(&options.data, &options.id.to_string())?;
    let io = |what: &str| {
        let what = what.to_owned();
        move |error| StartError::Io { what, error }
    };
    let wal_directory =
        OsDirectory::open(directory.path().join("wal")).map_err(io("the log's directory"))?;
    let (wal, recovery) = Wal::open(wal_directory, options.wal)?;
    directory.log_begun()?;
    if let Some(torn) = &recovery.torn {
        tracing::info!(
            file = torn.file,
            bytes = torn.bytes,
            "cut writes that were not synced when the node stopped"
        );
    }
    let mut ready = Vec::new();
    for group in groups {
        let path = directory.path().join("groups").join(file_name(&group.name));
        let newest = snapshot::find(&path)?;
        let wal_id = group_id(&group.name);
        let start = store::start(&wal.reader(), wal_id, recovery.groups.get(&wal_id), newest)
            .map_err(|error| StartError::Store {
                group: group.name.clone(),
                error,
            })?;
        ready.push((group, start, path));
    }
    let addr = match options.listen {
        Some(addr) => addr,
        None => peers::resolve(&options.id).map_err(io("the node's own address"))?,
    };
    let mut server_options = options.server.clone();
    server_options.workers = Some(1);
    if let Some(tls) = &options.tls {
        server_options.tls = Some(tls.listen.clone());
    }
    let dialing = Dialing {
        token: options.token.clone(),
        tls: options.tls.as_ref().map(|tls| tls.dial.clone()),
        jraft: ready
            .iter()
            .flat_map(|(group, ..)| group.jraft.clone())
            .collect(),
        names_node: true,
    };
    let (tasks, todo) = mpsc::unbounded_channel();
    let (failed, failure) = watch::channel(None);
    let seed = Seed {
        options,
        directory,
        wal,
        groups: ready,
        tasks: tasks.clone(),
        failed,
    };
    let (tell, told) = std_mpsc::channel();
    let once = Mutex::new(Some((seed, todo, tell)));
    let factory: HandlerFactory = Arc::new(move || {
        let Some((seed, todo, tell)) = once.lock().unwrap_or_else(PoisonError::into_inner).take()
        else {
            // There is one worker, and it asks once.
            return Rc::new(NodeHandler::none());
        };
        let app = seed.options.app.clone();
        match Node::new(seed) {
            Ok(node) => {
                tokio::task::spawn_local(node.clone().run(todo));
                let _ = tell.send(Ok(()));
                Rc::new(NodeHandler::new(node, app)) as Rc<dyn Handler>
            }
            Err(error) => {
                let _ = tell.send(Err(error));
                Rc::new(NodeHandler::none())
            }
        }
    });
    let session = SessionOptions::default();
    let server = Server::start(addr, vec![Bolt::new(factory, session)], server_options)
        .map_err(io(&addr.to_string()))?;
    told.recv()
        .map_err(|_| io("the node's thread")(std::io::Error::other("it ended")))??;
    let workers = server.workers().clone();
    let handle = NodeHandle {
        tasks,
        server: Arc::new(Mutex::new(Some(server))),
        failed: failure,
    };
    handle.run(move |node| node.begin(workers, dialing));
    Ok(handle)
}

/// A group's number in the write-ahead log follows from its name (FNV-1a), so that it needs no table.
pub(crate) fn group_id(name: &str) -> GroupId {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    GroupId(hash)
}

/// Each group needs a number of its own.
fn tell_apart<'a>(
    names: impl Iterator<Item = &'a str>,
    id_of: impl Fn(&str) -> GroupId,
) -> Result<(), StartError> {
    let mut known = HashMap::new();
    for name in names {
        let id = id_of(name);
        if let Some(first) = known.insert(id, name) {
            return Err(StartError::GroupIds {
                first: first.to_owned(),
                second: name.to_owned(),
                id: id.0,
            });
        }
    }
    Ok(())
}

/// A directory's name for a group's name, which may hold anything.
pub(crate) fn file_name(group: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    group
        .bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02x}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_one_number_are_refused_by_name() {
        let names = ["orders", "stock", "users"];
        tell_apart(names.into_iter(), group_id).unwrap();
        let by_length = |name: &str| GroupId(name.len() as u64);
        let error = tell_apart(names.into_iter(), by_length).unwrap_err();
        assert_eq!(
            error.to_string(),
            "groups `stock` and `users` have the same number 0000000000000005 in the write-ahead log: give one of them another name"
        );
        assert!(matches!(
            tell_apart(["a", "b", "a"].into_iter(), group_id),
            Err(StartError::GroupIds { first, second, .. }) if (first.as_str(), second.as_str()) == ("a", "a")
        ));
    }

    /// FNV-1a of 64 bits: the numbers lie on disks and must not change.
    #[test]
    fn a_groups_number() {
        assert_eq!(group_id("").0, 0xcbf2_9ce4_8422_2325);
        assert_eq!(group_id("foobar").0, 0x8594_4171_f739_67e8);
    }
}

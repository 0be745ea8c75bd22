//! The registry on its ports: SOFARegistry's session protocol over Bolt (9600), and the HTTP of its session and meta servers (9603,
//! 9615). All connections live on one thread, beside the state.

mod access;
mod api;
mod bolt;
mod compress;
mod http;
pub(crate) mod journal;
mod mosn;
mod nodes;
mod operate;
mod overview;
mod session;
mod switches;
mod watch;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use diwan_bolt::{Frame, FrameWriter, Head, Kind};
use diwan_net::bolt::{Bolt, Handler, HandlerFactory, SessionOptions};
use diwan_net::{CloseReason, Connection, Protocol, Server, ServerOptions};
use diwan_registry_wire::{
    Answer, Codec, DataBox, MultiReceivedData, MultiSegmentData, Push, ReceivedConfigData,
    ReceivedData,
};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use self::access::Access;
pub use access::{AccessKeys, AccessKeysError};
pub use http::{Http, Proposed, Proposer};
pub use mosn::mosn;
pub use nodes::{Called, Caller, Nodes};
pub use operate::{OPERATE_CLASS, Status};

use crate::settings::Settings;
use crate::state::{
    Config, ConnectionId, Content, Now, Outgoing, PushId, RegistId, Registry, ServiceName, Setting,
    Start,
};
use compress::{Accepts, compressed};
use journal::Journal;

/// The name of the one data centre that there is.
const DATA_CENTER: &str = "DefaultDataCenter";

/// What a registry needs to run.
pub struct Options {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// The same as clients and other nodes see it, `ip:port`.
    pub advertise: String,
    /// Bounds and times.
    pub config: Config,
    /// Limits of connections. It always runs on one thread.
    pub server: ServerOptions,
    /// What all nodes agree on.
    pub settings: Settings,
    /// The other nodes; None for a registry that is alone.
    pub nodes: Option<Nodes>,
    /// Where it writes down what is published, to go on from it after its end; None for nowhere.
    pub directory: Option<PathBuf>,
    /// Keys with which registrations are to be signed, beside those of the log; they are taken unsigned only if there are none.
    pub access_keys: Option<AccessKeys>,
}

/// Where clients may connect.
type Addresses = Arc<Mutex<Arc<[String]>>>;

type Task = Box<dyn FnOnce(&Rc<Edge>) + Send>;

/// A registry that runs, as other threads see it.
#[derive(Clone)]
pub struct Handle {
    addr: SocketAddr,
    addresses: Addresses,
    tasks: mpsc::UnboundedSender<Task>,
    server: Arc<Mutex<Option<Server>>>,
    settings: Settings,
}

impl Handle {
    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where clients may connect, `ip:port` each: this node, and the others that serve.
    pub fn addresses(&self) -> Arc<[String]> {
        let addresses = self.addresses.lock();
        addresses.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What all nodes agree on.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Connections of clients.
    pub fn connections(&self) -> usize {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.as_ref().map_or(0, Server::connections)
    }

    /// Another node speaks: to be given the answer, unless what it says makes no sense.
    pub fn received(
        &self,
        content: bytes::Bytes,
        answer: impl FnOnce(bytes::Bytes) + Send + 'static,
    ) {
        let _ = self.tasks.send(Box::new(move |edge| {
            if let Some(content) = edge.received(content) {
                answer(content);
            }
        }));
    }

    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Rc<Edge>) -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = tokio::sync::oneshot::channel();
        let _ = self.tasks.send(Box::new(move |edge| {
            let _ = tell.send(ask(edge));
        }));
        told.await.ok()
    }

    /// Ends all connections and stops.
    pub async fn stop(&self) {
        let server = self
            .server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(server) = server {
            server.stop(Duration::from_secs(1)).await;
        }
    }
}

/// Starts a registry.
/// # Errors
/// Its address, its thread or its directory is not to be had.
pub fn start(options: Options) -> io::Result<Handle> {
    let (tasks, todo) = mpsc::unbounded_channel();
    let mut server_options = options.server;
    server_options.workers = Some(1);
    let (journal, recovered) = match &options.directory {
        Some(directory) => {
            let (journal, recovered) = Journal::open(directory, unix_ms())?;
            (Some(journal), recovered)
        }
        None => Default::default(),
    };
    let epoch = journal.as_ref().map_or_else(unix_ms, Journal::epoch);
    let nodes = options.nodes;
    let (node, all) = match &nodes {
        Some(nodes) => (nodes.name.clone(), nodes.all.borrow().clone()),
        None => Default::default(),
    };
    let start = Start {
        node,
        epoch,
        address: options.advertise.clone(),
        nodes: all,
        recovered: recovered.publications,
        version: recovered.version,
    };
    tracing::info!(
        node = start.node,
        epoch,
        instances = start.recovered.len(),
        "the registry begins"
    );
    let addresses = Addresses::new(Mutex::new([options.advertise].into()));
    let make = {
        let (config, nodes, addresses) = (options.config, nodes.clone(), addresses.clone());
        let mut access = Access::new(options.access_keys);
        if let Some(setting) = options.settings.get(&access::setting()) {
            access.told(&setting).map_err(io::Error::other)?;
        }
        move || Edge::new(config, start, journal, nodes, addresses, access)
    };
    let once = Mutex::new(Some((make, todo)));
    let factory: HandlerFactory = Arc::new(move || {
        let once = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        // There is one worker, and it asks once.
        let Some((make, todo)) = once else {
            return Rc::new(bolt::Nobody) as Rc<dyn Handler>;
        };
        let edge = Rc::new(make());
        tokio::task::spawn_local(edge.clone().run(todo));
        Rc::new(bolt::Connections::new(edge))
    });
    let bolt: Arc<dyn Protocol> = Bolt::new(factory, SessionOptions::default());
    let server = Server::start(options.listen, vec![bolt], server_options)?;
    let addr = server.local_addr();
    let settings_tasks = tasks.clone();
    options.settings.watch(move |name, setting| {
        let (name, setting) = (name.clone(), setting.clone());
        let _ = settings_tasks.send(Box::new(move |edge: &Rc<Edge>| {
            edge.told(name, setting);
        }));
    });
    if let Some(nodes) = nodes {
        let (mut all, tasks) = (nodes.all, tasks.clone());
        tokio::spawn(async move {
            while all.changed().await.is_ok() {
                let names = all.borrow_and_update().clone();
                let _ = tasks.send(Box::new(move |edge: &Rc<Edge>| {
                    edge.act(|registry, now| registry.set_nodes(names, now));
                }));
            }
        });
    }
    Ok(Handle {
        addr,
        addresses,
        tasks,
        server: Arc::new(Mutex::new(Some(server))),
        settings: options.settings,
    })
}

/// A client as it is called.
struct Client {
    connection: Rc<Connection>,
    /// The form in which it writes.
    codec: Codec,
    /// What else it reads.
    accepts: Accepts,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the edge has the clocks that the state is told"
)]
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// The state and its clients.
struct Edge {
    registry: RefCell<Registry>,
    journal: RefCell<Option<Journal>>,
    nodes: Option<Nodes>,
    addresses: Addresses,
    clients: RefCell<HashMap<ConnectionId, Client>>,
    next_connection: Cell<u64>,
    /// Registrations that were refused.
    refused: Cell<u64>,
    /// Messages of clients that could not be read.
    malformed: Cell<u64>,
    clocks: watch::Clocks,
    local: mosn::Local,
    access: RefCell<Access>,
    began: Instant,
    wake: Notify,
}

impl Edge {
    fn new(
        config: Config,
        start: Start,
        journal: Option<Journal>,
        nodes: Option<Nodes>,
        addresses: Addresses,
        access: Access,
    ) -> Self {
        let began = Instant::now();
        let now = Now {
            monotonic: Duration::ZERO,
            unix_ms: unix_ms(),
        };
        let mut registry = Registry::start(config, start, now);
        if journal.is_some() {
            registry.write_down();
        }
        Self {
            registry: RefCell::new(registry),
            journal: RefCell::new(journal),
            nodes,
            addresses,
            clients: RefCell::default(),
            next_connection: Cell::new(1),
            refused: Cell::new(0),
            malformed: Cell::new(0),
            clocks: watch::Clocks::default(),
            local: mosn::Local::default(),
            access: access.into(),
            began,
            wake: Notify::new(),
        }
    }

    fn now(&self) -> Now {
        Now {
            monotonic: self.began.elapsed(),
            unix_ms: unix_ms(),
        }
    }

    /// Does something with the state; what follows from it is sent at the end of the thread's turn.
    fn act<T>(&self, act: impl FnOnce(&mut Registry, Now) -> T) -> T {
        self.wake.notify_one();
        act(&mut self.registry.borrow_mut(), self.now())
    }

    /// A setting changed.
    fn told(&self, name: ServiceName, setting: Setting) {
        if name != access::setting() {
            return self.act(|registry, _| registry.set(name, setting));
        }
        match self.access.borrow_mut().told(&setting) {
            Ok(false) => {}
            Ok(true) => self.act(|registry, _| registry.all_again()),
            Err(error) => {
                tracing::error!(%error, "the log's access keys cannot be read: those before stay")
            }
        }
    }

    async fn run(self: Rc<Self>, mut todo: mpsc::UnboundedReceiver<Task>) {
        loop {
            let deadline = self.turn();
            let wait = deadline.map_or(Duration::from_secs(3600), |deadline| {
                deadline.saturating_sub(self.now().monotonic)
            });
            tokio::select! {
                biased;
                task = todo.recv() => {
                    let Some(task) = task else { return };
                    task(&self);
                    while let Ok(task) = todo.try_recv() {
                        task(&self);
                    }
                }
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Sends what is due. When the state wants to be looked at again.
    fn turn(self: &Rc<Self>) -> Option<Duration> {
        let now = self.now();
        let mut registry = self.registry.borrow_mut();
        registry.advance(now);
        let outgoing = registry.outgoing(now);
        let deadline = registry.next_deadline();
        let changes = registry.changes();
        let closing = registry.closing();
        if let Some(addresses) = registry.new_addresses() {
            let mut known = self
                .addresses
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *known = addresses.into();
        }
        let mut more = false;
        if let Some(journal) = &mut *self.journal.borrow_mut() {
            journal.changed(&changes, registry.version());
            more = journal.paint(registry.is_serving(), |service| registry.picture(service));
        }
        drop(registry);
        for connection in closing {
            if let Some(client) = self.clients.borrow().get(&connection) {
                client.connection.close(CloseReason::Requested);
            }
        }
        for push in outgoing {
            self.push(push);
        }
        self.tell_nodes();
        match more {
            true => Some(now.monotonic),
            false => deadline,
        }
    }

    fn push(self: &Rc<Self>, push: Outgoing) {
        if self.is_local(push.connection) {
            self.act(|registry, now| {
                registry.acknowledged(push.connection, push.push, true, now);
            });
            return;
        }
        let clients = self.clients.borrow();
        let Some(client) = clients.get(&push.connection) else {
            return;
        };
        if client.connection.outbox_bytes() > OUTBOX_BYTES_MAX {
            // It takes nothing: it is sent the newest when the time for its acknowledgement is over.
            return;
        }
        let (codec, accepts) = (client.codec, client.accepts);
        let class = match push.content {
            Content::Instances { .. } if accepts.multi => PUSHED_CENTERS.class(codec),
            Content::Instances { .. } => PUSHED_INSTANCES.class(codec),
            Content::Setting(_) => PUSHED_SETTING.class(codec),
        };
        let head = Head::request(push.push.0, codec.byte(), PUSH_TIMEOUT_MS);
        let written = client.connection.write(|outbox| {
            let mut writer = FrameWriter::begin(outbox.buffer(), head, class.as_bytes());
            write(&push, codec, accepts, writer.content());
            writer.finish()
        });
        if let Err(error) = written {
            tracing::warn!(connection = push.connection.0, %error, "a push does not fit into a frame");
        }
    }

    /// A client answered a push.
    fn answered(&self, connection: ConnectionId, answer: &Frame<'_>) {
        let taken = matches!(answer.head.kind, Kind::Response { status } if status == diwan_bolt::Status::Success.code())
            && acknowledges(answer.class, answer.head.codec, answer.content);
        if !taken {
            tracing::debug!(connection = connection.0, "a client did not take a push");
        }
        let push = PushId(answer.head.id);
        self.act(|registry, now| registry.acknowledged(connection, push, taken, now));
    }
}

/// Nothing is added while so much waits to be written to a client.
const OUTBOX_BYTES_MAX: usize = 8 << 20;
/// As long as the original waits (`SessionServerConfigBean.dataNodeExchangeTimeoutMillis` and its kin).
const PUSH_TIMEOUT_MS: i32 = 3000;

/// For their classes' names.
static PUSHED_INSTANCES: std::sync::LazyLock<Push> =
    std::sync::LazyLock::new(|| Push::ReceivedData(ReceivedData::default()));
static PUSHED_CENTERS: std::sync::LazyLock<Push> =
    std::sync::LazyLock::new(|| Push::MultiReceivedData(MultiReceivedData::default()));
static PUSHED_SETTING: std::sync::LazyLock<Push> =
    std::sync::LazyLock::new(|| Push::ReceivedConfigData(ReceivedConfigData::default()));

fn write(push: &Outgoing, codec: Codec, accepts: Accepts, out: &mut Vec<u8>) {
    let text = |text: &str| Some(text.to_owned());
    let ids: Vec<String> = push.registrations.iter().map(RegistId::to_string).collect();
    let ServiceName {
        data_id,
        instance_id,
        group,
    } = &*push.service;
    match &push.content {
        Content::Instances {
            version,
            scope,
            cell,
            instances,
        } if accepts.multi => {
            // All nodes are one data centre.
            let zones = instances.zones();
            let count = |boxes: &Vec<DataBox>| i32::try_from(boxes.len()).unwrap_or(i32::MAX);
            let counts = zones.iter().map(|(zone, all)| (zone.clone(), count(all)));
            let zipped = compressed(instances, accepts.encoding);
            let segment = MultiSegmentData {
                segment: text(DATA_CENTER),
                version: version.0,
                data_count: Some(counts.collect()),
                encoding: zipped.as_ref().map(|zipped| zipped.encoding.name().into()),
                unzip_data: zipped.is_none().then(|| zones.clone()),
                zip_data: zipped.map(|zipped| diwan_hessian::Bytes(zipped.body.to_vec())),
            };
            let data = MultiReceivedData {
                data_id: text(data_id),
                group: text(group),
                instance_id: text(instance_id),
                scope: text(scope.name()),
                local_segment: text(DATA_CENTER),
                local_zone: text(cell),
                subscriber_regist_ids: Some(ids),
                multi_data: Some([(DATA_CENTER.to_owned(), segment)].into()),
            };
            Push::MultiReceivedData(data).encode(codec, out);
        }
        Content::Instances {
            version,
            scope,
            cell,
            instances,
        } => {
            let head = ReceivedData {
                data_id: text(data_id),
                group: text(group),
                instance_id: text(instance_id),
                segment: text(DATA_CENTER),
                scope: text(scope.name()),
                version: Some(version.0),
                local_zone: text(cell),
                subscriber_regist_ids: Some(ids),
                data_count: Some(Default::default()),
                data: None,
            };
            match compressed(instances, accepts.encoding) {
                None => head.encode_with(instances.encoded(codec), codec, out),
                Some(zipped) => {
                    let name = zipped.encoding.name();
                    let list = ReceivedData::encode_compressed(name, zipped.body, zipped.bytes);
                    head.encode_with(&list, codec, out);
                }
            }
        }
        Content::Setting(setting) => {
            let data = ReceivedConfigData {
                data_id: text(data_id),
                group: text(group),
                instance_id: text(instance_id),
                version: Some(setting.version.0),
                configurator_regist_ids: Some(ids),
                data_box: Some(DataBox {
                    data: setting.value.as_deref().map(str::to_owned),
                }),
            };
            Push::ReceivedConfigData(data).encode(codec, out);
        }
    }
}

/// Whether a client's answer says that it took the push.
fn acknowledges(class: &[u8], serializer: u8, content: &[u8]) -> bool {
    match Answer::decode(class, serializer, content) {
        Ok((Answer::Result(result), _)) => result.success,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::io::Read as _;

    use diwan_registry_wire::{Scope, Version, Zones};

    use super::*;
    use crate::state::Instances;
    use compress::Encoding;

    #[test]
    fn a_client_that_reads_several_centres_is_told_the_one_there_is() {
        for (count, zipped) in [(3, false), (1_000, true)] {
            let boxes = (0..count).map(|number| DataBox {
                data: Some(format!("10.0.0.1:{number}")),
            });
            let zones = Zones::from([("cell".to_owned(), boxes.collect())]);
            let push = Outgoing {
                connection: ConnectionId(1),
                push: PushId(1),
                service: Arc::new(ServiceName::new("s", None, None)),
                content: Content::Instances {
                    version: Version(7),
                    scope: Scope::Global,
                    cell: "cell".into(),
                    instances: Arc::new(Instances::new(zones.clone())),
                },
                registrations: vec![RegistId::new("r")],
            };
            let accepts = Accepts {
                multi: true,
                encoding: Some(Encoding::Gzip),
            };
            let mut out = Vec::new();
            write(&push, Codec::Protobuf, accepts, &mut out);
            let class = PUSHED_CENTERS.class(Codec::Protobuf);
            let (read, _) = Push::decode(class.as_bytes(), 11, &out).unwrap();
            let Push::MultiReceivedData(read) = read else {
                panic!("{read:?}");
            };
            let segment = read.multi_data.unwrap().remove(DATA_CENTER).unwrap();
            assert_eq!((segment.version, segment.zip_data.is_some()), (7, zipped));
            assert_eq!(segment.data_count.unwrap()["cell"], count);
            let told = match segment.zip_data {
                None => segment.unzip_data,
                Some(zip) => {
                    assert_eq!(segment.encoding.as_deref(), Some("gzip"));
                    let mut body = Vec::new();
                    let mut reader = flate2::read::GzDecoder::new(zip.0.as_slice());
                    reader.read_to_end(&mut body).unwrap();
                    let class = PUSHED_INSTANCES.class(Codec::Protobuf);
                    match Push::decode(class.as_bytes(), 11, &body).unwrap().0 {
                        Push::ReceivedData(body) => body.data,
                        other => panic!("{other:?}"),
                    }
                }
            };
            assert_eq!(told, Some(zones));
        }
    }
}

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What happens to a [`RegistryClient`](super::RegistryClient). Services go by their unique names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistryEvent {
    /// Connected to a server of the registry; everything is registered there again.
    Connected {
        /// The server.
        addr: SocketAddr,
    },
    /// The connection ended. Lists stay as they are.
    Lost {
        /// The server.
        addr: SocketAddr,
        /// Why.
        reason: String,
    },
    /// ZooKeeper has forgotten this client; what it published is not listed until it is connected again.
    SessionExpired,
    /// A server could not be connected to.
    ConnectFailed {
        /// The server.
        addr: SocketAddr,
        /// Why.
        reason: String,
    },
    /// No endpoint told which servers there are.
    NoServers {
        /// Why.
        reason: String,
    },
    /// The registry took a publisher or subscriber.
    Registered {
        /// The service.
        service: String,
        /// The registration.
        regist_id: String,
    },
    /// The registry says that it never will take a registration. It is tried again on the next connection.
    Refused {
        /// The service.
        service: String,
        /// The registration.
        regist_id: String,
        /// Why.
        reason: String,
    },
    /// A registration was not answered, or not taken for now; it is sent again.
    NotRegistered {
        /// The service.
        service: String,
        /// The registration.
        regist_id: String,
        /// Why.
        reason: String,
    },
    /// Consumers see another list.
    ListChanged {
        /// The service.
        service: String,
        /// How many instances.
        instances: usize,
    },
    /// A list lost so much right after connecting that it is not believed yet ([`GuardRule`](super::GuardRule)).
    ListHeldBack {
        /// The service.
        service: String,
        /// Instances in the list that is kept.
        kept: usize,
        /// Instances in the list that came.
        came: usize,
    },
    /// A list that was held back is believed, because nothing better came.
    ListReleased {
        /// The service.
        service: String,
        /// How many instances.
        instances: usize,
    },
    /// No registry told a list in time: consumers see the one of the snapshot.
    SnapshotUsed {
        /// The service.
        service: String,
        /// How many instances.
        instances: usize,
    },
    /// The snapshot could not be read or written.
    SnapshotFailed {
        /// Its file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A push had nothing newer than what is known.
    PushOutdated {
        /// The service.
        service: String,
        /// Its version.
        version: i64,
    },
    /// A push could not be taken. The list stays as it is.
    PushRefused {
        /// Why.
        reason: String,
    },
    /// An instance of a list cannot be called and was left out.
    InstanceUnreadable {
        /// The service.
        service: String,
        /// Why.
        reason: String,
    },
}

/// Is told of every [`RegistryEvent`] on a thread that carries connections: it must not block.
pub type RegistryEvents = Arc<dyn Fn(&RegistryEvent) + Send + Sync>;

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident = $event:ident,)*) => {
        /// How often each [`RegistryEvent`] happened. Read with [`snapshot`](Self::snapshot).
        #[derive(Debug, Default)]
        pub struct RegistryStats {
            $($(#[$doc])* pub $name: AtomicU64,)*
        }

        impl RegistryStats {
            /// Name and value of every counter.
            pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Relaxed)),)*]
            }

            pub(super) fn count(&self, event: &RegistryEvent) {
                let counter = match event {
                    $(RegistryEvent::$event { .. } => &self.$name,)*
                };
                counter.fetch_add(1, Relaxed);
            }
        }
    };
}

stats! {
    /// Connections made.
    connected = Connected,
    /// Connections ended.
    lost = Lost,
    /// Sessions that ZooKeeper has forgotten.
    sessions_expired = SessionExpired,
    /// Attempts to connect that failed.
    connect_failed = ConnectFailed,
    /// Times that no endpoint told servers.
    no_servers = NoServers,
    /// Registrations taken.
    registered = Registered,
    /// Registrations refused for good.
    refused = Refused,
    /// Registrations to be sent again.
    not_registered = NotRegistered,
    /// Lists changed for consumers.
    lists_changed = ListChanged,
    /// Lists held back.
    lists_held_back = ListHeldBack,
    /// Lists believed after all.
    lists_released = ListReleased,
    /// Lists taken from the snapshot.
    snapshots_used = SnapshotUsed,
    /// Times that the snapshot could not be read or written.
    snapshots_failed = SnapshotFailed,
    /// Pushes with nothing newer.
    pushes_outdated = PushOutdated,
    /// Pushes that could not be taken.
    pushes_refused = PushRefused,
    /// Instances left out because they cannot be read.
    instances_unreadable = InstanceUnreadable,
}

impl RegistryEvent {
    pub(super) fn log(&self) {
        match self {
            Self::Connected { addr } => tracing::info!(%addr, "registry connected"),
            Self::Lost { addr, reason } => tracing::warn!(%addr, reason, "registry lost"),
            Self::SessionExpired => {
                tracing::warn!("session expired, everything is registered anew")
            }
            Self::ConnectFailed { addr, reason } => {
                tracing::warn!(%addr, reason, "registry not reached");
            }
            Self::NoServers { reason } => tracing::warn!(reason, "no server of the registry known"),
            Self::Registered { service, regist_id } => {
                tracing::info!(service, regist_id, "registered");
            }
            Self::Refused {
                service,
                regist_id,
                reason,
            } => tracing::error!(service, regist_id, reason, "registration refused"),
            Self::NotRegistered {
                service,
                regist_id,
                reason,
            } => tracing::warn!(
                service,
                regist_id,
                reason,
                "not registered yet, trying again"
            ),
            Self::ListChanged { service, instances } => {
                tracing::info!(service, instances, "list changed");
            }
            Self::ListHeldBack {
                service,
                kept,
                came,
            } => tracing::warn!(service, kept, came, "list held back"),
            Self::ListReleased { service, instances } => {
                tracing::warn!(service, instances, "list that was held back is believed");
            }
            Self::SnapshotUsed { service, instances } => {
                tracing::warn!(service, instances, "list from the snapshot");
            }
            Self::SnapshotFailed { path, reason } => {
                tracing::warn!(path = %path.display(), reason, "snapshot failed");
            }
            Self::PushOutdated { service, version } => {
                tracing::debug!(service, version, "push outdated");
            }
            Self::PushRefused { reason } => tracing::warn!(reason, "push refused"),
            Self::InstanceUnreadable { service, reason } => {
                tracing::warn!(service, reason, "instance left out");
            }
        }
    }
}

//! All registrations and lists of a client, through all its connections.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use diwan_registry_wire::{ReceivedData, RegisterResponse, Request};

use super::super::event::RegistryEvent;
use super::list::{GuardRule, Instances};
use super::lists::{ServiceLists, Shown, Told};
use super::registration::{Identity, Progress, RegistId, Registration, Wanted};

/// Bounds and times of a client.
#[derive(Clone, Debug)]
pub(in super::super) struct Config {
    pub(in super::super) identity: Identity,
    pub(in super::super) guard: GuardRule,
    /// If no list has come by then, the snapshot's is shown.
    pub(in super::super) snapshot_after: Duration,
    /// What was not taken is sent again after this.
    pub(in super::super) retry_after: Duration,
    /// Registrations on their way.
    pub(in super::super) in_flight_max: usize,
    /// Instances of a list.
    pub(in super::super) instances_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            identity: Identity::default(),
            guard: GuardRule::default(),
            snapshot_after: Duration::from_secs(1),
            retry_after: Duration::from_secs(1),
            in_flight_max: 64,
            instances_max: 100_000,
        }
    }
}

/// Both clocks.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Now {
    /// One that never goes back.
    pub(in super::super) monotonic: Duration,
    /// Milliseconds since 1970: only written into registrations.
    pub(in super::super) unix_ms: i64,
}

/// Which request an answer belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Ticket {
    connection: u64,
    id: RegistId,
    version: i64,
}

/// Why a push is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum PushError {
    #[error("a push of {data_id:?} lacks its {what}")]
    Missing { data_id: String, what: &'static str },
    #[error("a push of {data_id:?} is for none of our subscribers")]
    NoSubscriber { data_id: String },
    #[error("a push of {data_id:?} has {instances} instances, {limit} are the most")]
    TooMany {
        data_id: String,
        instances: usize,
        limit: usize,
    },
}

pub(in super::super) struct State {
    config: Config,
    registrations: BTreeMap<RegistId, Registration>,
    /// Registrations to be sent.
    due: BTreeSet<(Duration, RegistId)>,
    lists: ServiceLists,
    /// Counts connections; there is one while `connected`.
    connection: u64,
    connected: bool,
    in_flight: usize,
    events: Vec<RegistryEvent>,
    ended: Vec<(RegistId, bool)>,
}

impl State {
    pub(in super::super) fn new(config: Config, snapshot: BTreeMap<String, Instances>) -> Self {
        let lists = ServiceLists::new(config.guard, config.snapshot_after, snapshot);
        Self {
            config,
            registrations: BTreeMap::new(),
            due: BTreeSet::new(),
            lists,
            connection: 0,
            connected: false,
            in_flight: 0,
            events: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// A publisher or subscriber begins. Its id is new.
    pub(in super::super) fn register(
        &mut self,
        id: RegistId,
        service: &str,
        wanted: Wanted,
        now: Now,
    ) {
        if wanted == Wanted::Subscribe {
            self.lists.add(&id, service, now.monotonic);
        }
        let registration = Registration {
            service: service.to_owned(),
            wanted,
            ends: false,
            version: 1,
            timestamp_ms: now.unix_ms,
            progress: Progress::Done,
        };
        self.registrations.insert(id.clone(), registration);
        self.schedule(&id, now.monotonic);
    }

    /// It ends. While there is no connection that is all: the registry drops by itself who does not come back.
    pub(in super::super) fn unregister(&mut self, id: &RegistId, now: Now) {
        let Some(registration) = self.registrations.get_mut(id) else {
            return self.ended.push((id.clone(), false));
        };
        if std::mem::replace(&mut registration.ends, true) {
            return;
        }
        registration.version += 1;
        registration.timestamp_ms = now.unix_ms;
        if self.connected {
            self.schedule(id, now.monotonic);
        } else {
            self.remove(id, false);
        }
    }

    /// There is a connection: everything is registered on it.
    pub(in super::super) fn connected(&mut self, now: Now) {
        self.connection += 1;
        self.connected = true;
        self.in_flight = 0;
        self.lists.connected();
        let ids: Vec<RegistId> = self.registrations.keys().cloned().collect();
        for id in ids {
            if let Some(registration) = self.registrations.get_mut(&id) {
                registration.timestamp_ms = now.unix_ms;
            }
            self.schedule(&id, now.monotonic);
        }
    }

    /// The connection ended. Lists stay.
    pub(in super::super) fn disconnected(&mut self) {
        self.connected = false;
        self.in_flight = 0;
        self.lists.disconnected();
        let ends = |(id, one): (&RegistId, &Registration)| one.ends.then(|| id.clone());
        let ended: Vec<RegistId> = self.registrations.iter().filter_map(ends).collect();
        for id in ended {
            self.remove(&id, false);
        }
    }

    /// A registration was answered, or was not.
    pub(in super::super) fn answered(
        &mut self,
        ticket: &Ticket,
        answer: Result<RegisterResponse, String>,
        now: Now,
    ) {
        if !self.connected || ticket.connection != self.connection {
            return;
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        let id = &ticket.id;
        let Some(registration) = self.registrations.get_mut(id) else {
            return;
        };
        if registration.version != ticket.version || registration.progress != Progress::Sent {
            // It has changed since, and was sent again.
            return;
        }
        let service = registration.service.clone();
        let regist_id = id.0.clone();
        let reason = match answer {
            Ok(answer) if answer.refused => {
                registration.progress = Progress::Refused;
                let reason = answer.message.unwrap_or_default();
                self.events.push(RegistryEvent::Refused {
                    service,
                    regist_id,
                    reason,
                });
                if registration.ends {
                    self.remove(id, false);
                }
                return;
            }
            Ok(answer) if answer.success && answer.version == ticket.version => {
                registration.progress = Progress::Done;
                if registration.ends {
                    self.remove(id, true);
                } else {
                    self.events
                        .push(RegistryEvent::Registered { service, regist_id });
                }
                return;
            }
            Ok(answer) if answer.success => format!(
                "version {} was acknowledged, {} was sent",
                answer.version, ticket.version
            ),
            Ok(answer) => answer.message.unwrap_or_else(|| "not taken".to_owned()),
            Err(reason) => reason,
        };
        self.events.push(RegistryEvent::NotRegistered {
            service,
            regist_id,
            reason,
        });
        self.schedule(id, now.monotonic + self.config.retry_after);
    }

    /// A list came.
    /// # Errors
    /// It is not usable; nothing changes.
    pub(in super::super) fn pushed(
        &mut self,
        push: ReceivedData,
        now: Now,
    ) -> Result<(), PushError> {
        let data_id: String = push.data_id.unwrap_or_default().chars().take(200).collect();
        let missing = |what| PushError::Missing {
            data_id: data_id.clone(),
            what,
        };
        let subscribers = push
            .subscriber_regist_ids
            .ok_or_else(|| missing("subscribers"))?;
        let version = push.version.ok_or_else(|| missing("version"))?;
        let zones = push.data.ok_or_else(|| missing("data"))?;
        let limit = self.config.instances_max;
        let instances: usize = zones.values().map(Vec::len).sum();
        if instances > limit {
            return Err(PushError::TooMany {
                data_id,
                instances,
                limit,
            });
        }
        // The original's consumers call their own cell only, if they are in one; without instances there, ours call all.
        // sofastack/sofa-rpc:registry/registry-sofa/.../SofaRegistrySubscribeCallback.java
        let local_zone = push
            .local_zone
            .filter(|zone| !zone.is_empty() && !zone.eq_ignore_ascii_case(DEFAULT_ZONE));
        let local = local_zone.and_then(|local| {
            zones
                .iter()
                .find(|(zone, boxes)| zone.eq_ignore_ascii_case(&local) && !boxes.is_empty())
                .map(|(_, boxes)| boxes.clone())
        });
        let boxes = local.unwrap_or_else(|| zones.into_values().flatten().collect());
        let all: BTreeSet<String> = boxes.into_iter().filter_map(|one| one.data).collect();
        let instances: Instances = all.into_iter().collect();
        let segment = push.segment.unwrap_or_default();
        let mut any = false;
        for id in subscribers {
            let id = RegistId(id);
            let told = Told {
                segment: segment.clone(),
                version,
                instances: instances.clone(),
            };
            any |= self.lists.told(&id, told, now.monotonic, &mut self.events);
        }
        if any {
            Ok(())
        } else {
            Err(PushError::NoSubscriber { data_id })
        }
    }

    /// Carries out what time has brought.
    pub(in super::super) fn advance(&mut self, now: Now) {
        self.lists.advance(now.monotonic, &mut self.events);
    }

    /// What is to be sent now.
    pub(in super::super) fn requests(&mut self, now: Now) -> Vec<(Ticket, Request)> {
        let mut requests = Vec::new();
        while self.connected && self.in_flight < self.config.in_flight_max {
            match self.due.first() {
                Some((at, _)) if *at <= now.monotonic => {}
                _ => break,
            }
            let Some((_, id)) = self.due.pop_first() else {
                break;
            };
            let Some(registration) = self.registrations.get_mut(&id) else {
                continue;
            };
            registration.progress = Progress::Sent;
            self.in_flight += 1;
            let request = registration.request(&id, &self.config.identity);
            let ticket = Ticket {
                connection: self.connection,
                version: registration.version,
                id,
            };
            requests.push((ticket, request));
        }
        requests
    }

    /// Lists that consumers are to see from now on.
    pub(in super::super) fn shown(&mut self) -> Vec<Shown> {
        self.lists.shown(&mut self.events)
    }

    /// What happened since it was asked last.
    pub(in super::super) fn events(&mut self) -> Vec<RegistryEvent> {
        std::mem::take(&mut self.events)
    }

    /// Registrations that have ended, and whether the registry said so.
    pub(in super::super) fn ended(&mut self) -> Vec<(RegistId, bool)> {
        std::mem::take(&mut self.ended)
    }

    /// The lists that were asked for.
    pub(in super::super) fn lists(&mut self) -> &mut ServiceLists {
        &mut self.lists
    }

    /// Publishers that have not ended.
    pub(in super::super) fn publishers(&self) -> usize {
        let publishes = |one: &&Registration| one.wanted != Wanted::Subscribe;
        self.registrations.values().filter(publishes).count()
    }

    /// When there is something to do without any input.
    pub(in super::super) fn next_deadline(&self) -> Option<Duration> {
        let may_send = self.connected && self.in_flight < self.config.in_flight_max;
        let due = self
            .due
            .first()
            .filter(|_| may_send)
            .map(|(at, _)| *at)
            .into_iter();
        due.chain(self.lists.next_deadline()).min()
    }

    fn schedule(&mut self, id: &RegistId, at: Duration) {
        let Some(registration) = self.registrations.get_mut(id) else {
            return;
        };
        if let Progress::Due(before) = registration.progress {
            self.due.remove(&(before, id.clone()));
        }
        registration.progress = Progress::Due(at);
        self.due.insert((at, id.clone()));
    }

    fn remove(&mut self, id: &RegistId, told: bool) {
        if let Some(registration) = self.registrations.remove(id)
            && let Progress::Due(at) = registration.progress
        {
            self.due.remove(&(at, id.clone()));
        }
        self.lists.remove(id);
        self.ended.push((id.clone(), told));
    }
}

/// The cell of clients that are in none.
pub(super) const DEFAULT_ZONE: &str = "DEFAULT_ZONE";

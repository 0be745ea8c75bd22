//! What a client makes of its state, whatever registry it speaks to: lists for consumers, the file with the last ones, events.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::announcement::{needs_lookup, provider};
use super::client::{Lists, RegistryOptions};
use super::driver::Input;
use super::event::{RegistryEvent, RegistryEvents, RegistryStats};
use super::snapshot;
use super::state::{Instances, ServiceLists, Shown};
use crate::client::Provider;

/// What changes so soon after another change is written into the snapshot together with it.
const SNAPSHOT_DELAY: Duration = Duration::from_millis(200);

pub(super) struct Display {
    inputs: mpsc::UnboundedSender<Input>,
    lists: Lists,
    stats: Arc<RegistryStats>,
    events: Option<RegistryEvents>,
    snapshot: Option<PathBuf>,
    /// The number of the newest list of each service that has to be looked up.
    reading: HashMap<String, u64>,
    /// When the snapshot is to be written.
    snapshot_at: Option<Duration>,
    writing: bool,
}

impl Display {
    /// Reads the snapshot, too.
    pub(super) fn new(
        options: &RegistryOptions,
        inputs: mpsc::UnboundedSender<Input>,
        lists: Lists,
        stats: Arc<RegistryStats>,
    ) -> (Self, BTreeMap<String, Instances>) {
        let display = Self {
            inputs,
            lists,
            stats,
            events: options.events.clone(),
            snapshot: options.snapshot.clone(),
            reading: HashMap::new(),
            snapshot_at: None,
            writing: false,
        };
        let saved = options.snapshot.as_ref().map(|path| {
            snapshot::read(path).unwrap_or_else(|error| {
                display.happened(&snapshot_failed(path, error.to_string()));
                BTreeMap::new()
            })
        });
        (display, saved.unwrap_or_default())
    }

    pub(super) fn happened(&self, event: &RegistryEvent) {
        event.log();
        self.stats.count(event);
        if let Some(events) = &self.events {
            events(event);
        }
    }

    /// Somebody follows a list.
    pub(super) fn is_followed(&self) -> bool {
        let lists = self.lists.lock();
        lists.values().any(|list| list.sender.receiver_count() > 0)
    }

    /// When there is something to be written.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.snapshot_at.filter(|_| !self.writing)
    }

    /// Makes providers of a list and shows them.
    pub(super) fn show(&mut self, shown: Shown) {
        let Shown { service, instances } = shown;
        let number = self.reading.entry(service.clone()).or_default();
        *number += 1;
        let number = *number;
        if !instances.iter().any(|data| needs_lookup(data)) {
            let (providers, unreadable) = read_all(&instances);
            return self.publish(&service, providers, unreadable);
        }
        let inputs = self.inputs.clone();
        tokio::task::spawn_blocking(move || {
            let (providers, unreadable) = read_all(&instances);
            let _ = inputs.send(Input::Read(service, number, providers, unreadable));
        });
    }

    /// The providers of the list with this number have been looked up.
    pub(super) fn read(
        &self,
        service: &str,
        number: u64,
        providers: Vec<Provider>,
        unreadable: Vec<String>,
    ) {
        if self.reading.get(service) == Some(&number) {
            self.publish(service, providers, unreadable);
        }
    }

    fn publish(&self, service: &str, providers: Vec<Provider>, unreadable: Vec<String>) {
        for reason in unreadable {
            let service = service.to_owned();
            self.happened(&RegistryEvent::InstanceUnreadable { service, reason });
        }
        if let Some(listed) = self.lists.lock().get_mut(service) {
            listed.known = true;
            listed.sender.send_replace(providers.into());
        }
    }

    /// Writes the snapshot when it is time.
    pub(super) fn save(&mut self, lists: &mut ServiceLists, now: Duration) {
        let Some(path) = self.snapshot.clone() else {
            return;
        };
        if lists.has_changed_snapshot() {
            self.snapshot_at.get_or_insert(now + SNAPSHOT_DELAY);
        }
        if self.writing || self.snapshot_at.take_if(|at| *at <= now).is_none() {
            return;
        }
        if let Some(lists) = lists.changed_snapshot().cloned() {
            self.writing = true;
            let inputs = self.inputs.clone();
            tokio::task::spawn_blocking(move || {
                let written = snapshot::write(&path, lists).map_err(|error| error.to_string());
                let _ = inputs.send(Input::SnapshotWritten(written));
            });
        }
    }

    pub(super) fn saved(&mut self, result: Result<(), String>) {
        self.writing = false;
        if let (Err(reason), Some(path)) = (result, &self.snapshot) {
            self.happened(&snapshot_failed(path, reason));
        }
    }
}

fn snapshot_failed(path: &Path, reason: String) -> RegistryEvent {
    let path: PathBuf = path.to_owned();
    RegistryEvent::SnapshotFailed { path, reason }
}

fn read_all(instances: &[String]) -> (Vec<Provider>, Vec<String>) {
    let mut unreadable = Vec::new();
    let providers = instances
        .iter()
        .filter_map(|data| {
            provider(data)
                .map_err(|error| unreadable.push(error.to_string()))
                .ok()
        })
        .collect();
    (providers, unreadable)
}

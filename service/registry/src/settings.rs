//! What all nodes must agree on: settings that clients watch (the original's "persistent data"). They are commands of a log.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use diwan_log::{Command, SnapshotWriter, StateMachine};
use diwan_registry_wire::Version;
use serde::{Deserialize, Serialize};

use crate::state::{ServiceName, Setting};

/// Settings there may be.
pub const SETTINGS_MAX: usize = 100_000;
/// Bytes of one value.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// A change, as it stands in the log: JSON, so that a log can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The setting.
    pub name: ServiceName,
    /// What it is to be; None to remove it.
    pub value: Option<String>,
}

impl Change {
    /// The command for the log.
    /// # Errors
    /// The value is too long.
    pub fn command(&self) -> Result<Bytes, Refused> {
        self.conditional(None)
    }

    /// The same, to be carried out only if the setting still has this version; None if it was never set.
    /// # Errors
    /// The value is too long.
    pub fn command_if(&self, version: Option<Version>) -> Result<Bytes, Refused> {
        self.conditional(Some(version.unwrap_or_default().0))
    }

    fn conditional(&self, if_version: Option<i64>) -> Result<Bytes, Refused> {
        let bytes = self.value.as_ref().map_or(0, String::len);
        if bytes > VALUE_BYTES_MAX {
            return Err(Refused::TooLong(bytes));
        }
        // Text and nothing else: it always has a form.
        let entry = Entry {
            change: self.clone(),
            if_version,
        };
        Ok(serde_json::to_vec(&entry).unwrap_or_default().into())
    }
}

/// A change and its condition.
#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    change: Change,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    if_version: Option<i64>,
}

/// Why a change was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its value.
    #[error("a value of {0} bytes, {VALUE_BYTES_MAX} are the most")]
    TooLong(usize),
}

/// Is told what changed, on the log's thread.
type Told = Box<dyn Fn(&ServiceName, &Setting) + Send>;

#[derive(Default)]
struct Inner {
    all: BTreeMap<ServiceName, Setting>,
    told: Option<Told>,
}

/// The settings, shared between the log that changes them and whoever reads them.
#[derive(Clone, Default)]
pub struct Settings(Arc<Mutex<Inner>>);

impl Settings {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A setting as this node knows it.
    pub fn get(&self, name: &ServiceName) -> Option<Setting> {
        self.inner().all.get(name).cloned()
    }

    /// Tells everything there is, and from now on every change.
    pub fn watch(&self, told: impl Fn(&ServiceName, &Setting) + Send + 'static) {
        let mut inner = self.inner();
        inner
            .all
            .iter()
            .for_each(|(name, setting)| told(name, setting));
        inner.told = Some(Box::new(told));
    }

    /// The replica that the log drives.
    pub fn machine(&self) -> Box<dyn StateMachine> {
        Box::new(Replica(self.clone()))
    }
}

struct Replica(Settings);

/// What a change answers: nothing, or why it was refused.
const FULL: Bytes = Bytes::from_static(b"there are too many settings");
/// Somebody else changed the setting first.
pub const CHANGED: Bytes = Bytes::from_static(b"the setting has changed meanwhile");
const MALFORMED: Bytes = Bytes::from_static(b"not a change of this version");

impl StateMachine for Replica {
    fn apply(&mut self, command: Command<'_>) -> Bytes {
        let Ok(Entry { change, if_version }) = serde_json::from_slice(command.data) else {
            return MALFORMED;
        };
        let mut inner = self.0.inner();
        let known = inner.all.get(&change.name).map(|setting| setting.version);
        if if_version.is_some_and(|version| version != known.unwrap_or_default().0) {
            return CHANGED;
        }
        if known.is_none() && inner.all.len() >= SETTINGS_MAX {
            return FULL;
        }
        // A removed setting stays known: a later one must be newer.
        let version = Version::at(command.time.0 / 1_000).max(known.unwrap_or_default().next());
        let setting = Setting {
            version,
            value: change.value.map(Into::into),
        };
        if let Some(told) = &inner.told {
            told(&change.name, &setting);
        }
        inner.all.insert(change.name, setting);
        Bytes::new()
    }

    fn snapshot(&mut self) -> SnapshotWriter {
        let all = self.0.inner().all.clone();
        Box::new(move |out: &mut dyn Write| {
            for (name, setting) in &all {
                let line = (name, setting.version.0, setting.value.as_deref());
                serde_json::to_writer(&mut *out, &line)?;
                out.write_all(b"\n")?;
            }
            Ok(())
        })
    }

    fn restore(&mut self, snapshot: &mut dyn Read) -> io::Result<()> {
        type Line = (ServiceName, i64, Option<String>);
        let mut all = BTreeMap::new();
        for line in serde_json::Deserializer::from_reader(snapshot).into_iter::<Line>() {
            let (name, version, value) = line?;
            let setting = Setting {
                version: Version(version),
                value: value.map(Into::into),
            };
            all.insert(name, setting);
            if all.len() > SETTINGS_MAX {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "too many settings",
                ));
            }
        }
        let mut inner = self.0.inner();
        if let Some(told) = &inner.told {
            all.iter().for_each(|(name, setting)| told(name, setting));
        }
        inner.all = all;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use diwan_log::LogTime;

    use super::*;

    fn apply(machine: &mut dyn StateMachine, data: &Bytes) -> Bytes {
        machine.apply(Command {
            index: 1,
            epoch: 1,
            time: LogTime(1_800_000_000_000_000),
            data,
        })
    }

    fn change(value: Option<&str>) -> Change {
        Change {
            name: ServiceName::new("switch", None, None),
            value: value.map(Into::into),
        }
    }

    #[test]
    fn each_change_is_newer_and_a_snapshot_brings_them_back() {
        let settings = Settings::default();
        let (tell, told) = std::sync::mpsc::channel();
        settings.watch(move |_, setting| tell.send(setting.clone()).unwrap());
        let mut machine = settings.machine();
        for value in [Some("on"), None, Some("off")] {
            assert_eq!(apply(&mut *machine, &change(value).command().unwrap()), "");
        }
        assert_eq!(apply(&mut *machine, &Bytes::from_static(b"{}")), MALFORMED);
        let told: Vec<_> = told.try_iter().collect();
        assert!(told.is_sorted_by(|one, next| one.version < next.version));
        assert_eq!(told[1].value, None);
        let mut snapshot = Vec::new();
        machine.snapshot()(&mut snapshot).unwrap();
        let other = Settings::default();
        other.machine().restore(&mut snapshot.as_slice()).unwrap();
        let name = change(None).name;
        assert_eq!(other.get(&name), settings.get(&name));
        assert_eq!(other.get(&name).as_ref(), told.last());
        assert!(other.machine().restore(&mut &b"[1]"[..]).is_err());
    }

    #[test]
    fn a_condition_is_about_the_version() {
        let settings = Settings::default();
        let mut machine = settings.machine();
        let entry = change(Some("on"));
        let first = entry.command_if(None).unwrap();
        assert_eq!(apply(&mut *machine, &first), "");
        assert_eq!(apply(&mut *machine, &first), CHANGED);
        let version = settings.get(&entry.name).unwrap().version;
        let next = change(None).command_if(Some(version)).unwrap();
        assert_eq!(apply(&mut *machine, &next), "");
        assert_eq!(apply(&mut *machine, &next), CHANGED);
        // As commands were before there were conditions.
        let old = br#"{"name":{"data_id":"switch","instance_id":"DEFAULT_INSTANCE_ID","group":"DEFAULT_GROUP"},"value":"x"}"#;
        assert_eq!(change(Some("x")).command().unwrap(), &old[..]);
        assert_eq!(apply(&mut *machine, &Bytes::from_static(old)), "");
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let long = change(Some(&"x".repeat(VALUE_BYTES_MAX + 1)));
        assert_eq!(long.command(), Err(Refused::TooLong(VALUE_BYTES_MAX + 1)));
    }
}

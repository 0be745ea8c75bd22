//! What became of a state or a saga (`apache/incubator-seata:saga/seata-saga-statelang`, `ExecutionStatus.java`).

use std::fmt;

use serde::{Deserialize, Serialize};

/// What became of a state or a saga; of what it did, or of its compensation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Status {
    /// Running.
    #[serde(rename = "RU")]
    Running,
    /// Succeeded.
    #[serde(rename = "SU")]
    Succeeded,
    /// Failed, and nothing was done.
    #[serde(rename = "FA")]
    Failed,
    /// Nobody knows whether something was done.
    #[serde(rename = "UN")]
    Unknown,
    /// Skipped by somebody.
    #[serde(rename = "SK")]
    Skipped,
}

impl Status {
    /// The status that Seata calls so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RU" => Self::Running,
            "SU" => Self::Succeeded,
            "FA" => Self::Failed,
            "UN" => Self::Unknown,
            "SK" => Self::Skipped,
            _ => return None,
        })
    }

    /// What Seata calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "RU",
            Self::Succeeded => "SU",
            Self::Failed => "FA",
            Self::Unknown => "UN",
            Self::Skipped => "SK",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

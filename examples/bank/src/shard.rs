//! Which accounts are kept together, and where the services that keep them are found.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use diwan::rpc::SetupError;
use diwan::rpc::registry::{RegistryClient, RegistryOptions, Servers};

/// Account numbers from one to before another, `0..500`. One account service keeps them at a time; in the registry it has their
/// name behind its interface's and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    from: u32,
    to: u32,
}

impl Shard {
    /// Accounts `from..to`.
    pub fn new(from: u32, to: u32) -> Self {
        Self { from, to }
    }

    pub(crate) fn range(self) -> Range<u32> {
        self.from..self.to
    }

    /// `0-500`.
    pub(crate) fn unique_id(self) -> String {
        format!("{}-{}", self.from, self.to)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.from, self.to)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (from, to) = text.split_once("..")?;
            let (from, to) = (from.parse().ok()?, to.parse().ok()?);
            (from < to).then_some(Self { from, to })
        };
        parse().ok_or_else(|| format!("{text:?} is not of the form 0..500"))
    }
}

/// A client of the registry whose servers are told at these addresses.
pub(crate) fn registry(app: &str, addresses: &[String]) -> Result<RegistryClient, SetupError> {
    RegistryClient::start(RegistryOptions {
        app: Some(app.to_owned()),
        ..RegistryOptions::new(Servers::Ask(addresses.to_vec()))
    })
}

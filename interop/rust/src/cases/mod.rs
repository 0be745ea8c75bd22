//! The cases of the kitchen against any server of it, named as the Java client names them.

mod failures;
mod generic;
mod greetings;
mod manners;
mod many;
mod structures;
mod values;

use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::time::Duration;

use diwan::hessian::Limits;
use diwan::net::bolt::ClientOptions;
use diwan::rpc::{Consumer, ConsumerOptions, RpcError, ServiceClient, SetupError};

pub use greetings::greetings;

use crate::{KitchenClient, KitchenService};

/// What of a wrong answer is shown.
const SHOWN_MAX: usize = 300;

/// Why a case is wrong.
#[derive(Debug)]
pub struct Wrong(String);

impl<E: Display> From<RpcError<E>> for Wrong {
    fn from(error: RpcError<E>) -> Self {
        Self(error.to_string())
    }
}

impl From<SetupError> for Wrong {
    fn from(error: SetupError) -> Self {
        Self(error.to_string())
    }
}

impl From<String> for Wrong {
    fn from(problem: String) -> Self {
        Self(problem)
    }
}

/// How a case ends.
pub type Outcome = Result<(), Wrong>;

/// Which cases run, and how many were wrong.
#[derive(Debug, Default)]
pub struct Run {
    only: BTreeSet<String>,
    skip: BTreeSet<String>,
    seen: BTreeSet<String>,
    ran: usize,
    wrong: usize,
}

impl Run {
    /// Of the cases in `only`, or all of them if it is empty, without those in `skip`.
    pub fn new(only: Vec<String>, skip: Vec<String>) -> Self {
        Self {
            only: only.into_iter().collect(),
            skip: skip.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Runs a case, if it is wanted, and prints how it ended.
    pub async fn case(&mut self, name: &str, work: impl Future<Output = Outcome>) {
        self.seen.insert(name.into());
        if (self.only.is_empty() || self.only.contains(name)) && !self.skip.contains(name) {
            self.check(name, work).await;
        }
    }

    /// A case that wants a server of its own: it runs only when named.
    pub async fn special(&mut self, name: &str, work: impl Future<Output = Outcome>) {
        self.seen.insert(name.into());
        if self.only.contains(name) {
            self.check(name, work).await;
        }
    }

    async fn check(&mut self, name: &str, work: impl Future<Output = Outcome>) {
        self.ran += 1;
        match work.await {
            Ok(()) => println!("ok {name}"),
            Err(Wrong(problem)) => {
                self.wrong += 1;
                println!("WRONG {name}: {}", shortened(&problem));
            }
        }
    }

    /// Prints the sum; whether all is well.
    pub fn finish(self) -> bool {
        let unknown: Vec<&String> = (self.only.iter().chain(&self.skip))
            .filter(|name| !self.seen.contains(*name))
            .collect();
        if !unknown.is_empty() {
            println!("no such case: {unknown:?}; there are {:?}", self.seen);
        }
        println!("{} cases, {} wrong", self.ran, self.wrong);
        self.wrong == 0 && self.ran > 0 && unknown.is_empty()
    }
}

/// A server of the kitchen.
pub struct Remote {
    url: String,
    kitchen: KitchenClient,
    /// Knows what the answers should be.
    local: KitchenService,
}

impl Remote {
    /// At an address.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn new(host: &str, port: u16) -> Result<Self, Wrong> {
        let url = format!("bolt://{host}:{port}");
        Ok(Self {
            kitchen: KitchenClient::direct(&url, options())?,
            url,
            local: KitchenService::default(),
        })
    }

    fn kitchen_with(&self, options: ConsumerOptions) -> Result<KitchenClient, Wrong> {
        Ok(KitchenClient::direct(&self.url, options)?)
    }

    /// A consumer without types.
    fn any(&self, interface: &str) -> Result<Consumer, Wrong> {
        let version = "1.0".into();
        let options = ConsumerOptions {
            version,
            ..options()
        };
        Ok(Consumer::direct(interface, &self.url, options)?)
    }
}

/// Five seconds, heartbeats that are soon enough to be seen, values as deep as the cases want.
fn options() -> ConsumerOptions {
    ConsumerOptions {
        timeout: Duration::from_secs(5),
        connection: ClientOptions {
            heartbeat_interval: Duration::from_millis(300),
            ..ClientOptions::default()
        },
        hessian: Limits {
            depth_max: 500,
            ..Limits::default()
        },
        ..ConsumerOptions::default()
    }
}

/// Runs every case, and `calls` calls of changing content.
pub async fn kitchen(run: &mut Run, remote: &Remote, calls: u32, seed: u64) {
    values::run(run, remote).await;
    structures::run(run, remote).await;
    failures::run(run, remote).await;
    manners::run(run, remote).await;
    generic::run(run, remote).await;
    many::run(run, remote, calls, seed).await;
}

/// The remote answer to each input against the local one, as they are or as the view shows them.
macro_rules! each {
    ($run:ident, $remote:ident, $name:literal, $method:ident, $inputs:expr) => {
        each!(
            $run,
            $remote,
            $name,
            $method,
            $inputs,
            std::convert::identity
        )
    };
    ($run:ident, $remote:ident, $name:literal, $method:ident, $inputs:expr, $view:expr) => {
        $run.case($name, async {
            for input in $inputs {
                let expected = $crate::Kitchen::$method(&$remote.local, input.clone()).await;
                let got = $remote.kitchen.$method(input.clone()).await;
                let got = got.map_err(|error| {
                    $crate::cases::Wrong::from(format!(
                        "for {}: {error}",
                        $crate::cases::shortened(&format!("{input:?}"))
                    ))
                })?;
                $crate::cases::equal(&$view(expected), &$view(got))?;
            }
            Ok(())
        })
        .await
    };
}
use each;

fn equal<T: PartialEq + Debug>(expected: &T, got: &T) -> Outcome {
    if expected == got {
        return Ok(());
    }
    let (expected, got) = (format!("{expected:?}"), format!("{got:?}"));
    let same = (expected.chars().zip(got.chars())).take_while(|(a, b)| a == b);
    let at = same.count();
    let from =
        |text: &str| shortened(&text.chars().skip(at.saturating_sub(20)).collect::<String>());
    Err(Wrong(format!(
        "at {at} expected {} but got {}",
        from(&expected),
        from(&got)
    )))
}

fn is_true(what: &str, holds: bool) -> Outcome {
    if holds {
        Ok(())
    } else {
        Err(Wrong(format!("not so: {what}")))
    }
}

fn shortened(text: &str) -> String {
    let line = text.replace(['\n', '\r'], " ");
    match line.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

//! A transfer as a saga: the money is taken from one account and given to the other, by account services that know nothing of each
//! other. Until it is given, whatever goes wrong takes it back; from then on there is only one way, forward, because it may be
//! spent. The sagas run at a node, and survive it.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::http::Http;
use crate::shard::Shard;
use crate::transfers_file::Transfer;

/// Connections to the node that are kept while nobody uses them.
const IDLE_MAX: usize = 256;
/// The node is asked to answer within this; then it is asked again.
const WAIT_MS: u64 = 5_000;
const PAUSE: Duration = Duration::from_millis(50);

/// The node that runs the sagas.
pub(crate) struct Sagas {
    addr: SocketAddr,
    idle: Mutex<Vec<Http>>,
}

/// How a transfer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Both sides are booked.
    Done,
    /// Nothing is booked.
    Rejected(String),
    /// Not known yet: to be asked again with the same id.
    Unknown(String),
}

/// What the node says of a saga.
#[derive(Debug, Deserialize)]
struct Said {
    #[serde(default)]
    status: String,
    #[serde(default)]
    compensation_status: Option<String>,
    #[serde(default)]
    is_running: bool,
    #[serde(default)]
    trouble: Option<String>,
    /// It refuses.
    #[serde(default)]
    error: Option<String>,
}

impl Sagas {
    pub(crate) fn at(addr: SocketAddr) -> Self {
        Self {
            addr,
            idle: Mutex::default(),
        }
    }

    fn connection(&self) -> Http {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop().unwrap_or_else(|| Http::new(self.addr))
    }

    fn give_back(&self, connection: Http) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }

    async fn post(&self, path: &str, body: &Value) -> std::io::Result<Said> {
        let mut connection = self.connection();
        let said = connection.post::<Said>(path, body).await;
        if said.is_ok() {
            self.give_back(connection);
        }
        said.map(|(_, said)| said)
    }

    /// Defines the machines of transfers between these shards, until the node has taken them.
    pub(crate) async fn define(&self, shards: &[Shard]) {
        for (from, to) in shards
            .iter()
            .flat_map(|from| shards.iter().map(move |to| (from, to)))
        {
            let machine = machine(*from, *to);
            loop {
                match self.post("/saga/v1/machines", &machine).await {
                    Ok(Said { error: None, .. }) => break,
                    Ok(Said {
                        error: Some(why), ..
                    }) => eprintln!("gateway: a machine is not taken: {why}"),
                    // The node is on its way.
                    Err(_) => {}
                }
                sleep(PAUSE).await;
            }
        }
    }

    /// Makes a transfer between accounts of two shards, or finds out what became of it.
    pub(crate) async fn make(
        &self,
        transfer: &Transfer,
        from: Shard,
        to: Shard,
        patience: Duration,
    ) -> Ending {
        let deadline = Instant::now() + patience;
        let start = json!({
            "id": transfer.id,
            "machine": name(from, to),
            "params": { "id": transfer.id, "from": transfer.from, "to": transfer.to, "cents": transfer.amount.0 },
            "wait_ms": WAIT_MS,
        });
        loop {
            let why = match self.post("/saga/v1/sagas", &start).await {
                Ok(said) => match ending(said) {
                    Ok(ending) => return ending,
                    Err(why) => why,
                },
                Err(error) => error.to_string(),
            };
            if Instant::now() > deadline {
                return Ending::Unknown(why);
            }
            sleep(PAUSE).await;
        }
    }
}

/// What a saga came to, or why nobody can say yet.
fn ending(said: Said) -> Result<Ending, String> {
    if let Some(why) = said.error {
        return Err(why);
    }
    let trouble = said.trouble.unwrap_or_default();
    if said.is_running {
        return Err("it is under way".into());
    }
    match (said.status.as_str(), said.compensation_status.as_deref()) {
        ("SU", None) => Ok(Ending::Done),
        ("FA", None) | (_, Some("SU")) => Ok(Ending::Rejected(trouble)),
        (status, _) => Err(format!("it is {status} and will be tried again: {trouble}")),
    }
}

fn name(from: Shard, to: Shard) -> String {
    format!("transfer-{}-{}", from.unique_id(), to.unique_id())
}

/// The machine of transfers from one shard to another, in Seata's state language.
fn machine(from: Shard, to: Shard) -> Value {
    let service = |shard: Shard| format!("com.diwan.bank.Accounts:1.0:{}", shard.unique_id());
    let refused = json!([{ "Exceptions": ["com.diwan.bank.AccountException"], "Next": "Refused" }]);
    json!({
        "Name": name(from, to),
        "Comment": "Debit, then credit; what was debited is taken back unless the credit may have been made",
        "StartState": "LookAtTarget",
        "RecoverStrategy": "Forward",
        "Extensions": { "recover": "Pivot" },
        "States": {
            "LookAtTarget": {
                "Type": "ServiceTask",
                "ServiceName": service(to),
                "ServiceMethod": "view",
                "ParameterTypes": ["java.lang.String"],
                "Input": ["$.[to]"],
                "Catch": refused,
                "Retry": [{ "IntervalSeconds": 0.1, "MaxAttempts": 50, "BackoffRate": 1.0 }],
                "Next": "Debit",
            },
            "Debit": {
                "Type": "ServiceTask",
                "ServiceName": service(from),
                "ServiceMethod": "debit",
                "ParameterTypes": ["java.lang.String", "java.lang.String", "long"],
                "Input": ["$.[id]", "$.[from]", "$.[cents]"],
                "IsForUpdate": true,
                "CompensateState": "TakeBack",
                "Extensions": { "effect": "debit", "account": "$.[from]", "amount": "$.[cents]" },
                "Catch": refused,
                "Retry": [{ "IntervalSeconds": 0.1, "MaxAttempts": 50, "BackoffRate": 1.0 }],
                "Next": "Credit",
            },
            "TakeBack": {
                "Type": "ServiceTask",
                "ServiceName": service(from),
                "ServiceMethod": "cancel",
                "ParameterTypes": ["java.lang.String"],
                "Input": ["$.[id]"],
            },
            "Credit": {
                "Type": "ServiceTask",
                "ServiceName": service(to),
                "ServiceMethod": "credit",
                "ParameterTypes": ["java.lang.String", "java.lang.String", "long"],
                "Input": ["$.[id]", "$.[to]", "$.[cents]"],
                "IsForUpdate": true,
                "Extensions": { "effect": "credit", "account": "$.[to]", "amount": "$.[cents]" },
                "Retry": [{ "IntervalSeconds": 0.1, "MaxAttempts": 50, "BackoffRate": 1.0 }],
                "Next": "Done",
            },
            "Refused": { "Type": "Fail", "ErrorCode": "REFUSED", "Message": "an account service has refused" },
            "Done": { "Type": "Succeed" },
        },
    })
}

#[cfg(test)]
mod tests {
    use diwan_saga::check::{Source, check};

    use super::*;

    /// What `diwan saga check --strict` says of the machine of transfers.
    #[test]
    fn a_transfer_loses_no_money_whatever_happens() {
        let text = machine(Shard::new(0, 500), Shard::new(500, 1000)).to_string();
        let source = Source {
            file: "transfer",
            text: &text,
        };
        let findings = check(&[source], true);
        let said: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(said.is_empty(), "{}", said.join("\n"));
    }
}

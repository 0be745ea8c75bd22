use std::time::Duration;

use diwan_seata::Identify;

use crate::TxSetupError;
use crate::state::{Config, Role};

/// What coordinators are told of the client's version: from 1.5 on they may batch answers, and from 2.0 on they have the usual form.
const VERSION: &str = "2.0.0";

/// How a [`TxClient`](crate::TxClient) works. Times are the original's where it has them.
#[derive(Clone, Debug)]
pub struct TxOptions {
    /// Coordinators: `host:port` each. Connections are kept to all of them.
    pub coordinators: Vec<String>,
    /// This application. A branch is told its end by a process of the same application.
    pub application: String,
    /// The group of transactions that it is in; coordinators only show it.
    pub group: String,
    /// A request is given up after this. It waits for a connection in this time, too.
    pub request_timeout: Duration,
    /// A connection is given up that is not made, or not accepted, within this.
    pub connect_timeout: Duration,
    /// A ping follows when nothing was sent for so long.
    pub ping_after: Duration,
    /// A connection over which nothing came for so long is made anew.
    pub silent_max: Duration,
    /// Requests on their way or waiting; more fail with [`TxError::TooManyRequests`](crate::TxError::TooManyRequests).
    pub requests_max: usize,
    /// Branches that are being committed or rolled back; of more the coordinator is told to ask again.
    pub orders_max: usize,
    /// How often the coordinator is asked to commit or to roll back until it has answered.
    pub end_attempts: u32,
}

impl TxOptions {
    /// The defaults for an application and its coordinators.
    pub fn new<A: Into<String>>(
        application: impl Into<String>,
        coordinators: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            coordinators: coordinators.into_iter().map(Into::into).collect(),
            application: application.into(),
            group: "default_tx_group".to_owned(),
            // apache/incubator-seata:common/src/main/java/org/apache/seata/common/DefaultValues.java (DEFAULT_RPC_TM_REQUEST_TIMEOUT,
            // DEFAULT_TM_COMMIT_RETRY_COUNT).
            request_timeout: Duration::from_secs(30),
            end_attempts: 5,
            connect_timeout: Duration::from_secs(10),
            // apache/incubator-seata:core/src/main/java/org/apache/seata/core/rpc/netty/NettyBaseConfig.java
            // (DEFAULT_WRITE_IDLE_SECONDS and three times as long).
            ping_after: Duration::from_secs(5),
            silent_max: Duration::from_secs(15),
            requests_max: 10_000,
            orders_max: 10_000,
        }
    }

    pub(crate) fn check(&self) -> Result<(), TxSetupError> {
        if self.coordinators.is_empty() {
            return Err(TxSetupError::NoCoordinator);
        }
        let is_bad = |address: &&String| {
            let port = address
                .rsplit_once(':')
                .map(|(_, port)| port.parse::<u16>());
            !matches!(port, Some(Ok(1..)))
        };
        match self.coordinators.iter().find(is_bad) {
            Some(address) => Err(TxSetupError::Address(address.clone())),
            None => Ok(()),
        }
    }

    pub(crate) fn config(&self, role: Role) -> Config {
        Config {
            role,
            identify: Identify {
                version: VERSION.to_owned(),
                application_id: self.application.clone(),
                transaction_group: self.group.clone(),
                extra_data: String::new(),
            },
            servers: self.coordinators.clone(),
            request_timeout: self.request_timeout,
            connect_timeout: self.connect_timeout,
            ping_after: self.ping_after,
            silent_max: self.silent_max,
            requests_max: self.requests_max,
            orders_max: self.orders_max,
        }
    }
}

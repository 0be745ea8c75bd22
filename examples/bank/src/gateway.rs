//! The gateway: takes transfers over HTTP and has them made by sagas, or makes them as transactions; looks accounts up by RPC.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Args;
use diwan::rpc::{ConsumerOptions, RpcError, ServiceClient};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::account::AccountsClient;
use crate::lifeline::end_with_parent;
use crate::money::{Cents, account_number};
use crate::saga::{Ending, Sagas};
use crate::shard::{Shard, registry};
use crate::tcc::Transactions;
use crate::transfers_file::Transfer;

/// Body of `POST /transfers`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferRequest {
    /// Chosen by the caller; the same id again is the same transfer.
    pub id: String,
    /// Account that pays.
    pub from: String,
    /// Account that receives.
    pub to: String,
    /// Amount such as `12.34`.
    pub amount: String,
}

/// Answer to `POST /transfers`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TransferAnswer {
    /// `done`, `rejected` or `unknown`.
    pub status: String,
    /// Why not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Answer to `GET /accounts/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccountAnswer {
    /// Its name.
    pub account: String,
    /// All of its money.
    pub balance: String,
    /// What is set aside for transfers under way.
    pub held: String,
}

/// How a gateway runs.
#[derive(Args, Clone, Debug)]
pub struct GatewayOptions {
    /// Where to listen for HTTP, port 0 for any.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub addr: String,
    /// Accounts that are kept together, for example 0..500; once for each account service.
    #[arg(long, required = true)]
    pub accounts: Vec<Shard>,
    /// Where the account services are found: a registry's address for questions, such as 127.0.0.1:9603.
    #[arg(long, required = true)]
    pub registry: Vec<String>,
    /// The node that runs sagas: where it takes them, such as 127.0.0.1:8792.
    #[arg(long, required_unless_present = "coordinator")]
    pub sagas: Option<SocketAddr>,
    /// Make transfers as transactions of this coordinator instead, such as 127.0.0.1:8091.
    #[arg(long, conflicts_with = "sagas")]
    pub coordinator: Vec<String>,
    /// How long a transfer is tried before its outcome is reported as unknown, in milliseconds.
    #[arg(long, default_value_t = 10_000)]
    pub patience_ms: u64,
    /// End when standard input is closed.
    #[arg(long)]
    pub lifeline: bool,
}

/// The account service of a shard.
struct Accounts {
    shard: Shard,
    client: AccountsClient,
}

/// How transfers are made.
enum Maker {
    Sagas(Sagas),
    Transactions(Transactions),
}

struct Gateway {
    accounts: Vec<Accounts>,
    maker: Maker,
    patience: Duration,
}

impl Gateway {
    fn find(&self, account: &str) -> Option<&Accounts> {
        let number = account_number(account).ok()?;
        let mut all = self.accounts.iter();
        all.find(|accounts| accounts.shard.range().contains(&number))
    }
}

/// Runs a gateway until it is told to stop. Prints `listening on ADDR` when it serves.
///
/// # Errors
/// When the port is taken or the registry's address is malformed.
pub fn run(options: &GatewayOptions) -> Result<(), Box<dyn std::error::Error>> {
    if options.lifeline {
        end_with_parent();
    }
    let mut accounts = Vec::new();
    let registry = registry("bank-gateway", &options.registry)?;
    for shard in &options.accounts {
        let consumer = ConsumerOptions {
            unique_id: shard.unique_id(),
            timeout: Duration::from_secs(2),
            ..ConsumerOptions::default()
        };
        accounts.push(Accounts {
            shard: *shard,
            client: AccountsClient::discovered(&registry, consumer)?,
        });
    }
    let maker = match options.sagas {
        Some(sagas) => Maker::Sagas(Sagas::at(sagas)),
        None => Maker::Transactions(Transactions::start(
            &options.coordinator,
            &registry,
            &options.accounts,
        )?),
    };
    let gateway = Arc::new(Gateway {
        accounts,
        maker,
        patience: Duration::from_millis(options.patience_ms),
    });
    let router = Router::new()
        .route("/transfers", post(transfer))
        .route("/accounts/{account}", get(account))
        .with_state(gateway.clone());
    crate::runtime()?.block_on(async {
        if let Maker::Sagas(sagas) = &gateway.maker {
            sagas.define(&options.accounts).await;
        }
        let listener = TcpListener::bind(&options.addr).await?;
        println!("listening on {}", listener.local_addr()?);
        axum::serve(listener, router)
            .with_graceful_shutdown(crate::stop_signal())
            .await
    })?;
    Ok(())
}

async fn transfer(
    State(gateway): State<Arc<Gateway>>,
    Json(request): Json<TransferRequest>,
) -> (StatusCode, Json<TransferAnswer>) {
    let TransferRequest {
        id,
        from,
        to,
        amount,
    } = request;
    let ending = match Cents::parse_positive(&amount) {
        Err(error) => Ending::Rejected(error.to_string()),
        Ok(_) if id.is_empty() || from == to => {
            Ending::Rejected("an id and two accounts are needed".into())
        }
        Ok(amount) => match (gateway.find(&from), gateway.find(&to)) {
            (Some(source), Some(target)) => {
                let shards = (source.shard, target.shard);
                let transfer = Transfer {
                    id,
                    from,
                    to,
                    amount,
                };
                let (from, to) = shards;
                match &gateway.maker {
                    Maker::Sagas(sagas) => sagas.make(&transfer, from, to, gateway.patience).await,
                    Maker::Transactions(transactions) => {
                        transactions
                            .make(&transfer, from, to, gateway.patience)
                            .await
                    }
                }
            }
            (None, _) => Ending::Rejected(format!("account {from} does not exist")),
            (_, None) => Ending::Rejected(format!("account {to} does not exist")),
        },
    };
    let (code, status, reason) = match ending {
        Ending::Done => (StatusCode::OK, "done", None),
        Ending::Rejected(reason) => (StatusCode::UNPROCESSABLE_ENTITY, "rejected", Some(reason)),
        Ending::Unknown(reason) => (StatusCode::SERVICE_UNAVAILABLE, "unknown", Some(reason)),
    };
    (
        code,
        Json(TransferAnswer {
            status: status.into(),
            reason,
        }),
    )
}

async fn account(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
) -> Result<Json<AccountAnswer>, (StatusCode, String)> {
    let missing = || {
        (
            StatusCode::NOT_FOUND,
            format!("account {name} does not exist\n"),
        )
    };
    let accounts = gateway.find(&name).ok_or_else(missing)?;
    match accounts.client.view(name.clone()).await {
        Ok(view) => Ok(Json(AccountAnswer {
            account: view.account,
            balance: Cents(view.balance_cents).to_string(),
            held: Cents(view.held_cents).to_string(),
        })),
        Err(RpcError::Exception(exception)) if exception.code == "NO_SUCH_ACCOUNT" => {
            Err(missing())
        }
        Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))),
    }
}

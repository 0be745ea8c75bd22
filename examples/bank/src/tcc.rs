//! A transfer as a transaction of two branches: the money is set aside at one account service and expected at the other; then both sides
//! are booked, or neither. The gateway begins and ends the transaction, the node coordinates it, and tells the account services until they
//! have done as it was decided.

use std::sync::Arc;
use std::time::Duration;

use diwan::rpc::registry::RegistryClient;
use diwan::rpc::{ConsumerOptions, RpcError, ServiceClient};
use diwan::tx::fence::{FenceKey, Operation};
use diwan::tx::{
    Branch, PrepareError, Tcc, TccAction, TransactionError, Transactional, TxClient, TxOptions,
    TxSetupError, XidFilter,
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::account::AccountException;
use crate::ledger::{Entry, Ledger, LedgerError, Side, Step};
use crate::saga::Ending;
use crate::shard::Shard;
use crate::transfers_file::Transfer;

/// What is not decided by then is rolled back.
const TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// The two sides of a transfer as branches of the caller's transaction.
#[diwan::service(interface = "com.diwan.bank.Branches", version = "1.0")]
pub trait Branches {
    /// Sets money aside for a transfer, to be taken out.
    async fn try_debit(
        &self,
        transfer: String,
        account: String,
        cents: i64,
    ) -> Result<(), AccountException>;
    /// Expects a transfer's money, to be put in.
    async fn try_credit(
        &self,
        transfer: String,
        account: String,
        cents: i64,
    ) -> Result<(), AccountException>;
}

/// What the coordinator keeps for a branch.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Booking {
    transfer: String,
    account: String,
    cents: i64,
}

/// One side of transfers at one account service.
struct BookSide {
    /// Each shard has its own: its branches are nobody else's.
    name: String,
    side: Side,
    ledger: Ledger,
}

impl BookSide {
    async fn step(
        &self,
        branch: &Branch,
        operation: Operation,
        booking: Booking,
    ) -> Result<(), LedgerError> {
        let key =
            FenceKey::branch(branch).map_err(|error| LedgerError::Store(error.to_string()))?;
        let entry = Entry {
            transfer: booking.transfer,
            side: self.side,
            account: booking.account,
            cents: booking.cents,
        };
        let step = Step::Branch {
            key,
            operation,
            entry,
        };
        self.ledger.apply(step).await
    }
}

impl TccAction for BookSide {
    type Arguments = Booking;
    type Prepared = ();
    type Error = LedgerError;

    fn name(&self) -> &str {
        &self.name
    }

    async fn prepare(&self, branch: &Branch, booking: &Booking) -> Result<(), LedgerError> {
        self.step(branch, Operation::Try, booking.clone()).await
    }

    async fn commit(&self, branch: &Branch, booking: Booking) -> Result<(), LedgerError> {
        self.step(branch, Operation::Commit, booking).await
    }

    async fn rollback(&self, branch: &Branch, booking: Booking) -> Result<(), LedgerError> {
        self.step(branch, Operation::Rollback, booking).await
    }
}

struct Participant {
    debit: Tcc<BookSide>,
    credit: Tcc<BookSide>,
}

impl Branches for Participant {
    async fn try_debit(
        &self,
        transfer: String,
        account: String,
        cents: i64,
    ) -> Result<(), AccountException> {
        try_side(&self.debit, transfer, account, cents).await
    }

    async fn try_credit(
        &self,
        transfer: String,
        account: String,
        cents: i64,
    ) -> Result<(), AccountException> {
        try_side(&self.credit, transfer, account, cents).await
    }
}

async fn try_side(
    side: &Tcc<BookSide>,
    transfer: String,
    account: String,
    cents: i64,
) -> Result<(), AccountException> {
    let booking = Booking {
        transfer,
        account,
        cents,
    };
    let tried = side.prepare(&booking).await;
    tried.map_err(|error| match error {
        PrepareError::Prepare(error) => error.into(),
        other => AccountException {
            message: other.to_string(),
            code: "COORDINATOR".into(),
        },
    })
}

/// Makes an account service's ledger take part in transactions.
pub(crate) fn participant(
    coordinators: &[String],
    ledger: &Ledger,
    shard: &str,
) -> Result<BranchesServer<impl Branches>, TxSetupError> {
    let client = TxClient::start(TxOptions::new("bank-account", coordinators))?;
    let offer = |word: &str, side| {
        client.tcc(BookSide {
            name: format!("{word}-{shard}"),
            side,
            ledger: ledger.clone(),
        })
    };
    Ok(BranchesServer::new(Participant {
        debit: offer("debit", Side::Debit)?,
        credit: offer("credit", Side::Credit)?,
    }))
}

/// Why a transfer was not made by one transaction.
enum Problem {
    /// An account service refuses.
    Refused(AccountException),
    /// Anything else, which may be over soon.
    Trouble(String),
}

impl From<TransactionError> for Problem {
    fn from(error: TransactionError) -> Self {
        Self::Trouble(error.to_string())
    }
}

impl From<RpcError<AccountException>> for Problem {
    fn from(error: RpcError<AccountException>) -> Self {
        match error {
            RpcError::Exception(exception) => Self::Refused(exception),
            other => Self::Trouble(other.to_string()),
        }
    }
}

/// Makes transfers as transactions.
pub(crate) struct Transactions {
    client: TxClient,
    participants: Vec<(Shard, BranchesClient)>,
}

impl Transactions {
    pub(crate) fn start(
        coordinators: &[String],
        registry: &RegistryClient,
        shards: &[Shard],
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let mut participants = Vec::new();
        for shard in shards {
            let consumer = ConsumerOptions {
                unique_id: shard.unique_id(),
                timeout: Duration::from_secs(2),
                filters: vec![Arc::new(XidFilter)],
                ..ConsumerOptions::default()
            };
            participants.push((*shard, BranchesClient::discovered(registry, consumer)?));
        }
        Ok(Self {
            client: TxClient::start(TxOptions::new("bank-gateway", coordinators))?,
            participants,
        })
    }

    fn of(&self, shard: Shard) -> Result<&BranchesClient, Problem> {
        let found = self.participants.iter().find(|(one, _)| *one == shard);
        let client = found.map(|(_, client)| client);
        client.ok_or_else(|| Problem::Trouble(format!("nobody keeps accounts {shard}")))
    }

    async fn once(&self, transfer: &Transfer, from: Shard, to: Shard) -> Result<(), Problem> {
        let transactional = Transactional {
            timeout: TIMEOUT,
            ..Transactional::new("transfer")
        };
        let Transfer {
            id,
            from: source,
            to: target,
            amount,
        } = transfer;
        let (from, to) = (self.of(from)?, self.of(to)?);
        let work = async {
            from.try_debit(id.clone(), source.clone(), amount.0).await?;
            to.try_credit(id.clone(), target.clone(), amount.0).await?;
            Ok(())
        };
        transactional.run(&self.client, work).await
    }

    /// Makes a transfer, or finds out what became of it. Each attempt is a transaction of its own; the account service of the debit lets
    /// only one at a time have the transfer, and none once it is booked.
    pub(crate) async fn make(
        &self,
        transfer: &Transfer,
        from: Shard,
        to: Shard,
        patience: Duration,
    ) -> Ending {
        let deadline = Instant::now() + patience;
        loop {
            let why = match self.once(transfer, from, to).await {
                Ok(()) => return Ending::Done,
                Err(Problem::Refused(exception)) => match &*exception.code {
                    // The debit is: so it was decided, and the credit is or will be, too.
                    "BOOKED" => return Ending::Done,
                    "NO_SUCH_ACCOUNT" | "INSUFFICIENT_FUNDS" | "CONFLICT" | "AMOUNT" => {
                        return Ending::Rejected(exception.message);
                    }
                    _ => exception.message,
                },
                Err(Problem::Trouble(why)) => why,
            };
            if Instant::now() > deadline {
                return Ending::Unknown(why);
            }
            sleep(PAUSE).await;
        }
    }
}

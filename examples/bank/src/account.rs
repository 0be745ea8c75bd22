//! The account service: keeps the balances of a range of accounts and offers them by RPC.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use diwan::Hessian;
use diwan::rpc::Server;
use diwan::rpc::registry::Announcement;
use diwan::rpc::server::Published;

use crate::ledger::{Balance, Entry, Ledger, LedgerError, Side, Step};
use crate::lifeline::end_with_parent;
use crate::shard::{Shard, registry};
use crate::tcc::participant;

/// An account as it travels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hessian)]
#[hessian(class = "com.diwan.bank.AccountView")]
pub struct AccountView {
    /// Its name.
    pub account: String,
    /// All of its money, the held part included, in cents.
    pub balance_cents: i64,
    /// What is set aside for transfers under way, in cents.
    pub held_cents: i64,
}

/// One side of a transfer as it travels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hessian)]
#[hessian(class = "com.diwan.bank.EntryView")]
pub struct EntryView {
    /// Transfer.
    pub transfer: String,
    /// Account.
    pub account: String,
    /// Whether money left the account.
    pub debit: bool,
    /// Amount in cents.
    pub cents: i64,
}

/// Why a step was refused; it has changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hessian)]
#[hessian(class = "com.diwan.bank.AccountException", throwable)]
pub struct AccountException {
    /// For people.
    #[hessian(message)]
    pub message: String,
    /// For programs: `NO_SUCH_ACCOUNT`, `INSUFFICIENT_FUNDS`, `CONFLICT`, `CANCELLED`, `UNDER_WAY`, `BOOKED`, `REFUSED`, `AMOUNT`,
    /// `COORDINATOR` or `STORE`.
    pub code: String,
}

impl fmt::Display for AccountException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<LedgerError> for AccountException {
    fn from(error: LedgerError) -> Self {
        let code = match error {
            LedgerError::NoSuchAccount(_) => "NO_SUCH_ACCOUNT",
            LedgerError::InsufficientFunds { .. } => "INSUFFICIENT_FUNDS",
            LedgerError::Conflict(_) => "CONFLICT",
            LedgerError::Cancelled(_) => "CANCELLED",
            LedgerError::UnderWay(_) => "UNDER_WAY",
            LedgerError::Booked(_) => "BOOKED",
            LedgerError::Refused { .. } => "REFUSED",
            LedgerError::Amount(_) => "AMOUNT",
            LedgerError::Store(_) => "STORE",
        };
        Self {
            message: error.to_string(),
            code: code.into(),
        }
    }
}

/// Balances, holds, and the two sides of a transfer. Every change is named by its transfer and can be repeated
/// without further effect; its answer means that it is on stable storage.
#[diwan::service(interface = "com.diwan.bank.Accounts", version = "1.0")]
pub trait Accounts {
    /// One account.
    async fn view(&self, account: String) -> Result<AccountView, AccountException>;
    /// Sets money aside for a transfer, if there is enough.
    async fn hold(
        &self,
        transfer: String,
        account: String,
        cents: i64,
    ) -> Result<(), AccountException>;
    /// Gives back what was set aside for a transfer.
    async fn release(&self, transfer: String) -> Result<(), AccountException>;
    /// Takes money out; uses up the transfer's hold.
    async fn debit(
        &self,
        transfer: String,
        account: String,
        cents: i64,
    ) -> Result<(), AccountException>;
    /// Takes a transfer's debit back, or sees to it that it does not come any more.
    async fn cancel(&self, transfer: String) -> Result<(), AccountException>;
    /// Puts money in.
    async fn credit(
        &self,
        transfer: String,
        account: String,
        cents: i64,
    ) -> Result<(), AccountException>;
    /// All accounts of this instance. Not async: a long read must not hold up the others.
    fn all(&self) -> Result<Vec<AccountView>, AccountException>;
    /// Applied sides in the order of their transfers, behind the side given.
    fn entries(
        &self,
        after: Option<EntryView>,
        limit: i32,
    ) -> Result<Vec<EntryView>, AccountException>;
}

struct AccountService {
    ledger: Ledger,
}

impl AccountService {
    async fn book(
        &self,
        transfer: String,
        side: Side,
        account: String,
        cents: i64,
    ) -> Result<(), AccountException> {
        Ok(self
            .ledger
            .apply(Step::Book(Entry {
                transfer,
                side,
                account,
                cents,
            }))
            .await?)
    }
}

fn view(balance: Balance) -> AccountView {
    AccountView {
        account: balance.account,
        balance_cents: balance.cents,
        held_cents: balance.held_cents,
    }
}

impl Accounts for AccountService {
    async fn view(&self, account: String) -> Result<AccountView, AccountException> {
        Ok(view(self.ledger.balance(&account)?))
    }

    async fn hold(
        &self,
        transfer: String,
        account: String,
        cents: i64,
    ) -> Result<(), AccountException> {
        Ok(self
            .ledger
            .apply(Step::Hold {
                transfer,
                account,
                cents,
            })
            .await?)
    }

    async fn release(&self, transfer: String) -> Result<(), AccountException> {
        Ok(self.ledger.apply(Step::Release { transfer }).await?)
    }

    async fn debit(
        &self,
        transfer: String,
        account: String,
        cents: i64,
    ) -> Result<(), AccountException> {
        let booked = self.book(transfer.clone(), Side::Debit, account, cents);
        match booked.await {
            Err(refused) if refused.code == "INSUFFICIENT_FUNDS" => {
                // It stands: an earlier attempt that comes later is refused, too.
                self.ledger.apply(Step::Cancel { transfer }).await?;
                Err(refused)
            }
            booked => booked,
        }
    }

    async fn cancel(&self, transfer: String) -> Result<(), AccountException> {
        Ok(self.ledger.apply(Step::Cancel { transfer }).await?)
    }

    async fn credit(
        &self,
        transfer: String,
        account: String,
        cents: i64,
    ) -> Result<(), AccountException> {
        self.book(transfer, Side::Credit, account, cents).await
    }

    fn all(&self) -> Result<Vec<AccountView>, AccountException> {
        Ok(self.ledger.balances()?.into_iter().map(view).collect())
    }

    fn entries(
        &self,
        after: Option<EntryView>,
        limit: i32,
    ) -> Result<Vec<EntryView>, AccountException> {
        let after = after.as_ref().map(|entry| {
            let side = if entry.debit {
                Side::Debit
            } else {
                Side::Credit
            };
            (entry.transfer.as_str(), side)
        });
        let entries = self
            .ledger
            .entries(after, usize::try_from(limit).unwrap_or(0).min(10_000))?;
        let view = |entry: Entry| EntryView {
            transfer: entry.transfer,
            account: entry.account,
            debit: entry.side == Side::Debit,
            cents: entry.cents,
        };
        Ok(entries.into_iter().map(view).collect())
    }
}

/// How an account service runs.
#[derive(Args, Clone, Debug)]
pub struct AccountOptions {
    /// Where to listen, port 0 for any.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub addr: String,
    /// File of the store; made if it is not there.
    #[arg(long)]
    pub store: PathBuf,
    /// The accounts kept here, for example 0..500.
    #[arg(long)]
    pub accounts: Shard,
    /// Where to publish the service: a registry's address for questions, such as 127.0.0.1:9603.
    #[arg(long, required = true)]
    pub registry: Vec<String>,
    /// Opening balance of accounts that the store does not have yet, in cents.
    #[arg(long, default_value_t = 1_000_000)]
    pub opening_cents: i64,
    /// Take part in transactions of this coordinator, such as 127.0.0.1:8091.
    #[arg(long)]
    pub coordinator: Vec<String>,
    /// End when standard input is closed.
    #[arg(long)]
    pub lifeline: bool,
}

/// Runs an account service until it is told to stop by SIGINT or SIGTERM, or its lifeline breaks. Prints
/// `listening on ADDR` when it serves; the registry shows it as soon as it is there.
///
/// # Errors
/// When the store or the port cannot be had.
pub fn run(options: &AccountOptions) -> Result<(), Box<dyn std::error::Error>> {
    if options.lifeline {
        end_with_parent();
    }
    let ledger = Ledger::open(
        &options.store,
        options.accounts.range(),
        options.opening_cents,
    )?;
    let unique_id = options.accounts.unique_id();
    let service = Arc::new(AccountService {
        ledger: ledger.clone(),
    });
    let service = Published::from(AccountsServer::shared(service)).unique_id(&unique_id);
    let mut server = Server::builder(options.addr.as_str()).publish(service);
    if !options.coordinator.is_empty() {
        let branches = participant(&options.coordinator, &ledger, &unique_id)?;
        server = server.publish(Published::from(branches).unique_id(&unique_id));
    }
    let server = server
        .register(
            &registry("bank-account", &options.registry)?,
            Announcement::default(),
        )
        .start()?;
    println!("listening on {}", server.local_addr());
    crate::runtime()?.block_on(async {
        crate::stop_signal().await;
        server.stop(Duration::from_secs(20)).await;
    });
    Ok(())
}

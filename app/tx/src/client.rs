use std::sync::{Arc, OnceLock};
use std::time::Duration;

use diwan_seata::{BranchRegister, BranchType, GlobalStatus, Message, Outcome, Xid};

use crate::counters::{Count, Counters, Tally};
use crate::driver::Handle;
use crate::error::{TransactionError, TxError, TxSetupError};
use crate::options::TxOptions;
use crate::state::{Failure, Role};
use crate::tcc::{Resources, Tcc, TccAction};

/// What an i16 length can say: the original's codec has it before names and xids.
const SHORT_TEXT_MAX: usize = i16::MAX as usize;
/// Leaves room for the rest of a frame of 8 MiB.
const DATA_BYTES_MAX: usize = 7 << 20;

static INSTALLED: OnceLock<TxClient> = OnceLock::new();

/// Connections to coordinators, over which transactions begin and end and branches take part. Cheap to clone; its requests can be awaited
/// in any runtime. Connections end with the last clone.
#[derive(Clone)]
pub struct TxClient {
    shared: Arc<Shared>,
}

struct Shared {
    tm: Handle,
    rm: Handle,
    resources: Resources,
    end_attempts: u32,
    tally: Arc<Tally>,
}

impl TxClient {
    /// Starts to connect; returns at once. What is asked before there is a connection waits for it.
    ///
    /// # Errors
    /// When no coordinator is given or an address is malformed, or the threads that hold connections cannot be started.
    pub fn start(options: TxOptions) -> Result<Self, TxSetupError> {
        options.check()?;
        let resources = Resources::default();
        let tally = Arc::<Tally>::default();
        let start = |role| Handle::start(options.config(role), resources.branches(), tally.clone());
        Ok(Self {
            shared: Arc::new(Shared {
                tm: start(Role::Tm)?,
                rm: start(Role::Rm)?,
                resources,
                end_attempts: options.end_attempts.max(1),
                tally,
            }),
        })
    }

    /// What it has done since it was started.
    pub fn counters(&self) -> Counters {
        self.shared.tally.read()
    }

    /// Makes this the client of the process: functions with `#[diwan::transactional]` use it.
    ///
    /// # Errors
    /// When there is one already.
    pub fn install(&self) -> Result<(), TxSetupError> {
        let installed = INSTALLED.set(self.clone());
        installed.map_err(|_| TxSetupError::Installed)
    }

    /// The client of the process.
    ///
    /// # Errors
    /// When none was installed.
    pub fn installed() -> Result<Self, TransactionError> {
        INSTALLED.get().cloned().ok_or(TransactionError::NoClient)
    }

    /// Begins a transaction and returns its xid. Unless it is committed or rolled back before, it is rolled back after `timeout`, which
    /// is at most 24 days.
    ///
    /// # Errors
    /// When it has not begun, or nobody knows; then the coordinator ends it after its time.
    pub async fn begin(&self, name: &str, timeout: Duration) -> Result<String, TxError> {
        short("name", name)?;
        let message = Message::GlobalBegin {
            timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
            name: name.to_owned(),
        };
        match ask(&self.shared.tm, message, false).await? {
            Message::GlobalBeginResult { outcome, xid, .. } => {
                accepted(outcome)?;
                self.shared.tally.add(Count::Begun);
                tracing::debug!(xid, name, "a transaction has begun");
                Ok(xid)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Commits a transaction and returns where it is then: `Committed`, or `CommitRetrying` if not all branches have done it yet;
    /// `TimeoutRollbacking` or the like if it was too late; `Finished` if the coordinator does not know it (any more). Asks as often as
    /// [`TxOptions::end_attempts`] says.
    ///
    /// # Errors
    /// When no attempt was answered, or the coordinator refuses.
    pub async fn commit(&self, xid: &str) -> Result<GlobalStatus, TxError> {
        self.end(xid, true).await
    }

    /// Rolls a transaction back and returns where it is then: `Rollbacked`, or `RollbackRetrying` if not all branches have done it yet;
    /// `Finished` if the coordinator does not know it (any more).
    ///
    /// # Errors
    /// As with [`commit`](Self::commit). It is rolled back when its time is over.
    pub async fn rollback(&self, xid: &str) -> Result<GlobalStatus, TxError> {
        self.end(xid, false).await
    }

    /// Source: apache/incubator-seata:tm/src/main/java/org/apache/seata/tm/api/DefaultGlobalTransaction.java.
    async fn end(&self, xid: &str, commit: bool) -> Result<GlobalStatus, TxError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let answer = self.ask_status(end_message(xid, commit)).await;
            let tally = &self.shared.tally;
            tally.add_result(&answer, Count::Ended, Count::EndFailed);
            match answer {
                Err(error) if attempt < self.shared.end_attempts && is_worth_repeating(&error) => {
                    tracing::warn!(xid, commit, attempt, %error, "a transaction is not ended yet");
                }
                answer => {
                    tracing::debug!(xid, commit, ?answer, "a transaction ends");
                    return answer;
                }
            }
        }
    }

    /// Asks for a rollback and does not wait for its answer.
    pub(crate) fn roll_back_behind(&self, xid: &str) {
        let message = end_message(xid, false);
        self.shared.tm.tell(message);
    }

    /// Where a transaction is; `Finished` if the coordinator does not know it (any more).
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn status(&self, xid: &str) -> Result<GlobalStatus, TxError> {
        self.ask_status(Message::GlobalStatus(named(xid))).await
    }

    /// Tells the coordinator how a saga ended, or that it is to be gone on with; returns where it is then.
    ///
    /// # Errors
    /// When there is no answer, or the coordinator refuses.
    pub async fn report(&self, xid: &str, status: GlobalStatus) -> Result<GlobalStatus, TxError> {
        self.ask_status(Message::GlobalReport {
            xid: named(xid),
            status: Some(status),
        })
        .await
    }

    async fn ask_status(&self, message: Message) -> Result<GlobalStatus, TxError> {
        if let Message::GlobalCommit(xid)
        | Message::GlobalRollback(xid)
        | Message::GlobalStatus(xid)
        | Message::GlobalReport { xid, .. } = &message
        {
            short("xid", &xid.xid)?;
        }
        match ask(&self.shared.tm, message, true).await? {
            Message::GlobalCommitResult(outcome, status)
            | Message::GlobalRollbackResult(outcome, status)
            | Message::GlobalStatusResult(outcome, status)
            | Message::GlobalReportResult(outcome, status) => {
                accepted(outcome)?;
                Ok(status)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Offers an action: from now on the coordinator tells its branches to this process, too. They are committed and rolled back in the
    /// runtime that this is called in, if there is one.
    ///
    /// # Errors
    /// When there is an action of that name, or the name is none.
    pub fn tcc<A: TccAction>(&self, action: A) -> Result<Tcc<A>, TxSetupError> {
        let name = action.name().to_owned();
        let is_name = !name.is_empty() && !name.contains(',') && name.len() <= SHORT_TEXT_MAX;
        if !is_name {
            return Err(TxSetupError::Resource(name));
        }
        let action = Arc::new(action);
        self.shared.resources.add(&name, &action)?;
        self.shared.rm.add_resource(name);
        Ok(Tcc::new(self.clone(), action))
    }

    /// A branch takes part in a transaction; returns its number.
    pub(crate) async fn register(
        &self,
        xid: &str,
        branch_type: BranchType,
        resource: &str,
        application_data: String,
    ) -> Result<i64, TxError> {
        let registered = self.ask_to_register(xid, branch_type, resource, application_data);
        let registered = registered.await;
        let tally = &self.shared.tally;
        tally.add_result(&registered, Count::Registered, Count::NotRegistered);
        registered
    }

    async fn ask_to_register(
        &self,
        xid: &str,
        branch_type: BranchType,
        resource: &str,
        application_data: String,
    ) -> Result<i64, TxError> {
        short("xid", xid)?;
        let bytes = application_data.len();
        if bytes > DATA_BYTES_MAX {
            return Err(TxError::TooLong {
                what: "arguments",
                bytes,
                limit: DATA_BYTES_MAX,
            });
        }
        let message = Message::BranchRegister(BranchRegister {
            xid: xid.to_owned(),
            branch_type,
            resource_id: resource.to_owned(),
            lock_key: String::new(),
            application_data,
        });
        match ask(&self.shared.rm, message, false).await? {
            Message::BranchRegisterResult { outcome, branch_id } => {
                accepted(outcome)?;
                tracing::debug!(xid, branch = branch_id, resource, "a branch takes part");
                Ok(branch_id)
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// A second attempt cannot change what is certain.
fn is_worth_repeating(error: &TxError) -> bool {
    !matches!(error, TxError::TooLong { .. } | TxError::Stopped)
}

fn end_message(xid: &str, commit: bool) -> Message {
    match commit {
        true => Message::GlobalCommit(named(xid)),
        false => Message::GlobalRollback(named(xid)),
    }
}

fn named(xid: &str) -> Xid {
    Xid {
        xid: xid.to_owned(),
        extra_data: String::new(),
    }
}

fn short(what: &'static str, text: &str) -> Result<(), TxError> {
    match text.len() {
        bytes if bytes > SHORT_TEXT_MAX => Err(TxError::TooLong {
            what,
            bytes,
            limit: SHORT_TEXT_MAX,
        }),
        _ => Ok(()),
    }
}

fn accepted(outcome: Outcome) -> Result<(), TxError> {
    match outcome.failure {
        None => Ok(()),
        Some(why) => Err(TxError::Refused {
            code: outcome.code,
            why,
        }),
    }
}

fn unexpected(message: &Message) -> TxError {
    let text: String = format!("{message:?}").chars().take(200).collect();
    TxError::UnexpectedAnswer(text)
}

async fn ask(handle: &Handle, message: Message, repeatable: bool) -> Result<Message, TxError> {
    let answer = handle.request(message, repeatable).await;
    answer
        .ok_or(TxError::Stopped)?
        .map_err(|failure| match failure {
            Failure::NotConnected(within) => TxError::NotConnected(within),
            Failure::TimedOut(within) => TxError::Timeout(within),
            Failure::Lost(why) => TxError::ConnectionLost(why),
            Failure::TooMany(count) => TxError::TooManyRequests(count),
        })
}

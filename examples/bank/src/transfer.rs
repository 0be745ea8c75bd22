//! How one transfer is made of calls to two instances. **This is the seam**: the steps are not one transaction. What
//! holds them together is that each can be repeated, and that they are repeated until they are done. A distributed
//! transaction will take the place of [`make`].

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use diwan::rpc::{ErrorKind, RpcError};
use tokio::time::{Instant, sleep};

use crate::account::{AccountException, AccountsClient};
use crate::money::account_number;
use crate::transfers_file::Transfer;

/// An account service with what the gateway counts of it.
pub(crate) struct Instance {
    pub(crate) accounts: Range<u32>,
    pub(crate) client: AccountsClient,
    /// Calls that wait for their answer now.
    pub(crate) in_flight: AtomicUsize,
    /// Calls whose connection ended before their answer came: they may have been carried out or not.
    pub(crate) calls_cut: AtomicU64,
    /// Calls that were made again.
    pub(crate) calls_repeated: AtomicU64,
}

/// How a transfer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Both sides are booked.
    Done,
    /// Nothing is booked and nothing held.
    Rejected(String),
    /// Not known yet: to be asked again with the same id.
    Unknown(String),
}

/// Waits between two attempts at a step.
const FIRST_WAIT: Duration = Duration::from_millis(5);
const LONGEST_WAIT: Duration = Duration::from_millis(200);

/// Moves the money of one transfer.
///
/// The source's money is set aside, then the target is looked at, and only then is anything booked: what can be
/// refused is refused while nothing has moved. From the debit on there is only one way, forward.
pub(crate) async fn make(
    instances: &[Instance],
    transfer: &Transfer,
    patience: Duration,
) -> Ending {
    let deadline = Instant::now() + patience;
    let Transfer {
        id,
        from,
        to,
        amount,
    } = transfer;
    let (Some(source), Some(target)) = (find(instances, from), find(instances, to)) else {
        let missing = if find(instances, from).is_none() {
            from
        } else {
            to
        };
        return Ending::Rejected(format!("account {missing} does not exist"));
    };
    let (id, from, to, cents) = (|| id.clone(), || from.clone(), || to.clone(), amount.0);

    let held = repeat(source, deadline, || source.client.hold(id(), from(), cents)).await;
    if let Err(stop) = held {
        return stop.into_ending();
    }
    if let Err(stop) = repeat(target, deadline, || target.client.view(to())).await {
        let released = match &stop {
            Stop::Refused(_) => repeat(source, deadline, || source.client.release(id())).await,
            Stop::Unknown(_) => Ok(()),
        };
        return match released {
            Ok(()) => stop.into_ending(),
            Err(unreleased) => Ending::Unknown(unreleased.into_message()),
        };
    }
    // Both accounts passed their checks: a refusal from here on is a fault to look into, not a rejection. The credit
    // waits for the debit, so that a stop between them leaves money in nobody's hands twice.
    let debited = repeat(source, deadline, || {
        source.client.debit(id(), from(), cents)
    })
    .await;
    if let Err(stop) = debited {
        return Ending::Unknown(stop.into_message());
    }
    let credited = repeat(target, deadline, || target.client.credit(id(), to(), cents)).await;
    if let Err(stop) = credited {
        return Ending::Unknown(stop.into_message());
    }
    Ending::Done
}

/// Why a step is not done.
enum Stop {
    /// The service said no.
    Refused(AccountException),
    /// No answer in time.
    Unknown(String),
}

impl Stop {
    fn into_message(self) -> String {
        match self {
            Self::Refused(exception) => exception.message,
            Self::Unknown(message) => message,
        }
    }

    fn into_ending(self) -> Ending {
        match self {
            Self::Refused(exception) if exception.code == "STORE" => {
                Ending::Unknown(exception.message)
            }
            Self::Refused(exception) => Ending::Rejected(exception.message),
            Self::Unknown(message) => Ending::Unknown(message),
        }
    }
}

/// Makes a call again until it is answered: an unknown outcome is no reason to stop, because every step can be
/// repeated.
async fn repeat<T, F>(
    instance: &Instance,
    deadline: Instant,
    call: impl Fn() -> F,
) -> Result<T, Stop>
where
    F: Future<Output = Result<T, RpcError<AccountException>>>,
{
    let mut wait = FIRST_WAIT;
    loop {
        instance.in_flight.fetch_add(1, Relaxed);
        let outcome = call().await;
        instance.in_flight.fetch_sub(1, Relaxed);
        let error = match outcome {
            Ok(value) => return Ok(value),
            Err(RpcError::Exception(exception)) => return Err(Stop::Refused(exception)),
            Err(error) => error,
        };
        if error.kind() == Some(ErrorKind::ConnectionClosed) {
            instance.calls_cut.fetch_add(1, Relaxed);
        }
        if Instant::now() + wait >= deadline {
            return Err(Stop::Unknown(error.to_string()));
        }
        instance.calls_repeated.fetch_add(1, Relaxed);
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

pub(crate) fn find<'i>(instances: &'i [Instance], account: &str) -> Option<&'i Instance> {
    let number = account_number(account).ok()?;
    instances
        .iter()
        .find(|instance| instance.accounts.contains(&number))
}

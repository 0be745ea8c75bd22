//! Who may speak as a member. A node with a cluster token takes members' requests and JRaft's command-line service only from
//! connections that proved to know it, and for single groups from addresses that stand in their `jraft`.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::{Duration, Instant};

use diwan_jraft::Message;
use diwan_raft::ErrorCode;
use diwan_replica::hello::ClusterToken;

use crate::node::{Node, count};

/// EACCES.
pub(crate) const UNPROVED: ErrorCode = ErrorCode::Other(1016);
pub(crate) const UNPROVED_TEXT: &str =
    "this connection has not proved that it knows the cluster token";

/// Where a node or client of JRaft's lives, which knows no token: `ip` or `ip:port`. The port counts where this node dials;
/// whoever connects to it comes from any port, so that only the address can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JraftAddress {
    ip: IpAddr,
    port: Option<u16>,
}

/// What is no address of a JRaft node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address: want ip or ip:port, such as 10.0.0.5 or 10.0.0.5:8081")]
pub struct JraftAddressError(String);

impl FromStr for JraftAddress {
    type Err = JraftAddressError;

    fn from_str(text: &str) -> Result<Self, JraftAddressError> {
        let (ip, port) = match (text.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
            (Ok(ip), _) => (ip, None),
            (_, Ok(addr)) => (addr.ip(), Some(addr.port())),
            _ => return Err(JraftAddressError(text.chars().take(80).collect())),
        };
        Ok(Self {
            ip: ip.to_canonical(),
            port,
        })
    }
}

impl JraftAddress {
    fn may_connect(&self, from: IpAddr) -> bool {
        self.ip == from.to_canonical()
    }

    /// Whether this is who listens at `addr`.
    pub(crate) fn listens_at(&self, addr: SocketAddr) -> bool {
        self.may_connect(addr.ip()) && self.port.is_none_or(|port| port == addr.port())
    }
}

/// Whom a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller {
    /// One that knows the token, or anybody on a node without one.
    Member,
    /// One that has proved nothing.
    Untokened(IpAddr),
}

/// What a node demands of those that connect to it, and how often it was not met.
pub(crate) struct Admission {
    pub(crate) token: Option<ClusterToken>,
    /// Of each group, by its place.
    jraft: Vec<Vec<JraftAddress>>,
    /// Requests of connections that proved nothing.
    pub(crate) untokened: Cell<u64>,
    /// Connections that tried to prove it and failed.
    pub(crate) hellos_refused: Cell<u64>,
    /// Connections of ours on which the other side did not prove it.
    pub(crate) hellos_failed: Cell<u64>,
    log: LogLimit,
}

impl Admission {
    pub(crate) fn new(token: Option<ClusterToken>, jraft: Vec<Vec<JraftAddress>>) -> Self {
        Self {
            token,
            jraft,
            untokened: Cell::default(),
            hellos_refused: Cell::default(),
            hellos_failed: Cell::default(),
            log: LogLimit::default(),
        }
    }

    /// Whether `caller` may speak of the group at `place`; without one, of any.
    pub(crate) fn admits(&self, caller: Caller, place: Option<usize>) -> bool {
        let Caller::Untokened(ip) = caller else {
            return true;
        };
        let listed = |list: &Vec<JraftAddress>| list.iter().any(|known| known.may_connect(ip));
        match place {
            Some(place) => self.jraft.get(place).is_some_and(listed),
            None => self.jraft.iter().any(listed),
        }
    }

    /// A request was refused. `first`: it is the connection's first.
    pub(crate) fn untokened(&self, from: SocketAddr, first: bool) {
        count(&self.untokened);
        if first && let Some(unlogged) = self.log.line() {
            tracing::warn!(%from, unlogged, "requests between members refused: {UNPROVED_TEXT}");
        }
    }

    /// A connection did not prove what it should have.
    pub(crate) fn hello_refused(&self, from: SocketAddr, why: &dyn std::fmt::Display) {
        count(&self.hellos_refused);
        if let Some(unlogged) = self.log.line() {
            tracing::warn!(%from, unlogged, "connection of another node refused: {why}");
        }
    }
}

/// The group that a request of a member or operator is about, if it is here.
pub(crate) fn place_of(node: &Node, message: &Message) -> Option<usize> {
    let group = match message {
        Message::RequestVoteRequest(request) => &request.group_id,
        Message::AppendEntriesRequest(request) => &request.group_id,
        Message::InstallSnapshotRequest(request) => &request.group_id,
        Message::TimeoutNowRequest(request) => &request.group_id,
        Message::ReadIndexRequest(request) => &request.group_id,
        Message::AddPeerRequest(request) => &request.group_id,
        Message::RemovePeerRequest(request) => &request.group_id,
        Message::ChangePeersRequest(request) => &request.group_id,
        Message::AddLearnersRequest(request) => &request.group_id,
        Message::RemoveLearnersRequest(request) => &request.group_id,
        Message::ResetLearnersRequest(request) => &request.group_id,
        Message::ResetPeerRequest(request) => &request.group_id,
        Message::TransferLeaderRequest(request) => &request.group_id,
        Message::SnapshotRequest(request) => &request.group_id,
        Message::GetLeaderRequest(request) => &request.group_id,
        Message::GetPeersRequest(request) => &request.group_id,
        Message::GetFileRequest(request) => {
            let readers = node.readers.borrow();
            return readers.get(&request.reader_id).map(|pulled| pulled.group);
        }
        // A ping is about none; the rest are no requests.
        _ => return None,
    };
    node.place_of(group)
}

/// Strangers may come as fast as they like, lines in the log may not.
#[derive(Default)]
struct LogLimit {
    last: Cell<Option<Instant>>,
    unlogged: Cell<u64>,
}

impl LogLimit {
    /// Whether there may be a line now; how many there were not since the last one.
    fn line(&self) -> Option<u64> {
        let now = Instant::now();
        let since = self.last.get().map(|last| now.duration_since(last));
        if since.is_some_and(|since| since < Duration::from_secs(1)) {
            count(&self.unlogged);
            return None;
        }
        self.last.set(Some(now));
        Some(self.unlogged.take())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn addresses_are_compared_by_what_can_be_known() {
        let address = |text: &str| text.parse::<JraftAddress>().unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(address("10.0.0.5").may_connect(ip("::ffff:10.0.0.5")));
        assert!(address("10.0.0.5:8081").may_connect(ip("10.0.0.5")));
        assert!(!address("10.0.0.5").may_connect(ip("10.0.0.6")));
        assert!(address("10.0.0.5").listens_at(at("10.0.0.5:1")));
        assert!(address("[::1]:8081").listens_at(at("[::1]:8081")));
        assert!(!address("10.0.0.5:8081").listens_at(at("10.0.0.5:8082")));
        for wrong in ["", "host", "host:1", "10.0.0.5:", "10.0.0.0/8"] {
            assert!(wrong.parse::<JraftAddress>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_list_counts_for_its_own_group() {
        let admission = Admission::new(None, vec![vec![], vec!["10.0.0.5".parse().unwrap()]]);
        let listed = Caller::Untokened("10.0.0.5".parse().unwrap());
        let other = Caller::Untokened("10.0.0.6".parse().unwrap());
        for (caller, place, admitted) in [
            (listed, Some(0), false),
            (listed, Some(1), true),
            (listed, None, true),
            (other, Some(1), false),
            (other, None, false),
            (Caller::Member, Some(0), true),
        ] {
            assert_eq!(
                admission.admits(caller, place),
                admitted,
                "{caller:?} {place:?}"
            );
        }
    }

    #[test]
    fn one_line_a_second() {
        let limit = LogLimit::default();
        assert_eq!(limit.line(), Some(0));
        assert_eq!((limit.line(), limit.line()), (None, None));
        limit
            .last
            .set(Instant::now().checked_sub(Duration::from_secs(2)));
        assert_eq!(limit.line(), Some(2));
    }
}

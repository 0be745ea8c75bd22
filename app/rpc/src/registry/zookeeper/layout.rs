//! Where services lie in ZooKeeper, and what stands there, as SOFARPC writes and reads it
//! (`sofastack/sofa-rpc:registry/registry-zk/.../ZookeeperRegistry.java`, `core/api/.../registry/utils/RegistryUtils.java`,
//! `core/api/.../client/ProviderHelper.java`): a node for each provider, whose name says everything, below
//! `{root}/sofa-rpc/{interface}/providers`. The version of a service is not part of it, its uniqueId is.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::super::announcement::{Announcement, RPC_VERSION, authority};
use super::super::state::Instances;
use crate::SetupError;

const PORT_DEFAULT: u16 = 2181;
const SESSION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(15);

/// Servers of ZooKeeper. From text as `zookeeper://10.0.0.1:2181,10.0.0.2:2181/root`, where all but one host may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZooKeeper {
    /// `host:port` each.
    pub servers: Vec<String>,
    /// The path above all services, as `/some/where`; empty for none.
    pub root: String,
    /// A client that was not heard of for so long is forgotten, and its services with it. Servers have bounds for it: 2 and 20
    /// times their `tickTime`.
    pub session_timeout: Duration,
}

impl FromStr for ZooKeeper {
    type Err = SetupError;

    fn from_str(text: &str) -> Result<Self, SetupError> {
        let problem = |problem: &str| SetupError::Address {
            url: text.to_owned(),
            problem: problem.to_owned(),
        };
        let rest = text.strip_prefix("zookeeper://").unwrap_or(text);
        if rest.contains("://") {
            return Err(problem("only zookeeper:// is read here"));
        }
        let (hosts, root) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let root = root.trim_end_matches('/');
        // zookeeper-server/src/main/java/org/apache/zookeeper/common/PathUtils.java
        let is_name = |name: &str| {
            !matches!(name, "" | "." | "..") && !name.chars().any(|one| one.is_control())
        };
        if !root.split('/').skip(1).all(is_name) {
            return Err(problem("the path is none that ZooKeeper takes"));
        }
        let hosts = hosts.split(',').map(str::trim);
        let with_port = |host: &str| match host.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
            _ => format!("{host}:{PORT_DEFAULT}"),
        };
        let servers: Vec<String> = hosts
            .filter(|host| !host.is_empty())
            .map(with_port)
            .collect();
        if servers.is_empty() {
            return Err(problem("no server in it"));
        }
        Ok(Self {
            servers,
            root: root.to_owned(),
            session_timeout: SESSION_TIMEOUT_DEFAULT,
        })
    }
}

/// Interface and uniqueId of a service's unique name, `interface:version[:uniqueId]`.
fn interface_and_unique_id(service: &str) -> (&str, &str) {
    let mut parts = service.splitn(3, ':');
    let interface = parts.next().unwrap_or_default();
    (interface, parts.nth(1).unwrap_or_default())
}

/// The node below which a service's providers are.
pub(super) fn providers(root: &str, service: &str) -> String {
    let (interface, _) = interface_and_unique_id(service);
    format!("{root}/sofa-rpc/{interface}/providers")
}

/// All nodes above a node, the topmost first.
pub(super) fn above(path: &str) -> impl Iterator<Item = &str> {
    let slashes = path.match_indices('/').skip(1);
    slashes.map(|(at, _)| &path[..at])
}

/// What a provider says of itself.
pub(in super::super) fn instance(
    announcement: &Announcement,
    service: &str,
    (host, port): (&str, u16),
    app: Option<&str>,
    start_ms: u64,
) -> String {
    let (interface, unique_id) = interface_and_unique_id(service);
    let numbers = [
        ("weight", Some(u128::from(announcement.weight))),
        ("timeout", announcement.timeout.map(|time| time.as_millis())),
        (
            "warmupTime",
            announcement.warmup.map(|warmup| warmup.time.as_millis()),
        ),
        (
            "warmupWeight",
            announcement.warmup.map(|warmup| warmup.weight.into()),
        ),
        ("startTime", Some(start_ms.into())),
        ("pid", Some(std::process::id().into())),
        ("rpcVer", Some(RPC_VERSION.into())),
    ];
    let numbers = numbers
        .into_iter()
        .filter_map(|(key, number)| Some((key, number?.to_string())));
    // The version is the same for all of the original's providers, whatever theirs is.
    let texts = [
        ("version", Some("1.0")),
        ("uniqueId", Some(unique_id)),
        ("interface", Some(interface)),
        ("protocol", Some("bolt")),
        ("serialization", Some(announcement.serialization.as_str())),
        ("dynamic", Some("true")),
        ("language", Some("rust")),
        ("appName", app),
    ];
    let texts = texts
        .into_iter()
        .filter_map(|(key, text)| Some((key, text?.to_owned())));
    let more = announcement.attributes.iter();
    let more = more.map(|(key, value)| (key.as_str(), value.clone()));
    let pairs: Vec<String> = texts
        .chain(numbers)
        .chain(more)
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    format!("bolt://{host}:{port}?{}", pairs.join("&"))
}

/// All but what Java's `URLEncoder` leaves as it is; a space, which it writes as `+`, is a number, too.
const MEANING: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'*');

/// The name of a provider's node.
pub(super) fn node_name(instance: &str) -> String {
    utf8_percent_encode(instance, &MEANING).to_string()
}

/// The providers of a service among the children of its interface. Those of another uniqueId or protocol are not, as with the
/// original. One that was killed and is back is there twice for a while: the later one is taken.
pub(super) fn instances(names: &[String], service: &str) -> Instances {
    let (_, wanted) = interface_and_unique_id(service);
    let mut newest: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for name in names {
        let spaced = name.replace('+', " ");
        let text = percent_decode_str(&spaced).decode_utf8_lossy().into_owned();
        let protocol = text.split_once("://").map(|(protocol, _)| protocol);
        if protocol.is_some_and(|protocol| protocol != "bolt") {
            continue;
        }
        let (_, query) = text.split_once('?').unwrap_or_default();
        let value = |key: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(one, _)| *one == key).map(|(_, value)| value)
        };
        if value("uniqueId").unwrap_or_default() != wanted {
            continue;
        }
        let start_ms = value("startTime").and_then(|time| time.parse().ok());
        let this = (start_ms.unwrap_or_default(), text.clone());
        let place = newest.entry(authority(&text).to_owned()).or_default();
        if *place < this {
            *place = this;
        }
    }
    let mut list: Instances = newest.into_values().map(|(_, text)| text).collect();
    list.sort();
    list
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::announcement::provider;
    use super::*;

    const SERVICE: &str = "com.x.Shop:1.0:blue";

    /// Written by sofa-rpc-all 5.13.2.
    const JAVA: &str = "bolt%3A%2F%2F10.0.0.7%3A12200%3Fversion%3D1.0%26accepts%3D100000%26appName%3Da+b%26weight%3D70\
         %26language%3Djava%26pid%3D9%26interface%3Dcom.x.Shop%26timeout%3D2000%26serialization%3Dhessian2%26protocol%3Dbolt\
         %26delay%3D-1%26dynamic%3Dtrue%26startTime%3D1796000000000%26id%3Drpc-cfg-0%26uniqueId%3Dblue%26rpcVer%3D51302";

    #[test]
    fn addresses_are_read() {
        let read = |text: &str| {
            let zookeeper: ZooKeeper = text.parse().unwrap();
            (zookeeper.servers.join(" "), zookeeper.root)
        };
        for (text, servers, root) in [
            ("zookeeper://a:1,b:2/x/y/", "a:1 b:2", "/x/y"),
            ("a", "a:2181", ""),
            ("a, b:7/", "a:2181 b:7", ""),
        ] {
            assert_eq!(read(text), (servers.to_owned(), root.to_owned()));
        }
        for (text, problem) in [
            ("", "no server"),
            ("zookeeper:///x", "no server"),
            ("sofa://a:1", "only zookeeper://"),
            ("a//x", "the path"),
            ("a/../x", "the path"),
            ("a/x\n", "the path"),
        ] {
            let error = text.parse::<ZooKeeper>().unwrap_err().to_string();
            assert!(error.contains(problem), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_provider_of_the_original_is_read() {
        let list = instances(&[JAVA.to_owned()], SERVICE);
        let provider = provider(&list[0]).unwrap();
        assert_eq!(provider.addr, "10.0.0.7:12200".parse().unwrap());
        assert_eq!(provider.weight, 70);
        assert_eq!(provider.attributes["timeout"], "2000");
        assert_eq!(provider.attributes["appName"], "a b");
        for other in ["com.x.Shop:1.0", "com.x.Shop:1.0:red"] {
            assert_eq!(instances(&[JAVA.to_owned()], other), Instances::new());
        }
    }

    #[test]
    fn what_the_original_would_not_call_is_left_out_and_the_older_of_two_at_one_address() {
        let names = [
            "rest%3A%2F%2F10.0.0.1%3A1%3FuniqueId%3Dblue",
            "bolt://10.0.0.1:1?uniqueId=blue&startTime=9",
            "bolt://10.0.0.1:1?uniqueId=blue&startTime=10",
            "bolt://10.0.0.1:2?uniqueId=blue",
            "%ff%",
            "",
        ];
        assert_eq!(
            instances(&names.map(str::to_owned), SERVICE),
            [
                "bolt://10.0.0.1:1?uniqueId=blue&startTime=10",
                "bolt://10.0.0.1:2?uniqueId=blue"
            ]
        );
    }

    #[test]
    fn paths_are_the_originals() {
        let path = providers("/r", SERVICE);
        assert_eq!(path, "/r/sofa-rpc/com.x.Shop/providers");
        let above: Vec<&str> = above(&path).collect();
        assert_eq!(above, ["/r", "/r/sofa-rpc", "/r/sofa-rpc/com.x.Shop"]);
        assert_eq!(
            node_name("bolt://a:1?b=c d*"),
            "bolt%3A%2F%2Fa%3A1%3Fb%3Dc%20d*"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_found(
            weight: u32,
            app in "[^&]{0,9}",
            unique_id in "[a-z:+ %]{0,9}",
            other in "[^&]{0,20}",
        ) {
            let announcement = Announcement { weight, ..Announcement::default() };
            let service = format!("com.x.Shop:1.0:{unique_id}");
            let text = instance(&announcement, &service, ("10.0.0.1", 9), Some(&app), 7);
            let names = [other, node_name(&text)];
            let list = instances(&names, &service);
            prop_assert!(list.contains(&text));
            prop_assert_eq!(provider(&text).unwrap().weight, weight);
        }
    }
}

//! What stands in the registry for one provider, as SOFARPC writes and reads it
//! (`sofastack/sofa-rpc:registry/registry-sofa/src/main/java/com/alipay/sofa/rpc/registry/sofa/SofaRegistryHelper.java`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::SetupError;
use crate::client::Provider;

/// The group that SOFARPC's lists of providers are in.
pub(super) const GROUP: &str = "SOFA";
/// The version of SOFARPC whose manners are ours; consumers look at it for what old providers could not do.
pub(super) const RPC_VERSION: u32 = 51_302;

/// The dataId of a service's list: `interface:version[:uniqueId]@DEFAULT`, where DEFAULT stands for Bolt.
pub(super) fn data_id(service: &str) -> String {
    format!("{service}@DEFAULT")
}

/// How a server presents its services to consumers.
#[derive(Clone, Debug, PartialEq)]
pub struct Announcement {
    /// Where consumers reach it; where it listens if `None`, or if that is every address, the address from which this
    /// machine reaches the registry.
    pub host: Option<String>,
    /// Port that consumers connect to; the one it listens on if `None`.
    pub port: Option<u16>,
    /// Share of the calls; the original's default is 100.
    pub weight: u32,
    /// Fewer calls at first.
    pub warmup: Option<Warmup>,
    /// How long consumers should wait for an answer.
    pub timeout: Option<Duration>,
    /// What consumers should write, by the original's name: `hessian2`, `protobuf`, `json`.
    pub serialization: String,
    /// Whatever else consumers are to know. Written as it is, as the original does it: without `&`, and without `=` in keys.
    pub attributes: BTreeMap<String, String>,
    /// When the server stops, it still takes calls for so long after it has seen the list without itself: some consumers learn it
    /// a little later.
    pub notice: Duration,
}

/// A weight for the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warmup {
    /// How long it lasts from the moment of publishing.
    pub time: Duration,
    /// The weight meanwhile.
    pub weight: u32,
}

impl Default for Announcement {
    fn default() -> Self {
        Self {
            host: None,
            port: None,
            weight: 100,
            warmup: None,
            timeout: None,
            serialization: "hessian2".to_owned(),
            attributes: BTreeMap::new(),
            notice: Duration::from_secs(1),
        }
    }
}

impl Announcement {
    /// The provider as text. Every second entry is the same in the words of SOFARPC's predecessor, which the original
    /// writes, too.
    pub(crate) fn data(&self, host: &str, port: u16, app: Option<&str>, start_ms: u64) -> String {
        let mut text = format!("{host}:{port}?rpcVer={RPC_VERSION}");
        let mut put = |key: &str, value: &dyn std::fmt::Display| {
            // Writing into a string cannot fail.
            let _ = write!(text, "&{key}={value}");
        };
        put("serialization", &self.serialization);
        put("weight", &self.weight);
        let timeout_ms = self.timeout.map(|timeout| timeout.as_millis());
        if let Some(timeout_ms) = timeout_ms {
            put("timeout", &timeout_ms);
        }
        if let Some(app) = app {
            put("appName", &app);
        }
        put("p", &1);
        put("v", &"4.0");
        put("_SERIALIZETYPE", &self.serialization);
        put("_WEIGHT", &self.weight);
        if let Some(timeout_ms) = timeout_ms {
            put("_TIMEOUT", &timeout_ms);
        }
        if let Some(app) = app {
            put("app_name", &app);
        }
        if let Some(warmup) = self.warmup {
            put("warmupTime", &warmup.time.as_millis());
            put("warmupWeight", &warmup.weight);
        }
        for (key, value) in &self.attributes {
            put(key, value);
        }
        put("startTime", &start_ms);
        text
    }
}

/// Keys of SOFARPC's predecessor and what they are called since.
const OLD_KEYS: [(&str, &str); 6] = [
    ("_WEIGHT", "weight"),
    ("_WARMUPTIME", "warmupTime"),
    ("_WARMUPWEIGHT", "warmupWeight"),
    ("_TIMEOUT", "timeout"),
    ("_SERIALIZETYPE", "serialization"),
    ("app_name", "appName"),
];

/// Reads what a provider published. It blocks while a host name is looked up: see [`needs_lookup`].
///
/// # Errors
/// When it is not a provider that can be called over Bolt.
pub(super) fn provider(data: &str) -> Result<Provider, SetupError> {
    let (body, query) = data.split_once('?').unwrap_or((data, ""));
    let (scheme, _) = parts(body);
    let mut pairs: BTreeMap<&str, &str> = query
        .split('&')
        .filter_map(|pair| pair.trim().split_once('='))
        .collect();
    for (old, new) in OLD_KEYS {
        if let Some(value) = pairs.remove(old) {
            pairs.entry(new).or_insert(value);
        }
    }
    // 13 is TR, the protocol before Bolt.
    let scheme = match (scheme, pairs.get("p")) {
        (Some(scheme), _) => scheme,
        (None, None | Some(&"1")) => "bolt",
        (None, Some(&"13")) => "tr",
        (None, Some(other)) => other,
    };
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let (authority, query) = (authority(data), pairs.join("&"));
    Provider::parse(&format!("{scheme}://{authority}?{query}"))
}

/// Whether a provider is given by a name instead of an address.
pub(super) fn needs_lookup(data: &str) -> bool {
    authority(data).parse::<SocketAddr>().is_err()
}

/// `host:port` of a provider.
pub(super) fn authority(data: &str) -> &str {
    let (_, rest) = parts(data.split('?').next().unwrap_or_default());
    rest.split('/').next().unwrap_or_default()
}

fn parts(body: &str) -> (Option<&str>, &str) {
    match body.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, body),
    }
}

/// The address from which this machine reaches `target`; nothing is sent.
pub(super) fn local_ip_towards(target: &str) -> std::io::Result<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_what_the_original_writes() {
        let plain = Announcement::default().data("10.0.0.1", 12200, Some("shop"), 7);
        assert_eq!(
            plain,
            "10.0.0.1:12200?rpcVer=51302&serialization=hessian2&weight=100&appName=shop&p=1&v=4.0\
             &_SERIALIZETYPE=hessian2&_WEIGHT=100&app_name=shop&startTime=7"
        );
    }

    #[test]
    fn what_is_written_is_read() {
        let announcement = Announcement {
            weight: 30,
            warmup: Some(Warmup {
                time: Duration::from_millis(500),
                weight: 5,
            }),
            timeout: Some(Duration::from_secs(2)),
            attributes: [("zone".to_owned(), "east".to_owned())].into(),
            ..Announcement::default()
        };
        let provider = provider(&announcement.data("127.0.0.1", 1, None, 1000)).unwrap();
        assert_eq!(provider.addr, "127.0.0.1:1".parse().unwrap());
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        assert_eq!(
            (provider.weight_at(at(1499)), provider.weight_at(at(1500))),
            (5, 30)
        );
        assert_eq!(provider.attributes["timeout"], "2000");
        assert_eq!(provider.attributes["zone"], "east");
    }

    #[test]
    fn providers_of_the_original_and_its_predecessor_are_read() {
        // Written by sofa-rpc-all 5.13.2, and what SofaRegistryHelperTest.java has for older ones.
        for (data, weight) in [
            (
                "127.0.0.1:12250?rpcVer=51302&serialization=hessian2&weight=100&appName=a&p=1&v=4.0&_SERIALIZETYPE=hessian2\
                 &_WEIGHT=100&app_name=a&startTime=1796000000000",
                100,
            ),
            (
                "127.0.0.1:12250?_TIMEOUT=4444&p=1&_SERIALIZETYPE=4&app_name=a&_WEIGHT=222",
                222,
            ),
            ("bolt://127.0.0.1:12250/path?weight=7&flag", 7),
            ("127.0.0.1:12250", 100),
        ] {
            assert!(!needs_lookup(data));
            let provider = provider(data).unwrap();
            assert_eq!((provider.addr.port(), provider.weight), (12250, weight));
        }
        assert!(needs_lookup("host:1?p=1"));
    }

    #[test]
    fn other_protocols_and_nonsense_are_errors() {
        for (data, problem) in [
            ("127.0.0.1:1?p=13", "the protocol tr is not spoken"),
            ("rest://127.0.0.1:1", "the protocol rest is not spoken"),
            ("127.0.0.1:1?weight=much", "weight is no number"),
            ("", "invalid socket address"),
            ("127.0.0.1", "invalid socket address"),
        ] {
            let error = provider(data).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }

    proptest! {
        /// Nothing that stands in a registry makes a consumer panic.
        #[test]
        fn anything_is_read_or_refused(text in ".{0,40}", query in "[a-z=&?%_0-9]{0,60}") {
            let _ = provider(&format!("127.0.0.1:1?{query}"));
            for data in [text.clone(), format!("127.0.0.1:1{text}")] {
                // Names are not looked up in a test.
                if !needs_lookup(&data) {
                    let _ = provider(&data);
                }
            }
        }

        #[test]
        fn what_is_announced_is_read(
            weight: u32,
            warmup: Option<(u32, u32)>,
            attributes in proptest::collection::btree_map("[a-z]{9,12}", "[^&\\s]{0,9}", 0..4),
        ) {
            let warmup = warmup.map(|(ms, weight)| Warmup {
                time: Duration::from_millis(ms.into()),
                weight,
            });
            let announcement = Announcement { weight, warmup, attributes, ..Announcement::default() };
            let read = provider(&announcement.data("10.0.0.1", 9, Some("shop"), 1)).unwrap();
            prop_assert_eq!(read.weight, weight);
            prop_assert_eq!(read.warmup_until.is_some(), warmup.is_some());
            for (key, value) in &announcement.attributes {
                prop_assert_eq!(&read.attributes[key], value);
            }
        }
    }
}

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::SetupError;
use crate::server::resolve;

/// A server that offers a service, as a registry or a direct URL tells it
/// (`sofastack/sofa-rpc:core/api/src/main/java/com/alipay/sofa/rpc/client/ProviderHelper.java`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Host as it was written: consistent hashing goes by it.
    pub host: String,
    /// Share of the calls; the original's default is 100.
    pub weight: u32,
    /// Until when `warmup_weight` applies instead.
    pub warmup_until: Option<SystemTime>,
    /// Weight while it warms up.
    pub warmup_weight: u32,
    /// Everything else the URL says.
    pub attributes: BTreeMap<String, String>,
}

const WEIGHT_DEFAULT: u32 = 100;

impl Provider {
    /// A provider at an address, with the default weight.
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            host: addr.ip().to_string(),
            weight: WEIGHT_DEFAULT,
            warmup_until: None,
            warmup_weight: WEIGHT_DEFAULT,
            attributes: BTreeMap::new(),
        }
    }

    /// Reads `bolt://host:port?weight=100&warmupTime=..&warmupWeight=..&startTime=..`, or `host:port` alone.
    ///
    /// # Errors
    /// When the scheme is another, the address cannot be resolved or a number is none.
    pub fn parse(url: &str) -> Result<Self, SetupError> {
        let problem = |problem: String| SetupError::Address {
            url: url.to_owned(),
            problem,
        };
        let rest = match url.split_once("://") {
            None => url,
            Some(("bolt", rest)) => rest,
            Some((scheme, _)) => {
                return Err(problem(format!(
                    "the protocol {scheme} is not spoken here, only bolt"
                )));
            }
        };
        let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = authority.trim_end_matches('/');
        let mut provider = Self::new(resolve(authority)?);
        if let Some((host, _)) = authority.rsplit_once(':') {
            provider.host = host.to_owned();
        }
        provider.attributes = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let number = |key: &str| match provider.attributes.get(key) {
            None => Ok(None),
            Some(text) => text
                .parse::<u64>()
                .map(Some)
                .map_err(|_| problem(format!("{key} is no number: {text:?}"))),
        };
        let as_weight = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let weight = number("weight")?.map_or(WEIGHT_DEFAULT, as_weight);
        let warmup_weight = number("warmupWeight")?.map(as_weight);
        let warmup = (number("startTime")?, number("warmupTime")?);
        provider.weight = weight;
        if let ((Some(start_ms), Some(warmup_ms)), Some(warmup_weight)) = (warmup, warmup_weight) {
            let until = Duration::from_millis(start_ms.saturating_add(warmup_ms));
            provider.warmup_until = SystemTime::UNIX_EPOCH.checked_add(until);
            provider.warmup_weight = warmup_weight;
        }
        Ok(provider)
    }

    /// Its weight at a time.
    pub fn weight_at(&self, now: SystemTime) -> u32 {
        match self.warmup_until {
            Some(until) if now < until => self.warmup_weight,
            _ => self.weight,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_the_original_are_read() {
        let url = "bolt://127.0.0.1:12200?version=1.0&weight=200&startTime=1000&warmupTime=500&warmupWeight=10";
        let provider = Provider::parse(url).unwrap();
        assert_eq!(provider.addr, "127.0.0.1:12200".parse().unwrap());
        assert_eq!(provider.attributes["version"], "1.0");
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        assert_eq!(
            (provider.weight_at(at(1499)), provider.weight_at(at(1500))),
            (10, 200)
        );
        assert_eq!(
            Provider::parse("127.0.0.1:1").unwrap(),
            Provider::new("127.0.0.1:1".parse().unwrap())
        );
    }

    #[test]
    fn malformed_urls_say_what_is_wrong() {
        for (url, problem) in [
            (
                "dubbo://127.0.0.1:1",
                "the protocol dubbo is not spoken here, only bolt",
            ),
            (
                "bolt://127.0.0.1:1?weight=heavy",
                "weight is no number: \"heavy\"",
            ),
            ("127.0.0.1", "invalid socket address"),
        ] {
            let error = Provider::parse(url).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}

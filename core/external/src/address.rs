//! Where a log's engine is: `etcd://...` or `postgres://...`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// The port that etcd's clients take if none is given.
const ETCD_PORT: u16 = 2379;
/// The prefix of an etcd address, and the schema of a PostgreSQL address, that name none.
const PLACE: &str = "diwan";
/// The most bytes of a schema's name: the notification channel is named after it, and PostgreSQL's names have at most 63.
const SCHEMA_BYTES_MAX: usize = 48;

/// An engine, and the place in it that holds the logs. Shown without passwords.
///
/// * `etcd://[user:password@]host[:port][,host[:port]...][/prefix]`, or `etcds://` for TLS, then with `?ca=FILE` and
///   optionally `&cert=FILE&key=FILE`. The port is 2379 and the prefix `diwan` if they are left out.
/// * `postgres://` or `postgresql://` as PostgreSQL's URLs are, with these parameters besides: `schema=` (`diwan` if left
///   out), `sslmode=`, `sslrootcert=`, `sslcert=`, `sslkey=`. See [`SslCheck`] for what is verified.
#[derive(Clone, Debug, PartialEq)]
pub enum Address {
    /// etcd.
    Etcd(EtcdAddress),
    /// A server that speaks PostgreSQL's wire.
    Postgres(Box<PostgresAddress>),
}

/// Where an etcd cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdAddress {
    /// Its members, host and port; not empty.
    pub endpoints: Vec<(String, u16)>,
    /// What its keys begin with, without slashes around it.
    pub prefix: String,
    /// Who logs in.
    pub user: Option<User>,
    /// TLS.
    pub tls: Option<TlsFiles>,
}

/// Name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.name)
    }
}

/// PEM files of a TLS client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority that signed the server's certificate.
    pub ca: Option<PathBuf>,
    /// The certificate chain and the key that the client shows.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Where a PostgreSQL database is.
#[derive(Clone, Debug, PartialEq)]
pub struct PostgresAddress {
    /// Hosts, user, database, and so on; without TLS's files.
    pub config: tokio_postgres::Config,
    /// The schema that holds the tables.
    pub schema: String,
    /// What of the server's certificate is verified.
    pub check: SslCheck,
    /// TLS's files.
    pub tls: TlsFiles,
}

/// What of a PostgreSQL server's certificate is verified, by libpq's `sslmode`. `prefer` (which is also the default) and
/// `require` encrypt without knowing the server, unless `sslrootcert` is given: then they verify as `verify-ca` does, but
/// `prefer` still goes on in plain text with a server that has no TLS. Nothing is ever verified by the system's authorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslCheck {
    /// Nothing.
    Nothing,
    /// That the authority signed it (`verify-ca`).
    Authority,
    /// That it also names the host that was dialed (`verify-full`).
    Host,
}

/// An address that says nothing, or too much.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// It begins with none of the known schemes.
    #[error("an engine's address begins with etcd://, etcds:// or postgres://, not with {0:?}")]
    Scheme(String),
    /// It names no host.
    #[error("no host in it: etcd://HOST:PORT,HOST:PORT/PREFIX")]
    NoHost,
    /// A host that cannot be.
    #[error("{0:?} is not HOST or HOST:PORT")]
    Endpoint(String),
    /// A part before `@` that is not `user:password`.
    #[error("what stands before @ is not USER:PASSWORD (percent-encode : / ? # @ in them)")]
    User,
    /// A percent-encoding that is no text.
    #[error("{0} is not percent-encoded UTF-8")]
    Encoding(&'static str),
    /// A parameter that nobody knows.
    #[error("unknown parameter {0:?}; there are {1}")]
    Parameter(String, &'static str),
    /// A parameter that may not have that value.
    #[error("{0}={1:?}: it is {2}")]
    Value(&'static str, String, &'static str),
    /// Two parameters of which one is missing.
    #[error("{0} and {1} go together: give both or none")]
    Pair(&'static str, &'static str),
    /// TLS without an authority.
    #[error(
        "{0} needs {1}=FILE, the PEM file of the authority that signed the server's certificate"
    )]
    NoAuthority(&'static str, &'static str),
    /// TLS files where there is no TLS.
    #[error("{0} is for TLS: {1}")]
    NoTls(&'static str, &'static str),
    /// A prefix that cannot be.
    #[error("prefix {0:?}: letters, digits and -_./ without an empty part")]
    Prefix(String),
    /// tokio-postgres does not understand the rest.
    #[error("{0}")]
    Postgres(String),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        match scheme {
            "etcd" => EtcdAddress::parse(rest, false).map(Self::Etcd),
            "etcds" => EtcdAddress::parse(rest, true).map(Self::Etcd),
            "postgres" | "postgresql" => {
                PostgresAddress::parse(rest).map(|address| Self::Postgres(Box::new(address)))
            }
            // Not the text itself: it may hold a password.
            other => Err(AddressError::Scheme(other.to_owned())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Etcd(etcd) => etcd.fmt(f),
            Self::Postgres(postgres) => postgres.fmt(f),
        }
    }
}

impl EtcdAddress {
    fn parse(rest: &str, tls: bool) -> Result<Self, AddressError> {
        const KNOWN: &str = "ca, cert and key";
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, prefix) = place.split_once('/').unwrap_or((place, ""));
        let (user, hosts) = match hosts.rsplit_once('@') {
            None => (None, hosts),
            Some((user, hosts)) => (Some(self::user(user)?), hosts),
        };
        let (mut ca, mut cert, mut key) = (None, None, None);
        for (name, value) in parameters(query) {
            let file = match name {
                "ca" => &mut ca,
                "cert" => &mut cert,
                "key" => &mut key,
                _ => return Err(AddressError::Parameter(name.to_owned(), KNOWN)),
            };
            *file = Some(path(value)?);
        }
        let tls = if tls {
            if ca.is_none() {
                return Err(AddressError::NoAuthority("etcds://", "ca"));
            }
            let identity = pair(cert, key, "cert", "key")?;
            Some(TlsFiles { ca, identity })
        } else if ca.is_some() || cert.is_some() || key.is_some() {
            return Err(AddressError::NoTls("ca, cert, key", "write etcds://"));
        } else {
            None
        };
        Ok(Self {
            endpoints: hosts.split(',').map(endpoint).collect::<Result<_, _>>()?,
            prefix: self::prefix(prefix)?,
            user,
            tls,
        })
    }
}

impl fmt::Display for EtcdAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls.is_some() {
            "etcds://"
        } else {
            "etcd://"
        })?;
        if let Some(user) = &self.user {
            write!(f, "{user:?}@")?;
        }
        for (index, (host, port)) in self.endpoints.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match host.contains(':') {
                true => write!(f, "{comma}[{host}]:{port}")?,
                false => write!(f, "{comma}{host}:{port}")?,
            }
        }
        write!(f, "/{}", self.prefix)
    }
}

impl PostgresAddress {
    fn parse(rest: &str) -> Result<Self, AddressError> {
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut schema, mut sslmode) = (None, None);
        let (mut ca, mut cert, mut key) = (None, None, None);
        let mut others = String::new();
        for (name, value) in parameters(query) {
            match name {
                "schema" => schema = Some(decoded(value, "schema")?),
                "sslmode" => sslmode = Some(decoded(value, "sslmode")?),
                "sslrootcert" => ca = Some(path(value)?),
                "sslcert" => cert = Some(path(value)?),
                "sslkey" => key = Some(path(value)?),
                _ => {
                    others.push(if others.is_empty() { '?' } else { '&' });
                    others.extend([name, "=", value]);
                }
            }
        }
        let mut config: tokio_postgres::Config = format!("postgres://{place}{others}")
            .parse()
            .map_err(|error| AddressError::Postgres(causes(&error)))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(AddressError::NoHost);
        }
        // Of several hosts it is the one that can be written to which is meant.
        let several = config.get_hosts().len().max(config.get_hostaddrs().len()) > 1;
        if several && config.get_target_session_attrs() == TargetSessionAttrs::Any {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if config.get_application_name().is_none() {
            config.application_name("diwan");
        }

        let with_ca = match ca {
            Some(_) => SslCheck::Authority,
            None => SslCheck::Nothing,
        };
        let mode = sslmode.as_deref().unwrap_or("prefer");
        let (ssl_mode, check) = match mode {
            "disable" => (SslMode::Disable, SslCheck::Nothing),
            "prefer" => (SslMode::Prefer, with_ca),
            "require" => (SslMode::Require, with_ca),
            "verify-ca" => (SslMode::Require, SslCheck::Authority),
            "verify-full" => (SslMode::Require, SslCheck::Host),
            other => {
                const MODES: &str = "one of disable, prefer, require, verify-ca, verify-full";
                return Err(AddressError::Value("sslmode", other.to_owned(), MODES));
            }
        };
        if check != SslCheck::Nothing && ca.is_none() {
            return Err(AddressError::NoAuthority(
                "sslmode=verify-ca or verify-full",
                "sslrootcert",
            ));
        }
        let identity = pair(cert, key, "sslcert", "sslkey")?;
        if ssl_mode == SslMode::Disable && (ca.is_some() || identity.is_some()) {
            return Err(AddressError::NoTls(
                "sslrootcert, sslcert, sslkey",
                "sslmode is disable",
            ));
        }
        config.ssl_mode(ssl_mode);
        Ok(Self {
            config,
            schema: self::schema(schema)?,
            check,
            tls: TlsFiles { ca, identity },
        })
    }

    /// libpq's word for what is verified.
    fn mode(&self) -> &'static str {
        match (self.config.get_ssl_mode(), self.check) {
            (SslMode::Disable, _) => "disable",
            (SslMode::Prefer, _) => "prefer",
            (_, SslCheck::Nothing) => "require",
            (_, SslCheck::Authority) => "verify-ca",
            (_, SslCheck::Host) => "verify-full",
        }
    }
}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        let (hosts, ports) = (self.config.get_hosts(), self.config.get_ports());
        for (index, host) in hosts.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            match host {
                Host::Tcp(host) => f.write_str(host)?,
                Host::Unix(path) => write!(f, "{}", path.display())?,
            }
            write!(
                f,
                ":{}",
                ports.get(index).or(ports.first()).unwrap_or(&5432)
            )?;
        }
        let name = self.config.get_dbname().unwrap_or_default();
        write!(f, "/{name}?schema={}&sslmode={}", self.schema, self.mode())
    }
}

fn user(text: &str) -> Result<User, AddressError> {
    let (name, password) = text.split_once(':').ok_or(AddressError::User)?;
    if name.is_empty() {
        return Err(AddressError::User);
    }
    Ok(User {
        name: decoded(name, "the user")?,
        password: decoded(password, "the password")?,
    })
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn endpoint(text: &str) -> Result<(String, u16), AddressError> {
    if text.is_empty() {
        return Err(AddressError::NoHost);
    }
    let wrong = || AddressError::Endpoint(text.to_owned());
    let (host, port) = match text.strip_prefix('[') {
        Some(v6) => {
            let (host, port) = v6.split_once(']').ok_or_else(wrong)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            (host, port)
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            let (host, port) = text.split_at(end);
            let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if host.is_empty() || !host.chars().all(known) {
                return Err(wrong());
            }
            (host, port)
        }
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => ETCD_PORT,
        // Not "+80", which a number may be.
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map_err(|_| wrong())?
        }
        _ => return Err(wrong()),
    };
    Ok((host.to_owned(), port))
}

fn prefix(text: &str) -> Result<String, AddressError> {
    let text = text.trim_matches('/');
    if text.is_empty() {
        return Ok(PLACE.to_owned());
    }
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let part = |part: &str| !part.is_empty() && part.chars().all(known);
    match text.split('/').all(part) {
        true => Ok(text.to_owned()),
        false => Err(AddressError::Prefix(text.to_owned())),
    }
}

fn schema(given: Option<String>) -> Result<String, AddressError> {
    const RULE: &str =
        "a lower-case letter or _, then those and digits, 48 at most, and does not begin with pg_";
    let name = given.unwrap_or_else(|| PLACE.to_owned());
    let begins = |c: char| c.is_ascii_lowercase() || c == '_';
    let known = name.starts_with(begins)
        && name.chars().all(|c| begins(c) || c.is_ascii_digit())
        && name.len() <= SCHEMA_BYTES_MAX
        && !name.starts_with("pg_");
    match known {
        true => Ok(name),
        false => Err(AddressError::Value("schema", name, RULE)),
    }
}

fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').unwrap_or((part, "")))
}

fn decoded(text: &str, what: &'static str) -> Result<String, AddressError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(Into::into)
        .map_err(|_| AddressError::Encoding(what))
}

fn path(text: &str) -> Result<PathBuf, AddressError> {
    decoded(text, "the file's name").map(PathBuf::from)
}

fn pair(
    one: Option<PathBuf>,
    other: Option<PathBuf>,
    name: &'static str,
    other_name: &'static str,
) -> Result<Option<(PathBuf, PathBuf)>, AddressError> {
    match (one, other) {
        (Some(one), Some(other)) => Ok(Some((one, other))),
        (None, None) => Ok(None),
        _ => Err(AddressError::Pair(name, other_name)),
    }
}

/// An error with what caused it, in a line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Some errors repeat their cause in their own words.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;

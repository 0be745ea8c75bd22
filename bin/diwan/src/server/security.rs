//! The cluster's token and TLS, from the files that the configuration names.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use diwan_registry::edge::AccessKeys;
use diwan_runtime::{ClusterToken, NodeTls, TlsError};
use diwan_tx::edge::Users;

use super::config::{Cluster, ConfigError, Tls};

/// What proves that a node belongs to its cluster.
#[derive(Debug, Default)]
pub(crate) struct Security {
    pub(crate) token: Option<ClusterToken>,
    pub(crate) tls: Option<NodeTls>,
}

/// No token is longer.
const TOKEN_FILE_BYTES_MAX: u64 = 4096;

impl Security {
    pub(crate) fn load(cluster: &Cluster, tls: &Tls) -> Result<Self, ConfigError> {
        let token = cluster.token_file.as_deref().map(token);
        Ok(Self {
            token: token.transpose()?,
            tls: node_tls(tls)?,
        })
    }
}

fn token(path: &Path) -> Result<ClusterToken, ConfigError> {
    let secret = secret("cluster.token_file", path, TOKEN_FILE_BYTES_MAX)?;
    ClusterToken::new(secret.trim_ascii())
        .map_err(|error| ConfigError(format!("cluster.token_file = {path:?}: {error}")))
}

/// No list of keys is longer.
const KEYS_FILE_BYTES_MAX: u64 = 1 << 20;

/// The keys with which clients of the registry sign.
pub(crate) fn access_keys(path: &Path) -> Result<AccessKeys, ConfigError> {
    let name = "registry.access_keys_file";
    let wrong = |what: String| ConfigError(format!("{name} = {path:?}: {what}"));
    let text = String::from_utf8(secret(name, path, KEYS_FILE_BYTES_MAX)?);
    let text = text.map_err(|_| wrong("it is no text".to_owned()))?;
    AccessKeys::parse(&text).map_err(|error| wrong(error.to_string()))
}

/// Who may ask the coordinator's console: lines of a name and a password.
pub(crate) fn users(path: &Path) -> Result<Users, ConfigError> {
    let name = "tx.users_file";
    let wrong = |what: String| ConfigError(format!("{name} = {path:?}: {what}"));
    let text = String::from_utf8(secret(name, path, KEYS_FILE_BYTES_MAX)?);
    let text = text.map_err(|_| wrong("it is no text".to_owned()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let users = lines.map(|line| {
        let parts = line.split_once(char::is_whitespace);
        let (user, password) =
            parts.ok_or_else(|| wrong("a line without a password".to_owned()))?;
        Ok((user.to_owned(), password.trim().to_owned()))
    });
    let users = Users(users.collect::<Result<_, _>>()?);
    match users.0.is_empty() {
        true => Err(wrong("there is nobody in it".to_owned())),
        false => Ok(users),
    }
}

/// The content of a file that is not everybody's.
fn secret(name: &str, path: &Path, bytes_max: u64) -> Result<Vec<u8>, ConfigError> {
    let wrong = |what: String| ConfigError(format!("{name} = {path:?}: {what}"));
    let io = |error: std::io::Error| wrong(error.to_string());
    let file = File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(wrong(format!(
            "everybody on this machine may use it (mode {mode:03o}); take that away with `chmod o-rwx`"
        )));
    }
    let mut secret = Vec::new();
    let mut file = file.take(bytes_max + 1);
    file.read_to_end(&mut secret).map_err(io)?;
    if secret.len() as u64 > bytes_max {
        return Err(wrong(format!("more than {bytes_max} bytes")));
    }
    Ok(secret)
}

fn node_tls(tls: &Tls) -> Result<Option<NodeTls>, ConfigError> {
    let files = [
        ("certificate", &tls.certificate),
        ("key", &tls.key),
        ("ca", &tls.ca),
    ];
    let (certificate, key, ca) = match (&tls.certificate, &tls.key, &tls.ca) {
        (None, None, None) => return Ok(None),
        (Some(certificate), Some(key), Some(ca)) => (certificate, key, ca),
        _ => {
            let missing = files.iter().find(|(_, path)| path.is_none());
            let name = missing.map_or("", |(name, _)| name);
            return Err(ConfigError(format!(
                "tls.{name} is missing: certificate, key and ca are given together"
            )));
        }
    };
    let built = NodeTls::from_files(certificate, key, ca, tls.require_client_certificate);
    built.map(Some).map_err(|error| {
        let name = match &error {
            TlsError::File { path, .. } => files
                .iter()
                .find(|(_, file)| {
                    file.as_ref()
                        .is_some_and(|it| it.display().to_string() == *path)
                })
                .map_or("tls", |(name, _)| name),
            _ => "certificate",
        };
        ConfigError(format!("tls.{name}: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_token_is_read_without_the_end_of_its_line_and_only_from_a_file_that_is_not_everybodys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let read = |content: &str, mode: u32| {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            token(&path).map(drop).map_err(|error| error.0)
        };
        assert_eq!(read("0123456789abcdef\n", 0o600), Ok(()));
        assert_eq!(read("0123456789abcdef\n", 0o440), Ok(()));
        for (content, mode, says) in [
            ("0123456789abcdef\n", 0o644, "(mode 644)"),
            ("0123456789abcde\n\n", 0o600, "this one has 15"),
            (&"x".repeat(5000), 0o600, "more than 4096 bytes"),
        ] {
            let error = read(content, mode).unwrap_err();
            assert!(error.contains(says), "{error}");
            assert!(error.starts_with("cluster.token_file = \"/"), "{error}");
            assert!(!error.contains("0123"), "{error}");
        }
    }

    #[test]
    fn files_of_tls_are_named_by_key_and_path() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| Some(folder.path().join(name));
        fs::write(folder.path().join("empty"), "").unwrap();
        let tls = |certificate, key, ca| {
            let tls = Tls {
                certificate,
                key,
                ca,
                require_client_certificate: true,
            };
            node_tls(&tls).map(drop).map_err(|error| error.0)
        };
        assert_eq!(tls(None, None, None), Ok(()));
        for (error, begins, says) in [
            (
                tls(file("x"), None, file("x")),
                "tls.key is missing",
                "together",
            ),
            (
                tls(file("x"), file("y"), file("empty")),
                "tls.ca: ",
                "/empty: no certificate in it",
            ),
            (tls(file("x"), file("y"), file("z")), "tls.ca: ", "/z: "),
        ] {
            let error = error.unwrap_err();
            assert!(error.starts_with(begins) && error.contains(says), "{error}");
        }
    }
}

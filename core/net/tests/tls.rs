#![allow(clippy::unwrap_used, reason = "helpers of tests")]
//! TLS and mutual TLS with certificates made on the spot.

mod support;

use std::path::{Path, PathBuf};

use diwan_net::bolt::{Client, ClientOptions, SessionOptions};
use diwan_net::{ClientTls, Server, ServerOptions, ServerTls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use support::*;

struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(
            folder.join("ca.pem"),
            params.self_signed(&key).unwrap().pem(),
        )
        .unwrap();
        Self {
            folder,
            issuer: Issuer::new(params, key),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Files of a certificate and its key.
    fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.into()])
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        let (chain_file, key_file) = (
            self.file(&format!("{name}.pem")),
            self.file(&format!("{name}.key")),
        );
        std::fs::write(&chain_file, certificate.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        (chain_file, key_file)
    }
}

fn server(authority: &Authority, mutual: bool) -> Server {
    let (chain, key) = authority.sign("localhost");
    let ca = authority.file("ca.pem");
    let tls = ServerTls::from_files(&chain, &key, mutual.then_some(&*ca)).unwrap();
    support::server(
        ServerOptions {
            tls: Some(tls),
            ..ServerOptions::default()
        },
        SessionOptions::default(),
    )
}

fn client(server: &Server, tls: Option<ClientTls>) -> Client {
    Client::connect(
        server.local_addr(),
        ClientOptions {
            tls,
            ..ClientOptions::default()
        },
    )
    .unwrap()
}

#[tokio::test]
async fn tls_carries_calls_and_refuses_plain_text_and_strangers() {
    let ours = Authority::new("tls");
    let theirs = Authority::new("tls-other");
    let server = server(&ours, false);
    let trusting = ClientTls::from_files(&ours.file("ca.pem"), "localhost", None).unwrap();
    let big = vec![9; 3_000_000];
    assert!(call(client(&server, Some(trusting)).peer(), "echo", &big).await == Ok(big));

    let plain = call(client(&server, None).peer(), "echo", b"x").await;
    assert!(plain.is_err(), "{plain:?}");
    let stranger = ClientTls::from_files(&theirs.file("ca.pem"), "localhost", None).unwrap();
    let error = call(client(&server, Some(stranger)).peer(), "echo", b"x")
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("invalid peer certificate"),
        "{error}"
    );
    let misnamed = ClientTls::from_files(&ours.file("ca.pem"), "elsewhere", None).unwrap();
    let error = call(client(&server, Some(misnamed)).peer(), "echo", b"x")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn mutual_tls_wants_a_certificate_of_the_authority() {
    let ours = Authority::new("mtls");
    let theirs = Authority::new("mtls-other");
    let server = server(&ours, true);
    let ca = ours.file("ca.pem");
    let (chain, key) = ours.sign("a-client");
    let known = ClientTls::from_files(&ca, "localhost", Some((&chain, &key))).unwrap();
    assert_eq!(
        call(client(&server, Some(known)).peer(), "echo", b"x").await,
        Ok(b"x".to_vec())
    );

    let (chain, key) = theirs.sign("a-client");
    let foreign = ClientTls::from_files(&ca, "localhost", Some((&chain, &key))).unwrap();
    assert!(
        call(client(&server, Some(foreign)).peer(), "echo", b"x")
            .await
            .is_err()
    );
    let none = ClientTls::from_files(&ca, "localhost", None).unwrap();
    assert!(
        call(client(&server, Some(none)).peer(), "echo", b"x")
            .await
            .is_err()
    );
}

#[test]
fn unusable_files_are_named() {
    let missing = Path::new("no/such/file.pem");
    let error = ServerTls::from_files(missing, missing, None)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("no/such/file.pem: "), "{error}");
    let empty = Path::new(env!("CARGO_TARGET_TMPDIR")).join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let error = ClientTls::from_files(&empty, "localhost", None)
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("empty.pem: no certificate in it"),
        "{error}"
    );
}

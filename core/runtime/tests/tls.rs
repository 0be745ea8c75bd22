#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]
//! Nodes with mutual TLS, with certificates made on the spot.

mod support;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use diwan_jraft::{GetLeaderRequest, Message};
use diwan_net::ClientTls;
use diwan_net::bolt::ClientOptions;
use diwan_runtime::{CliClient, NodeTls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use support::*;

/// An authority and a certificate of it for `name`, as files.
fn make(folder: &Path, name: &str) -> (PathBuf, PathBuf, PathBuf) {
    std::fs::create_dir_all(folder).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let write = |name: &str, pem: String| {
        let path = folder.join(name);
        std::fs::write(&path, pem).unwrap();
        path
    };
    let ca = write("ca.pem", params.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.into()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let chain = write("node.pem", certificate.pem());
    (chain, write("node.key", key.serialize_pem()), ca)
}

#[tokio::test]
async fn nodes_with_certificates_of_one_authority_commit_and_others_stay_outside() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key, ca) = make(&folder.path().join("ours"), "127.0.0.1");
    let tls = NodeTls::from_files(&chain, &key, &ca, true).unwrap();
    let ids = names("127.0.0.1", 3);
    let nodes: Vec<Node> = ids
        .iter()
        .map(|id| {
            Node::start(id, vec![group("g", &ids)], |options| {
                options.tls = Some(tls.clone());
                options.token = token("the secret of these nodes");
            })
        })
        .collect();
    assert_eq!(commit(&nodes, "g").await, 1);
    for node in &nodes {
        node.until("every member has it", |it| it.groups[0].status.applied >= 2)
            .await;
    }
    let mut operator =
        CliClient::new(PATIENCE, token("the secret of these nodes"), Some(&tls)).unwrap();
    operator.leader("g", &ids).await.unwrap();

    let (stats, _) = nodes[0].handle.connections().unwrap();
    let refused = |stats: &diwan_net::Stats| stats.tls_failed.load(Relaxed);
    let begun = refused(&stats);
    let (_, _, other_ca) = make(&folder.path().join("theirs"), "127.0.0.1");
    let without_certificate = ClientTls::from_files(&ca, "127.0.0.1", None).unwrap();
    let of_another = ClientTls::from_files(&other_ca, "127.0.0.1", None).unwrap();
    for tls in [None, Some(without_certificate), Some(of_another)] {
        let before = refused(&stats);
        let options = ClientOptions {
            tls,
            ..ClientOptions::default()
        };
        let client = raw(nodes[0].addr(), options);
        let message = Message::GetLeaderRequest(GetLeaderRequest {
            group_id: "g".into(),
            peer_id: None,
        });
        let answer = call(&client, message.class(), b"").await;
        assert!(answer.is_err(), "{answer:?}");
        let began = std::time::Instant::now();
        while refused(&stats) == before {
            assert!(began.elapsed() < PATIENCE, "not counted");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    assert!(refused(&stats) >= begun + 3);
    assert_eq!(commit(&nodes, "g").await, 2);
}

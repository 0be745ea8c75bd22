//! Every case of the interop tests without foreign peers.

use diwan_interop::cases::{Remote, Run, kitchen};
use diwan_interop::server;

#[tokio::test]
async fn every_case_holds_between_client_and_server() {
    let server = server("127.0.0.1:0").start().expect("a free port");
    let addr = server.local_addr();
    let remote = Remote::new(&addr.ip().to_string(), addr.port()).expect("a plain address");
    let mut run = Run::new(Vec::new(), Vec::new());
    kitchen(&mut run, &remote, 200, 1).await;
    assert!(run.finish(), "the output says which case is wrong");
}

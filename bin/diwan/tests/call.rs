//! `diwan call` as a person uses it, against a real server.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::process::{Command, Output};

use diwan::Hessian;
use diwan::rpc::Server;

#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.x.Order")]
pub struct Order {
    pub id: i64,
    pub skus: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Hessian)]
#[hessian(class = "com.x.ShopException", throwable)]
pub struct ShopException {
    #[hessian(message)]
    pub message: String,
    pub code: i32,
}

impl std::fmt::Display for ShopException {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

#[diwan::service(interface = "com.x.Shop")]
pub trait Shop {
    async fn add(&self, left: i64, right: i64) -> i64;
    async fn order(&self, order: Order) -> Order;
    async fn fail(&self) -> Result<(), ShopException>;
}

struct Service;

impl Shop for Service {
    async fn add(&self, left: i64, right: i64) -> i64 {
        left + right
    }
    async fn order(&self, mut order: Order) -> Order {
        order.skus.reverse();
        order
    }
    async fn fail(&self) -> Result<(), ShopException> {
        Err(ShopException {
            message: "sold out".into(),
            code: 7,
        })
    }
}

fn call(server: &Server, arguments: &[&str]) -> (i32, String, String) {
    let url = format!("bolt://{}", server.local_addr());
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_diwan"))
        .arg("call")
        .arg(url)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end().to_owned();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn answers_exceptions_and_mistakes_each_say_what_they_are() {
    let server = Server::builder("127.0.0.1:0")
        .workers(1)
        .publish(ShopServer::new(Service))
        .start()
        .unwrap();
    let says = |arguments: &[&str]| call(&server, arguments);

    let (code, out, err) = says(&["com.x.Shop:1.0", "add", "[1, 2]"]);
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "3", "calling add(int,int)")
    );
    let (code, out, err) = says(&["com.x.Shop:1.0", "add(long,long)", r#"[1, 2]"#]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "3", ""));
    let order = r#"[{"$class": "com.x.Order", "id": {"$long": 9}, "skus": ["a", "b"]}]"#;
    let (code, out, _) = says(&["com.x.Shop", "order", order]);
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    let expected = serde_json::json!({"$class": "com.x.Order", "id": 9, "skus": ["b", "a"]});
    assert_eq!((code, answer), (0, expected));
    let (code, out, err) = says(&["com.x.Shop:1.0", "add", "[1, 2]", "--repeat", "50"]);
    assert_eq!((code, out.as_str()), (0, "3"));
    assert!(err.contains("50 calls one after the other"), "{err}");

    let (code, out, err) = says(&["com.x.Shop:1.0", "fail"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        err.starts_with("exception: com.x.ShopException: sold out\n  code: 7"),
        "{err}"
    );

    for (arguments, problem) in [
        (
            &["com.x.Nowhere:1.0", "add", "[1,2]"][..],
            "RPC-020100010: RPC cannot find service: [com.x.Nowhere:1.0]",
        ),
        (
            &["com.x.Shop:1.0", "subtract", "[1,2]"],
            "RPC-020100011: Cannot find invoke method: [subtract]",
        ),
        (&["com.x.Shop:1.0", "add", "[1]"], "RPC-020100011"),
        (
            &["com.x.Shop:1.0", "add(long,long)", r#"["one","two"]"#],
            "ServerDeserialException",
        ),
        (
            &["com.x.Shop:1.0", "add", "1"],
            "arguments must be a JSON array",
        ),
        (
            &["com.x.Shop:1.0", "add(long)", "[1,2]"],
            "the signature has 1 types, 2 arguments are given",
        ),
        (
            &["com.x.Shop:1.0", "order", r#"[{"$lnog": 1}]"#],
            "argument 1: \"$lnog\" is unknown",
        ),
    ] {
        let (code, _, err) = says(arguments);
        assert_eq!(code, 1, "{arguments:?}");
        assert!(err.contains(problem), "{arguments:?}: {err}");
    }
}

#[test]
fn a_server_that_is_not_there_is_said_so() {
    let server = Server::builder("127.0.0.1:0").workers(1).start().unwrap();
    let addr = server.local_addr();
    drop(server);
    let output = Command::new(env!("CARGO_BIN_EXE_diwan"))
        .args([
            "call",
            &format!("bolt://{addr}"),
            "com.x.Shop:1.0",
            "add",
            "[1,2]",
        ])
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("not connected: Connection refused"), "{err}");
}

#[test]
fn help_version_and_completion_are_there() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_diwan"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run(&["--help"]).contains("diwan demo --keep"));
    assert!(run(&["help", "call"]).contains("Exit codes:"));
    assert!(run(&["completions", "bash"]).contains("_diwan()"));
    let version = run(&["--version"]);
    assert!(
        version.contains(env!("CARGO_PKG_VERSION")) && version.contains('('),
        "{version}"
    );
}

//! Asking an endpoint of the registry over HTTP which servers there are.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// An answer is read up to here.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Asking one endpoint takes no longer.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// The newer and the older form of the question: only servers since 6.5 know the first.
/// sofastack/sofa-registry:client/impl/.../provider/DefaultServerManager.java
const PATHS: [&str; 2] = ["/api/servers/queryWithWeight", "/api/servers/query"];

/// Asks one endpoint after the other until one knows servers.
pub(super) async fn ask(endpoints: &[String], query: &str) -> Result<Vec<SocketAddr>, String> {
    let mut problems = Vec::new();
    for endpoint in endpoints {
        let asked = timeout(ASK_TIMEOUT, ask_one(endpoint, query)).await;
        match asked.unwrap_or_else(|_| Err(format!("no answer within {ASK_TIMEOUT:?}"))) {
            Ok(servers) => return Ok(servers),
            Err(problem) => problems.push(format!("{endpoint}: {problem}")),
        }
    }
    Err(problems.join("; "))
}

async fn ask_one(endpoint: &str, query: &str) -> Result<Vec<SocketAddr>, String> {
    for path in PATHS {
        let answer = get(endpoint, &format!("{path}?{query}")).await;
        match body(&answer.map_err(|error| error.to_string())?)? {
            Some(body) => return resolve(names(body)).await,
            None => continue,
        }
    }
    Err("it is no endpoint of a registry: not found".to_owned())
}

/// The addresses of servers given as `host:port`; those that cannot be looked up are left out if another can.
pub(super) async fn resolve(names: Vec<&str>) -> Result<Vec<SocketAddr>, String> {
    let mut servers = Vec::new();
    let mut problem = "it knows no server".to_owned();
    for name in names {
        match lookup_host(name).await {
            Ok(addrs) => servers.extend(addrs.take(1)),
            Err(error) => problem = format!("{name}: {error}"),
        }
    }
    if servers.is_empty() {
        Err(problem)
    } else {
        Ok(servers)
    }
}

/// HTTP/1.0, so that the answer is not cut into chunks and ends with the connection.
async fn get(endpoint: &str, target: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(endpoint).await?;
    let request = format!("GET {target} HTTP/1.0\r\nHost: {endpoint}\r\nAccept: */*\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut answer)
        .await?;
    Ok(answer)
}

/// The body of an answer; None for one that says there is no such page.
fn body(answer: &[u8]) -> Result<Option<&str>, String> {
    let answer = std::str::from_utf8(answer).map_err(|_| "the answer is no text".to_owned())?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or("the answer is no HTTP")?;
    let mut status = head.lines().next().unwrap_or_default().split(' ');
    match (status.next(), status.next()) {
        (Some("HTTP/1.0" | "HTTP/1.1"), Some("200")) => Ok(Some(body)),
        (Some("HTTP/1.0" | "HTTP/1.1"), Some("404")) => Ok(None),
        (Some("HTTP/1.0" | "HTTP/1.1"), Some(status)) => Err(format!("status {status}")),
        _ => Err("the answer is no HTTP".to_owned()),
    }
}

/// `ip:port?weight=100;ip:port`.
fn names(body: &str) -> Vec<&str> {
    body.split(';')
        .filter_map(|one| one.trim().split('?').next())
        .filter(|name| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::net::TcpListener;

    use super::*;

    /// An endpoint that gives these answers, one on each connection, and tells what it was asked.
    async fn endpoint(
        answers: &'static [&'static str],
    ) -> (String, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let asked = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                asked.push(request.lines().next().unwrap().to_owned());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        (addr, asked)
    }

    #[tokio::test]
    async fn an_old_endpoint_is_asked_in_its_way() {
        let (addr, asked) = endpoint(&[
            "HTTP/1.1 404 Not Found\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: y\r\n\r\n127.0.0.1:9600;127.0.0.2:9600",
        ])
        .await;
        let nobody = "127.0.0.1:1".to_owned();
        let servers = ask(&[nobody, addr], "zone=Z").await.unwrap();
        assert_eq!(
            servers,
            ["127.0.0.1:9600", "127.0.0.2:9600"].map(|addr| addr.parse().unwrap())
        );
        assert_eq!(
            asked.await.unwrap(),
            [
                "GET /api/servers/queryWithWeight?zone=Z HTTP/1.0",
                "GET /api/servers/query?zone=Z HTTP/1.0"
            ]
        );
    }

    #[tokio::test]
    async fn odd_answers_say_what_is_wrong() {
        for (answer, problem) in [
            ("HTTP/1.1 200 OK\r\n\r\n", "it knows no server"),
            ("HTTP/1.1 200 OK\r\n\r\n;;?weight=1", "it knows no server"),
            ("HTTP/1.1 503 No\r\n\r\n", "status 503"),
            ("SSH-2.0-x\r\n\r\n", "no HTTP"),
            ("", "no HTTP"),
        ] {
            let (addr, _) = endpoint(Vec::leak(vec![answer])).await;
            let error = ask(&[addr], "").await.unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
        let (addr, _) = endpoint(&["HTTP/1.1 404 N\r\n\r\n", "HTTP/1.1 404 N\r\n\r\n"]).await;
        assert!(ask(&[addr], "").await.unwrap_err().contains("not found"));
    }

    #[test]
    fn weights_are_cut_off() {
        assert_eq!(names("a:1?weight=100; b:2 ;"), ["a:1", "b:2"]);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(answer: Vec<u8>, text in "HTTP/1.[01] .{0,9}\r\n\r\n.{0,20}") {
            let _ = body(&answer);
            if let Ok(Some(body)) = body(text.as_bytes()) {
                names(body);
            }
        }
    }
}

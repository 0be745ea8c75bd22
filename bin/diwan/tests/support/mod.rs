//! Real `diwan server` processes on loopback.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Long enough for anything that happens at all.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn diwan() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_diwan"));
    command.env_remove("DIWAN_LOG");
    command
}

/// An address of loopback that nobody uses, and that no test of this process is given again. It is none of those that connections
/// take by themselves: a node that starts later, or again, finds it free.
pub fn free_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = NEXT.fetch_add(1, Relaxed) + std::process::id() * 61;
        let addr = format!("127.0.0.1:{}", 10_000 + next % 12_000);
        if TcpListener::bind(&addr).is_ok() {
            return addr;
        }
    }
}

/// Exit code, standard output and standard error.
pub fn said(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// Status code and body of a request.
pub fn http(addr: &str, request: &str, headers: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(addr).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "{request} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    Some((code, body.to_owned()))
}

/// A running node; killed when dropped.
pub struct Node {
    pub id: String,
    pub admin: String,
    child: Child,
    log: PathBuf,
    arguments: Vec<String>,
}

fn spawn(arguments: &[String], log: &Path) -> Child {
    diwan()
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(File::create(log).unwrap())
        .spawn()
        .unwrap()
}

/// Where the nodes of a test keep their logs if that is to be an engine: interop/check-engines says so by the engine's URL with
/// TEST in it, which is another word for each test.
pub fn engine(root: &Path) -> Vec<String> {
    let Ok(url) = std::env::var("LOG_URL") else {
        return Vec::new();
    };
    let name = root.file_name().unwrap().to_string_lossy().to_lowercase();
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    vec!["--log".to_owned(), url.replace("TEST", &name)]
}

impl Node {
    /// Starts a node whose data lie in `root`, in a directory named after it.
    pub fn start(root: &Path, id: &str, more: &[&str]) -> Self {
        let admin = free_address();
        let log = root.join(format!("{id}.log"));
        let data = root.join(id).to_string_lossy().into_owned();
        let own = ["server", "--node", id, "--admin", &admin, "--data", &data];
        let mut arguments: Vec<String> = own.iter().chain(more).map(ToString::to_string).collect();
        if !more.contains(&"--log") {
            arguments.extend(engine(root));
        }
        let node = Self {
            id: id.to_owned(),
            child: spawn(&arguments, &log),
            admin,
            log,
            arguments,
        };
        node.until("GET /livez", |(code, _)| *code == 200);
        node
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// As a crash would end it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// On the same data.
    pub fn start_again(&mut self) {
        self.child = spawn(&self.arguments, &self.log);
        self.until("GET /livez", |(code, _)| *code == 200);
    }

    pub fn until_ready(&self) {
        self.until("GET /readyz", |(code, _)| *code == 200);
    }

    /// Asks again and again until the answer is as wanted.
    pub fn until(&self, request: &str, wanted: impl Fn(&(u16, String)) -> bool) -> String {
        let began = Instant::now();
        loop {
            let answer = self.try_http(request, "");
            match answer {
                Some(answer) if wanted(&answer) => return answer.1,
                other => assert!(
                    began.elapsed() < PATIENCE,
                    "{} {request}: {other:?}",
                    self.id
                ),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Status code and body.
    pub fn http(&self, request: &str, body: &str) -> (u16, String) {
        self.try_http(request, body).unwrap()
    }

    fn try_http(&self, request: &str, body: &str) -> Option<(u16, String)> {
        self.http_with(request, &format!("Host: {}\r\n", self.admin), body)
    }

    pub fn http_with(&self, request: &str, headers: &str, body: &str) -> Option<(u16, String)> {
        http(&self.admin, request, headers, body)
    }

    /// `diwan raft` through this node's administration; must succeed.
    pub fn raft(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.try_raft(arguments);
        assert_eq!(code, 0, "{arguments:?}: {err}");
        out
    }

    pub fn try_raft(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = diwan();
        command.arg("raft").args(arguments);
        if !arguments.contains(&"--admin") {
            command.args(["--admin", &self.admin]);
        }
        said(command.output().unwrap())
    }

    /// Sends a signal and waits for the end: exit code and what was logged.
    pub fn end(mut self, signal: &str) -> (Option<i32>, String) {
        self.signal(signal);
        let code = self.child.wait().unwrap().code();
        (code, fs::read_to_string(&self.log).unwrap())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

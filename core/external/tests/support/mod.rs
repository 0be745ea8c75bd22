//! Real engines with private data directories on free ports, which end with the test.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Whether tests with engines are wanted; interop/check-engines says so, which knows what is installed.
pub fn wanted(engine: &str) -> bool {
    let wanted = std::env::var("ENGINES").unwrap_or_default();
    let wanted = wanted.split(' ').any(|it| it == engine);
    if !wanted {
        println!("skipped: {engine} is not among ENGINES (see interop/check-engines)");
    }
    wanted
}

/// A port that is free now, that no other test of this program was given, and that is not one that connections are given.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let seed = std::process::id() as u16;
    for _ in 0..2000 {
        let nth = NEXT.fetch_add(1, Relaxed);
        let port = 20_000 + seed.wrapping_mul(37).wrapping_add(nth.wrapping_mul(7)) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

fn wait_for(port: u16, what: &str) {
    let began = Instant::now();
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    while TcpStream::connect_timeout(&addr, Duration::from_secs(1)).is_err() {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{what} does not start"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// etcd with one member.
pub struct Etcd {
    directory: TempDir,
    pub port: u16,
    peer: u16,
    pub arguments: Vec<String>,
    child: Option<Child>,
}

impl Etcd {
    pub fn start(arguments: &[&str]) -> Self {
        let mut etcd = Self {
            directory: TempDir::new().unwrap(),
            port: port(),
            peer: 0,
            arguments: arguments.iter().map(ToString::to_string).collect(),
            child: None,
        };
        etcd.peer = port();
        etcd.run();
        etcd
    }

    pub fn run(&mut self) {
        let tls = self
            .arguments
            .iter()
            .any(|it| it.starts_with("--cert-file"));
        let scheme = if tls { "https" } else { "http" };
        let client = format!("{scheme}://127.0.0.1:{}", self.port);
        let peer = format!("http://127.0.0.1:{}", self.peer);
        let log = std::fs::File::create(self.directory.path().join("log")).unwrap();
        let child = Command::new("etcd")
            .args(["--name", "one", "--data-dir"])
            .arg(self.directory.path().join("data"))
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--initial-cluster", &format!("one={peer}")])
            .args(&self.arguments)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        wait_for(self.port, "etcd");
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn url(&self) -> String {
        format!("etcd://127.0.0.1:{}/test", self.port)
    }

    /// Runs etcdctl against it.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let endpoint = format!("127.0.0.1:{}", self.port);
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &endpoint])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "etcdctl {arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A PostgreSQL server.
pub struct Postgres {
    directory: TempDir,
    pub port: u16,
}

impl Postgres {
    /// `settings`: lines for postgresql.conf.
    pub fn start(settings: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).unwrap();
        let postgres = Self {
            directory,
            port: port(),
        };
        if is_root() {
            let owned = Command::new("chown")
                .arg("postgres")
                .arg(postgres.directory.path())
                .status()
                .unwrap();
            assert!(owned.success());
        }
        let data = postgres.data();
        let data = data.to_str().unwrap();
        postgres.tool(
            "initdb",
            &["-D", data, "-A", "trust", "-U", "postgres", "-N"],
        );
        let configuration = postgres.data().join("postgresql.conf");
        let mut text = std::fs::read_to_string(&configuration).unwrap();
        text += settings;
        std::fs::write(&configuration, text).unwrap();
        postgres.run();
        postgres
    }

    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub fn run(&self) {
        let sockets = self.directory.path().display();
        let options = format!(
            "-p {} -k {sockets} -c listen_addresses=127.0.0.1",
            self.port
        );
        let (data, log) = (self.data(), self.directory.path().join("log"));
        let (data, log) = (data.to_str().unwrap(), log.to_str().unwrap());
        self.tool(
            "pg_ctl",
            &["-D", data, "-w", "-l", log, "-o", &options, "start"],
        );
    }

    /// Makes a file in its data directory the server's alone.
    pub fn own(&self, name: &str) {
        let path = self.data().join(name);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        if is_root() {
            let owned = Command::new("chown").arg("postgres").arg(path).status();
            assert!(owned.unwrap().success());
        }
    }

    /// Ends it as a power failure does: what is not synced is lost to its buffers.
    pub fn kill(&self) {
        let data = self.data();
        self.tool(
            "pg_ctl",
            &[
                "-D",
                data.to_str().unwrap(),
                "-m",
                "immediate",
                "-w",
                "stop",
            ],
        );
    }

    pub fn url(&self) -> String {
        format!(
            "postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable",
            self.port
        )
    }

    /// Runs SQL in it.
    pub fn sql(&self, sql: &str) -> String {
        let port = self.port.to_string();
        let arguments = [
            "-X",
            "-q",
            "-t",
            "-A",
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "postgres",
            "-c",
            sql,
        ];
        self.tool("psql", &arguments)
    }

    fn tool(&self, name: &str, arguments: &[&str]) -> String {
        let path = Path::new("/usr/lib/postgresql/15/bin").join(name);
        let path = if path.exists() { path } else { name.into() };
        let mut command = match is_root() {
            true => {
                let mut command = Command::new("runuser");
                command.args(["-u", "postgres", "--"]).arg(path);
                command
            }
            false => Command::new(path),
        };
        let log = std::fs::File::create(self.directory.path().join(format!("{name}.out"))).unwrap();
        // pg_ctl leaves the server behind, which must not hold a pipe of ours.
        let status = command
            .args(arguments)
            // So that SQL reaches a server that is read-only.
            .env("PGOPTIONS", "-c default_transaction_read_only=off")
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .status()
            .unwrap();
        let output =
            std::fs::read_to_string(self.directory.path().join(format!("{name}.out"))).unwrap();
        assert!(status.success(), "{name} {arguments:?}: {output}");
        output
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.data();
        if data.join("postmaster.pid").exists() {
            self.kill();
        }
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

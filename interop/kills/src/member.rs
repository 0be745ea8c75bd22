//! A member of the group: its process, its directories, and what happens to them.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use diwan_kills::process::{Process, command};
use diwan_sim::Random;
use rustix::process::Signal;

use crate::rewind::{Losses, Share, rewind};

/// How members are started.
pub struct Program {
    /// The store.
    pub path: PathBuf,
    /// The preloaded library that `disk.c` is built to.
    pub disk: PathBuf,
    /// While this file is there, its fdatasync does nothing.
    pub lies: PathBuf,
    /// The size of the log's segments.
    pub segment_bytes: u32,
    /// All members, as `--peers` wants them.
    pub peers: String,
    /// The engine that keeps the members' log, if one does.
    pub log: Option<String>,
}

/// A member.
pub struct Member {
    /// Where it listens.
    pub address: SocketAddrV4,
    namespace: Option<PathBuf>,
    /// While this file is there, its disk has no room but for as many bytes as it says.
    full: PathBuf,
    root: PathBuf,
    beside: PathBuf,
    process: Process,
}

impl Member {
    /// A member that has never run, below `place`.
    pub fn new(
        place: PathBuf,
        address: SocketAddrV4,
        namespace: Option<PathBuf>,
    ) -> io::Result<Member> {
        let member = Member {
            address,
            namespace,
            full: place.join("full"),
            root: place.join("data"),
            beside: place.join("journal"),
            process: Process::new(place.join("log")),
        };
        fs::create_dir_all(&member.beside)?;
        Ok(member)
    }

    /// Starts it and waits until it is ready.
    /// # Errors
    /// It refuses to start.
    pub fn start(&mut self, program: &Program) -> Result<(), String> {
        let io = |error: io::Error| error.to_string();
        let log = File::create(self.process.log()).map_err(io)?;
        // The library is for the program alone, not for what brings it into its namespace.
        let mut command = command(self.namespace.as_deref(), "env");
        let variable = |name: &str, value: &PathBuf| format!("{name}={}", value.display());
        command
            .arg(variable("LD_PRELOAD", &program.disk))
            .arg(variable("DISK_ROOT", &self.root))
            .arg(variable("DISK_JOURNAL", &self.beside))
            .arg(variable("DISK_LIES", &program.lies))
            .arg(variable("DISK_FULL", &self.full))
            .arg("LOG_LEVEL=info")
            .arg(&program.path)
            .args(["--group", "kv", "--self", &self.address.to_string()])
            .args(["--peers", &program.peers, "--election-timeout-ms", "300"])
            .args([
                "--snapshot-interval-s",
                "2",
                "--snapshot-keep-entries",
                "100",
            ])
            .args([
                "--segment-bytes",
                &program.segment_bytes.to_string(),
                "--data",
            ])
            .arg(&self.root);
        if let Some(log) = &program.log {
            command.args(["--log", log, "--lease-ms", "500"]);
        }
        self.process.start(&mut command, log).map_err(io)?;
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            if let Some(status) = self.ended() {
                return Err(format!(
                    "the member on {} refuses to start ({status}): {}",
                    self.address,
                    self.last_words()
                ));
            }
            if fs::read_to_string(self.process.log())
                .map_err(io)?
                .contains("READY")
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(format!(
            "the member on {} is not ready after 20 s: {}",
            self.address,
            self.last_words()
        ))
    }

    /// Its exit status, if it ended without being told to.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        self.process.last_words()
    }

    /// From now on its disk has room for so many bytes more.
    pub fn fill(&self, bytes: u64) -> io::Result<()> {
        fs::write(&self.full, bytes.to_string())
    }

    /// There is room again. Returns whether a write found none meanwhile.
    pub fn empty(&self) -> io::Result<bool> {
        fs::remove_file(&self.full)?;
        Ok(fs::remove_file(self.full.with_extension("felt")).is_ok())
    }

    /// Stops it where it stands.
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// kill -9.
    pub fn kill(&self) {
        self.process.signal(Signal::KILL);
    }

    /// Asks it to stop, and waits.
    pub fn stop(&mut self) -> Result<(), String> {
        self.process.signal(Signal::TERM);
        let until = Instant::now() + Duration::from_secs(10);
        while self.process.is_known() {
            match self.ended() {
                Some(status) if status.success() => break,
                Some(status) => {
                    return Err(format!(
                        "the member on {} was asked to stop and ended with {status}: {}",
                        self.address,
                        self.last_words()
                    ));
                }
                None => {}
            }
            if Instant::now() > until {
                return Err(format!(
                    "the member on {} does not stop within 10 s: {}",
                    self.address,
                    self.last_words()
                ));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// After its end: the power failed, too.
    pub fn lose(&mut self, share: Share, random: &mut Random) -> Result<Losses, String> {
        self.process.wait().map_err(|error| error.to_string())?;
        rewind(&self.root, &self.beside, share, random)
            .map_err(|error| format!("{}: {error}", self.root.display()))
    }
}

//! A member of the group: its process, its directories, and what happens to them.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use diwan_sim::Random;
use rustix::process::{Pid, Signal, kill_process};

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
}

/// A member.
pub struct Member {
    /// Where it listens.
    pub port: u16,
    root: PathBuf,
    beside: PathBuf,
    log: PathBuf,
    process: Option<Child>,
}

impl Member {
    /// A member that has never run, below `place`.
    pub fn new(place: PathBuf, port: u16) -> io::Result<Member> {
        let member = Member {
            port,
            root: place.join("data"),
            beside: place.join("journal"),
            log: place.join("log"),
            process: None,
        };
        fs::create_dir_all(&member.beside)?;
        Ok(member)
    }

    /// Starts it and waits until it is ready.
    /// # Errors
    /// It refuses to start.
    pub fn start(&mut self, program: &Program) -> Result<(), String> {
        let io = |error: io::Error| error.to_string();
        let log = File::create(&self.log).map_err(io)?;
        let mut command = Command::new(&program.path);
        command
            .args([
                "--group",
                "kv",
                "--self",
                &format!("127.0.0.1:{}", self.port),
            ])
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
            .arg(&self.root)
            .env("LD_PRELOAD", &program.disk)
            .env("DISK_ROOT", &self.root)
            .env("DISK_JOURNAL", &self.beside)
            .env("DISK_LIES", &program.lies)
            .env("LOG_LEVEL", "info")
            .stdout(log.try_clone().map_err(io)?)
            .stderr(log);
        self.process = Some(command.spawn().map_err(io)?);
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            if let Some(status) = self.ended() {
                return Err(format!(
                    "the member on {} refuses to start ({status}): {}",
                    self.port,
                    self.last_words()
                ));
            }
            if fs::read_to_string(&self.log).map_err(io)?.contains("READY") {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(format!(
            "the member on {} is not ready after 20 s: {}",
            self.port,
            self.last_words()
        ))
    }

    /// Its exit status, if it ended without being told to.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.as_mut()?.try_wait().ok()?
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n    ")
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self
            .process
            .as_ref()
            .and_then(|process| Pid::from_raw(process.id() as i32))
        {
            // It may have ended meanwhile: that is found out elsewhere.
            let _ = kill_process(pid, signal);
        }
    }

    /// Stops it where it stands.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// kill -9.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Asks it to stop, and waits.
    pub fn stop(&mut self) -> Result<(), String> {
        self.signal(Signal::TERM);
        let until = Instant::now() + Duration::from_secs(10);
        while self.process.is_some() && self.ended().is_none() {
            if Instant::now() > until {
                return Err(format!(
                    "the member on {} does not stop within 10 s: {}",
                    self.port,
                    self.last_words()
                ));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// After its end: the power failed, too.
    pub fn lose(&mut self, share: Share, random: &mut Random) -> Result<Losses, String> {
        if let Some(mut process) = self.process.take() {
            process.wait().map_err(|error| error.to_string())?;
        }
        rewind(&self.root, &self.beside, share, random)
            .map_err(|error| format!("{}: {error}", self.root.display()))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
        if let Some(mut process) = self.process.take() {
            let _ = process.wait();
        }
    }
}

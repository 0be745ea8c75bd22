//! A node's process: its end, its signals, its last words.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};

/// A process, if it runs; it is killed when this is dropped.
pub struct Process {
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// One that has not begun, and whose log will be there.
    pub fn new(log: PathBuf) -> Process {
        Process { log, child: None }
    }

    /// Starts it with `output` as its log.
    /// # Errors
    /// The system does not.
    pub fn start(&mut self, command: &mut Command, output: File) -> io::Result<()> {
        command.stdout(output.try_clone()?).stderr(output);
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// Where its log is.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// It was started and nobody has waited for its end.
    pub fn is_known(&self) -> bool {
        self.child.is_some()
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().ok()?
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n    ")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref();
        if let Some(pid) = child.and_then(|child| Pid::from_raw(child.id() as i32)) {
            // It may have ended meanwhile: that is found out elsewhere.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for its end.
    /// # Errors
    /// The system does not.
    pub fn wait(&mut self) -> io::Result<()> {
        match self.child.take() {
            Some(mut child) => child.wait().map(drop),
            None => Ok(()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.wait();
    }
}

/// A program that is to run in a network namespace, if one is given.
pub fn command(namespace: Option<&Path>, program: impl AsRef<Path>) -> Command {
    let program = program.as_ref();
    match namespace {
        Some(namespace) => {
            let mut command = Command::new("nsenter");
            command
                .arg(format!("--net={}", namespace.display()))
                .arg(program);
            command
        }
        None => Command::new(program),
    }
}

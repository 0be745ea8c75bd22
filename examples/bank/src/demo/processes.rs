use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use diwan::rpc::{ConsumerOptions, ServiceClient};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::account::AccountsClient;

/// Accounts of the bank: numbers below this, half of them at each instance.
const ACCOUNTS: u32 = 1000;
/// What each account has at the beginning.
pub(super) const OPENING_CENTS: i64 = 10_000_000;

/// The services as child processes.
pub(super) struct Bank {
    program: Vec<String>,
    accounts: Vec<AccountProcess>,
    gateway: Child,
    gateway_addr: SocketAddr,
}

struct AccountProcess {
    from: u32,
    to: u32,
    store: PathBuf,
    addr: SocketAddr,
    child: Child,
}

impl Bank {
    pub(super) async fn start(program: &[String], folder: &Path) -> io::Result<Self> {
        let mut accounts = Vec::new();
        for (from, to) in [(0, ACCOUNTS / 2), (ACCOUNTS / 2, ACCOUNTS)] {
            let store = folder.join(format!("accounts-{from}.redb"));
            let (child, addr) = start_account(program, from, to, &store, "127.0.0.1:0").await?;
            accounts.push(AccountProcess {
                from,
                to,
                store,
                addr,
                child,
            });
        }
        let mut arguments = vec!["gateway".to_owned(), "--lifeline".to_owned()];
        for AccountProcess { from, to, addr, .. } in &accounts {
            arguments.extend(["--route".to_owned(), format!("{from}..{to}={addr}")]);
        }
        let (gateway, gateway_addr) = start(program, &arguments).await?;
        Ok(Self {
            program: program.to_vec(),
            accounts,
            gateway,
            gateway_addr,
        })
    }

    pub(super) fn gateway_addr(&self) -> SocketAddr {
        self.gateway_addr
    }

    pub(super) fn describe(&self) -> String {
        let accounts: Vec<String> = self
            .accounts
            .iter()
            .map(|account| {
                format!(
                    "account {}..{} on {}",
                    account.from, account.to, account.addr
                )
            })
            .collect();
        format!("{}, gateway on {}", accounts.join(", "), self.gateway_addr)
    }

    /// Kills an account service with SIGKILL: it gets no chance to write or say anything.
    pub(super) async fn kill_account(&mut self, index: usize) -> io::Result<()> {
        self.accounts[index].child.kill().await
    }

    /// Starts a killed account service again on its store and its address.
    pub(super) async fn revive_account(&mut self, index: usize) -> io::Result<()> {
        let AccountProcess {
            from,
            to,
            store,
            addr,
            ..
        } = &self.accounts[index];
        let (child, _) = start_account(&self.program, *from, *to, store, &addr.to_string()).await?;
        self.accounts[index].child = child;
        Ok(())
    }

    /// Kills both account services and starts them again.
    pub(super) async fn restart_accounts(&mut self) -> io::Result<()> {
        for index in 0..self.accounts.len() {
            self.kill_account(index).await?;
            self.revive_account(index).await?;
        }
        Ok(())
    }

    /// A client of each account service, not through the gateway.
    pub(super) fn account_clients(&self) -> Result<Vec<AccountsClient>, diwan::rpc::SetupError> {
        let options = ConsumerOptions {
            timeout: Duration::from_secs(10),
            ..ConsumerOptions::default()
        };
        self.accounts
            .iter()
            .map(|account| {
                AccountsClient::direct(&format!("bolt://{}", account.addr), options.clone())
            })
            .collect()
    }

    pub(super) fn how_to_talk_to(&self) -> String {
        format!(
            "\nThe services go on. Try:\n  diwan call bolt://{} com.diwan.bank.Accounts:1.0 view '[\"A0042\"]'\n  \
             curl http://{}/accounts/A0042\n  curl http://{}/transfers -H 'content-type: application/json' \
             -d '{{\"id\": \"mine-1\", \"from\": \"A0042\", \"to\": \"A0700\", \"amount\": \"1.50\"}}'\n",
            self.accounts[0].addr, self.gateway_addr, self.gateway_addr
        )
    }

    pub(super) fn remove_stores(&self) -> io::Result<()> {
        self.accounts
            .iter()
            .try_for_each(|account| std::fs::remove_file(&account.store))
    }

    pub(super) async fn stop(&mut self) {
        let children = self.accounts.iter_mut().map(|account| &mut account.child);
        for child in children.chain([&mut self.gateway]) {
            // Closing its standard input is its lifeline; the wait is for the lock on its store.
            drop(child.stdin.take());
            let _ = child.wait().await;
        }
    }
}

async fn start_account(
    program: &[String],
    from: u32,
    to: u32,
    store: &Path,
    addr: &str,
) -> io::Result<(Child, SocketAddr)> {
    let store = store.to_string_lossy();
    let (from, to, opening) = (from.to_string(), to.to_string(), OPENING_CENTS.to_string());
    let arguments = [
        "account",
        "--lifeline",
        "--addr",
        addr,
        "--store",
        &store,
        "--from",
        &from,
        "--to",
        &to,
        "--opening-cents",
        &opening,
    ];
    start(program, &arguments.map(str::to_owned)).await
}

/// Starts a service and waits for the line in which it says where it listens.
async fn start(program: &[String], arguments: &[String]) -> io::Result<(Child, SocketAddr)> {
    let mut child = Command::new(&program[0])
        .args(&program[1..])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| io::Error::other("no standard output"))?;
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(addr) = line.strip_prefix("listening on ") {
            let addr = addr
                .parse()
                .map_err(|_| io::Error::other(format!("{line:?} has no address")))?;
            return Ok((child, addr));
        }
    }
    let status = child.wait().await?;
    Err(io::Error::other(format!(
        "{} ended before it served: {status}",
        arguments[0]
    )))
}

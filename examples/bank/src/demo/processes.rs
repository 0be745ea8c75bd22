use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use diwan::rpc::{ConsumerOptions, ServiceClient};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::Mode;
use crate::account::AccountsClient;
use crate::shard::Shard;

/// Accounts of the bank: numbers below this, half of them at each instance.
const ACCOUNTS: u32 = 1000;
/// What each account has at the beginning.
pub(super) const OPENING_CENTS: i64 = 10_000_000;

/// How long a node may take until it answers.
const NODE_START: Duration = Duration::from_secs(10);

/// The commands that start the parts of the demonstration; their arguments come behind.
#[derive(Clone, Debug)]
pub struct Programs {
    /// A node: `diwan server`.
    pub node: Vec<String>,
    /// A service of the bank, before `account` and `gateway`.
    pub bank: Vec<String>,
}

/// The services as child processes, and the node that they find each other through.
pub(super) struct Bank {
    programs: Programs,
    mode: Mode,
    node: Node,
    accounts: Vec<AccountProcess>,
    gateway: Child,
    gateway_addr: SocketAddr,
}

/// A node of one, on ports that were free.
struct Node {
    child: Child,
    /// How it was started.
    command: Vec<String>,
    /// Where it takes sagas, or coordinates transactions.
    work: SocketAddr,
    /// Where its registry is asked for servers.
    registry: SocketAddr,
    /// Where operators' commands ask.
    admin: SocketAddr,
}

struct AccountProcess {
    shard: Shard,
    store: PathBuf,
    addr: SocketAddr,
    child: Child,
}

impl Bank {
    pub(super) async fn start(programs: Programs, mode: Mode, folder: &Path) -> io::Result<Self> {
        let node = start_node(&programs.node, mode, &folder.join("node")).await?;
        let registry = node.registry.to_string();
        let mut accounts = Vec::new();
        let work = node.work.to_string();
        let option = match mode {
            Mode::Sagas => "--sagas",
            Mode::Tcc => "--coordinator",
        };
        let mut arguments = [
            "gateway",
            "--lifeline",
            "--registry",
            &registry,
            option,
            &work,
        ]
        .map(str::to_owned)
        .to_vec();
        for (from, to) in [(0, ACCOUNTS / 2), (ACCOUNTS / 2, ACCOUNTS)] {
            let shard = Shard::new(from, to);
            let store = folder.join(format!("accounts-{from}.redb"));
            let (child, addr) = start_account(&programs.bank, mode, shard, &store, &node).await?;
            arguments.extend(["--accounts".to_owned(), shard.to_string()]);
            accounts.push(AccountProcess {
                shard,
                store,
                addr,
                child,
            });
        }
        let (gateway, gateway_addr) = start(&programs.bank, &arguments).await?;
        Ok(Self {
            programs,
            mode,
            node,
            accounts,
            gateway,
            gateway_addr,
        })
    }

    pub(super) fn gateway_addr(&self) -> SocketAddr {
        self.gateway_addr
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// Where the node says what is under way.
    pub(super) fn open_addr(&self) -> SocketAddr {
        match self.mode {
            Mode::Sagas => self.node.work,
            Mode::Tcc => self.node.admin,
        }
    }

    /// What the node does about transfers.
    pub(super) fn node_does(&self) -> &'static str {
        match self.mode {
            Mode::Sagas => "runs the sagas",
            Mode::Tcc => "coordinates the transactions",
        }
    }

    /// Kills the node with SIGKILL.
    pub(super) async fn kill_node(&mut self) -> io::Result<()> {
        self.node.child.kill().await
    }

    /// Starts a killed node again, on its data and at its addresses.
    pub(super) async fn start_node_again(&mut self) -> io::Result<()> {
        self.node.child = start_node_as(&self.node.command, self.node.work).await?;
        Ok(())
    }

    pub(super) fn describe(&self) -> String {
        let accounts: Vec<String> = self
            .accounts
            .iter()
            .map(|account| format!("account {} on {}", account.shard, account.addr))
            .collect();
        format!(
            "a node with the registry on {} and {} on {}, {}, gateway on {}",
            self.node.registry,
            match self.mode {
                Mode::Sagas => "sagas",
                Mode::Tcc => "transactions",
            },
            self.node.work,
            accounts.join(", "),
            self.gateway_addr
        )
    }

    /// Kills an account service with SIGKILL: it gets no chance to write or say anything.
    pub(super) async fn kill_account(&mut self, index: usize) -> io::Result<()> {
        self.accounts[index].child.kill().await
    }

    /// Starts another account service in the place of a killed one: on its store, at an address that only the registry knows.
    pub(super) async fn replace_account(&mut self, index: usize) -> io::Result<SocketAddr> {
        let account = &mut self.accounts[index];
        (account.child, account.addr) = start_account(
            &self.programs.bank,
            self.mode,
            account.shard,
            &account.store,
            &self.node,
        )
        .await?;
        Ok(account.addr)
    }

    /// Kills both account services and starts others in their places.
    pub(super) async fn replace_accounts(&mut self) -> io::Result<()> {
        for index in 0..self.accounts.len() {
            self.kill_account(index).await?;
            self.replace_account(index).await?;
        }
        Ok(())
    }

    /// A client of each account service, not through the gateway.
    pub(super) fn account_clients(&self) -> Result<Vec<AccountsClient>, diwan::rpc::SetupError> {
        let client = |account: &AccountProcess| {
            let options = ConsumerOptions {
                unique_id: account.shard.unique_id(),
                timeout: Duration::from_secs(10),
                ..ConsumerOptions::default()
            };
            AccountsClient::direct(&format!("bolt://{}", account.addr), options)
        };
        self.accounts.iter().map(client).collect()
    }

    pub(super) fn how_to_talk_to(&self) -> String {
        let list = match self.mode {
            Mode::Sagas => "saga",
            Mode::Tcc => "tx",
        };
        format!(
            "\nThe services go on. Try:\n  diwan call bolt://{} com.diwan.bank.Accounts:1.0:{} view '[\"A0042\"]'\n  \
             diwan registry services --admin {}\n  diwan {list} list --admin {}\n  \
             curl http://{}/accounts/A0042\n  curl http://{}/transfers -H 'content-type: application/json' \
             -d '{{\"id\": \"mine-1\", \"from\": \"A0042\", \"to\": \"A0700\", \"amount\": \"1.50\"}}'\n",
            self.accounts[0].addr,
            self.accounts[0].shard.unique_id(),
            self.node.admin,
            self.node.admin,
            self.gateway_addr,
            self.gateway_addr
        )
    }

    pub(super) fn remove_stores(&self, folder: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(folder.join("node"))?;
        std::fs::remove_file(folder.join("node.toml"))?;
        self.accounts
            .iter()
            .try_for_each(|account| std::fs::remove_file(&account.store))
    }

    pub(super) async fn stop(&mut self) {
        let children = self.accounts.iter_mut().map(|account| &mut account.child);
        for child in children.chain([&mut self.gateway, &mut self.node.child]) {
            // Closing its standard input is its lifeline; the wait is for the lock on its store.
            drop(child.stdin.take());
            let _ = child.wait().await;
        }
    }
}

/// Starts a node and waits until its registry takes connections.
async fn start_node(program: &[String], mode: Mode, data: &Path) -> io::Result<Node> {
    let [node, admin, listen, registry, meta, work, console] = free_addresses()?;
    let roles = match mode {
        Mode::Sagas => format!("[tx]\nenabled = false\n[saga]\nlisten = \"{work}\""),
        Mode::Tcc => {
            format!("[saga]\nenabled = false\n[tx]\nlisten = \"{work}\"\nhttp = \"{console}\"")
        }
    };
    std::fs::create_dir_all(data)?;
    let file = data.with_extension("toml");
    let text = format!(
        "node = \"{node}\"\nadmin = \"{admin}\"\n[log]\nlevel = \"error\"\n{roles}\n[registry]\nlisten = \"{listen}\"\n\
         session_http = \"{registry}\"\nmeta_http = \"{meta}\"\n"
    );
    std::fs::write(&file, text)?;
    let mut command = program.to_vec();
    command.extend(["--lifeline", "--config"].map(str::to_owned));
    command.push(file.to_string_lossy().into_owned());
    command.push("--data".to_owned());
    command.push(data.to_string_lossy().into_owned());
    Ok(Node {
        child: start_node_as(&command, registry).await?,
        command,
        work,
        registry,
        admin,
    })
}

async fn start_node_as(command: &[String], serves: SocketAddr) -> io::Result<Child> {
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let answers = async {
        while TcpStream::connect(serves).await.is_err() {
            if let Some(status) = child.try_wait()? {
                return Err(io::Error::other(format!("the node ended: {status}")));
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    };
    timeout(NODE_START, answers).await.unwrap_or_else(|_| {
        Err(io::Error::other(format!(
            "the node does not answer within {NODE_START:?}"
        )))
    })?;
    Ok(child)
}

/// Addresses that nobody listens on now, and that no connection takes by itself: the node is to find them free when it starts again.
fn free_addresses<const N: usize>() -> io::Result<[SocketAddr; N]> {
    // Below what Linux gives to connections.
    let first = 14_000 + (std::process::id() % 1_000) as u16 * 16;
    let free = (first..32_000).filter_map(|port| {
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        TcpListener::bind(addr).is_ok().then_some(addr)
    });
    let free: Vec<SocketAddr> = free.take(N).collect();
    free.try_into()
        .map_err(|_| io::Error::other("there are no free ports below 32,000"))
}

async fn start_account(
    program: &[String],
    mode: Mode,
    shard: Shard,
    store: &Path,
    node: &Node,
) -> io::Result<(Child, SocketAddr)> {
    let (registry, work) = (node.registry.to_string(), node.work.to_string());
    let store = store.to_string_lossy();
    let (accounts, opening) = (shard.to_string(), OPENING_CENTS.to_string());
    let arguments = [
        "account",
        "--lifeline",
        "--registry",
        &registry,
        "--store",
        &store,
        "--accounts",
        &accounts,
        "--opening-cents",
        &opening,
    ];
    let mut arguments = arguments.map(str::to_owned).to_vec();
    if mode == Mode::Tcc {
        arguments.extend(["--coordinator".to_owned(), work]);
    }
    start(program, &arguments).await
}

/// What is killed here on purpose is no news, unless somebody wants to know.
fn quiet() -> Option<(&'static str, &'static str)> {
    std::env::var_os("DIWAN_LOG")
        .is_none()
        .then_some(("DIWAN_LOG", "error"))
}

/// Starts a service and waits for the line in which it says where it listens.
async fn start(program: &[String], arguments: &[String]) -> io::Result<(Child, SocketAddr)> {
    let mut child = Command::new(&program[0])
        .args(&program[1..])
        .args(arguments)
        .envs(quiet())
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

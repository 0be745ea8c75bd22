//! `diwan raft`: what an operator does with a group. It speaks the messages of JRaft's command-line service, so that it works
//! with JRaft's nodes as well.

pub(crate) mod http;
pub(crate) mod operation;
mod status;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use diwan_raft::{ErrorCode, PeerId};
use diwan_runtime::{CliClient, CliError};

use crate::table::table;
use operation::{Answer, Operation, RESET_WARNING};

pub(crate) const HELP: &str = "\
Examples:
  diwan raft status                                    the node of this machine, through its administration
  diwan raft status --admin 127.0.0.1:8790,127.0.0.1:8791
  diwan raft peers --peers 10.0.0.1:8701,10.0.0.2:8701
  diwan raft add-peer 10.0.0.4:8701
  diwan raft transfer-leader 10.0.0.2:8701
  diwan raft learners add 10.0.0.5:8701
  diwan raft learners promote 10.0.0.5:8701
  diwan raft peers --config /etc/diwan.toml            where the nodes have a cluster token or speak TLS

--peers names some members, of which the first that knows the leader is enough; without it the node of this machine is
asked (--admin). All but `status` of a single node speak JRaft's own command-line protocol: --peers may name JRaft's nodes.

Exit codes: 0 done, 1 refused or not answered, 2 command line.";

#[derive(Args)]
pub(crate) struct RaftArguments {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: RaftCommand,
}

/// Whom to ask.
#[derive(Args)]
struct Target {
    /// Members of the group, some or all
    #[arg(long = "peers", visible_alias = "addr", value_name = "PEER,..", value_parser = parse_peer, value_delimiter = ',', global = true)]
    members: Vec<PeerId>,
    /// Administration of nodes on this machine
    #[arg(
        long,
        value_name = "IP:PORT,..",
        value_delimiter = ',',
        default_value = "127.0.0.1:8790",
        global = true
    )]
    admin: Vec<SocketAddr>,
    /// The group
    #[arg(long, default_value = "system", global = true)]
    group: String,
    /// Wait for each answer for so long; a new member has to catch up within it
    #[arg(long, default_value_t = 30_000, global = true)]
    timeout_ms: u64,
    /// A node's TOML file: its [cluster] and [tls] are needed where nodes have a token or speak TLS
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum RaftCommand {
    /// Where the group stands: terms, indexes, and how far each follower is behind
    Status,
    /// Who votes and who only listens
    Peers {
        /// Only those that answer the leader
        #[arg(long)]
        alive: bool,
    },
    /// Make a node a voter, once it has caught up
    AddPeer {
        #[arg(value_parser = parse_peer)]
        peer: PeerId,
    },
    /// Take a voter out of the group; if it leads, another takes over
    RemovePeer {
        #[arg(value_parser = parse_peer)]
        peer: PeerId,
    },
    /// Make these the voters, in one step
    ChangePeers {
        #[arg(value_parser = parse_peer, value_delimiter = ',', required = true, value_name = "PEER,..")]
        voters: Vec<PeerId>,
    },
    /// Force members on a group whose majority is lost for good
    ResetPeers {
        #[arg(value_parser = parse_peer, value_delimiter = ',', required = true, value_name = "PEER,..")]
        voters: Vec<PeerId>,
        /// The survivor that is told
        #[arg(long, value_parser = parse_peer, value_name = "PEER")]
        at: PeerId,
        /// Yes, the majority is lost, and what only it held may be lost
        #[arg(long)]
        accept_loss: bool,
    },
    /// Hand leadership on
    TransferLeader {
        /// To whom; to the one that has most if left out
        #[arg(value_parser = parse_peer)]
        peer: Option<PeerId>,
    },
    /// Take a snapshot now
    Snapshot {
        /// Of this member; of the leader if left out
        #[arg(long, value_parser = parse_peer, value_name = "PEER")]
        at: Option<PeerId>,
    },
    /// Members that receive the log and do not vote
    #[command(subcommand)]
    Learners(LearnersCommand),
}

#[derive(Subcommand)]
enum LearnersCommand {
    /// List them
    List,
    /// Add some
    Add(Learners),
    /// Remove some
    Remove(Learners),
    /// Make these the learners
    Reset(Learners),
    /// Make a learner a voter
    Promote {
        #[arg(value_parser = parse_peer)]
        peer: PeerId,
    },
}

#[derive(Args)]
struct Learners {
    #[arg(value_parser = parse_peer, value_delimiter = ',', required = true, value_name = "PEER,..")]
    learners: Vec<PeerId>,
}

fn parse_peer(text: &str) -> Result<PeerId, String> {
    text.parse()
        .map_err(|error: diwan_raft::PeerParseError| error.to_string())
}

pub(crate) fn run(arguments: RaftArguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let out = runtime.block_on(carry_out(arguments))?;
    print!("{out}");
    Ok(ExitCode::SUCCESS)
}

async fn carry_out(arguments: RaftArguments) -> Result<String, String> {
    let RaftArguments { target, command } = arguments;
    let security = target.config.as_deref().map(crate::server::security);
    let security = security.transpose().map_err(|error| error.to_string())?;
    let security = security.unwrap_or_default();
    let client = CliClient::new(target.timeout(), security.token, security.tls.as_ref());
    let mut operator = Operator {
        client: client.map_err(|error| error.to_string())?,
        target,
    };
    match command {
        RaftCommand::Status if operator.target.members.is_empty() => operator.status().await,
        RaftCommand::Status => operator.members(false).await,
        RaftCommand::Peers { alive } => operator.members(alive).await,
        RaftCommand::AddPeer { peer } => operator.change(Operation::AddPeer(peer)).await,
        RaftCommand::RemovePeer { peer } => operator.change(Operation::RemovePeer(peer)).await,
        RaftCommand::ChangePeers { voters } => {
            operator.change(Operation::ChangePeers(voters)).await
        }
        RaftCommand::ResetPeers {
            accept_loss: false, ..
        } => Err(format!("{RESET_WARNING} Say --accept-loss.")),
        RaftCommand::ResetPeers { voters, at, .. } => {
            let names = join(&voters);
            operator.told(&at, &Operation::ResetPeers(voters)).await?;
            Ok(format!(
                "{at} takes for the peers of {}: {names}\n",
                operator.target.group
            ))
        }
        RaftCommand::TransferLeader { peer } => operator.transfer(peer).await,
        RaftCommand::Snapshot { at } => {
            let at = match at {
                Some(at) => at,
                None => operator.leader().await?,
            };
            operator.told(&at, &Operation::Snapshot).await?;
            Ok(format!(
                "{at} has a snapshot of {}\n",
                operator.target.group
            ))
        }
        RaftCommand::Learners(command) => match command {
            LearnersCommand::List => operator.learners().await,
            LearnersCommand::Add(these) => {
                operator
                    .change(Operation::AddLearners(these.learners))
                    .await
            }
            LearnersCommand::Remove(these) => {
                operator
                    .change(Operation::RemoveLearners(these.learners))
                    .await
            }
            LearnersCommand::Reset(these) => {
                operator
                    .change(Operation::ResetLearners(these.learners))
                    .await
            }
            LearnersCommand::Promote { peer } => operator.promote(peer).await,
        },
    }
}

impl Target {
    fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

struct Operator {
    client: CliClient,
    target: Target,
}

/// A group without a leader gets one within this, or has none.
const LEADER_PATIENCE: Duration = Duration::from_secs(3);
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

impl Operator {
    /// What the administrations of this machine's nodes say.
    async fn views(&self) -> Result<Vec<serde_json::Value>, String> {
        let path = format!("/raft/{}", self.target.group);
        let mut views = Vec::new();
        for admin in &self.target.admin {
            views.push(http::get(*admin, &path, self.target.timeout()).await?);
        }
        Ok(views)
    }

    async fn status(&self) -> Result<String, String> {
        Ok(status::text(&self.target.group, &self.views().await?))
    }

    /// Members that may know the leader.
    async fn known_members(&mut self) -> Result<Vec<PeerId>, String> {
        if self.target.members.is_empty() {
            let views = self
                .views()
                .await
                .map_err(|why| format!("{why}; or name some members with --peers"))?;
            for view in views {
                let listed = [&view["peers"], &view["learners"]]
                    .into_iter()
                    .filter_map(|list| list.as_array());
                let names = std::iter::once(&view["node"]).chain(listed.flatten());
                for peer in names.filter_map(|name| name.as_str()) {
                    let peer = parse_peer(peer)?;
                    if !self.target.members.contains(&peer) {
                        self.target.members.push(peer);
                    }
                }
            }
        }
        Ok(self.target.members.clone())
    }

    async fn leader(&mut self) -> Result<PeerId, String> {
        let members = self.known_members().await?;
        let began = Instant::now();
        loop {
            match self.client.leader(&self.target.group, &members).await {
                Ok(leader) => return Ok(leader),
                // An election takes a moment.
                Err(CliError::NoLeader { may_pass: true, .. })
                    if began.elapsed() < LEADER_PATIENCE =>
                {
                    tokio::time::sleep(RETRY_INTERVAL).await
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    async fn at(&mut self, member: &PeerId, operation: &Operation) -> Result<Answer, CliError> {
        let message = operation.message(&self.target.group, member);
        let answer = self.client.ask(member, &message).await?;
        let class = answer.class();
        Answer::of(answer).ok_or_else(|| CliError::NoAnswer {
            peer: member.clone(),
            what: format!("it answers {class}"),
        })
    }

    async fn told(&mut self, member: &PeerId, operation: &Operation) -> Result<(), String> {
        match self.at(member, operation).await {
            Ok(_) => Ok(()),
            Err(error) => Err(explain(&error)),
        }
    }

    /// Asks the leader, and says which one it was.
    async fn at_leader(&mut self, operation: &Operation) -> Result<(PeerId, Answer), String> {
        let began = Instant::now();
        loop {
            let leader = self.leader().await?;
            match self.at(&leader, operation).await {
                Ok(answer) => return Ok((leader, answer)),
                Err(CliError::Refused { code, .. })
                    if began.elapsed() < LEADER_PATIENCE && may_ask_again(operation, code) =>
                {
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
                Err(error) => return Err(explain(&error)),
            }
        }
    }

    async fn change(&mut self, operation: Operation) -> Result<String, String> {
        Ok(match self.at_leader(&operation).await?.1 {
            Answer::Changed {
                what,
                before,
                after,
            } => describe_change(what, &before, &after),
            _ => "done\n".to_owned(),
        })
    }

    async fn list(&mut self, alive: bool) -> Result<(PeerId, Vec<String>, Vec<String>), String> {
        match self.at_leader(&Operation::Peers { alive }).await? {
            (leader, Answer::Members { peers, learners }) => Ok((leader, peers, learners)),
            (leader, _) => Err(format!("{leader} does not name its members")),
        }
    }

    async fn members(&mut self, alive: bool) -> Result<String, String> {
        let (leader, peers, learners) = self.list(false).await?;
        let (_, living, living_learners) = self.list(true).await?;
        let living: Vec<&String> = living.iter().chain(&living_learners).collect();
        let leader_name = leader.to_string();
        let voters = peers.iter().map(|peer| {
            (
                peer,
                if *peer == leader_name {
                    "leader"
                } else {
                    "voter"
                },
            )
        });
        let rows: Vec<Vec<String>> = voters
            .chain(learners.iter().map(|learner| (learner, "learner")))
            .filter(|(peer, _)| !alive || living.contains(peer))
            .map(|(peer, standing)| {
                let lives = if living.contains(&peer) { "yes" } else { "no" };
                vec![peer.clone(), standing.to_owned(), lives.to_owned()]
            })
            .collect();
        Ok(format!(
            "group {}, leader {leader}\n\n{}",
            self.target.group,
            table(&["PEER", "AS", "ALIVE"], &rows)
        ))
    }

    async fn learners(&mut self) -> Result<String, String> {
        let (_, _, learners) = self.list(false).await?;
        match learners.is_empty() {
            true => Ok(format!("group {} has no learners\n", self.target.group)),
            false => {
                let rows: Vec<Vec<String>> =
                    learners.into_iter().map(|learner| vec![learner]).collect();
                Ok(table(&["LEARNER"], &rows))
            }
        }
    }

    /// As JRaft's `learner2Follower`: JRaft adds no voter that is still a learner.
    async fn promote(&mut self, peer: PeerId) -> Result<String, String> {
        let (_, _, learners) = self.list(false).await?;
        let name = peer.to_string();
        if !learners.contains(&name) {
            return Err(format!(
                "{name} is no learner of {}; learners: {}",
                self.target.group,
                join(&learners)
            ));
        }
        self.at_leader(&Operation::RemoveLearners(vec![peer.clone()]))
            .await?;
        self.change(Operation::AddPeer(peer)).await.map_err(|why| {
            format!("{why}\n{name} is neither voter nor learner now: `diwan raft add-peer {name}` or `learners add {name}`")
        })
    }

    async fn transfer(&mut self, to: Option<PeerId>) -> Result<String, String> {
        let leader = self.leader().await?;
        if to.as_ref() == Some(&leader) {
            return Ok(format!("{leader} leads already\n"));
        }
        let (before, _) = self
            .at_leader(&Operation::TransferLeader(to.clone()))
            .await?;
        let began = Instant::now();
        while began.elapsed() < LEADER_PATIENCE {
            let now = self.leader().await?;
            if now != before {
                return match to.filter(|to| *to != now) {
                    None => Ok(format!("leader: {before} -> {now}\n")),
                    Some(to) => Err(format!("{now} leads, not {to}")),
                };
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
        Err(format!("{before} leads still: the other did not take over"))
    }
}

/// A member may name one that leads no more, and a new leader is busy until its first entry is committed; neither has begun
/// anything. A question may be repeated in any case: a JRaft node that was just removed answers it with -1.
fn may_ask_again(operation: &Operation, code: ErrorCode) -> bool {
    matches!(code, ErrorCode::NotPermitted | ErrorCode::Busy)
        || matches!(operation, Operation::Peers { .. }) && code != ErrorCode::Other(1012)
}

fn explain(error: &CliError) -> String {
    match error {
        CliError::Refused {
            code: ErrorCode::Busy,
            ..
        } => format!("{error}; try again"),
        CliError::NoAnswer { .. } => {
            format!("{error}; whether it was done is not known: look with `diwan raft peers`")
        }
        other => other.to_string(),
    }
}

fn join(names: &[impl ToString]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(","),
    }
}

fn describe_change(what: &str, before: &[String], after: &[String]) -> String {
    let mut all: Vec<&String> = before.iter().collect();
    all.extend(after.iter().filter(|name| !before.contains(name)));
    let rows: Vec<Vec<String>> = all
        .into_iter()
        .map(|name| {
            let change = match (before.contains(name), after.contains(name)) {
                (true, true) => "",
                (false, _) => "added",
                (true, false) => "removed",
            };
            vec![name.clone(), change.to_owned()]
        })
        .collect();
    match rows.is_empty() {
        true => format!("{what}: none\n"),
        false => table(&[&what.to_uppercase(), "CHANGE"], &rows),
    }
}

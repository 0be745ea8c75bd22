//! The ways between members. On loopback nothing can be cut. In a network namespace of its own, each member has one, too, and this
//! process is the router between them: a rule by source and destination loses what goes one way, and nobody is told.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Where members are, and which ways between them are cut.
pub struct Network {
    addresses: Vec<SocketAddrV4>,
    /// One for each member: a namespace lives as long as a process in it, and these end when their input does.
    keepers: Vec<Child>,
    cut: Vec<(usize, usize)>,
}

impl Network {
    /// All members on this host.
    pub fn loopback(ports: &[u16]) -> Network {
        let address = |port: &u16| SocketAddrV4::new(Ipv4Addr::LOCALHOST, *port);
        Network {
            addresses: ports.iter().map(address).collect(),
            keepers: Vec::new(),
            cut: Vec::new(),
        }
    }

    /// A namespace for each member. This process is to have one of its own, which ends with it.
    /// # Errors
    /// It may not, or a tool is missing.
    pub fn of_namespaces(ports: &[u16]) -> Result<Network, String> {
        let member = |place: usize, end: u8| Ipv4Addr::new(10, 77, place as u8, end);
        let mut network = Network::loopback(ports);
        ip("link set lo up")?;
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")
            .map_err(|error| format!("ip_forward: {error}"))?;
        for (place, address) in network.addresses.iter_mut().enumerate() {
            address.set_ip(member(place, 2));
            let mut keeper = Command::new("unshare")
                .args(["--net", "sh", "-c", "echo; exec cat"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .map_err(|error| format!("unshare: {error}"))?;
            // A line says that it is in its namespace.
            let mut ready = [0];
            let output = keeper.stdout.as_mut();
            let output = output.map(|output| output.read_exact(&mut ready));
            let id = keeper.id();
            network.keepers.push(keeper);
            if !matches!(output, Some(Ok(()))) {
                return Err("unshare: no namespace for a member".to_owned());
            }
            let (router, own) = (member(place, 1), member(place, 2));
            ip(&format!(
                "link add m{place} type veth peer name eth0 netns {id}"
            ))?;
            ip(&format!("addr add {router}/24 dev m{place}"))?;
            ip(&format!("link set m{place} up"))?;
            let inside = |command: &str| {
                let namespace = format!("--net=/proc/{id}/ns/net");
                let mut nsenter = Command::new("nsenter");
                run(nsenter.args([&namespace, "ip"]).args(command.split(' ')))
            };
            inside("link set lo up")?;
            inside(&format!("addr add {own}/24 dev eth0"))?;
            inside("link set eth0 up")?;
            inside(&format!("route add default via {router}"))?;
        }
        Ok(network)
    }

    /// Where each member is.
    pub fn addresses(&self) -> &[SocketAddrV4] {
        &self.addresses
    }

    /// The namespace of a member, if it has one.
    pub fn namespace(&self, place: usize) -> Option<PathBuf> {
        let keeper = self.keepers.get(place)?;
        Some(format!("/proc/{}/ns/net", keeper.id()).into())
    }

    /// Whether ways can be cut.
    pub fn can_cut(&self) -> bool {
        !self.keepers.is_empty()
    }

    /// Makes sure that a cut way is cut, and nothing else is: between the first two members, who have to be up.
    pub fn prove(&mut self) -> Result<(), String> {
        let reaches = |network: &Network| {
            let (Some(own), other) = (network.namespace(0), network.addresses[1]) else {
                return false;
            };
            let (host, port) = (other.ip(), other.port());
            Command::new("nsenter")
                .arg(format!("--net={}", own.display()))
                .args(["timeout", "0.3", "bash", "-c"])
                .arg(format!("exec 3<>/dev/tcp/{host}/{port}"))
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        let before = reaches(self);
        self.cut(0, 1)?;
        let there = reaches(self);
        self.heal()?;
        self.cut(1, 0)?;
        let back = reaches(self);
        self.heal()?;
        match (before, there, back, reaches(self)) {
            (true, false, false, true) => Ok(()),
            seen => Err(format!("cuts do not cut: {seen:?}")),
        }
    }

    /// Loses whatever `from` sends to `to`.
    pub fn cut(&mut self, from: usize, to: usize) -> Result<(), String> {
        if from != to && !self.cut.contains(&(from, to)) {
            self.rule("add", from, to)?;
            self.cut.push((from, to));
        }
        Ok(())
    }

    /// Loses nothing any more.
    pub fn heal(&mut self) -> Result<(), String> {
        for (from, to) in std::mem::take(&mut self.cut) {
            self.rule("del", from, to)?;
        }
        Ok(())
    }

    fn rule(&self, what: &str, from: usize, to: usize) -> Result<(), String> {
        let (from, to) = (self.addresses[from].ip(), self.addresses[to].ip());
        ip(&format!("rule {what} from {from} to {to} blackhole"))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for keeper in &mut self.keepers {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }
}

fn ip(command: &str) -> Result<(), String> {
    run(Command::new("ip").args(command.split(' ')))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let why = String::from_utf8_lossy(&output.stderr);
            Err(format!("{command:?}: {}", why.trim()))
        }
    }
}

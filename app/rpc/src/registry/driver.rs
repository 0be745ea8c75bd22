//! The state with its clock and its connection: one task on one of the threads that hold connections.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use diwan_net::Workers;
use diwan_net::bolt::{Client, ClientEvent, ClientOptions, Handler, HandlerFactory};
use diwan_registry_wire::{ReceivedData, RegisterResponse};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::client::{Lists, RegistryOptions, Servers, random, unix_ms};
use super::dial::{Dial, Step};
use super::display::Display;
use super::event::{RegistryEvent, RegistryStats};
use super::exchange::{Pushes, register};
use super::servers::{ask, resolve};
use super::state::{Config, Now, RegistId, State, Ticket, Wanted};
use super::zookeeper::ZooKeeper;
use crate::client::Provider;

/// How often a client without handles looks whether anybody still needs it.
pub(super) const ABANDONED_CHECK: Duration = Duration::from_secs(1);

/// What reaches the task.
pub(super) enum Input {
    Register {
        id: RegistId,
        service: String,
        wanted: Wanted,
    },
    Unregister {
        id: RegistId,
        tell: Option<oneshot::Sender<bool>>,
    },
    Servers(Result<Vec<SocketAddr>, String>),
    /// A server of ZooKeeper was dialed.
    Dialed(SocketAddr, Result<TcpStream, String>),
    /// Of the connection with this number.
    Connection(u64, ClientEvent),
    Pushed(u64, ReceivedData),
    PushRefused(String),
    Answered(Ticket, Result<RegisterResponse, String>),
    /// The providers of a list with this number, and what is wrong with others.
    Read(String, u64, Vec<Provider>, Vec<String>),
    SnapshotWritten(Result<(), String>),
    /// There is no handle any more.
    Abandoned,
}

enum Link {
    /// Nothing is done until then.
    Waiting(Duration),
    Asking,
    Connecting(Client),
    Connected(Client),
}

pub(super) struct Driver {
    options: RegistryOptions,
    inputs: mpsc::UnboundedSender<Input>,
    display: Display,
    state: State,
    began: Instant,
    dial: Dial,
    link: Link,
    /// Number of the newest connection.
    connection: u64,
    /// Who waits for the end of a registration.
    ends: BTreeMap<RegistId, oneshot::Sender<bool>>,
    abandoned: bool,
}

impl Driver {
    pub(super) fn new(
        options: RegistryOptions,
        inputs: mpsc::UnboundedSender<Input>,
        lists: Lists,
        stats: Arc<RegistryStats>,
    ) -> Self {
        let config = Config {
            identity: options.identity(),
            guard: options.guard,
            snapshot_after: options.snapshot_after,
            ..Config::default()
        };
        let (display, saved) = Display::new(&options, inputs.clone(), lists, stats);
        Self {
            state: State::new(config, saved),
            options,
            inputs,
            display,
            began: Instant::now(),
            dial: Dial::default(),
            link: Link::Waiting(Duration::ZERO),
            connection: 0,
            ends: BTreeMap::new(),
            abandoned: false,
        }
    }

    pub(super) async fn run(mut self, mut inputs: mpsc::UnboundedReceiver<Input>) {
        loop {
            self.turn();
            if self.abandoned && self.is_unused() {
                return;
            }
            let wait = self.wait();
            if let Ok(Some(input)) = timeout(wait, inputs.recv()).await {
                self.take(input);
                while let Ok(input) = inputs.try_recv() {
                    self.take(input);
                }
            }
        }
    }

    fn now(&self) -> Now {
        Now {
            monotonic: self.began.elapsed(),
            unix_ms: i64::try_from(unix_ms()).unwrap_or(i64::MAX),
        }
    }

    /// Nobody follows a list and nothing is published.
    fn is_unused(&self) -> bool {
        !self.display.is_followed() && self.state.publishers() == 0
    }

    fn wait(&self) -> Duration {
        let link = match self.link {
            Link::Waiting(until) => Some(until),
            _ => None,
        };
        let now = self.began.elapsed();
        let check = self.abandoned.then_some(now + ABANDONED_CHECK);
        let deadlines = [
            link,
            self.display.deadline(),
            check,
            self.state.next_deadline(),
        ];
        let next = deadlines.into_iter().flatten().min();
        next.map_or(Duration::from_secs(3600), |at| at.saturating_sub(now))
    }

    fn take(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Register {
                id,
                service,
                wanted,
            } => self.state.register(id, &service, wanted, now),
            Input::Unregister { id, tell } => {
                if let Some(tell) = tell {
                    self.ends.insert(id.clone(), tell);
                }
                self.state.unregister(&id, now);
            }
            Input::Servers(servers) => self.told_servers(servers, now),
            Input::Connection(number, event) if number == self.connection => {
                self.connection_event(event, now);
            }
            Input::Pushed(number, push) if number == self.connection => {
                if let Err(error) = self.state.pushed(push, now) {
                    self.display.happened(&RegistryEvent::PushRefused {
                        reason: error.to_string(),
                    });
                }
            }
            // Of a connection that is over.
            Input::Connection(..) | Input::Pushed(..) => {}
            // Of the other kind of registry.
            Input::Dialed(..) => {}
            Input::PushRefused(reason) => self
                .display
                .happened(&RegistryEvent::PushRefused { reason }),
            Input::Answered(ticket, answer) => self.state.answered(&ticket, answer, now),
            Input::Read(service, number, providers, unreadable) => {
                self.display.read(&service, number, providers, unreadable);
            }
            Input::SnapshotWritten(result) => self.display.saved(result),
            Input::Abandoned => self.abandoned = true,
        }
    }

    /// Carries out what follows from what came and from the time that passed.
    fn turn(&mut self) {
        let now = self.now();
        self.state.advance(now);
        if let Link::Waiting(until) = self.link
            && until <= now.monotonic
        {
            self.step();
        }
        if let Link::Connected(client) = &self.link {
            for (ticket, request) in self.state.requests(now) {
                register(client, ticket, request, self.inputs.clone());
            }
        }
        for shown in self.state.shown() {
            self.display.show(shown);
        }
        for event in self.state.events() {
            self.display.happened(&event);
        }
        for (id, told) in self.state.ended() {
            if let Some(tell) = self.ends.remove(&id) {
                let _ = tell.send(told);
            }
        }
        self.display.save(self.state.lists(), now.monotonic);
    }

    fn step(&mut self) {
        match self.dial.step() {
            Step::Ask => {
                let (servers, inputs) = (self.options.servers.clone(), self.inputs.clone());
                let query = self.query();
                tokio::task::spawn_local(async move {
                    let told = match &servers {
                        Servers::Ask(endpoints) => ask(endpoints, &query).await,
                        Servers::Fixed(names)
                        | Servers::ZooKeeper(ZooKeeper { servers: names, .. }) => {
                            resolve(names.iter().map(String::as_str).collect()).await
                        }
                    };
                    let _ = inputs.send(Input::Servers(told));
                });
                self.link = Link::Asking;
            }
            Step::Connect(addr) => self.connect(addr),
        }
    }

    /// What an endpoint is told of who asks, as the original's client does it.
    fn query(&self) -> String {
        let pairs = [
            ("zone", Some(self.options.zone.as_str())),
            ("appName", self.options.app.as_deref()),
            ("instanceId", self.options.instance_id.as_deref()),
        ];
        let text: Vec<String> = pairs
            .into_iter()
            .filter_map(|(key, value)| Some(format!("{key}={}", in_query(value?))))
            .collect();
        text.join("&")
    }

    fn told_servers(&mut self, servers: Result<Vec<SocketAddr>, String>, now: Now) {
        let servers = servers.unwrap_or_else(|reason| {
            self.display.happened(&RegistryEvent::NoServers { reason });
            Vec::new()
        });
        let wait = if servers.is_empty() {
            // Those known from before are tried again, not at once.
            self.dial.failed(random())
        } else {
            Duration::ZERO
        };
        self.dial.told(servers, random());
        self.link = Link::Waiting(now.monotonic + wait);
    }

    fn connect(&mut self, addr: SocketAddr) {
        self.connection += 1;
        let number = self.connection;
        let inputs = self.inputs.clone();
        let tell = self.inputs.clone();
        let handler: HandlerFactory = Arc::new(move || {
            let inputs = inputs.clone();
            Rc::new(Pushes { number, inputs }) as Rc<dyn Handler>
        });
        let options = ClientOptions {
            connections: 1,
            lazy: false,
            handler: Some(handler),
            events: Some(Arc::new(move |event| {
                let _ = tell.send(Input::Connection(number, event.clone()));
            })),
            ..self.options.connection.clone()
        };
        // This task runs on the first of the shared workers; its connections live beside it.
        match Workers::shared() {
            Ok(workers) => {
                self.link = Link::Connecting(Client::connect_on(workers, 0, addr, options));
            }
            Err(error) => {
                let event = ClientEvent::ConnectFailed(addr, error.to_string());
                let _ = self.inputs.send(Input::Connection(number, event));
            }
        }
    }

    fn connection_event(&mut self, event: ClientEvent, now: Now) {
        match event {
            ClientEvent::Connected(addr) => {
                let waiting = Link::Waiting(Duration::MAX);
                match std::mem::replace(&mut self.link, waiting) {
                    Link::Connecting(client) => self.link = Link::Connected(client),
                    other => {
                        self.link = other;
                        return;
                    }
                }
                self.dial.connected();
                self.display.happened(&RegistryEvent::Connected { addr });
                self.state.connected(now);
            }
            ClientEvent::ConnectFailed(addr, reason) => {
                self.display
                    .happened(&RegistryEvent::ConnectFailed { addr, reason });
                let wait = self.dial.failed(random());
                self.link = Link::Waiting(now.monotonic + wait);
            }
            ClientEvent::Closed(addr, reason) => {
                self.display.happened(&RegistryEvent::Lost { addr, reason });
                self.state.disconnected();
                let wait = self.dial.lost(addr, random());
                // The client is dropped: it would go back to the same server by itself.
                self.link = Link::Waiting(now.monotonic + wait);
            }
        }
    }
}

/// What may have a meaning in a query is written as its number: all but these.
const MEANING: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

fn in_query(value: &str) -> PercentEncode<'_> {
    utf8_percent_encode(value, &MEANING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_cannot_be_broken_out_of() {
        let query = in_query("shop-1 \r\n&x=ä").to_string();
        assert_eq!(query, "shop-1%20%0D%0A%26x%3D%C3%A4");
    }
}

//! Registrations over Bolt.

use std::cell::Cell;
use std::rc::Rc;

use diwan_bolt::{Frame, Status};
use diwan_net::bolt::{Handler, Incoming, Responder};
use diwan_registry_wire::{
    Answer, BaseRegister, Codec, DecodeError, EventType, RegisterResponse, Request, Scope,
    SyncConfigResponse, SyncResult,
};

use super::compress::Accepts;
use super::{Client, Edge};
use crate::state::{ConnectionId, Publication, RegistId, ServiceName, Subscription};

/// A client asks again for the data centres that count after so many milliseconds.
const SYNC_INTERVAL_MS: i32 = 30_000;
/// Of clients that do not say in which cell they run.
pub(super) const DEFAULT_CELL: &str = "DEFAULT_ZONE";

/// Makes each connection its handler.
pub(super) struct Connections {
    edge: Rc<Edge>,
}

impl Connections {
    pub(super) fn new(edge: Rc<Edge>) -> Self {
        Self { edge }
    }
}

impl Handler for Connections {
    fn request(&self, mut incoming: Incoming<'_>) {
        // Each connection has its own.
        incoming.responder.send_status(Status::NoProcessor);
    }

    fn for_connection(&self) -> Option<Rc<dyn Handler>> {
        let edge = &self.edge;
        let id = edge.next_connection.get();
        edge.next_connection.set(id + 1);
        Some(Rc::new(Connection {
            edge: edge.clone(),
            id: ConnectionId(id),
            known: Cell::new(false),
        }))
    }
}

/// Of a registry that has not begun.
pub(super) struct Nobody;

impl Handler for Nobody {
    fn request(&self, mut incoming: Incoming<'_>) {
        incoming.responder.send_status(Status::NoProcessor);
    }
}

/// One client, for as long as it is connected.
struct Connection {
    edge: Rc<Edge>,
    id: ConnectionId,
    /// It has sent something.
    known: Cell<bool>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.known.get() {
            self.edge.clients.borrow_mut().remove(&self.id);
            self.edge
                .act(|registry, now| registry.disconnected(self.id, now));
        }
    }
}

impl Handler for Connection {
    fn response(&self, frame: &Frame<'_>) -> bool {
        self.edge.answered(self.id, frame);
        true
    }

    fn request(&self, mut incoming: Incoming<'_>) {
        let frame = incoming.frame;
        let (request, codec) = match Request::decode(frame.class, frame.head.codec, frame.content) {
            Ok(decoded) => decoded,
            Err(error) => {
                self.edge.malformed.set(self.edge.malformed.get() + 1);
                tracing::warn!(connection = self.id.0, %error, "a request was refused");
                return incoming.responder.send_status(match error {
                    DecodeError::UnknownClass(_) => Status::NoProcessor,
                    DecodeError::Serializer(_) | DecodeError::Damaged { .. } => {
                        Status::ServerDeserialException
                    }
                });
            }
        };
        if !self.known.replace(true) {
            let connection = incoming.responder.connection().clone();
            let address = connection.remote();
            self.edge.clients.borrow_mut().insert(
                self.id,
                Client {
                    connection,
                    codec,
                    accepts: Accepts::default(),
                },
            );
            self.edge
                .act(|registry, _| registry.connected_from(self.id, address));
        }
        if let Request::SubscriberRegister(subscriber) = &request
            && let Some(client) = self.edge.clients.borrow_mut().get_mut(&self.id)
        {
            client.accepts = Accepts::of(subscriber, codec);
        }
        let answer = self.carry_out(request);
        if matches!(&answer, Answer::RegisterResponse(answer) if answer.refused) {
            self.edge.refused.set(self.edge.refused.get() + 1);
        }
        respond(&mut incoming.responder, &answer, codec);
    }
}

fn respond(responder: &mut Responder, answer: &Answer, codec: Codec) {
    let class = answer.class(codec).as_bytes();
    let sent = responder.send(Status::Success, class, |writer| {
        answer.encode(codec, writer.content());
    });
    if let Err(error) = sent {
        tracing::warn!(%error, "an answer does not fit into a frame");
    }
}

impl Connection {
    fn carry_out(&self, request: Request) -> Answer {
        match request {
            Request::PublisherRegister(publisher) => {
                self.registered(publisher.base, |base, service, id| match base.event() {
                    EventType::Register => {
                        let publication = Publication {
                            service,
                            id,
                            data: publisher.data_list.unwrap_or_default(),
                            cell: cell(base),
                            version: base.version.unwrap_or_default(),
                            timestamp: base.timestamp.unwrap_or_default(),
                        };
                        let result = self
                            .edge
                            .act(|registry, now| registry.publish(self.id, publication, now));
                        result.map_err(|refusal| refusal.to_string())
                    }
                    EventType::Unregister => {
                        let edition = (
                            base.version.unwrap_or_default(),
                            base.timestamp.unwrap_or_default(),
                        );
                        self.edge.act(|registry, now| {
                            registry.unpublish(self.id, &service, &id, edition, now);
                        });
                        Ok(())
                    }
                })
            }
            Request::SubscriberRegister(subscriber) => {
                self.registered(subscriber.base, |base, service, id| {
                    let scope = subscriber.scope.as_deref();
                    let scope = scope.and_then(Scope::of).ok_or_else(|| {
                        format!("scope {scope:?}: it must be zone, dataCenter or global")
                    })?;
                    match base.event() {
                        EventType::Register => {
                            let subscription = Subscription {
                                service,
                                id,
                                scope,
                                cell: cell(base),
                            };
                            let result = self.edge.act(|registry, now| {
                                registry.subscribe(self.id, subscription, now)
                            });
                            result.map_err(|refusal| refusal.to_string())
                        }
                        EventType::Unregister => {
                            self.edge
                                .act(|registry, _| registry.unsubscribe(self.id, &service, &id));
                            Ok(())
                        }
                    }
                })
            }
            Request::ConfiguratorRegister(configurator) => {
                self.registered(configurator.base, |base, service, id| match base.event() {
                    EventType::Register => {
                        let result = self
                            .edge
                            .act(|registry, now| registry.watch_setting(self.id, service, id, now));
                        result.map_err(|refusal| refusal.to_string())
                    }
                    EventType::Unregister => {
                        self.edge
                            .act(|registry, _| registry.unsubscribe(self.id, &service, &id));
                        Ok(())
                    }
                })
            }
            Request::SyncConfigRequest(_) => Answer::SyncConfigResponse(SyncConfigResponse {
                retry_interval: SYNC_INTERVAL_MS,
                // Data of all counts.
                available_segments: Some(Vec::new()),
                result: SyncResult {
                    success: true,
                    message: None,
                },
            }),
        }
    }
}

impl Connection {
    /// Answers a registration. What cannot be taken now never can be: the client is told to give up.
    fn registered(
        &self,
        base: BaseRegister,
        take: impl FnOnce(&BaseRegister, ServiceName, RegistId) -> Result<(), String>,
    ) -> Answer {
        let taken = match (base.data_id.as_deref(), base.regist_id.as_deref()) {
            (None | Some(""), _) => Err("dataId is missing".to_owned()),
            (_, None | Some("")) => Err("registId is missing".to_owned()),
            (Some(data_id), Some(id)) => {
                let service =
                    ServiceName::new(data_id, base.instance_id.as_deref(), base.group.as_deref());
                self.allowed(&base, &service)
                    .and_then(|()| take(&base, service, RegistId::new(id)))
            }
        };
        Answer::RegisterResponse(RegisterResponse {
            // Clients look at `refused` only in what succeeded: otherwise they would ask again for ever.
            // sofastack/sofa-registry:client/impl/.../client/task/WorkerThread.java (`handleTask`)
            success: true,
            regist_id: base.regist_id,
            version: base.version.unwrap_or_default(),
            refused: taken.is_err(),
            message: taken.err(),
        })
    }

    /// Whether a registration is signed, if it has to be.
    fn allowed(&self, base: &BaseRegister, service: &ServiceName) -> Result<(), String> {
        let access = self.edge.access.borrow();
        let checked = access.check(base, service, super::unix_ms());
        checked.map_err(|denied| denied.to_string())
    }
}

fn cell(base: &BaseRegister) -> String {
    match base.zone.as_deref() {
        None | Some("") => DEFAULT_CELL.to_owned(),
        Some(zone) => zone.to_owned(),
    }
}

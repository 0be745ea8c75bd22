//! One connection of a TM or an RM, or of both.

use std::rc::Rc;
use std::task::Context;

use diwan_net::{CloseReason, Connection, Received, Session, Stats};
use diwan_seata::body::{self, Speech};
use diwan_seata::frame::{self, Decoded, FRAME_BYTES_MAX, Frame, Kind};
use diwan_seata::{Identified, Identify, Message};
use tokio::time::Instant;

use super::call::Channel;
use super::desk::Desk;
use super::request::Responder;

/// The version that clients are told. They look at it for what the coordinator can do: below 1.5 nothing is batched, from 2.0 on
/// answers have the usual form.
const VERSION: &str = "2.0.0";

pub(super) struct SeataSession {
    desk: Rc<Desk>,
    channel: Rc<Channel>,
}

impl SeataSession {
    pub(super) fn new(desk: Rc<Desk>, connection: Rc<Connection>) -> Self {
        // Clients repeat what they were not answered.
        connection.set_may_end_any_time();
        Self {
            desk,
            channel: Channel::new(connection),
        }
    }

    fn answer(&self, id: i32, speech: Speech, message: &Message) {
        self.channel.write(Kind::Response, speech, id, message);
    }

    fn take(&self, frame: &Frame<'_>) {
        let read = match frame.kind {
            Kind::Ping => {
                return self.channel.connection.write(|outbox| {
                    frame::write(outbox.buffer(), Kind::Pong, frame.form, frame.id, |_| {});
                });
            }
            Kind::Pong => return,
            Kind::Request | Kind::Oneway | Kind::Response => body::decode(frame.form, frame.body),
        };
        let (message, speech) = match read {
            Ok(read) => read,
            Err(error) => {
                self.desk.count_malformed();
                tracing::warn!(peer = %self.channel.connection.remote(), %error, "a message was refused");
                return;
            }
        };
        self.channel.speech.set(speech);
        match message {
            Message::RegisterTm(identify) => {
                tracing::info!(peer = %self.channel.connection.remote(), application = identify.application_id, "a transaction manager");
                self.channel.identify(identify);
                self.answer(frame.id, speech, &Message::RegisterTmResult(accepted()));
            }
            Message::RegisterRm {
                identify,
                resource_ids,
            } => {
                self.register(identify, &resource_ids);
                self.answer(frame.id, speech, &Message::RegisterRmResult(accepted()));
            }
            Message::BranchCommitResult(ended) | Message::BranchRollbackResult(ended) => {
                self.channel.answered(frame.id, &ended, &self.desk);
            }
            message => {
                let responder = Responder::Here {
                    channel: self.channel.clone(),
                    speech,
                    id: frame.id,
                };
                self.desk
                    .request(&self.channel.client(), message, responder);
            }
        }
    }

    fn register(&self, identify: Identify, resource_ids: &str) {
        self.channel.identify(identify);
        let new: Vec<Rc<str>> = resource_ids
            .split(',')
            .filter(|resource| !resource.is_empty())
            .map(Rc::from)
            .collect();
        tracing::info!(peer = %self.channel.connection.remote(), resources = resource_ids, "a resource manager");
        self.desk.resources_came(&self.channel, new);
    }
}

fn accepted() -> Identified {
    Identified {
        accepted: true,
        version: VERSION.to_owned(),
    }
}

impl Session for SeataSession {
    fn receive(&mut self, input: &[u8]) -> Result<Received, CloseReason> {
        let (mut consumed, mut frames) = (0, 0);
        let outcome = loop {
            match frame::decode(&input[consumed..], FRAME_BYTES_MAX) {
                Ok(Decoded::Frame { frame, bytes }) => {
                    self.take(&frame);
                    consumed += bytes;
                    frames += 1;
                }
                Ok(Decoded::Incomplete { bytes }) => {
                    break Ok(Received {
                        consumed,
                        wanted: bytes,
                        skip: 0,
                    });
                }
                Err(error) => {
                    self.desk.count_malformed();
                    break Err(CloseReason::Framing(error.to_string()));
                }
            }
        };
        Stats::add(&self.channel.connection.stats().frames_in, frames);
        outcome
    }

    fn poll(&mut self, _: &mut Context<'_>, now: Instant) -> Result<Option<Instant>, CloseReason> {
        Ok(self.channel.expire(now))
    }

    fn has_calls_out(&self) -> bool {
        self.channel.has_calls()
    }

    fn closed(&mut self, reason: &CloseReason) {
        tracing::debug!(peer = %self.channel.connection.remote(), %reason, "a client is gone");
        self.channel.closed(&self.desk);
    }
}

//! Registrations and pushes as frames of a connection.

use std::time::Duration;

use diwan_bolt::{FrameWriter, Head, Status};
use diwan_hessian::Dialect;
use diwan_net::bolt::{CallError, Client, Handler, Incoming, OwnedFrame};
use diwan_registry_wire::{
    Answer, Codec, DecodeError, Push, RegisterResponse, Request, SyncResult,
};
use tokio::sync::mpsc;

use super::driver::Input;
use super::state::Ticket;

/// An answer to a registration must come within this.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(3);
/// The dialect that the original's client writes: every server reads it.
const CODEC: Codec = Codec::Hessian(Dialect::Draft);

/// Sends one registration; its answer comes back as an input.
pub(super) fn register(
    client: &Client,
    ticket: Ticket,
    request: Request,
    inputs: mpsc::UnboundedSender<Input>,
) {
    let timeout_ms = i32::try_from(REGISTER_TIMEOUT.as_millis()).unwrap_or(i32::MAX);
    let call = client.peer().call(REGISTER_TIMEOUT, |frame, id| {
        let head = Head::request(id, CODEC.byte(), timeout_ms);
        let class = request.class(CODEC).as_bytes();
        let mut writer = FrameWriter::begin(frame, head, class);
        request.encode(CODEC, writer.content());
        let written = writer.finish();
        written.map_err(|error| CallError::Unsendable(error.to_string()))
    });
    tokio::task::spawn_local(async move {
        let answer = call.await.map_err(|error| error.to_string());
        let _ = inputs.send(Input::Answered(ticket, answer.and_then(response)));
    });
}

fn response(answer: OwnedFrame) -> Result<RegisterResponse, String> {
    let frame = answer.frame();
    match Answer::decode(frame.class, frame.head.codec, frame.content) {
        Ok((Answer::RegisterResponse(response), _)) => Ok(response),
        Ok((other, codec)) => Err(format!("the answer is a {}", other.class(codec))),
        Err(error) => Err(format!("{:?}: {error}", frame.head.kind)),
    }
}

/// Takes what the registry sends of its own accord.
pub(super) struct Pushes {
    /// Of the connection.
    pub(super) number: u64,
    pub(super) inputs: mpsc::UnboundedSender<Input>,
}

impl Handler for Pushes {
    fn request(&self, incoming: Incoming<'_>) {
        let Incoming {
            frame,
            mut responder,
            ..
        } = incoming;
        let input = match Push::decode(frame.class, frame.head.codec, frame.content) {
            Ok((push, codec)) => {
                // Acknowledged whatever is in it: the same again would be of no more use.
                let answer = Answer::Result(SyncResult {
                    success: true,
                    message: None,
                });
                let class = answer.class(codec).as_bytes();
                // A frame as small as this always fits.
                let _ = responder.send(Status::Success, class, |writer| {
                    answer.encode(codec, writer.content());
                });
                match push {
                    Push::ReceivedData(push) => Input::Pushed(self.number, push),
                    other => {
                        Input::PushRefused(format!("a {} was not asked for", other.class(codec)))
                    }
                }
            }
            Err(error) => {
                responder.send_status(match error {
                    DecodeError::UnknownClass(_) => Status::NoProcessor,
                    DecodeError::Serializer(_) | DecodeError::Damaged { .. } => {
                        Status::ServerDeserialException
                    }
                });
                Input::PushRefused(error.to_string())
            }
        };
        let _ = self.inputs.send(input);
    }
}

//! Requests that come in: those of members, those of JRaft's command-line service, pulls of snapshot files, and the
//! application's own.

use std::cell::{Cell, RefCell};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use diwan_bolt::Status;
use diwan_jraft::{
    DecodeError, ErrorResponse, GetFileRequest, GetFileResponse, Message, SNAPSHOT_META_FILE,
};
use diwan_net::CloseReason;
use diwan_net::bolt::{Handler, Incoming, Responder};
use diwan_raft::ErrorCode;
use diwan_replica::wire::{self, RequestKind};
use diwan_replica::{batch, hello};

use crate::admission::{self, Caller, UNPROVED, UNPROVED_TEXT};
use crate::clock;
use crate::node::{Node, Reply, count as count_one, respond};
use crate::{dial, peers, snapshot, traffic};

/// Serves a request whose class is none of JRaft's. Called on the node's thread.
pub type AppHandler = Arc<dyn Fn(&Rc<Node>, Incoming<'_>) + Send + Sync>;

/// The most that is read from a snapshot file for one request.
const PIECE_BYTES_MAX: i64 = 4 << 20;

/// Serves one connection.
pub(crate) struct NodeHandler {
    node: Option<Rc<Node>>,
    app: Option<AppHandler>,
    hello: RefCell<hello::Listener>,
    /// A request was refused already for want of a proof.
    refused: Cell<bool>,
}

impl NodeHandler {
    pub(crate) fn new(node: Rc<Node>, app: Option<AppHandler>) -> Self {
        Self {
            node: Some(node),
            app,
            hello: RefCell::default(),
            refused: Cell::new(false),
        }
    }

    /// Of a node that did not start.
    pub(crate) fn none() -> Self {
        Self {
            node: None,
            app: None,
            hello: RefCell::default(),
            refused: Cell::new(false),
        }
    }

    /// Another node begins to prove that it knows the token, or goes on.
    fn hello(&self, node: &Rc<Node>, mut incoming: Incoming<'_>) {
        let Some(nonce) = dial::nonce() else {
            return incoming.responder.send_status(Status::Error);
        };
        let answer = self.hello.borrow_mut().asked(
            node.admission.token.as_ref(),
            &peers::node_of(&node.id).to_string(),
            nonce,
            incoming.frame.content,
        );
        let class = hello::CLASS.as_bytes();
        let sent = incoming.responder.send(Status::Success, class, |writer| {
            writer.content().extend_from_slice(&answer.encode());
        });
        if let Err(error) = sent {
            tracing::warn!(%error, "an answer does not fit into a frame");
        }
        if let hello::Message::Refused(reason) = answer {
            let connection = incoming.responder.connection();
            node.admission.hello_refused(connection.remote(), &reason);
            connection.close(CloseReason::Requested);
        }
    }

    /// Whom the requests of this connection come from.
    fn caller(&self, node: &Node, responder: &Responder) -> Caller {
        match node.admission.token.is_none() || self.hello.borrow().is_proved() {
            true => Caller::Member,
            false => Caller::Untokened(responder.connection().remote().ip()),
        }
    }

    fn refuse_untokened(&self, node: &Node, responder: &mut Responder) {
        let from = responder.connection().remote();
        node.admission.untokened(from, !self.refused.replace(true));
        refuse(responder, UNPROVED, UNPROVED_TEXT.into());
    }
}

impl Handler for NodeHandler {
    fn request(&self, mut incoming: Incoming<'_>) {
        let Some(node) = &self.node else { return };
        let class = incoming.frame.class;
        if class == hello::CLASS.as_bytes() {
            return self.hello(node, incoming);
        }
        let caller = self.caller(node, &incoming.responder);
        if class == batch::CLASS.as_bytes() {
            if !node.admission.admits(caller, None) {
                return self.refuse_untokened(node, &mut incoming.responder);
            }
            incoming.responder.connection().set_may_end_any_time();
            let back = incoming.peer();
            return node.batch_came(&back, caller, traffic::read(incoming.frame.content));
        }
        if class.starts_with(b"diwan.") {
            return match caller {
                Caller::Member => {
                    node.serve_service(class, incoming.frame.content, incoming.responder)
                }
                Caller::Untokened(_) => self.refuse_untokened(node, &mut incoming.responder),
            };
        }
        if !class.starts_with(b"com.alipay.sofa.jraft.rpc.") {
            match &self.app {
                Some(app) => app(node, incoming),
                None => incoming.responder.send_status(Status::NoProcessor),
            }
            return;
        }
        // Strangers' messages are not even read.
        if !node.admission.admits(caller, None) {
            return self.refuse_untokened(node, &mut incoming.responder);
        }
        match Message::decode(class, Bytes::copy_from_slice(incoming.frame.content)) {
            Ok(message) => {
                let place = admission::place_of(node, &message);
                match node.admission.admits(caller, place) {
                    true => serve(node, message, incoming.responder),
                    false => self.refuse_untokened(node, &mut incoming.responder),
                }
            }
            Err(error) => {
                node.malformed(&error.to_string());
                match error {
                    DecodeError::UnknownClass(_) => {
                        incoming.responder.send_status(Status::NoProcessor)
                    }
                    DecodeError::Damaged { .. } => refuse(
                        &mut incoming.responder,
                        ErrorCode::Invalid,
                        error.to_string(),
                    ),
                }
            }
        }
    }

    fn for_connection(&self) -> Option<Rc<dyn Handler>> {
        let node = self.node.clone()?;
        Some(Rc::new(Self::new(node, self.app.clone())))
    }
}

fn serve(node: &Rc<Node>, message: Message, mut responder: Responder) {
    match message {
        Message::PingRequest(_) => {
            respond(&mut responder, &node.watch.borrow().pong());
        }
        Message::GetFileRequest(request) => get_file(node, request, responder),
        Message::RequestVoteRequest(_)
        | Message::AppendEntriesRequest(_)
        | Message::InstallSnapshotRequest(_)
        | Message::TimeoutNowRequest(_)
        | Message::ReadIndexRequest(_) => match wire::read_request(message) {
            Ok(request) => match RequestKind::of(&request.body) {
                Some(kind) => {
                    // Members send again what gets lost when this node stops.
                    responder.connection().set_may_end_any_time();
                    node.receive(request, Reply::Frame(responder, kind));
                }
                None => refuse(&mut responder, ErrorCode::Invalid, "no request".into()),
            },
            Err(error) => {
                node.unreadable(&error);
                refuse(&mut responder, ErrorCode::Invalid, error.to_string());
            }
        },
        other => {
            responder.defer();
            node.operate(other, move |answer| respond(&mut responder, &answer));
        }
    }
}

pub(crate) fn refuse(responder: &mut Responder, code: ErrorCode, why: String) {
    let error = ErrorResponse {
        error_code: code.number(),
        error_message: Some(why),
    };
    respond(responder, &Message::ErrorResponse(error));
}

/// A follower pulls a piece of a snapshot. A pull keeps the snapshot alive for a while.
fn get_file(node: &Rc<Node>, request: GetFileRequest, mut responder: Responder) {
    let pulled = node
        .readers
        .borrow_mut()
        .get_mut(&request.reader_id)
        .map(|pulled| {
            pulled.used = Instant::now();
            pulled.path.clone()
        });
    let wrong = |code: i32, why: String| {
        let error = ErrorResponse {
            error_code: code,
            error_message: Some(why),
        };
        Message::GetFileResponse(GetFileResponse {
            error_response: Some(error),
            ..GetFileResponse::default()
        })
    };
    let Some(path) = pulled else {
        return respond(
            &mut responder,
            &wrong(1012, format!("there is no reader {}", request.reader_id)),
        );
    };
    if request.count <= 0 || request.offset < 0 {
        return respond(
            &mut responder,
            &wrong(1000, "count and offset make no sense".into()),
        );
    }
    let wanted = request.count.min(PIECE_BYTES_MAX);
    let count = if request.filename == SNAPSHOT_META_FILE {
        wanted
    } else {
        let granted = node
            .served
            .borrow_mut()
            .take(wanted.unsigned_abs(), clock::now());
        match granted {
            Ok(granted) => i64::try_from(granted).unwrap_or(wanted),
            Err(wait) => {
                // JRaft's way to say it, and its members come again without counting it as a failure:
                // sofa-jraft:jraft-core/.../storage/snapshot/remote/CopySession.java.
                count_one(&node.counts.pieces_delayed);
                let why = format!("too many bytes per second: come again in {wait:?}");
                return respond(&mut responder, &wrong(ErrorCode::Again.number(), why));
            }
        }
    };
    // Responders do not leave their thread: the file's thread answers through the node.
    let slot = node.park(responder);
    let work = move || -> std::io::Result<GetFileResponse> {
        if request.filename == SNAPSHOT_META_FILE {
            let list = snapshot::list_bytes(&path)?;
            let from = usize::try_from(request.offset)
                .unwrap_or(usize::MAX)
                .min(list.len());
            let to = from
                .saturating_add(usize::try_from(count).unwrap_or(0))
                .min(list.len());
            return Ok(piece(list.slice(from..to), to == list.len()));
        }
        let known = snapshot::list_names(&path)?;
        if !known.contains(&request.filename) {
            return Err(std::io::Error::new(
                std::io::ErrorKind::NotFound,
                "no such file in the snapshot",
            ));
        }
        let mut file = std::fs::File::open(path.join(&request.filename))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(request.offset.unsigned_abs()))?;
        let mut data = Vec::new();
        file.take(count.unsigned_abs()).read_to_end(&mut data)?;
        let end = request.offset.unsigned_abs() + data.len() as u64 >= length;
        Ok(piece(data.into(), end))
    };
    node.on_files(work, move |node, result| {
        let Some(mut responder) = node.unpark(slot) else {
            return;
        };
        let message = match result {
            Ok(response) => Message::GetFileResponse(response),
            Err(error) => wrong(1014, error.to_string()),
        };
        respond(&mut responder, &message);
    });
}

fn piece(data: Bytes, eof: bool) -> GetFileResponse {
    let read_size = if eof {
        -1
    } else {
        i64::try_from(data.len()).unwrap_or(i64::MAX)
    };
    GetFileResponse {
        eof,
        data,
        read_size: Some(read_size),
        error_response: None,
    }
}

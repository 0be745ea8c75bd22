//! The path of a request through the server.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use diwan_bolt::{Kind, Status};
use diwan_hessian::{Decoder, Limits};
use diwan_net::bolt::{Handler, Incoming as BoltIncoming};
use diwan_sofarpc::{Error, Request};

use super::blocking::BlockingPool;
use super::method::{Watched, deserialization_failed, send_failure};
use super::{
    Arguments, Finish, Incoming, MethodDescriptor, MethodWorker, RequestInfo, ServerFilter,
};
use crate::Context;

/// A published service on one worker.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) ready: Arc<AtomicBool>,
    pub(super) methods: Vec<(MethodDescriptor, Rc<dyn MethodWorker>)>,
}

/// Finds the method of each request. One on each worker.
pub(super) struct Dispatcher {
    /// Sorted by name.
    pub(super) services: Vec<Entry>,
    /// The service asked for last: most often it is the next one, too.
    pub(super) last: Cell<usize>,
    pub(super) filters: Arc<[Arc<dyn ServerFilter>]>,
    pub(super) blocking: BlockingPool,
    pub(super) limits: Limits,
}

impl Handler for Dispatcher {
    fn request(&self, incoming: BoltIncoming<'_>) {
        let BoltIncoming {
            frame,
            mut responder,
            ..
        } = incoming;
        let now = responder.connection().now();
        let mut decoder = Decoder::with(frame.content, None, self.limits);
        let request = match Request::read(&frame, &mut decoder) {
            Ok(request) => request,
            // Nobody answers requests of that class.
            Err(Error::Class { found, .. }) => {
                let message = format!("No user processor found for request: {found}");
                return send_failure(&mut responder, Status::ServerException, &message);
            }
            Err(error) => {
                let message = deserialization_failed(&error.to_string());
                return send_failure(&mut responder, Status::ServerDeserialException, &message);
            }
        };

        let timeout_ms = match frame.head.kind {
            Kind::Request { timeout_ms } if timeout_ms > 0 => Some(timeout_ms as u64),
            _ => None,
        };
        let remain_ms = request
            .deadline_remain_ms
            .map(|remain| remain.max(0) as u64);
        let deadline = [timeout_ms, remain_ms]
            .into_iter()
            .flatten()
            .min()
            .map(|ms| now + Duration::from_millis(ms));
        let context = Some(Context::new(frame.header, deadline));
        let mut finish = Finish {
            responder,
            context,
            watched: None,
        };

        if let Err(refusal) = self.before(&request, &mut finish) {
            return finish.error(&refusal);
        }
        // The words and numbers of the original's messages (`sofastack/sofa-rpc:.../log-codes.properties`).
        let Some(entry) = self.find_service(&request.service) else {
            return finish.error(&format!(
                "RPC-020100010: RPC cannot find service: [{}] ",
                request.service
            ));
        };
        match find_method(&entry.methods, &request) {
            Some((method, is_exact)) => {
                let unmatched = (!is_exact).then(|| no_such_method(&request));
                let arguments = match request.signatures {
                    Some(_) => Arguments::Hessian(&mut decoder),
                    None => Arguments::Other {
                        codec: frame.head.codec,
                        content: frame.content,
                    },
                };
                let blocking = &self.blocking;
                method.clone().call(Incoming {
                    arguments,
                    finish,
                    blocking,
                    unmatched,
                });
            }
            None => finish.error(&no_such_method(&request)),
        }
    }
}

impl Dispatcher {
    fn before(&self, request: &Request<'_>, finish: &mut Finish) -> Result<(), String> {
        if self.filters.is_empty() {
            return Ok(());
        }
        let Some(context) = &finish.context else {
            return Ok(());
        };
        let remote = finish.responder.connection().remote();
        let info = RequestInfo {
            service: &request.service,
            method: &request.method,
            remote,
            context,
        };
        for filter in self.filters.iter() {
            filter.before(&info)?;
        }
        finish.watched = Some(Box::new(Watched {
            filters: self.filters.clone(),
            service: request.service.to_string(),
            method: request.method.to_string(),
            remote,
            began: finish.responder.connection().now(),
        }));
        Ok(())
    }

    fn find_service(&self, name: &str) -> Option<&Entry> {
        let last = self.services.get(self.last.get())?;
        let entry = if last.name == name {
            last
        } else {
            let index = self
                .services
                .binary_search_by(|entry| entry.name.as_str().cmp(name))
                .ok()?;
            self.last.set(index);
            &self.services[index]
        };
        entry.ready.load(Relaxed).then_some(entry)
    }
}

fn no_such_method(request: &Request<'_>) -> String {
    format!(
        "RPC-020100011: Cannot find invoke method: [{}], service: [{}] ",
        request.method, request.service
    )
}

/// By name and exact signatures, else by name and number of arguments, which is not exact: clients of other languages
/// cannot always tell Java's type.
fn find_method<'m>(
    methods: &'m [(MethodDescriptor, Rc<dyn MethodWorker>)],
    request: &Request<'_>,
) -> Option<(&'m Rc<dyn MethodWorker>, bool)> {
    let named = || {
        methods
            .iter()
            .filter(|(descriptor, _)| descriptor.name == request.method)
    };
    let Some(signatures) = &request.signatures else {
        // Other codecs tell no signatures, so names must be unique.
        return named().next().map(|(_, method)| (method, true));
    };
    let exact = |descriptor: &MethodDescriptor| {
        descriptor.signatures.len() == signatures.len()
            && descriptor
                .signatures
                .iter()
                .zip(signatures)
                .all(|(ours, theirs): (&Cow<'_, str>, _)| ours == theirs)
    };
    let guess = || named().find(|(descriptor, _)| descriptor.signatures.len() == signatures.len());
    match named().find(|(descriptor, _)| exact(descriptor)) {
        Some((_, method)) => Some((method, true)),
        None => guess().map(|(_, method)| (method, false)),
    }
}

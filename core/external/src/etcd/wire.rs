//! etcd's gRPC: one connection to one member at a time, the next member after a failure.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use diwan_engine::Failure;
use prost::Message;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::Streaming;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use super::messages::{
    AuthenticateRequest, AuthenticateResponse, RangeRequest, RangeResponse, TxnRequest,
    TxnResponse, WatchCreateRequest, WatchRequest, WatchResponse,
};
use crate::address::{EtcdAddress, TlsFiles, User, causes};

/// A reply that is larger is refused.
const REPLY_BYTES_MAX: usize = 80 << 20;
const KEEP_ALIVE: Duration = Duration::from_secs(5);

pub(super) struct Wire {
    members: Vec<Channel>,
    /// The one that is asked.
    member: AtomicUsize,
    timeout: Duration,
    user: Option<User>,
    token: Mutex<Option<MetadataValue<Ascii>>>,
}

impl Wire {
    pub(super) async fn connect(address: &EtcdAddress, timeout: Duration) -> Result<Self, Failure> {
        let tls = address.tls.as_ref().map(tls).transpose()?;
        let mut members = Vec::new();
        for (host, port) in &address.endpoints {
            let host = match host.contains(':') {
                true => format!("[{host}]"),
                false => host.clone(),
            };
            let scheme = if tls.is_some() { "https" } else { "http" };
            let wrong = |error: tonic::transport::Error| Failure::Denied(causes(&error));
            let mut endpoint = Endpoint::from_shared(format!("{scheme}://{host}:{port}"))
                .map_err(wrong)?
                .connect_timeout(timeout)
                .http2_keep_alive_interval(KEEP_ALIVE)
                .keep_alive_timeout(timeout)
                .keep_alive_while_idle(true)
                .initial_stream_window_size(4 << 20)
                .initial_connection_window_size(16 << 20);
            if let Some(tls) = &tls {
                endpoint = endpoint.tls_config(tls.clone()).map_err(wrong)?;
            }
            members.push(endpoint.connect_lazy());
        }
        Ok(Self {
            members,
            member: AtomicUsize::new(0),
            timeout,
            user: address.user.clone(),
            token: Mutex::new(None),
        })
    }

    pub(super) async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Failure> {
        self.ask("/etcdserverpb.KV/Txn", request).await
    }

    pub(super) async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Failure> {
        self.ask("/etcdserverpb.KV/Range", request).await
    }

    async fn ask<A, B>(&self, path: &'static str, request: A) -> Result<B, Failure>
    where
        A: Message + Send + Sync + 'static,
        B: Message + Default + Send + Sync + 'static,
    {
        let member = self.member.load(Relaxed);
        let asked = async {
            let token = self.token(member).await?;
            self.unary(member, path, request, token).await
        };
        let result = tokio::time::timeout(self.timeout, asked).await;
        let result = result.unwrap_or_else(|_| Err(Status::deadline_exceeded("no reply in time")));
        result.map_err(|status| self.failure(member, &status))
    }

    fn failure(&self, member: usize, status: &Status) -> Failure {
        let failure = failure(status);
        if failure.is_unknown() {
            // Whoever comes next asks another member; if several fail at once, it is the next one all the same.
            let next = (member + 1) % self.members.len();
            let _ = self.member.compare_exchange(member, next, Relaxed, Relaxed);
        }
        if matches!(failure, Failure::Denied(_)) {
            // Tokens end.
            *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        failure
    }

    async fn unary<A, B>(
        &self,
        member: usize,
        path: &'static str,
        request: A,
        token: Option<MetadataValue<Ascii>>,
    ) -> Result<B, Status>
    where
        A: Message + Send + Sync + 'static,
        B: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = tonic::client::Grpc::new(self.members[member].clone())
            .max_decoding_message_size(REPLY_BYTES_MAX);
        grpc.ready().await.map_err(|error| unavailable(&error))?;
        let request = with_token(tonic::Request::new(request), token);
        let codec: ProstCodec<A, B> = ProstCodec::default();
        let path = http::uri::PathAndQuery::from_static(path);
        Ok(grpc.unary(request, path, codec).await?.into_inner())
    }

    /// Logs in, if there is a user and it has not been done.
    async fn token(&self, member: usize) -> Result<Option<MetadataValue<Ascii>>, Status> {
        let Some(user) = &self.user else {
            return Ok(None);
        };
        let known = self
            .token
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if known.is_some() {
            return Ok(known);
        }
        let request = AuthenticateRequest {
            name: user.name.clone(),
            password: user.password.clone(),
        };
        let path = "/etcdserverpb.Auth/Authenticate";
        let response: AuthenticateResponse = self.unary(member, path, request, None).await?;
        let token: MetadataValue<Ascii> = response
            .token
            .parse()
            .map_err(|_| Status::unauthenticated("etcd gave a token that is none"))?;
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(Some(token))
    }

    /// Tells of changes between two keys until it cannot any more.
    pub(super) async fn watch(
        &self,
        key: Vec<u8>,
        range_end: Vec<u8>,
        tell: &watch::Sender<()>,
    ) -> Result<(), Failure> {
        let member = self.member.load(Relaxed);
        let watch = async {
            let token = self.token(member).await?;
            let mut grpc = tonic::client::Grpc::new(self.members[member].clone());
            grpc.ready().await.map_err(|error| unavailable(&error))?;
            // The stream ends with its sender.
            let (ask, asks) = mpsc::channel(1);
            let create_request = Some(WatchCreateRequest { key, range_end });
            let _ = ask.try_send(WatchRequest { create_request });
            let request = with_token(tonic::Request::new(ReceiverStream::new(asks)), token);
            let codec: ProstCodec<WatchRequest, WatchResponse> = ProstCodec::default();
            let path = http::uri::PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
            let response = grpc.streaming(request, path, codec).await?;
            let mut events: Streaming<WatchResponse> = response.into_inner();
            while let Some(event) = events.message().await? {
                if event.canceled {
                    break;
                }
                tell.send_replace(());
            }
            drop(ask);
            Ok::<_, Status>(())
        };
        tokio::select! {
            ended = watch => ended.map_err(|status| self.failure(member, &status)),
            () = tell.closed() => Ok(()),
        }
    }
}

fn with_token<T>(
    mut request: tonic::Request<T>,
    token: Option<MetadataValue<Ascii>>,
) -> tonic::Request<T> {
    if let Some(token) = token {
        // `etcd-io/etcd:api/v3rpc/rpctypes/metadatafields.go`
        request.metadata_mut().insert("token", token);
    }
    request
}

fn unavailable(error: &tonic::transport::Error) -> Status {
    Status::unavailable(causes(error))
}

/// What etcd's errors mean: `etcd-io/etcd:api/v3rpc/rpctypes/error.go`.
fn failure(status: &Status) -> Failure {
    let what = match std::error::Error::source(status) {
        Some(_) => causes(status),
        None => status.message().to_owned(),
    };
    match status.code() {
        Code::ResourceExhausted if what.contains("space exceeded") => Failure::NoSpace(what),
        Code::InvalidArgument if what.contains("too large") => Failure::TooLarge(what),
        // This client's own bound of a reply.
        Code::OutOfRange => Failure::TooLarge(what),
        Code::Unauthenticated | Code::PermissionDenied => Failure::Denied(what),
        Code::InvalidArgument if what.contains("auth") || what.contains("user name") => {
            Failure::Denied(what)
        }
        Code::FailedPrecondition if what.contains("auth") => Failure::Denied(what),
        _ => Failure::Unknown(what),
    }
}

fn tls(files: &TlsFiles) -> Result<ClientTlsConfig, Failure> {
    let mut tls = ClientTlsConfig::new();
    if let Some(ca) = &files.ca {
        tls = tls.ca_certificate(Certificate::from_pem(read(ca)?));
    }
    if let Some((certificate, key)) = &files.identity {
        tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    Ok(tls)
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::Denied(format!("{}: {error}", path.display())))
}

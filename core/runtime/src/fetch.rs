//! Snapshots between members: a leader offers one, a follower pulls its files piece by piece, as JRaft does.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use diwan_jraft::{GetFileRequest, Message, SNAPSHOT_META_FILE, SnapshotFiles};
use diwan_log::Event as LogEvent;
use diwan_raft::{ErrorCode, Fetch, PeerId, SnapshotMeta};
use diwan_replica::wire;
use tokio::sync::oneshot;

use crate::clock;
use crate::error::FetchError;
use crate::group::Hosted;
use crate::node::{Node, Pulled, count};
use crate::snapshot::{self, DATA_FILE, DataFile};

/// JRaft's `maxByteCountPerRpc`.
const PIECE_BYTES: u64 = 128 << 10;
const PIECE_TIMEOUT: Duration = Duration::from_secs(10);
const RETRIES: u32 = 3;
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// A piece whose sender asks for patience longer than this is given up.
const THROTTLED_MAX: Duration = Duration::from_secs(60);
/// A list of more bytes is refused.
const LIST_BYTES_MAX: usize = 32 << 20;

impl Node {
    /// A follower needs a snapshot: it may pull the newest one.
    pub(crate) fn offer(self: &Rc<Self>, place: usize, hosted: &mut Hosted, peer: &PeerId) {
        let Some(meta) = hosted.snapshots.newest.clone() else {
            hosted.group.raft_mut().snapshot_refused(peer);
            return self.take_snapshot(place, hosted);
        };
        let reader = self.next_reader.get();
        self.next_reader.set(reader + 1);
        let path = snapshot::path_of(&hosted.snapshots.directory, meta.last.index);
        let pulled = Pulled {
            group: place,
            path,
            index: meta.last.index,
            used: Instant::now(),
        };
        self.readers.borrow_mut().insert(reader, pulled);
        tracing::info!(group = hosted.name, %peer, index = meta.last.index, "snapshot offered");
        let uri = format!("remote://{}:{}/{reader}", self.id.host(), self.id.port());
        hosted.group.raft_mut().offer_snapshot(peer, meta, uri);
    }

    /// Pulls an offered snapshot and loads it.
    pub(crate) async fn fetch(self: Rc<Self>, place: usize, fetch: Fetch) {
        let token = fetch.token;
        let began = Instant::now();
        let pulled = self.pull(place, &fetch).await;
        self.with_group(place, |hosted| hosted.snapshots.fetched_bytes = 0);
        match pulled {
            Ok((meta, bytes)) => {
                if let Err(error) = self.install(place, &fetch, &meta) {
                    // The old state may be half replaced.
                    return self.fail(format!("a fetched snapshot cannot be loaded: {error}"));
                }
                tracing::info!(index = meta.last.index, bytes, took = ?began.elapsed(), "snapshot installed");
            }
            Err(error) => {
                tracing::warn!(from = %fetch.from, %error, "snapshot not fetched");
                self.with_group(place, |hosted| {
                    hosted
                        .group
                        .raft_mut()
                        .snapshot_failed(token, &error.to_string())
                });
            }
        }
    }

    /// Pulls a snapshot's files and puts it in its place. Nothing is left of one that does not come to its end: it might be in the
    /// way of everything else on a full disk.
    async fn pull(
        self: &Rc<Self>,
        place: usize,
        fetch: &Fetch,
    ) -> Result<(SnapshotMeta, u64), FetchError> {
        let pulled = self.pull_files(place, fetch).await;
        if let Err(error) = &pulled {
            if let FetchError::Checksum { .. } = error {
                count(&self.counts.snapshots_damaged);
            }
            let directory = self.with_group(place, |hosted| hosted.snapshots.directory.clone());
            let temporary = snapshot::temporary(&directory, fetch.request.meta.last.index);
            // The next pull may begin only once this is done. There may be nothing to remove.
            let _ = self
                .files(move || std::fs::remove_dir_all(temporary))
                .await?;
        }
        pulled
    }

    async fn pull_files(
        self: &Rc<Self>,
        place: usize,
        fetch: &Fetch,
    ) -> Result<(SnapshotMeta, u64), FetchError> {
        let (from, reader) = parse_uri(&fetch.request.uri)?;
        let mut list = Vec::new();
        loop {
            let offset = list.len() as i64;
            let count = i64::from(i32::MAX);
            let (piece, eof) = self
                .piece(&from, reader, SNAPSHOT_META_FILE, offset, count)
                .await?;
            list.extend_from_slice(&piece);
            if list.len() > LIST_BYTES_MAX {
                return Err(FetchError::ListTooLong(LIST_BYTES_MAX));
            }
            if eof {
                break;
            }
        }
        let files = SnapshotFiles::read(list.into())?;
        let wanted = snapshot::our_checksum(&files);
        let meta = wire::snapshot_meta_in(&files.meta.unwrap_or_default())?;
        if meta.last != fetch.request.meta.last {
            return Err(FetchError::OtherSnapshot);
        }
        let names: Vec<String> = files.files.into_iter().map(|file| file.name).collect();
        if names != [DATA_FILE] {
            return Err(FetchError::OtherFiles(names));
        }
        let directory = self.with_group(place, |hosted| hosted.snapshots.directory.clone());
        let index = meta.last.index;
        let beside = directory.clone();
        let temporary = self
            .files(move || snapshot::begin(&beside, index))
            .await??;
        let (sum, bytes) = self.pull_data(place, &from, reader, temporary).await?;
        let found = snapshot::text_of(sum);
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            return Err(FetchError::Checksum { wanted, found });
        }
        let finished = meta.clone();
        self.files(move || snapshot::finish(&directory, &finished, sum))
            .await??;
        Ok((meta, bytes))
    }

    /// Pulls the state into a directory; returns its checksum and its bytes.
    async fn pull_data(
        self: &Rc<Self>,
        place: usize,
        from: &PeerId,
        reader: i64,
        temporary: PathBuf,
    ) -> Result<(u32, u64), FetchError> {
        let mut data = self.files(move || DataFile::create(&temporary)).await??;
        let mut offset = 0;
        loop {
            let granted = self.pulled.borrow_mut().take(PIECE_BYTES, clock::now());
            let count = match granted {
                Ok(count) => i64::try_from(count).unwrap_or(i64::MAX),
                Err(wait) => {
                    tokio::time::sleep(wait).await;
                    continue;
                }
            };
            let (piece, eof) = self.piece(from, reader, DATA_FILE, offset, count).await?;
            offset += piece.len() as i64;
            self.with_group(place, |hosted| {
                hosted.snapshots.fetched_bytes = offset.unsigned_abs();
            });
            data = self
                .files(move || data.write_all(&piece).map(|()| data))
                .await??;
            if eof {
                let sum = self.files(move || data.sync()).await??;
                return Ok((sum, offset.unsigned_abs()));
            }
        }
    }

    async fn piece(
        self: &Rc<Self>,
        from: &PeerId,
        reader: i64,
        name: &str,
        offset: i64,
        count: i64,
    ) -> Result<(Bytes, bool), FetchError> {
        let request = Message::GetFileRequest(GetFileRequest {
            reader_id: reader,
            filename: name.to_owned(),
            count,
            offset,
            read_partly: Some(true),
        });
        let mut attempt = 0;
        let mut waited = Duration::ZERO;
        loop {
            let error = match self.ask_member(from, &request, PIECE_TIMEOUT).await {
                Ok(Message::GetFileResponse(response)) => match response.error_response {
                    None if response.data.is_empty() && !response.eof => FetchError::EmptyPiece,
                    None => return Ok((response.data, response.eof)),
                    // Its sender has sent enough for now: that is no failure.
                    Some(error) if error.error_code == ErrorCode::Again.number() => {
                        waited += RETRY_AFTER;
                        if waited > THROTTLED_MAX {
                            return Err(FetchError::Throttled(waited));
                        }
                        FetchError::Throttled(waited)
                    }
                    Some(error) => FetchError::Refused(format!(
                        "{} {}",
                        error.error_code,
                        error.error_message.unwrap_or_default()
                    )),
                },
                Ok(other) => FetchError::Unexpected(other.class()),
                Err(error) => FetchError::Peer(error),
            };
            attempt += u32::from(!matches!(error, FetchError::Throttled(_)));
            if attempt > RETRIES {
                return Err(error);
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    /// Loads a snapshot that lies in its place.
    fn install(&self, place: usize, fetch: &Fetch, meta: &SnapshotMeta) -> io::Result<()> {
        self.with_group(place, |hosted| {
            if !hosted.group.raft_mut().begin_install(fetch.token) {
                return Ok(());
            }
            let mut reader = snapshot::open(&hosted.snapshots.directory, meta.last.index)?;
            hosted.machine.restore(&mut reader)?;
            hosted.snapshots.newest = Some(meta.clone());
            hosted.snapshots.newest_bytes =
                snapshot::bytes_of(&hosted.snapshots.directory, meta.last.index);
            hosted.snapshots.log_bytes = 0;
            hosted.group.snapshot_installed(fetch.token, meta.clone());
            hosted.machine.event(&LogEvent::Restored {
                index: meta.last.index,
            });
            Ok(())
        })
    }

    /// Runs `work` where files may block and waits for it.
    async fn files<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let (tell, told) = oneshot::channel();
        self.on_files(
            move || {
                let _ = tell.send(work());
            },
            |_, ()| {},
        );
        told.await
            .map_err(|_| io::Error::other("the thread for files is gone"))
    }
}

fn parse_uri(uri: &str) -> Result<(PeerId, i64), FetchError> {
    let parse = || {
        let (addr, reader) = uri.strip_prefix("remote://")?.split_once('/')?;
        Some((addr.parse().ok()?, reader.parse().ok()?))
    };
    parse().ok_or_else(|| FetchError::Uri(uri.chars().take(200).collect()))
}

//! The receive side of a connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::{CloseReason, Received, Session};

/// Size of the buffer that all connections of a worker read into.
pub(crate) const SCRATCH_BYTES: usize = 128 << 10;

/// What has been received of a frame that is not whole yet. An idle connection holds no buffer.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Initialized to its whole length; `filled` bytes of it are data.
    buffer: Vec<u8>,
    filled: usize,
    wanted: usize,
    skip: u64,
}

impl Inbox {
    /// Whether a frame has begun.
    pub(crate) fn is_inside_frame(&self) -> bool {
        self.filled > 0 || self.skip > 0
    }

    /// Bytes of the frame that has begun.
    pub(crate) fn partial_bytes(&self) -> usize {
        self.filled
    }

    /// Length that the frame that has begun has at least.
    pub(crate) fn frame_bytes(&self) -> u64 {
        self.skip + self.wanted.max(self.filled) as u64
    }

    /// One read, and everything that is whole goes to the session. `Ready(Ok(0))` is the end of the stream.
    pub(crate) fn poll_receive<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        session: &mut dyn Session,
    ) -> Poll<Result<usize, CloseReason>> {
        if self.skip > 0 {
            let count = ready!(read(stream, cx, scratch))?;
            let dropped = count.min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            self.skip -= dropped as u64;
            self.take(&scratch[dropped..count], session)?;
            return Poll::Ready(Ok(count));
        }
        // A small piece is moved before what comes now, so that it costs a connection no more than its own bytes.
        if self.wanted <= scratch.len() && self.filled < scratch.len() {
            let kept = self.filled;
            let count = ready!(read(stream, cx, &mut scratch[kept..]))?;
            if count > 0 {
                scratch[..kept].copy_from_slice(&self.buffer[..kept]);
                self.filled = 0;
                self.take(&scratch[..kept + count], session)?;
            }
            return Poll::Ready(Ok(count));
        }
        // A large frame has a buffer of its own that grows as bytes arrive, never ahead of them by more than half.
        let room = self
            .wanted
            .min(self.filled + self.filled / 2 + scratch.len())
            .max(self.filled + 1);
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        let count = ready!(read(stream, cx, &mut self.buffer[self.filled..room]))?;
        self.filled += count;
        if count > 0 && self.filled >= self.wanted {
            let whole = std::mem::take(&mut self.buffer);
            let filled = std::mem::take(&mut self.filled);
            self.take(&whole[..filled], session)?;
        }
        Poll::Ready(Ok(count))
    }

    fn take(&mut self, input: &[u8], session: &mut dyn Session) -> Result<(), CloseReason> {
        if input.is_empty() {
            return Ok(());
        }
        let Received {
            consumed,
            wanted,
            skip,
        } = session.receive(input)?;
        let rest = &input[consumed..];
        self.wanted = wanted;
        self.skip = skip;
        if rest.is_empty() {
            self.buffer = Vec::new();
        } else {
            if self.buffer.len() < rest.len() {
                self.buffer.resize(rest.len(), 0);
            }
            self.buffer[..rest.len()].copy_from_slice(rest);
        }
        self.filled = rest.len();
        Ok(())
    }
}

fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    into: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(into);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// A chunk that reached this size is closed, so that no copy of a growing buffer ever gets expensive.
const CHUNK_BYTES: usize = 256 << 10;
/// A buffer larger than this is given back when it has been written.
const KEEP_BYTES: usize = 64 << 10;
/// Buffers that a thread keeps for all its connections: one that has nothing to write holds none.
const SPARE_MAX: usize = 32;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn spare() -> Vec<u8> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

fn give_back(mut buffer: Vec<u8>) {
    SPARE.with_borrow_mut(|spare| {
        if buffer.capacity() <= KEEP_BYTES && spare.len() < SPARE_MAX {
            buffer.clear();
            spare.push(buffer);
        }
    });
}
/// Slices of one vectored write.
const SLICES_MAX: usize = 32;

/// What waits to be written to one connection: frames are serialized straight into it.
#[derive(Debug, Default)]
pub struct Outbox {
    full: VecDeque<Vec<u8>>,
    tail: Vec<u8>,
    /// How much of the first chunk has been written already.
    written: usize,
    full_bytes: usize,
}

impl Outbox {
    /// The buffer to append a frame to.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        if self.tail.len() >= CHUNK_BYTES {
            self.close_chunk();
        }
        if self.tail.capacity() == 0 {
            self.tail = spare();
        }
        &mut self.tail
    }

    /// Queues a frame that is serialized already; a large one is not copied.
    pub fn push(&mut self, frame: Vec<u8>) {
        if frame.len() < KEEP_BYTES {
            self.buffer().extend_from_slice(&frame);
        } else {
            self.close_chunk();
            self.full_bytes += frame.len();
            self.full.push_back(frame);
        }
    }

    fn close_chunk(&mut self) {
        if !self.tail.is_empty() {
            self.full_bytes += self.tail.len();
            self.full.push_back(std::mem::take(&mut self.tail));
        }
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.full_bytes + self.tail.len() - self.written
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Writes until everything is written or the stream takes no more. Ready when everything is written.
    /// Returns how many bytes went out, with the outcome.
    pub(crate) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        written: &mut usize,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let count = if self.full.is_empty() {
                ready!(Pin::new(&mut *stream).poll_write(cx, &self.tail[self.written..]))?
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let mut used = 0;
                let chunks = self.full.iter().chain(std::iter::once(&self.tail));
                for (slice, chunk) in slices.iter_mut().zip(chunks) {
                    let from = if used == 0 { self.written } else { 0 };
                    *slice = IoSlice::new(&chunk[from..]);
                    used += 1;
                }
                ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..used]))?
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += count;
            self.advance(count);
        }
        Pin::new(stream).poll_flush(cx)
    }

    fn advance(&mut self, count: usize) {
        self.written += count;
        while let Some(first) = self.full.front() {
            if self.written < first.len() {
                return;
            }
            self.written -= first.len();
            self.full_bytes -= first.len();
            self.full.pop_front();
        }
        if self.written == self.tail.len() {
            self.written = 0;
            give_back(std::mem::take(&mut self.tail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most `step` bytes a write, and nothing every third time.
    struct Trickle {
        taken: Vec<u8>,
        step: usize,
        turn: usize,
    }

    impl AsyncWrite for Trickle {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.turn += 1;
            if self.turn.is_multiple_of(3) {
                return Poll::Pending;
            }
            let count = buf.len().min(self.step);
            self.taken.extend_from_slice(&buf[..count]);
            Poll::Ready(Ok(count))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_is_queued_leaves_in_order_whatever_the_stream_takes() {
        for step in [1, 7, 1000, 100_000] {
            let mut stream = Trickle {
                taken: Vec::new(),
                step,
                turn: 0,
            };
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            let mut cx = Context::from_waker(std::task::Waker::noop());
            for round in 0..20u32 {
                let small = round.to_be_bytes();
                outbox.buffer().extend_from_slice(&small);
                expected.extend_from_slice(&small);
                let bytes = if round % 5 == 0 {
                    KEEP_BYTES + round as usize
                } else {
                    500
                };
                let frame = vec![round as u8; if step == 1 { bytes.min(300) } else { bytes }];
                expected.extend_from_slice(&frame);
                outbox.push(frame);
                let _ = outbox.poll_write(&mut stream, &mut cx, &mut 0);
                assert_eq!(outbox.bytes(), expected.len() - stream.taken.len());
            }
            while outbox.poll_write(&mut stream, &mut cx, &mut 0).is_pending() {}
            assert!(outbox.is_empty());
            assert!(stream.taken == expected, "step {step}");
        }
    }
}

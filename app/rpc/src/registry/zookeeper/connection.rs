use std::io;
use std::net::SocketAddr;

use diwan_zookeeper::{DecodeError, next_packet};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Longer packets are not taken: a list of some 100,000 instances.
const PACKET_BYTES_MAX: usize = 64 << 20;
/// Room for what is read at once.
const READ_BYTES: usize = 16 << 10;

/// A connection, and what has not been taken from it or sent over it.
pub(super) struct Connection {
    pub(super) addr: SocketAddr,
    stream: TcpStream,
    received: Vec<u8>,
    /// It stays small: requests on their way are bounded.
    unsent: Vec<u8>,
}

impl Connection {
    pub(super) fn new(addr: SocketAddr, stream: TcpStream) -> Self {
        Self {
            addr,
            stream,
            received: Vec::new(),
            unsent: Vec::new(),
        }
    }

    /// Where packets to be sent are appended.
    pub(super) fn unsent(&mut self) -> &mut Vec<u8> {
        &mut self.unsent
    }

    /// Sends until something has come. Whoever stops waiting loses nothing.
    pub(super) async fn moved(&mut self) -> io::Result<()> {
        loop {
            let interest = if self.unsent.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            let ready = self.stream.ready(interest).await?;
            if ready.is_writable() && !self.unsent.is_empty() {
                match self.stream.try_write(&self.unsent) {
                    Ok(written) => drop(self.unsent.drain(..written)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            if ready.is_readable() {
                self.received.reserve(READ_BYTES);
                match self.stream.try_read_buf(&mut self.received) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(_) => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Takes the packets that have come, each once.
    pub(super) fn packets(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut at = 0;
        let in_words = |error: DecodeError| error.to_string();
        while let Some((packet, size)) =
            next_packet(&self.received[at..], PACKET_BYTES_MAX).map_err(in_words)?
        {
            take(packet)?;
            at += size;
        }
        self.received.drain(..at);
        if self.received.is_empty() {
            // An idle connection holds no buffer.
            self.received = Vec::new();
        }
        Ok(())
    }
}

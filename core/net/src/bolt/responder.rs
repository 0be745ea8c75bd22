use std::rc::Rc;

use diwan_bolt::{FrameTooLarge, FrameWriter, Head, Status};

use crate::Connection;
use crate::stats::Stats;

/// Answers one request. Dropped without an answer, it answers a two-way request with status `ERROR`; a oneway
/// request is never answered, whatever is called.
#[derive(Debug)]
pub struct Responder {
    connection: Rc<Connection>,
    head: Head,
    counted: bool,
    answered: bool,
}

impl Responder {
    pub(super) fn new(connection: Rc<Connection>, head: Head) -> Self {
        Self {
            connection,
            head,
            counted: false,
            answered: !head.wants_response(),
        }
    }

    /// The head of the request.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Whether an answer is expected at all.
    pub fn wants_response(&self) -> bool {
        self.head.wants_response()
    }

    /// The connection the request came on.
    pub fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// The answer will come later: from now on the request counts as in flight.
    pub fn defer(&mut self) {
        if !self.counted {
            self.counted = true;
            self.connection.request_begins();
        }
    }

    /// Answers in another codec than the request's.
    pub fn use_codec(&mut self, codec: u8) {
        self.head.codec = codec;
    }

    /// Answers with `status` and what `write` puts into the frame.
    ///
    /// # Errors
    /// When a part is too long for a frame; nothing is sent then, and another answer can be given.
    pub fn send<R>(
        &mut self,
        status: Status,
        class: &[u8],
        write: impl FnOnce(&mut FrameWriter<'_>) -> R,
    ) -> Result<(), FrameTooLarge> {
        if self.answered {
            return Ok(());
        }
        self.connection.write(|outbox| {
            let mut writer = FrameWriter::begin(outbox.buffer(), self.head.response(status), class);
            write(&mut writer);
            writer.finish()
        })?;
        self.answered = true;
        Ok(())
    }

    /// Answers with a bare status.
    pub fn send_status(&mut self, status: Status) {
        // A frame without parts always fits.
        let _ = self.send(status, b"", |_| ());
    }

    /// Answers that there is no capacity for this request; it has not begun.
    pub fn send_busy(&mut self) {
        Stats::add(&self.connection.stats().requests_busy, 1);
        self.send_status(Status::ServerThreadPoolBusy);
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.send_status(Status::Error);
        if self.counted {
            self.connection.request_ends();
        }
    }
}

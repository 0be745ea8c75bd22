use thiserror::Error;

use crate::{Head, Kind, Version};

/// A part of a frame is longer than its length field can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the frame's {part} has {bytes} bytes, at most {max} can be sent")]
pub struct FrameTooLarge {
    /// Which of class name, header and content.
    pub part: &'static str,
    /// Its length.
    pub bytes: usize,
    /// What the wire can express.
    pub max: usize,
}

/// Appends one frame to a buffer: [`begin`](Self::begin), then [`header`](Self::header) and
/// [`content`](Self::content) in this order, both optional, then [`finish`](Self::finish).
///
/// Lengths and checksum are filled in at the end, so that the parts are serialized in place.
#[derive(Debug)]
#[must_use = "a frame without `finish` has wrong lengths"]
pub struct FrameWriter<'a> {
    out: &'a mut Vec<u8>,
    head: Head,
    start: usize,
    class_at: usize,
    header_at: usize,
    content_at: usize,
}

impl<'a> FrameWriter<'a> {
    /// Starts a frame at the end of `out` with its fixed header and the class name of its content.
    pub fn begin(out: &'a mut Vec<u8>, head: Head, class: &[u8]) -> Self {
        let start = out.len();
        let mut fixed = [0u8; 24];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            fixed[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        match head.version {
            Version::V1 => put(&[1]),
            Version::V2 => put(&[2, 1]),
            Version::V2Crc => put(&[2, 2]),
        }
        put(&[match head.kind {
            Kind::Response { .. } => 0,
            Kind::Request { .. } => 1,
            Kind::Oneway { .. } => 2,
        }]);
        put(&head.command.code().to_be_bytes());
        put(&[1]);
        put(&head.id.to_be_bytes());
        put(&[head.codec]);
        if head.version != Version::V1 {
            put(&[head.switch]);
        }
        match head.kind {
            Kind::Response { status } => put(&status.to_be_bytes()),
            Kind::Request { timeout_ms } | Kind::Oneway { timeout_ms } => {
                put(&timeout_ms.to_be_bytes());
            }
        }
        put(&[0; 8]);
        out.extend_from_slice(&fixed[..at]);
        let class_at = out.len();
        out.extend_from_slice(class);
        let header_at = out.len();
        Self {
            out,
            head,
            start,
            class_at,
            header_at,
            content_at: header_at,
        }
    }

    /// The buffer, positioned at the header block; entries are written by [`write_entry`](crate::write_entry).
    pub fn header(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(self.out);
        self.content_at = self.out.len();
    }

    /// The buffer, positioned at the content. Only append to it.
    pub fn content(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Takes the frame back: the buffer is as it was before [`begin`](Self::begin).
    pub fn abandon(self) {
        self.out.truncate(self.start);
    }

    /// Fills in lengths and checksum.
    ///
    /// # Errors
    /// When a part is too long for its length field; the buffer is then as it was before [`begin`](Self::begin).
    pub fn finish(self) -> Result<(), FrameTooLarge> {
        let end = self.out.len();
        let class = self.header_at - self.class_at;
        let header = self.content_at - self.header_at;
        let content = end - self.content_at;
        for (part, bytes, max) in [
            ("class name", class, i16::MAX as usize),
            ("header", header, i16::MAX as usize),
            ("content", content, i32::MAX as usize),
        ] {
            if bytes > max {
                self.out.truncate(self.start);
                return Err(FrameTooLarge { part, bytes, max });
            }
        }
        let lengths = &mut self.out[self.class_at - 8..self.class_at];
        lengths[..2].copy_from_slice(&(class as u16).to_be_bytes());
        lengths[2..4].copy_from_slice(&(header as u16).to_be_bytes());
        lengths[4..].copy_from_slice(&(content as u32).to_be_bytes());
        if self.head.has_crc() {
            let crc = crc32fast::hash(&self.out[self.start..]);
            self.out.extend_from_slice(&crc.to_be_bytes());
        }
        Ok(())
    }
}

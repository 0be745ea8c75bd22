//! Reading batches out of one segment file, in order or in search of what lies behind damage.

use std::io;
use std::sync::Arc;

use crate::directory::File;
use crate::format::{
    BATCH_HEADER_BYTES, BATCHES_BEGIN, BLOCK, BatchHeader, Record, Seed, digest, record_checksum,
};
use crate::index::Segment;

const WINDOW_BYTES: u64 = 1 << 20;

/// A view into a file, at most as large as the largest batch.
pub(crate) struct Scan<F> {
    file: Arc<F>,
    seed: Seed,
    bytes: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl<F: File> Scan<F> {
    pub(crate) fn new(segment: &Segment<F>) -> Scan<F> {
        Scan {
            file: segment.file.clone(),
            seed: segment.seed,
            bytes: segment.bytes.into(),
            window: Vec::new(),
            window_at: 0,
        }
    }

    /// Bytes within the segment.
    fn get(&mut self, offset: u64, bytes: u64) -> io::Result<&[u8]> {
        let end = self.window_at + self.window.len() as u64;
        if offset < self.window_at || offset + bytes > end {
            let ahead = bytes.max(WINDOW_BYTES).min(self.bytes - offset);
            self.window.resize(ahead as usize, 0);
            self.window_at = offset;
            if let Err(error) = self.file.read_at(&mut self.window, offset) {
                self.window.clear();
                return Err(error);
            }
        }
        let from = (offset - self.window_at) as usize;
        Ok(&self.window[from..from + bytes as usize])
    }

    /// The header at a block, if a batch of this segment begins there and does not end outside.
    pub(crate) fn header(&mut self, offset: u64) -> io::Result<Option<BatchHeader>> {
        if offset < u64::from(BATCHES_BEGIN) || offset + u64::from(BLOCK) > self.bytes {
            return Ok(None);
        }
        let seed = self.seed;
        let bytes = self.get(offset, BATCH_HEADER_BYTES as u64)?;
        let header = BatchHeader::decode(bytes, seed, offset as u32);
        Ok(header.filter(|header| offset + header.extent_bytes() <= self.bytes))
    }

    /// The records of a batch, back to back, if every byte of it is as it was written.
    pub(crate) fn body(&mut self, offset: u64, header: &BatchHeader) -> io::Result<Option<&[u8]>> {
        let seed = self.seed;
        let extent = self.get(offset, header.extent_bytes())?;
        let end = BATCH_HEADER_BYTES + header.body_bytes as usize;
        let body = &extent[BATCH_HEADER_BYTES..end];
        let (mut at, mut sum, mut count) = (0, 0, 0_u32);
        while let Some((_, bytes)) = Record::decode(&body[at..]) {
            let stands_at = offset as u32 + (BATCH_HEADER_BYTES + at) as u32;
            let Some(checksum) = record_checksum(&body[at..at + bytes], seed, stands_at) else {
                return Ok(None);
            };
            sum = digest(sum, checksum);
            at += bytes;
            count += 1;
        }
        let whole = at == body.len() && count == header.records && sum == header.digest;
        let zeros = extent[end..].iter().all(|&byte| byte == 0);
        Ok((whole && zeros).then_some(body))
    }

    /// The next block from `offset` on where a batch of this segment begins, whole or not.
    pub(crate) fn next_header(&mut self, offset: u64) -> io::Result<Option<(u64, BatchHeader)>> {
        let mut offset = offset.max(BATCHES_BEGIN.into());
        while offset + u64::from(BLOCK) <= self.bytes {
            if let Some(header) = self.header(offset)? {
                return Ok(Some((offset, header)));
            }
            offset += u64::from(BLOCK);
        }
        Ok(None)
    }
}

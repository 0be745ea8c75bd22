use crate::{DecodeError, Record};

/// Appends a packet of what `write` writes.
pub fn write_packet(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    out.extend([0; 4]);
    write(out);
    let length = i32::try_from(out.len() - begin - 4).unwrap_or(i32::MAX);
    out[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
}

/// The first packet of what was received, and how many bytes it takes with its length; `None` if it is not complete yet.
///
/// # Errors
/// It would be longer than `bytes_max`, or has a negative length: the connection is of no more use.
pub fn next_packet(
    received: &[u8],
    bytes_max: usize,
) -> Result<Option<(&[u8], usize)>, DecodeError> {
    let Some(length) = received.get(..4) else {
        return Ok(None);
    };
    let length = i32::decode(length)?;
    let size = match usize::try_from(length) {
        Ok(size) if size <= bytes_max => size,
        _ => {
            return Err(DecodeError::Length {
                offset: 0,
                length,
                limit: bytes_max,
            });
        }
    };
    Ok(received.get(4..4 + size).map(|packet| (packet, 4 + size)))
}

use std::io;
use std::sync::Arc;

use diwan_bolt::{Decoded, Frame, Kind, decode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::OwnedFrame;
use crate::stream::Stream;

/// What a client says on each new connection before anything else: requests, each of which follows on the answer to the one
/// before. Calls wait until it is over; if it fails, the connection is given up as one that was never made.
pub trait Opening {
    /// The next request, a whole frame with this id; None when everything is said. The first time there is no answer yet.
    /// # Errors
    /// Why the connection is not to be used, in words.
    fn next(&mut self, id: u32, answer: Option<&Frame<'_>>) -> Result<Option<Vec<u8>>, String>;
}

/// Makes the opening of each connection.
pub type OpeningFactory = Arc<dyn Fn() -> Box<dyn Opening> + Send + Sync>;

/// Longer answers are not read.
const ANSWER_BYTES_MAX: usize = 4096;

/// Says everything on a new connection.
pub(super) async fn run(stream: &mut Stream, opening: &mut dyn Opening) -> io::Result<()> {
    let mut answer: Option<OwnedFrame> = None;
    for id in 1.. {
        let frame = answer.as_ref().map(OwnedFrame::frame);
        let next = opening.next(id, frame.as_ref());
        let Some(request) = next.map_err(io::Error::other)? else {
            break;
        };
        stream.write_all(&request).await?;
        stream.flush().await?;
        answer = Some(read(stream, id).await?);
    }
    Ok(())
}

async fn read(stream: &mut Stream, id: u32) -> io::Result<OwnedFrame> {
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut bytes = Vec::new();
    loop {
        match decode(&bytes, ANSWER_BYTES_MAX) {
            Ok(Decoded::Frame { frame, bytes: end }) => {
                let is_answer = frame.head.id == id
                    && matches!(frame.head.kind, Kind::Response { .. })
                    && end == bytes.len();
                return match is_answer {
                    true => Ok(OwnedFrame::copy(&frame)),
                    false => Err(wrong(
                        "something else than the answer to the opening".into(),
                    )),
                };
            }
            Ok(Decoded::Incomplete { .. }) => {}
            Ok(Decoded::TooLarge(frame)) => {
                return Err(wrong(format!(
                    "an answer to the opening of {} bytes",
                    frame.bytes
                )));
            }
            Err(error) => return Err(wrong(error.to_string())),
        }
        let mut piece = [0; 512];
        match stream.read(&mut piece).await? {
            0 => return Err(wrong("closed by the peer during the opening".into())),
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
}

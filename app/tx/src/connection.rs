//! A connection's bytes: frames in, frames out.

use std::io;

use diwan_seata::Message;
use diwan_seata::body::{self, Speech};
use diwan_seata::frame::{self, Decoded, FRAME_BYTES_MAX, Form, Frame, Kind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;

/// Room for what is read at once.
const READ_BYTES: usize = 16 << 10;
/// More that is ready leaves in a later write.
const WRITE_BYTES: usize = 256 << 10;

/// A frame as it is sent or was received; without a message if it is a ping or its answer.
pub(crate) type Framed = (Kind, i32, Option<Message>);

/// Makes a connection, then sends what comes out of `frames` and hands over what was received, until it ends. Says why.
pub(crate) async fn run(
    addr: String,
    connected: impl FnOnce(),
    mut frames: mpsc::UnboundedReceiver<Framed>,
    received: impl FnMut(Framed),
) -> String {
    let mut stream = match connect(&addr).await {
        Ok(stream) => stream,
        Err(error) => return error.to_string(),
    };
    connected();
    let (read, write) = stream.split();
    tokio::select! {
        why = receive(read, received) => why,
        error = send(write, &mut frames) => error.map_or_else(|error| error.to_string(), |()| "closed".to_owned()),
    }
}

async fn connect(addr: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn send(
    mut stream: WriteHalf<'_>,
    frames: &mut mpsc::UnboundedReceiver<Framed>,
) -> io::Result<()> {
    let mut out = Vec::new();
    while let Some(first) = frames.recv().await {
        write(&mut out, &first);
        while out.len() < WRITE_BYTES
            && let Ok(next) = frames.try_recv()
        {
            write(&mut out, &next);
        }
        stream.write_all(&out).await?;
        out.clear();
        out.shrink_to(READ_BYTES);
    }
    Ok(())
}

fn write(out: &mut Vec<u8>, (kind, id, message): &Framed) {
    match message {
        Some(message) => body::write(out, *kind, Speech::USUAL, *id, message),
        None => frame::write(out, *kind, Form::USUAL, *id, |_| {}),
    }
}

async fn receive(mut stream: ReadHalf<'_>, mut received: impl FnMut(Framed)) -> String {
    let mut input = Vec::new();
    loop {
        input.reserve(READ_BYTES);
        match stream.read_buf(&mut input).await {
            Ok(0) => return "the coordinator has ended it".to_owned(),
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
        let mut at = 0;
        loop {
            match frame::decode(&input[at..], FRAME_BYTES_MAX) {
                Ok(Decoded::Frame { frame, bytes }) => {
                    match read(&frame) {
                        Ok(framed) => received(framed),
                        Err(why) => return why,
                    }
                    at += bytes;
                }
                Ok(Decoded::Incomplete { .. }) => break,
                Err(error) => return error.to_string(),
            }
        }
        input.drain(..at);
        if input.is_empty() {
            // An idle connection holds no buffer.
            input = Vec::new();
        }
    }
}

/// A message that cannot be read may be the answer to anything, so that the connection is of no use any more.
fn read(frame: &Frame<'_>) -> Result<Framed, String> {
    let message = match frame.kind {
        Kind::Ping | Kind::Pong => None,
        Kind::Request | Kind::Response | Kind::Oneway => {
            let read = body::decode(frame.form, frame.body);
            Some(read.map_err(|error| error.to_string())?.0)
        }
    };
    Ok((frame.kind, frame.id, message))
}

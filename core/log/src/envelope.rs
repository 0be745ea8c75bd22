//! What stands around a command in a log that is not plain: when it was proposed, and of which session it is.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::clock::LogTime;
use crate::session::{Once, SessionId};

/// The first byte of every envelope.
const VERSION: u8 = 1;
const COMMAND: u8 = 0;
const ONCE: u8 = 1;
const OPEN: u8 = 2;
const CLOSE: u8 = 3;

/// A command as it stands in the log: `u8 version, u8 kind, u64 time`, for [`Kind::Once`] `u64 session, u64 sequence,
/// u64 settled`, for [`Kind::Close`] `u64 session`, then the command's bytes. Numbers are big-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The leader's stamp.
    pub time: LogTime,
    /// What it is.
    pub kind: Kind,
    /// The command; empty if it is none.
    pub data: Bytes,
}

/// What an entry of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A command.
    Command,
    /// A command of a session.
    Once(Once),
    /// The beginning of a session, whose id is the entry's index.
    Open,
    /// The end of a session.
    Close(SessionId),
}

/// Why an entry cannot be read: another version of Diwan wrote it, or none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The version is another one.
    #[error("version {0} of the log's format, this program knows {VERSION}")]
    Version(u8),
    /// The kind is unknown.
    #[error("kind {0} is unknown")]
    Kind(u8),
    /// It ends too early.
    #[error("only {0} bytes")]
    Short(usize),
}

impl Envelope {
    /// The bytes for the log.
    pub fn write(time: LogTime, kind: Kind, data: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(34 + data.len());
        out.put_u8(VERSION);
        out.put_u8(match kind {
            Kind::Command => COMMAND,
            Kind::Once(_) => ONCE,
            Kind::Open => OPEN,
            Kind::Close(_) => CLOSE,
        });
        out.put_u64(time.0);
        match kind {
            Kind::Once(once) => {
                out.put_u64(once.session.0);
                out.put_u64(once.sequence);
                out.put_u64(once.settled);
            }
            Kind::Close(session) => out.put_u64(session.0),
            Kind::Command | Kind::Open => {}
        }
        out.put_slice(data);
        out.freeze()
    }

    /// Reads an entry of the log.
    /// # Errors
    /// Another version wrote it, or none.
    pub fn read(entry: &Bytes) -> Result<Self, EnvelopeError> {
        let short = || EnvelopeError::Short(entry.len());
        let mut rest = entry.clone();
        let version = rest.try_get_u8().map_err(|_| short())?;
        if version != VERSION {
            return Err(EnvelopeError::Version(version));
        }
        let kind = rest.try_get_u8().map_err(|_| short())?;
        let mut number = || rest.try_get_u64().map_err(|_| short());
        let time = LogTime(number()?);
        let kind = match kind {
            COMMAND => Kind::Command,
            ONCE => Kind::Once(Once {
                session: SessionId(number()?),
                sequence: number()?,
                settled: number()?,
            }),
            OPEN => Kind::Open,
            CLOSE => Kind::Close(SessionId(number()?)),
            other => return Err(EnvelopeError::Kind(other)),
        };
        Ok(Self {
            time,
            kind,
            data: rest,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds() -> impl Strategy<Value = Kind> {
        prop_oneof![
            Just(Kind::Command),
            Just(Kind::Open),
            any::<u64>().prop_map(|session| Kind::Close(SessionId(session))),
            any::<(u64, u64, u64)>().prop_map(|(session, sequence, settled)| Kind::Once(Once {
                session: SessionId(session),
                sequence,
                settled
            })),
        ]
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(time: u64, kind in kinds(), data: Vec<u8>) {
            let entry = Envelope::write(LogTime(time), kind, &data);
            let envelope = Envelope { time: LogTime(time), kind, data: data.into() };
            prop_assert_eq!(Envelope::read(&entry), Ok(envelope));
        }

        /// Whatever can be read is what is written again.
        #[test]
        fn any_bytes_are_read_or_refused(head in 0..3u8, kind in 0..6u8, rest: Vec<u8>) {
            let entry: Bytes = [&[head, kind][..], &rest].concat().into();
            match Envelope::read(&entry) {
                Ok(read) => prop_assert_eq!(Envelope::write(read.time, read.kind, &read.data), entry),
                Err(EnvelopeError::Version(version)) => prop_assert_ne!(version, VERSION),
                Err(EnvelopeError::Kind(kind)) => prop_assert!(kind > CLOSE),
                Err(EnvelopeError::Short(bytes)) => prop_assert!(bytes < 34),
            }
        }
    }

    #[test]
    fn what_is_cut_is_refused() {
        let once = Once {
            session: SessionId(1),
            sequence: 2,
            settled: 2,
        };
        let entry = Envelope::write(LogTime(3), Kind::Once(once), b"");
        for length in 0..entry.len() {
            let error = Envelope::read(&entry.slice(..length)).unwrap_err();
            assert_eq!(error, EnvelopeError::Short(length));
        }
    }
}

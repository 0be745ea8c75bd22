//! The state as it is written and read: a head, and every transaction.

use std::io::{self, Read, Write};

use diwan_log::SnapshotWriter;
use prost::Message;

use super::coordinator::{Config, Coordinator};
use super::record::GlobalRecord;

const SNAPSHOT_VERSION: u32 = 1;
/// A transaction with all its branches takes no more.
const GLOBAL_BYTES_MAX: usize = 1 << 30;

/// What stands at the beginning of a snapshot.
#[derive(Clone, PartialEq, Message)]
struct Head {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(sint64, tag = "2")]
    last_id: i64,
    #[prost(uint64, tag = "3")]
    now_us: u64,
    #[prost(uint64, tag = "4")]
    globals: u64,
}

impl Coordinator {
    /// Freezes the state; what is returned writes it.
    pub fn snapshot(&self) -> SnapshotWriter {
        let head = Head {
            version: SNAPSHOT_VERSION,
            last_id: self.last_id,
            now_us: self.now_us,
            globals: self.globals.len() as u64,
        };
        let globals = self.globals.clone();
        Box::new(move |out: &mut dyn Write| {
            write_framed(out, &head)?;
            for (_, global) in globals.iter() {
                write_framed(out, &GlobalRecord::from(&**global))?;
            }
            Ok(())
        })
    }

    /// What a snapshot holds.
    ///
    /// # Errors
    /// It is none of this version, or it is damaged.
    pub fn restored(config: Config, seed: u64, snapshot: &mut dyn Read) -> io::Result<Self> {
        let head: Head = read_framed(snapshot)?;
        if head.version != SNAPSHOT_VERSION {
            let why = format!("a snapshot of version {} of the coordinator", head.version);
            return Err(invalid(&why));
        }
        let mut state = Self::new(config, seed);
        state.last_id = head.last_id;
        state.now_us = head.now_us;
        for _ in 0..head.globals {
            let record: GlobalRecord = read_framed(snapshot)?;
            let global = record
                .read(&mut state.pools)
                .ok_or_else(|| invalid("a transaction whose xid does not end with its number"))?;
            state.put_back(global);
        }
        Ok(state)
    }
}

fn write_framed(out: &mut dyn Write, message: &impl Message) -> io::Result<()> {
    let bytes = message.encode_length_delimited_to_vec();
    out.write_all(&bytes)
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

fn read_framed<M: Message + Default>(input: &mut dyn Read) -> io::Result<M> {
    let mut prefix = Vec::new();
    loop {
        let mut byte = [0];
        input.read_exact(&mut byte)?;
        prefix.push(byte[0]);
        if byte[0] < 0x80 {
            break;
        }
        if prefix.len() == 10 {
            return Err(invalid("a length of more than ten bytes"));
        }
    }
    let length = prost::decode_length_delimiter(&prefix[..]);
    let length = length.map_err(|error| invalid(&error.to_string()))?;
    if length > GLOBAL_BYTES_MAX {
        return Err(invalid("a transaction of more than a gibibyte"));
    }
    let mut bytes = Vec::new();
    input.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    M::decode(&bytes[..]).map_err(|error| invalid(&error.to_string()))
}

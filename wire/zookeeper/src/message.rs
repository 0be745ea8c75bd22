use crate::jute::{Buffer, Reader, Record};
use crate::{DecodeError, ErrorCode};

macro_rules! records {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Record for $name {
            fn write(&self, out: &mut Vec<u8>) {
                $(self.$field.write(out);)*
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self { $($field: Record::read(reader)?,)* })
            }
        }
    )*};
}

records! {
    /// The first packet of a client: a session is to begin, or to go on.
    ConnectRequest {
        /// 0.
        protocol_version: i32,
        /// The newest change that the client has seen. A server that knows less closes the connection.
        last_zxid_seen: i64,
        /// How long the session is to live without a connection, in milliseconds; the server has bounds for it.
        timeout_ms: i32,
        /// 0 for a new session.
        session_id: i64,
        /// As the server gave it; 16 zeros for a new session.
        password: Buffer,
        /// Whether a server will do that can only be read from.
        read_only: bool,
    }

    /// What a node is made of.
    CreateRequest {
        /// Its path.
        path: String,
        /// What is in it.
        data: Buffer,
        /// Who may do what with it.
        acl: Vec<Acl>,
        /// 0, or [`EPHEMERAL`](Self::EPHEMERAL).
        flags: i32,
    }

    /// Who may do what.
    Acl {
        /// Bits: read 1, write 2, create 4, delete 8, admin 16.
        permissions: i32,
        /// `world`, `digest`, `ip`.
        scheme: String,
        /// Who, in words of the scheme.
        id: String,
    }

    /// A node is to go.
    DeleteRequest {
        /// Its path.
        path: String,
        /// Of its data; -1 for any.
        version: i32,
    }

    /// A question about a node.
    PathRequest {
        /// Its path.
        path: String,
        /// The next change is to be told, once, on this connection.
        watch: bool,
    }

    /// What stands before every answer.
    ReplyHeader {
        /// Of the request; -1 for an event, -2 for a ping.
        xid: i32,
        /// The newest change that the server knew, unless it is not positive.
        zxid: i64,
        /// An [`ErrorCode`].
        error: i32,
    }

    /// What is known of a node beside its data.
    Stat {
        /// The change that made it.
        czxid: i64,
        /// The last change of its data.
        mzxid: i64,
        /// When it was made, in milliseconds since 1970.
        ctime_ms: i64,
        /// When its data changed.
        mtime_ms: i64,
        /// Changes of its data.
        version: i32,
        /// Changes of its children.
        children_version: i32,
        /// Changes of its access list.
        acl_version: i32,
        /// The session that it lives with; 0 if it stays.
        ephemeral_owner: i64,
        /// Bytes of its data.
        data_length: i32,
        /// How many children.
        children: i32,
        /// The last change of its children.
        pzxid: i64,
    }

    /// Something that was watched has changed. The watch is used up.
    WatcherEvent {
        /// 1 created, 2 deleted, 3 data, 4 children.
        kind: i32,
        /// 3: connected.
        state: i32,
        /// Of the node.
        path: String,
    }

}

impl CreateRequest {
    /// The node goes with its session.
    pub const EPHEMERAL: i32 = 1;
}

impl Acl {
    /// Everybody may do everything: what SOFARPC sets without credentials (`ZooDefs.Ids.OPEN_ACL_UNSAFE`).
    pub fn open() -> Self {
        Self {
            permissions: 31,
            scheme: "world".to_owned(),
            id: "anyone".to_owned(),
        }
    }
}

/// The first packet of a server. A timeout of zero or less means that the session has expired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectResponse {
    /// 0.
    pub protocol_version: i32,
    /// How long the session lives without a connection, in milliseconds.
    pub timeout_ms: i32,
    /// Of the session.
    pub session_id: i64,
    /// It proves that the session is one's own.
    pub password: Buffer,
    /// The server can only be read from. Servers before 3.4 do not say it.
    pub read_only: bool,
}

impl Record for ConnectResponse {
    fn write(&self, out: &mut Vec<u8>) {
        self.protocol_version.write(out);
        self.timeout_ms.write(out);
        self.session_id.write(out);
        self.password.write(out);
        self.read_only.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            protocol_version: Record::read(reader)?,
            timeout_ms: Record::read(reader)?,
            session_id: Record::read(reader)?,
            password: Record::read(reader)?,
            read_only: !reader.is_at_end() && bool::read(reader)?,
        })
    }
}

/// Kinds of requests: the answer does not say which one it belongs to (`ZooDefs.OpCode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// 1.
    Create,
    /// 2.
    Delete,
    /// 3.
    Exists,
    /// 11.
    Ping,
    /// 12.
    Children,
    /// -11.
    Close,
}

impl Op {
    const ALL: [(Self, i32); 6] = [
        (Self::Create, 1),
        (Self::Delete, 2),
        (Self::Exists, 3),
        (Self::Ping, 11),
        (Self::Children, 12),
        (Self::Close, -11),
    ];
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A node is to be made.
    Create(CreateRequest),
    /// A node is to go.
    Delete(DeleteRequest),
    /// Whether a node is there.
    Exists(PathRequest),
    /// The children of a node (`getChildren2`).
    Children(PathRequest),
    /// The session lives on. Its number is [`PING_XID`](Self::PING_XID).
    Ping,
    /// The session ends, and its nodes with it.
    Close,
}

impl Request {
    /// The number of a ping and of its answer.
    pub const PING_XID: i32 = -2;

    /// Its kind.
    pub fn op(&self) -> Op {
        match self {
            Self::Create(_) => Op::Create,
            Self::Delete(_) => Op::Delete,
            Self::Exists(_) => Op::Exists,
            Self::Children(_) => Op::Children,
            Self::Ping => Op::Ping,
            Self::Close => Op::Close,
        }
    }

    /// Appends it under a number.
    pub fn write(&self, xid: i32, out: &mut Vec<u8>) {
        xid.write(out);
        let op = self.op();
        let code = Op::ALL.iter().find(|(one, _)| *one == op);
        code.map_or(0, |(_, code)| *code).write(out);
        match self {
            Self::Create(request) => request.write(out),
            Self::Delete(request) => request.write(out),
            Self::Exists(request) | Self::Children(request) => request.write(out),
            Self::Ping | Self::Close => {}
        }
    }

    /// Number and request of a packet.
    ///
    /// # Errors
    /// The packet is no request of a kind that is known here.
    pub fn decode(packet: &[u8]) -> Result<(i32, Self), DecodeError> {
        let mut reader = Reader::new(packet);
        let (xid, code) = (i32::read(&mut reader)?, i32::read(&mut reader)?);
        let Some((op, _)) = Op::ALL.iter().find(|(_, one)| *one == code) else {
            return Err(DecodeError::Operation { code });
        };
        let request = match op {
            Op::Create => Self::Create(Record::read(&mut reader)?),
            Op::Delete => Self::Delete(Record::read(&mut reader)?),
            Op::Exists => Self::Exists(Record::read(&mut reader)?),
            Op::Children => Self::Children(Record::read(&mut reader)?),
            Op::Ping => Self::Ping,
            Op::Close => Self::Close,
        };
        reader.end()?;
        Ok((xid, request))
    }
}

/// What a server sends once the session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A watched node has changed.
    Event(WatcherEvent),
    /// An answer; with success [`Response::decode`] reads the rest of it.
    Reply(ReplyHeader),
}

impl Incoming {
    const EVENT_XID: i32 = -1;

    /// Reads a packet, of an answer only its header.
    ///
    /// # Errors
    /// The packet is none.
    pub fn decode(packet: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(packet);
        let header = ReplyHeader::read(&mut reader)?;
        if header.xid != Self::EVENT_XID {
            return Ok(Self::Reply(header));
        }
        let event = WatcherEvent::read(&mut reader)?;
        reader.end()?;
        Ok(Self::Event(event))
    }

    /// Appends an event as a server sends it.
    pub fn write_event(event: &WatcherEvent, out: &mut Vec<u8>) {
        let header = ReplyHeader {
            xid: Self::EVENT_XID,
            zxid: -1,
            error: 0,
        };
        header.write(out);
        event.write(out);
    }
}

impl ReplyHeader {
    /// What came of the request.
    pub fn code(&self) -> ErrorCode {
        ErrorCode(self.error)
    }
}

/// What a successful answer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Nothing: a node went, a session lives on or has ended.
    Done,
    /// The path of a node that was made.
    Created(String),
    /// A node is there.
    Stat(Stat),
    /// Names of children.
    Children(Vec<String>, Stat),
}

impl Response {
    /// Reads what stands behind the header of a packet that answers such a request.
    ///
    /// # Errors
    /// It is something else.
    pub fn decode(op: Op, packet: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(packet);
        ReplyHeader::read(&mut reader)?;
        let response = match op {
            Op::Create => Self::Created(Record::read(&mut reader)?),
            Op::Exists => Self::Stat(Record::read(&mut reader)?),
            Op::Children => Self::Children(Record::read(&mut reader)?, Record::read(&mut reader)?),
            Op::Delete | Op::Ping | Op::Close => Self::Done,
        };
        reader.end()?;
        Ok(response)
    }

    /// Appends it behind its header.
    pub fn write(&self, header: &ReplyHeader, out: &mut Vec<u8>) {
        header.write(out);
        match self {
            Self::Done => {}
            Self::Created(path) => path.write(out),
            Self::Stat(stat) => stat.write(out),
            Self::Children(names, stat) => {
                names.write(out);
                stat.write(out);
            }
        }
    }
}

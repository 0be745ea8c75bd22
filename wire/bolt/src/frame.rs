use crate::Status;

/// Protocol version of a frame: which fixed header it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// First byte 1: what SOFARPC speaks. No checksum.
    V1,
    /// First byte 2, second byte 1: a switch byte, but no checksum.
    V2,
    /// First byte 2, second byte 2: the switch's bit 0 adds a CRC32 trailer.
    V2Crc,
}

/// Direction of a frame with the field only that direction has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Wants an answer within `timeout_ms`; 0 or less means no limit.
    Request {
        /// What the client waits, in milliseconds.
        timeout_ms: i32,
    },
    /// Is never answered, not even with an error.
    Oneway {
        /// What the client waits, in milliseconds.
        timeout_ms: i32,
    },
    /// Answers the request of the same id.
    Response {
        /// A [`Status`] code, kept as it came.
        status: u16,
    },
}

/// Command code (`sofastack/sofa-bolt:com/alipay/remoting/rpc/protocol/RpcCommandCode.java`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Keeps a connection alive; a request and its answer have the same code.
    Heartbeat,
    /// An RPC request.
    Request,
    /// An RPC response.
    Response,
    /// Not defined by the original.
    Other(u16),
}

impl Command {
    pub(crate) fn from_code(code: u16) -> Self {
        match code {
            0 => Self::Heartbeat,
            1 => Self::Request,
            2 => Self::Response,
            other => Self::Other(other),
        }
    }

    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Heartbeat => 0,
            Self::Request => 1,
            Self::Response => 2,
            Self::Other(code) => code,
        }
    }
}

/// The fixed part of a frame without its lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Protocol version.
    pub version: Version,
    /// Request, oneway or response.
    pub kind: Kind,
    /// What is asked or answered.
    pub command: Command,
    /// Chosen by the requester, echoed in the response.
    pub id: u32,
    /// Serializer of the content: 1 is Hessian.
    pub codec: u8,
    /// The switch byte of version 2 (bit 0 asks for CRC); 0 in version 1.
    pub switch: u8,
}

impl Head {
    /// A request of version 1.
    pub fn request(id: u32, codec: u8, timeout_ms: i32) -> Self {
        Self {
            version: Version::V1,
            kind: Kind::Request { timeout_ms },
            command: Command::Request,
            id,
            codec,
            switch: 0,
        }
    }

    /// A request of version 1 that is never answered.
    pub fn oneway(id: u32, codec: u8) -> Self {
        Self {
            kind: Kind::Oneway { timeout_ms: 0 },
            ..Self::request(id, codec, 0)
        }
    }

    /// A heartbeat of version 1.
    pub fn heartbeat(id: u32, codec: u8) -> Self {
        Self {
            command: Command::Heartbeat,
            ..Self::request(id, codec, 0)
        }
    }

    /// The head that answers this one: same version, id, codec and switch, as the original copies them
    /// (`sofastack/sofa-bolt:com/alipay/remoting/rpc/RpcCommandFactory.java`).
    pub fn response(&self, status: Status) -> Self {
        Self {
            kind: Kind::Response {
                status: status.code(),
            },
            command: match self.command {
                Command::Heartbeat => Command::Heartbeat,
                _ => Command::Response,
            },
            ..*self
        }
    }

    /// Whether the frame ends with a checksum.
    pub fn has_crc(&self) -> bool {
        self.version == Version::V2Crc && self.switch & SWITCH_CRC != 0
    }

    /// Whether the sender waits for an answer.
    pub fn wants_response(&self) -> bool {
        matches!(self.kind, Kind::Request { .. })
    }
}

/// Bit of the switch byte that asks for a checksum.
pub(crate) const SWITCH_CRC: u8 = 1;

/// One frame, borrowed from the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The fixed part.
    pub head: Head,
    /// Class name of the content, not necessarily UTF-8.
    pub class: &'a [u8],
    /// Header block; SOFARPC's is a [`HeaderMap`](crate::HeaderMap).
    pub header: &'a [u8],
    /// Serialized content.
    pub content: &'a [u8],
}

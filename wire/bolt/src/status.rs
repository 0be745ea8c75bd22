/// What a response says of its request (`sofastack/sofa-bolt:com/alipay/remoting/ResponseStatus.java`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Status {
    /// The content is the answer.
    Success = 0x00,
    /// An error without further detail.
    Error = 0x01,
    /// The content is an `RpcServerException`.
    ServerException = 0x02,
    /// Unknown to the sender itself.
    Unknown = 0x03,
    /// The server has no capacity left for this request.
    ServerThreadPoolBusy = 0x04,
    /// Communication failed.
    ErrorComm = 0x05,
    /// No processor for the command code.
    NoProcessor = 0x06,
    /// No answer in time. Made by the client, never sent by the original server.
    Timeout = 0x07,
    /// The client could not write the request.
    ClientSendError = 0x08,
    /// Encoding or decoding failed.
    CodecException = 0x09,
    /// The connection was closed before the answer came.
    ConnectionClosed = 0x10,
    /// The server could not serialize its answer.
    ServerSerialException = 0x11,
    /// The server could not deserialize the request.
    ServerDeserialException = 0x12,
}

impl Status {
    /// The status of a code on the wire; `None` for a code the original does not define.
    pub fn from_code(code: u16) -> Option<Self> {
        Some(match code {
            0x00 => Self::Success,
            0x01 => Self::Error,
            0x02 => Self::ServerException,
            0x03 => Self::Unknown,
            0x04 => Self::ServerThreadPoolBusy,
            0x05 => Self::ErrorComm,
            0x06 => Self::NoProcessor,
            0x07 => Self::Timeout,
            0x08 => Self::ClientSendError,
            0x09 => Self::CodecException,
            0x10 => Self::ConnectionClosed,
            0x11 => Self::ServerSerialException,
            0x12 => Self::ServerDeserialException,
            _ => return None,
        })
    }

    /// The code on the wire.
    pub fn code(self) -> u16 {
        self as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_maps_back_to_itself() {
        let known: Vec<u16> = (0..=u16::MAX)
            .filter(|&code| Status::from_code(code).is_some_and(|status| status.code() == code))
            .collect();
        assert_eq!(known, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x10, 0x11, 0x12]);
    }
}

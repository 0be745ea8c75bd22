//! Many groups' messages in one frame, between nodes of ours. Each item is one of JRaft's messages behind a small head:
//!
//! ```text
//! class u8 | token u64 | group u64 | bytes u32 | the message      little-endian
//! ```
//! An answer names the group and the token of its request and goes back on the connection on which that came.

use bytes::Bytes;
use diwan_jraft::Message;
use diwan_raft::Token;
use diwan_wal::GroupId;

/// The class of a frame that holds a batch.
pub const CLASS: &str = "diwan.raft.Batch";

const HEAD_BYTES: usize = 1 + 8 + 8 + 4;

/// The messages between members, by their number in an item. Requests come first.
const CLASSES: [&str; 10] = [
    "com.alipay.sofa.jraft.rpc.RpcRequests$RequestVoteRequest",
    "com.alipay.sofa.jraft.rpc.RpcRequests$AppendEntriesRequest",
    "com.alipay.sofa.jraft.rpc.RpcRequests$InstallSnapshotRequest",
    "com.alipay.sofa.jraft.rpc.RpcRequests$TimeoutNowRequest",
    "com.alipay.sofa.jraft.rpc.RpcRequests$ReadIndexRequest",
    "com.alipay.sofa.jraft.rpc.RpcRequests$RequestVoteResponse",
    "com.alipay.sofa.jraft.rpc.RpcRequests$AppendEntriesResponse",
    "com.alipay.sofa.jraft.rpc.RpcRequests$InstallSnapshotResponse",
    "com.alipay.sofa.jraft.rpc.RpcRequests$TimeoutNowResponse",
    "com.alipay.sofa.jraft.rpc.RpcRequests$ReadIndexResponse",
];
const REQUESTS: usize = 5;

/// One message of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Whether it is a request.
    pub is_request: bool,
    /// The request's own, or that of the request that it answers.
    pub token: Token,
    /// The group.
    pub group: GroupId,
    /// What it says.
    pub message: Message,
}

/// Why a batch cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// It ends within an item.
    #[error("byte {offset}: the batch ends within an item")]
    Truncated {
        /// Where the item begins.
        offset: usize,
    },
    /// A number that no message has.
    #[error("byte {offset}: {class} is no message between members")]
    Class {
        /// Where the item begins.
        offset: usize,
        /// The number.
        class: u8,
    },
    /// The message is damaged.
    #[error("byte {offset}: {error}")]
    Message {
        /// Where the item begins.
        offset: usize,
        /// What is wrong with it.
        error: diwan_jraft::DecodeError,
    },
}

/// Appends an item. False, and nothing is appended, if `message` is none between members or too long.
pub fn push(batch: &mut Vec<u8>, token: Token, group: GroupId, message: &Message) -> bool {
    let class = message.class();
    let Some(number) = CLASSES.iter().position(|known| *known == class) else {
        return false;
    };
    let begin = batch.len();
    batch.push(number as u8);
    batch.extend_from_slice(&token.0.to_le_bytes());
    batch.extend_from_slice(&group.0.to_le_bytes());
    batch.extend_from_slice(&[0; 4]);
    message.encode(batch);
    let Ok(bytes) = u32::try_from(batch.len() - begin - HEAD_BYTES) else {
        batch.truncate(begin);
        return false;
    };
    batch[begin + HEAD_BYTES - 4..begin + HEAD_BYTES].copy_from_slice(&bytes.to_le_bytes());
    true
}

/// Reads item after item; after an error nothing more comes. Each has memory of its own: entries of one group that stay in
/// memory must not keep what a whole batch said to the others.
pub fn read(batch: &[u8]) -> impl Iterator<Item = Result<Item, BatchError>> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        if offset >= batch.len() {
            return None;
        }
        let item = item_at(batch, &mut offset);
        if item.is_err() {
            offset = batch.len();
        }
        Some(item)
    })
}

fn item_at(batch: &[u8], offset: &mut usize) -> Result<Item, BatchError> {
    let begin = *offset;
    let truncated = BatchError::Truncated { offset: begin };
    let Some((head, rest)) = batch[begin..].split_first_chunk::<HEAD_BYTES>() else {
        return Err(truncated);
    };
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&head[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    // The four bytes before the end of the head.
    let bytes = (number(HEAD_BYTES - 8) >> 32) as usize;
    if rest.len() < bytes {
        return Err(truncated);
    }
    let nth = usize::from(head[0]);
    let Some(class) = CLASSES.get(nth) else {
        return Err(BatchError::Class {
            offset: begin,
            class: head[0],
        });
    };
    let content = Bytes::copy_from_slice(&rest[..bytes]);
    let message =
        Message::decode(class.as_bytes(), content).map_err(|error| BatchError::Message {
            offset: begin,
            error,
        })?;
    *offset = begin + HEAD_BYTES + bytes;
    Ok(Item {
        is_request: nth < REQUESTS,
        token: Token(number(1)),
        group: GroupId(number(9)),
        message,
    })
}

#[cfg(test)]
mod tests {
    use diwan_jraft::{ReadIndexRequest, TimeoutNowResponse};
    use proptest::prelude::*;

    use super::*;

    fn items() -> Vec<(Token, GroupId, Message)> {
        let read = ReadIndexRequest {
            group_id: "g".into(),
            server_id: "a:1".into(),
            entries: vec![Bytes::from_static(b"r")],
            peer_id: None,
            read_only_options: None,
        };
        let answer = TimeoutNowResponse {
            term: 7,
            success: true,
            error_response: None,
        };
        vec![
            (Token(1), GroupId(u64::MAX), Message::ReadIndexRequest(read)),
            (
                Token(u64::MAX),
                GroupId(2),
                Message::TimeoutNowResponse(answer),
            ),
        ]
    }

    fn batch() -> Vec<u8> {
        let mut batch = Vec::new();
        for (token, group, message) in items() {
            assert!(push(&mut batch, token, group, &message));
        }
        batch
    }

    #[test]
    fn a_batch_is_read_as_written() {
        let read: Result<Vec<Item>, _> = read(&batch()).collect();
        let read = read.unwrap();
        assert_eq!(read.len(), 2);
        for (item, (token, group, message)) in read.iter().zip(items()) {
            assert_eq!((item.token, item.group), (token, group));
            assert_eq!(item.message, message);
        }
        assert!(read[0].is_request && !read[1].is_request);
    }

    #[test]
    fn what_is_no_message_between_members_is_not_taken() {
        let mut batch = Vec::new();
        let ping = Message::PingRequest(diwan_jraft::PingRequest { send_timestamp: 1 });
        assert!(!push(&mut batch, Token(1), GroupId(1), &ping));
        assert!(batch.is_empty());
        let error = read(&[99; 40]).last();
        assert!(matches!(
            error,
            Some(Err(BatchError::Truncated { offset: 0 }))
        ));
    }

    proptest! {
        #[test]
        fn damaged_batches_end_with_an_error_or_say_the_same(cut in 0usize..200, at in 0usize..200, bits: u8) {
            let mut bytes = batch();
            bytes.truncate(cut.max(1));
            let at = at % bytes.len();
            bytes[at] ^= bits;
            for item in read(&bytes).flatten() {
                let mut again = Vec::new();
                prop_assert!(push(&mut again, item.token, item.group, &item.message));
                let back = read(&again).next();
                prop_assert_eq!(back, Some(Ok(item)));
            }
        }
    }
}

//! Every message in every serializer and compressor.
#![allow(clippy::unwrap_used, reason = "a test")]

use diwan_seata::body::{self, BodyError, Codec, Names, Speech};
use diwan_seata::frame::Form;
use diwan_seata::{
    BranchEnd, BranchEnded, BranchRegister, BranchReport, BranchStatus, BranchType,
    CompressionError, Compressor, ExceptionCode, GlobalStatus, Identified, Identify, Message,
    Outcome, Xid,
};
use proptest::prelude::*;
use proptest::sample::select;

const CODECS: [Codec; 5] = [
    Codec::Seata,
    Codec::Protobuf(Names::Apache),
    Codec::Protobuf(Names::Io),
    Codec::Hessian(Names::Apache),
    Codec::Hessian(Names::Io),
];

fn speeches() -> impl Iterator<Item = Speech> {
    let with = |codec| Compressor::ALL.map(|compressor| Speech { codec, compressor });
    CODECS.into_iter().flat_map(with)
}

/// Also texts that need more than a byte a character, and long ones.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z:.,;^ü€😀]{0,20}", 1 => "x{0,300}"]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    // Reasons that protocol buffers have as well.
    let codes: Vec<ExceptionCode> = ExceptionCode::ALL[..19]
        .iter()
        .copied()
        .filter(|code| *code != ExceptionCode::BeginFailed)
        .collect();
    (prop::option::of(text()), select(codes)).prop_map(|(failure, code)| Outcome { failure, code })
}

fn global_status() -> impl Strategy<Value = GlobalStatus> {
    select(GlobalStatus::ALL)
}

fn xid() -> impl Strategy<Value = Xid> {
    (text(), text()).prop_map(|(xid, extra_data)| Xid { xid, extra_data })
}

fn identify() -> impl Strategy<Value = Identify> {
    [text(), text(), text(), text()].prop_map(
        |[version, application_id, transaction_group, extra_data]| Identify {
            version,
            application_id,
            transaction_group,
            extra_data,
        },
    )
}

fn identified() -> impl Strategy<Value = Identified> {
    (any::<bool>(), text()).prop_map(|(accepted, version)| Identified { accepted, version })
}

fn branch_register() -> impl Strategy<Value = BranchRegister> {
    let texts = [text(), text(), text(), text()];
    (select(BranchType::ALL), texts).prop_map(
        |(branch_type, [xid, resource_id, lock_key, application_data])| BranchRegister {
            xid,
            branch_type,
            resource_id,
            lock_key,
            application_data,
        },
    )
}

fn branch_end() -> impl Strategy<Value = BranchEnd> {
    let texts = [text(), text(), text()];
    (select(BranchType::ALL), any::<i64>(), texts).prop_map(
        |(branch_type, branch_id, [xid, resource_id, application_data])| BranchEnd {
            xid,
            branch_id,
            branch_type,
            resource_id,
            application_data,
        },
    )
}

fn branch_ended() -> impl Strategy<Value = BranchEnded> {
    (outcome(), text(), any::<i64>(), select(BranchStatus::ALL)).prop_map(
        |(outcome, xid, branch_id, status)| BranchEnded {
            outcome,
            xid,
            branch_id,
            status,
        },
    )
}

fn branch_report() -> impl Strategy<Value = BranchReport> {
    (branch_end(), select(BranchStatus::ALL)).prop_map(|(end, status)| BranchReport {
        xid: end.xid,
        branch_id: end.branch_id,
        status,
        resource_id: end.resource_id,
        application_data: end.application_data,
        branch_type: end.branch_type,
    })
}

/// Requests of transactions.
fn request() -> impl Strategy<Value = Message> {
    prop_oneof![
        (any::<i32>(), text())
            .prop_map(|(timeout_ms, name)| Message::GlobalBegin { timeout_ms, name }),
        branch_end().prop_map(Message::BranchCommit),
        branch_end().prop_map(Message::BranchRollback),
        xid().prop_map(Message::GlobalCommit),
        xid().prop_map(Message::GlobalRollback),
        branch_register().prop_map(Message::BranchRegister),
        branch_report().prop_map(Message::BranchReport),
        xid().prop_map(Message::GlobalStatus),
        (xid(), prop::option::of(global_status()))
            .prop_map(|(xid, status)| Message::GlobalReport { xid, status }),
        branch_register().prop_map(Message::GlobalLockQuery),
        (select(BranchType::ALL), text(), any::<i16>()).prop_map(
            |(branch_type, resource_id, save_days)| Message::UndoLogDelete {
                branch_type,
                resource_id,
                save_days
            }
        ),
    ]
}

/// Their answers.
fn answer() -> impl Strategy<Value = Message> {
    let with_status = || (outcome(), global_status());
    prop_oneof![
        (outcome(), text(), text()).prop_map(|(outcome, xid, extra_data)| {
            Message::GlobalBeginResult {
                outcome,
                xid,
                extra_data,
            }
        }),
        branch_ended().prop_map(Message::BranchCommitResult),
        branch_ended().prop_map(Message::BranchRollbackResult),
        with_status().prop_map(|(how, status)| Message::GlobalCommitResult(how, status)),
        with_status().prop_map(|(how, status)| Message::GlobalRollbackResult(how, status)),
        with_status().prop_map(|(how, status)| Message::GlobalStatusResult(how, status)),
        with_status().prop_map(|(how, status)| Message::GlobalReportResult(how, status)),
        (outcome(), any::<i64>())
            .prop_map(|(outcome, branch_id)| Message::BranchRegisterResult { outcome, branch_id }),
        outcome().prop_map(Message::BranchReportResult),
        (outcome(), any::<bool>())
            .prop_map(|(outcome, lockable)| Message::GlobalLockQueryResult { outcome, lockable }),
    ]
}

fn numbered(
    messages: impl Strategy<Value = Message>,
) -> impl Strategy<Value = (Vec<Message>, Vec<i32>)> {
    prop::collection::vec((messages, any::<i32>()), 0..12).prop_map(|all| all.into_iter().unzip())
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        4 => request(),
        4 => answer(),
        1 => identify().prop_map(Message::RegisterTm),
        1 => identified().prop_map(Message::RegisterTmResult),
        1 => (identify(), text())
            .prop_map(|(identify, resource_ids)| Message::RegisterRm { identify, resource_ids }),
        1 => identified().prop_map(Message::RegisterRmResult),
        1 => numbered(request()).prop_map(|(messages, ids)| Message::Merge { messages, ids }),
        1 => numbered(answer()).prop_map(|(messages, _)| Message::MergeResult(messages)),
        1 => numbered(answer()).prop_map(|(messages, ids)| Message::BatchResult { messages, ids }),
    ]
}

fn written(speech: Speech, message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    body::encode(speech, message, &mut bytes);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_written_is_read(message in message()) {
        for speech in speeches() {
            let bytes = written(speech, &message);
            prop_assert_eq!(body::decode(speech.form(), &bytes), Ok((message.clone(), speech)));
        }
    }

    #[test]
    fn any_bytes_are_borne(message in message(), data in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>()) {
        for speech in speeches() {
            let _ = body::decode(speech.form(), &data);
            let mut bytes = written(speech, &message);
            let at = at.index(bytes.len());
            bytes.splice(at..at + 1, data.iter().copied().take(3));
            let _ = body::decode(speech.form(), &bytes);
            bytes.truncate(at);
            let _ = body::decode(speech.form(), &bytes);
        }
    }
}

#[test]
fn reasons_that_protocol_buffers_do_not_have_become_the_nearest_ones() {
    for (code, read) in [
        (
            ExceptionCode::LockKeyConflictFailFast,
            ExceptionCode::LockKeyConflict,
        ),
        (ExceptionCode::BeginFailed, ExceptionCode::Unknown),
        (ExceptionCode::NotRaftLeader, ExceptionCode::Unknown),
    ] {
        let speech = Speech {
            codec: Codec::Protobuf(Names::Apache),
            compressor: Compressor::None,
        };
        let message = |code| Message::BranchReportResult(Outcome::failure(code, "why"));
        let bytes = written(speech, &message(code));
        assert_eq!(
            body::decode(speech.form(), &bytes).unwrap().0,
            message(read)
        );
    }
}

#[test]
fn forms_that_are_not_spoken_are_named() {
    let refused = |codec, compressor| {
        let form = Form { codec, compressor };
        body::decode(form, &[]).unwrap_err().to_string()
    };
    assert_eq!(
        refused(4, 0),
        "serializer 0x04 (kryo) is not spoken here: set the client's transport.serialization to seata, protobuf or hessian"
    );
    assert!(refused(0x32, 0).starts_with("serializer 0x32 (jackson) is not"));
    assert!(refused(0x64, 0).starts_with("serializer 0x64 (fastjson2) is not"));
    assert!(refused(0x77, 0).starts_with("serializer 0x77 is not"));
    assert_eq!(
        refused(1, 4),
        "compressor 4 (bzip2) is not spoken here: set the client's transport.compressor to none, gzip, lz4, deflater or zstd"
    );
    assert!(refused(1, 2).starts_with("compressor 2 (zip) is not"));
    assert!(refused(1, 3).starts_with("compressor 3 (7z) is not"));
}

#[test]
fn what_would_become_too_large_is_refused() {
    let name = " ".repeat(diwan_seata::BODY_BYTES_MAX);
    let codec = Codec::Protobuf(Names::Apache);
    let message = Message::GlobalBegin {
        timeout_ms: 1,
        name,
    };
    for compressor in Compressor::ALL {
        if compressor == Compressor::None {
            continue;
        }
        let speech = Speech { codec, compressor };
        let bytes = written(speech, &message);
        assert!(bytes.len() < 1 << 20, "{compressor:?}: {}", bytes.len());
        let read = body::decode(speech.form(), &bytes);
        let too_large = BodyError::Compression(CompressionError::TooLarge);
        assert_eq!(read, Err(too_large), "{compressor:?}");
    }
}

#[test]
fn what_is_no_message_says_why() {
    let hessian = Form {
        codec: 0x16,
        compressor: 0,
    };
    let protobuf = Form {
        codec: 2,
        compressor: 0,
    };
    let why = |form, bytes: &[u8]| body::decode(form, bytes).unwrap_err().to_string();
    assert_eq!(
        why(hessian, b"N"),
        "body in hessian: byte 0:  is no message here"
    );
    assert_eq!(
        why(hessian, b"C\x10java.lang.Object\x90`"),
        "body in hessian: byte 0: java.lang.Object is no message here"
    );
    assert_eq!(
        why(protobuf, b"\0\0\0\x09ab"),
        "body in protobuf: byte 0: a name of 9 bytes is announced, 2 are left"
    );
    assert_eq!(
        why(protobuf, b"\0\0\0\x02ab"),
        "body in protobuf: \"ab\" is no message here"
    );
    // A merged message in a merged message.
    for codec in CODECS {
        let speech = Speech {
            codec,
            compressor: Compressor::None,
        };
        let messages = vec![Message::MergeResult(Vec::new())];
        let bytes = written(speech, &Message::MergeResult(messages));
        let read = body::decode(speech.form(), &bytes);
        assert!(read.is_err(), "{codec:?}");
    }
}

/// A message of Java objects may take a single byte, and a hundred times as much in memory.
#[test]
fn too_many_in_one_are_refused() {
    let messages = vec![Message::BranchReportResult(Outcome::SUCCESS); 100_001];
    for codec in &CODECS[1..] {
        let speech = Speech {
            codec: *codec,
            compressor: Compressor::Zstd,
        };
        let bytes = written(speech, &Message::MergeResult(messages.clone()));
        let why = body::decode(speech.form(), &bytes).unwrap_err().to_string();
        assert!(why.contains("messages in one"), "{why}");
        let bytes = written(speech, &Message::MergeResult(messages[1..].to_vec()));
        assert!(body::decode(speech.form(), &bytes).is_ok(), "{codec:?}");
    }
}

//! Which dialect a body is in: its first tag that tells decides, for the whole body and for what follows on the
//! connection; until then it is the draft.

use diwan_hessian::{Decode, Decoder, Dialect, Encode, Encoder, Limits, Value};

const DRAFT: Option<Dialect> = Some(Dialect::Draft);
const FINAL: Option<Dialect> = Some(Dialect::Final);

#[test]
fn the_first_distinguishing_tag_decides() {
    let cases: &[(&[u8], Option<Dialect>, &str)] = &[
        // The same in both.
        (b"N", None, "N"),
        (b"T", None, "T"),
        (b"\x91", None, "i1"),
        (b"\xe1", None, "l1"),
        (b"\x3c\x01\x00", None, "l256"),
        (
            b"D\x3f\xe0\x00\x00\x00\x00\x00\x00",
            None,
            "d3fe0000000000000",
        ),
        (b"\x01a", None, r#""a""#),
        (b"S\x00\x01a", None, r#""a""#),
        (b"\x21\x01", None, "b01"),
        (b"B\x00\x01\x01", None, "b01"),
        // Class definitions.
        (b"O\x91A\x90o\x90", DRAFT, r#"O"A"{}"#),
        (b"C\x01A\x90\x60", FINAL, r#"O"A"{}"#),
        // Lists and maps.
        (b"V\x6e\x01\x91z", DRAFT, "L[i1]"),
        (b"Vt\x00\x04[int\x6e\x01\x91z", DRAFT, r#"L"[int"[i1]"#),
        (b"V\x91z", DRAFT, "L[i1]"),
        (b"V\x04[int\x91\x91", FINAL, r#"L"[int"[i1]"#),
        (b"\x71\x04[int\x91", FINAL, r#"L"[int"[i1]"#),
        (b"\x79\x91", FINAL, "L[i1]"),
        (b"\x57\x91Z", FINAL, "L[i1]"),
        (b"\x55\x04[int\x91Z", FINAL, r#"L"[int"[i1]"#),
        (b"X\x91\x91", FINAL, "L[i1]"),
        (b"M\x01a\x91z", DRAFT, r#"M{"a"=i1}"#),
        (b"Mt\x00\x01Az", DRAFT, r#"M"A"{}"#),
        (b"H\x01a\x91Z", FINAL, r#"M{"a"=i1}"#),
        // Scalars that one of the two has.
        (b"w\x00\x00\x00\x01", DRAFT, "l1"),
        (b"\x59\x00\x00\x00\x01", FINAL, "l1"),
        (b"\x67", DRAFT, "d0000000000000000"),
        (b"\x5c", FINAL, "d3ff0000000000000"),
        (b"\x5f\x00\x00\x01\xf4", FINAL, "d3fe0000000000000"),
        (b"\x6b\x3f\x00\x00\x00", DRAFT, "d3fe0000000000000"),
        (b"d\x00\x00\x00\x00\x00\x00\x00\x05", DRAFT, "t5"),
        (b"J\x00\x00\x00\x00\x00\x00\x00\x05", FINAL, "t5"),
        (b"K\x00\x00\x00\x01", FINAL, "t60000"),
        (b"s\x00\x01a\x01b", DRAFT, r#""ab""#),
        (b"R\x00\x01a\x01b", FINAL, r#""ab""#),
        (b"\x30\x01a", FINAL, r#""a""#),
        (b"b\x00\x01\x01\x21\x02", DRAFT, "b0102"),
        (b"A\x00\x01\x01\x21\x02", FINAL, "b0102"),
        (b"\x34\x01\x01", FINAL, "b01"),
    ];
    for (bytes, dialect, text) in cases {
        let mut d = Decoder::new(bytes);
        let value = d
            .value()
            .unwrap_or_else(|error| panic!("{bytes:x?}: {error}"));
        assert!(d.is_empty(), "{bytes:x?}");
        assert_eq!(
            (value.describe().as_str(), d.dialect()),
            (*text, *dialect),
            "{bytes:x?}"
        );
        let mut d = Decoder::new(bytes);
        d.skip()
            .unwrap_or_else(|error| panic!("{bytes:x?}: {error}"));
        assert_eq!(
            (d.is_empty(), d.dialect()),
            (true, *dialect),
            "skip {bytes:x?}"
        );
        // Told beforehand, the reader says the same.
        let mut d = Decoder::with(bytes, dialect.or(FINAL), Limits::default());
        assert_eq!(
            d.value().map(|value| value.describe()).as_deref(),
            Ok(*text),
            "{bytes:x?}"
        );
    }
}

/// The decision holds for every later value: `J` is a date in the one and a reference in the other.
#[test]
fn the_decision_is_kept() {
    let draft = b"\x91V\x6e\x00zJ\x00";
    let mut d = Decoder::new(draft);
    assert_eq!(i32::decode(&mut d), Ok(1));
    assert_eq!(d.dialect(), None);
    let values = d.values(2).expect("a list and a reference to it");
    assert!(values[0].root().ptr_eq(values[1].root()));
    assert_eq!(d.dialect(), DRAFT);

    // The next body of the connection starts with what the last one said.
    let next = b"\x6b\x3f\x00\x00\x00";
    assert_eq!(
        f64::decode(&mut Decoder::with(next, d.dialect(), Limits::default())),
        Ok(0.5)
    );
    assert!(f64::decode(&mut Decoder::with(next, FINAL, Limits::default())).is_err());
    assert!(
        Value::decode(&mut Decoder::with(
            b"C\x01A\x90\x60",
            DRAFT,
            Limits::default()
        ))
        .is_err()
    );
}

/// More classes and types than are searched one by one: numbers stay those of Java, once each.
#[test]
fn many_classes_and_types() {
    for dialect in [Dialect::Draft, Dialect::Final] {
        let object = |index: i32| {
            Value::object(
                &format!("com.x.C{}", index % 40),
                [("f", Value::int(index))],
            )
        };
        let list =
            |index: i32| Value::list(Some(&format!("[com.x.C{}", index % 40)), [object(index)]);
        let mut bytes = Vec::new();
        let mut e = Encoder::new(dialect, &mut bytes);
        for index in 0..120 {
            list(index).encode(&mut e);
        }
        let count = |needle: &[u8]| {
            bytes
                .windows(needle.len())
                .filter(|window| *window == needle)
                .count()
        };
        assert_eq!(
            count(b"com.x.C7"),
            2,
            "{dialect:?}: one definition and one type name"
        );
        assert_eq!(count(b"com.x.C39"), 2, "{dialect:?}");
        let mut d = Decoder::with(&bytes, Some(dialect), Limits::default());
        for index in 0..120 {
            assert_eq!(d.value().as_ref(), Ok(&list(index)), "{dialect:?} {index}");
        }
        assert!(d.is_empty());
    }
}

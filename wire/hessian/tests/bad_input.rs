//! Input nobody well-meaning sends: every case ends in a typed error with its offset, in bounded memory and time.

mod bolt;

use bolt::bolt_content;
use diwan_hessian::{
    Decode, Decoder, DenyList, Dialect, Encode, Encoder, Error, Hessian, JavaMap, Limits, Shared,
    Throwable, Value,
};

const DRAFT: Option<Dialect> = Some(Dialect::Draft);
const FINAL: Option<Dialect> = Some(Dialect::Final);

fn decoder(dialect: Option<Dialect>, bytes: &[u8]) -> Decoder<'_> {
    Decoder::with(bytes, dialect, Limits::default())
}

fn value_error(dialect: Option<Dialect>, bytes: &[u8]) -> Error {
    decoder(dialect, bytes).value().expect_err("bad input")
}

fn skip_error(dialect: Option<Dialect>, bytes: &[u8]) -> Error {
    decoder(dialect, bytes).skip().expect_err("bad input")
}

fn typed_error<T: for<'de> Decode<'de> + std::fmt::Debug>(
    dialect: Option<Dialect>,
    bytes: &[u8],
) -> Error {
    T::decode(&mut decoder(dialect, bytes)).expect_err("bad input")
}

/// `com.x.Node { next, value }`.
#[derive(Debug, Hessian)]
#[hessian(class = "com.x.Node")]
struct Node {
    next: Option<Box<Node>>,
    value: i32,
}

/// The same class with identity.
#[derive(Debug, Hessian)]
#[hessian(class = "com.x.Node")]
struct SharedNode {
    next: Option<Shared<SharedNode>>,
    value: i32,
}

/// A list of nothing but lists.
#[derive(Debug)]
struct Nested(#[expect(dead_code, reason = "only its depth matters")] Vec<Nested>);

impl<'de> Decode<'de> for Nested {
    fn decode(d: &mut Decoder<'de>) -> diwan_hessian::Result<Self> {
        Vec::decode(d).map(Nested)
    }
}

/// Definition of `com.x.Node` with the fields `next` and `value`, without an object.
const NODE_DRAFT: &[u8] = b"O\x9acom.x.Node\x92\x04next\x05value";
const NODE_FINAL: &[u8] = b"C\x0acom.x.Node\x92\x04next\x05value";

fn bytes(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn nesting_100_000_deep() {
    // Lists of one list (draft with and without length, final), maps, objects.
    let object_draft = bytes(&[NODE_DRAFT, &b"o\x90".repeat(100_000)]);
    let object_final = bytes(&[NODE_FINAL, &b"\x60".repeat(100_000)]);
    let cases: &[(Option<Dialect>, Vec<u8>)] = &[
        (DRAFT, b"V".repeat(100_000)),
        (DRAFT, b"V\x6e\x01".repeat(100_000)),
        (DRAFT, b"M".repeat(100_000)),
        (DRAFT, object_draft),
        (FINAL, b"\x79".repeat(100_000)),
        (FINAL, b"\x57".repeat(100_000)),
        (FINAL, b"H".repeat(100_000)),
        (FINAL, object_final),
    ];
    for (dialect, input) in cases {
        for error in [value_error(*dialect, input), skip_error(*dialect, input)] {
            assert!(
                matches!(error, Error::Depth { depth_max: 512, .. }),
                "{error}"
            );
        }
    }
    assert!(matches!(
        typed_error::<Nested>(FINAL, &b"\x79".repeat(100_000)),
        Error::Depth { .. }
    ));
    assert!(matches!(
        typed_error::<Node>(FINAL, &cases[7].1),
        Error::Depth { .. }
    ));
}

/// A value built in memory may be deeper than any reader allows; writing, comparing, printing and dropping it are fine.
#[test]
fn deep_values_cost_no_stack() {
    let mut b = diwan_hessian::Builder::new();
    let mut node = b.null();
    for _ in 0..100_000 {
        node = b.list(None, &[node]);
    }
    let value = b.finish(node);
    let mut out = Vec::new();
    value.encode(&mut Encoder::new(Dialect::Final, &mut out));
    assert_eq!(out.len(), 100_001);
    assert_eq!(value, value.clone().into_owned());
    assert_eq!(value.describe().len(), 300_001);
    let copied = Value::list(None, [value]);
    drop(copied);
}

#[test]
fn cycles() {
    // A node whose next is the node itself.
    let draft = bytes(&[NODE_DRAFT, b"o\x90\x4a\x00\x91"]);
    let last = bytes(&[NODE_FINAL, b"\x60Q\x90\x91"]);
    for (dialect, input) in [(DRAFT, draft), (FINAL, last)] {
        let value = decoder(dialect, &input)
            .value()
            .expect("a cycle is a value");
        assert_eq!(value.describe(), r#"O"com.x.Node"{"next"=@0,"value"=i1}"#);
        assert_eq!(format!("{value:?}"), value.describe());
        assert_eq!(value, value.clone().into_owned());
        assert!(value.get("next").expect("a field").ptr_eq(value.root()));
        let mut again = Vec::new();
        value.encode(&mut Encoder::new(dialect.expect("given"), &mut again));
        assert_eq!(again, input);

        let error = typed_error::<Node>(dialect, &input);
        let target = NODE_DRAFT.len();
        assert!(
            matches!(error, Error::Cycle { target: t, .. } if t == target),
            "{error}"
        );

        let node =
            Shared::<SharedNode>::decode(&mut decoder(dialect, &input)).expect("identity is kept");
        let next = node.get().expect("finished").next.clone().expect("a next");
        assert!(next.ptr_eq(&node) && next.is_weak());
        // Nothing keeps the cycle alive.
        drop(node);
        assert!(next.get().is_none());
    }
    // Lists and maps that contain themselves.
    for (dialect, input) in [
        (DRAFT, &b"V\x6e\x01\x4a\x00z"[..]),
        (DRAFT, b"M\x01k\x4a\x00z"),
        (FINAL, b"\x79Q\x90"),
        (FINAL, b"H\x01kQ\x90Z"),
    ] {
        assert!(
            decoder(dialect, input)
                .value()
                .expect("a cycle is a value")
                .describe()
                .contains("@0")
        );
        decoder(dialect, input)
            .skip()
            .expect("references are not followed");
    }
    assert!(matches!(
        typed_error::<Nested>(FINAL, b"\x79Q\x90"),
        Error::Cycle { target: 0, .. }
    ));
}

/// Each list holds the one before twice: 2^n elements in 3n bytes when references are read again.
#[test]
fn reference_bomb() {
    let mut input = vec![0x58, 0xc8, 100]; // untyped list of 100
    input.extend(b"\x7a\x91\x92"); // container 1: [1, 2]
    for number in 1..100 {
        let mut reference = vec![b'Q'];
        Encoder::new(Dialect::Final, &mut reference).value(&{ number });
        input.push(0x7a); // container `number + 1`: the one before, twice
        input.extend(reference.repeat(2));
    }
    #[derive(Debug)]
    enum Bomb {
        Leaf,
        List(#[expect(dead_code, reason = "only its size matters")] Vec<Bomb>),
    }
    impl<'de> Decode<'de> for Bomb {
        fn decode(d: &mut Decoder<'de>) -> diwan_hessian::Result<Self> {
            if matches!(d.int(), Ok(1 | 2)) {
                return Ok(Bomb::Leaf);
            }
            unreachable!("lists are read by `Lists`")
        }
    }
    /// Lists all the way down, numbers as leaves.
    fn read(d: &mut Decoder<'_>, level: u32) -> diwan_hessian::Result<Bomb> {
        let Some(mut head) = d.list_begin()? else {
            return Ok(Bomb::Leaf);
        };
        let mut items = Vec::new();
        while d.list_more(&mut head)? {
            items.push(if level == 1 {
                Bomb::decode(d)?
            } else {
                read(d, level - 1)?
            });
        }
        Ok(Bomb::List(items))
    }
    let mut d = Decoder::with(
        &input,
        FINAL,
        Limits {
            elements_max: 100_000,
            ..Limits::default()
        },
    );
    let mut head = d.list_begin().expect("a list").expect("not null");
    let mut error = None;
    for level in 1..=100 {
        assert_eq!(d.list_more(&mut head), Ok(true));
        if let Err(found) = read(&mut d, level) {
            error = Some(found);
            break;
        }
    }
    assert!(
        matches!(
            error,
            Some(Error::Elements {
                elements_max: 100_000,
                ..
            })
        ),
        "{error:?}"
    );

    // As a value it is what it is: 101 lists.
    let value = decoder(FINAL, &input)
        .value()
        .expect("references are shared, not copied");
    assert_eq!(value.items().len(), 100);
    decoder(FINAL, &input)
        .skip()
        .expect("references are not followed");
}

/// A large string behind a reference that is repeated: the element budget counts its bytes too.
#[test]
fn repeated_string_bomb() {
    #[derive(Debug, Hessian)]
    #[hessian(class = "com.x.S")]
    struct Holder {
        text: String,
    }
    let text = "x".repeat(30_000);
    let mut input = Vec::new();
    let count = 20_000u32;
    let mut e = Encoder::new(Dialect::Final, &mut input);
    e.list_begin(None, count as usize);
    e.value(&Holder { text });
    for _ in 1..count {
        e.object_dyn("com.x.Other", &[]);
    }
    e.list_end();
    // The other objects become references to the first one.
    let objects = input.len() - (count as usize - 1);
    let mut bomb = input[..objects - b"C\x0bcom.x.Other\x90".len()].to_vec();
    bomb.extend(b"Q\x91".repeat(count as usize - 1));
    // 20,000 x 30,000 bytes would be 600 MB.
    let error = typed_error::<Vec<Holder>>(FINAL, &bomb);
    assert!(matches!(error, Error::Elements { .. }), "{error}");
}

#[test]
fn lying_lengths() {
    let cases: &[(Option<Dialect>, &[u8])] = &[
        (DRAFT, b"S\xff\xffabc"),                                // string of 65,535
        (DRAFT, b"s\x80\x00abc"),                                // chunk of a string
        (DRAFT, b"B\xff\xffabc"),                                // bytes of 65,535
        (DRAFT, b"\x1fabc"),                                     // short string
        (DRAFT, b"\x2fabc"),                                     // short bytes
        (DRAFT, b"Vl\x7f\xff\xff\xff\x90"),                      // list of 2^31 - 1
        (DRAFT, b"Vt\x00\xff[intl\x00\x00\x00\x01\x90z"),        // type name of 255
        (DRAFT, b"OI\x7f\xff\xff\xffcom.x.A\x90o\x90"),          // class name of 2^31 - 1
        (DRAFT, b"O\x97com.x.AI\x7f\xff\xff\xff\x01ao\x90\x91"), // 2^31 - 1 fields
        (FINAL, b"XI\x7f\xff\xff\xff\x90"),
        (FINAL, b"V\x04[intI\x7f\xff\xff\xff\x90"),
        (FINAL, b"C\x07com.x.AI\x7f\xff\xff\xff\x01a\x60\x91"),
        (FINAL, b"R\xff\xffabc"),
        (FINAL, b"\x33\xffabc"),
        (FINAL, b"\x37\xffabc"),
        (FINAL, b"A\xff\xffabc"),
    ];
    for (dialect, input) in cases {
        for error in [value_error(*dialect, input), skip_error(*dialect, input)] {
            assert!(matches!(error, Error::Length { .. }), "{input:x?}: {error}");
            assert!(error.offset() <= input.len(), "{input:x?}: {error}");
        }
    }
    // A length that is not followed by the end of the list.
    assert!(matches!(
        value_error(DRAFT, b"V\x6e\x01\x90\x91z"),
        Error::Tag { offset: 4, .. }
    ));
    // Half a million fields, declared and there, none of which an object has bytes for.
    let mut input = b"C\x07com.x.A\xd4\xff\xff".to_vec();
    input.extend(b"\x00".repeat(0xffff));
    input.extend(b"\x60\x91");
    assert!(matches!(value_error(FINAL, &input), Error::Eof { .. }));
}

#[test]
fn negative_lengths() {
    let cases: &[(Option<Dialect>, &[u8])] = &[
        (DRAFT, b"Vl\xff\xff\xff\xff\x90z"),
        (DRAFT, b"Vt\x00\x04[int\x6e\x00zv\x90\x8f"), // second value: known type, length -1
        (DRAFT, b"O\x8fx\x90o\x90"),
        (DRAFT, b"O\x91x\x8fo\x90"),
        (FINAL, b"X\x8f"),
        (FINAL, b"V\x04[int\x8f"),
        (FINAL, b"C\x01x\x8f\x60"),
    ];
    for (dialect, input) in cases {
        let mut d = decoder(*dialect, input);
        let error = d.value().and_then(|_| d.value()).expect_err("bad input");
        assert!(
            matches!(error, Error::Length { length: -1, .. }),
            "{input:x?}: {error}"
        );
        let mut d = decoder(*dialect, input);
        let error = d.skip().and_then(|()| d.skip()).expect_err("bad input");
        assert!(
            matches!(error, Error::Length { length: -1, .. }),
            "{input:x?}: {error}"
        );
    }
}

#[test]
fn numbers_of_what_was_never_read() {
    assert!(matches!(
        value_error(DRAFT, b"o\x90"),
        Error::ClassIndex {
            index: 0,
            count: 0,
            ..
        }
    ));
    assert!(matches!(
        value_error(DRAFT, b"o\x8f"),
        Error::ClassIndex { index: -1, .. }
    ));
    assert!(matches!(
        value_error(FINAL, b"\x65"),
        Error::ClassIndex { index: 5, .. }
    ));
    assert!(matches!(
        value_error(FINAL, b"OI\x7f\xff\xff\xff"),
        Error::ClassIndex { .. }
    ));
    assert!(matches!(
        value_error(DRAFT, b"\x4a\x00"),
        Error::Reference {
            index: 0,
            count: 0,
            ..
        }
    ));
    assert!(matches!(
        value_error(DRAFT, b"R\xff\xff\xff\xff"),
        Error::Reference { index: -1, .. }
    ));
    assert!(matches!(
        value_error(DRAFT, b"V\x4b\x00\x01z"),
        Error::Reference {
            index: 1,
            count: 1,
            ..
        }
    ));
    assert!(matches!(
        value_error(FINAL, b"Q\x8f"),
        Error::Reference { index: -1, .. }
    ));
    assert!(matches!(
        value_error(DRAFT, b"v\x90\x90"),
        Error::TypeIndex {
            index: 0,
            count: 0,
            ..
        }
    ));
    assert!(matches!(
        value_error(DRAFT, b"M\x75\x91z"),
        Error::TypeIndex { index: 1, .. }
    ));
    assert!(matches!(
        value_error(FINAL, b"M\x90Z"),
        Error::TypeIndex { index: 0, .. }
    ));
}

/// Classes that make Java readers run code are data here, errors for typed readers, and refused where a list says so.
#[test]
fn gadget_class_names() {
    let gadgets = [
        "com.sun.org.apache.xalan.internal.xsltc.trax.TemplatesImpl",
        "org.apache.commons.collections.functors.InvokerTransformer",
        "java.lang.ProcessBuilder",
        "javax.naming.ldap.Rdn$RdnEntry",
    ];
    let list = DenyList::new([
        "com.sun.org.apache.xalan.",
        "org.apache.commons.collections.functors.",
        "java.lang.ProcessBuilder",
        "javax.naming.",
    ]);
    for gadget in gadgets {
        for dialect in [Dialect::Draft, Dialect::Final] {
            let object = Value::object(gadget, [("command", Value::str("rm -rf /"))]);
            let carriers = [
                object.clone(),
                Value::list(Some(&format!("[{gadget}")), []),
                Value::map(Some(gadget), []),
                Value::list(
                    None,
                    [Value::map(None, [(Value::str("k"), object.clone())])],
                ),
            ];
            for carrier in carriers {
                let mut input = Vec::new();
                carrier.encode(&mut Encoder::new(dialect, &mut input));
                assert_eq!(
                    decoder(Some(dialect), &input).value().as_ref(),
                    Ok(&carrier)
                );
                for read in [
                    |d: &mut Decoder<'_>| d.skip(),
                    |d: &mut Decoder<'_>| d.value().map(drop),
                ] {
                    let mut d = decoder(Some(dialect), &input);
                    d.deny(&list);
                    let error = read(&mut d).expect_err("denied");
                    assert!(
                        matches!(&error, Error::Denied { class, .. } if class.contains(gadget)),
                        "{error}"
                    );
                }
            }
            let mut input = Vec::new();
            object.encode(&mut Encoder::new(dialect, &mut input));
            let error = typed_error::<Node>(Some(dialect), &input);
            assert!(
                matches!(&error, Error::Class { found, .. } if **found == *gadget),
                "{error}"
            );
        }
    }
    assert!(
        !list.denies("java.lang.ProcessBuilderFactory"),
        "a name is no prefix"
    );
}

#[test]
fn truncation_anywhere() {
    let content = bolt_content(include_bytes!("golden/bolt-order.bin"));
    for end in 0..content.len() {
        let cut = &content[..end];
        let mut d = decoder(DRAFT, cut);
        let error = d.value().and_then(|_| d.value()).expect_err("cut off");
        assert!(error.offset() <= end, "cut at {end}: {error}");
    }
}

#[test]
fn bad_text() {
    for (input, at) in [
        (&b"\x01\x80"[..], 1),                // continuation first
        (b"\x01\xc0\x80", 1),                 // overlong NUL
        (b"\x01\xff", 1),                     // no lead at all
        (b"\x03ab\xe4", 3),                   // cut off
        (b"\x01\xf0\x9f\x98\x80", 1),         // four bytes are two units, one is left
        (b"\x01\xe4\xb8\x20", 1),             // bad continuation
        (b"\x02\xed\xa0\xbd\xed\xb8\x20", 4), // bad continuation in a pair
        (b"\x01\xe0\x80\x80", 1),             // overlong
    ] {
        let error = value_error(DRAFT, input);
        assert!(
            matches!(
                error,
                Error::Utf8 { .. } | Error::Eof { .. } | Error::Length { .. }
            ),
            "{input:x?}: {error}"
        );
        assert!(
            error.offset() >= at && error.offset() <= input.len(),
            "{input:x?}: {error}"
        );
    }
    // A lone surrogate is a value, but no Rust string.
    let lone = b"\x03a\xed\xa0\xbdb";
    let value = decoder(DRAFT, lone).value().expect("kept");
    assert_eq!(value.describe(), r#""a\ud83db""#);
    assert_eq!(
        typed_error::<String>(DRAFT, lone),
        Error::Surrogate { offset: 0 }
    );
    // Nor is it a name.
    assert!(matches!(
        value_error(FINAL, b"C\x01\xed\xa0\xbd\x90\x60"),
        Error::Surrogate { .. }
    ));
    // A name in two chunks would be one that no class file can hold.
    assert!(matches!(
        value_error(FINAL, b"CR\x00\x01a\x01b\x90\x60"),
        Error::Name { .. }
    ));
    // A pair is fine in both.
    assert_eq!(
        decoder(DRAFT, b"\x02\xed\xa0\xbd\xed\xb8\x80")
            .str()
            .expect("a pair")
            .as_deref(),
        Some("😀")
    );
    let named = decoder(FINAL, b"C\x02\xed\xa0\xbd\xed\xb8\x80\x91\x01a\x60\x91")
        .value()
        .expect("a pair");
    assert_eq!(named.class_name(), Some("😀"));
}

#[test]
fn numbers_out_of_range() {
    let range = |error: Error| assert!(matches!(error, Error::Range { .. }), "{error}");
    range(typed_error::<i8>(DRAFT, b"\xc8\x80"));
    range(typed_error::<i16>(DRAFT, b"I\x00\x01\x00\x00"));
    range(typed_error::<i32>(
        DRAFT,
        b"L\x00\x00\x00\x01\x00\x00\x00\x00",
    ));
    range(typed_error::<i32>(
        DRAFT,
        b"D\x3f\xe0\x00\x00\x00\x00\x00\x00",
    ));
    range(typed_error::<i64>(
        DRAFT,
        b"D\x43\xe0\x00\x00\x00\x00\x00\x00",
    ));
    range(typed_error::<i64>(
        DRAFT,
        b"D\x7f\xf8\x00\x00\x00\x00\x00\x00",
    ));
    range(typed_error::<f64>(
        DRAFT,
        b"L\x00\x20\x00\x00\x00\x00\x00\x01",
    ));
}

/// Two hundred thousand definitions of one class, or definitions without an object behind them, are only bytes.
#[test]
fn definitions_without_end() {
    let input = b"C\x01x\x90".repeat(200_000);
    assert!(matches!(value_error(FINAL, &input), Error::Eof { .. }));
    assert!(matches!(skip_error(FINAL, &input), Error::Eof { .. }));
    assert!(matches!(
        typed_error::<Node>(FINAL, &input),
        Error::Eof { .. }
    ));
}

/// A map keyed by itself, a throwable caused by a cycle of others.
#[test]
fn odd_graphs() {
    assert!(matches!(
        typed_error::<JavaMap<Nested, i32>>(FINAL, b"HQ\x90\x91Z"),
        Error::Cycle { .. } | Error::Tag { .. }
    ));
    let mut input = b"C\x01E\x91\x05cause\x60\x60Q\x90".to_vec();
    assert!(matches!(
        typed_error::<Throwable>(FINAL, &input),
        Error::Cycle { .. }
    ));
    // Its own cause is none.
    input.truncate(input.len() - 3);
    input.extend(b"Q\x90");
    let throwable = Throwable::decode(&mut decoder(FINAL, &input)).expect("a throwable");
    assert_eq!((throwable.class.as_str(), throwable.cause), ("E", None));
}

/// The whole list above in one go is quick: nothing in it is quadratic.
#[test]
fn large_and_flat_is_linear() {
    // A million empty lists, each a container of its own, in a megabyte.
    let mut input = b"X\xd4".to_vec();
    input.splice(1.., [b'I', 0x00, 0x0f, 0x42, 0x40]);
    input.extend(b"\x78".repeat(1_000_000));
    let value = decoder(FINAL, &input).value().expect("a list");
    assert_eq!(value.items().len(), 1_000_000);
    let mut again = Vec::new();
    value.encode(&mut Encoder::new(Dialect::Final, &mut again));
    assert_eq!(again, input);
    // Ten million are more than the default allows.
    let mut input = vec![b'X', b'I', 0x00, 0x98, 0x96, 0x80];
    input.extend(b"\x90".repeat(10_000_000));
    assert!(matches!(
        skip_error(FINAL, &input),
        Error::Elements {
            elements_max: 8_000_000,
            ..
        }
    ));
}

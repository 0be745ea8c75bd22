//! What `#[derive(Hessian)]` makes: names, order, defaults, enums, inheritance, identity, exceptions.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use diwan_hessian::{
    BigInteger, Bytes, Date, Decode, Decoder, Dialect, Encode, Encoder, Error, Hessian, JavaArray,
    JavaMap, JavaType, Limits, Shared, StackFrame, Throwable, Value,
};

const BOTH: [Dialect; 2] = [Dialect::Draft, Dialect::Final];

fn write(dialect: Dialect, value: &impl Encode) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut Encoder::new(dialect, &mut bytes));
    bytes
}

fn read<'de, T: Decode<'de>>(dialect: Dialect, bytes: &'de [u8]) -> Result<T, Error> {
    let mut d = Decoder::with(bytes, Some(dialect), Limits::default());
    let value = T::decode(&mut d)?;
    assert!(d.is_empty(), "bytes left");
    Ok(value)
}

fn describe(bytes: &[u8], dialect: Dialect) -> String {
    read::<Value<'_>>(dialect, bytes)
        .expect("a value")
        .describe()
}

#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.x.Item")]
struct Item {
    tags: Vec<String>,
    item_id: i64,
    #[hessian(rename = "URL")]
    url: Option<String>,
    #[hessian(skip)]
    cached: u32,
    weight: f32,
    r#type: char,
}

fn item() -> Item {
    Item {
        tags: vec!["a".into()],
        item_id: 7,
        url: None,
        cached: 0,
        weight: 0.5,
        r#type: 'x',
    }
}

/// Names are camel case unless renamed; primitives and `java.lang` come first as Java's writer has them.
#[test]
fn fields_by_name_in_the_order_of_java() {
    for dialect in BOTH {
        let bytes = write(dialect, &item());
        let text = r#"O"com.x.Item"{"itemId"=l7,"URL"=N,"weight"=d3fe0000000000000,"type"="x","tags"=L["a"]}"#;
        assert_eq!(describe(&bytes, dialect), text);
        assert_eq!(read::<Item>(dialect, &bytes), Ok(item()));
    }
}

/// Whatever order and fields a sender has: unknown ones are skipped, missing ones default, null is zero.
#[test]
fn senders_with_other_fields() {
    let sent = Value::object(
        "com.x.Item",
        [
            (
                "unknown",
                Value::list(
                    None,
                    [Value::object("com.x.Unknown", [("a", Value::int(1))])],
                ),
            ),
            ("weight", Value::null()),
            (
                "tags",
                Value::list(
                    Some("java.util.LinkedList"),
                    [Value::str("a"), Value::null()],
                ),
            ),
            ("itemId", Value::int(7)),
        ],
    );
    for dialect in BOTH {
        let expected = Item {
            tags: vec!["a".into(), String::new()],
            weight: 0.0,
            r#type: '\0',
            ..item()
        };
        assert_eq!(read::<Item>(dialect, &write(dialect, &sent)), Ok(expected));
    }
    let other = Value::object("com.x.Other", []);
    let error = read::<Item>(Dialect::Draft, &write(Dialect::Draft, &other));
    assert!(
        matches!(
            error,
            Err(Error::Class {
                expected: "com.x.Item",
                ..
            })
        ),
        "{error:?}"
    );
    assert!(matches!(
        read::<Item>(Dialect::Draft, b"N"),
        Err(Error::Null {
            expected: "com.x.Item",
            offset: 0
        })
    ));
    assert_eq!(read::<Option<Item>>(Dialect::Draft, b"N"), Ok(None));
}

#[derive(Clone, Debug, PartialEq, Hessian)]
#[hessian(class = "com.x.Strict")]
struct Strict {
    item: Item,
    part: Part,
    #[hessian(default)]
    count: Count,
}

#[derive(Clone, Debug, PartialEq, Hessian)]
#[hessian(class = "com.x.Part")]
struct Part {
    id: i32,
}

#[derive(Clone, Debug, PartialEq)]
struct Count(i32);

impl Default for Count {
    fn default() -> Self {
        Count(42)
    }
}

impl Encode for Count {
    fn encode(&self, e: &mut Encoder<'_>) {
        e.int(self.0);
    }
}

impl<'de> Decode<'de> for Count {
    fn decode(d: &mut Decoder<'de>) -> Result<Self, Error> {
        d.int().map(Count)
    }
}

/// `Default` where the type has it, an error that names the field where not.
#[test]
fn missing_fields() {
    let part = Value::object("com.x.Part", [("id", Value::int(1))]);
    let bytes = write(
        Dialect::Final,
        &Value::object("com.x.Strict", [("part", part)]),
    );
    let expected = Strict {
        item: Item::default(),
        part: Part { id: 1 },
        count: Count(42),
    };
    assert_eq!(read::<Strict>(Dialect::Final, &bytes), Ok(expected));
    let bytes = write(Dialect::Final, &Value::object("com.x.Strict", []));
    let error = read::<Strict>(Dialect::Final, &bytes);
    assert!(
        matches!(
            error,
            Err(Error::Missing {
                class: "com.x.Strict",
                field: "part",
                ..
            })
        ),
        "{error:?}"
    );
}

#[derive(Clone, Copy, Debug, PartialEq, Hessian)]
#[hessian(class = "hessian.Main$Color")]
enum Color {
    Red,
    Green,
    Blue,
    DarkRed,
    #[hessian(rename = "off_white")]
    OffWhite,
}

#[test]
fn java_enums() {
    // `enum/blue.bin` of the conformance collection.
    let blue = b"C\x12hessian.Main$Color\x91\x04name\x60\x04BLUE";
    assert_eq!(read::<Color>(Dialect::Final, blue), Ok(Color::Blue));
    assert_eq!(write(Dialect::Final, &Color::Blue), blue);
    for dialect in BOTH {
        let all = vec![
            Color::Red,
            Color::Green,
            Color::Blue,
            Color::DarkRed,
            Color::OffWhite,
            Color::Red,
        ];
        let bytes = write(dialect, &all);
        assert!(
            describe(&bytes, dialect)
                .contains(r#"{"name"="DARK_RED"},O"hessian.Main$Color"{"name"="off_white"}"#)
        );
        assert_eq!(read::<Vec<Color>>(dialect, &bytes), Ok(all));
        // A constant with a body has a class of its own.
        let body = Value::object("hessian.Main$Color$1", [("name", Value::str("RED"))]);
        assert_eq!(
            read::<Color>(dialect, &write(dialect, &body)),
            Ok(Color::Red)
        );
        let unknown = Value::object("hessian.Main$Color", [("name", Value::str("PINK"))]);
        let error = read::<Color>(dialect, &write(dialect, &unknown));
        assert!(
            matches!(&error, Err(Error::Invalid { text, .. }) if **text == *"PINK"),
            "{error:?}"
        );
        // A constant used twice in Java is one object.
        let mut b = diwan_hessian::Builder::new();
        let name = b.str("RED");
        let red = b.object("hessian.Main$Color", &[("name", name)]);
        let list = b.list(None, &[red, red]);
        let bytes = write(dialect, &b.finish(list));
        assert_eq!(
            read::<Vec<Color>>(dialect, &bytes),
            Ok(vec![Color::Red, Color::Red])
        );
    }
}

#[derive(Clone, Debug, PartialEq, Hessian)]
#[hessian(class = "com.x.Circle")]
struct Circle {
    radius: f64,
}

#[derive(Clone, Debug, PartialEq, Hessian)]
#[hessian(class = "com.x.Square")]
struct Square {
    side: i32,
}

#[derive(Clone, Debug, PartialEq, Hessian)]
#[hessian(class = "com.x.Shape")]
enum Shape {
    Circle(Circle),
    Square(Box<Square>),
    Color(Color),
}

#[derive(Clone, Debug, PartialEq, Hessian)]
enum Anything {
    Shape(Shape),
    #[hessian(other)]
    Other(Value<'static>),
}

/// A field of an interface: the class name picks the variant, behind a definition or a reference as well.
#[test]
fn enums_of_classes() {
    let circle = Shape::Circle(Circle { radius: 1.5 });
    let square = Shape::Square(Box::new(Square { side: 2 }));
    for dialect in BOTH {
        let all = vec![
            circle.clone(),
            square.clone(),
            circle.clone(),
            Shape::Color(Color::Red),
        ];
        assert_eq!(read::<Vec<Shape>>(dialect, &write(dialect, &all)), Ok(all));

        let mut b = diwan_hessian::Builder::new();
        let side = b.int(2);
        let object = b.object("com.x.Square", &[("side", side)]);
        let list = b.list(None, &[object, object]);
        let bytes = write(dialect, &b.finish(list));
        assert_eq!(
            read::<Vec<Shape>>(dialect, &bytes),
            Ok(vec![square.clone(), square.clone()])
        );

        let unknown = write(dialect, &Value::object("com.x.Hexagon", []));
        let error = read::<Shape>(dialect, &unknown);
        assert!(
            matches!(&error, Err(Error::Class { expected: "com.x.Shape", found, .. }) if **found == *"com.x.Hexagon")
        );
        assert!(matches!(
            read::<Anything>(dialect, &unknown),
            Ok(Anything::Other(_))
        ));
        assert_eq!(
            read::<Anything>(dialect, b"\x91"),
            Ok(Anything::Other(Value::int(1)))
        );
        assert_eq!(
            read::<Anything>(dialect, &write(dialect, &circle)),
            Ok(Anything::Shape(circle.clone()))
        );
    }
}

#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.x.Entity")]
struct Entity {
    created: Date,
    id: i64,
    note: String,
}

#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.x.User")]
struct User {
    #[hessian(extends)]
    base: Entity,
    roles: Vec<String>,
    name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Hessian)]
#[hessian(class = "com.x.Admin")]
struct Admin {
    level: i32,
    #[hessian(extends)]
    user: User,
    note: String,
}

/// Java's order: primitives of all levels before everything else, the subclass first (`JavaSerializer.introspect`).
#[test]
fn superclasses_are_flattened() {
    let admin = Admin {
        level: 3,
        note: "own".into(),
        user: User {
            roles: vec!["r".into()],
            name: "n".into(),
            base: Entity {
                created: Date(5),
                id: 9,
                note: "inherited".into(),
            },
        },
    };
    for dialect in BOTH {
        let bytes = write(dialect, &admin);
        let text = concat!(
            r#"O"com.x.Admin"{"level"=i3,"note"="own","name"="n","id"=l9,"note"="inherited","#,
            r#""roles"=L["r"],"created"=t5}"#
        );
        assert_eq!(describe(&bytes, dialect), text);
        assert_eq!(read::<Admin>(dialect, &bytes), Ok(admin.clone()));
    }
}

#[derive(Clone, Debug, PartialEq, Hessian)]
#[hessian(class = "com.x.Page")]
struct Page<T> {
    total: i32,
    items: Vec<T>,
}

#[derive(Debug, PartialEq, Hessian)]
#[hessian(class = "com.x.Borrowed")]
struct Borrowed<'a> {
    name: Cow<'a, str>,
    body: Cow<'a, [u8]>,
}

#[test]
fn generic_and_borrowing_structs() {
    for dialect in BOTH {
        let page = Page {
            total: 1,
            items: vec![item()],
        };
        assert_eq!(
            read::<Page<Item>>(dialect, &write(dialect, &page)),
            Ok(page)
        );
        let bytes = write(
            dialect,
            &Borrowed {
                name: "name".into(),
                body: vec![1, 2].into(),
            },
        );
        let back: Borrowed<'_> = read(dialect, &bytes).expect("the same");
        assert!(matches!(
            back,
            Borrowed {
                name: Cow::Borrowed("name"),
                body: Cow::Borrowed([1, 2])
            }
        ));
    }
}

#[derive(Debug, Default, Hessian)]
#[hessian(class = "com.x.Tree")]
struct Tree {
    name: String,
    parent: Option<Shared<Tree>>,
    left: Option<Shared<Tree>>,
    right: Option<Shared<Tree>>,
}

/// One object behind two fields stays one; a child's parent becomes a weak edge.
#[test]
fn shared_objects_keep_their_identity() {
    for dialect in BOTH {
        let leaf = Shared::new(Tree {
            name: "leaf".into(),
            ..Tree::default()
        });
        let root = Shared::new_cyclic(|root| Tree {
            name: "root".into(),
            parent: None,
            left: Some(Shared::new(Tree {
                name: "left".into(),
                parent: Some(root),
                left: Some(leaf.clone()),
                right: None,
            })),
            right: Some(leaf),
        });
        let bytes = write(dialect, &root);
        let text = concat!(
            r#"O"com.x.Tree"{"name"="root","parent"=N,"left"=O"com.x.Tree"{"name"="left","parent"=@0,"#,
            r#""left"=O"com.x.Tree"{"name"="leaf","parent"=N,"left"=N,"right"=N},"right"=N},"right"=@2}"#
        );
        assert_eq!(describe(&bytes, dialect), text);

        let back: Shared<Tree> = read(dialect, &bytes).expect("a tree");
        assert_eq!(write(dialect, &back), bytes);
        let tree = back.get().expect("finished");
        let left = tree.left.as_ref().expect("a left").get().expect("finished");
        assert!(
            left.left
                .as_ref()
                .expect("a leaf")
                .ptr_eq(tree.right.as_ref().expect("a right"))
        );
        let parent = left.parent.as_ref().expect("a parent");
        assert!(parent.ptr_eq(&back) && parent.is_weak());
        drop((back, tree));
        assert!(parent.get().is_none(), "nothing keeps the cycle alive");
    }
}

/// What shares an address after the first owner is gone is not the same object.
#[test]
fn writers_keep_shared_objects_alive() {
    let mut bytes = Vec::new();
    let mut e = Encoder::new(Dialect::Final, &mut bytes);
    e.list_begin(None, 50);
    for index in 0..50 {
        Shared::new(vec![index]).encode(&mut e);
    }
    e.list_end();
    let back: Vec<Vec<i32>> = read(Dialect::Final, &bytes).expect("lists");
    assert_eq!(back, (0..50).map(|index| vec![index]).collect::<Vec<_>>());
    // Text takes no number: the second time it is written again.
    let text = Shared::new("text".to_string());
    assert_eq!(
        write(Dialect::Final, &vec![text.clone(), text]),
        b"\x7a\x04text\x04text"
    );
}

#[derive(Clone, Debug, PartialEq, Hessian)]
#[hessian(class = "com.x.OrderException", throwable)]
struct OrderException {
    code: i32,
    #[hessian(message)]
    message: String,
    order_ids: Vec<i64>,
    #[hessian(cause)]
    cause: Option<Box<Throwable>>,
    #[hessian(stack)]
    stack: Vec<StackFrame>,
}

#[derive(Clone, Debug, PartialEq, Hessian)]
#[hessian(class = "com.x.Plain", throwable)]
struct Plain {}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plain text")
    }
}

#[test]
fn business_exceptions() {
    let frame = StackFrame {
        declaring_class: "com.x.Main".into(),
        method_name: "run".into(),
        file_name: Some("Main.java".into()),
        line_number: 12,
    };
    let exception = OrderException {
        code: 4,
        message: "no stock".into(),
        order_ids: vec![1, 2],
        cause: Some(Box::new(Throwable::new("java.io.IOException", "disk"))),
        stack: vec![frame.clone()],
    };
    for dialect in BOTH {
        let bytes = write(dialect, &exception);
        let text = concat!(
            r#"O"com.x.OrderException"{"code"=i4,"detailMessage"="no stock","#,
            r#""cause"=O"java.io.IOException"{"detailMessage"="disk","cause"=@1,"#,
            r#""stackTrace"=L"[java.lang.StackTraceElement"[],"suppressedExceptions"=L[]},"#,
            r#""orderIds"=L[l1,l2],"stackTrace"=L"[java.lang.StackTraceElement"[O"java.lang.StackTraceElement""#,
            r#"{"declaringClass"="com.x.Main","methodName"="run","fileName"="Main.java","lineNumber"=i12}],"#,
            r#""suppressedExceptions"=L[]}"#
        );
        assert_eq!(describe(&bytes, dialect), text);
        assert_eq!(
            read::<OrderException>(dialect, &bytes),
            Ok(exception.clone())
        );

        // The same bytes as an exception of any class.
        let any: Throwable = read(dialect, &bytes).expect("a throwable");
        assert_eq!(any.to_string(), "com.x.OrderException: no stock");
        assert_eq!(any.stack, std::slice::from_ref(&frame));
        assert_eq!(any.cause.as_deref(), exception.cause.as_deref());
        assert_eq!(any.fields[0], ("code".to_string(), Value::int(4)));
        assert_eq!(write(dialect, &any), bytes);

        // Without a cause the field points to the exception itself.
        let bytes = write(dialect, &Plain {});
        assert!(
            describe(&bytes, dialect)
                .starts_with(r#"O"com.x.Plain"{"detailMessage"="plain text","cause"=@0,"#)
        );
        assert_eq!(read::<Plain>(dialect, &bytes), Ok(Plain {}));
    }
}

#[test]
fn signatures() {
    let cases: &[(Cow<'static, str>, &str)] = &[
        (i32::java_type(), "int"),
        (<Option<i32>>::java_type(), "java.lang.Integer"),
        (bool::java_boxed(), "java.lang.Boolean"),
        (String::java_type(), "java.lang.String"),
        (<Option<String>>::java_type(), "java.lang.String"),
        (<&str>::java_type(), "java.lang.String"),
        (<Vec<i32>>::java_type(), "java.util.List"),
        (<BTreeMap<String, i32>>::java_type(), "java.util.Map"),
        (Bytes::java_type(), "[B"),
        (<Vec<u8>>::java_type(), "[B"),
        (<JavaArray<String>>::java_type(), "[Ljava.lang.String;"),
        (<JavaArray<JavaArray<i64>>>::java_type(), "[[J"),
        (<JavaArray<Item>>::java_type(), "[Lcom.x.Item;"),
        (Item::java_type(), "com.x.Item"),
        (Color::java_type(), "hessian.Main$Color"),
        (Shape::java_type(), "com.x.Shape"),
        (Anything::java_type(), "java.lang.Object"),
        (Date::java_type(), "java.util.Date"),
        (BigInteger::java_type(), "java.math.BigInteger"),
        (<Value<'_>>::java_type(), "java.lang.Object"),
        (<Shared<Item>>::java_type(), "com.x.Item"),
        (<()>::java_type(), "void"),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

/// References that typed readers meet are read again from where their target stands.
#[test]
fn references_into_what_was_read_or_skipped() {
    #[derive(Debug, PartialEq, Hessian)]
    #[hessian(class = "com.x.Pair")]
    struct Pair {
        second: Vec<JavaMap<String, i32>>,
        third: JavaMap<String, i32>,
    }
    for dialect in BOTH {
        let mut b = diwan_hessian::Builder::new();
        let (key, one) = (b.str("k"), b.int(1));
        let map = b.map(Some("java.util.TreeMap"), &[(key, one)]);
        let list = b.list(Some("java.util.LinkedList"), &[map, map]);
        // `first` is no field of `Pair`: it is skipped, and `second` and `third` refer into it.
        let pair = b.object(
            "com.x.Pair",
            &[("first", list), ("second", list), ("third", map)],
        );
        let bytes = write(dialect, &b.finish(pair));
        let map = JavaMap(vec![("k".to_string(), 1)]);
        assert_eq!(
            read::<Pair>(dialect, &bytes),
            Ok(Pair {
                second: vec![map.clone(), map.clone()],
                third: map
            })
        );
    }
}

/// Two arguments of a call, the second a list of the first: identity holds however they are read.
#[test]
fn values_read_one_by_one_keep_their_identity() {
    for dialect in BOTH {
        let mut b = diwan_hessian::Builder::new();
        let tag = b.object("com.x.Tag", &[]);
        let list = b.list(None, &[tag]);
        let pair = b.list(None, &[tag, list]);
        let pair = b.finish(pair);
        let mut bytes = Vec::new();
        let mut e = Encoder::new(dialect, &mut bytes);
        pair.items()
            .for_each(|item| pair.at(item).expect("an item").encode(&mut e));

        let mut d = Decoder::with(&bytes, Some(dialect), Limits::default());
        let (first, second): (Value<'_>, Value<'_>) =
            (d.get().expect("a tag"), d.get().expect("a list"));
        assert!(second.items().next().expect("an item").ptr_eq(first.root()));
        let mut again = Vec::new();
        let mut e = Encoder::new(dialect, &mut again);
        first.encode(&mut e);
        second.encode(&mut e);
        assert_eq!(again, bytes);
    }
}

#[test]
fn values_travel_between_threads() {
    fn travels<T: Send + Sync + Clone>() {}
    travels::<Value<'static>>();
    travels::<Shared<Tree>>();
    travels::<Throwable>();
    fn sends<T: Send>() {}
    sends::<Encoder<'_>>();
    sends::<Decoder<'_>>();
    // Arguments of a call are a list of whatever can be written.
    let arguments: Vec<Box<dyn Encode>> = vec![Box::new(1), Box::new("a"), Box::new(item())];
    let mut bytes = Vec::new();
    let mut e = Encoder::new(Dialect::Final, &mut bytes);
    arguments
        .iter()
        .for_each(|argument| argument.encode(&mut e));
    assert!(bytes.starts_with(b"\x91\x01aC"));
}

/// A map of the class, or of none, stands for an object: its keys are the names of the fields. So Java has it.
#[test]
fn a_map_stands_for_an_object() {
    for dialect in BOTH {
        let mut b = diwan_hessian::Builder::new();
        let radius = (b.str("radius"), b.double(1.5));
        let unknown = (b.int(7), b.str("no field"));
        let circle = b.map(Some("com.x.Circle"), &[unknown, radius]);
        let untyped = b.map(None, &[radius]);
        let other = b.map(Some("com.x.Pan"), &[radius]);
        let list = b.list(None, &[circle, circle, circle]);
        let other_list = b.list(None, &[other]);
        let all = b.list(None, &[list, untyped, other_list]);
        let all = b.finish(all);
        let bytes = |path: &[usize]| {
            let node = path.iter().fold(all.root(), |node, &index| {
                node.items().nth(index).expect("an item")
            });
            write(dialect, &all.at(node).expect("a node"))
        };
        let circle = Circle { radius: 1.5 };
        assert_eq!(read::<Circle>(dialect, &bytes(&[0, 0])), Ok(circle.clone()));
        assert_eq!(read::<Circle>(dialect, &bytes(&[1])), Ok(circle.clone()));
        // The second and third are back references, and the type's name is not said again.
        assert_eq!(
            read::<Vec<Circle>>(dialect, &bytes(&[0])),
            Ok(vec![circle.clone(); 3])
        );
        assert_eq!(
            read::<Vec<Shape>>(dialect, &bytes(&[0])),
            Ok(vec![Shape::Circle(circle.clone()); 3])
        );
        let shared = read::<Vec<Shared<Circle>>>(dialect, &bytes(&[0])).expect("circles");
        assert!(Shared::ptr_eq(&shared[0], &shared[2]));
        let wrong = read::<Vec<Circle>>(dialect, &bytes(&[2]));
        assert!(
            matches!(&wrong, Err(Error::Class { found, .. }) if &**found == "com.x.Pan"),
            "{wrong:?}"
        );
        let wrong = read::<Vec<Shape>>(dialect, &bytes(&[2]));
        assert!(
            matches!(&wrong, Err(Error::Class { found, .. }) if &**found == "com.x.Pan"),
            "{wrong:?}"
        );
    }
}

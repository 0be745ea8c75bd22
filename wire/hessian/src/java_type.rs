//! The Java type of a Rust type, as it stands in a method signature.

use std::borrow::Cow;

/// Names the Java type a Rust type stands for.
///
/// SOFARPC sends these names as the `methodArgSigs` of a request
/// (`sofastack/sofa-rpc:core-impl/codec-api/.../SofaRequest`): `int`, `java.lang.String`, `java.util.List`.
pub trait JavaType {
    /// `int`, `java.util.List`, `[Ljava.lang.String;`, `com.diwan.bench.Order`.
    fn java_type() -> Cow<'static, str>;

    /// The type as an object: `java.lang.Integer` for `int`. This is what `Option<i32>` stands for.
    fn java_boxed() -> Cow<'static, str> {
        Self::java_type()
    }
}

/// The Java type of an array whose elements are of a type: `[I` for `int`, `[Ljava.lang.String;` for
/// `java.lang.String`, `[[I` for `[I` (`sofastack/sofa-rpc:core/common/.../ClassTypeUtils.java`).
pub fn array_of(element: &str) -> String {
    match element {
        "boolean" => "[Z".into(),
        "byte" => "[B".into(),
        "char" => "[C".into(),
        "short" => "[S".into(),
        "int" => "[I".into(),
        "long" => "[J".into(),
        "float" => "[F".into(),
        "double" => "[D".into(),
        nested if nested.starts_with('[') => format!("[{nested}"),
        class => format!("[L{class};"),
    }
}

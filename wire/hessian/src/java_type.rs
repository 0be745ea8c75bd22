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

/// The Java type that an array's type says its elements have, the way back of [`array_of`]: `int` for `[I`, `[I` for
/// `[[I`; `None` for a type that is no array.
pub fn element_of(array: &str) -> Option<&str> {
    Some(match array.strip_prefix('[')? {
        "Z" => "boolean",
        "B" => "byte",
        "C" => "char",
        "S" => "short",
        "I" => "int",
        "J" => "long",
        "F" => "float",
        "D" => "double",
        other => other
            .strip_prefix('L')
            .and_then(|class| class.strip_suffix(';'))
            .unwrap_or(other),
    })
}

/// The class that an array of elements of this Java type has on the wire: `[int`, `[string`, `[com.x.Y`, `[[int`
/// (`ArraySerializer.getArrayType`, `BasicSerializer`).
pub fn array_class(element: &str) -> String {
    match element {
        "java.lang.String" => "[string".into(),
        "java.lang.Object" => "[object".into(),
        "java.util.Date" => "[date".into(),
        other => match element_of(other) {
            Some(inner) => format!("[{}", array_class(inner)),
            None => format!("[{other}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_by_type_and_by_class() {
        for (element, array, class) in [
            ("boolean", "[Z", "[boolean"),
            ("short", "[S", "[short"),
            ("int", "[I", "[int"),
            ("long", "[J", "[long"),
            ("float", "[F", "[float"),
            ("double", "[D", "[double"),
            ("java.lang.String", "[Ljava.lang.String;", "[string"),
            ("java.lang.Object", "[Ljava.lang.Object;", "[object"),
            ("java.util.Date", "[Ljava.util.Date;", "[date"),
            ("com.x.Y", "[Lcom.x.Y;", "[com.x.Y"),
            ("[I", "[[I", "[[int"),
            ("[Ljava.lang.String;", "[[Ljava.lang.String;", "[[string"),
            ("[[Lcom.x.Y;", "[[[Lcom.x.Y;", "[[[com.x.Y"),
        ] {
            assert_eq!(array_of(element), array);
            assert_eq!(element_of(array), Some(element));
            assert_eq!(array_class(element), class);
        }
        assert_eq!(element_of("com.x.Y"), None);
    }
}

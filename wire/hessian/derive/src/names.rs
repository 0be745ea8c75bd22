//! Java's names for Rust's, and which types Java counts as primitive.

use syn::{Error, GenericArgument, Ident, LitStr, PathArguments, Result, Type};

/// `order_id` as `orderId`.
pub(crate) fn camel_case(ident: &Ident) -> String {
    let ident = ident.to_string();
    let mut words = ident
        .trim_start_matches("r#")
        .split('_')
        .filter(|word| !word.is_empty());
    let mut name = words.next().unwrap_or_default().to_string();
    for word in words {
        let mut chars = word.chars();
        name.extend(chars.next().into_iter().flat_map(char::to_uppercase));
        name.push_str(chars.as_str());
    }
    name
}

/// `DarkRed` as `DARK_RED`.
pub(crate) fn constant_case(ident: &Ident) -> String {
    let ident = ident.to_string();
    let mut name = String::new();
    for c in ident.trim_start_matches("r#").chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(c.to_uppercase());
    }
    name
}

/// Names of derived classes are compared and written as constants, so they are ASCII.
pub(crate) fn check(name: &LitStr) -> Result<String> {
    let text = name.value();
    if text.is_empty() || !text.is_ascii() {
        return Err(Error::new_spanned(
            name,
            "a Java name of derived code is not empty and ASCII",
        ));
    }
    Ok(text)
}

/// Whether Java's writer puts a field of this type into the first group: primitives and what is in `java.lang`
/// (`sofastack/sofa-hessian@3.x:JavaSerializer.introspect`). Decided by the type's name, aliases are not seen through.
pub(crate) fn is_simple(ty: &Type) -> bool {
    match ty {
        Type::Reference(reference) => is_simple(&reference.elem),
        Type::Group(group) => is_simple(&group.elem),
        Type::Paren(paren) => is_simple(&paren.elem),
        Type::Path(path) => {
            let Some(last) = path.path.segments.last() else {
                return false;
            };
            match last.ident.to_string().as_str() {
                "bool" | "i8" | "i16" | "i32" | "i64" | "f32" | "f64" | "char" | "String"
                | "str" => true,
                "Throwable" | "JavaClass" | "StackFrame" => true,
                "Option" | "Box" | "Arc" | "Cow" | "Shared" => {
                    inner(&last.arguments).is_some_and(is_simple)
                }
                _ => false,
            }
        }
        _ => false,
    }
}

fn inner(arguments: &PathArguments) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = arguments else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

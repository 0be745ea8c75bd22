//! `#[derive(Hessian)]`: `Encode`, `Decode` and `JavaType` for Rust types that stand for Java classes.

mod attributes;
mod enums;
mod names;
mod structs;

use proc_macro::TokenStream;
use syn::{Data, DeriveInput, Error, parse_macro_input, parse_quote};

/// Makes a struct or enum stand for a Java class.
///
/// - `#[hessian(class = "com.x.Order")]` on a struct: its fields by name, `order_id` as `orderId`. They are written in
///   Java's order, that is those of primitive and `java.lang` types first; declare them as the Java class does. Fields
///   the sender does not have get their type's default, those the struct does not have are skipped. On a field:
///   `rename = "x"`, `skip` (not on the wire), `default` (missing is `Default::default()`), `extends` (the field is the
///   superclass, its fields become this class's).
/// - `#[hessian(class = "com.x.OrderException", throwable)]`: an exception; on its fields `message`, `cause` and `stack`
///   name those of `Throwable`. Without `message` the `Display` text is sent.
/// - `#[hessian(class = "com.x.Color")]` on an enum of unit variants: a Java enum, `DarkRed` is `DARK_RED` or `rename`.
/// - On an enum of one-field variants: an interface or superclass; the class name of an object picks the variant,
///   `#[hessian(other)]` takes what no other one does.
/// - `crate = "path"` names this crate if it is not `::diwan_hessian`.
#[proc_macro_derive(Hessian, attributes(hessian))]
pub fn derive_hessian(input: TokenStream) -> TokenStream {
    derive(parse_macro_input!(input as DeriveInput))
}

/// `Hessian` for crates that know the runtime crate as `::diwan::hessian`; the facade exports it under that name.
#[proc_macro_derive(FacadeHessian, attributes(hessian))]
pub fn derive_facade_hessian(input: TokenStream) -> TokenStream {
    let mut input = parse_macro_input!(input as DeriveInput);
    // First, so that one written on the type overrides it.
    input
        .attrs
        .insert(0, parse_quote!(#[hessian(crate = "::diwan::hessian")]));
    derive(input)
}

fn derive(input: DeriveInput) -> TokenStream {
    let made = match &input.data {
        Data::Struct(data) => structs::derive(&input, data),
        Data::Enum(data) => enums::derive(&input, data),
        Data::Union(_) => Err(Error::new_spanned(&input, "a union has no Java class")),
    };
    made.unwrap_or_else(Error::into_compile_error).into()
}

//! Enums: Java enums, and interfaces or superclasses by the classes that implement them.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    DataEnum, DeriveInput, Error, Fields, GenericParam, Ident, Result, Type, Variant, parse_quote,
};

use crate::attributes::{MemberAttributes, TypeAttributes};
use crate::names;
use crate::structs::{bounded, reading};

pub(crate) fn derive(input: &DeriveInput, data: &DataEnum) -> Result<TokenStream> {
    if data
        .variants
        .iter()
        .all(|variant| matches!(variant.fields, Fields::Unit))
    {
        constants(input, data)
    } else {
        classes(input, data)
    }
}

/// Unit variants: an object of one field `name` (`EnumSerializer`).
fn constants(input: &DeriveInput, data: &DataEnum) -> Result<TokenStream> {
    let attributes = TypeAttributes::of(input)?;
    let class = attributes.required_class(input)?;
    let (ident, krate) = (&input.ident, &attributes.krate);
    let variants: Vec<&Ident> = data.variants.iter().map(|variant| &variant.ident).collect();
    let mut constant_names = Vec::new();
    for variant in &data.variants {
        let attributes = MemberAttributes::of(&variant.attrs)?;
        constant_names.push(
            attributes
                .rename
                .unwrap_or_else(|| names::constant_case(&variant.ident)),
        );
    }
    let numbers = 0..variants.len();
    let indices = numbers.clone();
    Ok(quote! {
        #[doc(hidden)]
        #[allow(missing_docs, unreachable_pub, clippy::all, unused)]
        const _: () = {
            use #krate::derive_support as __support;
            use #krate as __hessian;
            const NAME: &str = #class;
            const FIELDS: &[&str] = &["name"];
            const DRAFT: [u8; __support::definition_len(true, NAME, FIELDS)] =
                __support::definition(true, NAME, FIELDS);
            const LAST: [u8; __support::definition_len(false, NAME, FIELDS)] =
                __support::definition(false, NAME, FIELDS);
            static TYPED: __support::Typed = __support::Typed {
                class: __support::Class { name: NAME, fields: FIELDS },
                draft: &DRAFT,
                last: &LAST,
            };
            const CONSTANTS: &[(&str, usize)] = &[#((#constant_names, #numbers)),*];
            impl __hessian::Encode for #ident {
                fn encode(&self, e: &mut __hessian::Encoder<'_>) {
                    let name = match self {
                        #(Self::#variants => #constant_names,)*
                    };
                    __support::write_constant(e, &TYPED, name);
                }
            }
            impl<'de> __hessian::Decode<'de> for #ident {
                fn decode(d: &mut __hessian::Decoder<'de>) -> __hessian::Result<Self> {
                    match __support::read_constant(d, &TYPED, CONSTANTS)? {
                        #(#indices => ::std::result::Result::Ok(Self::#variants),)*
                        _ => ::std::unreachable!("an index into CONSTANTS"),
                    }
                }
            }
            impl __hessian::JavaType for #ident {
                fn java_type() -> ::std::borrow::Cow<'static, str> {
                    ::std::borrow::Cow::Borrowed(#class)
                }
            }
            impl __support::Accepts for #ident {
                fn accepts(class: &str) -> bool {
                    __support::accepts_constant(class, #class)
                }
            }
        };
    })
}

/// One-field variants: the class name of the object picks one.
fn classes(input: &DeriveInput, data: &DataEnum) -> Result<TokenStream> {
    let attributes = TypeAttributes::of(input)?;
    let class = attributes
        .class
        .clone()
        .unwrap_or_else(|| "java.lang.Object".into());
    let (ident, krate) = (&input.ident, &attributes.krate);
    let mut variants: Vec<&Ident> = Vec::new();
    let mut types: Vec<&Type> = Vec::new();
    let mut other: Option<(&Ident, &Type)> = None;
    for variant in &data.variants {
        let ty = only_type(variant)?;
        if MemberAttributes::of(&variant.attrs)?.other {
            if other.replace((&variant.ident, ty)).is_some() {
                return Err(Error::new_spanned(
                    variant,
                    "one variant takes all other classes",
                ));
            }
        } else {
            variants.push(&variant.ident);
            types.push(ty);
        }
    }
    let all = data.variants.iter().map(|variant| &variant.ident);
    let otherwise = match other {
        Some((variant, _)) => quote!(__hessian::Decode::decode(d).map(Self::#variant)),
        None => quote!(::std::result::Result::Err(
            __support::other_class(d, #class, class.map(::std::borrow::Cow::into_owned))
        )),
    };
    let accepts_other = other.is_some();
    let writing = bounded(&input.generics, &quote!(__hessian::Encode));
    let (encode_generics, _, encode_where) = writing.split_for_impl();
    let mut reading = reading(&input.generics);
    for param in &mut reading.params {
        if let GenericParam::Type(param) = param {
            param.bounds.push(parse_quote!(__support::Accepts));
        }
    }
    let (decode_generics, _, decode_where) = reading.split_for_impl();
    let accepting = bounded(&input.generics, &quote!(__support::Accepts));
    let (accept_generics, _, accept_where) = accepting.split_for_impl();
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        #[doc(hidden)]
        #[allow(missing_docs, unreachable_pub, clippy::all, unused)]
        const _: () = {
            use #krate::derive_support as __support;
            use #krate as __hessian;
            impl #encode_generics __hessian::Encode for #ident #type_generics #encode_where {
                fn encode(&self, e: &mut __hessian::Encoder<'_>) {
                    match self {
                        #(Self::#all(value) => __hessian::Encode::encode(value, e),)*
                    }
                }
            }
            impl #decode_generics __hessian::Decode<'de> for #ident #type_generics #decode_where {
                fn decode(d: &mut __hessian::Decoder<'de>) -> __hessian::Result<Self> {
                    let class = d.peek_class()?;
                    if let ::std::option::Option::Some(class) = &class {
                        #(if <#types as __support::Accepts>::accepts(class) {
                            return __hessian::Decode::decode(d).map(Self::#variants);
                        })*
                    }
                    #otherwise
                }
            }
            impl #impl_generics __hessian::JavaType for #ident #type_generics #where_clause {
                fn java_type() -> ::std::borrow::Cow<'static, str> {
                    ::std::borrow::Cow::Borrowed(#class)
                }
            }
            impl #accept_generics __support::Accepts for #ident #type_generics #accept_where {
                fn accepts(class: &str) -> bool {
                    #accepts_other #(|| <#types as __support::Accepts>::accepts(class))*
                }
            }
        };
    })
}

fn only_type(variant: &Variant) -> Result<&Type> {
    match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => Ok(&fields.unnamed[0].ty),
        _ => Err(Error::new_spanned(
            variant,
            "a variant of an interface holds one class: Circle(Circle)",
        )),
    }
}

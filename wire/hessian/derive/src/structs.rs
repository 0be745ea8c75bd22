//! Structs: classes with fields.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{
    DataStruct, DeriveInput, Error, Fields, GenericParam, Generics, Ident, Lifetime, Result, Type,
    parse_quote,
};

use crate::attributes::{MemberAttributes, TypeAttributes};
use crate::names;

/// A field that is on the wire.
struct Field<'f> {
    ident: &'f Ident,
    ty: &'f Type,
    name: String,
    default: bool,
    simple: bool,
}

/// The fields of a struct by what they are for.
struct Members<'f> {
    /// In Java's order: the primitive ones first.
    fields: Vec<Field<'f>>,
    simple: usize,
    skipped: Vec<&'f Ident>,
    parent: Option<(&'f Ident, &'f Type)>,
    message: Option<(&'f Ident, &'f Type)>,
    cause: Option<&'f Ident>,
    stack: Option<&'f Ident>,
}

pub(crate) fn derive(input: &DeriveInput, data: &DataStruct) -> Result<TokenStream> {
    let attributes = TypeAttributes::of(input)?;
    let class = attributes.required_class(input)?;
    let members = members(input, data, attributes.throwable)?;
    let krate = &attributes.krate;
    let ident = &input.ident;

    let description = description(&members, &class, attributes.throwable);
    let slots = slots(input, &members, attributes.throwable);
    let encode = encode(input, &members, attributes.throwable);
    let decode = decode(input, &members, &class, attributes.throwable);
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        #[doc(hidden)]
        #[allow(missing_docs, unreachable_pub, non_camel_case_types, clippy::all, unused)]
        const _: () = {
            use #krate::derive_support as __support;
            use #krate as __hessian;
            #description
            #slots
            #encode
            #decode
            impl #impl_generics __hessian::JavaType for #ident #type_generics #where_clause {
                fn java_type() -> ::std::borrow::Cow<'static, str> {
                    ::std::borrow::Cow::Borrowed(#class)
                }
            }
            impl #impl_generics __support::Accepts for #ident #type_generics #where_clause {
                fn accepts(class: &str) -> bool {
                    class == #class
                }
            }
        };
    })
}

fn members<'f>(input: &DeriveInput, data: &'f DataStruct, throwable: bool) -> Result<Members<'f>> {
    let named = match &data.fields {
        Fields::Named(fields) => Some(&fields.named),
        Fields::Unit => None,
        Fields::Unnamed(_) => {
            return Err(Error::new_spanned(&input.ident, "Java fields have names"));
        }
    };
    let mut members = Members {
        fields: Vec::new(),
        simple: 0,
        skipped: Vec::new(),
        parent: None,
        message: None,
        cause: None,
        stack: None,
    };
    for field in named.into_iter().flatten() {
        let Some(ident) = &field.ident else { continue };
        let attributes = MemberAttributes::of(&field.attrs)?;
        let special = attributes.message || attributes.cause || attributes.stack;
        if special && !throwable {
            return Err(Error::new_spanned(
                ident,
                "only a throwable has this: #[hessian(class = .., throwable)]",
            ));
        }
        if attributes.skip {
            members.skipped.push(ident);
        } else if attributes.extends {
            if members.parent.replace((ident, &field.ty)).is_some() {
                return Err(Error::new_spanned(ident, "a Java class has one superclass"));
            }
        } else if attributes.message {
            members.message = Some((ident, &field.ty));
        } else if attributes.cause {
            members.cause = Some(ident);
        } else if attributes.stack {
            members.stack = Some(ident);
        } else {
            let name = attributes
                .rename
                .unwrap_or_else(|| names::camel_case(ident));
            if !name.is_ascii() {
                return Err(Error::new_spanned(
                    ident,
                    "a Java name of derived code is ASCII; use rename",
                ));
            }
            let simple = names::is_simple(&field.ty);
            members.fields.push(Field {
                ident,
                ty: &field.ty,
                name,
                default: attributes.default,
                simple,
            });
        }
    }
    if throwable && members.parent.is_some() && special_count(&members) > 0 {
        return Err(Error::new_spanned(
            &input.ident,
            "message, cause and stack belong to the topmost throwable",
        ));
    }
    members.fields.sort_by_key(|field| !field.simple);
    members.simple = members.fields.iter().filter(|field| field.simple).count();
    Ok(members)
}

fn special_count(members: &Members<'_>) -> usize {
    usize::from(members.message.is_some())
        + usize::from(members.cause.is_some())
        + usize::from(members.stack.is_some())
}

/// Whether the struct itself holds the fields of `java.lang.Throwable`, rather than its parent.
fn is_top_throwable(members: &Members<'_>, throwable: bool) -> bool {
    throwable && members.parent.is_none()
}

/// The constants: names by group, and the class with the bytes of its definition.
fn description(members: &Members<'_>, class: &str, throwable: bool) -> TokenStream {
    let (simple, compound) = members.fields.split_at(members.simple);
    let mut simple: Vec<&str> = simple.iter().map(|field| field.name.as_str()).collect();
    let mut compound: Vec<&str> = compound.iter().map(|field| field.name.as_str()).collect();
    let own: Vec<&str> = members
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    if is_top_throwable(members, throwable) {
        simple.extend(["detailMessage", "cause"]);
        compound.extend(["stackTrace", "suppressedExceptions"]);
    }
    let groups = match members.parent {
        None => quote! {
            const SIMPLE: &[&str] = &[#(#simple),*];
            const COMPOUND: &[&str] = &[#(#compound),*];
        },
        Some((_, parent)) => quote! {
            const OWN_SIMPLE: &[&str] = &[#(#simple),*];
            const OWN_COMPOUND: &[&str] = &[#(#compound),*];
            const SIMPLE: &[&str] = &__support::concat_names::<
                { OWN_SIMPLE.len() + <#parent as __support::Fields>::SIMPLE.len() },
            >(&[OWN_SIMPLE, <#parent as __support::Fields>::SIMPLE]);
            const COMPOUND: &[&str] = &__support::concat_names::<
                { OWN_COMPOUND.len() + <#parent as __support::Fields>::COMPOUND.len() },
            >(&[OWN_COMPOUND, <#parent as __support::Fields>::COMPOUND]);
        },
    };
    quote! {
        #groups
        /// The fields this struct holds itself, in the order of its slots.
        const OWN: &[&str] = &[#(#own),*];
        const NAME: &str = #class;
        const FIELDS: &[&str] =
            &__support::concat_names::<{ SIMPLE.len() + COMPOUND.len() }>(&[SIMPLE, COMPOUND]);
        const DRAFT: [u8; __support::definition_len(true, NAME, FIELDS)] =
            __support::definition(true, NAME, FIELDS);
        const LAST: [u8; __support::definition_len(false, NAME, FIELDS)] =
            __support::definition(false, NAME, FIELDS);
        static TYPED: __support::Typed = __support::Typed {
            class: __support::Class { name: NAME, fields: FIELDS },
            draft: &DRAFT,
            last: &LAST,
        };
    }
}

/// The struct of optional fields that is filled while an object is read by name.
fn slots(input: &DeriveInput, members: &Members<'_>, throwable: bool) -> TokenStream {
    let generics = &input.generics;
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let idents: Vec<_> = members.fields.iter().map(|field| field.ident).collect();
    let types = members.fields.iter().map(|field| field.ty);
    let parent = members
        .parent
        .map(|(_, ty)| quote!(__parent: <#ty as __support::Fields>::Slots,));
    let parent_default = members
        .parent
        .map(|_| quote!(__parent: ::std::default::Default::default(),));
    let (mut special, mut special_default) = (TokenStream::new(), TokenStream::new());
    if is_top_throwable(members, throwable) {
        special = quote! {
            __message: ::std::option::Option<::std::string::String>,
            __cause: ::std::option::Option<::std::boxed::Box<__hessian::Throwable>>,
            __stack: ::std::vec::Vec<__hessian::StackFrame>,
        };
        special_default = quote! {
            __message: ::std::option::Option::None,
            __cause: ::std::option::Option::None,
            __stack: ::std::vec::Vec::new(),
        };
    }
    let phantom = phantom(generics);
    let prefixed: Vec<_> = idents.iter().map(|ident| slot(ident)).collect();
    quote! {
        pub struct __Slots #impl_generics #where_clause {
            #(#prefixed: ::std::option::Option<#types>,)*
            #parent
            #special
            __phantom: ::std::marker::PhantomData<#phantom>,
        }
        impl #impl_generics ::std::default::Default for __Slots #type_generics #where_clause {
            fn default() -> Self {
                __Slots {
                    #(#prefixed: ::std::option::Option::None,)*
                    #parent_default
                    #special_default
                    __phantom: ::std::marker::PhantomData,
                }
            }
        }
    }
}

fn slot(ident: &Ident) -> Ident {
    format_ident!("slot_{}", ident)
}

/// A type that mentions every generic parameter.
fn phantom(generics: &Generics) -> TokenStream {
    let parts = generics.params.iter().filter_map(|param| match param {
        GenericParam::Type(param) => {
            let ident = &param.ident;
            Some(quote!(#ident))
        }
        GenericParam::Lifetime(param) => {
            let lifetime = &param.lifetime;
            Some(quote!(&#lifetime ()))
        }
        GenericParam::Const(_) => None,
    });
    quote!((#(#parts,)*))
}

/// The generics with a bound on every type parameter.
pub(crate) fn bounded(generics: &Generics, bound: &TokenStream) -> Generics {
    let mut generics = generics.clone();
    for param in &mut generics.params {
        if let GenericParam::Type(param) = param {
            param.bounds.push(parse_quote!(#bound));
        }
    }
    generics
}

/// The generics for reading: `'de` outlives every lifetime, every type parameter can be read.
pub(crate) fn reading(generics: &Generics) -> Generics {
    let mut bounded = bounded(generics, &quote!(__hessian::Decode<'de>));
    let lifetimes: Vec<Lifetime> = generics
        .lifetimes()
        .map(|param| param.lifetime.clone())
        .collect();
    bounded.params.insert(0, parse_quote!('de #(: #lifetimes)*));
    if lifetimes.len() > 1 {
        bounded.params[0] = parse_quote!('de: #(#lifetimes)+*);
    }
    bounded
}

fn encode(input: &DeriveInput, members: &Members<'_>, throwable: bool) -> TokenStream {
    let ident = &input.ident;
    let generics = bounded(&input.generics, &quote!(__hessian::Encode));
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let (_, type_generics, _) = input.generics.split_for_impl();
    let (simple, compound) = members.fields.split_at(members.simple);
    let simple = simple.iter().map(|field| field.ident);
    let compound = compound.iter().map(|field| field.ident);
    let (mut last_simple, mut last_compound) = match members.parent {
        Some((parent, _)) => (
            quote!(__support::Fields::encode_simple(&self.#parent, e, number);),
            quote!(__support::Fields::encode_compound(&self.#parent, e);),
        ),
        None => (TokenStream::new(), TokenStream::new()),
    };
    if is_top_throwable(members, throwable) {
        let message = match members.message {
            Some((message, _)) => {
                quote!(::std::convert::Into::into(::std::clone::Clone::clone(&self.#message)))
            }
            None => quote!(::std::option::Option::Some(
                ::std::string::ToString::to_string(self)
            )),
        };
        let cause = match members.cause {
            Some(cause) => quote!(self.#cause.as_deref()),
            None => quote!(::std::option::Option::None),
        };
        let stack = match members.stack {
            Some(stack) => quote!(&self.#stack),
            None => quote!(&[]),
        };
        last_simple = quote! {
            let message: ::std::option::Option<::std::string::String> = #message;
            __support::write_head(e, number, message.as_deref(), #cause);
        };
        last_compound = quote!(__support::write_tail(e, #stack, &[]););
    }
    quote! {
        impl #impl_generics __support::Fields for #ident #type_generics #where_clause {
            const SIMPLE: &'static [&'static str] = SIMPLE;
            const COMPOUND: &'static [&'static str] = COMPOUND;
            type Slots = __Slots #type_generics;

            #[inline]
            fn encode_simple(&self, e: &mut __hessian::Encoder<'_>, number: u32) {
                #(__hessian::Encode::encode(&self.#simple, e);)*
                #last_simple
            }

            #[inline]
            fn encode_compound(&self, e: &mut __hessian::Encoder<'_>) {
                #(__hessian::Encode::encode(&self.#compound, e);)*
                #last_compound
            }
        }

        impl #impl_generics __hessian::Encode for #ident #type_generics #where_clause {
            fn encode(&self, e: &mut __hessian::Encoder<'_>) {
                let number = __support::next_number(e);
                e.object_of(&TYPED);
                __support::Fields::encode_simple(self, e, number);
                __support::Fields::encode_compound(self, e);
            }
        }
    }
}

fn decode(input: &DeriveInput, members: &Members<'_>, class: &str, throwable: bool) -> TokenStream {
    let ident = &input.ident;
    let mut generics = reading(&input.generics);
    // Reading goes through `Fields`, which is also what writing is made of.
    for param in &mut generics.params {
        if let GenericParam::Type(param) = param {
            param.bounds.push(parse_quote!(__hessian::Encode));
        }
    }
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let (_, type_generics, _) = input.generics.split_for_impl();
    let read_field = read_field(members, throwable);
    let finish = finish(members, class, throwable);
    let exact = exact(members, throwable);
    quote! {
        impl #impl_generics __support::ReadFields<'de> for #ident #type_generics #where_clause {
            fn read_field(
                slots: &mut Self::Slots,
                name: &[u8],
                guess: &mut usize,
                d: &mut __hessian::Decoder<'de>,
                number: u32,
            ) -> __hessian::Result<bool> {
                #read_field
            }

            fn finish(slots: Self::Slots, d: &__hessian::Decoder<'de>) -> __hessian::Result<Self> {
                #finish
            }
        }

        impl #impl_generics __hessian::Decode<'de> for #ident #type_generics #where_clause {
            fn decode(d: &mut __hessian::Decoder<'de>) -> __hessian::Result<Self> {
                let offset = d.position();
                match d.object_or_map(&TYPED)? {
                    ::std::option::Option::Some(__support::Found::Object(head, exact)) => {
                        #exact
                        __support::read_fields(d, head)
                    }
                    ::std::option::Option::Some(__support::Found::Map(head)) => {
                        __support::read_entries(d, head)
                    }
                    ::std::option::Option::None => {
                        ::std::result::Result::Err(__support::null(offset, #class))
                    }
                }
            }
        }
    }
}

/// The usual case: the class was defined as it is declared, so the fields are read one after the other.
fn exact(members: &Members<'_>, throwable: bool) -> TokenStream {
    if members.parent.is_some() || throwable {
        return TokenStream::new();
    }
    let idents: Vec<_> = members.fields.iter().map(|field| field.ident).collect();
    let prefixed: Vec<_> = idents.iter().map(|ident| slot(ident)).collect();
    let skipped = &members.skipped;
    quote! {
        if exact {
            #(let #prefixed = __hessian::Decode::decode(d)?;)*
            d.object_end(head)?;
            return ::std::result::Result::Ok(Self {
                #(#idents: #prefixed,)*
                #(#skipped: ::std::default::Default::default(),)*
            });
        }
    }
}

fn read_field(members: &Members<'_>, throwable: bool) -> TokenStream {
    let indices = 0..members.fields.len();
    let prefixed = members.fields.iter().map(|field| slot(field.ident));
    let rest = match members.parent {
        Some((_, parent)) => quote! {
            <#parent as __support::ReadFields<'de>>::read_field(&mut slots.__parent, name, guess, d, number)
        },
        None if throwable => quote! {
            match name {
                b"detailMessage" => slots.__message = __hessian::Decode::decode(d)?,
                b"cause" => slots.__cause = __support::read_cause(d, number)?,
                b"stackTrace" => slots.__stack = __hessian::Decode::decode(d)?,
                _ => return ::std::result::Result::Ok(false),
            }
            ::std::result::Result::Ok(true)
        },
        None => quote!(::std::result::Result::Ok(false)),
    };
    // A superclass may have a field of the same name: it comes second and is not this struct's.
    quote! {
        match __support::find(OWN, name, guess) {
            #(::std::option::Option::Some(#indices) if slots.#prefixed.is_none() => {
                slots.#prefixed = ::std::option::Option::Some(__hessian::Decode::decode(d)?);
                return ::std::result::Result::Ok(true);
            })*
            _ => {}
        }
        #rest
    }
}

fn finish(members: &Members<'_>, class: &str, throwable: bool) -> TokenStream {
    let fields = members.fields.iter().map(|field| {
        let (ident, ty, name, prefixed) = (field.ident, field.ty, &field.name, slot(field.ident));
        let missing = if field.default {
            quote!(::std::default::Default::default())
        } else {
            quote! {
                __support::missing(d, || {
                    #[allow(unused_imports)]
                    use __support::{AbsentDefault as _, AbsentNone as _};
                    (&__support::Absent::<#ty>::new()).fallback()
                }, #class, #name)?
            }
        };
        quote! {
            #ident: match slots.#prefixed {
                ::std::option::Option::Some(value) => value,
                ::std::option::Option::None => #missing,
            },
        }
    });
    let skipped = &members.skipped;
    let parent = members.parent.map(|(ident, ty)| {
        quote!(#ident: <#ty as __support::ReadFields<'de>>::finish(slots.__parent, d)?,)
    });
    let message = members.message.map(|(ident, ty)| {
        if names::is_simple(ty) && quote!(#ty).to_string().starts_with("Option") {
            quote!(#ident: slots.__message,)
        } else {
            quote!(#ident: slots.__message.unwrap_or_default().into(),)
        }
    });
    let cause = members.cause.map(|ident| quote!(#ident: slots.__cause,));
    let stack = members.stack.map(|ident| quote!(#ident: slots.__stack,));
    let _ = throwable;
    quote! {
        ::std::result::Result::Ok(Self {
            #(#fields)*
            #(#skipped: ::std::default::Default::default(),)*
            #parent
            #message
            #cause
            #stack
        })
    }
}

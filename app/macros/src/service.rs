use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::parse::Parser;
use syn::{Error, Ident, ItemTrait, LitStr, Result, TraitItem, parse_quote};

use crate::method::Method;

const CODECS: [&str; 3] = ["hessian", "json", "protobuf"];

/// What stands in `#[diwan::service(...)]`.
struct Arguments {
    interface: String,
    version: String,
    codecs: Vec<Ident>,
}

impl Arguments {
    fn parse(tokens: TokenStream) -> Result<Self> {
        let mut interface = None;
        let mut version = "1.0".to_owned();
        let mut codecs = Vec::new();
        let parser = syn::meta::parser(|meta| {
            if meta.path.is_ident("interface") {
                interface = Some(meta.value()?.parse::<LitStr>()?.value());
            } else if meta.path.is_ident("version") {
                version = meta.value()?.parse::<LitStr>()?.value();
            } else if meta.path.is_ident("codecs") {
                meta.parse_nested_meta(|codec| {
                    let ident = codec.path.require_ident()?.clone();
                    if !CODECS.iter().any(|known| ident == known) {
                        return Err(codec.error("known are `hessian`, `json` and `protobuf`"));
                    }
                    codecs.push(ident);
                    Ok(())
                })?;
            } else {
                return Err(meta.error("known are `interface`, `version` and `codecs(...)`"));
            }
            Ok(())
        });
        parser.parse2(tokens)?;
        if codecs.is_empty() {
            codecs.push(Ident::new("hessian", Span::call_site()));
        }
        let interface = interface.ok_or_else(|| {
            Error::new(
                Span::call_site(),
                "`interface = \"com.x.Hello\"` is missing: the Java name",
            )
        })?;
        Ok(Self {
            interface,
            version,
            codecs,
        })
    }
}

pub(crate) fn expand(arguments: TokenStream, mut item: ItemTrait) -> Result<TokenStream> {
    let Arguments {
        interface,
        version,
        codecs,
    } = Arguments::parse(arguments)?;
    if !item.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &item.generics,
            "a service cannot be generic",
        ));
    }
    let methods = item
        .items
        .iter_mut()
        .map(|member| match member {
            TraitItem::Fn(function) => Method::take(function),
            other => Err(Error::new_spanned(other, "a service has methods only")),
        })
        .collect::<Result<Vec<_>>>()?;
    item.supertraits.push(parse_quote!(::core::marker::Send));
    item.supertraits.push(parse_quote!(::core::marker::Sync));
    item.supertraits.push(parse_quote!('static));

    let (visibility, name) = (&item.vis, &item.ident);
    let (server, client, table) = (
        format_ident!("{name}Server"),
        format_ident!("{name}Client"),
        format_ident!("{name}Methods"),
    );
    let descriptors = methods.iter().map(|method| method.descriptor(&codecs));
    let workers = methods.iter().map(|method| method.worker(&codecs));
    let fields = methods.iter().map(Method::client_field);
    let values = methods.iter().map(|method| method.client_value(&codecs));
    let calls = methods.iter().map(Method::client_method);
    let server_about =
        format!("Serves `{interface}:{version}` with an implementation of [`{name}`].");
    let client_about = format!("Calls `{interface}:{version}`.");
    Ok(quote! {
        #item

        #[doc = #server_about]
        #visibility struct #server<S>(::std::sync::Arc<S>);

        impl<S: #name> #server<S> {
            /// Of an implementation.
            pub fn new(service: S) -> Self {
                Self(::std::sync::Arc::new(service))
            }

            /// Of an implementation that others hold, too.
            pub fn shared(service: ::std::sync::Arc<S>) -> Self {
                Self(service)
            }
        }

        impl<S: #name> ::diwan::rpc::Service for #server<S> {
            fn descriptor(&self) -> ::diwan::rpc::server::ServiceDescriptor {
                ::diwan::rpc::server::ServiceDescriptor {
                    interface: #interface,
                    version: #version,
                    methods: ::std::vec![#(#descriptors),*],
                }
            }

            fn worker(&self) -> ::std::vec::Vec<::std::rc::Rc<dyn ::diwan::rpc::server::MethodWorker>> {
                ::std::vec![#(#workers),*]
            }
        }

        #[doc = #client_about]
        #[derive(Clone)]
        #visibility struct #client {
            consumer: ::diwan::rpc::Consumer,
            methods: ::std::sync::Arc<#table>,
            options: ::diwan::rpc::client::CallOptions,
        }

        struct #table {
            #(#fields,)*
        }

        impl ::diwan::rpc::ServiceClient for #client {
            const INTERFACE: &'static str = #interface;
            const VERSION: &'static str = #version;

            fn over(consumer: ::diwan::rpc::Consumer) -> Self {
                let methods = ::std::sync::Arc::new(#table { #(#values,)* });
                Self { consumer, methods, options: ::core::default::Default::default() }
            }
        }

        // How many arguments a method has is Java's matter.
        #[allow(clippy::too_many_arguments)]
        impl #client {
            /// The same client with other options for its calls.
            pub fn with(&self, options: ::diwan::rpc::client::CallOptions) -> Self {
                Self { options, ..self.clone() }
            }

            #(#calls)*
        }
    })
}

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{
    Attribute, Error, FnArg, GenericArgument, Ident, LitStr, Pat, PathArguments, Result,
    ReturnType, TraitItemFn, Type, parse_quote,
};

/// One method of the trait.
pub(crate) struct Method {
    pub(crate) ident: Ident,
    java_name: String,
    arguments: Vec<(Ident, Type)>,
    value: Type,
    exception: Option<Type>,
    oneway: bool,
    blocking: bool,
    documentation: Vec<Attribute>,
}

impl Method {
    /// Reads a method of the trait; its `#[rpc]` attribute is taken off and an async one is rewritten so that its
    /// future is `Send`.
    pub(crate) fn take(function: &mut TraitItemFn) -> Result<Self> {
        let signature = &mut function.sig;
        if !signature.generics.params.is_empty() {
            return Err(Error::new_spanned(
                &signature.generics,
                "a service method cannot be generic",
            ));
        }
        if let Some(body) = &function.default {
            return Err(Error::new_spanned(
                body,
                "a service method has no body in the trait",
            ));
        }
        let mut inputs = signature.inputs.iter();
        match inputs.next() {
            Some(FnArg::Receiver(receiver))
                if receiver.reference.is_some() && receiver.mutability.is_none() => {}
            _ => {
                return Err(Error::new_spanned(
                    &signature.inputs,
                    "a service method takes `&self` first",
                ));
            }
        }
        let arguments = inputs.map(argument).collect::<Result<Vec<_>>>()?;
        let output = match &signature.output {
            ReturnType::Default => parse_quote!(()),
            ReturnType::Type(_, output) => (**output).clone(),
        };
        let (value, exception) = match result_of(&output) {
            Some((value, exception)) => (value, Some(exception)),
            None => (output.clone(), None),
        };
        let blocking = signature.asyncness.is_none();
        if !blocking {
            signature.asyncness = None;
            signature.output = parse_quote!(-> impl ::core::future::Future<Output = #output> + ::core::marker::Send);
        }

        let mut method = Self {
            java_name: camel_case(&signature.ident.to_string()),
            ident: signature.ident.clone(),
            arguments,
            value,
            exception,
            oneway: false,
            blocking,
            documentation: Vec::new(),
        };
        let mut kept = Vec::new();
        for attribute in function.attrs.drain(..) {
            if attribute.path().is_ident("rpc") {
                attribute.parse_nested_meta(|meta| {
                    if meta.path.is_ident("oneway") {
                        method.oneway = true;
                    } else if meta.path.is_ident("name") {
                        method.java_name = meta.value()?.parse::<LitStr>()?.value();
                    } else {
                        return Err(meta.error("known are `oneway` and `name = \"...\"`"));
                    }
                    Ok(())
                })?;
                continue;
            }
            if attribute.path().is_ident("doc") {
                method.documentation.push(attribute.clone());
            }
            kept.push(attribute);
        }
        function.attrs = kept;
        let is_unit = matches!(&method.value, Type::Tuple(tuple) if tuple.elems.is_empty());
        if method.oneway && !(is_unit && method.exception.is_none()) {
            return Err(Error::new_spanned(
                &function.sig.output,
                "a oneway method returns nothing",
            ));
        }
        Ok(method)
    }

    fn argument_tuple(&self) -> TokenStream {
        let types = self.arguments.iter().map(|(_, ty)| ty);
        quote!((#(#types,)*))
    }

    fn exception(&self) -> TokenStream {
        match &self.exception {
            Some(exception) => quote!(#exception),
            None => quote!(::diwan::rpc::NoException),
        }
    }

    fn codecs(&self, codecs: &[Ident]) -> TokenStream {
        let (arguments, value, exception) = (self.argument_tuple(), &self.value, self.exception());
        quote!(::diwan::rpc::codec::Codecs::<#arguments, #value, #exception>::new()#(.#codecs())*)
    }

    fn signatures(&self, codecs: &[Ident]) -> TokenStream {
        if !codecs.iter().any(|codec| codec == "hessian") {
            return quote!(::std::vec::Vec::new());
        }
        let arguments = self.argument_tuple();
        quote!(<#arguments as ::diwan::rpc::codec::HessianArguments>::java_types())
    }

    /// Its entry in the service's descriptor.
    pub(crate) fn descriptor(&self, codecs: &[Ident]) -> TokenStream {
        let (name, signatures) = (&self.java_name, self.signatures(codecs));
        quote!(::diwan::rpc::server::MethodDescriptor { name: #name, signatures: #signatures })
    }

    /// Its worker, where `service` is an `Arc` of the implementation.
    pub(crate) fn worker(&self, codecs: &[Ident]) -> TokenStream {
        let (ident, tuple, table) = (&self.ident, self.argument_tuple(), self.codecs(codecs));
        let names: Vec<_> = self.arguments.iter().map(|(name, _)| name).collect();
        let exception = self.exception();
        let wait = if self.blocking {
            quote!()
        } else {
            quote!(.await)
        };
        let call = quote!(service.#ident(#(#names),*)#wait);
        let result = if self.exception.is_some() {
            call
        } else {
            quote!(::core::result::Result::<_, #exception>::Ok(#call))
        };
        let (make, body) = if self.blocking {
            (quote!(blocking_method), result)
        } else {
            (
                quote!(method),
                quote!({ let service = ::std::sync::Arc::clone(&service); async move { #result } }),
            )
        };
        quote!({
            let service = ::std::sync::Arc::clone(&self.0);
            ::diwan::rpc::server::#make(#table, move |(#(#names,)*): #tuple| #body)
        })
    }

    /// Its field in the struct of the client's methods.
    pub(crate) fn client_field(&self) -> TokenStream {
        let (ident, arguments, value, exception) = (
            &self.ident,
            self.argument_tuple(),
            &self.value,
            self.exception(),
        );
        quote!(#ident: ::diwan::rpc::client::ClientMethod<#arguments, #value, #exception>)
    }

    /// The value of that field.
    pub(crate) fn client_value(&self, codecs: &[Ident]) -> TokenStream {
        let (ident, name) = (&self.ident, &self.java_name);
        let (signatures, table) = (self.signatures(codecs), self.codecs(codecs));
        quote!(#ident: ::diwan::rpc::client::ClientMethod::new(#name, #signatures, #table))
    }

    /// The client's method.
    pub(crate) fn client_method(&self) -> TokenStream {
        let (ident, value, exception) = (&self.ident, &self.value, self.exception());
        let names: Vec<_> = self.arguments.iter().map(|(name, _)| name).collect();
        let types = self.arguments.iter().map(|(_, ty)| ty);
        let documentation = &self.documentation;
        let about = format!("Calls `{}`.", self.java_name);
        let about = if documentation.is_empty() {
            quote!(#[doc = #about])
        } else {
            quote!(#(#documentation)*)
        };
        if self.oneway {
            return quote! {
                #about
                ///
                /// # Errors
                /// When no server is known or the arguments cannot be written.
                pub fn #ident(&self, #(#names: #types),*)
                    -> ::core::result::Result<(), ::diwan::rpc::RpcError>
                {
                    self.consumer.oneway(&self.methods.#ident, (#(#names,)*), &self.options)
                }
            };
        }
        quote! {
            #about
            ///
            /// # Errors
            /// What the method throws, or why it could not be called.
            #[allow(clippy::too_many_arguments, reason = "as many as the Java method has")]
            pub async fn #ident(&self, #(#names: #types),*)
                -> ::core::result::Result<#value, ::diwan::rpc::RpcError<#exception>>
            {
                self.consumer.call_with(&self.methods.#ident, (#(#names,)*), &self.options).await
            }
        }
    }
}

fn argument(input: &FnArg) -> Result<(Ident, Type)> {
    let FnArg::Typed(typed) = input else {
        return Err(Error::new_spanned(input, "`self` comes first"));
    };
    let Pat::Ident(pattern) = &*typed.pat else {
        return Err(Error::new_spanned(
            &typed.pat,
            "an argument is a plain name",
        ));
    };
    if matches!(&*typed.ty, Type::Reference(_)) {
        return Err(Error::new_spanned(
            &typed.ty,
            "an argument is owned: it is read from the wire",
        ));
    }
    // A name with a leading underscore would warn where it is used.
    let name = pattern.ident.to_string();
    Ok((
        format_ident!("{}", name.trim_start_matches('_')),
        (*typed.ty).clone(),
    ))
}

/// `T` and `E` of a type that is called `Result`.
fn result_of(output: &Type) -> Option<(Type, Type)> {
    let Type::Path(path) = output else {
        return None;
    };
    let last = path.path.segments.last()?;
    let PathArguments::AngleBracketed(generics) = &last.arguments else {
        return None;
    };
    let mut types = generics.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty.clone()),
        _ => None,
    });
    match (last.ident == "Result", types.next(), types.next()) {
        (true, Some(value), Some(exception)) => Some((value, exception)),
        _ => None,
    }
}

fn camel_case(snake: &str) -> String {
    let mut name = String::with_capacity(snake.len());
    let mut upper = false;
    for letter in snake.trim_start_matches("r#").chars() {
        if letter == '_' {
            upper = !name.is_empty();
        } else if std::mem::take(&mut upper) {
            name.extend(letter.to_uppercase());
        } else {
            name.push(letter);
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::camel_case;

    #[test]
    fn names_become_java_names() {
        for (snake, camel) in [
            ("say", "say"),
            ("say_hello", "sayHello"),
            ("_a_1b", "a1b"),
            ("r#type", "type"),
        ] {
            assert_eq!(camel_case(snake), camel);
        }
    }
}

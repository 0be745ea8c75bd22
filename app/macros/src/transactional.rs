use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::parse::Parser;
use syn::{Error, Expr, ItemFn, LitInt, LitStr, Result, ReturnType, Type};

/// What `propagation` may say, and the variant that it is.
const PROPAGATIONS: [(&str, &str); 6] = [
    ("required", "Required"),
    ("requires_new", "RequiresNew"),
    ("supports", "Supports"),
    ("not_supported", "NotSupported"),
    ("never", "Never"),
    ("mandatory", "Mandatory"),
];
/// The protocol's timeouts are an i32.
const TIMEOUT_MS_MAX: u64 = i32::MAX as u64;

/// What stands in `#[diwan::transactional(...)]`.
#[derive(Default)]
struct Arguments {
    name: Option<String>,
    timeout_ms: Option<u64>,
    propagation: Option<Ident>,
    client: Option<Expr>,
}

impl Arguments {
    fn parse(tokens: TokenStream) -> Result<Self> {
        let mut arguments = Self::default();
        let parser = syn::meta::parser(|meta| {
            if meta.path.is_ident("name") {
                arguments.name = Some(meta.value()?.parse::<LitStr>()?.value());
            } else if meta.path.is_ident("timeout_ms") {
                let literal = meta.value()?.parse::<LitInt>()?;
                let timeout_ms: u64 = literal.base10_parse()?;
                if !(1..=TIMEOUT_MS_MAX).contains(&timeout_ms) {
                    let problem = format!("a timeout has 1 to {TIMEOUT_MS_MAX} milliseconds");
                    return Err(Error::new_spanned(literal, problem));
                }
                arguments.timeout_ms = Some(timeout_ms);
            } else if meta.path.is_ident("propagation") {
                arguments.propagation = Some(propagation(&meta.value()?.parse::<LitStr>()?)?);
            } else if meta.path.is_ident("client") {
                arguments.client = Some(meta.value()?.parse()?);
            } else {
                return Err(
                    meta.error("known are `name`, `timeout_ms`, `propagation` and `client`")
                );
            }
            Ok(())
        });
        parser.parse2(tokens)?;
        Ok(arguments)
    }
}

fn propagation(literal: &LitStr) -> Result<Ident> {
    let text = literal.value();
    let mut all = PROPAGATIONS.into_iter();
    match all.find(|(name, _)| *name == text) {
        Some((_, variant)) => Ok(Ident::new(variant, Span::call_site())),
        None => {
            let known: Vec<String> = PROPAGATIONS
                .iter()
                .map(|(name, _)| format!("`{name}`"))
                .collect();
            let problem = format!("known are {}", known.join(", "));
            Err(Error::new_spanned(literal, problem))
        }
    }
}

pub(crate) fn expand(arguments: TokenStream, item: ItemFn) -> Result<TokenStream> {
    let arguments = Arguments::parse(arguments)?;
    if item.sig.asyncness.is_none() {
        return Err(Error::new_spanned(
            item.sig.fn_token,
            "a transaction is an `async fn`: it waits for the coordinator",
        ));
    }
    let output = match &item.sig.output {
        ReturnType::Type(_, output) if is_result(output) => output,
        other => {
            let problem = "a transaction returns a `Result`: `Ok` commits, `Err` rolls back";
            return Err(match other {
                ReturnType::Default => Error::new_spanned(&item.sig.ident, problem),
                ReturnType::Type(_, output) => Error::new_spanned(output, problem),
            });
        }
    };
    let name = arguments.name.unwrap_or_else(|| item.sig.ident.to_string());
    let timeout = arguments
        .timeout_ms
        .map(|timeout_ms| quote!(timeout: ::core::time::Duration::from_millis(#timeout_ms),));
    let propagation = arguments
        .propagation
        .map(|variant| quote!(propagation: ::diwan::tx::Propagation::#variant,));
    let client = match arguments.client {
        Some(client) => quote!(::core::clone::Clone::clone(&#client)),
        None => quote!(::diwan::tx::TxClient::installed()?),
    };
    let (attributes, visibility, signature, body) =
        (&item.attrs, &item.vis, &item.sig, &item.block);
    Ok(quote! {
        #(#attributes)*
        #visibility #signature {
            let __client: ::diwan::tx::TxClient = #client;
            let __transactional = ::diwan::tx::Transactional {
                #timeout
                #propagation
                ..::diwan::tx::Transactional::new(#name)
            };
            ::diwan::tx::Transactional::run(&__transactional, &__client, async {
                // Says of which type `?` makes its errors.
                #[allow(unreachable_code, clippy::diverging_sub_expression)]
                if let ::core::option::Option::Some(__output) = ::core::option::Option::None::<#output> {
                    return __output;
                }
                #body
            })
            .await
        }
    })
}

/// By its name: `Result`, `io::Result`, `BankResult`.
fn is_result(output: &Type) -> bool {
    match output {
        Type::Path(path) => {
            let last = path.path.segments.last();
            last.is_some_and(|segment| segment.ident.to_string().ends_with("Result"))
        }
        Type::Paren(inner) => is_result(&inner.elem),
        Type::Group(inner) => is_result(&inner.elem),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn problem(arguments: TokenStream, item: ItemFn) -> String {
        expand(arguments, item)
            .err()
            .map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn what_is_wrong_is_said() {
        let good: ItemFn = parse_quote!(
            async fn f() -> Result<(), E> {
                Ok(())
            }
        );
        let cases: [(TokenStream, ItemFn, &str); 8] = [
            (
                quote!(
                    name = "x",
                    timeout_ms = 5,
                    propagation = "never",
                    client = self.tx
                ),
                good.clone(),
                "",
            ),
            (
                quote!(),
                parse_quote!(
                    async fn f() -> std::io::Result<()> {
                        Ok(())
                    }
                ),
                "",
            ),
            (
                quote!(),
                parse_quote!(
                    fn f() -> Result<(), E> {
                        Ok(())
                    }
                ),
                "a transaction is an `async fn`: it waits for the coordinator",
            ),
            (
                quote!(),
                parse_quote!(
                    async fn f() {}
                ),
                "a transaction returns a `Result`: `Ok` commits, `Err` rolls back",
            ),
            (
                quote!(),
                parse_quote!(
                    async fn f() -> Option<()> {
                        None
                    }
                ),
                "a transaction returns a `Result`: `Ok` commits, `Err` rolls back",
            ),
            (
                quote!(timeout = 5),
                good.clone(),
                "known are `name`, `timeout_ms`, `propagation` and `client`",
            ),
            (
                quote!(timeout_ms = 0),
                good.clone(),
                "a timeout has 1 to 2147483647 milliseconds",
            ),
            (
                quote!(propagation = "nested"),
                good,
                "known are `required`, `requires_new`, `supports`, `not_supported`, `never`, `mandatory`",
            ),
        ];
        for (arguments, item, expected) in cases {
            let text = arguments.to_string();
            assert_eq!(problem(arguments, item), expected, "{text}");
        }
    }
}

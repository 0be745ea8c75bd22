//! `#[hessian(..)]` on types, fields and variants.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, DeriveInput, Error, LitStr, Path, Result};

use crate::names;

/// What stands on a type.
pub(crate) struct TypeAttributes {
    pub(crate) class: Option<String>,
    pub(crate) throwable: bool,
    /// Path of the runtime crate.
    pub(crate) krate: TokenStream,
}

impl TypeAttributes {
    pub(crate) fn of(input: &DeriveInput) -> Result<Self> {
        let mut found = TypeAttributes {
            class: None,
            throwable: false,
            krate: quote!(::diwan_hessian),
        };
        each(&input.attrs, |meta| {
            if meta.path.is_ident("class") {
                found.class = Some(names::check(&meta.value()?.parse::<LitStr>()?)?);
            } else if meta.path.is_ident("throwable") {
                found.throwable = true;
            } else if meta.path.is_ident("crate") {
                let path: Path = meta.value()?.parse::<LitStr>()?.parse()?;
                found.krate = quote!(#path);
            } else {
                return Err(meta.error("expected class, throwable or crate"));
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The class name of a type that must have one.
    pub(crate) fn required_class(&self, input: &DeriveInput) -> Result<String> {
        let missing = || {
            Error::new_spanned(
                &input.ident,
                "which Java class? #[hessian(class = \"com.x.Y\")]",
            )
        };
        self.class.clone().ok_or_else(missing)
    }
}

/// What stands on a field or variant.
#[derive(Default)]
pub(crate) struct MemberAttributes {
    pub(crate) rename: Option<String>,
    pub(crate) skip: bool,
    pub(crate) default: bool,
    pub(crate) extends: bool,
    pub(crate) message: bool,
    pub(crate) cause: bool,
    pub(crate) stack: bool,
    pub(crate) other: bool,
}

impl MemberAttributes {
    pub(crate) fn of(attributes: &[Attribute]) -> Result<Self> {
        let mut found = MemberAttributes::default();
        each(attributes, |meta| {
            if meta.path.is_ident("rename") {
                found.rename = Some(names::check(&meta.value()?.parse::<LitStr>()?)?);
                return Ok(());
            }
            let flags = [
                ("skip", &mut found.skip),
                ("default", &mut found.default),
                ("extends", &mut found.extends),
                ("message", &mut found.message),
                ("cause", &mut found.cause),
                ("stack", &mut found.stack),
                ("other", &mut found.other),
            ];
            for (name, flag) in flags {
                if meta.path.is_ident(name) {
                    *flag = true;
                    return Ok(());
                }
            }
            Err(meta
                .error("expected rename, skip, default, extends, message, cause, stack or other"))
        })?;
        Ok(found)
    }
}

fn each(
    attributes: &[Attribute],
    mut take: impl FnMut(syn::meta::ParseNestedMeta<'_>) -> Result<()>,
) -> Result<()> {
    for attribute in attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("hessian"))
    {
        attribute.parse_nested_meta(&mut take)?;
    }
    Ok(())
}

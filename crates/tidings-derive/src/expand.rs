//! From the struct to its `impl`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Error, Fields, FieldsNamed, Ident, LitStr, Result};

use crate::attributes::EventAttributes;
use crate::name;

/// The `impl ::tidings::DomainEvent` of one struct, or the sentence that says why there is none.
pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let ident = &input.ident;
    let fields = named_fields(input)?;
    let event = EventAttributes::parse(&input.attrs)?;
    let context = required(event.context.as_ref(), ident, "context", "pricing")?;
    let entity = required(event.entity.as_ref(), ident, "entity", "price")?;
    let kind = format!("{}.{}", context.value(), fact_name(ident, event.name.as_ref())?);
    let entity_id = entity_id(ident, fields, &event.key)?;
    let version = version(fields, event.version.as_ref())?;
    let from = boundary(fields, event.from.as_ref())?;
    let until = boundary(fields, event.until.as_ref())?;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::tidings::DomainEvent for #ident #type_generics #where_clause {
            const TYPE: &'static str = #kind;
            const CONTEXT: &'static str = #context;
            const ENTITY_KIND: &'static str = #entity;

            fn entity_id(&self) -> ::std::string::String {
                #entity_id
            }

            fn version(&self) -> ::core::option::Option<u64> {
                #version
            }

            fn window(&self) -> ::tidings::Window {
                ::tidings::Window { from: #from, until: #until }
            }
        }
    })
}

fn named_fields(input: &DeriveInput) -> Result<&FieldsNamed> {
    let ident = &input.ident;
    let what = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => return Ok(fields),
            Fields::Unnamed(_) | Fields::Unit => "has no named fields",
        },
        Data::Enum(_) => "is an enum",
        Data::Union(_) => "is a union",
    };
    let message = format!("`{ident}` {what}; a domain event is one fact: a struct with named fields");
    Err(Error::new(ident.span(), message))
}

/// A required name, checked for what would be unsafe in a topic, a type or an entity.
fn required<'a>(given: Option<&'a LitStr>, ident: &Ident, what: &str, example: &str) -> Result<&'a LitStr> {
    let Some(given) = given else {
        let message = format!("`{ident}` does not say its {what}; add #[event({what} = \"{example}\")]");
        return Err(Error::new(ident.span(), message));
    };
    let text = given.value();
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || !text.chars().all(safe) {
        let message =
            format!("the {what} {text:?} must be letters, digits, '-', '_' or '.', like \"{example}\"");
        return Err(Error::new(given.span(), message));
    }
    Ok(given)
}

fn fact_name(ident: &Ident, given: Option<&LitStr>) -> Result<String> {
    let (name, span) = match given {
        Some(given) => (given.value(), given.span()),
        None => (ident.to_string(), ident.span()),
    };
    match name::objection(&name) {
        None => Ok(name),
        Some(objection) => Err(Error::new(span, objection)),
    }
}

fn entity_id(ident: &Ident, fields: &FieldsNamed, key: &[LitStr]) -> Result<TokenStream> {
    if key.is_empty() {
        let message =
            format!("`{ident}` does not say which fields are its entity's id; add #[event(key = \"..\")]");
        return Err(Error::new(ident.span(), message));
    }
    let part = |name: &LitStr| field(fields, name).map(|field| quote_spanned! { name.span()=> self.#field });
    let parts = key.iter().map(part).collect::<Result<Vec<_>>>()?;
    let format = vec!["{}"; parts.len()].join("/");
    Ok(quote! { ::std::format!(#format, #(#parts),*) })
}

fn version(fields: &FieldsNamed, given: Option<&LitStr>) -> Result<TokenStream> {
    let Some(given) = given else { return Ok(quote! { ::core::option::Option::None }) };
    let field = field(fields, given)?;
    Ok(quote_spanned! { given.span()=>
        ::core::convert::Into::<::core::option::Option<u64>>::into(self.#field)
    })
}

fn boundary(fields: &FieldsNamed, given: Option<&LitStr>) -> Result<TokenStream> {
    let Some(given) = given else { return Ok(quote! { ::core::option::Option::None }) };
    let field = field(fields, given)?;
    Ok(quote_spanned! { given.span()=>
        ::core::convert::Into::<::core::option::Option<::tidings::Time>>::into(::core::clone::Clone::clone(&self.#field))
    })
}

/// The field called `name`, or an error at the attribute that named it.
fn field<'a>(fields: &'a FieldsNamed, name: &LitStr) -> Result<&'a Ident> {
    let text = name.value();
    let idents = || fields.named.iter().filter_map(|field| field.ident.as_ref());
    idents().find(|ident| *ident == &text).ok_or_else(|| {
        let known: Vec<_> = idents().map(ToString::to_string).collect();
        Error::new(name.span(), format!("there is no field `{text}`; the fields are {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests;

//! Reads `#[event(..)]` into a checked description, each fault pointing at the text that caused it.

use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Ident, LitStr, Result, Token, bracketed, token};

/// The names that `#[event(..)]` knows.
const KNOWN: &str = "context, entity, key, version, name, from or until";

/// What `#[event(..)]` says, as written.
#[derive(Default)]
pub(crate) struct EventAttributes {
    pub(crate) context: Option<LitStr>,
    pub(crate) entity: Option<LitStr>,
    pub(crate) key: Vec<LitStr>,
    pub(crate) version: Option<LitStr>,
    pub(crate) name: Option<LitStr>,
    pub(crate) from: Option<LitStr>,
    pub(crate) until: Option<LitStr>,
}

impl EventAttributes {
    /// Reads all `#[event(..)]` of one struct.
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut found = Self::default();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("event")) {
            attribute.parse_nested_meta(|meta| found.take(&meta))?;
        }
        Ok(found)
    }

    fn take(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let name = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
        let slot = match name.as_str() {
            "key" => return self.take_key(meta),
            "context" => &mut self.context,
            "entity" => &mut self.entity,
            "version" => &mut self.version,
            "name" => &mut self.name,
            "from" => &mut self.from,
            "until" => &mut self.until,
            _ => return Err(meta.error(format!("unknown attribute; #[event(..)] knows {KNOWN}"))),
        };
        if slot.is_some() {
            return Err(meta.error(format!("`{name}` is given twice; keep one")));
        }
        *slot = Some(meta.value()?.parse()?);
        Ok(())
    }

    fn take_key(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if !self.key.is_empty() {
            return Err(meta.error("`key` is given twice; name several fields as key = [\"a\", \"b\"]"));
        }
        let value = meta.value()?;
        if !value.peek(token::Bracket) {
            self.key.push(value.parse()?);
            return Ok(());
        }
        let list;
        let bracket = bracketed!(list in value);
        self.key = Punctuated::<LitStr, Token![,]>::parse_terminated(&list)?.into_iter().collect();
        if self.key.is_empty() {
            return Err(Error::new(bracket.span.join(), "`key` names no field; an entity needs an id"));
        }
        Ok(())
    }
}

//! Catalog: what is said about each product. Owns `content/{sku}`.

use std::borrow::Cow;

use serde::Deserialize;
use tidings_core::shared::Seen;
use tidings_core::{Code, Entity, Error, Version};

use crate::context::{Context, Open};
use crate::digest;
use crate::name::Sku;
use crate::refusal::{Refusal, Result};
use crate::seed::{CATEGORIES, Catalogue};
use crate::store::{Cells, Change, Row, Schema, Sql, Table};
use crate::token::{Token, Written};

mod event;

pub use event::ProductContentUpdated;

/// The entity kind that Catalog owns.
pub const CONTENT: &str = "content";

/// What is rendered of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its category.
    pub category: String,
    /// Its title.
    pub title: String,
    /// What it is.
    pub description: String,
    /// Its pictures.
    pub media: Vec<String>,
    /// The version of all this.
    pub version: Version,
}

/// What to change; whatever is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revision {
    /// The new title.
    pub title: Option<String>,
    /// The new description.
    pub description: Option<String>,
    /// The category it moves to.
    pub category: Option<String>,
    /// The new pictures.
    pub media: Option<Vec<String>>,
    /// A remark for colleagues; no customer sees it.
    pub note: Option<String>,
}

/// A row of Catalog's published snapshot: what a read model needs to begin with.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) sku: String,
    pub(crate) category: String,
    pub(crate) title: String,
    pub(crate) thumbnail: Option<String>,
    pub(crate) popularity: i64,
    pub(crate) listed_day: i64,
    pub(crate) version: Version,
}

/// The context.
pub struct Catalog {
    context: Context,
}

impl Catalog {
    pub(crate) fn open(open: &Open) -> Result<Self> {
        let schema = Schema {
            sqlite: include_str!("catalog/sqlite.sql"),
            postgres: include_str!("catalog/postgres.sql"),
            publishes: true,
        };
        Ok(Self { context: Context::open("catalog", schema, open, fill)? })
    }

    /// What is rendered of a product, with its version, from one snapshot; `None` if there is no such product.
    pub async fn content(&self, sku: &Sku) -> Result<Option<Content>> {
        Ok(self.content_at(sku).await?.0)
    }

    /// As [`Catalog::content`], with what was seen of the database, if it can say.
    pub(crate) async fn content_at(&self, sku: &Sku) -> Result<(Option<Content>, Option<Seen>)> {
        let (rows, seen) = self.context.readers.rows_at(RENDERED, &[sku.as_str()]).await?;
        Ok((rows.first().map(content).transpose()?, seen))
    }

    /// Changes what is said about a product. Only what customers see makes a new version and is told to others.
    pub async fn revise(&self, sku: &Sku, revision: Revision) -> Result<Written> {
        check(&revision)?;
        let (about, sku) = (sku.as_str(), sku.clone());
        self.context.writer()?.command(about, move |change| revise(change, &sku, revision)).await
    }

    /// Everything that is listed, from one snapshot.
    pub(crate) async fn snapshot(&self) -> Result<Vec<Listed>> {
        self.context.readers.read(listed).await
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}

fn fill(catalogue: &Catalogue) -> Vec<Table<'_>> {
    let all = || catalogue.products.iter();
    let media = all().map(|p| Cow::Owned(media_column(&p.media))).collect();
    let columns = vec![
        ("sku", Cells::text(all().map(|p| p.sku.as_str()))),
        ("category", Cells::text(all().map(|p| p.category))),
        ("title", Cells::text(all().map(|p| p.title.as_str()))),
        ("description", Cells::text(all().map(|p| p.description.as_str()))),
        ("media", Cells::Text(media)),
        ("popularity", Cells::int(all().map(|p| p.popularity))),
        ("listed_day", Cells::int(all().map(|p| p.listed_day))),
        ("version", Cells::int(all().map(|_| 1))),
    ];
    vec![Table { name: "product", columns }]
}

fn media_column(media: &[String]) -> String {
    serde_json::Value::from(media).to_string()
}

fn media(column: &str) -> Result<Vec<String>> {
    let damaged = |e| Error::new(Code::STORE_CORRUPT, "the pictures of a product cannot be read").because(e);
    Ok(serde_json::from_str(column).map_err(damaged)?)
}

const RENDERED: &str =
    "SELECT category, title, description, media, version, note FROM product WHERE sku = $1";

fn content(row: &Row) -> Result<Content> {
    Ok(Content {
        category: row.get(0)?,
        title: row.get(1)?,
        description: row.get(2)?,
        media: media(&row.get::<String>(3)?)?,
        version: row.get(4)?,
    })
}

fn revise(change: &mut Change<'_>, sku: &Sku, revision: Revision) -> Result<Written> {
    let row = change.sql().row(RENDERED, &[sku.into()])?.ok_or_else(|| sku.unknown())?;
    let (before, note) = (content(&row)?, row.get(5)?);
    let after = Content {
        category: revision.category.unwrap_or_else(|| before.category.clone()),
        title: revision.title.unwrap_or_else(|| before.title.clone()),
        description: revision.description.unwrap_or_else(|| before.description.clone()),
        media: revision.media.unwrap_or_else(|| before.media.clone()),
        version: before.version,
    };
    let published = after != before;
    let version = if published { before.version.next() } else { before.version };
    change.sql().execute(
        "UPDATE product SET category = $2, title = $3, description = $4, media = $5, note = $6, version = $7
         WHERE sku = $1",
        &[
            sku.into(),
            after.category.as_str().into(),
            after.title.as_str().into(),
            after.description.as_str().into(),
            media_column(&after.media).as_str().into(),
            revision.note.unwrap_or(note).as_str().into(),
            version.into(),
        ],
    )?;
    if published {
        let digest = digest::content(&after.title, after.media.first().map(String::as_str));
        change.publish(
            &ProductContentUpdated {
                sku: sku.clone(),
                version: version.number(),
                category: after.category,
                previous_category: before.category,
                title: after.title,
                thumbnail: after.media.into_iter().next(),
            },
            digest,
        )?;
    }
    let entity = Entity::new(CONTENT, sku.as_str())?;
    Ok(Written { token: Token { entity, version }, published })
}

fn listed(db: &Sql<'_>) -> Result<Vec<Listed>> {
    let sql = "SELECT sku, category, title, media, popularity, listed_day, version FROM product ORDER BY sku";
    let listed = |row: &Row| {
        Ok(Listed {
            sku: row.get(0)?,
            category: row.get(1)?,
            title: row.get(2)?,
            thumbnail: media(&row.get::<String>(3)?)?.into_iter().next(),
            popularity: row.get(4)?,
            listed_day: row.get(5)?,
            version: row.get(6)?,
        })
    };
    db.rows(sql, &[])?.iter().map(listed).collect()
}

fn check(revision: &Revision) -> Result<()> {
    if *revision == Revision::default() {
        let what = "nothing to change: give title, description, category, media or note";
        return Err(Refusal::invalid("REVISION_EMPTY", what));
    }
    check_text("title", revision.title.as_deref(), 1, 200)?;
    check_text("description", revision.description.as_deref(), 0, 4000)?;
    check_text("note", revision.note.as_deref(), 0, 1000)?;
    let media = revision.media.as_deref().unwrap_or_default();
    if media.len() > 20 {
        let what = format!("{} media paths are too many: give at most 20", media.len());
        return Err(Refusal::invalid("TEXT_INVALID", what));
    }
    for path in media {
        check_text("media path", Some(path), 1, 300)?;
    }
    match &revision.category {
        Some(category) => check_category(category).map(|_| ()),
        None => Ok(()),
    }
}

/// The category of this name; refuses one that does not exist.
pub(crate) fn check_category(category: &str) -> Result<&'static str> {
    if let Some(known) = CATEGORIES.iter().find(|known| known.slug == category) {
        return Ok(known.slug);
    }
    let shown: String = category.chars().take(40).collect();
    Err(Refusal::unknown("CATEGORY_UNKNOWN", format!("there is no category {shown:?}")))
}

fn check_text(what: &str, text: Option<&str>, least: usize, most: usize) -> Result<()> {
    let Some(text) = text else { return Ok(()) };
    let length = text.chars().count();
    if !(least..=most).contains(&length) {
        let what = format!("the {what} has {length} characters: use {least} to {most}");
        return Err(Refusal::invalid("TEXT_INVALID", what));
    }
    if text.chars().any(char::is_control) {
        let what = format!("the {what} has control characters: leave them out");
        return Err(Refusal::invalid("TEXT_INVALID", what));
    }
    Ok(())
}

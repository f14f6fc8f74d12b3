//! What the publishing contexts have in common: a file of their own, one writer, a few readers, an outbox.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidings_sqlite::{SqliteOutbox, outbox};

use crate::refusal::Result;
use crate::seed::Catalogue;
use crate::store::{self, Readers, Writer};
use crate::witness::Witness;

/// What a context is opened with.
pub(crate) struct Open<'a> {
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) readers: usize,
    pub(crate) witness: Arc<dyn Witness>,
}

/// One context's file and the threads that use it.
pub(crate) struct Context {
    pub(crate) name: &'static str,
    pub(crate) writer: Writer,
    pub(crate) readers: Readers,
    pub(crate) outbox: Arc<SqliteOutbox>,
}

impl Context {
    /// Opens `dir/<name>.db`, creating and filling it if it is new.
    pub(crate) fn open(
        name: &'static str,
        dir: &Path,
        schema: &str,
        open: &Open<'_>,
        fill: impl FnOnce(&rusqlite::Transaction<'_>, &Catalogue) -> rusqlite::Result<()>,
    ) -> Result<Self> {
        let path = file(dir, name);
        let mut connection = store::open_writer(&path, schema)?;
        outbox::install(&connection)?;
        let seed = open.catalogue.seed;
        store::baseline(&mut connection, seed, |tx| fill(tx, open.catalogue))
            .map_err(|refusal| refusal.at(&path))?;
        let outbox = SqliteOutbox::open(&path, &format!("/{name}"))?;
        let woken = outbox.clone();
        let wake = Box::new(move || woken.wake());
        let writer = Writer::start(name, connection, open.witness.clone(), wake)?;
        let readers = Readers::open(&path, open.readers)?;
        Ok(Self { name, writer, readers, outbox })
    }
}

/// Where a context keeps its file.
pub(crate) fn file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.db"))
}

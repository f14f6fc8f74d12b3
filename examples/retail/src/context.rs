//! What the contexts have in common: a state of their own, a writer, a few readers, an outbox.

use std::sync::Arc;

use tidings_core::{Code, Error};

use crate::place::Place;
use crate::refusal::Result;
use crate::seed::Catalogue;
use crate::store::{self, Home, Readers, Role, Schema, Table, Writer};
use crate::witness::Witness;

/// What a context is opened with.
#[derive(Clone)]
pub(crate) struct Open {
    pub(crate) place: Place,
    pub(crate) readers: usize,
    /// What the owner brings; without it, the context is only read.
    pub(crate) owner: Option<(Arc<Catalogue>, Arc<dyn Witness>)>,
}

/// One context's state and the threads that use it.
pub(crate) struct Context {
    pub(crate) name: &'static str,
    pub(crate) readers: Readers,
    pub(crate) home: Home,
    writer: Option<Writer>,
}

impl Context {
    /// Opens the context; its owner makes and fills it if it is new.
    pub(crate) fn open(
        name: &'static str,
        schema: Schema,
        open: &Open,
        fill: fn(&Catalogue) -> Vec<Table<'_>>,
    ) -> Result<Self> {
        let role = match &open.owner {
            Some((catalogue, witness)) => Role::Owner { catalogue, witness: witness.clone() },
            None => Role::Reader,
        };
        let (writer, readers, home) = store::open(name, &open.place, schema, open.readers, role, fill)?;
        Ok(Self { name, readers, home, writer })
    }

    /// The writer.
    pub(crate) fn writer(&self) -> Result<&Writer> {
        let only_read = || Error::new(Code::DEFECT, format!("{} is only read here", self.name)).into();
        self.writer.as_ref().ok_or_else(only_read)
    }

    /// Commits and events since the start, and commands that wait.
    pub(crate) fn written(&self) -> (u64, u64, usize) {
        self.writer.as_ref().map_or((0, 0, 0), |writer| (writer.commits(), writer.events(), writer.waiting()))
    }

    /// Takes no more commands, and finishes those that wait.
    pub(crate) async fn stop(&self) {
        if let Some(writer) = &self.writer {
            writer.stop().await;
        }
    }
}

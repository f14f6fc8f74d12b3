//! A few read connections, used away from the runtime's threads.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tidings_core::{Code, Error};
use tokio::sync::Semaphore;

use crate::refusal::{Refusal, Result};

/// A pool of read-only connections to one file. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn open(path: &Path, count: usize) -> Result<Self> {
        let idle = (0..count.max(1)).map(|_| super::open_reader(path)).collect::<Result<Vec<_>>>()?;
        let permits = Arc::new(Semaphore::new(idle.len()));
        Ok(Self { idle: Arc::new(Mutex::new(idle)), permits })
    }

    /// Runs `work` on one snapshot: everything it reads is from the same committed state.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| stopping())?;
        let idle = self.idle.clone();
        let outcome = tokio::task::spawn_blocking(move || {
            // Dropped in reverse order, also when `work` panics: the connection is back before the permit is.
            let _permit = permit;
            let lent = Lent::take(idle)?;
            let snapshot = lent.connection()?.unchecked_transaction()?;
            work(&snapshot)
        });
        outcome.await.map_err(|e| Error::new(Code::DEFECT, "a read panicked").because(e))?
    }
}

struct Lent {
    connection: Option<Connection>,
    home: Arc<Mutex<Vec<Connection>>>,
}

impl Lent {
    fn take(home: Arc<Mutex<Vec<Connection>>>) -> Result<Self> {
        let connection = home.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Ok(Self { connection, home })
    }

    fn connection(&self) -> Result<&Connection> {
        let missing = || Refusal::Failed(Error::new(Code::DEFECT, "a permit without a read connection"));
        self.connection.as_ref().ok_or_else(missing)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.lock().unwrap_or_else(PoisonError::into_inner).extend(self.connection.take());
    }
}

pub(super) fn stopping() -> Refusal {
    Refusal::Failed(Error::new(Code::STOPPING, "the platform is stopping"))
}

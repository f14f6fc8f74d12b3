//! A few connections, lent one at a time and used away from the runtime's threads.

use std::sync::{Arc, Mutex, PoisonError};

use tidings_core::{Code, Error};
use tokio::sync::Semaphore;

use crate::refusal::{Refusal, Result};

/// Cheap to clone.
pub(super) struct Pool<C> {
    idle: Arc<Mutex<Vec<C>>>,
    permits: Arc<Semaphore>,
}

impl<C> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self { idle: self.idle.clone(), permits: self.permits.clone() }
    }
}

impl<C: Send + 'static> Pool<C> {
    pub(super) fn new(connections: Vec<C>) -> Self {
        let permits = Arc::new(Semaphore::new(connections.len()));
        Self { idle: Arc::new(Mutex::new(connections)), permits }
    }

    /// Runs `work` with a connection once one is free.
    pub(super) async fn lend<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut C) -> Result<T> + Send + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| stopping())?;
        let idle = self.idle.clone();
        let outcome = tokio::task::spawn_blocking(move || {
            // Dropped in reverse order, also when `work` panics: the connection is back before the permit is.
            let _permit = permit;
            let mut lent = Lent::take(idle);
            work(lent.connection()?)
        });
        outcome.await.map_err(|e| Error::new(Code::DEFECT, "a read panicked").because(e))?
    }
}

struct Lent<C> {
    connection: Option<C>,
    home: Arc<Mutex<Vec<C>>>,
}

impl<C> Lent<C> {
    fn take(home: Arc<Mutex<Vec<C>>>) -> Self {
        let connection = home.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self { connection, home }
    }

    fn connection(&mut self) -> Result<&mut C> {
        let missing = || Refusal::Failed(Error::new(Code::DEFECT, "a permit without a read connection"));
        self.connection.as_mut().ok_or_else(missing)
    }
}

impl<C> Drop for Lent<C> {
    fn drop(&mut self) {
        self.home.lock().unwrap_or_else(PoisonError::into_inner).extend(self.connection.take());
    }
}

pub(super) fn stopping() -> Refusal {
    Refusal::Failed(Error::new(Code::STOPPING, "the platform is stopping"))
}

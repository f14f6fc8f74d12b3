//! What a run leaves on a PostgreSQL that was there before: nothing.

use retail::storefront::TOPICS;
use tidings_core::{Code, Error, Result};
use tidings_postgres::Address;

/// Removes the databases of this run, and the slots that its relays made there. Says what it could not.
pub(super) async fn remove(server: &str, prefix: &str) {
    if let Err(error) = Box::pin(all(server, prefix)).await {
        eprintln!("tidings: databases that begin with {prefix} stay: {error}");
    }
}

async fn all(server: &str, prefix: &str) -> Result<()> {
    let failed = |e| Error::new(Code::DATABASE_UNREACHABLE, "a database cannot be removed").because(e);
    let client = Address::parse(server)?.connect("tidings dev", "").await?;
    for context in TOPICS.into_iter().chain(["checkout"]) {
        let name = format!("{prefix}{context}");
        // Whoever still streams from it is ended first: only processes of this run know the name.
        let slots = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = $1 AND active";
        client.execute(slots, &[&name]).await.map_err(failed)?;
        let drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1 AND NOT active";
        client.execute(drop, &[&name]).await.map_err(failed)?;
        client
            .batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            .await
            .map_err(failed)?;
    }
    Ok(())
}

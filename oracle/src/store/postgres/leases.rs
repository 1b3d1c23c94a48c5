//! Who leads, and which worker has which job.

use std::sync::atomic::Ordering;
use std::time::Duration;

use postgres::Client;
use postgres::types::ToSql;

use super::super::columns::Key;
use super::super::model::JobId;
use super::super::{Store, StoreError};
use super::tables::Tables;
use super::{Connection, GATE, LEADER_LOCK, Postgres, said};

/// The leader's seat: held for as long as this connection lives.
pub struct Seat {
    client: Option<Client>,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seat")
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let client = self.client.take();
        match tokio::runtime::Handle::try_current() {
            Ok(_) => tokio::task::block_in_place(|| drop(client)),
            Err(_) => drop(client),
        }
    }
}

impl Store {
    /// Whether other daemons may work on this store too.
    pub fn is_shared(&self) -> bool {
        self.backend.shared().is_some()
    }

    /// Takes the leader's seat where it is free. A store that is not shared has no seat.
    ///
    /// # Errors
    /// [`StoreError::Server`].
    pub fn try_lead(&self) -> Result<Option<Seat>, StoreError> {
        let Some(postgres) = self.backend.shared() else {
            return Ok(None);
        };
        tokio::task::block_in_place(|| {
            let mut client = postgres.open().map_err(|error| said(&error))?;
            let locked = client
                .query_one("SELECT pg_try_advisory_lock($1)", &[&LEADER_LOCK])
                .map_err(|error| said(&error))?;
            if !locked.get::<_, bool>(0) {
                return Ok(None);
            }
            // A term that a crash of the server takes back would be given twice.
            client
                .batch_execute("SET synchronous_commit = on")
                .map_err(|error| said(&error))?;
            // From here on, whoever led before writes nothing.
            let row = client
                .query_one(
                    "UPDATE vouch_leader SET term = term + 1 RETURNING term",
                    &[],
                )
                .map_err(|error| said(&error))?;
            let term = u64::try_from(row.get::<_, i64>(0)).unwrap_or_default();
            postgres.term.store(term, Ordering::SeqCst);
            tracing::info!(term, "leading");
            let client = Some(client);
            Ok(Some(Seat { client }))
        })
    }

    /// Whether the seat is still this daemon's.
    pub fn leads(&self, seat: &mut Seat) -> bool {
        let asked = tokio::task::block_in_place(|| match &mut seat.client {
            Some(client) => client.simple_query("SELECT 1").is_ok(),
            None => false,
        });
        if !asked && let Some(postgres) = self.backend.shared() {
            postgres.term.store(0, Ordering::SeqCst);
        }
        asked
    }

    /// Takes leases of up to `limit` open jobs that nobody works on, and renews those of jobs that `worker` is
    /// `working` on. One that it has and does not work on, because it could not be given back, ends.
    ///
    /// # Errors
    /// [`StoreError::Server`].
    pub fn claim(
        &self,
        worker: &str,
        working: impl IntoIterator<Item = JobId>,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<JobId>, StoreError> {
        let Some(postgres) = self.backend.shared() else {
            return Ok(Vec::new());
        };
        let working: Vec<Vec<u8>> = working.into_iter().map(|id| id.to_bytes()).collect();
        let lease = lease.as_secs_f64();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = postgres.with(|connection| {
            let mut tx = connection.client.transaction()?;
            // Of many orders, and so is what the leader may be about to close.
            if postgres.locks {
                tx.batch_execute(GATE)?;
            }
            tx.execute(
                "UPDATE vouch_open SET until = clock_timestamp() + make_interval(secs => $2) \
                 WHERE worker = $1 AND key = ANY($3)",
                &[&worker, &lease, &working],
            )?;
            let rows = tx.query(
                "UPDATE vouch_open SET worker = $1, until = clock_timestamp() + make_interval(secs => $2) \
                 WHERE key IN (SELECT key FROM vouch_open WHERE until < clock_timestamp() \
                 ORDER BY until LIMIT $3 FOR UPDATE SKIP LOCKED) RETURNING key",
                &[&worker, &lease, &limit],
            )?;
            tx.commit()?;
            Ok(rows)
        })?;
        let keys = rows.iter().map(|row| row.get::<_, Vec<u8>>(0));
        Ok(keys.filter_map(|key| JobId::from_bytes(&key)).collect())
    }

    /// Gives a lease back: the job may be taken again after `wait`.
    ///
    /// # Errors
    /// [`StoreError::Server`].
    pub fn park(&self, worker: &str, id: &JobId, wait: Duration) -> Result<(), StoreError> {
        let Some(postgres) = self.backend.shared() else {
            return Ok(());
        };
        let (key, wait) = (id.to_bytes(), wait.as_secs_f64());
        postgres.lease(
            "UPDATE vouch_open SET worker = NULL, until = clock_timestamp() + make_interval(secs => $3) \
             WHERE key = $2 AND worker = $1",
            &[&worker, &key, &wait],
        )
    }

    /// A job that waits need not wait longer.
    ///
    /// # Errors
    /// [`StoreError::Server`].
    pub fn wake(&self, id: &JobId) -> Result<(), StoreError> {
        let Some(postgres) = self.backend.shared() else {
            return Ok(());
        };
        let key = id.to_bytes();
        postgres.lease(
            "UPDATE vouch_open SET until = '-infinity' WHERE key = $1 AND worker IS NULL",
            &[&key],
        )
    }
}

impl Postgres {
    /// Changes one job's lease: nobody has to wait for that.
    fn lease(&self, query: &str, params: &[&(dyn ToSql + Sync)]) -> Result<(), StoreError> {
        self.with(|Connection { client, prepared }| {
            let statement = Tables::new(client, prepared).statement(query.to_owned())?;
            client.execute(&statement, params).map(|_| ())
        })
    }
}

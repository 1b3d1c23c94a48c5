//! The shared store: `PostgreSQL`. Each column is a table.
//!
//! Writers take turns where they could come between one another, and nowhere else: those who write about one order by a
//! lock of that order, and the leader, whose writes concern many, waits for all of them at a gate, and they for it. So
//! each sees what the last one left, and no transaction is run twice. Where a server has no such locks, transactions are
//! serializable and run again.
//!
//! Workers share open jobs by leases (`SKIP LOCKED`), on the server's clock. One daemon leads: it
//! holds an advisory lock for as long as its connection lives, and a term that every write of a
//! leader checks, so that a leader who has not noticed its fall writes nothing.

mod leases;
mod tables;

pub use leases::Seat;

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use alloy::primitives::B256;
use postgres::config::SslMode;
use postgres::error::SqlState;
use postgres::{Client, Config, IsolationLevel, NoTls, Statement};

use tokio_postgres_rustls::MakeRustlsConnect;

use self::tables::Tables;
use super::columns::{NAMES, Tx};
use super::{Backend, MarketId, Store, StoreError, Work};
use crate::tls::Authorities;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// How often a transaction is run again, for a lock that did not come or a server without locks, before its error is
/// the caller's.
const TRIES: u32 = 100;
/// First wait before a transaction is run again; it grows with each try.
const AGAIN: Duration = Duration::from_millis(1);
/// Version of the tables. Where they are of this one nothing is made: to make sure of a table holds up who works on it.
const SCHEMA: i32 = 1;
/// Key of the advisory lock under which tables are made: "vouch".
const SCHEMA_LOCK: i64 = 0x76_6f75_6368;
/// Key of the leader's advisory lock.
const LEADER_LOCK: i64 = SCHEMA_LOCK + 1;
/// First half of the keys of orders' advisory locks, which are apart from those of one half: "vouc".
const ORDER_LOCKS: i32 = 0x766f_7563;
/// Taken by those who write about one order, beside each other.
const GATE: &str = "LOCK TABLE vouch_gate IN ROW EXCLUSIVE MODE";
/// By the leader, alone.
const LEADER_GATE: &str = "LOCK TABLE vouch_gate IN EXCLUSIVE MODE";
/// What servers say that lock no tables.
const NO_LOCKS: [SqlState; 2] = [SqlState::FEATURE_NOT_SUPPORTED, SqlState::SYNTAX_ERROR];
/// What every connection is set to: nothing waits for ever, for a lock, a statement or a client, and
/// nothing waits for the disk unless it says so. The server's log keeps the order.
const SESSION: &str = "SET synchronous_commit = off; SET statement_timeout = '10s'; SET lock_timeout = '5s'; \
    SET idle_in_transaction_session_timeout = '10s'; SET client_min_messages = 'warning'";

/// Rows in tables.
pub(super) struct Postgres {
    config: Config,
    /// Where the address asks for it.
    tls: Option<MakeRustlsConnect>,
    idle: Mutex<Vec<Connection>>,
    /// The term in which this daemon leads; zero while it does not.
    term: AtomicU64,
    /// Whether writers can take turns. Not all servers that speak the protocol lock tables.
    locks: bool,
}

/// A connection, and the statements that the server has prepared for it.
struct Connection {
    client: Client,
    prepared: HashMap<String, Statement>,
}

/// Whose turn it is to write.
#[derive(Clone, Copy)]
enum Turn {
    /// Somebody's who writes about this order.
    Order(B256),
    /// The leader's.
    Leader,
}

impl Turn {
    /// What waits for it, before the transaction sees anything.
    fn lock(self) -> String {
        match self {
            Self::Order(order) => {
                let [a, b, c, d, ..] = order.0;
                let order = i32::from_be_bytes([a, b, c, d]);
                format!("{GATE}; SELECT pg_advisory_xact_lock({ORDER_LOCKS}, {order})")
            }
            Self::Leader => LEADER_GATE.to_owned(),
        }
    }
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration may hold a password.
        f.debug_struct("Postgres")
            .field("hosts", &self.config.get_hosts())
            .field("database", &self.config.get_dbname())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the shared store of a market on a `PostgreSQL` server, making its tables where there are
    /// none. With `sslmode=require` (or `verify-full`, which is the same here) in its address, connections are encrypted, and made to nobody but a server that the
    /// system's authorities or these vouch for.
    ///
    /// # Errors
    /// [`StoreError::Server`] for an address that cannot be used, [`StoreError::Away`] for a server that
    /// does not answer, [`StoreError::OtherMarket`].
    pub fn connect(
        url: &str,
        authorities: &Authorities,
        market: MarketId,
    ) -> Result<Self, StoreError> {
        let backend = Postgres::connect(url, authorities)?;
        let place = backend.place();
        Self::on(Box::new(backend)).of(market, &place)
    }

    /// Opens a shared store to look at.
    ///
    /// # Errors
    /// [`StoreError::Server`].
    pub fn connect_to_read(url: &str, authorities: &Authorities) -> Result<Self, StoreError> {
        Ok(Self::on(Box::new(Postgres::connect(url, authorities)?)))
    }
}

impl Postgres {
    fn connect(url: &str, authorities: &Authorities) -> Result<Self, StoreError> {
        let refused =
            |e: &dyn std::error::Error| StoreError::Server(format!("store.url: {}", chain(e)));
        // The client does not know libpq's name for what is always done here: the server's name is checked as well.
        let url = url.replace("sslmode=verify-full", "sslmode=require");
        let mut config = Config::from_str(&url).map_err(|e| refused(&e))?;
        let tls = match config.get_ssl_mode() {
            SslMode::Require => {
                let connecting = authorities.connecting().map_err(|e| refused(&e))?;
                Some(MakeRustlsConnect::new(connecting))
            }
            _ => None,
        };
        config
            .connect_timeout(CONNECT)
            .application_name("vouch-oracle")
            .keepalives_idle(Duration::from_secs(10))
            .tcp_user_timeout(Duration::from_secs(15));
        let mut postgres = Self {
            config,
            tls,
            idle: Mutex::default(),
            term: AtomicU64::new(0),
            locks: true,
        };
        postgres.with(|connection| {
            let mut tx = connection.client.transaction()?;
            tx.execute("SELECT pg_advisory_xact_lock($1)", &[&SCHEMA_LOCK])?;
            let made = tx.query_one("SELECT to_regclass('vouch_schema') IS NOT NULL", &[])?;
            if made.get(0) {
                let query = "SELECT FROM vouch_schema WHERE version = $1";
                if tx.query_opt(query, &[&SCHEMA])?.is_some() {
                    return Ok(());
                }
            }
            for name in NAMES {
                tx.batch_execute(&format!(
                    "CREATE TABLE IF NOT EXISTS vouch_{name} (key bytea PRIMARY KEY, value text NOT NULL)"
                ))?;
            }
            tx.batch_execute(
                "ALTER TABLE vouch_open ADD COLUMN IF NOT EXISTS worker text; \
                 ALTER TABLE vouch_open ADD COLUMN IF NOT EXISTS until timestamptz NOT NULL DEFAULT '-infinity'; \
                 CREATE INDEX IF NOT EXISTS vouch_open_until ON vouch_open (until); \
                 CREATE TABLE IF NOT EXISTS vouch_leader (one boolean PRIMARY KEY CHECK (one), term bigint NOT NULL); \
                 INSERT INTO vouch_leader VALUES (true, 0) ON CONFLICT DO NOTHING; \
                 CREATE TABLE IF NOT EXISTS vouch_gate (); \
                 CREATE TABLE IF NOT EXISTS vouch_synced (session integer PRIMARY KEY, times bigint NOT NULL); \
                 CREATE TABLE IF NOT EXISTS vouch_schema (version integer PRIMARY KEY)",
            )?;
            let query = "INSERT INTO vouch_schema VALUES ($1) ON CONFLICT DO NOTHING";
            tx.execute(query, &[&SCHEMA])?;
            tx.commit()
        })?;
        let lock = Turn::Order(B256::ZERO).lock();
        postgres.locks = match postgres
            .attempt(|connection| connection.client.transaction()?.batch_execute(&lock))
        {
            Ok(()) => true,
            Err(error) if error.code().is_some_and(|code| NO_LOCKS.contains(code)) => false,
            Err(error) => return Err(said(&error)),
        };
        Ok(postgres)
    }

    fn place(&self) -> String {
        format!("{self:?}")
    }

    /// Runs `work` on a connection. The thread waits; the runtime's other work goes on elsewhere.
    fn with<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, postgres::Error>,
    ) -> Result<T, StoreError> {
        self.attempt(work).map_err(|error| said(&error))
    }

    fn attempt<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, postgres::Error>,
    ) -> Result<T, postgres::Error> {
        tokio::task::block_in_place(|| {
            let mut connection = match self.idle().pop() {
                Some(connection) => connection,
                None => Connection {
                    client: self.open()?,
                    prepared: HashMap::new(),
                },
            };
            let result = work(&mut connection);
            if connection.client.is_closed() {
                // The server went away: the others are as dead.
                self.idle().clear();
            } else {
                self.idle().push(connection);
            }
            result
        })
    }

    fn open(&self) -> Result<Client, postgres::Error> {
        let mut client = match &self.tls {
            Some(tls) => self.config.connect(tls.clone())?,
            None => self.config.connect(NoTls)?,
        };
        client.batch_execute(SESSION)?;
        Ok(client)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // A list of connections cannot be left half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` in one transaction, when it is its turn.
    fn change(&self, turn: Turn, work: &mut Work<'_>) -> Result<(), StoreError> {
        let isolation = match self.locks {
            // Each statement sees what was there when the lock came: nobody else writes any of it.
            true => IsolationLevel::ReadCommitted,
            false => IsolationLevel::Serializable,
        };
        let mut tries = 0;
        loop {
            let mut failed = None;
            let result = self.attempt(|Connection { client, prepared }| {
                let builder = client.build_transaction().isolation_level(isolation);
                let mut tx = builder.start()?;
                if self.locks {
                    tx.batch_execute(&turn.lock())?;
                }
                if matches!(turn, Turn::Leader) {
                    let row = tx.query_one("SELECT term FROM vouch_leader FOR SHARE", &[])?;
                    let found = u64::try_from(row.get::<_, i64>(0)).unwrap_or_default();
                    let held = self.term.load(Ordering::SeqCst);
                    if held == 0 || found != held {
                        failed = Some(StoreError::Deposed { held, found });
                        return Ok(());
                    }
                }
                let mut rows = Tables::new(&mut tx, prepared);
                let outcome = work(&mut Tx(&mut rows));
                if let Some(error) = rows.error.take() {
                    return Err(error);
                }
                match outcome {
                    Ok(()) => {
                        rows.flush()?;
                        tx.commit()
                    }
                    Err(error) => {
                        failed = Some(error);
                        tx.rollback()
                    }
                }
            });
            return match (result, failed) {
                (_, Some(error)) => Err(error),
                (Ok(()), None) => Ok(()),
                (Err(error), None) if tries < TRIES && is_conflict(&error) => {
                    let wait = AGAIN.saturating_mul(tries.min(20));
                    tokio::task::block_in_place(|| std::thread::sleep(wait));
                    tries += 1;
                    continue;
                }
                (Err(error), None) => Err(said(&error)),
            };
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Closing a connection waits, which a runtime's thread may only do where it says so.
        let close = || self.idle().clear();
        match tokio::runtime::Handle::try_current() {
            Ok(_) => tokio::task::block_in_place(close),
            Err(_) => close(),
        }
    }
}

impl Backend for Postgres {
    fn read(&self, work: &mut Work<'_>) -> Result<(), StoreError> {
        let mut failed = None;
        self.with(|Connection { client, prepared }| {
            let mut rows = Tables::new(client, prepared);
            failed = work(&mut Tx(&mut rows)).err();
            Ok(())
        })?;
        failed.map_or(Ok(()), Err)
    }

    fn write(&self, about: B256, work: &mut Work<'_>) -> Result<(), StoreError> {
        self.change(Turn::Order(about), work)
    }

    fn lead(&self, work: &mut Work<'_>) -> Result<(), StoreError> {
        self.change(Turn::Leader, work)
    }

    fn sync(&self) -> Result<(), StoreError> {
        // A transaction that changes nothing writes nothing to wait for. Each connection has its own row, so
        // that they wait for the disk together and not for each other.
        self.with(|connection| {
            let mut tx = connection.client.transaction()?;
            tx.batch_execute(
                "SET LOCAL synchronous_commit = on; \
                 INSERT INTO vouch_synced VALUES (pg_backend_pid(), 1) \
                 ON CONFLICT (session) DO UPDATE SET times = vouch_synced.times + 1",
            )?;
            tx.commit()
        })
    }

    fn shared(&self) -> Option<&Postgres> {
        Some(self)
    }
}

fn said(error: &postgres::Error) -> StoreError {
    let passing = [
        &SqlState::ADMIN_SHUTDOWN,
        &SqlState::CRASH_SHUTDOWN,
        &SqlState::CANNOT_CONNECT_NOW,
        &SqlState::TOO_MANY_CONNECTIONS,
        &SqlState::LOCK_NOT_AVAILABLE,
        &SqlState::QUERY_CANCELED,
    ];
    match error.code() {
        Some(code) if !passing.contains(&code) => StoreError::Server(chain(error)),
        _ => StoreError::Away(chain(error)),
    }
}

/// An error with its causes: the client's own text leaves them out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn is_conflict(error: &postgres::Error) -> bool {
    let conflicts = [
        &SqlState::T_R_SERIALIZATION_FAILURE,
        &SqlState::T_R_DEADLOCK_DETECTED,
        &SqlState::LOCK_NOT_AVAILABLE,
    ];
    error.code().is_some_and(|code| conflicts.contains(&code))
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_refused_without_its_password() {
        let url = "postgres://user:secret@[/x";
        let error = Store::connect_to_read(url, &Authorities::default()).unwrap_err();
        let shown = error.to_string();
        assert!(
            shown.contains("store.url") && !shown.contains("secret"),
            "{shown}"
        );
    }
}

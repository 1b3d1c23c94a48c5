//! Columns as tables, by a connection or in a transaction.

use std::collections::{BTreeMap, HashMap};

use postgres::types::ToSql;
use postgres::{GenericClient, Statement};

use super::super::StoreError;
use super::super::columns::{Direction, RawRow, Rows, Span};
use super::said;

/// Rows, by a connection or in a transaction. As in the embedded store, what is written is kept together until the
/// end: then it takes one statement for each column.
pub(super) struct Tables<'a, C> {
    client: &'a mut C,
    prepared: &'a mut HashMap<String, Statement>,
    /// Values of rows that change, by column and key; none where a row goes. In an order, in which locks are taken.
    changes: BTreeMap<(&'static str, Vec<u8>), Option<String>>,
    /// What the server said last that was an error: decides whether to run again.
    pub(super) error: Option<postgres::Error>,
}

/// What changes in one column.
#[derive(Default)]
struct Changes {
    keys: Vec<Vec<u8>>,
    /// For each of the keys.
    values: Vec<String>,
    /// Keys of rows that go.
    gone: Vec<Vec<u8>>,
}

impl<'a, C: GenericClient> Tables<'a, C> {
    pub(super) const fn new(
        client: &'a mut C,
        prepared: &'a mut HashMap<String, Statement>,
    ) -> Self {
        Self {
            client,
            prepared,
            changes: BTreeMap::new(),
            error: None,
        }
    }

    pub(super) fn statement(&mut self, query: String) -> Result<Statement, postgres::Error> {
        if let Some(statement) = self.prepared.get(&query) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(&query)?;
        self.prepared.insert(query, statement.clone());
        Ok(statement)
    }

    fn query(
        &mut self,
        query: String,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<postgres::Row>, StoreError> {
        let statement = self.statement(query);
        let rows = statement.and_then(|statement| self.client.query(&statement, params));
        rows.map_err(|error| {
            let shown = said(&error);
            self.error = Some(error);
            shown
        })
    }

    pub(super) fn flush(&mut self) -> Result<(), postgres::Error> {
        let mut columns: BTreeMap<&str, Changes> = BTreeMap::new();
        for ((column, key), value) in std::mem::take(&mut self.changes) {
            let changes = columns.entry(column).or_default();
            match value {
                Some(value) => {
                    changes.keys.push(key);
                    changes.values.push(value);
                }
                None => changes.gone.push(key),
            }
        }
        for (column, Changes { keys, values, gone }) in columns {
            if !keys.is_empty() {
                let conflict = match column {
                    // Its rows carry leases; their values never change.
                    "open" => "DO NOTHING",
                    _ => "(key) DO UPDATE SET value = EXCLUDED.value",
                };
                let statement = self.statement(format!(
                    "INSERT INTO vouch_{column} (key, value) \
                     SELECT * FROM unnest($1::bytea[], $2::text[]) ON CONFLICT {conflict}"
                ))?;
                self.client.execute(&statement, &[&keys, &values])?;
            }
            if !gone.is_empty() {
                let query = format!("DELETE FROM vouch_{column} WHERE key = ANY($1)");
                let statement = self.statement(query)?;
                self.client.execute(&statement, &[&gone])?;
            }
        }
        Ok(())
    }
}

impl<C: GenericClient> Rows for Tables<'_, C> {
    fn get(&mut self, column: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let query = format!("SELECT value FROM vouch_{column} WHERE key = $1");
        let rows = self.query(query, &[&key])?;
        Ok(rows.first().map(|row| row.get::<_, String>(0).into_bytes()))
    }

    fn scan(&mut self, column: &'static str, span: Span<'_>) -> Result<Vec<RawRow>, StoreError> {
        let end = after_prefix(span.prefix);
        let (compare, order) = match span.direction {
            Direction::Forward => (">", "ASC"),
            Direction::Reverse => ("<", "DESC"),
        };
        let query = format!(
            "SELECT key, value FROM vouch_{column} WHERE key >= $1 AND ($2::bytea IS NULL OR key < $2) \
             AND ($3::bytea IS NULL OR key {compare} $3) ORDER BY key {order} LIMIT $4"
        );
        let limit = i64::try_from(span.limit).unwrap_or(i64::MAX);
        let rows = self.query(query, &[&span.prefix, &end, &span.after, &limit])?;
        let row = |row: postgres::Row| (row.get(0), row.get::<_, String>(1).into_bytes());
        Ok(rows.into_iter().map(row).collect())
    }

    fn keys(&mut self, column: &'static str) -> Result<Vec<Vec<u8>>, StoreError> {
        let rows = self.query(format!("SELECT key FROM vouch_{column} ORDER BY key"), &[])?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    fn put(&mut self, column: &'static str, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        // JSON writes a zero byte as an escape, so every value is text to the server.
        let value = String::from_utf8_lossy(value).into_owned();
        self.changes.insert((column, key.to_vec()), Some(value));
        Ok(())
    }

    fn delete(&mut self, column: &'static str, key: &[u8]) -> Result<(), StoreError> {
        self.changes.insert((column, key.to_vec()), None);
        Ok(())
    }
}

/// The first key after all that begin with `prefix`; none where there is no such key.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_before_the_next() {
        assert_eq!(after_prefix(&[]), None);
        assert_eq!(after_prefix(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(after_prefix(&[1, 255]), Some(vec![2]));
        assert_eq!(after_prefix(&[255, 255]), None);
    }
}

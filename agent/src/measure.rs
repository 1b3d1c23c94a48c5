//! What a dataset measures: counted here, whatever its owner says of it.
//!
//! A dataset is lines: JSON objects, or comma-separated values under a header. Its schema is the names
//! and types of its fields; a record is well-formed where it has exactly those.

use alloy::primitives::B256;
use serde_json::Value;
use vouch_content::sha256;
use vouch_protocol::DatasetMeasure;

/// Measures a dataset.
pub fn measure(dataset: &[u8]) -> DatasetMeasure {
    let lines = dataset.split(|byte| *byte == b'\n');
    let lines = lines
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty());
    let (schema, records, good) = match dataset.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => count(lines, object),
        Some(_) => table(lines),
        None => (String::new(), 0, 0),
    };
    let millionths = u128::from(good) * 1_000_000 / u128::from(records.max(1));
    DatasetMeasure {
        records,
        bytes: dataset.len() as u64,
        schema: digest(&schema),
        // At most a million.
        quality: u32::try_from(millionths).unwrap_or(1_000_000),
    }
}

/// The digest of a schema: `name:type` for each field, separated by commas. Fields of objects are in the
/// order of their names, columns in that of the header. Types are `text`, `number`, `boolean`, `null`,
/// `list` and `object`.
pub fn digest(schema: &str) -> B256 {
    sha256(schema.as_bytes())
}

/// The first well-formed record sets the schema of all.
fn count<'a>(
    records: impl Iterator<Item = &'a [u8]>,
    schema: impl Fn(&[u8]) -> Option<String>,
) -> (String, u64, u64) {
    let (mut expected, mut all, mut good) = (String::new(), 0, 0);
    for record in records {
        all += 1;
        let Some(found) = schema(record) else {
            continue;
        };
        if expected.is_empty() {
            expected.clone_from(&found);
        }
        good += u64::from(found == expected);
    }
    (expected, all, good)
}

fn object(line: &[u8]) -> Option<String> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(line) else {
        return None;
    };
    // Maps of serde_json are in the order of their keys, unless a feature says otherwise.
    let mut fields: Vec<(String, &str)> = fields
        .iter()
        .map(|(name, value)| (name.clone(), kind(value)))
        .collect();
    fields.sort();
    let fields: Vec<String> = fields
        .into_iter()
        .map(|(name, kind)| format!("{name}:{kind}"))
        .collect();
    Some(fields.join(","))
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

fn table<'a>(mut lines: impl Iterator<Item = &'a [u8]>) -> (String, u64, u64) {
    let header = lines.next().unwrap_or_default();
    let Ok(header) = std::str::from_utf8(header) else {
        return (String::new(), lines.count() as u64, 0);
    };
    let names: Vec<&str> = header.split(',').map(str::trim).collect();
    let (schema, records, good) = count(lines, |line| {
        let line = std::str::from_utf8(line).ok()?;
        let values: Vec<&str> = line.split(',').map(str::trim).collect();
        if values.len() != names.len() || values.iter().any(|value| value.is_empty()) {
            return None;
        }
        let fields = names.iter().zip(values).map(|(name, value)| {
            let kind = if value.parse::<f64>().is_ok() {
                "number"
            } else {
                "text"
            };
            format!("{name}:{kind}")
        });
        Some(fields.collect::<Vec<_>>().join(","))
    });
    (schema, records, good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_bytes_and_schema_are_counted_not_believed() {
        let csv = b"language,words\nen,one\nde,zwei\n";
        let found = measure(csv);
        assert_eq!(
            (found.records, found.bytes, found.quality),
            (2, csv.len() as u64, 1_000_000)
        );
        assert_eq!(found.schema, digest("language:text,words:text"));
        let json = b"{\"b\":1,\"a\":\"x\"}\n{\"a\":\"y\",\"b\":2}\n";
        let found = measure(json);
        assert_eq!((found.records, found.quality), (2, 1_000_000));
        assert_eq!(found.schema, digest("a:text,b:number"));
    }

    #[test]
    fn records_of_another_shape_lower_the_quality() {
        for (data, records, quality) in [
            (&b"a,b\n1,x\n2\n3,y,z\n4,w\n"[..], 4, 500_000),
            (b"a,b\n1,x\ntwo,y\n", 2, 500_000),
            (b"{\"a\":1}\nno\n{}\n{\"a\":2}\n", 4, 500_000),
            (b"{\"a\":1}\r\n\r\n{\"a\":2}\r\n", 2, 1_000_000),
            (b"a,b\n", 0, 0),
            (b"", 0, 0),
            (b"\xff\xfe\n\xff\n", 1, 0),
        ] {
            let found = measure(data);
            assert_eq!(
                (found.records, found.quality),
                (records, quality),
                "{data:?}"
            );
        }
    }
}

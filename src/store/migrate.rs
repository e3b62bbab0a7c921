//! Records of older schemas, rewritten when the file is opened.

use super::{StoreError, Table};
use redb::ReadableTable;
use serde_json::{Value, json};

/// Moves an attempt's fields, which schema 1 had in the record itself, into a part of their own.
pub(super) fn attempts(records: &mut Table<'_>) -> Result<(), StoreError> {
    let mut all = Vec::new();
    for entry in records.iter()? {
        let (id, value) = entry?;
        all.push((id.value().to_owned(), serde_json::from_slice::<Value>(value.value())?));
    }
    for (id, record) in all {
        records.insert(id.as_str(), serde_json::to_vec(&with_attempt(record))?.as_slice())?;
    }
    Ok(())
}

fn with_attempt(mut record: Value) -> Value {
    let Some(fields) = record.as_object_mut() else { return record };
    let mut take = |name: &str| fields.remove(name).unwrap_or_default();
    let address = take("address");
    let endpoints = match address.as_str().unwrap_or_default() {
        "" => json!([]),
        address => json!([{ "network": "bridge", "address": address }]),
    };
    let attempt = json!({
        "number": take("attempt"),
        "pod": take("pod"),
        "container": take("container"),
        "endpoints": endpoints,
        "pid": take("pid"),
        "used": take("used"),
    });
    record["attempt"] = attempt;
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Attempt;

    #[test]
    fn an_attempt_of_schema_1() {
        let old = json!({ "name": "web", "attempt": 3, "used": true, "pod": "p", "container": "c",
            "address": "10.88.0.7", "pid": 42, "spec": { "pid": "host" } });
        let new = with_attempt(old);
        let attempt: Attempt = serde_json::from_value(new["attempt"].clone()).unwrap();
        assert_eq!((attempt.number, attempt.pod.as_str(), attempt.container.as_str()), (3, "p", "c"));
        assert_eq!((attempt.address(), attempt.pid, attempt.used), ("10.88.0.7", 42, true));
        assert!(new.get("pod").is_none() && new["spec"]["pid"] == "host" && new["name"] == "web");
        let without = with_attempt(json!({ "attempt": 0, "used": false, "pod": "", "container": "",
            "address": "", "pid": 0 }));
        assert_eq!(
            serde_json::from_value::<Attempt>(without["attempt"].clone()).unwrap(),
            Attempt::default()
        );
    }
}

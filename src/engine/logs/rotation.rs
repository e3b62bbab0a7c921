//! Rotation: the shim renames a log that has grown too long (`container.log.1` is younger than `.2`) and begins a new one.
//! Readers go from one to the next by inode, so that nothing is read twice or left out.

use crate::engine::containers::LOG;
use crate::engine::error::EngineError;
use crate::engine::lifecycle;
use crate::engine::{Inner, blocking};
use crate::model::logopts::SHARED;
use crate::sys::rotated;
use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Interval at which new files are looked for.
const ROUND: Duration = Duration::from_secs(2);

/// Limits of a container's log: the size at which it is rotated, and the number of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Rotation {
    /// Size at which a file is full, in bytes.
    pub(in crate::engine) size: u64,
    /// Files of one attempt, the one that is written included.
    pub(in crate::engine) files: u32,
}

impl Default for Rotation {
    /// A kubelet's defaults.
    fn default() -> Self {
        Self { size: 10 << 20, files: 5 }
    }
}

impl Rotation {
    /// Parses `max-size` and `max-file`, in Docker's forms.
    pub(in crate::engine) fn parse(options: &BTreeMap<String, String>) -> Result<Self, EngineError> {
        let mut rotation = Self::default();
        for (key, value) in options {
            let invalid = || EngineError::invalid(format!("invalid value for log opt {key}: {value:?}"));
            match key.as_str() {
                "max-size" => rotation.size = bytes(value).filter(|n| *n >= 1024).ok_or_else(invalid)?,
                "max-file" => {
                    rotation.files =
                        value.parse().ok().filter(|n| (1..=1000).contains(n)).ok_or_else(invalid)?;
                }
                other if SHARED.contains(&other) => {}
                other => {
                    return Err(EngineError::invalid(format!(
                        "unknown log opt '{other}' for json-file log driver"
                    )));
                }
            }
        }
        Ok(rotation)
    }
}

/// A size in bytes from a text with a binary unit: `10m`, `1.5g`, `4096`.
fn bytes(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    if lower == "-1" {
        return Some(u64::MAX);
    }
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale: u32 = match &lower[digits.len()..] {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return None,
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let whole = whole.parse::<u64>().ok()?.checked_shl(scale)?;
    let tenths = fraction.chars().next()?.to_digit(10)?;
    whole.checked_add((u64::from(tenths) << scale) / 10)
}

/// Tells containerd of new files, as long as the engine lives: else it would hold deleted files open, and their room.
pub(in crate::engine) async fn run(engine: Weak<Inner>) {
    let mut seen = HashMap::new();
    loop {
        tokio::time::sleep(ROUND).await;
        let Some(inner) = engine.upgrade() else { return };
        inner.reopen_rotated(&mut seen).await;
    }
}

impl Inner {
    /// Tells containerd of files that are new since `seen`, which has the inode of each container's youngest full file.
    async fn reopen_rotated(self: &Arc<Self>, seen: &mut HashMap<String, u64>) {
        let mut logs = Vec::new();
        for record in self.records.all() {
            if lifecycle::lives(record.status) && record.spec.log.driver != "none" {
                let log = self.log_dir(&record, record.attempt.number).join(LOG);
                logs.push((record.name, record.attempt.container, rotated::last(&log)));
            }
        }
        let looked = move || {
            let inode = |path: &Path| std::fs::metadata(path).ok().map(|meta| meta.ino());
            logs.into_iter().filter_map(|(name, id, path)| Some((name, id, inode(&path)?))).collect()
        };
        let found: Vec<(String, String, u64)> = blocking(looked).await.unwrap_or_default();
        let mut still = HashMap::new();
        for (name, id, inode) in found {
            if seen.get(&id) != Some(&inode)
                && let Err(error) = self.cri.reopen_log(&id).await
            {
                tracing::warn!(%error, container = name, "containerd does not follow a log's rotation");
                continue;
            }
            still.insert(id, inode);
        }
        *seen = still;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(options: &[(&str, &str)]) -> Result<Rotation, String> {
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Rotation::parse(&options).map_err(|e| e.to_string())
    }

    #[test]
    fn options() {
        assert_eq!(parsed(&[]), Ok(Rotation { size: 10 << 20, files: 5 }));
        let own = parsed(&[("max-size", "1.5k"), ("max-file", "2")]);
        assert_eq!(own, Ok(Rotation { size: 1536, files: 2 }));
        assert_eq!(parsed(&[("max-size", "-1")]).unwrap().size, u64::MAX);
        assert_eq!(parsed(&[("tag", "x"), ("env-regex", "y")]), parsed(&[]));
        for bad in
            [("max-size", "x"), ("max-size", "1"), ("max-file", "0"), ("max-file", "-1"), ("what", "x")]
        {
            assert!(parsed(&[bad]).is_err(), "{bad:?}");
        }
    }
}

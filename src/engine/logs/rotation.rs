//! Rotation: a log that has grown too long is renamed (`container.log.1` is younger than `.2`), and containerd opens a
//! new one. Readers go from one to the next by inode, so that nothing is read twice or left out.

use crate::engine::containers::LOG;
use crate::engine::error::EngineError;
use crate::engine::{Inner, blocking};
use crate::model::container::Status;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often lengths are looked at.
const ROUND: Duration = Duration::from_secs(2);

/// When a log is rotated, and how many files there are at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Rotation {
    /// Bytes.
    pub(in crate::engine) size: u64,
    /// Files of one attempt, the one that is written included.
    pub(in crate::engine) files: u32,
}

impl Default for Rotation {
    /// As a kubelet has it.
    fn default() -> Self {
        Self { size: 10 << 20, files: 5 }
    }
}

impl Rotation {
    /// From `max-size` and `max-file`, in Docker's forms.
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

/// `10m`, `1.5g`, `4096`: binary units.
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

/// An attempt's log files, the oldest first.
pub(super) fn files_of(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let rest = name.strip_prefix(LOG)?;
            let age = if rest.is_empty() { 0 } else { rest.strip_prefix('.')?.parse().ok()? };
            Some((age, entry.path()))
        })
        .collect();
    found.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Renames the files; the oldest goes when there would be more than `files`.
fn shift(dir: &Path, files: u32) -> io::Result<()> {
    let aged = |age: u32| dir.join(format!("{LOG}.{age}"));
    for path in files_of(dir)? {
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
        let age: u32 = name.strip_prefix(LOG).and_then(|r| r.strip_prefix('.')?.parse().ok()).unwrap_or(0);
        if age + 1 >= files {
            std::fs::remove_file(&path)?;
        } else {
            std::fs::rename(&path, aged(age + 1))?;
        }
    }
    Ok(())
}

/// Looks after the logs of what runs, as long as the engine lives.
pub(in crate::engine) async fn run(engine: Weak<Inner>) {
    loop {
        tokio::time::sleep(ROUND).await;
        let Some(inner) = engine.upgrade() else { return };
        inner.rotate_all().await;
    }
}

impl Inner {
    async fn rotate_all(self: &Arc<Self>) {
        for record in self.records() {
            if !matches!(record.status, Status::Running | Status::Paused) || record.spec.log.driver == "none"
            {
                continue;
            }
            let rotation = Rotation::parse(&record.spec.log.options).unwrap_or_default();
            let dir = self.log_dir(&record, record.attempt);
            let log = dir.join(LOG);
            match tokio::fs::metadata(&log).await {
                Ok(meta) if meta.len() > rotation.size => {}
                _ => continue,
            }
            let shifted = blocking(move || shift(&dir, rotation.files)).await;
            let outcome = match shifted {
                Ok(Ok(())) => self.cri.reopen_log(&record.container).await,
                Ok(Err(error)) => Err(EngineError::file("cannot rotate", &log)(error)),
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                tracing::warn!(%error, container = record.name, "cannot rotate a log");
            }
        }
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
        for bad in [("max-size", "x"), ("max-size", "1"), ("max-file", "0"), ("max-file", "-1"), ("tag", "x")]
        {
            assert!(parsed(&[bad]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn files_shift() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["a", "b", "c", "d"] {
            std::fs::write(dir.path().join(LOG), text).unwrap();
            shift(dir.path(), 3).unwrap();
        }
        std::fs::write(dir.path().join(LOG), "e").unwrap();
        let texts: Vec<String> =
            files_of(dir.path()).unwrap().iter().map(|p| std::fs::read_to_string(p).unwrap()).collect();
        assert_eq!(texts, ["c", "d", "e"]);
    }
}

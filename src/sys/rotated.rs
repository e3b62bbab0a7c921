//! A log and its older files, beside it: `NAME`, `NAME.1`, `NAME.2`; the higher the number, the older.

use std::io;
use std::path::{Path, PathBuf};

/// The files that are there, the oldest first.
pub fn files(log: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(aged(log)?.into_iter().map(|(_, path)| path).collect())
}

/// The path of the youngest of the older files.
pub fn last(log: &Path) -> PathBuf {
    of_age(log, 1)
}

/// Makes room for a new `NAME` by renaming; the oldest goes when there would be more than `most`.
pub fn shift(log: &Path, most: u32) -> io::Result<()> {
    for (age, path) in aged(log)? {
        if age.saturating_add(1) >= most {
            std::fs::remove_file(&path)?;
        } else {
            std::fs::rename(&path, of_age(log, age + 1))?;
        }
    }
    Ok(())
}

fn of_age(log: &Path, age: u32) -> PathBuf {
    let mut path = log.as_os_str().to_owned();
    path.push(format!(".{age}"));
    path.into()
}

fn aged(log: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let (Some(dir), Some(own)) = (log.parent(), log.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let suffix = name.strip_prefix(own)?;
            let age = if suffix.is_empty() { 0 } else { suffix.strip_prefix('.')?.parse().ok()? };
            Some((age, entry.path()))
        })
        .collect();
    found.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_shift() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("a.log");
        for text in ["a", "b", "c", "d"] {
            std::fs::write(&log, text).unwrap();
            shift(&log, 3).unwrap();
        }
        std::fs::write(&log, "e").unwrap();
        std::fs::write(dir.path().join("a.log.x"), "not one").unwrap();
        let texts = || -> Vec<String> {
            files(&log).unwrap().iter().map(|p| std::fs::read_to_string(p).unwrap()).collect()
        };
        assert_eq!(texts(), ["c", "d", "e"]);
        assert_eq!(std::fs::read_to_string(last(&log)).unwrap(), "d");
        shift(&log, 1).unwrap();
        assert_eq!(texts(), [""; 0]);
    }
}

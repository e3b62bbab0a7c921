//! Windows: everything may be executed, nothing else is known.

use super::Detail;
use crate::builder::local::mode;
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// The details in what the file system says.
pub(in crate::builder::local) fn detail(data: &Metadata) -> Detail {
    let kind = match data.file_type() {
        kind if kind.is_dir() => mode::DIR,
        kind if kind.is_symlink() => mode::SYMLINK,
        _ => 0,
    };
    let permissions = if data.permissions().readonly() { 0o555 } else { 0o755 };
    Detail { mode: kind | permissions, ..Detail::default() }
}

/// Opens a regular file; `None` for whatever else is there.
pub(in crate::builder::local) fn open(path: &Path) -> io::Result<Option<File>> {
    let file = File::open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

/// None.
#[expect(clippy::unnecessary_wraps, reason = "the same on every system")]
pub(in crate::builder::local) fn attributes(_: &Path) -> io::Result<HashMap<String, Vec<u8>>> {
    Ok(HashMap::new())
}

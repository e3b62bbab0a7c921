//! What the engine does for the name server: it writes the directory down, and says so.

use crate::model::directory::Directory;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Time for the name server to have read it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The way to the name server.
#[derive(Clone, Debug)]
pub struct Client {
    file: PathBuf,
    socket: PathBuf,
}

impl Client {
    /// One with these places.
    pub fn new(file: PathBuf, socket: PathBuf) -> Self {
        Self { file, socket }
    }

    /// Replaces the directory; returns when the name server knows. One that is away reads it when it comes up. Blocks.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn tell(&self, directory: &Directory) -> io::Result<()> {
        let text = serde_json::to_vec(directory)?;
        let new = self.file.with_extension("new");
        fs::File::create(&new)?.write_all(&text)?;
        fs::rename(&new, &self.file)?;
        let knock = || -> io::Result<()> {
            let mut stream = UnixStream::connect(&self.socket)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.read_to_end(&mut Vec::new()).map(drop)
        };
        if let Err(error) = knock() {
            tracing::debug!(%error, "the name server is away");
        }
        Ok(())
    }
}

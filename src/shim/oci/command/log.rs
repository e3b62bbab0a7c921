//! Messages, in the forms of runc's (logrus).

use super::args::LogFormat;
use serde_json::json;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Instant;

/// Where messages go.
pub(super) struct Log {
    file: Option<File>,
    format: LogFormat,
    begun: Instant,
}

impl Log {
    pub(super) fn new(path: Option<PathBuf>, format: LogFormat) -> io::Result<Self> {
        let open = |path: PathBuf| File::options().append(true).create(true).open(path);
        Ok(Self { file: path.map(open).transpose()?, format, begun: Instant::now() })
    }

    fn write(&self, level: &str, message: &str) {
        let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let line = match self.format {
            LogFormat::Json => json!({ "level": level, "msg": message, "time": time }).to_string(),
            LogFormat::Text if self.file.is_none() && io::stderr().is_terminal() => {
                let (colour, seconds) =
                    (if level == "error" { 31 } else { 33 }, self.begun.elapsed().as_secs());
                let word = &level.to_uppercase()[..4];
                format!("\x1b[{colour}m{word}\x1b[0m[{seconds:04}] {message:<44} ")
            }
            LogFormat::Text => format!("time={time:?} level={level} msg={message:?}"),
        };
        // Nothing can be said of it elsewhere.
        let _ = match &self.file {
            Some(file) => writeln!(&mut &*file, "{line}"),
            None => writeln!(io::stderr(), "{line}"),
        };
    }

    /// An error that ends the command: whoever reads no log reads it on standard error.
    pub(super) fn error(&self, message: &str) {
        self.write("error", message);
        if self.file.is_some() {
            let _ = writeln!(io::stderr(), "{message}");
        }
    }

    pub(super) fn warn(&self, message: &str) {
        self.write("warning", message);
    }
}

//! The only place that prints: results to standard output, everything else to standard error.

mod progress;

use progress::Place;
pub(crate) use progress::Progress;

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

/// The terminal, or whatever stands in for it.
pub(crate) struct Ui {
    out: Mutex<Box<dyn Write + Send>>,
    err: Mutex<Box<dyn Write + Send>>,
    terminals: Terminals,
}

/// Standard streams that are terminals.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terminals {
    /// Standard input.
    pub(crate) stdin: bool,
    /// Standard output.
    pub(crate) stdout: bool,
    /// Standard error.
    pub(crate) stderr: bool,
}

/// The next line of standard input; empty at its end. Aside: a read that waits for somebody would keep us from the
/// signals.
pub(crate) async fn typed_line() -> io::Result<String> {
    let line = tokio::task::spawn_blocking(|| io::stdin().lines().next().transpose());
    Ok(line.await.map_err(io::Error::other)??.unwrap_or_default())
}

impl Ui {
    /// Our own standard streams.
    pub(crate) fn stdio() -> Self {
        let terminals = Terminals {
            stdin: io::stdin().is_terminal(),
            stdout: io::stdout().is_terminal(),
            stderr: io::stderr().is_terminal(),
        };
        Self::new(Box::new(io::stdout()), Box::new(io::stderr()), terminals)
    }

    /// Other streams.
    pub(crate) fn new(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>, terminals: Terminals) -> Self {
        Self { out: Mutex::new(out), err: Mutex::new(err), terminals }
    }

    /// Standard streams that are terminals.
    pub(crate) fn terminals(&self) -> Terminals {
        self.terminals
    }

    /// A line of results.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        self.data(format!("{text}\n").as_bytes())
    }

    /// Results as they are.
    pub(crate) fn data(&self, bytes: &[u8]) -> io::Result<()> {
        write(&self.out, bytes)
    }

    /// Bytes for standard error that are somebody else's (a container's).
    pub(crate) fn error_data(&self, bytes: &[u8]) -> io::Result<()> {
        write(&self.err, bytes)
    }

    /// A line of messages. That nobody can read it stops nothing.
    pub(crate) fn message(&self, text: &str) {
        let _ = write(&self.err, format!("{text}\n").as_bytes());
    }

    /// Something that the user should know.
    pub(crate) fn warning(&self, text: &str) {
        self.message(&format!("WARNING: {}", text.trim_start_matches("WARNING: ")));
    }

    /// Shows how far a long operation is: bars on a terminal, else lines.
    pub(crate) fn progress(&self, quiet: bool) -> Progress<'_> {
        Progress::new(self, quiet, Place::Messages)
    }

    /// The same on standard output, where it is a part of the result and stays.
    pub(crate) fn progress_of_results(&self, quiet: bool) -> Progress<'_> {
        Progress::new(self, quiet, Place::Results)
    }
}

fn write(stream: &Mutex<Box<dyn Write + Send>>, bytes: &[u8]) -> io::Result<()> {
    let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
    stream.write_all(bytes)?;
    stream.flush()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::Arc;

    /// Collects what was written.
    #[derive(Clone, Default)]
    pub(crate) struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Buffer {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn streams_are_apart() {
        let (out, err) = (Buffer::default(), Buffer::default());
        let ui = Ui::new(Box::new(out.clone()), Box::new(err.clone()), Terminals::default());
        ui.line("result").unwrap();
        ui.warning("WARNING: once");
        assert_eq!((out.text().as_str(), err.text().as_str()), ("result\n", "WARNING: once\n"));
    }
}

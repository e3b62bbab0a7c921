//! Places and settings: every path, every environment variable, every setting of the daemon,
//! declared once. Defaults < file < environment < flags.

mod commit;
pub mod daemon;
pub mod dirs;
pub mod env;
pub mod instance;
mod runtime;

pub use commit::{commit, set_commit};
pub use daemon::{DaemonConfig, PublishSource};
pub use dirs::Dirs;
pub use instance::Instance;
pub use runtime::OciRuntime;

use std::path::PathBuf;

/// A setting or a place that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no home directory.
    #[error("cannot find your home directory: set HOME")]
    NoHome,
    /// `XDG_RUNTIME_DIR` is needed and not there.
    #[error(
        "XDG_RUNTIME_DIR is not set: log in through systemd-logind (ssh, a desktop, `machinectl shell`), or set it to a directory of yours with mode 0700"
    )]
    NoRuntimeDir,
    /// A configuration file that cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A configuration file with something wrong in it.
    #[error("{}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The mistake, with its line.
        message: String,
    },
    /// A value that makes no sense.
    #[error("{name}: {message}")]
    Value {
        /// Setting or variable.
        name: String,
        /// The mistake, and what is expected.
        message: String,
    },
}

//! Verbs and flags, by runc's names.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Forms of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Forms of lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    #[default]
    Table,
    Json,
}

/// The OCI runtime of k3c
#[derive(Debug, Parser)]
#[command(name = super::NAME, version = concat!(env!("CARGO_PKG_VERSION"), "\nspec: 1.3.0"), disable_help_subcommand = true)]
pub(super) struct Line {
    /// Folder of the containers' states (default: /run/k3c-oci, or below $XDG_RUNTIME_DIR)
    #[arg(long)]
    pub(super) root: Option<PathBuf>,
    /// File for messages (default: standard error)
    #[arg(long)]
    pub(super) log: Option<PathBuf>,
    /// Form of the messages
    #[arg(long, value_enum, default_value_t)]
    pub(super) log_format: LogFormat,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a container
    Create(Make),
    /// Make a container, start it, wait for its end and delete it
    Run(Run),
    /// Start the program of a container that was made
    Start {
        /// ID of the container
        id: String,
    },
    /// Add a process to a container
    Exec(Exec),
    /// Show the state of a container
    State {
        /// ID of the container
        id: String,
    },
    /// List the containers
    List {
        /// Form of the list
        #[arg(long, short, value_enum, default_value_t)]
        format: Format,
        /// Only IDs
        #[arg(long, short)]
        quiet: bool,
    },
    /// List the processes of a container
    Ps {
        /// Form of the list
        #[arg(long, short, value_enum, default_value_t)]
        format: Format,
        /// ID of the container
        id: String,
    },
    /// Show what this runtime can do
    Features,
    /// Send a signal to a container
    Kill {
        /// All of its processes
        #[arg(long, short)]
        all: bool,
        /// ID of the container
        id: String,
        /// Name or number of the signal
        #[arg(default_value = "TERM")]
        signal: String,
    },
    /// Delete a container that has stopped
    Delete {
        /// Also one that runs; one that is not there is no error
        #[arg(long, short)]
        force: bool,
        /// ID of the container
        id: String,
    },
    /// Freeze all processes of a container
    Pause {
        /// ID of the container
        id: String,
    },
    /// Let the processes of a container go on
    Resume {
        /// ID of the container
        id: String,
    },
    /// Change the limits of a container
    Update {
        /// File with the new limits (OCI's `resources`), `-` for standard input
        #[arg(long, short)]
        resources: PathBuf,
        /// ID of the container
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Make {
    /// Folder of the bundle
    #[arg(long, short, default_value = ".")]
    pub(super) bundle: PathBuf,
    /// Socket that gets the container's terminal
    #[arg(long)]
    pub(super) console_socket: Option<PathBuf>,
    /// File that gets the ID of the first process
    #[arg(long)]
    pub(super) pid_file: Option<PathBuf>,
    /// ID of the container
    pub(super) id: String,
}

#[derive(Debug, Args)]
pub(super) struct Run {
    /// Do not wait for its end
    #[arg(long, short)]
    pub(super) detach: bool,
    /// Keep its state when it has ended
    #[arg(long)]
    pub(super) keep: bool,
    #[command(flatten)]
    pub(super) make: Make,
}

#[derive(Debug, Args)]
pub(super) struct Exec {
    /// Do not wait for its end
    #[arg(long, short)]
    pub(super) detach: bool,
    /// Socket that gets the process's terminal
    #[arg(long)]
    pub(super) console_socket: Option<PathBuf>,
    /// File that gets the ID of the process
    #[arg(long)]
    pub(super) pid_file: Option<PathBuf>,
    /// File with the process (OCI's `process`)
    #[arg(long, short, conflicts_with_all = ["cwd", "env", "tty", "user", "cap", "no_new_privs"])]
    pub(super) process: Option<PathBuf>,
    /// Folder in the container
    #[arg(long)]
    pub(super) cwd: Option<String>,
    /// Add a variable
    #[arg(long, short)]
    pub(super) env: Vec<String>,
    /// Give it a terminal
    #[arg(long, short)]
    pub(super) tty: bool,
    /// User, by number (UID[:GID])
    #[arg(long, short)]
    pub(super) user: Option<String>,
    /// Add a capability
    #[arg(long, short)]
    pub(super) cap: Vec<String>,
    /// Let it gain no more rights
    #[arg(long)]
    pub(super) no_new_privs: bool,
    /// Also in a container that is frozen
    #[arg(long)]
    pub(super) ignore_paused: bool,
    /// ID of the container
    pub(super) id: String,
    /// Program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) words: Vec<String>,
}

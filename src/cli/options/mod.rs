//! Values of flags, from text to model types. Pure: what the user's machine adds comes in as a [`Host`].

pub(crate) mod container;
pub(crate) mod csv;
pub(crate) mod env;
pub(crate) mod flags;
pub(crate) mod groups;
pub(crate) mod kinds;
pub(crate) mod mount;
pub(crate) mod mount_flag;
pub(crate) mod restart;
pub(crate) mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The user's machine, as far as flags may refer to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    /// The environment, for `-e KEY`.
    pub(crate) env: BTreeMap<String, String>,
    /// Folder that relative paths begin in.
    pub(crate) working_dir: PathBuf,
    /// Folder that `~` stands for; `None`: not known.
    pub(crate) home: Option<PathBuf>,
    /// Variables that containers and builds get unless they have them.
    pub(crate) proxies: Vec<(String, String)>,
}

impl Host {
    /// This process's.
    pub(crate) fn current() -> Self {
        let text = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            env: std::env::vars_os().filter_map(text).collect(),
            working_dir: std::env::current_dir().unwrap_or_default(),
            home: std::env::home_dir(),
            proxies: crate::credentials::proxies(),
        }
    }
}

//! Every environment variable we read.

/// Where the daemon listens: a path, or `unix://` and a path.
pub const ADDRESS: &str = "K3C_ADDRESS";

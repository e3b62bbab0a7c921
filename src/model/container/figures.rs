//! Processes and figures of a running container.

/// Output of ps(1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processes {
    /// Columns.
    pub titles: Vec<String>,
    /// One per process.
    pub rows: Vec<Vec<String>>,
}

/// Figures of one container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Stable identifier.
    pub id: String,
    /// Name, without a leading slash.
    pub name: String,
    /// True when the container runs and there are figures.
    pub known: bool,
    /// Nanoseconds used since the start.
    pub cpu_nanos: u64,
    /// Use of CPUs over the last second; 100 is one CPU.
    pub cpu_percent: f64,
    /// Bytes, without inactive file cache.
    pub memory_usage: u64,
    /// Bytes; the host's memory where there is no limit.
    pub memory_limit: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Bytes read from and written to block devices.
    pub block: (u64, u64),
    /// Bytes received and sent.
    pub net: (u64, u64),
    /// CPUs of the host.
    pub online_cpus: u32,
}

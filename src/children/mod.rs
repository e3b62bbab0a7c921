//! The programs that k3c carries: unpacking them, their configurations, their command lines. No process is started
//! here.

pub mod buildkitd;
pub mod bundle;
pub mod containerd;

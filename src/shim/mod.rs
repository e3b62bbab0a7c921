//! Containers' processes. For now the Go shim and runc serve; [`runtime`] stands between them.

pub mod runtime;

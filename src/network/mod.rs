//! The containers' network: what makes it, its way out, the names in it, and how other programs find it.
//!
//! ```text
//! containerd, buildkitd ─> k3c-cni (cni) ─> netlink ─┐
//!                                                    ├ the detached network namespace (rootless::netns made it)
//! engine stage ──────────> slirp4netns (slirp) ──────┘
//! engine, rootlessctl ───> api.sock ─> ports: the host's ports that lead in
//! engine ────────────────> names.json ─> dns: what containers are called, at the gateways
//! ```
//!
//! As root there is neither a detached namespace nor slirp4netns: the bridge is in the host's own namespace.

pub mod cni;
pub mod dns;
pub mod names;
mod netlink;
mod nft;
pub mod ports;
pub mod slirp;

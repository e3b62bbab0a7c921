//! The containers' network. For now the Go bridge plugin makes it, entered through [`cni`].

pub mod cni;

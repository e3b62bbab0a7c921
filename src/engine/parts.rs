//! Parts of the machine's side that the engine asks and that are another room's; `daemon` supplies them.

use crate::model::container::{Dns, Identity};
use crate::model::port::Published;
use futures::future::BoxFuture;
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;

/// Everything that the engine has of other rooms.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Names that containers know.
    pub names: Arc<dyn Names>,
    /// Ports of the host that lead to containers.
    pub ports: Arc<dyn Ports>,
}

/// Names that containers know.
pub trait Names: Debug + Send + Sync {
    /// The text of a container's hosts(5).
    fn hosts(&self, of: &Identity<'_>) -> String;

    /// Resolver settings of a container for which these were asked; `None`: all are the host's.
    fn resolver(&self, asked: &Dns) -> Option<Dns>;
}

/// A port of the host that leads to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    /// The container, or another thing that it belongs to; empty: a person published it.
    pub owner: String,
    /// Both ports, and the host's address.
    pub published: Published,
    /// The container's address.
    pub to: IpAddr,
    /// The container's address of the other version of IP.
    pub other: Option<IpAddr>,
}

/// Why a port cannot be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotPublished {
    /// Somebody has it.
    Taken(String),
    /// The host does not have that version of IP.
    NoVersion,
    /// Nobody can have it.
    Refused(String),
    /// Nobody answers.
    Away(String),
}

/// Ports of the host that lead to containers: a process of its own has them. One call after the other; nothing is kept here.
pub trait Ports: Debug + Send + Sync {
    /// Publishes a port; answers its number. The same again is no error.
    fn add<'a>(&'a self, lead: &'a Lead) -> BoxFuture<'a, Result<u32, NotPublished>>;

    /// Withdraws a port. One that is not there is no error.
    fn remove(&self, number: u32) -> BoxFuture<'_, Result<(), NotPublished>>;

    /// All that is published.
    fn all(&self) -> BoxFuture<'_, Result<Vec<(u32, Lead)>, NotPublished>>;
}

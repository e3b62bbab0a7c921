//! Parts of the machine's side that the engine asks and that are another room's; `daemon` supplies them.

use crate::model::attachment::Attachment;
use crate::model::container::{Dns, Identity};
use crate::model::directory::Directory;
use crate::model::port::Published;
use crate::model::subnet::Subnet;
use futures::future::BoxFuture;
use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Everything that the engine has of other rooms.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Names that containers know.
    pub names: Arc<dyn Names>,
    /// Ports of the host that lead to containers.
    pub ports: Arc<dyn Ports>,
    /// Networks of containers.
    pub networks: Arc<dyn Networks>,
}

/// Names that containers know.
pub trait Names: Debug + Send + Sync {
    /// The text of a container's hosts(5).
    fn hosts(&self, of: &Identity<'_>) -> String;

    /// Resolver settings of a container for which these were asked, and that asks for names at `server`, ours; `None`: all
    /// are the host's.
    fn resolver(&self, asked: &Dns, server: Option<Ipv4Addr>) -> Option<Dns>;

    /// Tells the name server of all containers that run. The error is in words.
    fn tell<'a>(&'a self, directory: &'a Directory) -> BoxFuture<'a, Result<(), String>>;
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

/// A place in a network that a pod has got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    /// Address of version 4.
    pub address: String,
    /// Address of version 6; empty: none.
    pub address_6: String,
    /// Hardware address.
    pub mac: String,
}

/// An interface that a pod is to lose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detach {
    /// The pod's ID.
    pub pod: String,
    /// Path of its network namespace.
    pub netns: PathBuf,
    /// Name of the interface.
    pub interface: String,
    /// The interface that is its way out from then on, and the gateways there; `None`: that stays as it is.
    pub way_out: Option<(String, Vec<IpAddr>)>,
}

/// What is done about networks beside what the CNI plugin does for a pod that is made. Errors are words for the user.
pub trait Networks: Debug + Send + Sync {
    /// Networks that the host itself is in or has routes to, with the names of their interfaces.
    fn hosts(&self) -> BoxFuture<'_, Vec<(Subnet, String)>>;

    /// Gives a pod that runs a place in one more network.
    fn connect<'a>(
        &'a self,
        pod: &'a str,
        netns: &'a Path,
        attachment: &'a Attachment,
    ) -> BoxFuture<'a, Result<Attached, String>>;

    /// Takes an interface from a pod that runs. One that is not there is no error.
    fn disconnect<'a>(&'a self, detach: &'a Detach) -> BoxFuture<'a, Result<(), String>>;

    /// Removes a bridge, and its rules. One that is not there is no error.
    fn remove<'a>(&'a self, bridge: &'a str) -> BoxFuture<'a, Result<(), String>>;

    /// Removes all bridges of users' networks but these.
    fn keep<'a>(&'a self, bridges: &'a [String]) -> BoxFuture<'a, Result<(), String>>;
}

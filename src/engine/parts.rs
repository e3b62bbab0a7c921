//! Parts of the machine's side that the engine asks and that are another room's; `daemon` supplies them.

use crate::model::container::{Dns, Identity};
use std::fmt::Debug;
use std::sync::Arc;

/// Everything that the engine has of other rooms.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Names that containers know.
    pub names: Arc<dyn Names>,
}

/// Names that containers know.
pub trait Names: Debug + Send + Sync {
    /// The text of a container's hosts(5).
    fn hosts(&self, of: &Identity<'_>) -> String;

    /// Resolver settings of a container for which these were asked; `None`: all are the host's.
    fn resolver(&self, asked: &Dns) -> Option<Dns>;
}

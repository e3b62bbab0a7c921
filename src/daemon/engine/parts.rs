//! The engine's parts, from the rooms that have them.

use crate::config::Instance;
use crate::engine;
use crate::model::container::{Dns, Identity};
use crate::network::{names, slirp};
use std::sync::Arc;

pub(super) fn of(instance: &Instance) -> engine::Parts {
    let servers = match (instance.config.dns.is_empty(), instance.rootless) {
        (false, _) => instance.config.dns.clone(),
        (true, true) => vec![slirp::DNS.to_owned()],
        (true, false) => Vec::new(),
    };
    engine::Parts { names: Arc::new(Names(names::Names::new(servers))) }
}

#[derive(Debug)]
struct Names(names::Names);

impl engine::Names for Names {
    fn hosts(&self, of: &Identity<'_>) -> String {
        names::hosts(of)
    }

    fn resolver(&self, asked: &Dns) -> Option<Dns> {
        self.0.resolver(asked)
    }
}

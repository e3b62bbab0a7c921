//! The network that a container asks for: what it can have there, and what cannot be together.

use crate::engine::Inner;
use crate::engine::error::EngineError;
use crate::model::container::{ContainerSpec, NetworkMode};

impl Inner {
    /// Refuses what a network cannot give; answers warnings.
    pub(super) fn check_network(&self, spec: &ContainerSpec) -> Result<Option<String>, EngineError> {
        let conflict = |what: &str| Err(EngineError::invalid(format!("conflicting options: {what}")));
        let publishes = !spec.publish.is_empty() || spec.publish_all;
        let sysctl = spec.sysctls.keys().find(|key| key.starts_with("net.") || key.starts_with("net/"));
        match &spec.network {
            NetworkMode::Named(name) if publishes && self.is_internal(name) => {
                Ok(Some(format!("Published ports are discarded when using the internal network {name}")))
            }
            NetworkMode::Bridge | NetworkMode::Named(_) => Ok(None),
            NetworkMode::Host if sysctl.is_some() => Err(EngineError::invalid(format!(
                "sysctl '{}' not allowed in host network namespace",
                sysctl.map_or("", String::as_str)
            ))),
            mode @ (NetworkMode::Host | NetworkMode::None) => {
                Ok(publishes.then(|| format!("Published ports are discarded when using {mode} network mode")))
            }
            NetworkMode::Container(_) if !spec.hostname.is_empty() => {
                conflict("hostname and the network mode")
            }
            NetworkMode::Container(_) if spec.dns != Default::default() => {
                conflict("dns and the network mode")
            }
            NetworkMode::Container(_) if !spec.extra_hosts.is_empty() => {
                conflict("custom host-to-IP mapping and the network mode")
            }
            NetworkMode::Container(_) if publishes => {
                conflict("port publishing and the container type network mode")
            }
            NetworkMode::Container(_) if !spec.expose.is_empty() => {
                conflict("port exposing and the container type network mode")
            }
            NetworkMode::Container(_) => match sysctl {
                Some(key) => conflict(&format!("sysctl {key} and the network mode")),
                None => Ok(None),
            },
        }
    }

    /// The name that a container has for itself unless it was given one, where it is not its ID: the host's, or that of
    /// the container whose network it joins, whose resolver it gets, too.
    pub(super) fn adopt_network(&self, spec: &mut ContainerSpec) -> Result<Option<String>, EngineError> {
        match &spec.network {
            NetworkMode::Container(who) => {
                let other = self.records.find(who)?;
                spec.network = NetworkMode::Container(other.id.to_string());
                spec.dns = other.spec.dns;
                Ok(Some(other.resolved.hostname))
            }
            NetworkMode::Host if spec.hostname.is_empty() => {
                Ok(Some(rustix::system::uname().nodename().to_string_lossy().into_owned()))
            }
            _ => Ok(None),
        }
    }
}

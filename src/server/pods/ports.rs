//! Ports of the host that a pod wants: they would be accepted and dropped.

use crate::proto::cri::{NamespaceMode, PodSandboxConfig};

/// Refusal of a pod that has a port to publish.
pub(super) fn refused(config: &PodSandboxConfig) -> Option<String> {
    let context = config.linux.as_ref().and_then(|l| l.security_context.as_ref());
    // In the host's network the container's port is the host's.
    if context.and_then(|c| c.namespace_options.as_ref()).is_some_and(|o| o.network() == NamespaceMode::Node)
    {
        return None;
    }
    let port = config.port_mappings.iter().find(|p| p.host_port > 0)?;
    let name = config.metadata.as_ref().map(|m| m.name.as_str()).unwrap_or_default();
    Some(format!(
        "pod {name:?}: hostPort {} (of containerPort {}) cannot be published, because ports of the host do not lead to pods \
         yet: leave hostPort out",
        port.host_port, port.container_port
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::cri::{
        LinuxPodSandboxConfig, LinuxSandboxSecurityContext, NamespaceOption, PortMapping,
    };

    fn config(host_port: i32, network: NamespaceMode) -> PodSandboxConfig {
        let options = NamespaceOption { network: network.into(), ..Default::default() };
        let security = LinuxSandboxSecurityContext { namespace_options: Some(options), ..Default::default() };
        PodSandboxConfig {
            port_mappings: vec![PortMapping { container_port: 80, host_port, ..Default::default() }],
            linux: Some(LinuxPodSandboxConfig { security_context: Some(security), ..Default::default() }),
            ..Default::default()
        }
    }

    #[test]
    fn ports_of_the_host() {
        let said = refused(&config(8080, NamespaceMode::Pod)).unwrap();
        assert!(said.contains("hostPort 8080 (of containerPort 80)"), "{said}");
        assert_eq!(refused(&config(0, NamespaceMode::Pod)), None);
        assert_eq!(refused(&config(8080, NamespaceMode::Node)), None);
    }
}

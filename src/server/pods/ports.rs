//! Ports of the host that a pod wants: they are published when it is there, and withdrawn before it goes.

use super::RUN;
use super::call::{self, Asked};
use crate::proto::cri::{self, NamespaceMode, PodSandboxConfig};
use crate::server::proxy::Proxy;
use crate::server::services;
use bytes::Bytes;
use tonic::Status;

/// Whether ports are to be published for a pod.
pub(super) fn wanted(config: &PodSandboxConfig) -> bool {
    let context = config.linux.as_ref().and_then(|l| l.security_context.as_ref());
    let options = context.and_then(|context| context.namespace_options.as_ref());
    // In the host's network the container's port is the host's.
    config.port_mappings.iter().any(|port| port.host_port > 0)
        && options.is_none_or(|options| options.network() != NamespaceMode::Node)
}

/// Runs a pod and publishes its ports; one whose ports cannot be had is removed.
pub(super) async fn run(
    asked: &Asked,
    proxy: &Proxy,
    request: &cri::RunPodSandboxRequest,
) -> Result<Bytes, Status> {
    let made: cri::RunPodSandboxResponse = call::ask(proxy, asked, RUN, request).await?;
    let (ports, pod) = (proxy.host_ports(), made.pod_sandbox_id.clone());
    // The pod is there, so this is finished even if the caller leaves.
    let published = tokio::spawn(async move { ports.publish(pod).await }).await;
    match published {
        Ok(Ok(())) => Ok(call::encoded(&made)),
        Ok(Err(refused)) => Err(services::refused(refused)),
        Err(error) => Err(Status::internal(error.to_string())),
    }
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
        assert!(wanted(&config(8080, NamespaceMode::Pod)));
        assert!(wanted(&PodSandboxConfig { linux: None, ..config(8080, NamespaceMode::Pod) }));
        assert!(!wanted(&config(0, NamespaceMode::Pod)));
        assert!(!wanted(&config(8080, NamespaceMode::Node)));
    }
}

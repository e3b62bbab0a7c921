//! The pod of an attempt, in CRI's words.

use super::container::seccomp;
use super::{annotation, labels};
use crate::engine::Inner;
use crate::engine::containers::security::Seccomp;
use crate::engine::error::EngineError;
use crate::model::amendment::Amendment;
use crate::model::attachment;
use crate::model::container::{ContainerSpec, NetworkMode, Sharing};
use crate::model::name;
use crate::proto::cri;
use crate::store::Record;

impl Inner {
    pub(super) fn pod_config(&self, record: &Record) -> Result<cri::PodSandboxConfig, EngineError> {
        let spec = &record.spec;
        let amendment = Amendment {
            domainname: spec.domainname.clone(),
            host_uts: spec.uts == Sharing::Host,
            // Who joins another container does so when it starts; its pod has nothing.
            no_network: matches!(spec.network, NetworkMode::None | NetworkMode::Container(_)),
            own_uts: !spec.network.has_address() && spec.uts != Sharing::Host,
            ..Amendment::default()
        };
        let mut annotations = annotation(&amendment);
        if let Some(places) = self.attachments(record)? {
            annotations.insert(attachment::ANNOTATION.to_owned(), attachment::value(&places));
        }
        Ok(cri::PodSandboxConfig {
            metadata: Some(cri::PodSandboxMetadata {
                name: name::pod(&record.name),
                uid: record.id.to_string(),
                namespace: "default".to_owned(),
                attempt: record.attempt.number,
            }),
            hostname: record.resolved.hostname.clone(),
            log_directory: self.log_dir(record, record.attempt.number).to_string_lossy().into_owned(),
            dns_config: self.dns(record),
            annotations,
            labels: labels(record),
            linux: Some(cri::LinuxPodSandboxConfig {
                cgroup_parent: cgroup_parent(&spec.cgroup_parent),
                sysctls: spec.sysctls.clone().into_iter().collect(),
                security_context: Some(cri::LinuxSandboxSecurityContext {
                    namespace_options: Some(namespaces(spec)),
                    privileged: spec.privileged,
                    seccomp: Some(seccomp(&Seccomp::Default, None)),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        })
    }
}

/// Namespaces of a pod and its container that are the host's, the pod's or its own.
pub(super) fn namespaces(spec: &ContainerSpec) -> cri::NamespaceOption {
    let or_node = |sharing: &Sharing, own: cri::NamespaceMode| match sharing {
        Sharing::Host => cri::NamespaceMode::Node.into(),
        _ => own.into(),
    };
    cri::NamespaceOption {
        // The host's, for CRI: it makes no other but the default network.
        network: match spec.network.has_address() {
            true => cri::NamespaceMode::Pod.into(),
            false => cri::NamespaceMode::Node.into(),
        },
        pid: or_node(&spec.pid, cri::NamespaceMode::Container),
        ipc: or_node(&spec.ipc, cri::NamespaceMode::Pod),
        ..Default::default()
    }
}

/// A `--cgroup-parent` below the cgroup that is delegated to us, which looks like the root from here.
fn cgroup_parent(asked: &str) -> String {
    let parts: Vec<&str> = asked.split('/').filter(|p| !p.is_empty() && *p != "." && *p != "..").collect();
    if parts.is_empty() { String::new() } else { format!("/{}", parts.join("/")) }
}

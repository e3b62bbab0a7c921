//! The container of an attempt, in CRI's words. Wishes that CRI has no words for are in `amendment`.

use super::pod::namespaces;
use super::users::{RunsAs, groups_policy};
use super::{HOSTS, LOG, annotation, labels};
use crate::engine::Inner;
use crate::engine::containers::limits::limits;
use crate::engine::containers::security::{self, Seccomp};
use crate::engine::error::EngineError;
use crate::model::container::Device;
use crate::proto::cri;
use crate::store::Record;
use cri::security_profile::ProfileType;
use std::path::Path;

/// Name of a seccomp profile among a container's own files.
const SECCOMP: &str = "seccomp.json";

/// Paths of /proc and /sys that Docker hides.
pub(in crate::engine::containers) const MASKED: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
pub(in crate::engine::containers) const READ_ONLY: &[&str] =
    &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

impl Inner {
    pub(super) fn container_config(
        &self,
        record: &Record,
        RunsAs { user, groups }: RunsAs,
    ) -> Result<cri::ContainerConfig, EngineError> {
        let spec = &record.spec;
        let resolved = &record.resolved;
        let security = security::parse(&spec.security_opt)?;
        let mut mounts: Vec<cri::Mount> = resolved.mounts.iter().filter_map(|m| self.cri_mount(m)).collect();
        if !mounts.iter().any(|m| m.container_path == "/etc/hosts") {
            mounts.push(cri::Mount {
                container_path: "/etc/hosts".to_owned(),
                host_path: self.own_dir(record).join(HOSTS).to_string_lossy().into_owned(),
                readonly: spec.read_only,
                ..Default::default()
            });
        }
        // A rootless engine cannot make devices, so the host's own are bound.
        let rootless = self.config.rootless;
        mounts.extend(spec.devices.iter().filter(|_| rootless).map(|device| cri::Mount {
            container_path: device.container.clone(),
            host_path: device.host.clone(),
            readonly: !device.permissions.contains('w'),
            ..Default::default()
        }));
        let hidden = |paths: &[&str]| {
            if spec.privileged || security.unmasked {
                Vec::new()
            } else {
                paths.iter().map(|p| (*p).to_owned()).collect()
            }
        };
        let mut resources = limits(&spec.resources, &self.config.controllers).resources;
        if let Some(score) = spec.oom_score_adj {
            resources.get_or_insert_default().oom_score_adj = score.into();
        }
        let kept = spec.log.driver != "none";
        let unconfined = spec.privileged || security.seccomp == Seccomp::Unconfined;
        let seccomp_off = if unconfined { &Seccomp::Unconfined } else { &security.seccomp };
        Ok(cri::ContainerConfig {
            metadata: Some(cri::ContainerMetadata {
                name: "container".to_owned(),
                attempt: record.attempt.number,
            }),
            image: Some(cri::ImageSpec { image: resolved.config_digest.clone(), ..Default::default() }),
            command: [resolved.entrypoint.clone(), resolved.command.clone()].concat(),
            working_dir: resolved.working_dir.clone(),
            envs: resolved
                .env
                .iter()
                .filter_map(|e| e.split_once('='))
                .map(|(key, value)| cri::KeyValue { key: key.to_owned(), value: value.as_bytes().to_vec() })
                .collect(),
            mounts,
            labels: labels(record),
            log_path: if kept { LOG.to_owned() } else { String::new() },
            annotations: annotation(&self.container_amendment(record)),
            devices: if rootless { Vec::new() } else { spec.devices.iter().map(cri_device).collect() },
            tty: spec.tty,
            stdin: spec.open_stdin,
            linux: Some(cri::LinuxContainerConfig {
                resources,
                security_context: Some(cri::LinuxContainerSecurityContext {
                    capabilities: Some(cri::Capability {
                        add_capabilities: spec.cap_add.clone(),
                        drop_capabilities: spec.cap_drop.clone(),
                        ..Default::default()
                    }),
                    privileged: spec.privileged,
                    namespace_options: Some(namespaces(spec)),
                    supplemental_groups: groups,
                    supplemental_groups_policy: groups_policy(&user).into(),
                    no_new_privs: security.no_new_privileges,
                    apparmor: apparmor(&security.apparmor),
                    run_as_user: user.uid.map(|value| cri::Int64Value { value }),
                    run_as_username: user.name,
                    run_as_group: user.gid.map(|value| cri::Int64Value { value }),
                    readonly_rootfs: spec.read_only,
                    masked_paths: hidden(MASKED),
                    readonly_paths: hidden(READ_ONLY),
                    seccomp: Some(seccomp(seccomp_off, Some(&self.own_dir(record)))),
                    ..Default::default()
                }),
            }),
            ..Default::default()
        })
    }

    /// Writes the container's seccomp profile to a file, which is how CRI takes it, in the runtime's form.
    pub(super) async fn write_seccomp(&self, record: &Record) -> Result<(), EngineError> {
        let spec = &record.spec;
        let Seccomp::Profile(docker) = security::parse(&spec.security_opt)?.seccomp else { return Ok(()) };
        let profile = security::profile(&docker, &spec.cap_add, &spec.cap_drop)?;
        let path = self.own_dir(record).join(SECCOMP);
        tokio::fs::write(&path, profile.to_string()).await.map_err(EngineError::file("cannot write", &path))
    }
}

/// A profile for CRI. `own`: the folder that it was written to.
pub(super) fn seccomp(wanted: &Seccomp, own: Option<&Path>) -> cri::SecurityProfile {
    let (kind, file) = match (wanted, own) {
        (Seccomp::Unconfined, _) => (ProfileType::Unconfined, String::new()),
        (Seccomp::Profile(_), Some(own)) => {
            (ProfileType::Localhost, own.join(SECCOMP).to_string_lossy().into_owned())
        }
        _ => (ProfileType::RuntimeDefault, String::new()),
    };
    cri::SecurityProfile { profile_type: kind.into(), localhost_ref: file }
}

fn apparmor(profile: &str) -> Option<cri::SecurityProfile> {
    let (kind, name) = match profile {
        "" => return None,
        "unconfined" => (ProfileType::Unconfined, ""),
        name => (ProfileType::Localhost, name),
    };
    Some(cri::SecurityProfile { profile_type: kind.into(), localhost_ref: name.to_owned() })
}

fn cri_device(device: &Device) -> cri::Device {
    cri::Device {
        container_path: device.container.clone(),
        host_path: device.host.clone(),
        permissions: device.permissions.clone(),
    }
}

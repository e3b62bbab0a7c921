//! Checks of a container's specification, before anything of the container is made.

use super::HOST_GATEWAY;
use super::{binfmt, security};
use crate::engine::Inner;
use crate::engine::error::EngineError;
use crate::engine::images::{Facts, own_platform, platform_of};
use crate::model::capability;
use crate::model::container::{ContainerSpec, Mount, MountKind, Sharing};
use crate::model::journal;
use crate::model::logopts::{self, Writer};
use crate::model::platform::Platform;
use crate::model::reason::Reason;
use nix::sys::resource::{Resource, getrlimit};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Names under which our one runtime is known.
const RUNTIMES: [&str; 4] = ["k3c", "runc", "io.containerd.k3c.v1", "io.containerd.runc.v2"];

/// Length of the longest host name (sethostname(2)), in bytes.
const HOST_NAME_MAX: usize = 64;

impl Inner {
    /// Refuses a specification that cannot be; answers warnings.
    pub(super) fn check(&self, spec: &ContainerSpec) -> Result<Vec<String>, EngineError> {
        let mut warnings = Vec::new();
        if !spec.runtime.is_empty() && !RUNTIMES.contains(&spec.runtime.as_str()) {
            return Err(EngineError::invalid(format!("unknown or invalid runtime name: {}", spec.runtime)));
        }
        check_log(spec)?;
        for (what, names) in [("CapAdd", &spec.cap_add), ("CapDrop", &spec.cap_drop)] {
            if let Some(name) = names.iter().find(|name| !capability::is_known(name)) {
                return Err(EngineError::invalid(format!(
                    "invalid {what}: unknown capability: \"CAP_{name}\""
                )));
            }
        }
        if spec.hostname.len() > HOST_NAME_MAX {
            return Err(EngineError::invalid(format!(
                "invalid hostname: it has {} bytes, and a host name at most {HOST_NAME_MAX}",
                spec.hostname.len()
            )));
        }
        for (what, name) in [("hostname", &spec.hostname), ("domainname", &spec.domainname)] {
            if spec.uts == Sharing::Host && !name.is_empty() {
                return Err(EngineError::invalid(format!("conflicting options: {what} and the UTS mode")));
            }
        }
        let security = security::parse(&spec.security_opt)?;
        if let security::Seccomp::Profile(profile) = &security.seccomp {
            security::profile(profile, &spec.cap_add, &spec.cap_drop)?;
        }
        if !matches!(security.apparmor.as_str(), "" | "unconfined") && self.config.rootless {
            return Err(EngineError::invalid(format!(
                "AppArmor profile {:?} cannot be applied: an ordinary user cannot load or choose profiles",
                security.apparmor
            )));
        }
        self.check_ulimits(spec)?;
        for device in &spec.devices {
            self.check_device(&device.host)?;
        }
        for rate in &spec.resources.blkio_rates {
            self.check_device(&rate.path)?;
        }
        let of_host = spec.extra_hosts.iter().find(|host| host.ends_with(HOST_GATEWAY));
        if let (Some(host), None) = (of_host, self.config.host_gateway) {
            return Err(EngineError::refused(
                Reason::Unsupported,
                format!(
                    "--add-host {host}: containers may not reach the host's loopback: start the daemon with \
                     --host-loopback, or with host-loopback = true in its config.toml"
                ),
            ));
        }
        if spec.oom_kill_disable {
            warnings
                .push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".to_owned());
        }
        let own = std::fs::read_to_string("/proc/self/oom_score_adj");
        let own: i32 = own.ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0);
        if let Some(score) = spec.oom_score_adj.filter(|score| self.config.rootless && *score < own) {
            warnings.push(format!(
                "An ordinary user cannot lower the OOM score below {own}. --oom-score-adj {score} discarded."
            ));
        }
        if !spec.cgroup_parent.is_empty() && self.config.controllers.is_empty() {
            warnings.push(
                "No cgroup controllers are delegated. --cgroup-parent has no limits to inherit.".to_owned(),
            );
        }
        Ok(warnings)
    }

    /// Replaces the names of containers whose namespaces are joined by their IDs: a name may be another's by the next
    /// start.
    pub(super) fn join_by_id(&self, spec: &mut ContainerSpec) -> Result<(), EngineError> {
        for sharing in [&mut spec.pid, &mut spec.ipc] {
            if let Sharing::Container(who) = sharing {
                *who = self.records.find(who)?.id.to_string();
            }
        }
        Ok(())
    }

    /// Refuses hard limits above our own: an ordinary user may not raise them (setrlimit(2)).
    fn check_ulimits(&self, spec: &ContainerSpec) -> Result<(), EngineError> {
        if !self.config.rootless {
            return Ok(());
        }
        for limit in &spec.ulimits {
            let Some((_, hard)) = resource(&limit.name).and_then(|r| getrlimit(r).ok()) else { continue };
            if u64::try_from(limit.hard).unwrap_or(u64::MAX) > hard {
                return Err(EngineError::invalid(format!(
                    "ulimit {}: the hard limit {} is above the {hard} that this user may use",
                    limit.name, limit.hard
                )));
            }
        }
        Ok(())
    }

    fn check_device(&self, path: &str) -> Result<(), EngineError> {
        let failed = |why: &dyn std::fmt::Display| {
            EngineError::invalid(format!(
                "error gathering device information while adding custom device \"{path}\": {why}"
            ))
        };
        let meta = std::fs::metadata(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => failed(&"no such file or directory"),
            _ => failed(&e),
        })?;
        let kind = meta.file_type();
        match kind.is_char_device() || kind.is_block_device() {
            true => Ok(()),
            false => Err(failed(&"not a device node")),
        }
    }

    /// Adds the mounts of other containers (`--volumes-from`), as far as their targets are free.
    pub(super) fn borrow_mounts(&self, from: &[String], mounts: &mut Vec<Mount>) -> Result<(), EngineError> {
        for text in from {
            let (who, mode) = text.split_once(':').unwrap_or((text, ""));
            let read_only = match mode {
                "" | "rw" | "z" | "Z" => false,
                "ro" => true,
                _ => {
                    return Err(EngineError::invalid(format!("invalid mode for volumes-from: {mode}")));
                }
            };
            for mount in self.records.find(who)?.resolved.mounts {
                let wanted = matches!(mount.kind, MountKind::Bind { .. } | MountKind::Volume { .. });
                // An anonymous volume of the image gives way.
                let taken = |m: &Mount| {
                    m.target == mount.target
                        && !matches!(&m.kind, MountKind::Volume { name, .. } if name.is_empty())
                };
                if wanted && !mounts.iter().any(taken) {
                    mounts.retain(|m| m.target != mount.target);
                    mounts.push(Mount { read_only: mount.read_only || read_only, ..mount });
                }
            }
        }
        Ok(())
    }

    /// Replaces the references of mounted images, which must be there, by CRI's IDs.
    pub(super) async fn find_mounted_images(&self, mounts: &mut [Mount]) -> Result<(), EngineError> {
        for mount in mounts {
            if let MountKind::Image { reference } = &mut mount.kind {
                let (_, facts) = self.open_image(reference).await?;
                facts.config_digest.clone_into(reference);
            }
        }
        Ok(())
    }
}

fn check_log(spec: &ContainerSpec) -> Result<(), EngineError> {
    match spec.log.driver.as_str() {
        "" | "json-file" => {}
        "none" => {
            return match spec.log.options.keys().next() {
                Some(key) => {
                    Err(EngineError::invalid(format!("unknown log opt '{key}' for none log driver")))
                }
                None => Ok(()),
            };
        }
        journal::DRIVER => {
            journal::fields(&spec.log.options, &Writer::of(spec)).map_err(EngineError::invalid)?;
            // The socket is open to everybody; a host without it has no systemd-journald.
            return match std::path::Path::new(journal::SOCKET).exists() {
                true => Ok(()),
                false => Err(EngineError::invalid(format!(
                    "failed to initialize logging driver: journald is not enabled on this host: {} is not there",
                    journal::SOCKET
                ))),
            };
        }
        other => {
            return Err(EngineError::invalid(format!(
                "logger: no log driver named '{other}' is registered: json-file, journald and none are"
            )));
        }
    }
    crate::engine::logs::Rotation::parse(&spec.log.options)?;
    logopts::details(&spec.log, &Writer::of(spec)).map(drop).map_err(EngineError::invalid)
}

/// Refuses an image that is not for the platform that was asked for, and one whose programs this host cannot run.
pub(super) fn check_platform(
    spec: &ContainerSpec,
    facts: &Facts,
    handlers: &Path,
) -> Result<(), EngineError> {
    let own = own_platform();
    let image = match platform_of(&facts.config) {
        unknown if unknown.architecture.is_empty() => own.clone(),
        known => known,
    };
    if !spec.platform.is_empty() {
        let asked = Platform::parse(&spec.platform, &own)?;
        if !asked.takes(&image) {
            return Err(EngineError::other_platform(&spec.image, &spec.platform));
        }
    }
    if binfmt::runs(&own, &image, handlers) {
        return match facts.is_for_cri() {
            true => Ok(()),
            false => Err(EngineError::refused(
                Reason::Unsupported,
                format!(
                    "cannot run {}: it is for several platforms, none of which is {own}: pull or load it for one, by --platform {image}",
                    spec.image
                ),
            )),
        };
    }
    Err(EngineError::refused(
        Reason::Unsupported,
        format!(
            "cannot run {}: it is for {image}, this host is {own}, and its kernel has no handler for such programs (binfmt_misc): the package qemu-user-static brings them",
            spec.image
        ),
    ))
}

fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "core" => Resource::RLIMIT_CORE,
        "cpu" => Resource::RLIMIT_CPU,
        "data" => Resource::RLIMIT_DATA,
        "fsize" => Resource::RLIMIT_FSIZE,
        "locks" => Resource::RLIMIT_LOCKS,
        "memlock" => Resource::RLIMIT_MEMLOCK,
        "msgqueue" => Resource::RLIMIT_MSGQUEUE,
        "nice" => Resource::RLIMIT_NICE,
        "nofile" => Resource::RLIMIT_NOFILE,
        "nproc" => Resource::RLIMIT_NPROC,
        "rss" => Resource::RLIMIT_RSS,
        "rtprio" => Resource::RLIMIT_RTPRIO,
        "rttime" => Resource::RLIMIT_RTTIME,
        "sigpending" => Resource::RLIMIT_SIGPENDING,
        "stack" => Resource::RLIMIT_STACK,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::images::architecture;

    #[test]
    fn platforms() {
        let facts = |architecture: &str, in_index: bool| Facts {
            id: "id".into(),
            config_digest: String::new(),
            config: serde_json::json!({"os": "linux", "architecture": architecture}),
            chain: Vec::new(),
            manifest: if in_index { "in it" } else { "id" }.into(),
            descriptor: serde_json::Value::Null,
        };
        let nothing = Path::new("/nonexistent");
        let asked = |platform: &str| {
            let spec = ContainerSpec { platform: platform.into(), ..ContainerSpec::default() };
            check_platform(&spec, &facts(architecture(), true), nothing).is_ok()
        };
        assert!(asked("") && asked("linux") && asked(architecture()));
        assert!(asked(&format!("linux/{}", architecture())));
        assert!(!asked("linux/s390x") && !asked("windows/amd64") && !asked("linux/"));
        let refused = |facts: &Facts, handlers: &Path| {
            let error = check_platform(&ContainerSpec::default(), facts, handlers).unwrap_err();
            assert_eq!(error.reason(), Reason::Unsupported);
            error.to_string()
        };
        let error = refused(&facts("s390x", false), nothing);
        assert!(error.contains("binfmt_misc"), "{error}");
        // With a handler, what CRI cannot find in an index is still not to be run.
        let handlers = tempfile::tempdir().unwrap();
        let magic = "7f454c4602020100000000000000000000020016";
        std::fs::write(handlers.path().join("qemu-s390x"), format!("enabled\nmagic {magic}\n")).unwrap();
        assert!(check_platform(&ContainerSpec::default(), &facts("s390x", false), handlers.path()).is_ok());
        let error = refused(&facts("s390x", true), handlers.path());
        assert!(error.contains("--platform linux/s390x"), "{error}");
    }

    #[test]
    fn log_drivers() {
        let spec = |driver: &str, option: Option<(&str, &str)>| ContainerSpec {
            log: crate::model::container::LogConfig {
                driver: driver.into(),
                options: option.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
            },
            ..ContainerSpec::default()
        };
        assert!(check_log(&spec("", None)).is_ok() && check_log(&spec("none", None)).is_ok());
        assert!(check_log(&spec("json-file", Some(("max-size", "1m")))).is_ok());
        assert!(check_log(&spec("json-file", Some(("max-size", "lots")))).is_err());
        assert!(check_log(&spec("none", Some(("max-size", "1m")))).is_err());
        assert!(check_log(&spec("journald", Some(("max-size", "1m")))).is_err());
        assert!(check_log(&spec("gelf", None)).unwrap_err().to_string().contains("no log driver named"));
    }
}

//! A container's spec, to and from the wire.

use super::{Invalid, count, number, port, time};
use crate::model::container::{
    ContainerSpec, Device, DeviceRate, Dns, Healthcheck, LogConfig, Mount, MountKind, NetworkMode, Resources,
    RestartPolicy, Sharing, Ulimit,
};
use crate::proto::k3c::v1 as wire;
use wire::mount::Type;

impl From<ContainerSpec> for wire::ContainerSpec {
    fn from(spec: ContainerSpec) -> Self {
        Self {
            image: spec.image,
            entrypoint: spec.entrypoint.map(|values| wire::Strings { values }),
            command: spec.command,
            env: spec.env,
            working_dir: spec.working_dir,
            user: spec.user,
            hostname: spec.hostname,
            labels: spec.labels.into_iter().collect(),
            mounts: spec.mounts.into_iter().map(Into::into).collect(),
            read_only: spec.read_only,
            cap_add: spec.cap_add,
            cap_drop: spec.cap_drop,
            privileged: spec.privileged,
            resources: Some(spec.resources.into()),
            auto_remove: spec.auto_remove,
            restart: Some(spec.restart.into()),
            stop_signal: spec.stop_signal,
            stop_timeout_seconds: spec.stop_timeout,
            tty: spec.tty,
            open_stdin: spec.open_stdin,
            stdin_once: spec.stdin_once,
            domainname: spec.domainname,
            extra_hosts: spec.extra_hosts,
            dns: Some(wire::Dns {
                servers: spec.dns.servers,
                searches: spec.dns.searches,
                options: spec.dns.options,
            }),
            group_add: spec.group_add,
            volumes_from: spec.volumes_from,
            ulimits: spec
                .ulimits
                .into_iter()
                .map(|u| wire::Ulimit { name: u.name, soft: u.soft, hard: u.hard })
                .collect(),
            sysctls: spec.sysctls.into_iter().collect(),
            shm_size: spec.shm_size,
            security_opt: spec.security_opt,
            devices: spec
                .devices
                .into_iter()
                .map(|d| wire::Device { host: d.host, container: d.container, permissions: d.permissions })
                .collect(),
            network_mode: spec.network.to_string(),
            endpoints: spec.endpoints.into_iter().map(Into::into).collect(),
            pid_mode: spec.pid.to_string(),
            ipc_mode: spec.ipc.to_string(),
            uts_mode: spec.uts.to_string(),
            cgroupns_mode: spec.cgroupns.to_string(),
            init: spec.init,
            health: spec.health.map(Into::into),
            log: Some(wire::LogConfig {
                driver: spec.log.driver,
                options: spec.log.options.into_iter().collect(),
            }),
            annotations: spec.annotations.into_iter().collect(),
            oom_score_adj: spec.oom_score_adj,
            platform: spec.platform,
            runtime: spec.runtime,
            cgroup_parent: spec.cgroup_parent,
            oom_kill_disable: spec.oom_kill_disable,
            terminal_size: spec.terminal_size.map(terminal_size_to),
            publish: spec.publish.into_iter().map(Into::into).collect(),
            publish_all: spec.publish_all,
            expose: spec.expose,
        }
    }
}

impl TryFrom<wire::ContainerSpec> for ContainerSpec {
    type Error = Invalid;

    fn try_from(spec: wire::ContainerSpec) -> Result<Self, Invalid> {
        if spec.image.is_empty() {
            return Err(Invalid::new("spec.image", "must not be empty"));
        }
        if let Some(entry) = spec.env.iter().find(|entry| entry.starts_with('=') || entry.is_empty()) {
            return Err(Invalid::new("spec.env", format_args!("no name in {entry:?}")));
        }
        if spec.shm_size < 0 {
            return Err(Invalid::new("spec.shm_size", "must not be negative"));
        }
        if spec.oom_score_adj.is_some_and(|score| !(-1000..=1000).contains(&score)) {
            return Err(Invalid::new("spec.oom_score_adj", "must be from -1000 to 1000"));
        }
        let dns = spec.dns.unwrap_or_default();
        let log = spec.log.unwrap_or_default();
        Ok(Self {
            image: spec.image,
            entrypoint: spec.entrypoint.map(|entrypoint| entrypoint.values),
            command: spec.command,
            env: spec.env,
            working_dir: spec.working_dir,
            user: spec.user,
            hostname: spec.hostname,
            labels: spec.labels.into_iter().collect(),
            mounts: spec.mounts.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            read_only: spec.read_only,
            cap_add: spec.cap_add,
            cap_drop: spec.cap_drop,
            privileged: spec.privileged,
            resources: spec.resources.unwrap_or_default().try_into()?,
            auto_remove: spec.auto_remove,
            restart: spec.restart.unwrap_or_default().try_into()?,
            stop_signal: spec.stop_signal,
            stop_timeout: spec.stop_timeout_seconds,
            tty: spec.tty,
            open_stdin: spec.open_stdin,
            stdin_once: spec.stdin_once,
            domainname: spec.domainname,
            extra_hosts: spec.extra_hosts,
            dns: Dns { servers: dns.servers, searches: dns.searches, options: dns.options },
            group_add: spec.group_add,
            volumes_from: spec.volumes_from,
            ulimits: spec
                .ulimits
                .into_iter()
                .map(|u| Ulimit { name: u.name, soft: u.soft, hard: u.hard })
                .collect(),
            sysctls: spec.sysctls.into_iter().collect(),
            shm_size: spec.shm_size,
            security_opt: spec.security_opt,
            devices: spec
                .devices
                .into_iter()
                .map(|d| Device { host: d.host, container: d.container, permissions: d.permissions })
                .collect(),
            network: NetworkMode::parse(&spec.network_mode)
                .map_err(|why| Invalid::new("spec.network_mode", format_args!("{why}")))?,
            endpoints: spec.endpoints.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            pid: sharing("spec.pid_mode", &spec.pid_mode, &["host", "container"])?,
            ipc: sharing(
                "spec.ipc_mode",
                &spec.ipc_mode,
                &["private", "shareable", "none", "host", "container"],
            )?,
            uts: sharing("spec.uts_mode", &spec.uts_mode, &["host"])?,
            cgroupns: sharing("spec.cgroupns_mode", &spec.cgroupns_mode, &["private", "host"])?,
            init: spec.init,
            health: spec.health.map(TryInto::try_into).transpose()?,
            log: LogConfig { driver: log.driver, options: log.options.into_iter().collect() },
            annotations: spec.annotations.into_iter().collect(),
            oom_score_adj: spec.oom_score_adj,
            platform: spec.platform,
            runtime: spec.runtime,
            cgroup_parent: spec.cgroup_parent,
            oom_kill_disable: spec.oom_kill_disable,
            terminal_size: terminal_size("spec.terminal_size", spec.terminal_size)?,
            publish: spec.publish.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            publish_all: spec.publish_all,
            expose: port::exposed(spec.expose)?,
        })
    }
}

/// For the wire: columns and rows.
pub(super) fn terminal_size_to((columns, rows): (u16, u16)) -> wire::TerminalSize {
    wire::TerminalSize { columns: columns.into(), rows: rows.into() }
}

/// Columns and rows.
pub(super) fn terminal_size(
    field: &'static str,
    size: Option<wire::TerminalSize>,
) -> Result<Option<(u16, u16)>, Invalid> {
    let Some(wire::TerminalSize { columns, rows }) = size else { return Ok(None) };
    let characters = |count: u32| u16::try_from(count).ok().filter(|count| *count > 0);
    match (characters(columns), characters(rows)) {
        (Some(columns), Some(rows)) => Ok(Some((columns, rows))),
        _ => Err(Invalid::new(field, format_args!("{columns}x{rows} is no terminal's size"))),
    }
}

fn sharing(field: &'static str, text: &str, allowed: &[&str]) -> Result<Sharing, Invalid> {
    Sharing::parse(text, allowed).ok_or_else(|| Invalid::new(field, format_args!("unknown mode {text:?}")))
}

impl From<Healthcheck> for wire::Healthcheck {
    fn from(check: Healthcheck) -> Self {
        Self {
            test: check.test,
            interval: check.interval.map(time::duration_to),
            timeout: check.timeout.map(time::duration_to),
            start_period: check.start_period.map(time::duration_to),
            start_interval: check.start_interval.map(time::duration_to),
            retries: number(check.retries),
        }
    }
}

impl TryFrom<wire::Healthcheck> for Healthcheck {
    type Error = Invalid;

    fn try_from(check: wire::Healthcheck) -> Result<Self, Invalid> {
        match check.test.first().map(String::as_str) {
            None | Some("NONE" | "CMD" | "CMD-SHELL") => {}
            Some(other) => {
                return Err(Invalid::new("health.test", format_args!("unknown kind {other:?}")));
            }
        }
        Ok(Self {
            test: check.test,
            interval: time::duration_from("health.interval", check.interval)?,
            timeout: time::duration_from("health.timeout", check.timeout)?,
            start_period: time::duration_from("health.start_period", check.start_period)?,
            start_interval: time::duration_from("health.start_interval", check.start_interval)?,
            retries: count("health.retries", check.retries)?,
        })
    }
}

impl From<Mount> for wire::Mount {
    fn from(mount: Mount) -> Self {
        let mut wire = Self {
            target: mount.target,
            read_only: mount.read_only,
            propagation: mount.propagation,
            subpath: mount.subpath,
            non_recursive: mount.non_recursive,
            ..Self::default()
        };
        let kind = match mount.kind {
            MountKind::Bind { source, create } => {
                (wire.source, wire.create_source) = (source, create);
                Type::Bind
            }
            MountKind::Volume { name, no_copy } => {
                (wire.source, wire.no_copy) = (name, no_copy);
                Type::Volume
            }
            MountKind::Tmpfs { options } => {
                wire.options = options;
                Type::Tmpfs
            }
            MountKind::Image { reference } => {
                wire.source = reference;
                Type::Image
            }
        };
        wire.r#type = kind.into();
        wire
    }
}

impl TryFrom<wire::Mount> for Mount {
    type Error = Invalid;

    fn try_from(mount: wire::Mount) -> Result<Self, Invalid> {
        let target = mount.target;
        if !target.starts_with('/') {
            return Err(Invalid::new(
                "mount.target",
                format_args!("mount path must be absolute: {target:?}"),
            ));
        }
        let kind = match Type::try_from(mount.r#type) {
            Ok(Type::Bind) if mount.source.starts_with('/') => {
                MountKind::Bind { source: mount.source, create: mount.create_source }
            }
            Ok(Type::Bind) => {
                let why = format!("bind source path must be absolute: {:?}", mount.source);
                return Err(Invalid::new("mount.source", why));
            }
            Ok(Type::Volume) => MountKind::Volume { name: mount.source, no_copy: mount.no_copy },
            Ok(Type::Tmpfs) if mount.source.is_empty() => MountKind::Tmpfs { options: mount.options },
            Ok(Type::Tmpfs) => return Err(Invalid::new("mount.source", "a tmpfs has no source")),
            Ok(Type::Image) if mount.source.is_empty() => {
                return Err(Invalid::new("mount.source", "which image is missing"));
            }
            Ok(Type::Image) => MountKind::Image { reference: mount.source },
            Ok(Type::Unspecified) | Err(_) => {
                return Err(Invalid::new("mount.type", format_args!("unknown mount type {}", mount.r#type)));
            }
        };
        match mount.propagation.as_str() {
            "" | "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => {}
            other => {
                return Err(Invalid::new("mount.propagation", format_args!("unknown propagation {other:?}")));
            }
        }
        Ok(Self {
            kind,
            target,
            read_only: mount.read_only,
            propagation: mount.propagation,
            non_recursive: mount.non_recursive,
            subpath: mount.subpath,
        })
    }
}

impl From<Resources> for wire::Resources {
    fn from(limits: Resources) -> Self {
        Self {
            memory_bytes: limits.memory,
            memory_swap_bytes: limits.memory_swap,
            nano_cpus: limits.nano_cpus,
            cpu_shares: limits.cpu_shares,
            cpuset_cpus: limits.cpuset_cpus,
            pids_limit: limits.pids_limit,
            memory_reservation_bytes: limits.memory_reservation,
            cpu_period: limits.cpu_period,
            cpu_quota: limits.cpu_quota,
            cpuset_mems: limits.cpuset_mems,
            blkio_weight: limits.blkio_weight,
            blkio_rates: limits
                .blkio_rates
                .into_iter()
                .map(|r| wire::DeviceRate { path: r.path, kind: r.kind, rate: r.rate })
                .collect(),
        }
    }
}

impl TryFrom<wire::Resources> for Resources {
    type Error = Invalid;

    fn try_from(limits: wire::Resources) -> Result<Self, Invalid> {
        let lowest = [
            ("resources.memory_bytes", limits.memory_bytes, 0),
            ("resources.memory_swap_bytes", limits.memory_swap_bytes, -1),
            ("resources.nano_cpus", limits.nano_cpus, 0),
            ("resources.cpu_shares", limits.cpu_shares, 0),
            ("resources.pids_limit", limits.pids_limit, -1),
            ("resources.memory_reservation_bytes", limits.memory_reservation_bytes, 0),
            ("resources.cpu_period", limits.cpu_period, 0),
            ("resources.cpu_quota", limits.cpu_quota, -1),
            ("resources.blkio_weight", limits.blkio_weight, 0),
        ];
        for (field, value, low) in lowest {
            if value < low {
                return Err(Invalid::new(field, format_args!("{value} is less than {low}")));
            }
        }
        for rate in &limits.blkio_rates {
            if !["rbps", "wbps", "riops", "wiops", "weight"].contains(&rate.kind.as_str()) {
                return Err(Invalid::new(
                    "resources.blkio_rates",
                    format_args!("unknown kind {:?}", rate.kind),
                ));
            }
        }
        Ok(Self {
            memory: limits.memory_bytes,
            memory_swap: limits.memory_swap_bytes,
            nano_cpus: limits.nano_cpus,
            cpu_shares: limits.cpu_shares,
            cpuset_cpus: limits.cpuset_cpus,
            pids_limit: limits.pids_limit,
            memory_reservation: limits.memory_reservation_bytes,
            cpu_period: limits.cpu_period,
            cpu_quota: limits.cpu_quota,
            cpuset_mems: limits.cpuset_mems,
            blkio_weight: limits.blkio_weight,
            blkio_rates: limits
                .blkio_rates
                .into_iter()
                .map(|r| DeviceRate { path: r.path, kind: r.kind, rate: r.rate })
                .collect(),
        })
    }
}

impl From<RestartPolicy> for wire::RestartPolicy {
    fn from(policy: RestartPolicy) -> Self {
        let (name, max) = match policy {
            RestartPolicy::No => ("no", 0),
            RestartPolicy::Always => ("always", 0),
            RestartPolicy::UnlessStopped => ("unless-stopped", 0),
            RestartPolicy::OnFailure { max } => ("on-failure", max),
        };
        Self { name: name.to_owned(), maximum_retry_count: number(max) }
    }
}

impl TryFrom<wire::RestartPolicy> for RestartPolicy {
    type Error = Invalid;

    fn try_from(policy: wire::RestartPolicy) -> Result<Self, Invalid> {
        let max = count("restart.maximum_retry_count", policy.maximum_retry_count)?;
        let plain = match policy.name.as_str() {
            "on-failure" => return Ok(Self::OnFailure { max }),
            "" | "no" => Self::No,
            "always" => Self::Always,
            "unless-stopped" => Self::UnlessStopped,
            other => return Err(Invalid::new("restart.name", format_args!("unknown policy {other:?}"))),
        };
        if max != 0 {
            return Err(Invalid::new("restart.maximum_retry_count", "can only be used with 'on-failure'"));
        }
        Ok(plain)
    }
}

#[cfg(test)]
mod tests;

//! `HostConfig`: limits, namespaces and rights that were asked for.

use super::mount::{Asked, bind};
use super::schema::document;
use crate::model::container::{
    ContainerDetail, ContainerSpec, DeviceRate, MountKind, RestartPolicy, Sharing,
};
use std::collections::BTreeMap;

document! {
    /// Settings of a container that are the host's matter.
    HostConfig is "container.HostConfig" {
        binds: Vec<String> = "Binds", null;
        container_id_file: String = "ContainerIDFile";
        log_config: LogConfig = "LogConfig";
        network_mode: String = "NetworkMode";
        port_bindings: BTreeMap<String, Vec<PortBinding>> = "PortBindings";
        restart_policy: RestartPolicyDocument = "RestartPolicy";
        auto_remove: bool = "AutoRemove";
        volume_driver: String = "VolumeDriver";
        volumes_from: Vec<String> = "VolumesFrom", null;
        console_size: [u16; 2] = "ConsoleSize";
        annotations: BTreeMap<String, String> = "Annotations", omit;
        cap_add: Vec<String> = "CapAdd", null;
        cap_drop: Vec<String> = "CapDrop", null;
        cgroupns_mode: String = "CgroupnsMode";
        dns: Vec<String> = "Dns" / "DNS";
        dns_options: Vec<String> = "DnsOptions" / "DNSOptions";
        dns_search: Vec<String> = "DnsSearch" / "DNSSearch";
        extra_hosts: Vec<String> = "ExtraHosts", null;
        group_add: Vec<String> = "GroupAdd", null;
        ipc_mode: String = "IpcMode";
        cgroup: String = "Cgroup";
        links: Vec<String> = "Links", null;
        oom_score_adj: i32 = "OomScoreAdj";
        pid_mode: String = "PidMode";
        privileged: bool = "Privileged";
        publish_all_ports: bool = "PublishAllPorts";
        readonly_rootfs: bool = "ReadonlyRootfs";
        security_opt: Vec<String> = "SecurityOpt", null;
        storage_opt: BTreeMap<String, String> = "StorageOpt", omit;
        tmpfs: BTreeMap<String, String> = "Tmpfs", omit;
        uts_mode: String = "UTSMode";
        userns_mode: String = "UsernsMode";
        shm_size: i64 = "ShmSize";
        sysctls: BTreeMap<String, String> = "Sysctls", omit;
        runtime: String = "Runtime", omit;
        isolation: String = "Isolation";
        cpu_shares: i64 = "CpuShares" / "CPUShares";
        memory: i64 = "Memory";
        nano_cpus: i64 = "NanoCpus" / "NanoCPUs";
        cgroup_parent: String = "CgroupParent";
        blkio_weight: i64 = "BlkioWeight";
        blkio_weight_device: Vec<WeightDevice> = "BlkioWeightDevice";
        blkio_device_read_bps: Vec<ThrottleDevice> = "BlkioDeviceReadBps";
        blkio_device_write_bps: Vec<ThrottleDevice> = "BlkioDeviceWriteBps";
        blkio_device_read_iops: Vec<ThrottleDevice> = "BlkioDeviceReadIOps";
        blkio_device_write_iops: Vec<ThrottleDevice> = "BlkioDeviceWriteIOps";
        cpu_period: i64 = "CpuPeriod" / "CPUPeriod";
        cpu_quota: i64 = "CpuQuota" / "CPUQuota";
        cpu_realtime_period: i64 = "CpuRealtimePeriod" / "CPURealtimePeriod";
        cpu_realtime_runtime: i64 = "CpuRealtimeRuntime" / "CPURealtimeRuntime";
        cpuset_cpus: String = "CpusetCpus";
        cpuset_mems: String = "CpusetMems";
        devices: Vec<DeviceMapping> = "Devices";
        device_cgroup_rules: Vec<String> = "DeviceCgroupRules", null;
        device_requests: Vec<serde_json::Value> = "DeviceRequests", null;
        kernel_memory: i64 = "KernelMemory", omit;
        kernel_memory_tcp: i64 = "KernelMemoryTCP", omit;
        memory_reservation: i64 = "MemoryReservation";
        memory_swap: i64 = "MemorySwap";
        memory_swappiness: Option<i64> = "MemorySwappiness";
        oom_kill_disable: Option<bool> = "OomKillDisable";
        pids_limit: Option<i64> = "PidsLimit";
        ulimits: Vec<UlimitDocument> = "Ulimits";
        cpu_count: i64 = "CpuCount" / "CPUCount";
        cpu_percent: i64 = "CpuPercent" / "CPUPercent";
        io_maximum_iops: u64 = "IOMaximumIOps";
        io_maximum_bandwidth: u64 = "IOMaximumBandwidth";
        mounts: Vec<Asked> = "Mounts", omit;
        masked_paths: Vec<String> = "MaskedPaths", null;
        readonly_paths: Vec<String> = "ReadonlyPaths", null;
        init: Option<bool> = "Init", omit;
    }
}

document! {
    /// Log driver and its options.
    LogConfig is "container.LogConfig" {
        kind: String = "Type";
        config: BTreeMap<String, String> = "Config";
    }
}

document! {
    /// Restart policy.
    RestartPolicyDocument is "container.RestartPolicy" {
        name: String = "Name";
        maximum_retry_count: u32 = "MaximumRetryCount";
    }
}

document! {
    /// A port of the host.
    PortBinding is "nat.PortBinding" {
        host_ip: String = "HostIp" / "HostIP";
        host_port: String = "HostPort";
    }
}

document! {
    /// A device of the host.
    DeviceMapping is "container.DeviceMapping" {
        path_on_host: String = "PathOnHost";
        path_in_container: String = "PathInContainer";
        cgroup_permissions: String = "CgroupPermissions";
    }
}

document! {
    /// A limit of setrlimit(2).
    UlimitDocument is "units.Ulimit" {
        name: String = "Name";
        hard: i64 = "Hard";
        soft: i64 = "Soft";
    }
}

document! {
    /// The weight of a block device.
    WeightDevice is "blkiodev.WeightDevice" {
        path: String = "Path";
        weight: i64 = "Weight";
    }
}

document! {
    /// A limit on a block device.
    ThrottleDevice is "blkiodev.ThrottleDevice" {
        path: String = "Path";
        rate: i64 = "Rate";
    }
}

impl HostConfig {
    pub(super) fn of(detail: &ContainerDetail) -> Self {
        let spec = &detail.spec;
        let tmpfs = spec.mounts.iter().filter_map(|m| match &m.kind {
            MountKind::Tmpfs { options } => Some((m.target.clone(), options.join(","))),
            _ => None,
        });
        let limited = Self::limited(detail);
        Self {
            binds: spec.mounts.iter().filter_map(bind).collect(),
            log_config: LogConfig {
                kind: or(&spec.log.driver, "json-file"),
                config: spec.log.options.clone(),
            },
            network_mode: spec.network.to_string(),
            port_bindings: port_bindings(spec),
            restart_policy: spec.restart.into(),
            auto_remove: spec.auto_remove,
            volumes_from: spec.volumes_from.clone(),
            console_size: spec.terminal_size.map_or([0, 0], |(columns, rows)| [rows, columns]),
            annotations: spec.annotations.clone(),
            cap_add: spec.cap_add.iter().map(|name| capability(name)).collect(),
            cap_drop: spec.cap_drop.iter().map(|name| capability(name)).collect(),
            cgroupns_mode: mode(&spec.cgroupns, "private"),
            dns: spec.dns.servers.clone(),
            dns_options: spec.dns.options.clone(),
            dns_search: spec.dns.searches.clone(),
            extra_hosts: spec.extra_hosts.clone(),
            group_add: spec.group_add.clone(),
            ipc_mode: mode(&spec.ipc, "private"),
            oom_score_adj: spec.oom_score_adj.unwrap_or(0),
            pid_mode: mode(&spec.pid, ""),
            privileged: spec.privileged,
            publish_all_ports: spec.publish_all,
            readonly_rootfs: spec.read_only,
            security_opt: spec.security_opt.clone(),
            tmpfs: tmpfs.collect(),
            uts_mode: mode(&spec.uts, ""),
            shm_size: if spec.shm_size == 0 { 64 << 20 } else { spec.shm_size },
            sysctls: spec.sysctls.clone(),
            runtime: detail.runtime.clone(),
            cgroup_parent: spec.cgroup_parent.clone(),
            devices: devices(spec),
            ulimits: spec.ulimits.iter().map(Into::into).collect(),
            masked_paths: detail.masked_paths.clone(),
            readonly_paths: detail.readonly_paths.clone(),
            init: spec.init.then_some(true),
            ..limited
        }
    }

    /// The limits. One that this host cannot apply is not in force, and so not shown as if it were.
    fn limited(detail: &ContainerDetail) -> Self {
        let resources = &detail.spec.resources;
        let dropped = |name: &str| detail.resolved.dropped_limits.iter().any(|d| d == name);
        let limit = |name: &str, value: i64| if dropped(name) { 0 } else { value };
        let list = |name: &str, value: &String| if dropped(name) { String::new() } else { value.clone() };
        let rates = |kind: &str| {
            let named = resources.blkio_rates.iter().filter(move |rate| rate.kind == kind);
            named.map(|rate| ThrottleDevice { path: rate.path.clone(), rate: rate.rate }).collect()
        };
        let weight = |rate: &DeviceRate| WeightDevice { path: rate.path.clone(), weight: rate.rate };
        let weights = resources.blkio_rates.iter().filter(|rate| rate.kind == "weight");
        Self {
            cpu_shares: limit("CpuShares", resources.cpu_shares),
            memory: limit("Memory", resources.memory),
            nano_cpus: limit("NanoCpus", resources.nano_cpus),
            blkio_weight: limit("BlkioWeight", resources.blkio_weight),
            blkio_weight_device: weights.map(weight).collect(),
            blkio_device_read_bps: rates("rbps"),
            blkio_device_write_bps: rates("wbps"),
            blkio_device_read_iops: rates("riops"),
            blkio_device_write_iops: rates("wiops"),
            cpu_period: limit("CpuPeriod", resources.cpu_period),
            cpu_quota: limit("CpuQuota", resources.cpu_quota),
            cpuset_cpus: list("CpusetCpus", &resources.cpuset_cpus),
            cpuset_mems: list("CpusetMems", &resources.cpuset_mems),
            memory_reservation: limit("MemoryReservation", resources.memory_reservation),
            memory_swap: limit("MemorySwap", resources.memory_swap),
            pids_limit: Some(limit("PidsLimit", resources.pids_limit)).filter(|limit| *limit != 0),
            ..Self::default()
        }
    }
}

impl From<RestartPolicy> for RestartPolicyDocument {
    fn from(policy: RestartPolicy) -> Self {
        let (name, maximum_retry_count) = match policy {
            RestartPolicy::No => ("no", 0),
            RestartPolicy::Always => ("always", 0),
            RestartPolicy::UnlessStopped => ("unless-stopped", 0),
            RestartPolicy::OnFailure { max } => ("on-failure", max),
        };
        Self { name: name.to_owned(), maximum_retry_count }
    }
}

impl From<&crate::model::container::Ulimit> for UlimitDocument {
    fn from(limit: &crate::model::container::Ulimit) -> Self {
        Self { name: limit.name.clone(), hard: limit.hard, soft: limit.soft }
    }
}

fn devices(spec: &ContainerSpec) -> Vec<DeviceMapping> {
    let mapping = |device: &crate::model::container::Device| DeviceMapping {
        path_on_host: device.host.clone(),
        path_in_container: device.container.clone(),
        cgroup_permissions: device.permissions.clone(),
    };
    spec.devices.iter().map(mapping).collect()
}

/// Ports of the host as they were asked for.
fn port_bindings(spec: &ContainerSpec) -> BTreeMap<String, Vec<PortBinding>> {
    let mut all: BTreeMap<String, Vec<PortBinding>> = BTreeMap::new();
    for wish in &spec.publish {
        let host_port = match wish.host {
            None => String::new(),
            Some((first, last)) if first == last => first.to_string(),
            Some((first, last)) => format!("{first}-{last}"),
        };
        let host_ip = wish.ip.map(|ip| ip.to_string()).unwrap_or_default();
        all.entry(wish.port.to_string()).or_default().push(PortBinding { host_ip, host_port });
    }
    all
}

/// A capability's whole name.
fn capability(name: &str) -> String {
    if name == "ALL" { name.to_owned() } else { format!("CAP_{name}") }
}

fn or(text: &str, default: &str) -> String {
    if text.is_empty() { default.to_owned() } else { text.to_owned() }
}

/// Docker's word, with the default's in the place of none.
fn mode(sharing: &Sharing, default: &str) -> String {
    or(&sharing.to_string(), default)
}

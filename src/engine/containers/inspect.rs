//! `inspect`: Docker's document of one container, and our own keys.

use super::list::state;
use crate::engine::error::EngineError;
use crate::engine::{Engine, Inner};
use crate::model::container::{Mount, MountKind, RestartPolicy, Sharing, Status};
use crate::store::Record;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

impl Engine {
    /// Docker's document of one container.
    pub async fn inspect(&self, who: &str, size: bool) -> Result<Value, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let record = match inner.find(who) {
            Ok(record) => record,
            Err(error) => return inner.inspect_foreign(who, error).await,
        };
        let mut document = inner.document(&record);
        // CRI's files of the pod.
        if let Ok(spec) = inner.containerd.spec(&record.container).await {
            let mounts = spec["mounts"].as_array().cloned().unwrap_or_default();
            for (key, target) in [("ResolvConfPath", "/etc/resolv.conf"), ("HostnamePath", "/etc/hostname")] {
                if let Some(mount) = mounts.iter().find(|m| m["destination"] == target) {
                    document[key] = mount["source"].clone();
                }
            }
        }
        if size {
            let own = inner.containerd.usage(&inner.config.snapshotter, &record.container).await.unwrap_or(0);
            let below = match inner.facts(&record.resolved.image_id).await {
                Ok(facts) => inner.unpacked_size(&facts).await,
                Err(_) => 0,
            };
            document["SizeRw"] = json!(own);
            document["SizeRootFs"] = json!(own + below);
        }
        Ok(document)
    }
}

impl Engine {
    /// What CRI says of a container and of its pod.
    pub async fn inspect_cri(&self, who: &str) -> Result<Value, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let container = match inner.find(who) {
            Ok(record) => record.container,
            Err(missing) => inner.find_foreign(who, true, missing).await?.container.id,
        };
        let answer = inner.cri.status(&container, true).await?;
        let status = answer.status.unwrap_or_default();
        let info: Map<String, Value> = answer
            .info
            .into_iter()
            .map(|(key, text)| {
                let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
                (key, value)
            })
            .collect();
        let at = |nanos: i64| time(super::foreign::nanoseconds(nanos));
        let metadata = status.metadata.clone().unwrap_or_default();
        Ok(json!({
            "status": {
                "id": status.id,
                "metadata": { "name": metadata.name, "attempt": metadata.attempt },
                "state": status.state().as_str_name(),
                "createdAt": at(status.created_at),
                "startedAt": at(status.started_at),
                "finishedAt": at(status.finished_at),
                "exitCode": status.exit_code,
                "image": { "image": status.image.clone().map(|i| i.image).unwrap_or_default() },
                "imageRef": status.image_ref,
                "reason": status.reason,
                "message": status.message,
                "labels": status.labels,
                "annotations": status.annotations,
                "logPath": status.log_path,
                "mounts": status.mounts.iter().map(|m| json!({
                    "containerPath": m.container_path, "hostPath": m.host_path, "readonly": m.readonly,
                })).collect::<Vec<_>>(),
            },
            "info": info,
        }))
    }
}

/// Docker's time; never is the year 1.
pub(super) fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |t| t.to_string())
}

impl Inner {
    fn document(&self, record: &Record) -> Value {
        let resolved = &record.resolved;
        let mut argv = [resolved.entrypoint.clone(), resolved.command.clone()].concat();
        let path = if argv.is_empty() { String::new() } else { argv.remove(0) };
        let logs = self.log_dir(record, record.attempt).join(super::attempt::LOG);
        let hosts = self.own_dir(record).join("hosts");
        json!({
            "Id": record.id,
            "Created": record.created.to_string(),
            "Path": path,
            "Args": argv,
            "State": state_of(record),
            "Image": resolved.image_id,
            "ResolvConfPath": "",
            "HostnamePath": "",
            "HostsPath": hosts,
            "LogPath": logs,
            "Name": format!("/{}", record.name),
            "RestartCount": record.restart_count,
            "Attempt": record.attempt,
            "Driver": self.config.snapshotter,
            "Platform": "linux",
            "MountLabel": "",
            "ProcessLabel": "",
            "AppArmorProfile": "",
            "ExecIDs": or_null(&self.execs_of(&record.id)),
            "HostConfig": self.host_config(record),
            "GraphDriver": { "Name": self.config.snapshotter, "Data": null },
            "Mounts": self.mounts_of(record),
            "Config": config_of(record),
            "NetworkSettings": network_of(record),
            "DroppedLimits": resolved.dropped_limits,
            "Warnings": resolved.warnings,
            "PodId": record.pod,
            "CriId": record.container,
        })
    }

    fn host_config(&self, record: &Record) -> Value {
        let spec = &record.spec;
        let resources = &spec.resources;
        let (policy, retries) = match spec.restart {
            RestartPolicy::No => ("no", 0),
            RestartPolicy::Always => ("always", 0),
            RestartPolicy::UnlessStopped => ("unless-stopped", 0),
            RestartPolicy::OnFailure { max } => ("on-failure", max),
        };
        let dropped = |name: &str| record.resolved.dropped_limits.iter().any(|d| d == name);
        // What was dropped is not in force, and so not shown as if it were.
        let limit = |name: &str, value: i64| if dropped(name) { 0 } else { value };
        let binds: Vec<String> = spec.mounts.iter().filter_map(bind).collect();
        let limits = json!({
            "BlkioWeight": limit("BlkioWeight", resources.blkio_weight),
            "CpuPeriod": limit("CpuPeriod", resources.cpu_period),
            "CpuQuota": limit("CpuQuota", resources.cpu_quota),
            "CpusetMems": if dropped("CpusetMems") { "" } else { &resources.cpuset_mems },
            "MemoryReservation": limit("MemoryReservation", resources.memory_reservation),
            "OomScoreAdj": spec.oom_score_adj.unwrap_or(0),
            "OomKillDisable": false,
            "CpuShares": limit("CpuShares", resources.cpu_shares),
            "Memory": limit("Memory", resources.memory),
            "NanoCpus": limit("NanoCpus", resources.nano_cpus),
            "CpusetCpus": if dropped("CpusetCpus") { "" } else { &resources.cpuset_cpus },
            "MemorySwap": limit("MemorySwap", resources.memory_swap),
            "PidsLimit": limit("PidsLimit", resources.pids_limit),
        });
        let mut document = json!({
            "Binds": if binds.is_empty() { Value::Null } else { json!(binds) },
            "ConsoleSize": spec.terminal_size.map_or([0, 0], |(columns, rows)| [rows, columns]),
            "ContainerIDFile": "",
            "LogConfig": {
                "Type": if spec.log.driver.is_empty() { "json-file" } else { &spec.log.driver }, "Config": spec.log.options,
            },
            "NetworkMode": "bridge",
            "PortBindings": {},
            "RestartPolicy": { "Name": policy, "MaximumRetryCount": retries },
            "AutoRemove": spec.auto_remove,
            "VolumeDriver": "",
            "VolumesFrom": or_null(&spec.volumes_from),
            "CapAdd": or_null(&spec.cap_add),
            "CapDrop": or_null(&spec.cap_drop),
            "Annotations": spec.annotations,
            "CgroupParent": spec.cgroup_parent,
            "CgroupnsMode": mode(&spec.cgroupns, "private"),
            "Devices": spec.devices.iter().map(|d| json!({
                "PathOnHost": d.host, "PathInContainer": d.container, "CgroupPermissions": d.permissions,
            })).collect::<Vec<_>>(),
            "Dns": if spec.dns.servers.is_empty() { &self.config.dns } else { &spec.dns.servers },
            "DnsOptions": spec.dns.options,
            "DnsSearch": spec.dns.searches,
            "ExtraHosts": or_null(&spec.extra_hosts),
            "GroupAdd": or_null(&spec.group_add),
            "Init": spec.init,
            "IpcMode": mode(&spec.ipc, "private"),
            "PidMode": mode(&spec.pid, ""),
            "ShmSize": if spec.shm_size == 0 { 64 << 20 } else { spec.shm_size },
            "Sysctls": spec.sysctls,
            "Tmpfs": spec.mounts.iter().filter_map(|m| match &m.kind {
                MountKind::Tmpfs { options } => Some((m.target.clone(), json!(options.join(",")))),
                _ => None,
            }).collect::<Map<_, _>>(),
            "Ulimits": spec.ulimits.iter().map(|u| json!({
                "Name": u.name, "Soft": u.soft, "Hard": u.hard,
            })).collect::<Vec<_>>(),
            "UTSMode": mode(&spec.uts, ""),
            "UsernsMode": "",
            "Privileged": spec.privileged,
            "PublishAllPorts": false,
            "ReadonlyRootfs": spec.read_only,
            "SecurityOpt": or_null(&spec.security_opt),
            "Runtime": if self.config.runtime_handler.is_empty() { "runc" } else { &self.config.runtime_handler },
        });
        if let (Some(document), Value::Object(limits)) = (document.as_object_mut(), limits) {
            document.extend(limits);
        }
        document
    }

    fn mounts_of(&self, record: &Record) -> Vec<Value> {
        record.resolved.mounts.iter().map(|m| self.mount_of(m)).collect()
    }

    fn mount_of(&self, mount: &Mount) -> Value {
        let mode = if mount.read_only { "ro" } else { "" };
        match &mount.kind {
            MountKind::Bind { source, .. } => json!({
                "Type": "bind", "Source": source, "Destination": mount.target, "Mode": mode, "RW": !mount.read_only,
                "Propagation": if mount.propagation.is_empty() { "rprivate" } else { &mount.propagation },
            }),
            MountKind::Volume { name, .. } => json!({
                "Type": "volume", "Name": name, "Source": self.volume_dir(name), "Destination": mount.target,
                "Driver": "local", "Mode": mode, "RW": !mount.read_only, "Propagation": "",
            }),
            MountKind::Image { reference } => json!({
                "Type": "image", "Name": reference, "Source": "", "Destination": mount.target, "Mode": "ro", "RW": false,
                "Propagation": "",
            }),
            MountKind::Tmpfs { .. } => json!({
                "Type": "tmpfs", "Source": "", "Destination": mount.target, "Mode": mode, "RW": !mount.read_only,
                "Propagation": "",
            }),
        }
    }
}

fn state_of(record: &Record) -> Value {
    let state = state(record);
    let is = |status: Status| state.status == status;
    let mut document = json!({
        "Status": state.status.as_str(),
        "Running": matches!(state.status, Status::Running | Status::Paused | Status::Restarting),
        "Paused": is(Status::Paused),
        "Restarting": is(Status::Restarting),
        "OOMKilled": state.oom_killed,
        "Dead": is(Status::Dead),
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": time(state.started_at),
        "FinishedAt": time(state.finished_at),
    });
    if let Some(health) = super::health::document(record) {
        document["Health"] = health;
    }
    document
}

fn config_of(record: &Record) -> Value {
    let (spec, resolved) = (&record.spec, &record.resolved);
    let set = |names: &[String]| -> Value {
        if names.is_empty() {
            return Value::Null;
        }
        Value::Object(names.iter().map(|n| (n.clone(), json!({}))).collect::<Map<_, _>>())
    };
    let volumes: Vec<String> = resolved
        .mounts
        .iter()
        .filter(|m| {
            let named = |s: &Mount| {
                s.target == m.target && !matches!(&s.kind, MountKind::Volume { name, .. } if name.is_empty())
            };
            matches!(m.kind, MountKind::Volume { .. }) && !spec.mounts.iter().any(named)
        })
        .map(|m| m.target.clone())
        .collect();
    let mut config = json!({
        "Hostname": resolved.hostname,
        "Domainname": spec.domainname,
        "User": resolved.user,
        "AttachStdin": spec.stdin_once,
        "AttachStdout": true,
        "AttachStderr": true,
        "Tty": spec.tty,
        "OpenStdin": spec.open_stdin,
        "StdinOnce": spec.stdin_once,
        "Env": resolved.env,
        "Cmd": or_null(&resolved.command),
        "Image": spec.image,
        "Volumes": set(&volumes),
        "WorkingDir": resolved.working_dir,
        "Entrypoint": or_null(&resolved.entrypoint),
        "OnBuild": null,
        "Labels": resolved.labels,
        "StopSignal": resolved.stop_signal,
    });
    if !resolved.exposed.is_empty() {
        config["ExposedPorts"] = set(&resolved.exposed);
    }
    if let Some(check) = &resolved.health {
        let nanos = |time: Option<std::time::Duration>| {
            time.and_then(|t| u64::try_from(t.as_nanos()).ok()).unwrap_or(0)
        };
        config["Healthcheck"] = json!({
            "Test": check.test,
            "Interval": nanos(check.interval),
            "Timeout": nanos(check.timeout),
            "StartPeriod": nanos(check.start_period),
            "StartInterval": nanos(check.start_interval),
            "Retries": check.retries,
        });
    }
    if let Some(timeout) = spec.stop_timeout {
        config["StopTimeout"] = json!(timeout);
    }
    config
}

fn network_of(record: &Record) -> Value {
    let running = matches!(record.status, Status::Running | Status::Paused);
    let address = if running { record.address.as_str() } else { "" };
    let ports: Map<String, Value> =
        record.resolved.exposed.iter().map(|p| (p.clone(), Value::Null)).collect();
    json!({
        "Bridge": "",
        "SandboxID": record.pod,
        "SandboxKey": "",
        "Ports": ports,
        "Gateway": "",
        "IPAddress": address,
        "MacAddress": "",
        "Networks": { "bridge": {
            "IPAMConfig": null, "Links": null, "Aliases": null, "MacAddress": "", "NetworkID": "", "EndpointID": "",
            "Gateway": "", "IPAddress": address, "IPPrefixLen": 0, "IPv6Gateway": "", "GlobalIPv6Address": "",
            "GlobalIPv6PrefixLen": 0, "DNSNames": [record.name, record.id.short()],
        } },
    })
}

fn bind(mount: &Mount) -> Option<String> {
    let source = match &mount.kind {
        MountKind::Bind { source, .. } => source,
        MountKind::Volume { name, .. } if !name.is_empty() => name,
        _ => return None,
    };
    let mut options: Vec<&str> = Vec::new();
    if mount.read_only {
        options.push("ro");
    }
    if !mount.propagation.is_empty() {
        options.push(&mount.propagation);
    }
    let suffix = if options.is_empty() { String::new() } else { format!(":{}", options.join(",")) };
    Some(format!("{source}:{}{suffix}", mount.target))
}

/// Docker's word, with the default's in the place of none.
fn mode(sharing: &Sharing, default: &str) -> String {
    let word = sharing.to_string();
    if word.is_empty() { default.to_owned() } else { word }
}

fn or_null(list: &[String]) -> Value {
    if list.is_empty() { Value::Null } else { json!(list) }
}

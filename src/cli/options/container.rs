//! The flags that `run` and `create` share, and what they ask the engine for. Pure: files come in as text.

use super::groups::Limits;
use super::kinds::NetworkFlag;
use super::{Host, env, kinds, mount, mount_flag, restart, value};
use crate::model::container::{
    ContainerSpec, Device, DeviceRate, Dns, EndpointSpec, Healthcheck, LogConfig, Mount, MountKind,
    NetworkMode, Resources, RestartPolicy, Sharing, Ulimit,
};
use crate::model::mac::Mac;
use crate::model::port::Publish;
use crate::model::reason::cause;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

/// Everything about the container itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
    /// Add a custom host-to-IP mapping (host:ip)
    #[arg(long, value_name = "list", value_parser = kinds::extra_host)]
    add_host: Vec<String>,
    /// Add an annotation to the container (passed through to the OCI runtime)
    #[arg(long, value_name = "map", value_parser = value::label)]
    annotation: Vec<(String, String)>,
    /// Attach to STDIN, STDOUT or STDERR
    #[arg(short, long, value_name = "list", value_parser = value::stream)]
    pub(crate) attach: Vec<value::Stream>,
    #[command(flatten)]
    limits: Limits,
    /// Block IO weight (relative device weight)
    #[arg(long, value_name = "list", value_parser = kinds::device_weight)]
    blkio_weight_device: Vec<DeviceRate>,
    /// Add Linux capabilities
    #[arg(long, value_name = "list")]
    cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "list")]
    cap_drop: Vec<String>,
    /// Parent cgroup for the container, below the one that is delegated to the daemon
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    cgroup_parent: String,
    /// Cgroup namespace to use (host|private)
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    cgroupns: String,
    /// Write the container ID to the file
    #[arg(long, value_name = "string")]
    pub(crate) cidfile: Option<PathBuf>,
    /// Add a host device to the container
    #[arg(long, value_name = "list", value_parser = kinds::device)]
    device: Vec<Device>,
    /// Limit read rate (bytes per second) from a device
    #[arg(long, value_name = "list", value_parser = kinds::read_bps)]
    device_read_bps: Vec<DeviceRate>,
    /// Limit read rate (IO per second) from a device
    #[arg(long, value_name = "list", value_parser = kinds::read_iops)]
    device_read_iops: Vec<DeviceRate>,
    /// Limit write rate (bytes per second) to a device
    #[arg(long, value_name = "list", value_parser = kinds::write_bps)]
    device_write_bps: Vec<DeviceRate>,
    /// Limit write rate (IO per second) to a device
    #[arg(long, value_name = "list", value_parser = kinds::write_iops)]
    device_write_iops: Vec<DeviceRate>,
    /// Set custom DNS servers
    #[arg(long, value_name = "list", value_parser = kinds::address)]
    dns: Vec<String>,
    /// Set DNS options
    #[arg(long, alias = "dns-opt", value_name = "list")]
    dns_option: Vec<String>,
    /// Set custom DNS search domains
    #[arg(long, value_name = "list", value_parser = kinds::domain)]
    dns_search: Vec<String>,
    /// Container NIS domain name
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    domainname: String,
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "string")]
    entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "list")]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "list")]
    env_file: Vec<String>,
    /// Add additional groups to join
    #[arg(long, value_name = "list")]
    group_add: Vec<String>,
    /// Command to run to check health
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    health_cmd: String,
    /// Time between running the check (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = kinds::duration)]
    health_interval: Option<Duration>,
    /// Consecutive failures needed to report unhealthy
    #[arg(long, value_name = "int", value_parser = kinds::count)]
    health_retries: Option<u32>,
    /// Time between running the check during the start period (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = kinds::duration)]
    health_start_interval: Option<Duration>,
    /// Start period for the container to initialize before starting health-retries countdown (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = kinds::duration)]
    health_start_period: Option<Duration>,
    /// Maximum time to allow one check to run (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = kinds::duration)]
    health_timeout: Option<Duration>,
    /// Container host name
    #[arg(short = 'h', long, value_name = "string", default_value = "", hide_default_value = true)]
    hostname: String,
    /// Expose a port or a range of ports
    #[arg(long, value_name = "list", value_parser = kinds::exposed)]
    expose: Vec<Vec<String>>,
    /// Run an init inside the container that forwards signals and reaps processes
    #[arg(long)]
    init: bool,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// IPv4 address (e.g., 172.30.100.104)
    #[arg(long, value_name = "ip", value_parser = kinds::ipv4)]
    ip: Option<Ipv4Addr>,
    /// IPv6 address (e.g., 2001:db8::33)
    #[arg(long, value_name = "ip", value_parser = kinds::ipv6)]
    ip6: Option<Ipv6Addr>,
    /// IPC mode to use (private|shareable|none|host|container:<name|id>)
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    ipc: String,
    /// Set meta data on a container
    #[arg(short, long, value_name = "list", value_parser = value::label)]
    label: Vec<(String, String)>,
    /// Read in a line delimited file of labels
    #[arg(long, value_name = "list")]
    label_file: Vec<String>,
    /// Add link to another container
    #[arg(long, value_name = "list", value_parser = kinds::link)]
    link: Vec<String>,
    /// Logging driver for the container (json-file|journald|none)
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    log_driver: String,
    /// Log driver options (max-size, max-file; tag, labels, env)
    #[arg(long, value_name = "list", value_parser = value::label)]
    log_opt: Vec<(String, String)>,
    /// Container MAC address (e.g., 92:d0:c6:0a:29:33)
    #[arg(long, value_name = "string", value_parser = kinds::mac)]
    mac_address: Option<Mac>,
    /// Attach a filesystem mount to the container
    #[arg(long, value_name = "mount")]
    mount: Vec<String>,
    /// Assign a name to the container
    #[arg(long, value_name = "string")]
    pub(crate) name: Option<String>,
    /// Connect a container to a network (bridge, none, host, container:<name|id>, or a network's name)
    #[arg(long, alias = "net", value_name = "network", value_parser = kinds::network)]
    network: Vec<NetworkFlag>,
    /// Add network-scoped alias for the container
    #[arg(long, alias = "net-alias", value_name = "list")]
    network_alias: Vec<String>,
    /// Disable any container-specified HEALTHCHECK
    #[arg(long)]
    no_healthcheck: bool,
    /// Disable OOM Killer
    #[arg(long)]
    oom_kill_disable: bool,
    /// Tune host's OOM preferences (-1000 to 1000)
    #[arg(long, value_name = "int", value_parser = kinds::oom_score)]
    oom_score_adj: Option<i32>,
    /// PID namespace to use (host|container:<name|id>)
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    pid: String,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    pub(crate) platform: String,
    /// Give extended privileges to this container
    #[arg(long)]
    privileged: bool,
    /// Publish a container's port(s) to the host
    #[arg(short, long, value_name = "list", value_parser = kinds::publish)]
    publish: Vec<Vec<Publish>>,
    /// Publish all exposed ports to random ports
    #[arg(short = 'P', long)]
    publish_all: bool,
    /// Pull image before running ("always", "missing", "never")
    #[arg(long, value_name = "string", default_value = "missing")]
    pub(crate) pull: String,
    /// Suppress the pull output
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Mount the container's root filesystem as read only
    #[arg(long)]
    read_only: bool,
    /// Restart policy to apply when a container exits
    #[arg(long, value_name = "string", default_value = "no")]
    restart: String,
    /// Automatically remove the container and its associated anonymous volumes when it exits
    #[arg(long)]
    pub(crate) rm: bool,
    /// Runtime to use for this container
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    runtime: String,
    /// Security options (seccomp, no-new-privileges, systempaths, apparmor)
    #[arg(long, value_name = "list")]
    security_opt: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "bytes", value_parser = value::bytes)]
    shm_size: Option<i64>,
    /// Signal to stop the container
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    stop_signal: String,
    /// Timeout (in seconds) to stop a container
    #[arg(long, value_name = "int", value_parser = value::integer)]
    stop_timeout: Option<i64>,
    /// Sysctl options
    #[arg(long, value_name = "map", value_parser = kinds::sysctl)]
    sysctl: Vec<(String, String)>,
    /// Mount a tmpfs directory
    #[arg(long, value_name = "list", value_parser = kinds::tmpfs)]
    tmpfs: Vec<Mount>,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Ulimit options
    #[arg(long, value_name = "ulimit", value_parser = kinds::ulimit)]
    ulimit: Vec<Ulimit>,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "string", default_value = "", hide_default_value = true)]
    user: String,
    /// User namespace to use (host)
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    userns: String,
    /// UTS namespace to use (host)
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    uts: String,
    /// Bind mount a volume
    #[arg(short, long, value_name = "list")]
    volume: Vec<String>,
    /// Mount volumes from the specified container(s)
    #[arg(long, value_name = "list")]
    volumes_from: Vec<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string", default_value = "", hide_default_value = true)]
    workdir: String,
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) image: String,
    #[arg(value_names = ["COMMAND", "ARG"], trailing_var_arg = true)]
    command: Vec<String>,
}

/// The text of the files that flags name, each with the name as it was typed.
#[derive(Debug, Default)]
pub(crate) struct Files {
    env: Vec<(String, String)>,
    label: Vec<(String, String)>,
    /// Seccomp profiles by path.
    seccomp: BTreeMap<String, String>,
}

impl Files {
    /// Reads them.
    pub(crate) fn of(flags: &Flags) -> Result<Self, String> {
        let read = |file: &String| match std::fs::read_to_string(file) {
            Ok(text) => Ok((file.clone(), text)),
            Err(error) => Err(format!("open {file}: {}", cause(&error))),
        };
        let mut seccomp = BTreeMap::new();
        for path in flags.security_opt.iter().filter_map(|option| seccomp_file(option)) {
            let text = std::fs::read_to_string(path).map_err(|error| {
                format!("opening seccomp profile ({path}) failed: open {path}: {}", cause(&error))
            })?;
            seccomp.insert(path.to_owned(), text);
        }
        Ok(Self {
            env: flags.env_file.iter().map(read).collect::<Result<_, _>>()?,
            label: flags.label_file.iter().map(read).collect::<Result<_, _>>()?,
            seccomp,
        })
    }
}

/// The file that a security option names.
fn seccomp_file(option: &str) -> Option<&str> {
    let value = option.strip_prefix("seccomp").and_then(|rest| rest.strip_prefix(['=', ':']))?;
    (!matches!(value, "unconfined" | "builtin") && !value.trim_start().starts_with('{')).then_some(value)
}

impl Flags {
    /// The specification for the engine, and whether SELinux labels were asked for.
    pub(crate) fn spec(&self, files: &Files, host: &Host) -> Result<(ContainerSpec, bool), String> {
        let restart = restart::parse(&self.restart)?;
        if self.rm && restart != RestartPolicy::No {
            return Err("conflicting options: cannot specify both --restart and --rm".to_owned());
        }
        let (mounts, relabel) = self.mounts(host)?;
        let mut labels: BTreeMap<String, String> = BTreeMap::new();
        for line in files.label.iter().flat_map(|(_, text)| text.lines()) {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                labels.extend([value::label(line)?]);
            }
        }
        labels.extend(self.label.iter().cloned());
        let open_stdin = self.interactive || self.attach.contains(&value::Stream::Stdin);
        let (network, endpoints) = self.network()?;
        let spec = ContainerSpec {
            image: self.image.clone(),
            entrypoint: self.entrypoint.as_ref().map(|e| match e.is_empty() {
                true => Vec::new(),
                false => vec![e.clone()],
            }),
            command: self.command.clone(),
            env: env::with_proxies(
                env::resolve(&files.env, &self.env, host).map_err(|e| e.to_string())?,
                &host.proxies,
            ),
            working_dir: self.workdir.clone(),
            user: self.user.clone(),
            hostname: self.hostname.clone(),
            labels,
            mounts,
            read_only: self.read_only,
            cap_add: self.cap_add.iter().map(|c| value::capability(c)).collect(),
            cap_drop: self.cap_drop.iter().map(|c| value::capability(c)).collect(),
            privileged: self.privileged,
            resources: self.resources()?,
            auto_remove: self.rm,
            restart,
            stop_signal: self.stop_signal.clone(),
            stop_timeout: self.stop_timeout,
            tty: self.tty,
            terminal_size: None,
            open_stdin,
            stdin_once: false,
            domainname: self.domainname.clone(),
            extra_hosts: self.add_host.clone(),
            dns: Dns {
                servers: self.dns.clone(),
                searches: self.dns_search.clone(),
                options: self.dns_option.clone(),
            },
            group_add: self.group_add.clone(),
            volumes_from: self.volumes_from.clone(),
            ulimits: last_by_name(&self.ulimit),
            sysctls: self.sysctl.iter().cloned().collect(),
            shm_size: self.shm_size.unwrap_or(0),
            security_opt: self.security(files)?,
            devices: self.device.clone(),
            network,
            endpoints,
            pid: Sharing::parse(&self.pid, &["host", "container"]).ok_or("--pid: invalid PID mode")?,
            ipc: Sharing::parse(&self.ipc, &["private", "shareable", "none", "host", "container"])
                .ok_or_else(|| format!("invalid IPC mode: {}", self.ipc))?,
            uts: Sharing::parse(&self.uts, &["host"]).ok_or("--uts: invalid UTS mode")?,
            cgroupns: Sharing::parse(&self.cgroupns, &["private", "host"])
                .ok_or("--cgroupns: invalid CGROUP mode")?,
            init: self.init,
            health: self.health()?,
            log: LogConfig {
                driver: self.log_driver.clone(),
                options: self.log_opt.iter().cloned().collect(),
            },
            annotations: self.annotation.iter().cloned().collect(),
            oom_score_adj: self.oom_score_adj,
            platform: self.platform.clone(),
            runtime: self.runtime.clone(),
            cgroup_parent: self.cgroup_parent.clone(),
            oom_kill_disable: self.oom_kill_disable,
            publish: self.publish.concat(),
            publish_all: self.publish_all,
            expose: self.expose.concat(),
        };
        if !["", "host"].contains(&self.userns.as_str()) {
            return Err(format!(
                "--userns: invalid USER mode: {}: all containers of a user share the daemon's user namespace (host)",
                self.userns
            ));
        }
        if spec.uts == Sharing::Host && !spec.hostname.is_empty() {
            return Err("conflicting options: hostname and the UTS mode".to_owned());
        }
        Ok((spec, relabel))
    }

    /// The network's mode, and the wishes for places in networks; none: there are none.
    fn network(&self) -> Result<(NetworkMode, Vec<EndpointSpec>), String> {
        let mut all =
            if self.network.is_empty() { vec![NetworkFlag::default()] } else { self.network.clone() };
        if all.len() > 1 && all.iter().any(|flag| !flag.mode.has_address()) {
            return Err(
                "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
                    .into(),
            );
        }
        let first = &mut all[0].place;
        let both = [
            ("network-alias", "alias", !self.network_alias.is_empty() && !first.aliases.is_empty()),
            ("ip", "IPv4 address", self.ip.is_some() && first.address.is_some()),
            ("ip6", "IPv6 address", self.ip6.is_some() && first.address_6.is_some()),
            ("mac-address", "MAC address", self.mac_address.is_some() && first.mac.is_some()),
        ];
        if let Some((flag, what, _)) = both.into_iter().find(|(_, _, both)| *both) {
            return Err(format!("conflicting options: cannot specify both --{flag} and per-network {what}"));
        }
        first.aliases.extend(self.network_alias.iter().cloned());
        first.links.extend(self.link.iter().cloned());
        first.address = first.address.or(self.ip);
        first.address_6 = first.address_6.or(self.ip6);
        first.mac = first.mac.or(self.mac_address);
        let mode = all[0].mode.clone();
        if all.len() == 1 && all[0].place == EndpointSpec::default() {
            return Ok((mode, Vec::new()));
        }
        if !mode.has_address() {
            return Err(format!(
                "conflicting options: addresses, aliases and links, and the network mode {mode}"
            ));
        }
        let places =
            all.into_iter().map(|flag| EndpointSpec { network: flag.mode.to_string(), ..flag.place });
        Ok((mode, places.collect()))
    }

    fn mounts(&self, host: &Host) -> Result<(Vec<Mount>, bool), String> {
        let mut mounts = Vec::new();
        let mut relabel = false;
        for volume in &self.volume {
            let parsed = mount::parse(volume, host).map_err(|e| e.to_string())?;
            relabel |= parsed.relabel;
            mounts.push(parsed.mount);
        }
        for text in &self.mount {
            let mount = mount_flag::parse(text, host)
                .map_err(|why| format!("invalid argument {text:?} for \"--mount\" flag: {why}"))?;
            mounts.push(mount);
        }
        mounts.extend(self.tmpfs.iter().cloned());
        for (index, mount) in mounts.iter().enumerate() {
            if mounts[..index].iter().any(|other| other.target == mount.target) {
                return Err(format!("Duplicate mount point: {}", mount.target));
            }
        }
        Ok((mounts, relabel))
    }

    fn resources(&self) -> Result<Resources, String> {
        let asked = self.limits.resources();
        // Zero and below mean no limit, there as here.
        let limit = |value: i64| value.max(0);
        if limit(asked.nano_cpus) > 0 && (limit(asked.cpu_period) > 0 || limit(asked.cpu_quota) > 0) {
            let other = if limit(asked.cpu_period) > 0 { "CPU Period" } else { "CPU Quota" };
            return Err(format!("Conflicting options: Nano CPUs and {other} cannot both be set."));
        }
        let rates = [
            &self.blkio_weight_device,
            &self.device_read_bps,
            &self.device_read_iops,
            &self.device_write_bps,
            &self.device_write_iops,
        ];
        Ok(Resources {
            memory: limit(asked.memory),
            nano_cpus: limit(asked.nano_cpus),
            pids_limit: limit(asked.pids_limit),
            memory_reservation: limit(asked.memory_reservation),
            cpu_period: limit(asked.cpu_period),
            cpu_quota: asked.cpu_quota.max(-1),
            blkio_rates: rates.into_iter().flatten().cloned().collect(),
            ..asked
        })
    }

    /// Security options, with the contents of seccomp profiles in the place of their files.
    fn security(&self, files: &Files) -> Result<Vec<String>, String> {
        let mut all = Vec::new();
        for option in &self.security_opt {
            let text = match seccomp_file(option).and_then(|path| Some((path, files.seccomp.get(path)?))) {
                Some((path, text)) => {
                    let profile: serde_json::Value = serde_json::from_str(text)
                        .map_err(|e| format!("compacting json for seccomp profile ({path}) failed: {e}"))?;
                    format!("seccomp={profile}")
                }
                None => option.clone(),
            };
            all.push(text);
        }
        Ok(all)
    }

    fn health(&self) -> Result<Option<Healthcheck>, String> {
        let times =
            [self.health_interval, self.health_timeout, self.health_start_period, self.health_start_interval];
        let given = !self.health_cmd.is_empty()
            || self.health_retries.is_some()
            || times.iter().any(|time| time.is_some());
        match (self.no_healthcheck, given) {
            (true, true) => Err("--no-healthcheck conflicts with --health-* options".to_owned()),
            (true, false) => Ok(Some(Healthcheck { test: vec!["NONE".to_owned()], ..Default::default() })),
            (false, false) => Ok(None),
            (false, true) => Ok(Some(Healthcheck {
                test: match self.health_cmd.is_empty() {
                    true => Vec::new(),
                    false => vec!["CMD-SHELL".to_owned(), self.health_cmd.clone()],
                },
                interval: self.health_interval,
                timeout: self.health_timeout,
                start_period: self.health_start_period,
                start_interval: self.health_start_interval,
                retries: self.health_retries.unwrap_or(0),
            })),
        }
    }
}

fn last_by_name(all: &[Ulimit]) -> Vec<Ulimit> {
    let mut result: Vec<Ulimit> = Vec::new();
    for limit in all {
        result.retain(|other| other.name != limit.name);
        result.push(limit.clone());
    }
    result
}

/// A tmpfs of `--tmpfs`.
pub(super) fn tmpfs_mount(target: &str, options: Vec<String>) -> Mount {
    Mount::new(MountKind::Tmpfs { options }, mount::clean(target))
}

#[cfg(test)]
mod tests;

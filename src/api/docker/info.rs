//! The document of the whole engine.

use super::schema::document;
use crate::model::system::Info as Noun;
use std::collections::BTreeMap;

document! {
    /// The engine, and what only we know of it (from `Rootless` to `ContainerdNamespace`).
    Info is "system.dockerInfo" {
        id: String = "ID";
        containers: usize = "Containers";
        containers_running: usize = "ContainersRunning";
        containers_paused: usize = "ContainersPaused";
        containers_stopped: usize = "ContainersStopped";
        images: usize = "Images";
        driver: String = "Driver";
        driver_status: Vec<[String; 2]> = "DriverStatus";
        system_status: Vec<[String; 2]> = "SystemStatus", omit;
        plugins: Plugins = "Plugins";
        memory_limit: bool = "MemoryLimit";
        swap_limit: bool = "SwapLimit";
        kernel_memory: bool = "KernelMemory", omit;
        kernel_memory_tcp: bool = "KernelMemoryTCP", omit;
        cpu_cfs_period: bool = "CpuCfsPeriod" / "CPUCfsPeriod";
        cpu_cfs_quota: bool = "CpuCfsQuota" / "CPUCfsQuota";
        cpu_shares: bool = "CPUShares";
        cpu_set: bool = "CPUSet";
        pids_limit: bool = "PidsLimit";
        ipv4_forwarding: bool = "IPv4Forwarding";
        bridge_nf_iptables: bool = "BridgeNfIptables";
        bridge_nf_ip6tables: bool = "BridgeNfIp6tables" / "BridgeNfIP6tables";
        debug: bool = "Debug";
        n_fd: usize = "NFd";
        oom_kill_disable: bool = "OomKillDisable";
        n_goroutines: usize = "NGoroutines";
        system_time: String = "SystemTime";
        logging_driver: String = "LoggingDriver";
        cgroup_driver: String = "CgroupDriver";
        cgroup_version: String = "CgroupVersion", omit;
        n_events_listener: usize = "NEventsListener";
        kernel_version: String = "KernelVersion";
        operating_system: String = "OperatingSystem";
        os_version: String = "OSVersion";
        os_type: String = "OSType";
        architecture: String = "Architecture";
        index_server_address: String = "IndexServerAddress";
        registry_config: Option<serde_json::Value> = "RegistryConfig";
        n_cpu: usize = "NCPU";
        mem_total: u64 = "MemTotal";
        generic_resources: Vec<serde_json::Value> = "GenericResources", null;
        docker_root_dir: String = "DockerRootDir";
        http_proxy: String = "HttpProxy" / "HTTPProxy";
        https_proxy: String = "HttpsProxy" / "HTTPSProxy";
        no_proxy: String = "NoProxy";
        name: String = "Name";
        labels: Vec<String> = "Labels";
        experimental_build: bool = "ExperimentalBuild";
        server_version: String = "ServerVersion";
        runtimes: BTreeMap<String, serde_json::Value> = "Runtimes";
        default_runtime: String = "DefaultRuntime";
        swarm: Swarm = "Swarm";
        live_restore_enabled: bool = "LiveRestoreEnabled";
        isolation: String = "Isolation";
        init_binary: String = "InitBinary";
        containerd_commit: Commit = "ContainerdCommit";
        runc_commit: Commit = "RuncCommit";
        init_commit: Commit = "InitCommit";
        security_options: Vec<String> = "SecurityOptions";
        product_license: String = "ProductLicense", omit;
        default_address_pools: Vec<serde_json::Value> = "DefaultAddressPools", omit;
        cdi_spec_dirs: Vec<String> = "CDISpecDirs", null;
        containerd: Option<serde_json::Value> = "Containerd", omit;
        warnings: Vec<String> = "Warnings";
        rootless: bool = "Rootless";
        controllers: Vec<String> = "Controllers";
        components: BTreeMap<String, String> = "Components";
        containerd_namespace: String = "ContainerdNamespace";
        server_errors: Vec<String> = "ServerErrors", omit;
        client_info: Option<ClientInfo> = "ClientInfo", omit;
        client_errors: Vec<String> = "ClientErrors", omit;
    }
}

document! {
    /// Names of the drivers that there are.
    Plugins is "system.PluginsInfo" {
        volume: Vec<String> = "Volume";
        network: Vec<String> = "Network";
        authorization: Vec<String> = "Authorization", null;
        log: Vec<String> = "Log";
    }
}

document! {
    /// A cluster of Docker's own, which there is none of.
    Swarm is "swarm.Info" {
        node_id: String = "NodeID";
        node_addr: String = "NodeAddr";
        local_node_state: String = "LocalNodeState";
        control_available: bool = "ControlAvailable";
        error: String = "Error";
        remote_managers: Vec<serde_json::Value> = "RemoteManagers", null;
    }
}

document! {
    /// A part's version.
    Commit is "system.Commit" {
        id: String = "ID";
        expected: String = "Expected", omit;
    }
}

document! {
    /// The command line, which adds itself.
    ClientInfo is "system.clientInfo" {
        debug: bool = "Debug";
        platform: Option<super::version::Platform> = "Platform", omit;
        version: String = "Version", omit;
        api_version: String = "ApiVersion" / "APIVersion", omit;
        default_api_version: String = "DefaultAPIVersion", omit;
        git_commit: String = "GitCommit", omit;
        go_version: String = "GoVersion", omit;
        os: String = "Os", omit;
        arch: String = "Arch", omit;
        build_time: String = "BuildTime", omit;
        context: String = "Context";
        plugins: Vec<serde_json::Value> = "Plugins";
        warnings: Vec<String> = "Warnings", null;
    }
}

impl From<Noun> for Info {
    fn from(info: Noun) -> Self {
        let has = |name: &str| info.controllers.iter().any(|c| c == name);
        let list = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let mut security = vec!["name=seccomp,profile=builtin".to_owned()];
        if info.rootless {
            security.push("name=rootless".to_owned());
        }
        let commit = |name: &str| Commit {
            id: info.components.get(name).cloned().unwrap_or_default(),
            ..Commit::default()
        };
        Self {
            containers: info.running + info.paused + info.stopped,
            containers_running: info.running,
            containers_paused: info.paused,
            containers_stopped: info.stopped,
            images: info.images,
            driver_status: vec![["driver-type", "io.containerd.snapshotter.v1"].map(str::to_owned)],
            plugins: Plugins {
                volume: list(&["local"]),
                network: list(&["bridge"]),
                authorization: Vec::new(),
                log: list(&["json-file", "journald", "none"]),
            },
            memory_limit: has("memory"),
            swap_limit: has("memory"),
            cpu_cfs_period: has("cpu"),
            cpu_cfs_quota: has("cpu"),
            cpu_shares: has("cpu"),
            cpu_set: has("cpuset"),
            pids_limit: has("pids"),
            ipv4_forwarding: true,
            system_time: info.time.to_string(),
            logging_driver: "json-file".to_owned(),
            cgroup_driver: "cgroupfs".to_owned(),
            cgroup_version: "2".to_owned(),
            os_type: "linux".to_owned(),
            n_cpu: info.cpus,
            mem_total: info.memory,
            server_version: info.version.clone(),
            runtimes: [(info.runtime.clone(), serde_json::json!({}))].into(),
            swarm: Swarm { local_node_state: "inactive".to_owned(), ..Swarm::default() },
            live_restore_enabled: true,
            containerd_commit: commit("containerd"),
            runc_commit: commit("runc"),
            security_options: security,
            warnings: warnings(&info),
            id: info.id,
            driver: info.driver,
            kernel_version: info.kernel_version,
            operating_system: info.operating_system,
            architecture: info.architecture,
            docker_root_dir: info.data,
            name: info.host_name,
            default_runtime: info.runtime,
            rootless: info.rootless,
            controllers: info.controllers,
            components: info.components,
            containerd_namespace: info.containerd_namespace,
            ..Self::default()
        }
    }
}

/// Warnings about limits that this host cannot apply, and the engine's own.
fn warnings(info: &Noun) -> Vec<String> {
    let lacks = |name: &str| !info.controllers.iter().any(|c| c == name);
    let texts = [
        ("memory", "WARNING: No memory limit support"),
        ("cpu", "WARNING: No cpu cfs quota support"),
        ("cpuset", "WARNING: No cpuset support"),
        ("pids", "WARNING: No pids limit support"),
    ];
    let limits = texts.into_iter().filter(|(name, _)| lacks(name)).map(|(_, text)| text.to_owned());
    limits.chain(info.warnings.iter().map(|text| format!("WARNING: {text}"))).collect()
}

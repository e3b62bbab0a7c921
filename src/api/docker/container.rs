//! The document of a container.

use super::config::Config;
use super::health::Health;
use super::host_config::HostConfig;
use super::mount::MountPoint;
use super::network::NetworkSettings;
use super::schema::document;
use super::{GraphDriver, time};
use crate::model::container::{ContainerDetail, ContainerState, Status};

document! {
    /// One container, and what only we know of it (from `Attempt` on).
    Container is "container.InspectResponse" {
        id: String = "Id" / "ID";
        created: String = "Created";
        path: String = "Path";
        args: Vec<String> = "Args";
        state: Option<State> = "State";
        image: String = "Image";
        resolv_conf_path: String = "ResolvConfPath";
        hostname_path: String = "HostnamePath";
        hosts_path: String = "HostsPath";
        log_path: String = "LogPath";
        name: String = "Name";
        restart_count: u32 = "RestartCount";
        driver: String = "Driver";
        platform: String = "Platform";
        mount_label: String = "MountLabel";
        process_label: String = "ProcessLabel";
        app_armor_profile: String = "AppArmorProfile";
        exec_ids: Vec<String> = "ExecIDs", null;
        host_config: Option<HostConfig> = "HostConfig";
        graph_driver: GraphDriver = "GraphDriver";
        size_rw: Option<i64> = "SizeRw", omit;
        size_root_fs: Option<i64> = "SizeRootFs", omit;
        mounts: Vec<MountPoint> = "Mounts";
        config: Option<Config> = "Config";
        network_settings: Option<NetworkSettings> = "NetworkSettings";
        image_manifest_descriptor: Option<super::image::Descriptor> = "ImageManifestDescriptor", omit;
        attempt: u32 = "Attempt";
        dropped_limits: Vec<String> = "DroppedLimits";
        warnings: Vec<String> = "Warnings";
        pod_id: String = "PodId" / "PodID";
        cri_id: String = "CriId" / "CriID";
        foreign: bool = "Foreign", omit;
    }
}

document! {
    /// State of a container: its process, or how that ended.
    State is "container.State" {
        status: String = "Status";
        running: bool = "Running";
        paused: bool = "Paused";
        restarting: bool = "Restarting";
        oom_killed: bool = "OOMKilled";
        dead: bool = "Dead";
        pid: i32 = "Pid";
        exit_code: i32 = "ExitCode";
        error: String = "Error";
        started_at: String = "StartedAt";
        finished_at: String = "FinishedAt";
        health: Option<Health> = "Health", omit;
    }
}

impl From<ContainerDetail> for Container {
    fn from(detail: ContainerDetail) -> Self {
        let mut argv = [detail.resolved.entrypoint.clone(), detail.resolved.command.clone()].concat();
        let path = if argv.is_empty() { String::new() } else { argv.remove(0) };
        Self {
            id: detail.id.to_string(),
            created: time(Some(detail.created)),
            path,
            args: argv,
            image: detail.resolved.image_id.clone(),
            name: format!("/{}", detail.name),
            restart_count: detail.state.restart_count,
            platform: "linux".to_owned(),
            exec_ids: detail.execs.clone(),
            host_config: Some(HostConfig::of(&detail)),
            size_rw: detail.sizes.map(|(own, _)| own),
            size_root_fs: detail.sizes.map(|(_, all)| all),
            mounts: detail.mounts.iter().map(Into::into).collect(),
            config: Some(Config::of(&detail)),
            network_settings: Some(NetworkSettings::of(&detail)),
            attempt: detail.state.attempt,
            state: Some(State::of(detail.state, detail.health)),
            graph_driver: GraphDriver { name: detail.driver.clone(), ..GraphDriver::default() },
            driver: detail.driver,
            resolv_conf_path: detail.files.resolv_conf,
            hostname_path: detail.files.hostname,
            hosts_path: detail.files.hosts,
            log_path: detail.files.log,
            dropped_limits: detail.resolved.dropped_limits,
            warnings: detail.resolved.warnings,
            pod_id: detail.pod,
            cri_id: detail.container,
            foreign: detail.foreign,
            ..Self::default()
        }
    }
}

impl State {
    fn of(state: ContainerState, health: crate::model::container::HealthLog) -> Self {
        let is = |status: Status| state.status == status;
        Self {
            status: state.status.as_str().to_owned(),
            running: state.status.is_up(),
            paused: is(Status::Paused),
            restarting: is(Status::Restarting),
            oom_killed: state.oom_killed,
            dead: is(Status::Dead),
            pid: state.pid,
            exit_code: state.exit_code,
            started_at: time(state.started_at),
            finished_at: time(state.finished_at),
            health: Health::of(health),
            error: state.error,
        }
    }
}

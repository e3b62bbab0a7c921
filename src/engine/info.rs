//! `info` and `version`.

use super::images::architecture;
use super::{Engine, EngineError};
use crate::model::container::Status;
use crate::model::system::Version;
use nix::sys::sysinfo::sysinfo;
use nix::sys::utsname::uname;
use serde_json::{Value, json};

impl Engine {
    /// Docker's document, as far as it applies, and our own keys.
    pub async fn info(&self) -> Result<Value, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let config = &inner.config;
        let records = inner.records();
        let count = |wanted: &[Status]| records.iter().filter(|r| wanted.contains(&r.status)).count();
        let images = inner.image_groups().await?.into_values().filter(|g| !inner.is_hidden(g)).count();
        let has = |name: &str| config.controllers.iter().any(|c| c == name);
        let running = count(&[Status::Running, Status::Restarting]);
        let paused = count(&[Status::Paused]);
        let mut security = vec!["name=seccomp,profile=builtin".to_owned()];
        if config.rootless {
            security.push("name=rootless".to_owned());
        }
        let mut warnings = Vec::new();
        for (controller, text) in [
            ("memory", "WARNING: No memory limit support"),
            ("cpu", "WARNING: No cpu cfs quota support"),
            ("cpuset", "WARNING: No cpuset support"),
            ("pids", "WARNING: No pids limit support"),
        ] {
            if !has(controller) {
                warnings.push(text);
            }
        }
        let names = uname().ok();
        let text = |f: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
            names.as_ref().map(|n| f(n).to_string_lossy().into_owned()).unwrap_or_default()
        };
        let mut document = json!({
            "ID": inner.instance,
            "Containers": records.len(),
            "ContainersRunning": running,
            "ContainersPaused": paused,
            "ContainersStopped": records.len() - running - paused,
            "Images": images,
            "Driver": config.snapshotter,
            "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
            "Plugins": { "Volume": ["local"], "Network": ["bridge"], "Authorization": null, "Log": ["json-file", "journald", "none"] },
            "MemoryLimit": has("memory"),
            "SwapLimit": has("memory"),
            "CpuCfsPeriod": has("cpu"),
            "CpuCfsQuota": has("cpu"),
            "CPUShares": has("cpu"),
            "CPUSet": has("cpuset"),
            "PidsLimit": has("pids"),
            "IPv4Forwarding": true,
            "OomKillDisable": false,
        });
        let more = json!({
            "SystemTime": jiff::Timestamp::now().to_string(),
            "LoggingDriver": "json-file",
            "CgroupDriver": "cgroupfs",
            "CgroupVersion": "2",
            "KernelVersion": text(|n| n.release()),
            "OperatingSystem": operating_system(),
            "OSType": "linux",
            "Architecture": std::env::consts::ARCH,
            "NCPU": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            "MemTotal": sysinfo().map_or(0, |i| i.ram_total()),
            "DockerRootDir": config.data,
            "Name": text(|n| n.nodename()),
            "Labels": [],
            "ExperimentalBuild": false,
            "ServerVersion": env!("CARGO_PKG_VERSION"),
            "DefaultRuntime": if config.runtime_handler.is_empty() { "runc" } else { &config.runtime_handler },
            "LiveRestoreEnabled": true,
            "SecurityOptions": security,
            "Warnings": warnings,
            "Rootless": config.rootless,
            "Controllers": config.controllers,
            "Components": config.components,
            "ContainerdNamespace": super::NAMESPACE,
        });
        if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
            document.extend(more);
        }
        Ok(document)
    }

    /// What we are and what is below us.
    pub fn version(&self) -> Version {
        let names = uname().ok();
        Version {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            api_version: "1.0".to_owned(),
            git_commit: option_env!("K3C_GIT_COMMIT").unwrap_or("unknown").to_owned(),
            built: option_env!("K3C_BUILD_TIME").unwrap_or("unknown").to_owned(),
            os: "linux".to_owned(),
            arch: architecture().to_owned(),
            kernel_version: names.map(|n| n.release().to_string_lossy().into_owned()).unwrap_or_default(),
            components: self.config().components.clone(),
        }
    }
}

fn operating_system() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    text.lines()
        .find_map(|l| l.strip_prefix("PRETTY_NAME="))
        .map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

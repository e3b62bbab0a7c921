//! `info` and `version`.

use super::images::architecture;
use super::{Engine, EngineError};
use crate::model::container::Status;
use crate::model::system::{Info, Version};
use nix::sys::sysinfo::sysinfo;
use nix::sys::utsname::uname;

impl Engine {
    /// The engine, what it has, and its host.
    ///
    /// # Errors
    /// Only those of every verb, as [`Engine`] says.
    pub async fn info(&self) -> Result<Info, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let config = &inner.config;
        let records = inner.records.all();
        let count = |wanted: &[Status]| records.iter().filter(|r| wanted.contains(&r.status)).count();
        let warnings = inner.embedded_images().await;
        let images = inner.image_groups().await?.into_values().filter(|g| !inner.is_hidden(g)).count();
        let running = count(&[Status::Running, Status::Restarting]);
        let paused = count(&[Status::Paused]);
        let names = uname().ok();
        let text = |f: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
            names.as_ref().map(|n| f(n).to_string_lossy().into_owned()).unwrap_or_default()
        };
        Ok(Info {
            id: inner.records.instance().to_owned(),
            running,
            paused,
            stopped: records.len() - running - paused,
            images,
            driver: config.snapshotter.clone(),
            controllers: config.controllers.clone(),
            time: jiff::Timestamp::now(),
            kernel_version: text(|n| n.release()),
            operating_system: operating_system(),
            architecture: std::env::consts::ARCH.to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory: sysinfo().map_or(0, |i| i.ram_total()),
            data: config.data.to_string_lossy().into_owned(),
            host_name: text(|n| n.nodename()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            runtime: inner.runtime_name(),
            rootless: config.rootless,
            components: config.components.clone(),
            containerd_namespace: super::NAMESPACE.to_owned(),
            warnings,
        })
    }

    /// Versions of the engine and of the programs below it.
    pub fn version(&self) -> Version {
        let names = uname().ok();
        Version {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            api_version: "1.0".to_owned(),
            git_commit: crate::config::commit().to_owned(),
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

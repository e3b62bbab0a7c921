//! `Config`: the program of a container and its surroundings.

use super::health::HealthConfig;
use super::schema::document;
use super::{Empty, set};
use crate::model::container::{ContainerDetail, Mount, MountKind};
use std::collections::BTreeMap;

document! {
    /// Program of a container, with its image's settings where it has none of its own.
    Config is "container.Config" {
        hostname: String = "Hostname";
        domainname: String = "Domainname";
        user: String = "User";
        attach_stdin: bool = "AttachStdin";
        attach_stdout: bool = "AttachStdout";
        attach_stderr: bool = "AttachStderr";
        exposed_ports: BTreeMap<String, Empty> = "ExposedPorts", omit;
        tty: bool = "Tty";
        open_stdin: bool = "OpenStdin";
        stdin_once: bool = "StdinOnce";
        env: Vec<String> = "Env";
        cmd: Vec<String> = "Cmd", null;
        healthcheck: Option<HealthConfig> = "Healthcheck", omit;
        args_escaped: bool = "ArgsEscaped", omit;
        image: String = "Image";
        volumes: BTreeMap<String, Empty> = "Volumes", null;
        working_dir: String = "WorkingDir";
        entrypoint: Vec<String> = "Entrypoint", null;
        network_disabled: bool = "NetworkDisabled", omit;
        mac_address: String = "MacAddress", omit;
        on_build: Vec<String> = "OnBuild", null;
        labels: BTreeMap<String, String> = "Labels";
        stop_signal: String = "StopSignal", omit;
        stop_timeout: Option<i64> = "StopTimeout", omit;
        shell: Vec<String> = "Shell", omit;
    }
}

impl Config {
    pub(super) fn of(detail: &ContainerDetail) -> Self {
        let (spec, resolved) = (&detail.spec, &detail.resolved);
        // The user's word that there are no checks is shown, too.
        let none = || spec.health.as_ref().filter(|h| h.test.first().is_some_and(|t| t == "NONE"));
        Self {
            hostname: resolved.hostname.clone(),
            domainname: spec.domainname.clone(),
            user: resolved.user.clone(),
            attach_stdin: spec.stdin_once,
            attach_stdout: true,
            attach_stderr: true,
            exposed_ports: set(&resolved.exposed),
            tty: spec.tty,
            open_stdin: spec.open_stdin,
            stdin_once: spec.stdin_once,
            env: resolved.env.clone(),
            cmd: resolved.command.clone(),
            healthcheck: resolved.health.as_ref().or_else(none).cloned().map(Into::into),
            image: spec.image.clone(),
            volumes: set(&anonymous(detail)),
            working_dir: resolved.working_dir.clone(),
            entrypoint: resolved.entrypoint.clone(),
            labels: resolved.labels.clone(),
            stop_signal: resolved.stop_signal.clone(),
            stop_timeout: spec.stop_timeout,
            ..Self::default()
        }
    }
}

/// Targets of the volumes without a name: those of `-v /target` and of the image.
fn anonymous(detail: &ContainerDetail) -> Vec<String> {
    let named = |mount: &Mount| {
        let same = |own: &&Mount| own.target == mount.target;
        let unnamed = |own: &Mount| matches!(&own.kind, MountKind::Volume { name, .. } if name.is_empty());
        detail.spec.mounts.iter().find(same).is_some_and(|own| !unnamed(own))
    };
    let volumes = detail.resolved.mounts.iter().filter(|m| matches!(m.kind, MountKind::Volume { .. }));
    volumes.filter(|m| !named(m)).map(|m| m.target.clone()).collect()
}

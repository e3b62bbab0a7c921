//! Resolution of a specification with the image's configuration into the command, mounts and settings to run. Pure.

use crate::engine::error::EngineError;
use crate::engine::images::Facts;
use crate::model::container::{ContainerSpec, Healthcheck, Mount, MountKind};
use crate::model::id::ContainerId;
use crate::model::signal;
use crate::store::Resolved;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// Docker's rules for entrypoint, command, environment and the rest. Volumes have no names yet.
pub(super) fn resolve(
    spec: &ContainerSpec,
    id: &ContainerId,
    reference: String,
    image: &Facts,
) -> Result<Resolved, EngineError> {
    let (entrypoint, command) = match &spec.entrypoint {
        Some(own) => (own.clone(), spec.command.clone()),
        None if spec.command.is_empty() => (image.list("Entrypoint"), image.list("Cmd")),
        None => (image.list("Entrypoint"), spec.command.clone()),
    };
    if entrypoint.is_empty() && command.is_empty() {
        return Err(EngineError::invalid("no command specified"));
    }
    let stop_signal = [&spec.stop_signal, &image.text("StopSignal")]
        .into_iter()
        .find(|s| !s.is_empty())
        .map_or_else(|| "SIGTERM".to_owned(), Clone::clone);
    signal::parse(&stop_signal)?;
    let or = |own: &str, key: &str| if own.is_empty() { image.text(key) } else { own.to_owned() };
    let mut labels = image.labels();
    labels.extend(spec.labels.clone());
    let working_dir = or(&spec.working_dir, "WorkingDir");
    if !working_dir.is_empty() && !working_dir.starts_with('/') {
        return Err(EngineError::invalid(format!(
            "the working directory '{working_dir}' is invalid, it needs to be an absolute path"
        )));
    }
    Ok(Resolved {
        image_id: image.id.clone(),
        config_digest: image.config_digest.clone(),
        reference,
        entrypoint,
        command,
        env: environment(&spec.env, image.list("Env")),
        working_dir,
        user: or(&spec.user, "User"),
        hostname: if spec.hostname.is_empty() { id.short().to_owned() } else { spec.hostname.clone() },
        labels,
        mounts: mounts(&spec.mounts, image.keys("Volumes"))?,
        exposed: exposed(spec, image.keys("ExposedPorts")),
        stop_signal,
        health: health(spec.health.as_ref(), &image.config["config"]["Healthcheck"])?,
        warnings: Vec::new(),
        dropped_limits: Vec::new(),
    })
}

/// Ports of the image and those that the user named, in one order.
fn exposed(spec: &ContainerSpec, image: Vec<String>) -> Vec<String> {
    let published = spec.publish.iter().map(|wish| wish.port.to_string());
    let all: BTreeSet<String> = image.into_iter().chain(spec.expose.clone()).chain(published).collect();
    all.into_iter().collect()
}

/// The health check of the user, completed by the image's; `None`: there is none.
fn health(own: Option<&Healthcheck>, image: &Value) -> Result<Option<Healthcheck>, EngineError> {
    let time = |key: &str| image[key].as_u64().filter(|nanos| *nanos > 0).map(Duration::from_nanos);
    let mut check = own.cloned().unwrap_or_default();
    let words = image["Test"].as_array().into_iter().flatten();
    if check.test.is_empty() {
        check.test = words.filter_map(|w| w.as_str().map(str::to_owned)).collect();
    }
    check.interval = check.interval.filter(|t| !t.is_zero()).or_else(|| time("Interval"));
    check.timeout = check.timeout.filter(|t| !t.is_zero()).or_else(|| time("Timeout"));
    check.start_period = check.start_period.filter(|t| !t.is_zero()).or_else(|| time("StartPeriod"));
    check.start_interval = check.start_interval.filter(|t| !t.is_zero()).or_else(|| time("StartInterval"));
    if check.retries == 0 {
        check.retries = image["Retries"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    }
    match check.test.first().map(String::as_str) {
        None | Some("" | "NONE") => Ok(None),
        Some("CMD" | "CMD-SHELL") if check.test.len() > 1 => Ok(Some(check)),
        Some(other) => Err(EngineError::invalid(format!("Unknown healthcheck type {other:?} or no command"))),
    }
}

/// Variables of the user, then the image's that he did not set. A variable without `=` is not set.
fn environment(own: &[String], image: Vec<String>) -> Vec<String> {
    let key = |entry: &str| entry.split('=').next().unwrap_or(entry).to_owned();
    let mut all: Vec<String> = Vec::new();
    for entry in own {
        all.retain(|e| key(e) != key(entry));
        all.push(entry.clone());
    }
    let set: Vec<String> = all.iter().map(|e| key(e)).collect();
    all.extend(image.into_iter().filter(|e| !set.contains(&key(e))));
    all.retain(|e| e.contains('='));
    all
}

/// Mounts that were asked for, and an anonymous volume for each target that the image declares and no mount covers.
fn mounts(own: &[Mount], declared: Vec<String>) -> Result<Vec<Mount>, EngineError> {
    let mut all: Vec<Mount> = Vec::new();
    for mount in own {
        if !mount.target.starts_with('/') {
            return Err(EngineError::invalid(format!(
                "invalid mount config: mount path must be absolute: {}",
                mount.target
            )));
        }
        if clean(&mount.target) == "/" {
            return Err(EngineError::invalid("invalid mount config: destination can't be '/'"));
        }
        if all.iter().any(|m| clean(&m.target) == clean(&mount.target)) {
            return Err(EngineError::invalid(format!("Duplicate mount point: {}", mount.target)));
        }
        all.push(mount.clone());
    }
    for target in declared {
        if !all.iter().any(|m| clean(&m.target) == clean(&target)) {
            all.push(Mount::new(MountKind::Volume { name: String::new(), no_copy: false }, target));
        }
    }
    Ok(all)
}

fn clean(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Facts {
        Facts {
            id: "sha256:i".into(),
            config_digest: "sha256:c".into(),
            config: serde_json::json!({"config": {
                "Entrypoint": ["/ep"], "Cmd": ["a"], "Env": ["PATH=/bin", "A=1"], "Volumes": {"/data": {}},
                "WorkingDir": "/w", "User": "u", "Labels": {"x": "1"}
            }}),
            chain: Vec::new(),
            manifest: String::new(),
            descriptor: serde_json::Value::Null,
        }
    }

    fn resolved(spec: &ContainerSpec) -> Resolved {
        resolve(spec, &ContainerId::from_bytes([1; 32]), String::new(), &image()).unwrap()
    }

    #[test]
    fn commands() {
        let argv = |entrypoint: Option<&[&str]>, command: &[&str]| {
            let owned = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
            let spec = ContainerSpec {
                entrypoint: entrypoint.map(owned),
                command: owned(command),
                ..Default::default()
            };
            let r = resolved(&spec);
            [r.entrypoint, r.command].concat().join(" ")
        };
        assert_eq!(argv(None, &[]), "/ep a");
        assert_eq!(argv(None, &["b"]), "/ep b");
        assert_eq!(argv(Some(&["/x"]), &[]), "/x");
        assert_eq!(argv(Some(&[]), &["b"]), "b");
    }

    #[test]
    fn checks() {
        let image = serde_json::json!({"Test": ["CMD", "/up"], "Interval": 5_000_000_000_u64, "Retries": 2});
        let none = Healthcheck { test: vec!["NONE".into()], ..Default::default() };
        assert_eq!(health(Some(&none), &image).unwrap(), None);
        assert_eq!(health(None, &Value::Null).unwrap(), None);
        let own = Healthcheck { retries: 7, ..Default::default() };
        let merged = health(Some(&own), &image).unwrap().unwrap();
        assert_eq!((merged.test.join(" "), merged.retries), ("CMD /up".into(), 7));
        assert_eq!(merged.interval, Some(Duration::from_secs(5)));
        let bad = Healthcheck { test: vec!["CMD".into()], ..Default::default() };
        assert!(health(Some(&bad), &Value::Null).is_err());
    }

    #[test]
    fn the_rest() {
        let spec = ContainerSpec { env: vec!["A=2".into(), "B".into(), "C=".into()], ..Default::default() };
        let r = resolved(&spec);
        assert_eq!(r.env, ["A=2", "C=", "PATH=/bin"]);
        assert_eq!((r.working_dir.as_str(), r.user.as_str(), r.hostname.len()), ("/w", "u", 12));
        assert_eq!(r.mounts[0].target, "/data");
        assert_eq!(r.stop_signal, "SIGTERM");
    }
}

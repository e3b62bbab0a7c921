//! Mounts of a container.

use super::schema::document;
use crate::model::container::{Mount, MountKind, MountPoint as Noun};

document! {
    /// A mount as it is in force.
    MountPoint is "container.MountPoint" {
        kind: String = "Type", omit;
        name: String = "Name", omit;
        source: String = "Source";
        destination: String = "Destination";
        driver: String = "Driver", omit;
        mode: String = "Mode";
        rw: bool = "RW";
        propagation: String = "Propagation";
    }
}

document! {
    /// A mount as `--mount` asks for it.
    Asked is "mount.Mount" {
        kind: String = "Type", omit;
        source: String = "Source", omit;
        target: String = "Target", omit;
        read_only: bool = "ReadOnly", omit;
        consistency: String = "Consistency", omit;
        bind_options: Option<serde_json::Value> = "BindOptions", omit;
        volume_options: Option<serde_json::Value> = "VolumeOptions", omit;
        image_options: Option<serde_json::Value> = "ImageOptions", omit;
        tmpfs_options: Option<serde_json::Value> = "TmpfsOptions", omit;
        cluster_options: Option<serde_json::Value> = "ClusterOptions", omit;
    }
}

impl From<&Noun> for MountPoint {
    fn from(point: &Noun) -> Self {
        let Noun { mount, source } = point;
        let mode = if mount.read_only { "ro" } else { "" };
        let common = Self {
            source: source.clone(),
            destination: mount.target.clone(),
            mode: mode.to_owned(),
            rw: !mount.read_only,
            ..Self::default()
        };
        match &mount.kind {
            MountKind::Bind { .. } => {
                let propagation = Some(&mount.propagation).filter(|p| !p.is_empty());
                let propagation = propagation.map_or("rprivate", String::as_str).to_owned();
                Self { kind: "bind".to_owned(), propagation, ..common }
            }
            MountKind::Volume { name, .. } => {
                Self { kind: "volume".to_owned(), name: name.clone(), driver: "local".to_owned(), ..common }
            }
            MountKind::Image { reference } => Self {
                kind: "image".to_owned(),
                name: reference.clone(),
                mode: "ro".to_owned(),
                rw: false,
                ..common
            },
            MountKind::Tmpfs { .. } => Self { kind: "tmpfs".to_owned(), ..common },
        }
    }
}

/// `source:target[:options]`, for what has a source.
pub(super) fn bind(mount: &Mount) -> Option<String> {
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

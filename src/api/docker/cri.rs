//! The document of a container as CRI's clients see it (`inspect --cri`).

use super::schema::document;
use super::time;
use crate::model::container::CriDetail;
use serde_json::Value;
use std::collections::BTreeMap;

document! {
    /// CRI's status, and containerd's own description.
    CriContainer is "cri.Container" {
        status: CriStatus = "status";
        info: BTreeMap<String, Value> = "info";
    }
}

document! {
    /// CRI's status.
    CriStatus is "cri.ContainerStatus" {
        id: String = "id";
        metadata: CriMetadata = "metadata";
        state: String = "state";
        created_at: String = "createdAt";
        started_at: String = "startedAt";
        finished_at: String = "finishedAt";
        exit_code: i32 = "exitCode";
        image: CriImage = "image";
        image_ref: String = "imageRef";
        reason: String = "reason";
        message: String = "message";
        labels: BTreeMap<String, String> = "labels";
        annotations: BTreeMap<String, String> = "annotations";
        log_path: String = "logPath";
        mounts: Vec<CriMount> = "mounts";
    }
}

document! {
    /// Name of a container in its pod, and CRI's count of its attempts.
    CriMetadata is "cri.ContainerMetadata" {
        name: String = "name";
        attempt: u32 = "attempt";
    }
}

document! {
    /// An image by its name.
    CriImage is "cri.ImageSpec" {
        image: String = "image";
    }
}

document! {
    /// A mount.
    CriMount is "cri.Mount" {
        container_path: String = "containerPath";
        host_path: String = "hostPath";
        readonly: bool = "readonly";
    }
}

impl From<CriDetail> for CriContainer {
    fn from(detail: CriDetail) -> Self {
        // Most of containerd's own words are JSON.
        let parsed = |(key, text): (String, String)| {
            let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
            (key, value)
        };
        let mount = |(container_path, host_path, readonly): (String, String, bool)| CriMount {
            container_path,
            host_path,
            readonly,
        };
        let status = CriStatus {
            id: detail.id,
            metadata: CriMetadata { name: detail.name, attempt: detail.attempt },
            state: detail.state,
            created_at: time(detail.created),
            started_at: time(detail.started),
            finished_at: time(detail.finished),
            exit_code: detail.exit_code,
            image: CriImage { image: detail.image },
            image_ref: detail.image_id,
            reason: detail.reason,
            message: detail.message,
            labels: detail.labels,
            annotations: detail.annotations,
            log_path: detail.log,
            mounts: detail.mounts.into_iter().map(mount).collect(),
        };
        Self { status, info: detail.info.into_iter().map(parsed).collect() }
    }
}

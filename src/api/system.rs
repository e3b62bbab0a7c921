//! The daemon's version, and what it keeps on disk.

use super::{Invalid, time};
use crate::model::system::{DiskUsage, UsageRow, Version};
use crate::proto::k3c::v1 as wire;
use wire::disk_usage_response::Row;

impl From<Version> for wire::VersionResponse {
    fn from(version: Version) -> Self {
        Self {
            version: version.version,
            api_version: version.api_version,
            git_commit: version.git_commit,
            built: version.built,
            os: version.os,
            arch: version.arch,
            kernel_version: version.kernel_version,
            components: version.components.into_iter().collect(),
        }
    }
}

impl From<wire::VersionResponse> for Version {
    fn from(answer: wire::VersionResponse) -> Self {
        Self {
            version: answer.version,
            api_version: answer.api_version,
            git_commit: answer.git_commit,
            built: answer.built,
            os: answer.os,
            arch: answer.arch,
            kernel_version: answer.kernel_version,
            components: answer.components.into_iter().collect(),
        }
    }
}

impl From<UsageRow> for Row {
    fn from(row: UsageRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            size: row.size,
            shared_size: row.shared_size,
            containers: row.containers,
            active: row.active,
            created: row.created.map(time::to),
            more: row.more,
        }
    }
}

impl TryFrom<Row> for UsageRow {
    type Error = Invalid;

    fn try_from(row: Row) -> Result<Self, Invalid> {
        Ok(Self {
            id: row.id,
            name: row.name,
            size: row.size,
            shared_size: row.shared_size,
            containers: row.containers,
            active: row.active,
            created: time::from("created", row.created)?,
            more: row.more,
        })
    }
}

impl From<DiskUsage> for wire::DiskUsageResponse {
    fn from(usage: DiskUsage) -> Self {
        let rows = |rows: Vec<UsageRow>| rows.into_iter().map(Into::into).collect();
        Self {
            images: rows(usage.images),
            containers: rows(usage.containers),
            volumes: rows(usage.volumes),
            layers_size: usage.layers_size,
            layers_used: usage.layers_used,
            warnings: usage.warnings,
        }
    }
}

impl TryFrom<wire::DiskUsageResponse> for DiskUsage {
    type Error = Invalid;

    fn try_from(usage: wire::DiskUsageResponse) -> Result<Self, Invalid> {
        let rows = |rows: Vec<Row>| -> Result<Vec<UsageRow>, Invalid> {
            rows.into_iter().map(TryInto::try_into).collect()
        };
        Ok(Self {
            images: rows(usage.images)?,
            containers: rows(usage.containers)?,
            volumes: rows(usage.volumes)?,
            layers_size: usage.layers_size,
            layers_used: usage.layers_used,
            warnings: usage.warnings,
        })
    }
}

//! The document of a volume.

use super::schema::document;
use crate::model::volume::VolumeSummary;
use std::collections::BTreeMap;

document! {
    /// One volume.
    Volume is "volume.Volume" {
        cluster_volume: Option<serde_json::Value> = "ClusterVolume", omit;
        created_at: String = "CreatedAt", omit;
        driver: String = "Driver";
        labels: BTreeMap<String, String> = "Labels";
        mountpoint: String = "Mountpoint";
        name: String = "Name";
        options: BTreeMap<String, String> = "Options", null;
        scope: String = "Scope";
        status: BTreeMap<String, serde_json::Value> = "Status", omit;
        usage_data: Option<UsageData> = "UsageData", omit;
    }
}

document! {
    /// Bytes and users of a volume, where they were asked for.
    UsageData is "volume.UsageData" {
        ref_count: i64 = "RefCount";
        size: i64 = "Size";
    }
}

impl From<VolumeSummary> for Volume {
    fn from(row: VolumeSummary) -> Self {
        Self {
            created_at: row.volume.created.to_string(),
            driver: "local".to_owned(),
            labels: row.volume.shown_labels(),
            mountpoint: row.mountpoint,
            name: row.volume.name,
            scope: "local".to_owned(),
            usage_data: row.size.map(|size| UsageData { ref_count: row.containers, size }),
            ..Self::default()
        }
    }
}

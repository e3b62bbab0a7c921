//! Volumes.

use super::{Invalid, time};
use crate::model::volume::{Volume, VolumeSummary};
use crate::proto::k3c::v1 as wire;

impl From<VolumeSummary> for wire::Volume {
    fn from(row: VolumeSummary) -> Self {
        Self {
            name: row.volume.name,
            mountpoint: row.mountpoint,
            created: Some(time::to(row.volume.created)),
            labels: row.volume.labels.into_iter().collect(),
            anonymous: row.volume.anonymous,
            size: row.size.unwrap_or(-1),
            containers: row.containers,
        }
    }
}

impl TryFrom<wire::Volume> for VolumeSummary {
    type Error = Invalid;

    fn try_from(row: wire::Volume) -> Result<Self, Invalid> {
        let volume = Volume {
            name: row.name,
            created: time::required("created", row.created)?,
            labels: row.labels.into_iter().collect(),
            anonymous: row.anonymous,
        };
        Ok(Self {
            volume,
            mountpoint: row.mountpoint,
            size: Some(row.size).filter(|size| *size >= 0),
            containers: row.containers,
        })
    }
}

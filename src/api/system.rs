//! The daemon's version.

use crate::model::system::Version;
use crate::proto::k3c::v1 as wire;

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

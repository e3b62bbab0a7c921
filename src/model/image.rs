//! Images as people see them.

use crate::model::container::Healthcheck;
use crate::model::login::LoginQuestion;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// One image: all the names of one manifest or index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSummary {
    /// `sha256:...` of the manifest or index.
    pub id: String,
    /// Familiar form, `name:tag`.
    pub repo_tags: Vec<String>,
    /// `name@sha256:...`
    pub repo_digests: Vec<String>,
    /// From the configuration.
    pub created: Option<Timestamp>,
    /// Bytes: content and snapshots.
    pub size: i64,
    /// From the configuration.
    pub labels: BTreeMap<String, String>,
    /// How many containers use it.
    pub containers: i64,
    /// CRI's image ID.
    pub config_digest: String,
    /// Bytes of the content, as it came.
    pub content_size: i64,
    /// The image for each of its platforms.
    pub manifests: Vec<ImageManifest>,
}

/// An image for one platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageManifest {
    /// `sha256:...`
    pub id: String,
    /// `linux/arm64`
    pub platform: String,
    /// True when all of it is here.
    pub available: bool,
    /// Bytes of the content, as it came.
    pub content_size: i64,
    /// Bytes of the unpacked layers.
    pub unpacked_size: i64,
    /// How many containers use it.
    pub containers: i64,
}

/// All that is known of one image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageDetail {
    /// `sha256:...` of the manifest or index.
    pub id: String,
    /// Familiar form, `name:tag`.
    pub tags: Vec<String>,
    /// `name@sha256:...`
    pub digests: Vec<String>,
    /// When it was made, as its configuration has it; empty: not known.
    pub created: String,
    /// When a name was last given to it.
    pub tagged: Timestamp,
    /// Author.
    pub author: String,
    /// Comment of its last layer.
    pub comment: String,
    /// In Go's words: `amd64`, `arm64`.
    pub architecture: String,
    /// Variant of the architecture; mostly empty.
    pub variant: String,
    /// `linux`
    pub os: String,
    /// Program of its containers, and its surroundings.
    pub config: ImageConfig,
    /// Digests of the unpacked layers, bottom first.
    pub layers: Vec<String>,
    /// Bytes: content and snapshots.
    pub size: i64,
    /// Media type of what `id` names.
    pub media_type: String,
    /// Bytes of what `id` names.
    pub descriptor_size: i64,
    /// CRI's image ID.
    pub config_digest: String,
    /// Snapshotter.
    pub driver: String,
}

/// Program of an image's containers, and its surroundings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// `name|uid[:group|gid]`; empty is root.
    pub user: String,
    /// `80/tcp`
    pub exposed: Vec<String>,
    /// `KEY=value`
    pub env: Vec<String>,
    /// Before the command.
    pub entrypoint: Vec<String>,
    /// After the entrypoint.
    pub cmd: Vec<String>,
    /// Targets of anonymous volumes.
    pub volumes: Vec<String>,
    /// Empty is `/`.
    pub working_dir: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Empty is `SIGTERM`.
    pub stop_signal: String,
    /// Windows: the command is one text.
    pub args_escaped: bool,
    /// `None`: it says nothing.
    pub health: Option<Healthcheck>,
    /// Instructions for builds that begin with this image.
    pub on_build: Vec<String>,
    /// Shell that runs instructions in shell form; empty is `/bin/sh -c`.
    pub shell: Vec<String>,
}

/// Options of `import`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Empty: the image has no name.
    pub reference: String,
    /// Instructions of a Dockerfile.
    pub changes: Vec<String>,
    /// Empty: where it came from.
    pub comment: String,
    /// `os[/architecture[/variant]]`; empty: the host's.
    pub platform: String,
}

/// One step by which an image was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Of the newest step alone: the image's ID. Empty: no image is known for it.
    pub id: String,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Instruction, or command.
    pub created_by: String,
    /// Bytes of its layer; 0: it has none.
    pub size: i64,
    /// Comment.
    pub comment: String,
    /// Of the newest step alone: the image's names, familiar form.
    pub tags: Vec<String>,
}

/// One line of `rmi`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name is gone.
    Untagged(String),
    /// Content is gone.
    Deleted(String),
}

/// Progress of a long operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Layer or file that it is about.
    pub id: String,
    /// State, in words.
    pub status: String,
    /// Bytes so far.
    pub current: i64,
    /// Bytes in all; 0 = not known.
    pub total: i64,
}

/// Answers of `load`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadOutcome {
    /// Progress.
    Progress(Progress),
    /// A familiar reference.
    Image(String),
    /// An image without a name: its ID.
    Id(String),
}

/// The way in which plain layers are compressed for a registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// They stay plain.
    None,
    /// What every registry and engine takes.
    #[default]
    Gzip,
    /// Smaller and faster, for engines that know it.
    Zstd,
}

impl Compression {
    /// Its name; `none` for none.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Zstd].into_iter().find(|format| format.as_str() == text)
    }
}

/// Answers of whoever talks to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferOutcome {
    /// How far it is.
    Progress(Progress),
    /// Credentials are asked for, and waited for.
    Question(LoginQuestion),
    /// A pull or push, at its end.
    Done(Transferred),
    /// What the registry was asked for.
    Document(serde_json::Value),
}

/// An image that was moved between a registry and the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transferred {
    /// Canonical reference.
    pub reference: String,
    /// `sha256:...` of the manifest or index.
    pub id: String,
    /// A pull: it was here already.
    pub unchanged: bool,
    /// Bytes of what the ID names.
    pub size: i64,
}

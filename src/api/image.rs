//! Images.

use super::{Invalid, time};
use crate::model::image::{
    HistoryEntry, ImageManifest, ImageSummary, ImportOptions, LoadOutcome, Progress, Removed,
    TransferOutcome, Transferred,
};
use crate::model::login::{Login, LoginQuestion};
use crate::proto::k3c::v1 as wire;
use wire::load_image_response::What as Loaded;
use wire::login::How;
use wire::remove_image_response::{Line, line::What};
use wire::transfer_image_response::What as Moved;

impl From<ImageSummary> for wire::ImageSummary {
    fn from(image: ImageSummary) -> Self {
        Self {
            id: image.id,
            repo_tags: image.repo_tags,
            repo_digests: image.repo_digests,
            created: image.created.map(time::to),
            size: image.size,
            labels: image.labels.into_iter().collect(),
            containers: image.containers,
            config_digest: image.config_digest,
            content_size: image.content_size,
            manifests: image.manifests.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::ImageSummary> for ImageSummary {
    type Error = Invalid;

    fn try_from(image: wire::ImageSummary) -> Result<Self, Invalid> {
        Ok(Self {
            id: image.id,
            repo_tags: image.repo_tags,
            repo_digests: image.repo_digests,
            created: time::from("created", image.created)?,
            size: image.size,
            labels: image.labels.into_iter().collect(),
            containers: image.containers,
            config_digest: image.config_digest,
            content_size: image.content_size,
            manifests: image.manifests.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<ImageManifest> for wire::ImageManifest {
    fn from(manifest: ImageManifest) -> Self {
        let ImageManifest { id, platform, available, content_size, unpacked_size, containers } = manifest;
        Self { id, platform, available, content_size, unpacked_size, containers }
    }
}

impl From<wire::ImageManifest> for ImageManifest {
    fn from(manifest: wire::ImageManifest) -> Self {
        let wire::ImageManifest { id, platform, available, content_size, unpacked_size, containers } =
            manifest;
        Self { id, platform, available, content_size, unpacked_size, containers }
    }
}

impl From<ImportOptions> for wire::ImportOptions {
    fn from(options: ImportOptions) -> Self {
        Self {
            reference: options.reference,
            changes: options.changes,
            comment: options.comment,
            platform: options.platform,
        }
    }
}

impl From<wire::ImportOptions> for ImportOptions {
    fn from(options: wire::ImportOptions) -> Self {
        Self {
            reference: options.reference,
            changes: options.changes,
            comment: options.comment,
            platform: options.platform,
        }
    }
}

impl From<HistoryEntry> for wire::HistoryEntry {
    fn from(entry: HistoryEntry) -> Self {
        Self {
            id: entry.id,
            created: entry.created.map(time::to),
            created_by: entry.created_by,
            size: entry.size,
            comment: entry.comment,
            tags: entry.tags,
        }
    }
}

impl TryFrom<wire::HistoryEntry> for HistoryEntry {
    type Error = Invalid;

    fn try_from(entry: wire::HistoryEntry) -> Result<Self, Invalid> {
        Ok(Self {
            id: entry.id,
            created: time::from("created", entry.created)?,
            created_by: entry.created_by,
            size: entry.size,
            comment: entry.comment,
            tags: entry.tags,
        })
    }
}

impl From<Removed> for Line {
    fn from(removed: Removed) -> Self {
        let what = match removed {
            Removed::Untagged(name) => What::Untagged(name),
            Removed::Deleted(id) => What::Deleted(id),
        };
        Self { what: Some(what) }
    }
}

impl TryFrom<Line> for Removed {
    type Error = Invalid;

    fn try_from(line: Line) -> Result<Self, Invalid> {
        match line.what {
            Some(What::Untagged(name)) => Ok(Self::Untagged(name)),
            Some(What::Deleted(id)) => Ok(Self::Deleted(id)),
            None => Err(Invalid::new("line", "empty")),
        }
    }
}

impl From<Progress> for wire::Progress {
    fn from(progress: Progress) -> Self {
        Self { id: progress.id, status: progress.status, current: progress.current, total: progress.total }
    }
}

impl From<wire::Progress> for Progress {
    fn from(progress: wire::Progress) -> Self {
        Self { id: progress.id, status: progress.status, current: progress.current, total: progress.total }
    }
}

impl From<LoadOutcome> for wire::LoadImageResponse {
    fn from(outcome: LoadOutcome) -> Self {
        let what = match outcome {
            LoadOutcome::Progress(progress) => Loaded::Progress(progress.into()),
            LoadOutcome::Image(reference) => Loaded::LoadedImage(reference),
            LoadOutcome::Id(id) => Loaded::LoadedId(id),
        };
        Self { what: Some(what) }
    }
}

impl TryFrom<wire::LoadImageResponse> for LoadOutcome {
    type Error = Invalid;

    fn try_from(answer: wire::LoadImageResponse) -> Result<Self, Invalid> {
        match answer.what {
            Some(Loaded::Progress(progress)) => Ok(Self::Progress(progress.into())),
            Some(Loaded::LoadedImage(reference)) => Ok(Self::Image(reference)),
            Some(Loaded::LoadedId(id)) => Ok(Self::Id(id)),
            None => Err(Invalid::new("answer", "empty")),
        }
    }
}

impl From<TransferOutcome> for wire::TransferImageResponse {
    fn from(outcome: TransferOutcome) -> Self {
        let what = match outcome {
            TransferOutcome::Progress(progress) => Moved::Progress(progress.into()),
            TransferOutcome::Question(question) => Moved::Question(wire::LoginQuestion {
                host: question.host,
                reference: question.reference,
                challenges: question.challenges,
            }),
            TransferOutcome::Done(Transferred { reference, id, unchanged, size }) => {
                Moved::Done(wire::TransferredImage { reference, id, unchanged, size })
            }
            TransferOutcome::Document(document) => Moved::Document(document.to_string()),
        };
        Self { what: Some(what) }
    }
}

impl TryFrom<wire::TransferImageResponse> for TransferOutcome {
    type Error = Invalid;

    fn try_from(answer: wire::TransferImageResponse) -> Result<Self, Invalid> {
        match answer.what {
            Some(Moved::Progress(progress)) => Ok(Self::Progress(progress.into())),
            Some(Moved::Question(question)) => Ok(Self::Question(LoginQuestion {
                host: question.host,
                reference: question.reference,
                challenges: question.challenges,
            })),
            Some(Moved::Done(wire::TransferredImage { reference, id, unchanged, size })) => {
                Ok(Self::Done(Transferred { reference, id, unchanged, size }))
            }
            Some(Moved::Document(text)) => super::document(&text).map(Self::Document),
            None => Err(Invalid::new("answer", "empty")),
        }
    }
}

impl From<Login> for wire::Login {
    fn from(login: Login) -> Self {
        let how = match login {
            Login::Anonymous => None,
            Login::Password { username, password } => {
                Some(How::Password(wire::login::Password { username, password }))
            }
            Login::IdentityToken(token) => Some(How::IdentityToken(token)),
        };
        Self { how }
    }
}

impl From<wire::Login> for Login {
    fn from(login: wire::Login) -> Self {
        match login.how {
            None => Self::Anonymous,
            Some(How::Password(wire::login::Password { username, password })) => {
                Self::Password { username, password }
            }
            Some(How::IdentityToken(token)) => Self::IdentityToken(token),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_long_operations_say_comes_back() {
        let progress = Progress { id: "ab".into(), status: "Downloading".into(), current: 1, total: 2 };
        let loads = [
            LoadOutcome::Progress(progress.clone()),
            LoadOutcome::Image("a:latest".into()),
            LoadOutcome::Id("sha256:1".into()),
        ];
        for outcome in loads {
            assert_eq!(wire::LoadImageResponse::from(outcome.clone()).try_into(), Ok(outcome));
        }
        let done = TransferOutcome::Done(Transferred {
            reference: "r".into(),
            id: "sha256:1".into(),
            unchanged: true,
            size: 7,
        });
        let question = TransferOutcome::Question(LoginQuestion {
            host: "h:5000".into(),
            reference: "h:5000/a:1".into(),
            challenges: vec!["Basic".into()],
        });
        let document = TransferOutcome::Document(serde_json::json!({ "tags": ["1"] }));
        for outcome in [TransferOutcome::Progress(progress), question, done, document] {
            assert_eq!(wire::TransferImageResponse::from(outcome.clone()).try_into(), Ok(outcome));
        }
        let password = Login::Password { username: "u".into(), password: "p".into() };
        for login in [Login::Anonymous, password, Login::IdentityToken("t".into())] {
            assert_eq!(Login::from(wire::Login::from(login.clone())), login);
        }
        let entry = HistoryEntry {
            id: "sha256:1".into(),
            created: jiff::Timestamp::from_second(1).ok(),
            created_by: "RUN x".into(),
            size: 3,
            comment: "c".into(),
            tags: vec!["a:1".into()],
        };
        assert_eq!(wire::HistoryEntry::from(entry.clone()).try_into(), Ok(entry));
        let options =
            ImportOptions { reference: "a:1".into(), changes: vec!["CMD x".into()], ..Default::default() };
        assert_eq!(ImportOptions::from(wire::ImportOptions::from(options.clone())), options);
        for removed in [Removed::Untagged("a".into()), Removed::Deleted("b".into())] {
            assert_eq!(Line::from(removed.clone()).try_into(), Ok(removed));
        }
        assert!(TransferOutcome::try_from(wire::TransferImageResponse::default()).is_err());
        assert!(LoadOutcome::try_from(wire::LoadImageResponse::default()).is_err());
    }
}

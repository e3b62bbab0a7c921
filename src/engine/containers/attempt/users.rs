//! The user that a container runs as, in CRI's terms: CRI takes a user's name, but only a group's number.

use crate::engine::Inner;
use crate::engine::containers::user::{GIDS, UIDS, refuse_unmapped};
use crate::engine::error::EngineError;
use crate::engine::images::Facts;
use crate::proto::cri;
use crate::store::Record;

/// User and groups of a container's first process.
pub(super) struct RunsAs {
    pub(super) user: User,
    /// Numbers of the groups that were added.
    pub(super) groups: Vec<i64>,
}

/// A user as CRI wants it: by number or name.
#[derive(Debug, Default)]
pub(super) struct User {
    pub(super) uid: Option<i64>,
    pub(super) name: String,
    pub(super) gid: Option<i64>,
}

impl Inner {
    /// The user and the added groups of the container's first process.
    pub(super) async fn runs_as(&self, record: &Record, image: &Facts) -> Result<RunsAs, EngineError> {
        let user = self.user(record, image).await?;
        let groups = self.more_groups(record, image).await?;
        Ok(RunsAs { user, groups })
    }

    async fn user(&self, record: &Record, image: &Facts) -> Result<User, EngineError> {
        let text = record.resolved.user.as_str();
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        let mut result = User::default();
        match user.parse::<i64>() {
            Ok(uid) => result.uid = Some(uid),
            Err(_) if user.is_empty() && !group.is_empty() => result.uid = Some(0),
            Err(_) => user.clone_into(&mut result.name),
        }
        if !group.is_empty() {
            let gid = match group.parse::<i64>() {
                Ok(gid) => gid,
                Err(_) => self.group_of_image(image, group).await?.ok_or_else(|| no_group(group))?,
            };
            result.gid = Some(gid);
        }
        for (id, map) in [(result.uid, UIDS), (result.gid, GIDS)] {
            if let Some(id) = id {
                refuse_unmapped(id, map)?;
            }
        }
        Ok(result)
    }

    /// Numbers of the groups that `--group-add` names.
    async fn more_groups(&self, record: &Record, image: &Facts) -> Result<Vec<i64>, EngineError> {
        let mut all = Vec::new();
        for group in &record.spec.group_add {
            all.push(match group.parse::<i64>() {
                Ok(gid) => {
                    refuse_unmapped(gid, GIDS)?;
                    gid
                }
                Err(_) => {
                    let found = self.group_of_image(image, group).await?;
                    found.ok_or_else(|| {
                        EngineError::invalid(format!(
                            "Unable to find group {group}: no matching entries in group file"
                        ))
                    })?
                }
            });
        }
        Ok(all)
    }
}

/// Policy for the image's groups: a group that is asked for stands alone; else the user is in all that the image's
/// files name.
pub(super) fn groups_policy(user: &User) -> cri::SupplementalGroupsPolicy {
    match user.gid {
        Some(_) => cri::SupplementalGroupsPolicy::Strict,
        None => cri::SupplementalGroupsPolicy::Merge,
    }
}

fn no_group(group: &str) -> EngineError {
    EngineError::invalid(format!("unable to find group {group}: no matching entries in group file"))
}

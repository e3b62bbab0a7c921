//! Users by name, looked up in a running container's own files.

use crate::engine::error::EngineError;
use crate::model::exec::User;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use std::fs::File;
use std::io::{self, Read};

/// The user `name|uid[:group|gid]` by the files of the container whose first process is `pid`, with the groups `more`
/// (names or numbers) besides.
///
/// # Errors
/// `InvalidArgument`, in Docker's words: a name that the container does not know, an ID that nobody has here.
pub(super) fn resolve(pid: u32, text: &str, more: &[String]) -> Result<User, EngineError> {
    let root = File::open(format!("/proc/{pid}/root"))
        .map_err(EngineError::file("cannot open", format!("/proc/{pid}/root")))?;
    let passwd = read(&root, "etc/passwd");
    let groups = read(&root, "etc/group");
    let user = find(text, more, &passwd, &groups)?;
    refuse_unmapped(user.uid.into(), UIDS)?;
    for group in std::iter::once(&user.gid).chain(&user.groups) {
        refuse_unmapped((*group).into(), GIDS)?;
    }
    Ok(user)
}

/// File with the user IDs that exist here (user_namespaces(7)).
pub(super) const UIDS: &str = "/proc/self/uid_map";
/// File with the group IDs that exist here.
pub(super) const GIDS: &str = "/proc/self/gid_map";

/// Refuses the ID of a user or a group that is not in `map`, [`UIDS`] or [`GIDS`].
pub(super) fn refuse_unmapped(id: i64, map: &str) -> Result<(), EngineError> {
    let text = std::fs::read_to_string(map).map_err(EngineError::file("cannot read", map))?;
    refuse_beyond(id, &text, if map == UIDS { "user" } else { "group" })
}

fn refuse_beyond(id: i64, map: &str, what: &str) -> Result<(), EngineError> {
    let id = match u32::try_from(id) {
        Ok(id) if i32::try_from(id).is_ok() => u64::from(id),
        _ => return Err(EngineError::invalid("uids and gids must be in range 0-2147483647")),
    };
    let ranges: Vec<(u64, u64)> = map
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().map(str::parse::<u64>);
            let (first, _, count) = (fields.next()?.ok()?, fields.next()?, fields.next()?.ok()?);
            Some((first, count))
        })
        .collect();
    if ranges.iter().any(|(first, count)| (*first..first.saturating_add(*count)).contains(&id)) {
        return Ok(());
    }
    let count: u64 = ranges.iter().map(|(_, count)| count).sum();
    Err(EngineError::invalid(format!(
        "{what} {id} is beyond the {count} ids that containers have here (/etc/sub{}id says how many)",
        what.chars().next().unwrap_or('u')
    )))
}

/// The text of a file below `root`, out of which no link leads; empty when there is no such file.
fn read(root: &File, path: &str) -> String {
    let open = || -> io::Result<String> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
        let mut text = String::new();
        File::from(file).take(4 << 20).read_to_string(&mut text)?;
        Ok(text)
    };
    open().unwrap_or_default()
}

fn find(text: &str, more: &[String], passwd: &str, groups: &str) -> Result<User, EngineError> {
    let (user, group) = text.split_once(':').unwrap_or((text, ""));
    let entry = passwd.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|fields| {
        fields.len() > 3 && (fields[0] == user || (user.parse::<u32>().is_ok() && fields[2] == user))
    });
    let number = |text: &str| text.parse::<u32>().ok();
    let uid = match (&entry, number(user)) {
        (Some(fields), _) => number(fields[2]).unwrap_or(0),
        (None, Some(uid)) => uid,
        (None, None) if user.is_empty() => 0,
        (None, None) => {
            return Err(EngineError::invalid(format!(
                "unable to find user {user}: no matching entries in passwd file"
            )));
        }
    };
    let group_lines = || groups.lines().map(|l| l.split(':').collect::<Vec<_>>()).filter(|f| f.len() > 2);
    let group_id = |name: &str| match group_lines().find(|f| f[0] == name) {
        Some(fields) => Some(number(fields[2]).unwrap_or(0)),
        None => number(name),
    };
    let gid = match group {
        "" => entry.as_ref().and_then(|fields| number(fields[3])).unwrap_or(0),
        group => group_id(group).ok_or_else(|| {
            EngineError::invalid(format!("unable to find group {group}: no matching entries in group file"))
        })?,
    };
    let name = entry.as_ref().map_or("", |fields| fields[0]);
    let mut others: Vec<u32> = match group {
        "" => group_lines()
            .filter(|f| {
                f.get(3).is_some_and(|members| members.split(',').any(|m| m == name && !m.is_empty()))
            })
            .filter_map(|f| number(f[2]))
            .collect(),
        // A group that is asked for stands alone.
        _ => Vec::new(),
    };
    for group in more {
        others.push(group_id(group).ok_or_else(|| {
            EngineError::invalid(format!("Unable to find group {group}: no matching entries in group file"))
        })?);
    }
    Ok(User { uid, gid, groups: others })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_nobody_can_have() {
        let map = "         0       1000          1\n         1     200000      65536\n";
        assert!([0, 1, 65536].iter().all(|id| refuse_beyond(*id, map, "user").is_ok()));
        let said = |id| refuse_beyond(id, map, "group").unwrap_err().to_string();
        assert_eq!(
            said(65537),
            "group 65537 is beyond the 65537 ids that containers have here (/etc/subgid says how many)"
        );
        for id in [-1, 1 << 31, 1 << 40] {
            assert_eq!(said(id), "uids and gids must be in range 0-2147483647");
        }
    }

    #[test]
    fn users_and_groups() {
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1000:100::/:/bin/sh\n";
        let groups = "root:x:0:\nusers:x:100:\nwheel:x:10:ann,bob\n";
        let user = |text, more: &[&str]| {
            let more: Vec<String> = more.iter().map(|s| (*s).to_owned()).collect();
            find(text, &more, passwd, groups).map_err(|e| e.to_string())
        };
        let is = |uid, gid, groups: &[u32]| Ok(User { uid, gid, groups: groups.to_vec() });
        assert_eq!(user("ann", &[]), is(1000, 100, &[10]));
        assert_eq!(user("ann", &["77", "users"]), is(1000, 100, &[10, 77, 100]));
        assert_eq!(user("1000:wheel", &[]), is(1000, 10, &[]));
        assert_eq!(user("ann:users", &["wheel"]), is(1000, 100, &[10]));
        assert_eq!(user("77", &[]), is(77, 0, &[]));
        assert!(user("nobody", &[]).unwrap_err().contains("unable to find user nobody"));
        assert!(user("0:none", &[]).unwrap_err().contains("unable to find group none"));
        assert!(user("0", &["none"]).unwrap_err().contains("Unable to find group none"));
    }
}

//! The API's socket, which is made outside of the namespaces and kept by the holder.

use super::error::DaemonError;
use crate::sys::user;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Listens at `path`. The directory guards the socket: it has its mode before the socket is in it.
pub(super) fn listen(path: &Path, group: Option<&str>) -> Result<UnixListener, DaemonError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let failed = |e: io::Error| DaemonError::step(format!("listen on {}", path.display()))(e);
    let gid =
        group.map(|name| group_id(name).ok_or_else(|| DaemonError::NoGroup(name.to_owned()))).transpose()?;
    let (folder_mode, socket_mode) = if gid.is_some() { (0o750, 0o660) } else { (0o700, 0o600) };
    fs::set_permissions(folder, Permissions::from_mode(folder_mode)).map_err(failed)?;
    if UnixStream::connect(path).is_ok() {
        return Err(DaemonError::SocketTaken(path.to_path_buf()));
    }
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(socket_mode)).map_err(failed)?;
    if let Some(gid) = gid {
        for path in [folder, path] {
            chown(path, None, Some(gid)).map_err(failed)?;
        }
    }
    Ok(listener)
}

fn group_id(name: &str) -> Option<u32> {
    let text = fs::read_to_string("/etc/group").unwrap_or_default();
    id_in(&text, name).or_else(|| id_in(&user::getent("group", name)?, name))
}

/// From a text in the form of `/etc/group`.
fn id_in(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        fields.nth(1)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_name() {
        let text = "root:x:0:\ndocker:x:998:al,bo\nbroken\n";
        assert_eq!(id_in(text, "docker"), Some(998));
        assert_eq!(id_in(text, "broken"), None);
        assert_eq!(id_in(text, "x"), None);
    }
}

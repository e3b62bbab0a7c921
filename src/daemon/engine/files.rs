//! The children's folders and configuration files.

use crate::children::{buildkitd, containerd};
use crate::config::Instance;
use crate::network::cni;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The configuration files.
pub(super) struct Rendered {
    pub(super) containerd: PathBuf,
    pub(super) buildkitd: PathBuf,
}

/// Makes the folders and writes the files.
pub(super) fn render(instance: &Instance, snapshotter: &str) -> io::Result<Rendered> {
    let dirs = &instance.dirs;
    let folder = |path: &Path, mode| DirBuilder::new().recursive(true).mode(mode).create(path);
    folder(&dirs.cni(), 0o700)?;
    folder(&dirs.shims(), 0o700)?;
    folder(&dirs.temporary(), 0o700)?;
    // Containers' root filesystems are below these, seen by other users of the namespace.
    for path in [dirs.containerd_root(), dirs.containerd_state(), dirs.data.join("opt")] {
        folder(&path, 0o711)?;
    }
    for socket in [dirs.buildkit_socket(), dirs.differ_socket()] {
        if let Some(private) = socket.parent() {
            folder(private, 0o700)?;
        }
    }
    let rendered = Rendered {
        containerd: dirs.rendered().join("containerd.toml"),
        buildkitd: dirs.rendered().join("buildkitd.toml"),
    };
    replace(&rendered.containerd, &containerd::render(instance, snapshotter))?;
    replace(&rendered.buildkitd, &buildkitd::render(instance, snapshotter))?;
    replace(&dirs.cni_list(), &cni::render(instance))?;
    Ok(rendered)
}

/// Writes a file that says something else, at once: a containerd that runs watches its network configuration, and would
/// read half of one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|known| known == text) {
        return Ok(());
    }
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(new, path)
}

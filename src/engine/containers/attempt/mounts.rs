//! Mounts of an attempt's container, in CRI's words.

use crate::engine::Inner;
use crate::model::container::{Mount, MountKind};
use crate::proto::cri;
use std::sync::atomic::Ordering;

impl Inner {
    /// A mount in CRI's words; `None` for a tmpfs, which CRI does not know: see `container_amendment`.
    pub(super) fn cri_mount(&self, mount: &Mount) -> Option<cri::Mount> {
        let source = match &mount.kind {
            MountKind::Bind { source, .. } => self.host_path(source),
            MountKind::Volume { name, .. } => self.volume_dir(name).join(&mount.subpath),
            MountKind::Image { reference } => {
                return Some(cri::Mount {
                    container_path: mount.target.clone(),
                    image: Some(cri::ImageSpec { image: reference.clone(), ..Default::default() }),
                    image_sub_path: mount.subpath.clone(),
                    readonly: true,
                    ..Default::default()
                });
            }
            MountKind::Tmpfs { .. } => return None,
        };
        let propagation = match mount.propagation.trim_start_matches('r') {
            "shared" => cri::MountPropagation::PropagationBidirectional,
            "slave" => cri::MountPropagation::PropagationHostToContainer,
            _ => cri::MountPropagation::PropagationPrivate,
        };
        // Docker's `ro` is recursive where the runtime can do it; containerd wants a private mount for that.
        let recursive = mount.read_only
            && propagation == cri::MountPropagation::PropagationPrivate
            && self.course.recursive_read_only.load(Ordering::Relaxed);
        Some(cri::Mount {
            container_path: mount.target.clone(),
            host_path: source.to_string_lossy().into_owned(),
            readonly: mount.read_only,
            recursive_read_only: recursive,
            propagation: propagation.into(),
            ..Default::default()
        })
    }
}

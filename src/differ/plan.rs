//! What a request wants, in our words; what is not ours is left to containerd's own differ.

use super::flow::Packing;
use crate::sys::layer::{Ground, TRUSTED_OPAQUE, USER_OPAQUE, Whiteouts};
use crate::sys::mount::Layer;
use containerd_client::services::v1::ApplyRequest;
use containerd_client::types::Mount;
use std::path::{Path, PathBuf};
use tonic::Status;

/// Media types of layers without their endings.
const OCI: [&str; 2] =
    ["application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar"];
const DOCKER: [&str; 2] =
    ["application/vnd.docker.image.rootfs.diff.tar", "application/vnd.docker.image.rootfs.foreign.diff.tar"];

/// A layer that is to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// File of the blob, below the folder of containerd's content.
    pub(super) blob: PathBuf,
    pub(super) packing: Packing,
    pub(super) place: Place,
}

/// Where the files of a layer go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Into the folder of a snapshot.
    Folder(Ground),
    /// Through an overlay: in a user namespace, only the kernel can mark what is taken away in one that has no attributes
    /// of the user's.
    Through(Layer),
}

impl Plan {
    /// `rootless`: this process is in a user namespace.
    ///
    /// # Errors
    /// `Unimplemented`: the layer or the mounts are not of the kinds that are known here.
    pub(super) fn of(request: &ApplyRequest, rootless: bool) -> Result<Self, Status> {
        let not_ours = |what: &str| Status::unimplemented(format!("{what} is left to another differ"));
        let layer = request.diff.as_ref().ok_or_else(|| Status::invalid_argument("no layer is named"))?;
        let packing = packing(&layer.media_type).ok_or_else(|| not_ours("the media type"))?;
        let blob = blob(&layer.digest).ok_or_else(|| not_ours("the digest"))?;
        let [mount] = request.mounts.as_slice() else { return Err(not_ours("more than one mount")) };
        let place = place(mount, rootless).ok_or_else(|| not_ours("the mount"))?;
        Ok(Self { blob, packing, place })
    }
}

/// The packing of a layer; `None`: an unknown kind of layer. Packed ones say how with their first bytes, since their
/// media types are not to be trusted.
fn packing(kind: &str) -> Option<Packing> {
    let rest = |known: &[&str]| known.iter().find_map(|base| kind.strip_prefix(base));
    match (rest(&OCI), rest(&DOCKER)) {
        (Some(""), _) => Some(Packing::Plain),
        (Some("+gzip" | "+zstd"), _) | (_, Some("" | ".gzip" | ".zstd")) => Some(Packing::AsItBegins),
        _ => None,
    }
}

fn blob(digest: &str) -> Option<PathBuf> {
    let (algorithm, digits) = digest.split_once(':')?;
    let known = matches!((algorithm, digits.len()), ("sha256", 64) | ("sha512", 128));
    let digits = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then_some(digits)?;
    known.then(|| Path::new("blobs").join(algorithm).join(digits))
}

fn place(mount: &Mount, rootless: bool) -> Option<Place> {
    let through = || {
        let (kind, source) = (mount.r#type.clone(), mount.source.clone());
        (kind == "overlay" && mount.target.is_empty())
            .then(|| Place::Through(Layer { kind, source, options: mount.options.clone() }))
    };
    ground(mount, rootless).map(Place::Folder).or_else(through)
}

fn ground(mount: &Mount, rootless: bool) -> Option<Ground> {
    let whole = mount.target.is_empty();
    let folder = |path: &str| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let (folder, whiteouts) = match mount.r#type.as_str() {
        "bind"
            if whole
                && mount.options.iter().all(|option| matches!(option.as_str(), "rbind" | "bind" | "rw")) =>
        {
            (folder(&mount.source)?, Whiteouts::Removal)
        }
        "overlay" if whole => {
            let (mut upper, mut lower, mut user) = (None, Vec::new(), false);
            for option in &mount.options {
                match option.split_once('=').unwrap_or((option, "")) {
                    ("upperdir", path) => upper = Some(folder(path)?),
                    ("lowerdir", paths) => lower = paths.split(':').map(folder).collect::<Option<_>>()?,
                    ("userxattr", "") => user = true,
                    ("workdir" | "index" | "rw" | "volatile" | "fsync", _) => {}
                    _ => return None,
                }
            }
            // Other attributes cannot be set in a user namespace.
            let opaque = match (user, rootless) {
                (true, _) => USER_OPAQUE,
                (false, false) => TRUSTED_OPAQUE,
                (false, true) => return None,
            };
            (upper?, Whiteouts::Overlay { lower, opaque, through: rootless })
        }
        _ => return None,
    };
    Some(Ground { folder, whiteouts, devices: !rootless })
}

#[cfg(test)]
mod tests {
    use super::*;
    use containerd_client::types::Descriptor;

    #[test]
    fn layers_of_known_kinds_are_ours() {
        let (plain, packed) = (Some(Packing::Plain), Some(Packing::AsItBegins));
        for (kind, expected) in [
            ("application/vnd.oci.image.layer.v1.tar", plain),
            ("application/vnd.oci.image.layer.v1.tar+gzip", packed),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", packed),
            ("application/vnd.docker.image.rootfs.diff.tar", packed),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", packed),
            ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", None),
            ("application/vnd.erofs.layer.v1", None),
            ("", None),
        ] {
            assert_eq!(packing(kind), expected, "{kind}");
        }
    }

    #[test]
    fn digests_are_no_paths() {
        let digits = "0a".repeat(32);
        assert_eq!(blob(&format!("sha256:{digits}")), Some(format!("blobs/sha256/{digits}").into()));
        for digest in ["sha256:../x", "", "sha256:", &digits, &format!("../{digits}:{digits}"), "sha256:ABC"]
        {
            assert_eq!(blob(digest), None, "{digest}");
        }
    }

    fn mount(kind: &str, source: &str, options: &[&str]) -> Mount {
        Mount {
            r#type: kind.into(),
            source: source.into(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn mounts_of_known_kinds_are_ours() {
        let bind = ground(&mount("bind", "/s/1/fs", &["rw", "rbind"]), true);
        let plain = Ground { folder: "/s/1/fs".into(), whiteouts: Whiteouts::Removal, devices: false };
        assert_eq!(bind, Some(plain));
        let options = ["index=off", "workdir=/s/3/work", "upperdir=/s/3/fs", "lowerdir=/s/2/fs:/s/1/fs"];
        let overlay = |more: &[&str], rootless| {
            ground(&mount("overlay", "overlay", &[&options[..], more].concat()), rootless)
        };
        let expected = |opaque, through| Ground {
            folder: "/s/3/fs".into(),
            whiteouts: Whiteouts::Overlay {
                lower: vec!["/s/2/fs".into(), "/s/1/fs".into()],
                opaque,
                through,
            },
            devices: !through,
        };
        assert_eq!(overlay(&[], false), Some(expected(TRUSTED_OPAQUE, false)));
        assert_eq!(overlay(&["userxattr"], true), Some(expected(USER_OPAQUE, true)));
        assert_eq!(overlay(&[], true), None);
        assert_eq!(overlay(&["redirect_dir=on"], false), None);
        for other in [
            mount("bind", "/x", &["ro", "rbind"]),
            mount("bind", "x", &[]),
            mount("bind", "/x", &["rw", "uidmap=0:1:1"]),
            mount("overlay", "overlay", &["lowerdir=/x"]),
            mount("btrfs", "/dev/x", &[]),
            Mount { target: "/inner".into(), ..mount("bind", "/x", &[]) },
        ] {
            assert_eq!(ground(&other, false), None, "{other:?}");
        }
        let without_attributes = mount("overlay", "overlay", &options);
        assert!(matches!(place(&without_attributes, true), Some(Place::Through(_))));
        assert_eq!(place(&mount("btrfs", "/dev/x", &[]), true), None);
    }

    #[test]
    fn what_is_not_ours_is_left_to_others() {
        let layer = Descriptor {
            media_type: OCI[0].into(),
            digest: format!("sha256:{}", "0".repeat(64)),
            ..Default::default()
        };
        let request = ApplyRequest { diff: Some(layer), mounts: Vec::new(), ..Default::default() };
        assert_eq!(Plan::of(&request, false).unwrap_err().code(), tonic::Code::Unimplemented);
    }
}

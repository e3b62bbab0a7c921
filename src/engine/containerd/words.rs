//! Words of containerd by which something is decided: each sentence once, as containerd 2.4.2 with runc 1.5.2 and our
//! shim say it. Where there is a code that says the same, the code decides.

use tonic::{Code, Status};

/// CRI's plugin has not loaded, or its services are not registered yet.
pub(super) fn is_coming_up(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable => status.message().contains("server is not initialized yet"),
        Code::Unimplemented => status.message().contains("unknown service"),
        _ => false,
    }
}

/// There is no process to signal any more. A closed ttrpc connection means that its shim is gone, and so is it.
pub(in crate::engine) fn is_over(status: &Status) -> bool {
    let gone = ["process already finished", "not running", "no such process", "ttrpc: closed"];
    matches!(status.code(), Code::NotFound | Code::FailedPrecondition) || says_one(status, &gone)
}

/// The pod's process has ended, so that nothing can be started in it.
pub(in crate::engine) fn has_no_pod(status: &Status) -> bool {
    says_all(status, &["sandbox container", "is not running"])
}

/// The container was started before.
pub(in crate::engine) fn runs_already(status: &Status) -> bool {
    says_all(status, &["CONTAINER_RUNNING state"])
}

/// The container has ended before.
pub(in crate::engine) fn has_exited(status: &Status) -> bool {
    says_all(status, &["CONTAINER_EXITED state"])
}

/// Another start of the container is under way.
pub(in crate::engine) fn is_starting(status: &Status) -> bool {
    says_all(status, &["already in starting state"])
}

/// The image has no such user.
pub(super) fn has_no_user(status: &Status) -> bool {
    says_all(status, &["no users found"])
}

/// The differ was killed, or is not there again yet.
pub(in crate::engine) fn has_lost_the_differ(status: &Status) -> bool {
    status.code() == Code::Unavailable && says_all(status, &["failed to extract layer"])
}

/// What the CNI plugin said when it refused a pod.
pub(in crate::engine) fn network_refusal(status: &Status) -> Option<&str> {
    let (_, said) = status.message().split_once("plugin type=\"k3c-cni\" failed (add): ")?;
    Some(said.strip_prefix("k3c-cni: ").unwrap_or(said))
}

/// The disk is full.
pub(in crate::engine) fn is_full(text: &str) -> bool {
    text.contains("no space left on device")
}

/// A layer that cannot be unpacked: its digest, and the cause. A disk that is full is not the layer's fault, nor is the
/// end of the process that unpacks it.
pub(in crate::engine) fn bad_layer(status: &Status) -> Option<(&str, &str)> {
    if has_lost_the_differ(status) {
        return None;
    }
    let (_, rest) = status.message().split_once("failed to extract layer (")?;
    let digest = rest.split([' ', ')']).find(|word| word.starts_with("sha256:"))?;
    let cause = rest.rsplit(": ").next()?;
    (!is_full(cause)).then_some((digest, cause))
}

/// What should be a tar archive is none, or is cut off.
pub(in crate::engine) fn is_no_tar(status: &Status) -> bool {
    says_one(status, &["archive/tar", "invalid archive", "unexpected EOF"])
}

/// A layer was unpacked, and is another than the image's configuration says.
pub(in crate::engine) fn is_another_layer(status: &Status) -> bool {
    says_one(status, &["wrong diff id calculated"])
}

/// The blob that was written is not what was announced.
pub(in crate::engine) fn has_another_digest(status: &Status) -> bool {
    says_one(status, &["unexpected commit digest", "failed size validation", "unexpected commit size"])
}

/// ID of the pod or container that has the name that we want. The name has our ID in it, so we asked for it ourselves,
/// by a call that was cut off when containerd died.
pub(super) fn name_is_reserved_for(status: &Status) -> Option<&str> {
    let (what, who) = status.message().split_once(" is reserved for \"")?;
    what.contains("failed to reserve").then(|| who.split('"').next())?
}

/// ID of the container whose task is in the way of a removal.
pub(super) fn running_task(status: &Status) -> Option<&str> {
    let (_, rest) = status.message().split_once("cannot delete running task ")?;
    rest.split(':').next()
}

fn says_all(status: &Status, parts: &[&str]) -> bool {
    parts.iter().all(|part| status.message().contains(part))
}

fn says_one(status: &Status, parts: &[&str]) -> bool {
    parts.iter().any(|part| status.message().contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_plugin_said() {
        let whole = "failed to setup network for sandbox \"ab\": plugin type=\"k3c-cni\" failed (add): k3c-cni: no address";
        assert_eq!(network_refusal(&Status::unknown(whole)), Some("no address"));
        assert_eq!(network_refusal(&Status::unknown("cni plugin not initialized")), None);
    }

    #[test]
    fn sentences() {
        type Predicate = fn(&Status) -> bool;
        let table: [(Predicate, Status, bool); 22] = [
            (is_coming_up, Status::unavailable("server is not initialized yet: unavailable"), true),
            (is_coming_up, Status::unimplemented("unknown service runtime.v1.RuntimeService"), true),
            (is_coming_up, Status::unavailable("ref x locked: unavailable"), false),
            (is_over, Status::not_found("process x: not found"), true),
            (is_over, Status::unknown("os: process already finished"), true),
            (is_over, Status::unknown("container is not running"), true),
            (is_over, Status::internal("kill: no such process"), true),
            (is_over, Status::unknown("ttrpc: closed"), true),
            (is_over, Status::unknown("permission denied"), false),
            (has_no_pod, Status::unknown("sandbox container \"a1\" is not running"), true),
            (has_no_pod, Status::unknown("container \"a1\" is not running"), false),
            (runs_already, Status::unknown("container is in CONTAINER_RUNNING state"), true),
            (has_exited, Status::unknown("container is in CONTAINER_EXITED state"), true),
            (has_exited, Status::unknown("container is in CONTAINER_RUNNING state"), false),
            (is_starting, Status::unknown("container is already in starting state"), true),
            (has_no_user, Status::unknown("mount: no users found"), true),
            (is_no_tar, Status::unknown("failed to extract: archive/tar: invalid tar header"), true),
            (is_no_tar, Status::unknown("x: invalid archive: not an archive's header"), true),
            (has_lost_the_differ, Status::unavailable("failed to extract layer (x): reading: EOF"), true),
            (has_lost_the_differ, Status::unknown("failed to extract layer (x): unexpected EOF"), false),
            (is_another_layer, Status::unknown("wrong diff id calculated on extraction \"sha256:ab\""), true),
            (
                has_another_digest,
                Status::failed_precondition("unexpected commit digest sha256:ab, expected sha256:cd"),
                true,
            ),
        ];
        for (says, status, expected) in table {
            assert_eq!(says(&status), expected, "{status}");
        }
    }

    #[test]
    fn names_in_sentences() {
        let reserved = "failed to reserve sandbox name \"c_default_9_0\": name \"c_default_9_0\" is reserved for \"a39\"";
        let task = "failed to remove container \"a1\": cannot delete running task a1: failed precondition";
        for (text, name, running) in [
            (reserved, Some("a39"), None),
            ("the seat is reserved for \"a39\"", None, None),
            (task, None, Some("a1")),
            ("sandbox container is running", None, None),
        ] {
            let status = Status::unknown(text);
            assert_eq!((name_is_reserved_for(&status), running_task(&status)), (name, running), "{text}");
        }
    }
}

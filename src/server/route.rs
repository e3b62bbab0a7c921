//! Routes of calls: to our services or to a backend, by the path, and for one service by the metadata.

use http::HeaderMap;

/// Destination of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Our services, which also answer "no such service".
    Ours,
    /// A backend, to which the call is sent on.
    Backend(Backend),
}

/// A server behind the passthrough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    /// CRI and containerd's own services.
    Containerd,
    /// A running buildkitd.
    Buildkit {
        /// True when the call is a reason to start one.
        start: bool,
    },
}

/// The service that both containerd and buildkitd serve; containerd's clients always name a namespace, BuildKit's
/// never.
const CONTENT: &str = "containerd.services.content.v1.Content";

/// Metadata of containerd's clients.
const NAMESPACE: &str = "containerd-namespace";

/// Services for which a buildkitd is started; no other call does.
const STARTING: [&str; 2] = ["moby.buildkit.v1.Control", "moby.buildkit.v1.frontend.LLBBridge"];

/// Things that must be there before a call is sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    /// The engine, which knows all pods.
    Pods,
    /// The images of the binary.
    Images,
}

/// Needs of a call to CRI or containerd. `path` is `/package.Service/Method`.
pub(super) fn needs(path: &str) -> Needs {
    match path {
        "/runtime.v1.RuntimeService/RunPodSandbox" => Needs::Pods,
        "/runtime.v1.ImageService/ListImages"
        | "/runtime.v1.ImageService/ImageStatus"
        | "/containerd.services.images.v1.Images/List" => Needs::Images,
        _ => Needs::Nothing,
    }
}

/// The route of a call. `path` is `/package.Service/Method`.
pub(super) fn route(path: &str, headers: &HeaderMap) -> Route {
    let service =
        path.strip_prefix('/').and_then(|rest| rest.split_once('/')).map_or("", |(service, _)| service);
    if service == CONTENT && !headers.contains_key(NAMESPACE) {
        return Route::Backend(Backend::Buildkit { start: false });
    }
    let of = |package: &str| service.strip_prefix(package).is_some_and(|rest| rest.starts_with('.'));
    if of("runtime.v1") || of("containerd") {
        Route::Backend(Backend::Containerd)
    } else if of("moby") || of("opentelemetry") {
        Route::Backend(Backend::Buildkit { start: STARTING.contains(&service) })
    } else {
        Route::Ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_images_wait_for_those_of_the_binary() {
        for (path, needed) in [
            ("/runtime.v1.ImageService/ListImages", Needs::Images),
            ("/containerd.services.images.v1.Images/List", Needs::Images),
            ("/containerd.services.images.v1.Images/Get", Needs::Nothing),
            ("/runtime.v1.RuntimeService/RunPodSandbox", Needs::Pods),
            ("/runtime.v1.RuntimeService/Version", Needs::Nothing),
        ] {
            assert_eq!(needs(path), needed, "{path}");
        }
    }

    #[test]
    fn every_path_has_its_owner() {
        let containerd = Route::Backend(Backend::Containerd);
        let buildkit = |start| Route::Backend(Backend::Buildkit { start });
        let cases = [
            ("/k3c.v1.Containers/List", Route::Ours),
            ("/grpc.health.v1.Health/Check", Route::Ours),
            ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Route::Ours),
            ("/runtime.v1.RuntimeService/Version", containerd),
            ("/runtime.v1.ImageService/ListImages", containerd),
            ("/runtime.v1alpha2.RuntimeService/Version", Route::Ours),
            ("/containerd.services.images.v1.Images/List", containerd),
            ("/containerd.services.streaming.v1.Streaming/Stream", containerd),
            ("/containerd.services.content.v1.Content/List", buildkit(false)),
            ("/containerdx.Foo/Bar", Route::Ours),
            ("/moby.buildkit.v1.Control/Solve", buildkit(true)),
            ("/moby.buildkit.v1.frontend.LLBBridge/Solve", buildkit(true)),
            ("/moby.buildkit.v1.types.Other/X", buildkit(false)),
            ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", buildkit(false)),
            ("/", Route::Ours),
            ("", Route::Ours),
        ];
        for (path, owner) in cases {
            assert_eq!(route(path, &HeaderMap::new()), owner, "{path}");
        }
        let mut named = HeaderMap::new();
        named.insert(NAMESPACE, "k8s.io".parse().unwrap());
        assert_eq!(route("/containerd.services.content.v1.Content/List", &named), containerd);
        assert_eq!(route("/moby.buildkit.v1.Control/Solve", &named), buildkit(true));
    }
}

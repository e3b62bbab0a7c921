//! The door that every call of ours goes through: a change that was begun is finished, also when its client leaves.
//!
//! hyper drops a handler when its client resets the stream or goes away. A handler that was dropped in the middle would
//! leave a container without the signal that should follow, or frozen. So a call runs in a task of its own, and only the
//! wait for its answer is the client's. A stream from the client ends when the client goes, and a handler that reads it
//! sees that as an error; an answer that is a stream is dropped with nobody to read it.
//!
//! Calls that only look, and may look for long, end with their caller.

use std::convert::Infallible;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceExt;

/// Calls that change nothing: they end with their caller. Every other one is finished.
const LOOKS: &[&str] = &[
    "/k3c.v1.Containers/Top",
    "/k3c.v1.Containers/Stats",
    "/k3c.v1.Containers/Wait",
    "/k3c.v1.Containers/List",
    "/k3c.v1.Containers/Inspect",
    "/k3c.v1.Containers/Logs",
    "/k3c.v1.Images/CheckLogin",
    "/k3c.v1.Images/List",
    "/k3c.v1.Images/Inspect",
    "/k3c.v1.Images/Save",
    "/k3c.v1.Images/History",
    "/k3c.v1.Images/InspectManifest",
    "/k3c.v1.Images/RemoteManifest",
    "/k3c.v1.Images/RemoteTags",
    "/k3c.v1.Networks/List",
    "/k3c.v1.Networks/Inspect",
    "/k3c.v1.Volumes/List",
    "/k3c.v1.System/Version",
    "/k3c.v1.System/Info",
    "/k3c.v1.System/DiskUsage",
    "/k3c.v1.Events/Subscribe",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
];

/// Our services behind the door. Cheap to clone.
#[derive(Clone)]
pub(super) struct Door {
    services: Routes,
    under_way: TaskTracker,
}

impl Door {
    pub(super) fn new(services: Routes) -> Self {
        Self { services: services.prepare(), under_way: TaskTracker::new() }
    }

    /// Answers a call; one that changes something is finished even when this future is dropped.
    pub(super) async fn answer<B>(&self, request: http::Request<B>) -> http::Response<Body>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let looks = LOOKS.contains(&request.uri().path());
        let call = self.services.clone().oneshot(request.map(Body::new));
        let answer: Result<_, Infallible> = match looks {
            true => call.await,
            false => match self.under_way.spawn(call).await {
                Ok(answer) => answer,
                Err(died) => return tonic::Status::internal(format!("the call died: {died}")).into_http(),
            },
        };
        match answer {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Waits until no call is under way any more.
    pub(super) async fn idle(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Calls of a definition, as paths.
    fn calls(definition: &str) -> BTreeSet<String> {
        let mut service = "";
        let mut calls = BTreeSet::new();
        for line in definition.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("service ") {
                service = name.trim_end_matches(['{', ' ']);
            } else if let Some(call) = line.strip_prefix("rpc ") {
                calls.insert(format!("/k3c.v1.{service}/{}", call.split('(').next().unwrap_or_default()));
            }
        }
        calls
    }

    #[test]
    fn each_call_either_looks_or_is_finished() {
        let all = calls(include_str!("../proto/k3c/v1/k3c.proto"));
        let looks: BTreeSet<String> =
            LOOKS.iter().filter(|c| c.starts_with("/k3c.v1.")).map(|c| (*c).to_owned()).collect();
        assert!(looks.is_subset(&all), "calls that are none: {:?}", looks.difference(&all));
        // A new call is finished unless it is said to look: whoever adds one thinks of it here.
        let finished: Vec<&str> =
            all.difference(&looks).map(|call| call.strip_prefix("/k3c.v1.").unwrap_or(call)).collect();
        let expected = [
            "Containers/Attach Containers/Commit Containers/CopyFrom Containers/CopyTo Containers/Create",
            "Containers/CreateExec Containers/Diff Containers/Export Containers/Kill Containers/Pause",
            "Containers/Prune Containers/Remove Containers/Rename Containers/Restart Containers/Run",
            "Containers/Start Containers/StartExec Containers/StatPath Containers/Stop Containers/Unpause Containers/Update",
            "Images/Import Images/Load Images/Prune Images/Pull Images/Push Images/Remove Images/Tag",
            "Networks/Connect Networks/Create Networks/Disconnect Networks/Prune Networks/Remove",
            "Volumes/Create Volumes/Prune Volumes/Remove",
        ];
        assert_eq!(finished.join(" "), expected.join(" "));
    }
}

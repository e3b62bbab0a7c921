//! Calls of CRI about pods that are looked into on their way: the ports of the host that a pod wants (`ports`), and what it
//! does not know of pods whose sandbox is a shim.
//!
//! * After its start it has forgotten when they were made, and that their names are taken: both is said here.
//! * Its description of a pod (`crictl inspectp`) is the shim's, which knows nothing of CNI: the rest is read from
//!   containerd's store.

mod call;
mod info;
mod ports;

use super::outgoing::Outgoing;
use super::proxy::Proxy;
use super::refusal;
use crate::api::reason;
use crate::model::reason::Reason;
use crate::proto::cri;
use bytes::Bytes;
use call::Asked;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;

#[cfg(test)]
pub(super) use call::framed;

pub(super) const RUN: &str = "/runtime.v1.RuntimeService/RunPodSandbox";
const STOP: &str = "/runtime.v1.RuntimeService/StopPodSandbox";
const REMOVE: &str = "/runtime.v1.RuntimeService/RemovePodSandbox";
const LIST: &str = "/runtime.v1.RuntimeService/ListPodSandbox";
const STREAM: &str = "/runtime.v1.RuntimeService/StreamPodSandboxes";
const STATUS: &str = "/runtime.v1.RuntimeService/PodSandboxStatus";

/// A request to be sent on, or its answer.
pub(super) enum Answer {
    Forward(Request<Outgoing>),
    Done(Response<Body>),
}

/// Whether a call is looked into.
pub(super) fn concerns(path: &str) -> bool {
    [RUN, STOP, REMOVE, LIST, STREAM, STATUS].contains(&path)
}

/// Looks into a call.
pub(super) async fn look(request: Request<Incoming>, proxy: &Proxy) -> Answer {
    let asked = match Asked::read(request).await {
        Ok(asked) => asked,
        Err(text) => return Answer::Done(refusal::grpc(reason::status(Reason::InvalidArgument, text))),
    };
    let outcome =
        match asked.parts.uri.path() {
            RUN => run(&asked, proxy).await,
            STOP | REMOVE => {
                withdraw(&asked, proxy).await;
                None
            }
            LIST => match asked.message() {
                Some(message) => Some(list(&asked, proxy, message).await.map(|all| call::encoded(&all))),
                None => None,
            },
            STREAM => match asked.message() {
                Some(cri::StreamPodSandboxesRequest { filter }) => {
                    let all = list(&asked, proxy, cri::ListPodSandboxRequest { filter }).await;
                    Some(all.map(|all| {
                        call::encoded(&cri::StreamPodSandboxesResponse { pod_sandboxes: all.items })
                    }))
                }
                None => None,
            },
            _ => match asked.message() {
                Some(message) => Some(status(&asked, proxy, message).await.map(|one| call::encoded(&one))),
                None => None,
            },
        };
    match outcome {
        Some(Ok(body)) => Answer::Done(call::answer(body)),
        Some(Err(status)) => Answer::Done(refusal::grpc(status)),
        // Also what nobody can read: containerd says so.
        None => Answer::Forward(Request::from_parts(asked.parts, Outgoing::Whole(Full::new(asked.body)))),
    }
}

/// Runs a pod, if it is one that we have to do with.
async fn run(asked: &Asked, proxy: &Proxy) -> Option<Result<Bytes, Status>> {
    let message = asked.message::<cri::RunPodSandboxRequest>()?;
    let config = message.config.as_ref()?;
    if let Some(refused) = refused(asked, proxy, config).await {
        return Some(Err(refused));
    }
    match ports::wanted(config) {
        true => Some(ports::run(asked, proxy, &message).await),
        false => None,
    }
}

/// Withdraws the ports of a pod that is about to go: its address may soon be another's.
async fn withdraw(asked: &Asked, proxy: &Proxy) {
    // Both messages have the same form.
    if let Some(message) = asked.message::<cri::StopPodSandboxRequest>()
        && !message.pod_sandbox_id.is_empty()
    {
        proxy.host_ports().withdraw(message.pod_sandbox_id).await;
    }
}

/// Why a pod is not made.
async fn refused(asked: &Asked, proxy: &Proxy, config: &cri::PodSandboxConfig) -> Option<Status> {
    let metadata = config.metadata.clone()?;
    let request = cri::ListPodSandboxRequest::default();
    let all: cri::ListPodSandboxResponse = match call::ask(proxy, asked, LIST, &request).await {
        Ok(all) => all,
        Err(status) => return Some(status),
    };
    let taken = all.items.into_iter().find(|pod| pod.metadata.as_ref() == Some(&metadata))?;
    let cri::PodSandboxMetadata { name, uid, namespace, attempt } = metadata;
    let name = format!("{name}_{namespace}_{uid}_{attempt}");
    // containerd's own words.
    Some(Status::unknown(format!(
        "failed to reserve sandbox name {name:?}: name {name:?} is reserved for {:?}",
        taken.id
    )))
}

async fn list(
    asked: &Asked,
    proxy: &Proxy,
    request: cri::ListPodSandboxRequest,
) -> Result<cri::ListPodSandboxResponse, Status> {
    let mut all: cri::ListPodSandboxResponse = call::ask(proxy, asked, LIST, &request).await?;
    // Of a time that it does not know containerd makes a number before 1970.
    for pod in all.items.iter_mut().filter(|pod| pod.created_at <= 0) {
        let request = cri::PodSandboxStatusRequest { pod_sandbox_id: pod.id.clone(), verbose: false };
        // It may be gone by now.
        let one = call::ask::<_, cri::PodSandboxStatusResponse>(proxy, asked, STATUS, &request).await;
        if let Some(status) = one.ok().and_then(|answer| answer.status) {
            pod.created_at = status.created_at;
        }
    }
    Ok(all)
}

async fn status(
    asked: &Asked,
    proxy: &Proxy,
    request: cri::PodSandboxStatusRequest,
) -> Result<cri::PodSandboxStatusResponse, Status> {
    let mut one: cri::PodSandboxStatusResponse = call::ask(proxy, asked, STATUS, &request).await?;
    if request.verbose {
        let id = one.status.as_ref().map(|status| status.id.clone()).unwrap_or_default();
        info::complete(&mut one.info, call::metadata(proxy, asked, id).await.as_ref());
    }
    Ok(one)
}

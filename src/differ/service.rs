//! containerd's diff service, of which only `Apply` is ours.

use super::flow;
use super::plan::{Place, Plan};
use crate::sys::layer::{Ground, Whiteouts, words};
use crate::sys::mount;
use containerd_client::services::v1::{ApplyRequest, ApplyResponse};
use containerd_client::types::Descriptor;
use futures::future::BoxFuture;
use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Service;

/// Layers that are written at the same time; the others wait.
pub(super) const MOST: usize = 4;
/// Media type of a plain layer, which is what was written.
const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";

/// The service.
#[derive(Clone)]
pub(super) struct Differ {
    /// The folder of containerd's content.
    content: Arc<PathBuf>,
    /// Is this process in a user namespace?
    rootless: bool,
    places: Arc<Semaphore>,
}

impl Differ {
    pub(super) fn new(content: PathBuf, rootless: bool) -> Self {
        Self { content: Arc::new(content), rootless, places: Arc::new(Semaphore::new(MOST)) }
    }

    async fn apply(self, request: ApplyRequest) -> Result<ApplyResponse, Status> {
        let plan = Plan::of(&request, self.rootless)?;
        let Ok(place) = self.places.acquire_owned().await else { return Err(Status::cancelled("")) };
        let path = self.content.join(&plan.blob);
        // Who leaves drops this future, and with it the guard.
        let cancelled = Cancelled::default();
        let flag = cancelled.0.clone();
        let sync = request.sync_fs;
        let written = tokio::task::spawn_blocking(move || {
            let _place = place;
            write(&path, plan, sync, &flag)
        });
        let applied = written.await.map_err(|error| Status::internal(error.to_string()))?.map_err(status)?;
        let size = i64::try_from(applied.size).unwrap_or(i64::MAX);
        let applied =
            Descriptor { media_type: PLAIN.into(), digest: applied.digest, size, ..Default::default() };
        Ok(ApplyResponse { applied: Some(applied) })
    }
}

fn write(path: &Path, plan: Plan, sync: bool, cancelled: &AtomicBool) -> io::Result<flow::Applied> {
    let blob = File::open(path)?;
    let into = |ground: Ground| {
        let folder = ground.folder.clone();
        let applied = flow::apply(blob, plan.packing, ground, cancelled)?;
        if sync {
            rustix::fs::syncfs(File::open(folder)?)?;
        }
        Ok(applied)
    };
    match plan.place {
        Place::Folder(ground) => into(ground),
        Place::Through(overlay) => {
            let folder = tempfile::tempdir()?;
            mount::mount_all(&[overlay], folder.path())?;
            let ground =
                Ground { folder: folder.path().into(), whiteouts: Whiteouts::Removal, devices: false };
            let applied = into(ground);
            let unmounted = mount::unmount(folder.path());
            applied.and_then(|applied| unmounted.map(|()| applied))
        }
    }
}

fn status(error: io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::NotFound => Status::not_found(words(&error)),
        _ => Status::unknown(words(&error)),
    }
}

/// Ends the work on a layer when it is dropped.
#[derive(Default)]
struct Cancelled(Arc<AtomicBool>);

impl Drop for Cancelled {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl UnaryService<ApplyRequest> for Differ {
    type Response = ApplyResponse;
    type Future = BoxFuture<'static, Result<Response<ApplyResponse>, Status>>;

    fn call(&mut self, request: Request<ApplyRequest>) -> Self::Future {
        let differ = self.clone();
        Box::pin(async move { differ.apply(request.into_inner()).await.map(Response::new) })
    }
}

impl NamedService for Differ {
    const NAME: &'static str = "containerd.services.diff.v1.Diff";
}

impl Service<http::Request<Body>> for Differ {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let differ = self.clone();
        Box::pin(async move {
            if request.uri().path().ends_with("/Apply") {
                return Ok(Grpc::new(ProstCodec::default()).unary(differ, request).await);
            }
            // containerd asks its own differ then.
            Ok(Status::unimplemented("only layers are applied here").into_http())
        })
    }
}

//! The router with a backend that speaks raw HTTP/2, so that frames, trailers and resets are seen as they are.

use super::*;
use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::client::conn::http2::SendRequest;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;

type Frames = StreamBody<ReceiverStream<Result<Frame<Bytes>, io::Error>>>;
type Feed = mpsc::Sender<Result<Frame<Bytes>, io::Error>>;

fn body() -> (Feed, Frames) {
    let (feed, frames) = mpsc::channel(1);
    (feed, StreamBody::new(ReceiverStream::new(frames)))
}

async fn data(feed: &Feed, bytes: impl Into<Bytes>) -> bool {
    feed.send(Ok(Frame::data(bytes.into()))).await.is_ok()
}

async fn trailers(feed: &Feed) {
    let mut end = HeaderMap::new();
    end.insert("grpc-status", HeaderValue::from_static("0"));
    end.insert("x-bin", HeaderValue::from_static("AAECAw"));
    let _ = feed.send(Ok(Frame::trailers(end))).await;
}

/// A backend: what it noticed goes to `seen`.
async fn behave(
    request: Request<Incoming>,
    seen: mpsc::UnboundedSender<String>,
) -> Result<Response<Frames>, io::Error> {
    let (feed, frames) = body();
    let path = request.uri().path().to_owned();
    let _ = seen.send(format!("{path} host={:?}", request.headers().get("host")));
    let mut response = Response::new(frames);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut incoming = request.into_body();
    match path.rsplit('/').next() {
        Some("Echo") => drop(tokio::spawn(async move {
            loop {
                match incoming.frame().await {
                    Some(Ok(frame)) => {
                        if let Ok(bytes) = frame.into_data() {
                            data(&feed, bytes).await;
                        }
                    }
                    Some(Err(_)) => return drop(seen.send("reset".to_owned())),
                    None => break,
                }
            }
            let _ = seen.send("half-closed".to_owned());
            data(&feed, "after").await;
            trailers(&feed).await;
        })),
        Some("Silent") => {
            while let Some(frame) = incoming.frame().await {
                if frame.is_err() {
                    let _ = seen.send("reset".to_owned());
                    break;
                }
            }
            std::future::pending::<()>().await;
        }
        Some("Endless") => drop(tokio::spawn(async move {
            while data(&feed, vec![7_u8; 64 << 10]).await {}
            let _ = seen.send("dropped".to_owned());
        })),
        // No pods.
        Some("ListPodSandbox") => {
            let _ = incoming.collect().await;
            drop(tokio::spawn(async move {
                data(&feed, pods::framed(b"")).await;
                trailers(&feed).await;
            }));
        }
        Some("RunPodSandbox") => {
            let body = incoming.collect().await.map(http_body_util::Collected::to_bytes);
            let _ = seen.send(format!("body {body:?}"));
            drop(tokio::spawn(async move { trailers(&feed).await }));
        }
        Some("Refuse") => {
            response.headers_mut().insert("grpc-status", HeaderValue::from_static("5"));
            response.headers_mut().insert("grpc-message", HeaderValue::from_static("no such thing"));
        }
        _ => trailers(&feed).await,
    }
    Ok(response)
}

/// Listens on `path` until dropped; a drop cuts its connections.
struct Backend {
    tasks: tokio::task::JoinHandle<()>,
    seen: mpsc::UnboundedReceiver<String>,
}

impl Backend {
    fn start(path: &Path) -> Self {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).unwrap();
        let (tell, seen) = mpsc::unbounded_channel();
        let tasks = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let tell = tell.clone();
                let _ = tell.send("accepted".to_owned());
                let service = hyper::service::service_fn(move |request| behave(request, tell.clone()));
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                connections.spawn(async move {
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { tasks, seen }
    }

    async fn sees(&mut self, what: &str) {
        let found = async {
            while let Some(seen) = self.seen.recv().await {
                if seen == what {
                    return;
                }
            }
        };
        timeout(Duration::from_secs(5), found)
            .await
            .unwrap_or_else(|_| panic!("the backend never saw {what:?}"));
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

/// No pod of these tests wants ports.
struct NoPorts;

impl HostPorts for NoPorts {
    fn publish(&self, _: String) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(async { Ok(()) })
    }

    fn withdraw(&self, _: String) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Counts its leases.
struct FakeBuildkit {
    socket: PathBuf,
    running: bool,
    leases: Arc<AtomicUsize>,
}

struct Lease(Arc<AtomicUsize>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Buildkit for FakeBuildkit {
    fn acquire(&self, start: bool) -> BoxFuture<'_, Result<BuildkitLease, BuildkitError>> {
        async move {
            if !start && !self.running {
                return Err(BuildkitError::Down);
            }
            self.leases.fetch_add(1, Ordering::SeqCst);
            Ok(BuildkitLease::new(self.socket.clone(), Box::new(Lease(Arc::clone(&self.leases)))))
        }
        .boxed()
    }
}

/// The router on a socket of its own.
struct Bench {
    folder: tempfile::TempDir,
    leases: Arc<AtomicUsize>,
    shutdown: CancellationToken,
    served: tokio::task::JoinHandle<io::Result<()>>,
}

impl Bench {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let leases = Arc::new(AtomicUsize::new(0));
        let shutdown = CancellationToken::new();
        let listener = std::os::unix::net::UnixListener::bind(folder.path().join("k3c.sock")).unwrap();
        let buildkit = FakeBuildkit {
            socket: folder.path().join("buildkitd.sock"),
            running: false,
            leases: Arc::clone(&leases),
        };
        let backends = Backends {
            containerd: folder.path().join("containerd.sock"),
            buildkit: Arc::new(buildkit),
            pods: Arc::new(|| Box::pin(async {})),
            host_ports: Arc::new(NoPorts),
            images: Arc::new(|| Box::pin(async {})),
        };
        let mut ours = tonic::service::RoutesBuilder::default();
        ours.add_service(crate::proto::grpc::health::v1::health_server::HealthServer::new(health::Checks));
        let served = tokio::spawn(serve_routes(listener, ours.routes(), backends, shutdown.clone()));
        Self { folder, leases, shutdown, served }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn client(&self) -> SendRequest<Frames> {
        self.connection().await.0
    }

    /// The second can cut the connection.
    async fn connection(&self) -> (SendRequest<Frames>, std::os::unix::net::UnixStream) {
        let stream = std::os::unix::net::UnixStream::connect(self.path("k3c.sock")).unwrap();
        stream.set_nonblocking(true).unwrap();
        let handle = stream.try_clone().unwrap();
        let stream = UnixStream::from_std(stream).unwrap();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        (sender, handle)
    }
}

fn call(path: &str, frames: Frames) -> Request<Frames> {
    let request = Request::post(format!("http://k3c{path}")).header("content-type", "application/grpc");
    request.header("te", "trailers").body(frames).unwrap()
}

async fn once(client: &mut SendRequest<Frames>, path: &str) -> Response<Incoming> {
    let (feed, frames) = body();
    drop(feed);
    timeout(Duration::from_secs(8), client.send_request(call(path, frames))).await.unwrap().unwrap()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn both_directions_half_close_and_trailers() {
    let bench = Bench::start();
    let mut backend = Backend::start(&bench.path("containerd.sock"));
    let mut client = bench.client().await;
    let (feed, frames) = body();
    let mut answer = client.send_request(call("/containerd.T/Echo", frames)).await.unwrap();
    backend.sees("/containerd.T/Echo host=None").await;
    for text in ["one", "two"] {
        assert!(data(&feed, text).await);
        assert_eq!(answer.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), text);
    }
    drop(feed);
    backend.sees("half-closed").await;
    let rest = answer.into_body().collect().await.unwrap();
    let end = rest.trailers().unwrap().clone();
    assert_eq!(rest.to_bytes(), "after");
    assert_eq!((header(&end, "grpc-status"), header(&end, "x-bin")), ("0", "AAECAw"));
}

#[tokio::test]
async fn a_pod_is_looked_into_and_sent_on_as_it_was() {
    use crate::proto::cri;
    use prost::Message;
    let bench = Bench::start();
    let mut backend = Backend::start(&bench.path("containerd.sock"));
    let mut client = bench.client().await;
    let mut run = async || {
        let config = cri::PodSandboxConfig {
            metadata: Some(cri::PodSandboxMetadata::default()),
            linux: Some(cri::LinuxPodSandboxConfig::default()),
            port_mappings: vec![cri::PortMapping { container_port: 80, ..Default::default() }],
            ..Default::default()
        };
        let mut message =
            cri::RunPodSandboxRequest { config: Some(config), ..Default::default() }.encode_to_vec();
        // A field of a later version.
        message.extend_from_slice(b"\xfa\x3f\x01x");
        let mut sent = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
        sent.extend_from_slice(&message);
        let (feed, frames) = body();
        let pending = client.send_request(call(pods::RUN, frames));
        // In pieces.
        for part in sent.chunks(7) {
            assert!(data(&feed, part.to_vec()).await);
        }
        drop(feed);
        (timeout(Duration::from_secs(8), pending).await.unwrap().unwrap(), Bytes::from(sent))
    };
    let (answer, sent) = run().await;
    backend.sees(&format!("body Ok({sent:?})")).await;
    let end = answer.into_body().collect().await.unwrap();
    assert_eq!(header(end.trailers().unwrap(), "grpc-status"), "0");
}

#[tokio::test]
async fn a_refusal_stays_headers_alone() {
    let bench = Bench::start();
    let _backend = Backend::start(&bench.path("containerd.sock"));
    let mut client = bench.client().await;
    let answer = once(&mut client, "/runtime.v1.RuntimeService/Refuse").await;
    assert_eq!(header(answer.headers(), "grpc-status"), "5");
    assert_eq!(header(answer.headers(), "grpc-message"), "no such thing");
    assert!(answer.into_body().collect().await.unwrap().trailers().is_none());
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed_by_the_backend() {
    let bench = Bench::start();
    let mut backend = Backend::start(&bench.path("containerd.sock"));

    // Before the answer's headers, the request still open.
    let mut client = bench.client().await;
    let (feed, frames) = body();
    let pending = client.send_request(call("/containerd.T/Silent", frames));
    let pending = tokio::spawn(pending);
    backend.sees("/containerd.T/Silent host=None").await;
    feed.send(Err(io::Error::other("changed my mind"))).await.unwrap();
    backend.sees("reset").await;
    pending.abort();

    // The whole connection, in the middle of both streams.
    let (mut client, connection) = bench.connection().await;
    let (_feed, frames) = body();
    let answer = client.send_request(call("/containerd.T/Echo", frames)).await.unwrap();
    backend.sees("/containerd.T/Echo host=None").await;
    connection.shutdown(std::net::Shutdown::Both).unwrap();
    backend.sees("reset").await;
    drop(answer);

    // The request complete, the answer without an end.
    let mut client = bench.client().await;
    let mut answer = once(&mut client, "/containerd.T/Endless").await;
    answer.body_mut().frame().await.unwrap().unwrap();
    drop(answer);
    backend.sees("dropped").await;
}

#[tokio::test]
async fn one_connection_is_shared_and_made_again() {
    let bench = Bench::start();
    let socket = bench.path("containerd.sock");
    let mut client = bench.client().await;
    let mut backend = Backend::start(&socket);
    for _ in 0..3 {
        once(&mut client, "/containerd.T/Unary").await;
    }
    let mut accepted = 0;
    while let Ok(seen) = backend.seen.try_recv() {
        accepted += usize::from(seen == "accepted");
    }
    assert_eq!(accepted, 1);

    // Killed, away for a while, and back: the same client's next call waits for it.
    drop(backend);
    let back = tokio::spawn(async move {
        sleep(Duration::from_millis(400)).await;
        Backend::start(&socket)
    });
    let answer = once(&mut client, "/containerd.T/Unary").await;
    assert_eq!(header(answer.headers(), "grpc-status"), "");
    let end = answer.into_body().collect().await.unwrap();
    assert_eq!(header(end.trailers().unwrap(), "grpc-status"), "0");
    drop(back.await.unwrap());
}

#[tokio::test]
async fn a_backend_that_stays_away_is_said_in_words() {
    let bench = Bench::start();
    let mut client = bench.client().await;
    let begun = Instant::now();
    let answer = once(&mut client, "/runtime.v1.RuntimeService/Version").await;
    assert!(begun.elapsed() > Duration::from_secs(4));
    assert_eq!(header(answer.headers(), "grpc-status"), "14");
    assert_eq!(header(answer.headers(), "k3c-reason"), "unavailable");
    let message = header(answer.headers(), "grpc-message");
    assert!(message.starts_with("containerd%20is%20not%20available:%20cannot%20connect%20to"), "{message}");

    // No waiting for a buildkitd that nobody asked for.
    let answer = once(&mut client, "/containerd.services.content.v1.Content/List").await;
    assert_eq!(
        header(answer.headers(), "grpc-message"),
        "buildkitd%20is%20not%20available:%20buildkitd%20does%20not%20run;%20a%20build%20starts%20it"
    );
}

#[tokio::test]
async fn a_lease_lasts_as_long_as_its_call() {
    let bench = Bench::start();
    let _backend = Backend::start(&bench.path("buildkitd.sock"));
    let mut client = bench.client().await;
    let (feed, frames) = body();
    let answer = client.send_request(call("/moby.buildkit.v1.Control/Echo", frames)).await.unwrap();
    assert_eq!(bench.leases.load(Ordering::SeqCst), 1);
    drop(feed);
    answer.into_body().collect().await.unwrap();
    for _ in 0..100 {
        if bench.leases.load(Ordering::SeqCst) == 0 {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("the lease is still held");
}

#[tokio::test]
async fn ours_unknown_ones_and_http1() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let bench = Bench::start();
    let mut client = bench.client().await;
    let answer = once(&mut client, "/nobody.v1.Knows/This").await;
    assert_eq!(header(answer.headers(), "grpc-status"), "12");

    let mut plain = UnixStream::connect(bench.path("k3c.sock")).await.unwrap();
    plain.write_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    plain.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 501 ") && text.contains("This is k3c's socket"), "{text}");
}

#[tokio::test]
async fn a_shutdown_lets_calls_end_and_waits_for_none_for_ever() {
    let bench = Bench::start();
    let mut backend = Backend::start(&bench.path("containerd.sock"));
    let mut client = bench.client().await;
    let (feed, frames) = body();
    let mut answer = client.send_request(call("/containerd.T/Echo", frames)).await.unwrap();
    backend.sees("/containerd.T/Echo host=None").await;
    bench.shutdown.cancel();
    sleep(Duration::from_millis(100)).await;
    assert!(data(&feed, "still").await);
    assert_eq!(answer.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), "still");
    timeout(GRACE * 2, bench.served).await.unwrap().unwrap().unwrap();
}

//! `RootlessKit`'s API on `api.sock`: what is published, and changes of it. Its own clients find us there, too.

use super::spec::Spec;
use super::table::{Refused, Table};
use super::{SOCKET, Setting};
use crate::network::slirp;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};

/// Time that a client has to send a request's head, and its body.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a body.
const LONGEST: usize = 64 << 10;

/// Begins the words about a version of IP that the host does not have.
pub(super) const NO_VERSION: &str = "the host does not have this version of IP";

/// Serves the API for ever.
///
/// # Errors
/// The socket cannot be bound.
pub(super) async fn serve(setting: &Setting, table: Arc<Table>) -> io::Result<()> {
    std::fs::create_dir_all(&setting.state)?;
    let path = setting.state.join(SOCKET);
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    let api = Arc::new(Api { info: info(setting), table });
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, api.clone()))),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to the API for ports");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

struct Api {
    info: String,
    table: Arc<Table>,
}

fn info(setting: &Setting) -> String {
    let mut info = serde_json::json!({
        "apiVersion": "1.1.1",
        "version": env!("CARGO_PKG_VERSION"),
        "stateDir": setting.state,
        "childPID": std::os::unix::process::parent_id(),
        "portDriver": {
            "driver": "k3c",
            "protos": ["tcp", "tcp4", "tcp6", "udp", "udp4", "udp6"],
            "disallowLoopbackChildIP": false,
        },
    });
    if setting.netns.is_some() {
        info["networkDriver"] = serde_json::json!({
            "driver": slirp::NAME,
            "dns": [slirp::DNS],
            "childIP": slirp::ADDRESS,
            "dynamicChildIP": false,
        });
    }
    info.to_string()
}

/// Serves one client until it leaves.
async fn connection(stream: UnixStream, api: Arc<Api>) {
    let service = service_fn(|request: Request<Incoming>| {
        let api = api.clone();
        async move { Ok::<_, Infallible>(answer(request, &api).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a client of the API for ports left");
    }
}

async fn answer(request: Request<Incoming>, api: &Api) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = match parts.method {
        Method::POST => {
            let read = tokio::time::timeout(PATIENCE, Limited::new(body, LONGEST).collect()).await;
            match read {
                Ok(Ok(read)) => read.to_bytes(),
                _ => return refused(StatusCode::BAD_REQUEST, "the request's body cannot be read"),
            }
        }
        _ => Bytes::new(),
    };
    route(&parts.method, parts.uri.path(), &body, api)
}

fn route(method: &Method, path: &str, body: &[u8], api: &Api) -> Response<Full<Bytes>> {
    let number = path.strip_prefix("/v1/ports/");
    match (path, number) {
        ("/v1/info", _) => match *method {
            Method::GET => said(StatusCode::OK, api.info.clone()),
            _ => only("GET"),
        },
        ("/v1/ports", _) => match *method {
            Method::GET => said(StatusCode::OK, text(&api.table.all())),
            Method::POST => publish(body, &api.table),
            _ => only("GET, POST"),
        },
        (_, Some(number)) => match (method, number.parse()) {
            (&Method::DELETE, Ok(number)) if api.table.remove(number) => said(StatusCode::OK, String::new()),
            (&Method::DELETE, _) => {
                refused(StatusCode::NOT_FOUND, &format!("no port is published under the number {number}"))
            }
            _ => only("DELETE"),
        },
        _ => refused(StatusCode::NOT_FOUND, "served are /v1/info, /v1/ports and /v1/ports/NUMBER"),
    }
}

fn publish(body: &[u8], table: &Table) -> Response<Full<Bytes>> {
    let spec: Spec = match serde_json::from_slice(body) {
        Ok(spec) => spec,
        Err(error) => return refused(StatusCode::BAD_REQUEST, &format!("no port's description: {error}")),
    };
    match table.add(spec) {
        Ok(status) => said(StatusCode::CREATED, text(&status)),
        Err(Refused::Taken(words)) => refused(StatusCode::CONFLICT, &words),
        Err(Refused::Bad(words)) => refused(StatusCode::BAD_REQUEST, &words),
    }
}

fn text<T: serde::Serialize + ?Sized>(of: &T) -> String {
    serde_json::to_string(of).unwrap_or_default()
}

fn only(methods: &'static str) -> Response<Full<Bytes>> {
    let mut response = refused(StatusCode::METHOD_NOT_ALLOWED, &format!("only {methods} is served here"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

fn refused(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    said(status, serde_json::json!({ "message": why }).to_string())
}

fn said(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::ports::Status;

    #[test]
    fn paths_and_methods() {
        let setting = Setting { state: "/s".into(), netns: None, true_sources: false };
        let api = Api { info: info(&setting), table: Table::new(&setting) };
        let of = |method, path, body: &str| route(&method, path, body.as_bytes(), &api).status().as_u16();
        assert_eq!(of(Method::GET, "/v1/info", ""), 200);
        assert_eq!(of(Method::POST, "/v1/info", ""), 405);
        assert_eq!(of(Method::GET, "/v1/ports", ""), 200);
        assert_eq!(of(Method::DELETE, "/v1/ports", ""), 405);
        assert_eq!(of(Method::DELETE, "/v1/ports/7", ""), 404);
        assert_eq!(of(Method::DELETE, "/v1/ports/x", ""), 404);
        assert_eq!(of(Method::GET, "/v1/ports/7", ""), 405);
        assert_eq!(of(Method::GET, "/v2", ""), 404);
        assert_eq!(of(Method::POST, "/v1/ports", "{"), 400);
        assert_eq!(of(Method::POST, "/v1/ports", r#"{"proto":"sctp","parentPort":1,"childPort":1}"#), 400);
    }

    #[test]
    fn a_port_is_published_once_and_withdrawn() {
        let setting = Setting { state: "/s".into(), netns: None, true_sources: false };
        let table = Table::new(&setting);
        // A port that is free a moment before.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let spec = Spec {
            proto: "tcp".into(),
            parent_ip: "127.0.0.1".into(),
            parent_port: free,
            child_port: 9,
            ..Spec::default()
        };
        let one = table.add(spec.clone()).unwrap();
        assert_eq!(table.add(spec.clone()).unwrap(), one);
        let other = Spec { child_port: 10, ..spec.clone() };
        let words = format!("Bind for 127.0.0.1:{free} failed: port is already allocated");
        assert_eq!(table.add(other.clone()), Err(Refused::Taken(words)));
        assert!(table.remove(one.id) && !table.remove(one.id) && table.all().is_empty());
        let taken = std::net::TcpListener::bind(("127.0.0.1", free)).unwrap();
        match table.add(other) {
            Err(Refused::Taken(words)) => assert!(words.ends_with("address already in use"), "{words}"),
            other => panic!("{other:?}"),
        }
        drop(taken);
    }

    #[test]
    fn answers_are_rootlesskits() {
        let status = Status {
            id: 3,
            spec: Spec { proto: "tcp".into(), parent_port: 1, child_port: 2, ..Spec::default() },
        };
        assert_eq!(text(&status), r#"{"id":3,"spec":{"proto":"tcp","parentPort":1,"childPort":2}}"#);
    }
}

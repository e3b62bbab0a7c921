//! `GET /v1/info` of RootlessKit's API, on `api.sock` of its state directory, so that its own clients find us.

use super::slirp;
use crate::config::Instance;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};

/// Time that a client has to send a request's head.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves the API in tasks of the runtime that this is called in, until that ends. `child_pid` is a process in the
/// namespaces.
///
/// # Errors
/// The socket cannot be bound.
pub fn serve(instance: &Instance, child_pid: i32) -> io::Result<()> {
    let path = instance.dirs.rootlesskit().join("api.sock");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    let info = info(instance, child_pid);
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(connection(stream, info.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to RootlessKit's API");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(())
}

fn info(instance: &Instance, child_pid: i32) -> String {
    serde_json::json!({
        "apiVersion": "1.1.1",
        "version": env!("CARGO_PKG_VERSION"),
        "stateDir": instance.dirs.rootlesskit(),
        "childPID": child_pid,
        "networkDriver": {
            "driver": slirp::NAME,
            "dns": [slirp::DNS],
            "childIP": slirp::ADDRESS,
            "dynamicChildIP": false,
        },
    })
    .to_string()
}

/// Serves one client until it leaves.
async fn connection(stream: UnixStream, info: String) {
    let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
        let response = answer(request.method(), request.uri().path(), &info);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a client of RootlessKit's API left");
    }
}

fn answer(method: &Method, path: &str, info: &str) -> Response<Full<bytes::Bytes>> {
    let said = |status, text: String| {
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    };
    let refused = |status, why: &str| said(status, serde_json::json!({ "message": why }).to_string());
    match (method, path) {
        (&Method::GET, "/v1/info") => said(StatusCode::OK, info.to_owned()),
        (_, "/v1/info") => {
            let mut response = refused(StatusCode::METHOD_NOT_ALLOWED, "only GET is served");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            response
        }
        _ => refused(StatusCode::NOT_FOUND, "only GET /v1/info is served"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_path_is_served() {
        let of = |method, path| answer(&method, path, "{}").status().as_u16();
        assert_eq!(of(Method::GET, "/v1/info"), 200);
        assert_eq!(of(Method::POST, "/v1/info"), 405);
        assert_eq!(of(Method::GET, "/v1/ports"), 404);
    }
}

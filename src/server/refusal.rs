//! Answers without a body of ours: "not here", "not now".

use http::{HeaderValue, Response, StatusCode, header};
use tonic::Status;
use tonic::body::Body;

/// A gRPC status as headers alone.
pub(super) fn grpc(status: Status) -> Response<Body> {
    status.into_http()
}

/// The answer to HTTP/1.1, which is not served yet.
pub(super) fn http1() -> Response<Body> {
    let text =
        "This is k3c's socket: it speaks gRPC over HTTP/2. HTTP/1.1 (Docker's API) is not served yet.\n";
    let mut response = Response::new(Body::new(http_body_util::Full::from(text)));
    *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

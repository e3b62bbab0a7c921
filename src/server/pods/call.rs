//! gRPC by hand: a call that is read whole, calls of our own over the same connection, and answers.

use crate::server::outgoing::Outgoing;
use crate::server::proxy::Proxy;
use crate::server::route::Backend;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use containerd_client::services::v1::sandbox as store;
use flate2::read::GzDecoder;
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response, header, request};
use http_body::Frame;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::Incoming;
use prost::Message;
use serde_json::Value;
use std::convert::Infallible;
use std::io::Read;
use tonic::body::Body;
use tonic::{Code, Status};

/// Bytes of the longest message that containerd takes.
const LONGEST: usize = 16 << 20;
/// containerd's namespace of CRI's objects, as its clients name it.
const NAMESPACE: (&str, &str) = ("containerd-namespace", "k8s.io");
/// CRI's extension of a stored pod.
const METADATA: &str = "metadata";
const GET: &str = "/containerd.services.sandbox.v1.Store/Get";

/// A call that was read whole.
pub(super) struct Asked {
    pub(super) parts: request::Parts,
    pub(super) body: Bytes,
}

impl Asked {
    pub(super) async fn read(request: Request<Incoming>) -> Result<Self, String> {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, LONGEST).collect().await;
        let body = body.map_err(|error| format!("cannot read the request: {error}"))?.to_bytes();
        Ok(Self { parts, body })
    }

    /// The message; `None` when it cannot be read.
    pub(super) fn message<M: Message + Default>(&self) -> Option<M> {
        M::decode(message(&self.parts.headers, &self.body)?).ok()
    }
}

/// The message in a gRPC body: a byte that says whether it is compressed, four of its length, itself.
fn message(headers: &HeaderMap, body: &Bytes) -> Option<Bytes> {
    let mut body = body.clone();
    if body.len() < 5 {
        return None;
    }
    let compressed = body.get_u8() != 0;
    let length = usize::try_from(body.get_u32()).ok()?;
    let message = (length <= body.len()).then(|| body.split_to(length))?;
    if !compressed {
        return Some(message);
    }
    let gzip = headers.get("grpc-encoding").is_some_and(|kind| kind == "gzip");
    let mut plain = Vec::new();
    let limit = u64::try_from(LONGEST).unwrap_or(u64::MAX);
    (gzip && GzDecoder::new(message.as_ref()).take(limit).read_to_end(&mut plain).is_ok())
        .then(|| plain.into())
}

/// A gRPC body of one message.
pub(in crate::server) fn framed(message: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(message.len() + 5);
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    body.put_slice(message);
    body.freeze()
}

/// A gRPC body of one message.
pub(super) fn encoded(message: &impl Message) -> Bytes {
    framed(&message.encode_to_vec())
}

/// A good answer.
pub(super) fn answer(body: Bytes) -> Response<Body> {
    let mut end = HeaderMap::new();
    end.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = stream::iter([Frame::data(body), Frame::trailers(end)]).map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// Calls containerd, on behalf of a call that is under way.
pub(super) async fn ask<Q: Message, A: Message + Default>(
    proxy: &Proxy,
    asked: &Asked,
    path: &'static str,
    question: &Q,
) -> Result<A, Status> {
    let mut request = Request::new(Outgoing::Whole(Full::new(encoded(question))));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static(path);
    *request.version_mut() = http::Version::HTTP_2;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(NAMESPACE.0, HeaderValue::from_static(NAMESPACE.1));
    if let Some(limit) = asked.parts.headers.get("grpc-timeout") {
        headers.insert("grpc-timeout", limit.clone());
    }
    let (parts, body) = proxy.forward(Backend::Containerd, request).await.into_parts();
    let failed = |error: tonic::Status| Status::new(Code::Unavailable, error.to_string());
    let body = body.collect().await.map_err(failed)?;
    let end = body.trailers().cloned().unwrap_or_default();
    let status = Status::from_header_map(&parts.headers).or_else(|| Status::from_header_map(&end));
    match status {
        Some(status) if status.code() == Code::Ok => {}
        Some(status) => return Err(status),
        None => return Err(Status::unknown("containerd's answer has no status")),
    }
    let bytes = body.to_bytes();
    message(&parts.headers, &bytes)
        .and_then(|bytes| A::decode(bytes).ok())
        .ok_or_else(|| Status::internal("containerd's answer cannot be read"))
}

/// CRI's own record of a pod, as containerd stores it.
pub(super) async fn metadata(proxy: &Proxy, asked: &Asked, pod: String) -> Option<Value> {
    let question = store::StoreGetRequest { sandbox_id: pod };
    let answer: store::StoreGetResponse = ask(proxy, asked, GET, &question).await.ok()?;
    let stored = answer.sandbox?;
    let mut document: Value = serde_json::from_slice(&stored.extensions.get(METADATA)?.value).ok()?;
    Some(document["Metadata"].take())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn messages_in_their_frames() {
        let none = HeaderMap::new();
        let mut gzip = HeaderMap::new();
        gzip.insert("grpc-encoding", "gzip".parse().unwrap());
        assert_eq!(message(&none, &framed(b"hello")).unwrap(), "hello");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"hello").unwrap();
        let mut packed = framed(&encoder.finish().unwrap()).to_vec();
        packed[0] = 1;
        let packed = Bytes::from(packed);
        assert_eq!(message(&gzip, &packed).unwrap(), "hello");
        for (headers, body) in
            [(&none, packed), (&none, Bytes::from_static(b"\0\0\0\x01\0x")), (&none, Bytes::new())]
        {
            assert_eq!(message(headers, &body), None, "{body:?}");
        }
    }
}

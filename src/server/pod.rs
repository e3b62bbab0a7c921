//! The one call of CRI that is looked into on its way: a pod that asks for something that would be accepted and dropped.

use super::outgoing::Outgoing;
use crate::model::reason::Reason;
use crate::proto::cri::{NamespaceMode, RunPodSandboxRequest};
use bytes::{Buf, Bytes};
use flate2::read::GzDecoder;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use prost::Message;
use std::io::Read;

/// The path of the call.
pub(super) const RUN: &str = "/runtime.v1.RuntimeService/RunPodSandbox";
/// Bytes of the longest request that containerd takes.
const LONGEST: usize = 16 << 20;

/// Reads the request whole; answers it as it was, or why not.
pub(super) async fn admit(request: Request<Incoming>) -> Result<Request<Outgoing>, (Reason, String)> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, LONGEST).collect().await;
    let bytes = body
        .map_err(|error| (Reason::InvalidArgument, format!("cannot read the request: {error}")))?
        .to_bytes();
    match host_port(&parts.headers, &bytes) {
        Some(text) => Err((Reason::Unsupported, text)),
        None => Ok(Request::from_parts(parts, Outgoing::Whole(Full::new(bytes)))),
    }
}

/// Refusal of a pod that has a port to publish; `None` lets the request through, also one that cannot be read.
fn host_port(headers: &HeaderMap, body: &Bytes) -> Option<String> {
    let config = RunPodSandboxRequest::decode(message(headers, body)?).ok()?.config?;
    let options = config.linux.and_then(|l| l.security_context).and_then(|s| s.namespace_options);
    // In the host's network the container's port is the host's.
    if options.is_some_and(|o| o.network() == NamespaceMode::Node) {
        return None;
    }
    let port = config.port_mappings.iter().find(|p| p.host_port > 0)?;
    let name = config.metadata.map(|m| m.name).unwrap_or_default();
    Some(format!(
        "pod {name:?}: hostPort {} (of containerPort {}) cannot be published, because ports of the host do not lead to pods \
         yet: leave hostPort out",
        port.host_port, port.container_port
    ))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::cri::{
        LinuxPodSandboxConfig, LinuxSandboxSecurityContext, NamespaceOption, PodSandboxConfig, PortMapping,
    };
    use bytes::BufMut;
    use std::io::Write;

    fn request(host_port: i32, network: NamespaceMode) -> Vec<u8> {
        let options = NamespaceOption { network: network.into(), ..Default::default() };
        let security = LinuxSandboxSecurityContext { namespace_options: Some(options), ..Default::default() };
        let config = PodSandboxConfig {
            port_mappings: vec![PortMapping { container_port: 80, host_port, ..Default::default() }],
            linux: Some(LinuxPodSandboxConfig { security_context: Some(security), ..Default::default() }),
            ..Default::default()
        };
        RunPodSandboxRequest { config: Some(config), ..Default::default() }.encode_to_vec()
    }

    fn framed(compressed: u8, message: &[u8]) -> Bytes {
        let mut body = vec![compressed];
        body.put_u32(u32::try_from(message.len()).unwrap());
        body.extend_from_slice(message);
        body.into()
    }

    #[test]
    fn ports_of_the_host() {
        let none = HeaderMap::new();
        let mut gzip = HeaderMap::new();
        gzip.insert("grpc-encoding", "gzip".parse().unwrap());
        let asked = request(8080, NamespaceMode::Pod);
        let said = host_port(&none, &framed(0, &asked)).unwrap();
        assert!(said.contains("hostPort 8080 (of containerPort 80)"), "{said}");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&asked).unwrap();
        let packed = framed(1, &encoder.finish().unwrap());
        assert_eq!(host_port(&gzip, &packed).as_ref(), Some(&said));
        for (headers, body) in [
            (&none, framed(0, &request(0, NamespaceMode::Pod))),
            (&none, framed(0, &request(8080, NamespaceMode::Node))),
            // Nobody can read these; containerd says so.
            (&none, packed),
            (&none, framed(0, b"\xff\xff")),
            (&none, Bytes::from_static(b"\0\0\0\x01\0x")),
            (&none, Bytes::new()),
        ] {
            assert_eq!(host_port(headers, &body), None, "{body:?}");
        }
    }
}

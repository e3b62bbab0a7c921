//! A session against a peer that stands in for BuildKit: it answers `Control/Session` and is, inside it, the client
//! that BuildKit is.

use super::*;
use crate::proto::fsutil::types::packet::PacketType;
use crate::proto::fsutil::types::{Packet, Stat};
use crate::proto::grpc::health::v1::HealthCheckRequest;
use crate::proto::grpc::health::v1::health_client::HealthClient;
use crate::proto::moby::filesync::v1::file_sync_client::FileSyncClient;
use crate::proto::moby::upload::v1::BytesMessage as Piece;
use crate::proto::moby::upload::v1::upload_client::UploadClient;
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::fs;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

/// A channel over an in-memory stream.
async fn channel(stream: DuplexStream) -> Channel {
    let mut stream = Some(TokioIo::new(stream));
    let connect = tower::service_fn(move |_: http::Uri| {
        std::future::ready(stream.take().ok_or_else(|| io::Error::other("one connection only")))
    });
    Endpoint::from_static("http://session").connect_with_connector(connect).await.unwrap()
}

/// A client of the services that a session offers, without the tunnel.
async fn peer(offer: Offer) -> Channel {
    let (inner, outer) = tokio::io::duplex(TUNNEL);
    tokio::spawn(serve(inner, offer));
    channel(outer).await
}

fn offer(root: &std::path::Path) -> Offer {
    Offer { directories: [("context".to_owned(), root.to_owned())].into(), ..Offer::default() }
}

/// Asks for everything that is offered, and collects it as BuildKit does.
async fn receive(
    channel: Channel,
    name: &str,
    exclude: &[&str],
) -> Result<(Vec<Stat>, BTreeMap<String, Vec<u8>>), Status> {
    let (requests, queue) = mpsc::channel(1024);
    let mut request = Request::new(ReceiverStream::new(queue));
    request.metadata_mut().insert("dir-name", name.parse().unwrap());
    for pattern in exclude {
        request.metadata_mut().append("exclude-patterns", pattern.parse().unwrap());
    }
    let mut packets = FileSyncClient::new(channel).diff_copy(request).await?.into_inner();
    let (mut stats, mut files, mut open) = (Vec::<Stat>::new(), BTreeMap::new(), 0);
    let mut walked = false;
    while let Some(packet) = packets.message().await? {
        match (packet.r#type(), packet.stat) {
            (PacketType::PacketStat, Some(stat)) => {
                if stat.mode & (1 << 31 | 1 << 27) == 0 {
                    let id = u32::try_from(stats.len()).unwrap();
                    let ask = Packet { r#type: PacketType::PacketReq.into(), id, ..Packet::default() };
                    requests.send(ask).await.unwrap();
                    open += 1;
                }
                stats.push(stat);
            }
            (PacketType::PacketStat, None) => walked = true,
            (PacketType::PacketData, _) => {
                let path = stats[usize::try_from(packet.id).unwrap()].path.clone();
                let contents: &mut Vec<u8> = files.entry(path).or_default();
                contents.extend_from_slice(&packet.data);
                open -= usize::from(packet.data.is_empty());
            }
            (PacketType::PacketFin, _) => return Ok((stats, files)),
            (kind, _) => panic!("{kind:?}: {}", String::from_utf8_lossy(&packet.data)),
        }
        if walked && open == 0 {
            let fin = Packet { r#type: PacketType::PacketFin.into(), ..Packet::default() };
            requests.send(fin).await.unwrap();
        }
    }
    Err(Status::unknown("ended without a FIN"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_is_copied() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let large: Vec<u8> = (0..3_000_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    fs::create_dir(root.join("sub")).unwrap();
    fs::write(root.join("large"), &large).unwrap();
    fs::write(root.join("sub/small"), "s").unwrap();
    fs::write(root.join("sub/empty"), "").unwrap();
    fs::write(root.join("sub/left.log"), "x").unwrap();
    for n in 0..300 {
        fs::write(root.join(format!("many-{n:03}")), format!("{n}")).unwrap();
    }
    let peer = peer(offer(root)).await;
    let (stats, files) = receive(peer.clone(), "context", &["**/*.log"]).await.unwrap();
    assert_eq!(stats.len(), 304);
    assert!(files["large"] == large);
    assert_eq!((files["sub/small"].as_slice(), files["sub/empty"].as_slice()), (&b"s"[..], &b""[..]));
    assert_eq!(files["many-299"], b"299");
    assert!(!files.contains_key("sub/left.log"));
    let refused = receive(peer.clone(), "other", &[]).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (tonic::Code::NotFound, "no access allowed to dir \"other\"")
    );
    HealthClient::new(peer).check(HealthCheckRequest::default()).await.unwrap();
}

/// All requests at once, before a single answer is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_requests_may_wait() {
    const FILES: u32 = 20_000;
    let dir = tempfile::tempdir().unwrap();
    for n in 0..FILES {
        fs::File::create(dir.path().join(n.to_string())).unwrap();
    }
    let (requests, queue) = mpsc::channel(64);
    let mut request = Request::new(ReceiverStream::new(queue));
    request.metadata_mut().insert("dir-name", "context".parse().unwrap());
    let mut client = FileSyncClient::new(peer(offer(dir.path())).await);
    let mut packets = client.diff_copy(request).await.unwrap().into_inner();
    let mut stats = 0;
    while packets.message().await.unwrap().is_some_and(|packet| packet.stat.is_some()) {
        stats += 1;
    }
    assert_eq!(stats, FILES);
    for id in 0..FILES {
        let ask = Packet { r#type: PacketType::PacketReq.into(), id, ..Packet::default() };
        requests.send(ask).await.unwrap();
    }
    for _ in 0..FILES {
        assert!(packets.message().await.unwrap().is_some_and(|packet| packet.data.is_empty()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_read_says_so() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "x").unwrap();
    let (requests, queue) = mpsc::channel(4);
    let mut request = Request::new(ReceiverStream::new(queue));
    request.metadata_mut().insert("dir-name", "context".parse().unwrap());
    let mut client = FileSyncClient::new(peer(offer(dir.path())).await);
    let mut packets = client.diff_copy(request).await.unwrap().into_inner();
    let ask = Packet { r#type: PacketType::PacketReq.into(), id: 7, ..Packet::default() };
    requests.send(ask).await.unwrap();
    let mut last = None;
    let status = loop {
        match packets.message().await {
            Ok(Some(packet)) => last = Some(packet),
            Ok(None) => panic!("ended well"),
            Err(status) => break status,
        }
    };
    assert_eq!(last.map(|packet| packet.r#type()), Some(PacketType::PacketErr));
    assert_eq!(status.message(), "invalid file id 7");
}

#[tokio::test]
async fn an_archive_is_given_once() {
    let archive: Archive = Box::new(io::Cursor::new(vec![7; 1_000_000]));
    let mut client = UploadClient::new(peer(Offer { archive: Some(archive), ..Offer::default() }).await);
    let ask = |path: &str| {
        let mut request = Request::new(futures::stream::pending::<Piece>());
        request.metadata_mut().insert("urlpath", path.parse().unwrap());
        request
    };
    assert_eq!(client.pull(ask("/other")).await.unwrap_err().code(), tonic::Code::NotFound);
    let mut pieces = client.pull(ask("/context")).await.unwrap().into_inner();
    let mut size = 0;
    while let Some(piece) = pieces.message().await.unwrap() {
        assert!(piece.data.len() <= 256 << 10);
        size += piece.data.len();
    }
    assert_eq!(size, 1_000_000);
    assert_eq!(client.pull(ask("/context")).await.unwrap_err().code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn what_buildkit_is_told() {
    let archive: Archive = Box::new(tokio::io::empty());
    let offer = Offer { archive: Some(archive), shared_key: "key".into(), ..Offer::default() };
    let mut request = Request::new(());
    Metadata::new("id", &offer).put(&mut request).unwrap();
    let all = request.metadata();
    assert_eq!(all.get("x-docker-expose-session-uuid").unwrap(), "id");
    assert_eq!(all.get("x-docker-expose-session-sharedkey").unwrap(), "key");
    let methods = all.get_all("x-docker-expose-session-grpc-method");
    let methods: Vec<&str> = methods.iter().map(|m| m.to_str().unwrap()).collect();
    assert!(methods.contains(&"/moby.filesync.v1.FileSync/DiffCopy") && methods.contains(&UPLOAD));
}

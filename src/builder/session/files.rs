//! `FileSync`: directories, by `DiffCopy`.

use crate::builder::local::{self, Filter};
use crate::proto::fsutil::types::Packet;
use crate::proto::moby::filesync::v1::file_sync_server::FileSync;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::collections::HashMap;
use std::path::PathBuf;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

/// Batches of packets that wait to be sent: at most 1 MiB of contents.
const QUEUE: usize = 16;

/// The session's directories.
pub(super) struct Files(HashMap<String, PathBuf>);

impl Files {
    pub(super) fn new(directories: HashMap<String, PathBuf>) -> Self {
        Self(directories)
    }
}

#[tonic::async_trait]
impl FileSync for Files {
    type DiffCopyStream = BoxStream<'static, Result<Packet, Status>>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let wanted = wanted(request.metadata());
        let root = self
            .0
            .get(&wanted.name)
            .ok_or_else(|| Status::not_found(format!("no access allowed to dir {:?}", wanted.name)))?
            .clone();
        let filter = tokio::task::spawn_blocking({
            let root = root.clone();
            move || Filter::new(&root, &wanted)
        });
        let filter = filter
            .await
            .map_err(|error| Status::internal(error.to_string()))?
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (packets, queue) = mpsc::channel(QUEUE);
        tokio::spawn(local::send(root, filter, request.into_inner(), packets));
        let packets = ReceiverStream::new(queue).flat_map(futures::stream::iter);
        Ok(Response::new(packets.boxed()))
    }

    type TarStreamStream = ReceiverStream<Result<Packet, Status>>;

    async fn tar_stream(
        &self,
        _: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::TarStreamStream>, Status> {
        Err(Status::unimplemented("directories are sent by DiffCopy"))
    }
}

/// The request that is in a call's metadata.
fn wanted(metadata: &MetadataMap) -> local::Request {
    let all = |key: &str| -> Vec<String> {
        let flag = metadata.get(format!("{key}-encoded")).and_then(|v| v.to_str().ok());
        let encoded = matches!(flag, Some("1" | "t" | "T" | "true" | "TRUE" | "True"));
        let values = metadata.get_all(key).into_iter().filter_map(|v| v.to_str().ok());
        values.map(|v| if encoded { unescape(v) } else { v.to_owned() }).collect()
    };
    local::Request {
        name: all("dir-name").into_iter().next().unwrap_or_default(),
        include: all("include-patterns"),
        exclude: all("exclude-patterns"),
        follow: all("followpaths"),
    }
}

/// Go's `url.QueryUnescape`; what is no escape stays as it is.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        out.push(match first {
            b'+' => b' ',
            b'%' => match after.get(..2).and_then(|hex| str::from_utf8(hex).ok()) {
                Some(hex) => match u8::from_str_radix(hex, 16) {
                    Ok(byte) => {
                        rest = &after[2..];
                        byte
                    }
                    Err(_) => b'%',
                },
                None => b'%',
            },
            other => *other,
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_decoded() {
        let mut metadata = MetadataMap::new();
        metadata.insert("dir-name", "context".parse().unwrap());
        metadata.append("exclude-patterns", "a+b".parse().unwrap());
        metadata.append("exclude-patterns", "!%C3%BC%zz".parse().unwrap());
        metadata.insert("followpaths", "a+b".parse().unwrap());
        metadata.insert("exclude-patterns-encoded", "1".parse().unwrap());
        let wanted = wanted(&metadata);
        assert_eq!(wanted.name, "context");
        assert_eq!(wanted.exclude, ["a b", "!ü%zz"]);
        assert_eq!(wanted.follow, ["a+b"]);
        assert!(wanted.include.is_empty());
    }
}

//! `k3c.v1.Images`

use super::{Answers, Service, answers, refused};
use crate::api::{self, Invalid, docker};
use crate::model::filter::{ImageFilter, PruneFilter};
use crate::model::image::{Compression, LoadOutcome};
use crate::model::login::Login;
use crate::proto::k3c::v1 as wire;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use std::io;
use tonic::{Request, Response, Status, Streaming};
use wire::images_server::Images;
use wire::load_image_request::Part;
use wire::transfer_image_request::Part as Said;

#[tonic::async_trait]
impl Images for Service {
    async fn list(
        &self,
        request: Request<wire::ListImagesRequest>,
    ) -> Result<Response<wire::ListImagesResponse>, Status> {
        let request = request.into_inner();
        let (rows, warnings) =
            self.0.images(ImageFilter::parse(api::filters_from(request.filters))?).await.map_err(refused)?;
        let images = rows.into_iter().map(Into::into).collect();
        Ok(Response::new(wire::ListImagesResponse { images, warnings }))
    }

    async fn inspect(
        &self,
        request: Request<wire::InspectImageRequest>,
    ) -> Result<Response<wire::InspectImageResponse>, Status> {
        let image = self.0.inspect_image(&request.into_inner().image).await.map_err(refused)?;
        Ok(Response::new(wire::InspectImageResponse { document: docker::text(&docker::Image::from(image)) }))
    }

    async fn tag(
        &self,
        request: Request<wire::TagImageRequest>,
    ) -> Result<Response<wire::TagImageResponse>, Status> {
        let request = request.into_inner();
        self.0.tag(&request.source, &request.target).await.map_err(refused)?;
        Ok(Response::new(wire::TagImageResponse {}))
    }

    async fn remove(
        &self,
        request: Request<wire::RemoveImageRequest>,
    ) -> Result<Response<wire::RemoveImageResponse>, Status> {
        let request = request.into_inner();
        let wire::RemoveImageRequest { image, force, no_prune, platforms } = request;
        let lines = self.0.remove_image(&image, force, no_prune, &platforms).await.map_err(refused)?;
        Ok(Response::new(wire::RemoveImageResponse { lines: lines.into_iter().map(Into::into).collect() }))
    }

    async fn prune(
        &self,
        request: Request<wire::PruneRequest>,
    ) -> Result<Response<wire::PruneImagesResponse>, Status> {
        let filter = PruneFilter::images(api::filters_from(request.into_inner().filters))?;
        let (lines, reclaimed) = self.0.prune_images(filter).await.map_err(refused)?;
        let lines = lines.into_iter().map(Into::into).collect();
        Ok(Response::new(wire::PruneImagesResponse { lines, reclaimed }))
    }

    type LoadStream = Answers<wire::LoadImageResponse>;

    async fn load(
        &self,
        request: Request<Streaming<wire::LoadImageRequest>>,
    ) -> Result<Response<Self::LoadStream>, Status> {
        let mut parts = request.into_inner();
        let Some(Part::Options(options)) = parts.message().await?.and_then(|first| first.part) else {
            return Err(Invalid::new("part", "the first message must hold the options").into());
        };
        let data = |part| match part {
            wire::LoadImageRequest { part: Some(Part::Data(data)) } => Some(data),
            _ => None,
        };
        let archive = archive(parts, data);
        let outcomes = self.0.load(archive, api::present(options.platform)).await.map_err(refused)?;
        let wanted = move |outcome: &Result<LoadOutcome, _>| {
            let progress = matches!(outcome, Ok(LoadOutcome::Progress(_)));
            std::future::ready(!(options.quiet && progress))
        };
        Ok(answers(outcomes.filter(wanted)))
    }

    async fn import(
        &self,
        request: Request<Streaming<wire::ImportImageRequest>>,
    ) -> Result<Response<wire::ImportImageResponse>, Status> {
        use wire::import_image_request::Part;
        let mut parts = request.into_inner();
        let Some(Part::Options(options)) = parts.message().await?.and_then(|first| first.part) else {
            return Err(Invalid::new("part", "the first message must hold the options").into());
        };
        let data = |part| match part {
            wire::ImportImageRequest { part: Some(Part::Data(data)) } => Some(data),
            _ => None,
        };
        let id = self.0.import(archive(parts, data), options.into()).await.map_err(refused)?;
        Ok(Response::new(wire::ImportImageResponse { id }))
    }

    async fn history(
        &self,
        request: Request<wire::ImageHistoryRequest>,
    ) -> Result<Response<wire::ImageHistoryResponse>, Status> {
        let request = request.into_inner();
        let entries =
            self.0.history(&request.image, api::present(request.platform)).await.map_err(refused)?;
        Ok(Response::new(wire::ImageHistoryResponse {
            entries: entries.into_iter().map(Into::into).collect(),
        }))
    }

    async fn inspect_manifest(
        &self,
        request: Request<wire::InspectManifestRequest>,
    ) -> Result<Response<wire::InspectManifestResponse>, Status> {
        let request = request.into_inner();
        let document =
            self.0.inspect_manifest(&request.image, request.verbose).await.map_err(refused)?.to_string();
        Ok(Response::new(wire::InspectManifestResponse { document }))
    }

    type SaveStream = Answers<wire::Chunk>;

    async fn save(
        &self,
        request: Request<wire::SaveImagesRequest>,
    ) -> Result<Response<Self::SaveStream>, Status> {
        let request = request.into_inner();
        let archive = self.0.save(&request.images, api::present(request.platform)).await.map_err(refused)?;
        Ok(answers(archive))
    }

    async fn check_login(
        &self,
        request: Request<wire::CheckLoginRequest>,
    ) -> Result<Response<wire::CheckLoginResponse>, Status> {
        let request = request.into_inner();
        let login = request.login.map(Into::into).unwrap_or_default();
        self.0.check_login(&request.host, login).await.map_err(refused)?;
        Ok(Response::new(wire::CheckLoginResponse {}))
    }

    type PullStream = Answers<wire::TransferImageResponse>;
    type PushStream = Answers<wire::TransferImageResponse>;

    async fn pull(
        &self,
        request: Request<Streaming<wire::TransferImageRequest>>,
    ) -> Result<Response<Self::PullStream>, Status> {
        let (options, logins) = opened(request).await?;
        if !options.compression.is_empty() {
            return Err(Invalid::new("compression", "is for a push").into());
        }
        let platform = api::present(options.platform);
        let outcomes = self.0.pull(&options.reference, platform, options.all_platforms, logins).await;
        Ok(answers(outcomes.map_err(refused)?))
    }

    type RemoteTagsStream = Answers<wire::TransferImageResponse>;
    type RemoteManifestStream = Answers<wire::TransferImageResponse>;

    async fn remote_tags(
        &self,
        request: Request<Streaming<wire::TransferImageRequest>>,
    ) -> Result<Response<Self::RemoteTagsStream>, Status> {
        let (options, logins) = opened(request).await?;
        Ok(answers(self.0.remote_tags(&options.reference, logins).await.map_err(refused)?))
    }

    async fn remote_manifest(
        &self,
        request: Request<Streaming<wire::TransferImageRequest>>,
    ) -> Result<Response<Self::RemoteManifestStream>, Status> {
        let (options, logins) = opened(request).await?;
        let wire::TransferOptions { reference, verbose, insecure, .. } = options;
        let outcomes = self.0.remote_manifest(&reference, verbose, insecure, logins).await;
        Ok(answers(outcomes.map_err(refused)?))
    }

    async fn push(
        &self,
        request: Request<Streaming<wire::TransferImageRequest>>,
    ) -> Result<Response<Self::PushStream>, Status> {
        let (options, logins) = opened(request).await?;
        let platform = api::present(options.platform);
        let compression = match options.compression.as_str() {
            "" => Compression::default(),
            name => Compression::parse(name).ok_or_else(|| {
                Invalid::new("compression", format!("{name:?} is not one of none, gzip, zstd"))
            })?,
        };
        let outcomes = self.0.push(&options.reference, platform, compression, logins).await;
        Ok(answers(outcomes.map_err(refused)?))
    }
}

/// Options of a pull or push, and the logins after them.
async fn opened(
    request: Request<Streaming<wire::TransferImageRequest>>,
) -> Result<(wire::TransferOptions, impl Stream<Item = Login> + Send + 'static), Status> {
    let mut parts = request.into_inner();
    let Some(Said::Options(options)) = parts.message().await?.and_then(|first| first.part) else {
        return Err(Invalid::new("part", "the first message must hold the options").into());
    };
    Ok((options, logins(parts)))
}

/// Logins of a transfer's requests. They end with the client's half of the stream, or with a message that is none.
fn logins(parts: Streaming<wire::TransferImageRequest>) -> impl Stream<Item = Login> + Send + 'static {
    let login = |part| match part {
        Ok(wire::TransferImageRequest { part: Some(Said::Login(login)) }) => Some(login.into()),
        _ => None,
    };
    parts.map(login).take_while(|login| std::future::ready(login.is_some())).filter_map(std::future::ready)
}

/// Bytes of an archive's requests. A client that goes away in the middle, or says something else, is an error and not an
/// end.
fn archive<M: Send + 'static>(
    parts: Streaming<M>,
    data: impl Fn(M) -> Option<Vec<u8>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static {
    parts.map(move |part| match part.map(&data) {
        Ok(Some(data)) => Ok(Bytes::from(data)),
        Ok(None) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the client could not read the archive to its end",
        )),
        Err(status) => Err(io::Error::other(status)),
    })
}

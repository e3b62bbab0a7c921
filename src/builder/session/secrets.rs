//! `Secrets`: for `RUN --mount=type=secret`.

use crate::builder::private::{LARGEST, Secret, Source};
use crate::proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse, secrets_server};
use tokio::io::AsyncReadExt;
use tonic::{Request, Response, Status};

/// The user's secrets.
pub(super) struct Secrets(pub(super) Vec<Secret>);

#[tonic::async_trait]
impl secrets_server::Secrets for Secrets {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        let secret = self.0.iter().rev().find(|secret| secret.id == id);
        let data = match secret.map(|secret| &secret.source) {
            // A step may do without.
            None => return Err(Status::not_found(format!("secret {id} not found"))),
            Some(Source::Value(value)) => value.clone(),
            Some(Source::File(path)) => {
                read(path).await.map_err(|error| Status::unknown(format!("read secret {id}: {error}")))?
            }
        };
        Ok(Response::new(GetSecretResponse { data }))
    }
}

async fn read(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    let mut data = Vec::new();
    tokio::fs::File::open(path).await?.take(LARGEST + 1).read_to_end(&mut data).await?;
    match u64::try_from(data.len()) {
        Ok(size) if size <= LARGEST => Ok(data),
        _ => Err(std::io::Error::other(format!("it is larger than {LARGEST} bytes"))),
    }
}

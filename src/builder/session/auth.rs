//! `Auth`: credentials for registries, from Docker's configuration. Tokens BuildKit fetches itself.

use crate::credentials;
use crate::proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest,
    GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse, auth_server,
};
use tonic::{Request, Response, Status};

/// Reads the configuration each time it is asked.
pub(super) struct Auth;

/// BuildKit takes this as "do it yourself".
fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("tokens are not fetched by the client"))
}

#[tonic::async_trait]
impl auth_server::Auth for Auth {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let found = credentials::lookup(&request.into_inner().host, None)
            .await
            .map_err(|error| Status::unknown(error.to_string()))?
            .unwrap_or_default();
        Ok(Response::new(CredentialsResponse { username: found.username, secret: found.secret }))
    }

    async fn fetch_token(
        &self,
        _: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        not_here()
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        not_here()
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        not_here()
    }
}

//! A question to the frontend: we stand in for one, by BuildKit's bridge, and hand it on to the real one. Its answer is
//! metadata, which a solve does not hand out.

use crate::proto::moby::buildkit::v1::frontend as bridge;
use bridge::llb_bridge_client::LlbBridgeClient;
use std::collections::HashMap;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Metadata that names the build.
const BUILD: &str = "buildkit-controlapi-buildid";

/// A question within a build that waits for one.
pub(super) struct Question {
    pub(super) build: String,
    pub(super) frontend: &'static str,
    pub(super) attributes: HashMap<String, String>,
}

impl Question {
    /// Asks; the answer's text by name.
    pub(super) async fn ask(self, channel: Channel) -> Result<HashMap<String, String>, Status> {
        let mut bridge = LlbBridgeClient::new(channel);
        let build = MetadataValue::<Ascii>::try_from(&self.build)
            .map_err(|error| Status::internal(error.to_string()))?;
        let solve = bridge::SolveRequest {
            frontend: self.frontend.to_owned(),
            frontend_opt: self.attributes,
            allow_result_return: true,
            allow_result_array_ref: true,
            ..bridge::SolveRequest::default()
        };
        let answer = bridge.solve(named(solve, &build)).await?.into_inner();
        let metadata = answer.result.map(|result| result.metadata).unwrap_or_default();
        // With this the build is over.
        let result = bridge::Result { metadata: metadata.clone(), ..bridge::Result::default() };
        let over = bridge::ReturnRequest { result: Some(result), error: None };
        bridge.r#return(named(over, &build)).await?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(metadata.into_iter().map(|(name, value)| (name, text(value))).collect())
    }
}

fn named<T>(message: T, build: &MetadataValue<Ascii>) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(BUILD, build.clone());
    request
}

/// The frontend's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// For people.
    pub text: String,
    /// For programs.
    pub json: String,
    /// What the command is to end with; not 0 when a check found something.
    pub code: u8,
}

impl Answer {
    pub(super) fn new(mut metadata: HashMap<String, String>) -> Self {
        let mut take = |name: &str| metadata.remove(name).unwrap_or_default();
        Self {
            text: take("result.txt"),
            json: take("result.json"),
            code: take("result.statuscode").parse().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let metadata = [("result.txt", "t"), ("result.statuscode", "1"), ("version", "1.0.0")];
        let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let expected = Answer { text: "t".to_owned(), json: String::new(), code: 1 };
        assert_eq!(Answer::new(metadata.into()), expected);
    }
}

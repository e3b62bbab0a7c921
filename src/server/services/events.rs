//! `k3c.v1.Events`

use super::{Answers, Service, answers};
use crate::model::event::EventFilter;
use crate::proto::k3c::v1 as wire;
use tonic::{Request, Response, Status};
use wire::events_server::Events;

#[tonic::async_trait]
impl Events for Service {
    type SubscribeStream = Answers<wire::Event>;

    async fn subscribe(
        &self,
        request: Request<wire::SubscribeEventsRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let filter = EventFilter::try_from(request.into_inner())?;
        Ok(answers(self.0.events(filter).await))
    }
}

//! Events for containerd, in order. They wait while it is away, and the oldest go when there are too many: CRI compares
//! all tasks when containerd is back.

use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim_protos::protobuf::{MessageFull, SpecialFields};
use containerd_shim_protos::shim::event::Envelope;
use containerd_shim_protos::shim::events::ForwardRequest;
use containerd_shim_protos::shim_async::{Client, EventsClient};
use containerd_shim_protos::ttrpc::context;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

/// Events that may wait.
const WAITING: usize = 4096;
/// The time that one call may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The queue of events. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    queue: mpsc::Sender<Envelope>,
    namespace: String,
}

impl Publisher {
    /// A publisher to the events service at a unix socket's path.
    pub(super) fn start(address: String, namespace: String) -> Self {
        let (queue, receiver) = mpsc::channel(WAITING);
        tokio::spawn(forward(address, receiver));
        Self { queue, namespace }
    }

    /// Puts an event into the queue. `topic` is such as `/tasks/exit`.
    pub(super) fn publish<M: MessageFull>(&self, topic: &str, event: &M) {
        let value = event.write_to_bytes().unwrap_or_default();
        let any = Any {
            type_url: M::descriptor().full_name().to_owned(),
            value,
            special_fields: SpecialFields::default(),
        };
        let envelope = Envelope {
            timestamp: Some(timestamp(SystemTime::now())).into(),
            namespace: self.namespace.clone(),
            topic: topic.to_owned(),
            event: Some(any).into(),
            ..Default::default()
        };
        if self.queue.try_send(envelope).is_err() {
            super::log(&format!("an event of {topic} is dropped: containerd is away too long"));
        }
    }

    /// Waits, not for ever, until all is delivered.
    pub(super) async fn flush(&self) {
        for _ in 0..100 {
            if self.queue.capacity() == WAITING {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn forward(address: String, mut receiver: mpsc::Receiver<Envelope>) {
    let mut client: Option<EventsClient> = None;
    let mut waiting: Option<Envelope> = None;
    let mut pause = Duration::from_millis(20);
    loop {
        if waiting.is_none() {
            waiting = receiver.recv().await;
        }
        let Some(envelope) = &waiting else { return };
        if client.is_none() {
            client = Client::connect(&format!("unix://{address}")).await.ok().map(EventsClient::new);
        }
        if let Some(client) = &client {
            let mut request = ForwardRequest::new();
            request.set_envelope(envelope.clone());
            let limit = i64::try_from(LIMIT.as_nanos()).unwrap_or(i64::MAX);
            if client.forward(context::with_timeout(limit), &request).await.is_ok() {
                waiting = None;
                pause = Duration::from_millis(20);
                continue;
            }
        }
        client = None;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// A time in protobuf's form.
pub(super) fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or(0),
        special_fields: SpecialFields::default(),
    }
}

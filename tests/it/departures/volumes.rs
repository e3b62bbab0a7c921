//! Two at once about one volume: one of them has made it, and nobody takes it from a container that is being made.

use super::api::{Api, creation};
use crate::containers::DEMO;
use crate::env::TestEnv;
use anyhow::{Context, Result, ensure};
use k3c::proto::k3c::v1 as wire;
use std::collections::HashMap;
use std::time::Duration;

/// Creations of one volume by two.
const RACES: usize = 500;
/// Removals of a volume while a container is made with it, which takes longer.
const REMOVALS: usize = 500;

async fn create(api: &Api, name: &str) -> Result<wire::Volume> {
    let request = wire::CreateVolumeRequest { name: name.into(), labels: HashMap::new() };
    let volume = api.volumes().create(request).await?.into_inner().volume;
    volume.ok_or_else(|| anyhow::anyhow!("an answer without a volume"))
}

async fn remove(api: &Api, name: &str) -> Result<(), tonic::Status> {
    api.volumes().remove(wire::RemoveVolumeRequest { name: name.into(), force: false }).await.map(drop)
}

/// What was told of volumes so far.
async fn told(api: &Api, action: &str) -> Result<HashMap<String, usize>> {
    let strings = |text: &str| wire::Strings { values: vec![text.to_owned()] };
    let request = wire::SubscribeEventsRequest {
        since: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        until: Some(std::time::SystemTime::now().into()),
        filters: HashMap::from([
            ("type".to_owned(), strings("volume")),
            ("event".to_owned(), strings(action)),
        ]),
        after: 0,
    };
    let mut events =
        wire::events_client::EventsClient::new(api.channel()).subscribe(request).await?.into_inner();
    let mut count = HashMap::new();
    while let Some(event) = events.message().await? {
        *count.entry(event.actor_id).or_default() += 1;
    }
    Ok(count)
}

pub(super) fn one_volume_two_creators() -> Result<()> {
    let mut env = TestEnv::started()?;
    Api::with(&env, |api| async move {
        for race in 0..RACES {
            let name = format!("race-{race}");
            let (one, other) = futures::future::try_join(create(&api, &name), create(&api, &name)).await?;
            ensure!(one == other, "{one:?} and {other:?}");
        }
        let told = told(&api, "create").await?;
        let more: Vec<_> = told.iter().filter(|(_, times)| **times != 1).collect();
        ensure!(told.len() == RACES && more.is_empty(), "{} volumes were told of, {more:?}", told.len());
        let filters = HashMap::from([("all".to_owned(), wire::Strings { values: vec!["true".into()] })]);
        let pruned = api.volumes().prune(wire::PruneRequest { filters }).await?.into_inner().deleted;
        ensure!(pruned.len() == RACES, "{} were pruned", pruned.len());
        Ok(())
    })?;
    super::settled(&env, |_| Vec::new())?;
    env.stop()
}

/// A container is made with a volume that somebody else removes and makes again meanwhile: whichever was first, the
/// volume is there, and in use. Few containers are wholly made, which takes long; most are refused once the volume is
/// claimed.
pub(super) fn removed_under_a_container() -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&["run", "--rm", DEMO, "true"])?;
    Api::with(&env, |api| async move {
        create(&api, "raced").await?;
        for number in 0..REMOVALS {
            let whole = number % 20 == 0;
            let mut request = creation("racing", DEMO, "true");
            let spec = request.spec.as_mut().context("a specification")?;
            spec.mounts[0].source = "raced".into();
            if !whole {
                spec.user = "0:nobody-here".into();
            }
            let number = u64::try_from(number)?;
            let pause = Duration::from_millis(if whole { number * 7 % 200 } else { number * 7 % 20 });
            let mut containers = api.containers();
            let replaced = async {
                tokio::time::sleep(pause).await;
                replace(&api, "raced").await
            };
            let (made, replaced) = tokio::join!(containers.create(request), replaced);
            replaced.with_context(|| format!("race {number}"))?;
            let volumes = api.volumes().list(wire::ListVolumesRequest::default()).await?.into_inner().volumes;
            ensure!(volumes.iter().any(|v| v.name == "raced"), "the volume is gone after race {number}");
            match made {
                Ok(_) => {
                    let used = remove(&api, "raced").await.err().map(|status| status.message().to_owned());
                    ensure!(used.is_some_and(|text| text.contains("volume is in use")), "race {number}");
                    api.remove("racing").await?;
                }
                Err(status) => ensure!(!whole && status.message().contains("nobody-here"), "{status}"),
            }
        }
        remove(&api, "raced").await.map_err(Into::into)
    })?;
    super::settled(&env, |_| Vec::new())?;
    env.stop()
}

/// Removes a volume and makes it again; one that is in use stays.
async fn replace(api: &Api, name: &str) -> Result<()> {
    match remove(api, name).await {
        Err(status) if status.message().contains("volume is in use") => Ok(()),
        Err(status) if status.code() != tonic::Code::NotFound => Err(status.into()),
        _ => create(api, name).await.map(drop),
    }
}

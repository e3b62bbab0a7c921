//! `commit`: a container's changes as one more layer, with its configuration. A lease keeps the pieces until the image's
//! name holds them.

use super::content::{self, UNCOMPRESSED, digest};
use super::{Facts, instructions};
use crate::engine::containerd::{leased, request};
use crate::engine::error::EngineError;
use crate::engine::{Engine, Inner, events};
use crate::model::container::{CommitOptions, Status};
use crate::model::reference::Reference;
use crate::store::{Change, Record};
use crate::sys::mount::Layer;
use containerd_client::services::v1 as api;
use containerd_client::services::v1::snapshots as snapshot;
use containerd_client::types::{Descriptor, Mount};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::HashMap;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

impl Engine {
    /// Makes an image of a container and answers its ID.
    ///
    /// # Errors
    /// `NotFound`: no such container, or its image is gone; `InvalidArgument`: the reference, or an instruction.
    pub async fn commit_container(&self, who: &str, options: CommitOptions) -> Result<String, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let id = inner.records.find(who)?.id;
        // The lock keeps other verbs off: the container may be frozen.
        let _one = inner.records.lock(&id).await;
        let record = inner.records.get(&id)?;
        let name = match options.reference.as_str() {
            "" => None,
            text => {
                let reference = Reference::parse(text)?;
                if reference.digest.is_some() {
                    return Err(EngineError::invalid("refusing to create a tag with a digest reference"));
                }
                Some(reference)
            }
        };
        let image = inner.facts(&record.resolved.image_id).await?;
        let config = image_config(&record, &image, &options)?;
        let wanted = record.status == Status::Running && !options.no_pause;
        // A container that cannot be paused runs on.
        let pause = wanted && inner.freeze(&record).await.is_ok();
        let made = inner.commit_with(&record, &image, config, name.as_ref()).await;
        if pause {
            inner.thaw(&record).await.ok();
        }
        let id = made?;
        let more = [("comment", options.comment.clone()), ("imageID", id.clone())];
        let event = events::container(&record, "commit", Timestamp::now(), &more);
        inner.records.commit(Change::new().event(event)).await?;
        if let Some(name) = &name {
            inner.image_event("tag", &id, &name.familiar()).await;
        }
        Ok(id)
    }
}

impl Inner {
    async fn commit_with(
        &self,
        record: &Record,
        image: &Facts,
        mut config: Value,
        name: Option<&Reference>,
    ) -> Result<String, EngineError> {
        let lease = self.lease("commit").await?;
        let lease = lease.id();
        let (layer, diff_id) = self.layer(record, image, lease).await?;
        if let Some(ids) = config["rootfs"]["diff_ids"].as_array_mut() {
            ids.push(json!(diff_id));
        }
        let parents = image.chain.last().cloned().unwrap_or_default();
        let chain = match parents.as_str() {
            "" => diff_id.clone(),
            parent => digest(format!("{parent} {diff_id}").as_bytes()),
        };
        self.unpack_layer(&layer, &parents, &chain, lease).await?;

        let top: Value = self.manifest_of(&image.id).await?;
        let mut layers = top["layers"].as_array().cloned().unwrap_or_default();
        layers.push(json!({ "mediaType": layer.media_type, "digest": layer.digest, "size": layer.size }));
        self.write_image(&config, layers, chain, name, lease).await
    }

    /// Writes an image whose layers are there and unpacked under `chain`, and gives it its name; answers its ID.
    pub(super) async fn write_image(
        &self,
        config: &Value,
        layers: Vec<Value>,
        chain: String,
        name: Option<&Reference>,
        lease: &str,
    ) -> Result<String, EngineError> {
        let bytes = config.to_string().into_bytes();
        let held = format!("containerd.io/gc.ref.snapshot.{}", self.config.snapshotter);
        let size = bytes.len();
        let config_digest = self.write_blob(bytes, HashMap::from([(held, chain)]), lease).await?;

        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": config_digest, "size": size },
            "layers": layers,
        });
        let labels = content::references(&manifest);
        let bytes = manifest.to_string().into_bytes();
        let size = bytes.len();
        let id = self.write_blob(bytes, labels, lease).await?;
        let target = Descriptor {
            media_type: MANIFEST.to_owned(),
            digest: id.clone(),
            size: i64::try_from(size).unwrap_or(0),
            ..Default::default()
        };
        let full = match name {
            Some(name) => name.to_string(),
            None => format!("{}@{id}", super::UNNAMED),
        };
        self.point_name(&full, target).await?;
        self.await_cri(&[full]).await;
        Ok(id)
    }

    /// A compressed layer in the content store with the container's changes; and the digest of the uncompressed layer.
    async fn layer(
        &self,
        record: &Record,
        image: &Facts,
        lease: &str,
    ) -> Result<(Descriptor, String), EngineError> {
        let key = format!("k3c-commit-{}", uuid::Uuid::new_v4());
        let snapshotter = self.config.snapshotter.clone();
        let message = snapshot::ViewSnapshotRequest {
            snapshotter: snapshotter.clone(),
            key: key.clone(),
            parent: image.top().to_owned(),
            labels: HashMap::default(),
        };
        let mut snapshots = self.containerd.snapshots();
        let view = snapshots.view(request(message)).await;
        let left = view.map_err(EngineError::call("cannot look into the image"))?.into_inner().mounts;
        let right = self.snapshot(record, true).await?.into_iter().map(wire).collect();
        let message = api::DiffRequest {
            left,
            right,
            media_type: LAYER.to_owned(),
            r#ref: key.clone(),
            ..Default::default()
        };
        let mut diff = api::diff_client::DiffClient::new(self.containerd.channel());
        let answer = diff.diff(leased(message, lease)).await;
        snapshots.remove(request(snapshot::RemoveSnapshotRequest { snapshotter, key })).await.ok();
        let layer = answer
            .map_err(EngineError::call("cannot read the container's changes"))?
            .into_inner()
            .diff
            .ok_or_else(|| EngineError::Broken("containerd made no layer".to_owned()))?;
        let message = api::InfoRequest { digest: layer.digest.clone() };
        let info = self.containerd.content().info(leased(message, lease)).await;
        let info = info.map_err(EngineError::call("cannot find the new layer"))?.into_inner().info;
        let diff_id = info.and_then(|i| i.labels.get(UNCOMPRESSED).cloned());
        let diff_id = diff_id.ok_or_else(|| {
            EngineError::Broken("containerd did not say what is in the new layer".to_owned())
        })?;
        Ok((layer, diff_id))
    }

    /// Unpacks a layer on a snapshot; `chain` names the new one.
    pub(super) async fn unpack_layer(
        &self,
        layer: &Descriptor,
        parent: &str,
        chain: &str,
        lease: &str,
    ) -> Result<(), EngineError> {
        let failed = |status| EngineError::call("cannot unpack the new layer")(status);
        let snapshotter = self.config.snapshotter.clone();
        let key = format!("k3c-commit-{}", uuid::Uuid::new_v4());
        let mut snapshots = self.containerd.snapshots();
        let message = snapshot::PrepareSnapshotRequest {
            snapshotter: snapshotter.clone(),
            key: key.clone(),
            parent: parent.to_owned(),
            labels: HashMap::default(),
        };
        let mounts = snapshots.prepare(leased(message, lease)).await.map_err(failed)?.into_inner().mounts;
        let message = api::ApplyRequest { diff: Some(layer.clone()), mounts, ..Default::default() };
        let mut diff = api::diff_client::DiffClient::new(self.containerd.channel());
        let applied = diff.apply(leased(message, lease)).await;
        let committed = match applied {
            Ok(_) => {
                let message = snapshot::CommitSnapshotRequest {
                    snapshotter: snapshotter.clone(),
                    name: chain.to_owned(),
                    key: key.clone(),
                    labels: HashMap::default(),
                };
                snapshots.commit(leased(message, lease)).await.map(drop)
            }
            Err(status) => Err(status),
        };
        match committed {
            Ok(()) => Ok(()),
            Err(status) => {
                let message = snapshot::RemoveSnapshotRequest { snapshotter, key };
                snapshots.remove(leased(message, lease)).await.ok();
                // AlreadyExists: the same layer on the same parent is there.
                if status.code() == tonic::Code::AlreadyExists { Ok(()) } else { Err(failed(status)) }
            }
        }
    }
}

fn wire(layer: Layer) -> Mount {
    Mount { r#type: layer.kind, source: layer.source, target: String::new(), options: layer.options }
}

/// The image's configuration, changed by the container's own and by the instructions.
fn image_config(record: &Record, image: &Facts, options: &CommitOptions) -> Result<Value, EngineError> {
    let resolved = &record.resolved;
    let mut config = image.config.clone();
    let now = Timestamp::now().to_string();
    config["created"] = json!(now);
    if !options.author.is_empty() {
        config["author"] = json!(options.author);
    }
    let inner = &mut config["config"];
    if !inner.is_object() {
        *inner = json!({});
    }
    inner["Env"] = json!(resolved.env);
    inner["Cmd"] = if resolved.command.is_empty() { Value::Null } else { json!(resolved.command) };
    inner["Entrypoint"] =
        if resolved.entrypoint.is_empty() { Value::Null } else { json!(resolved.entrypoint) };
    inner["User"] = json!(resolved.user);
    inner["WorkingDir"] = json!(resolved.working_dir);
    inner["Labels"] = json!(resolved.labels);
    if !record.spec.stop_signal.is_empty() {
        inner["StopSignal"] = json!(record.spec.stop_signal);
    }
    for line in &options.changes {
        instructions::apply(inner, line)?;
    }
    if let Some(inner) = inner.as_object_mut() {
        inner.retain(|_, value| !value.is_null() && *value != json!("") && *value != json!({}));
    }
    let command = [resolved.entrypoint.clone(), resolved.command.clone()].concat().join(" ");
    let mut step = json!({ "created": now, "created_by": command });
    for (key, value) in [("comment", &options.comment), ("author", &options.author)] {
        if !value.is_empty() {
            step[key] = json!(value);
        }
    }
    match config["history"].as_array_mut() {
        Some(history) => history.push(step),
        None => config["history"] = json!([step]),
    }
    Ok(config)
}

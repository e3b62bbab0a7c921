//! Every call of the API that changes something: what it is tried on, and by what is seen that it was not begun, or done.

use super::Side;
use super::api::{Api, OBEYS, STAYS, creation};
use super::view::View;
use crate::containers::DEMO;
use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use futures::future::BoxFuture;
use k3c::proto::k3c::v1 as wire;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Where a verb is tried.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) api: Api,
    /// Of what it is tried on: a container, a volume, or an image without the beginning of its tag.
    pub(super) name: &'static str,
    /// Different each time.
    pub(super) round: i32,
    /// What the preparation leaves for the call.
    pub(super) note: Arc<Mutex<String>>,
}

pub(super) type Call = BoxFuture<'static, Result<()>>;

/// A call that changes something.
pub(super) struct Verb {
    /// `Service/Method` of the API's definition.
    pub(super) rpc: &'static str,
    /// See [`Scene::name`].
    pub(super) name: &'static str,
    /// Brings about what it is tried on, whatever the last round has left.
    pub(super) prepare: fn(Scene) -> Call,
    /// The call itself.
    pub(super) call: fn(Scene) -> Call,
    /// What has become of it, from what there was before and what there is now; or why that is neither.
    pub(super) side: fn(&View, &View, &Verb) -> Result<Side, String>,
    /// The call again, after which it is done.
    pub(super) again: fn(Scene, Side) -> Call,
}

/// A table's async block.
macro_rules! call {
    (|$($arg:ident),+| $body:block) => { |$($arg),+| async move $body.boxed() };
}

pub(super) const VERBS: &[Verb] = &[
    Verb {
        rpc: "Containers/Create",
        name: "create",
        prepare: call!(|s| { s.api.remove(s.name).await }),
        call: call!(|s| { s.api.create(s.name, DEMO, OBEYS).await }),
        // Nothing, or a whole one.
        side: |_, now, verb| Ok(done(now.containers.contains_key(verb.name))),
        again: call!(|s, side| {
            match side {
                Side::Before => s.api.create(s.name, DEMO, OBEYS).await,
                Side::After => refused(s.api.create(s.name, DEMO, OBEYS).await, "is already in use"),
            }?;
            s.api.start(s.name).await
        }),
    },
    Verb {
        rpc: "Containers/Start",
        name: "start",
        prepare: call!(|s| { s.api.resting(s.name).await }),
        call: call!(|s| { s.api.start(s.name).await }),
        side: |_, now, verb| match status(now, verb)? {
            "running" => Ok(Side::After),
            _ => Ok(Side::Before),
        },
        again: call!(|s, _side| { s.api.start(s.name).await }),
    },
    Verb {
        rpc: "Containers/Run",
        name: "run",
        prepare: call!(|s| { s.api.remove(s.name).await }),
        call: call!(|s| { s.api.run(s.name, DEMO, OBEYS).await }),
        // Nothing, one that was made and not started, or one that runs.
        side: |_, now, verb| {
            let status = now.containers.get(verb.name).map_or("", |c| c.status.as_str());
            match status {
                "" | "created" => Ok(Side::Before),
                "running" => Ok(Side::After),
                other => Err(format!("it is {other}")),
            }
        },
        again: call!(|s, side| {
            match side {
                Side::Before => {
                    s.api.remove(s.name).await?;
                    s.api.run(s.name, DEMO, OBEYS).await
                }
                Side::After => refused(s.api.run(s.name, DEMO, OBEYS).await, "is already in use"),
            }
        }),
    },
    Verb {
        rpc: "Containers/Stop",
        name: "stop",
        prepare: call!(|s| {
            s.api.remove(s.name).await?;
            s.api.running(s.name, STAYS).await
        }),
        call: call!(|s| { stop(&s).await }),
        // TERM, then KILL.
        side: |_, now, verb| match status(now, verb)? {
            "exited" => Ok(Side::After),
            _ if now.containers[verb.name].log.contains("term") => {
                Err("it was asked to end, and goes on".to_owned())
            }
            _ => Ok(Side::Before),
        },
        again: call!(|s, _side| { stop(&s).await }),
    },
    Verb {
        rpc: "Containers/Kill",
        name: "kill",
        prepare: call!(|s| { s.api.running(s.name, OBEYS).await }),
        call: call!(|s| { s.api.kill(s.name).await }),
        side: |_, now, verb| Ok(done(status(now, verb)? == "exited")),
        again: call!(|s, side| {
            match side {
                Side::Before => s.api.kill(s.name).await,
                Side::After => refused(s.api.kill(s.name).await, "is not running"),
            }
        }),
    },
    Verb {
        rpc: "Containers/Remove",
        name: "remove",
        prepare: call!(|s| { s.api.running(s.name, OBEYS).await }),
        call: call!(|s| { s.api.remove(s.name).await }),
        // It runs, or is gone everywhere.
        side: |_, now, verb| match now.containers.get(verb.name) {
            None => Ok(Side::After),
            Some(c) if c.status == "running" => Ok(Side::Before),
            Some(c) => Err(format!("it is {}", c.status)),
        },
        again: call!(|s, _side| { s.api.remove(s.name).await }),
    },
    Verb {
        rpc: "Containers/Rename",
        name: "rename",
        prepare: call!(|s| {
            s.api.remove("renamed").await?;
            s.api.running(s.name, OBEYS).await
        }),
        call: call!(|s| { rename(&s.api, s.name, "renamed").await }),
        // One of its names leads to it.
        side: |before, now, verb| {
            let id = &before.containers[verb.name].id;
            match (now.containers.get(verb.name), now.containers.get("renamed")) {
                (Some(c), None) if c.id == *id => Ok(Side::Before),
                (None, Some(c)) if c.id == *id => Ok(Side::After),
                names => Err(format!("its names lead to {names:?}")),
            }
        },
        again: call!(|s, side| {
            if side == Side::After {
                rename(&s.api, "renamed", s.name).await?;
            }
            rename(&s.api, s.name, "renamed").await
        }),
    },
    Verb {
        rpc: "Containers/Pause",
        name: "pause",
        prepare: call!(|s| { s.api.running(s.name, OBEYS).await }),
        call: call!(|s| { pause(&s).await }),
        side: |_, now, verb| Ok(done(status(now, verb)? == "paused")),
        again: call!(|s, side| {
            if side == Side::After {
                s.api.unpause(s.name).await?;
            }
            pause(&s).await
        }),
    },
    Verb {
        rpc: "Containers/Unpause",
        name: "unpause",
        prepare: call!(|s| {
            s.api.running(s.name, OBEYS).await?;
            pause(&s).await
        }),
        call: call!(|s| { s.api.unpause(s.name).await }),
        side: |_, now, verb| Ok(done(status(now, verb)? == "running")),
        again: call!(|s, side| {
            if side == Side::After {
                pause(&s).await?;
            }
            s.api.unpause(s.name).await
        }),
    },
    Verb {
        rpc: "Containers/Restart",
        name: "restart",
        prepare: call!(|s| { s.api.running(s.name, OBEYS).await }),
        call: call!(|s| { restart(&s).await }),
        // One that was stopped is started.
        side: |before, now, verb| {
            let attempt = |view: &View| view.containers[verb.name].document["Attempt"].clone();
            match status(now, verb)? {
                "running" => Ok(done(attempt(before) != attempt(now))),
                other => Err(format!("it is {other}")),
            }
        },
        again: call!(|s, _side| { restart(&s).await }),
    },
    Verb {
        rpc: "Containers/Update",
        name: "update",
        prepare: call!(|s| { s.api.running(s.name, OBEYS).await }),
        call: call!(|s| { update(&s).await }),
        side: |before, now, verb| {
            let policy =
                |view: &View| view.containers[verb.name].document["HostConfig"]["RestartPolicy"].clone();
            Ok(done(policy(before) != policy(now)))
        },
        again: call!(|s, _side| { update(&s).await }),
    },
    Verb {
        rpc: "Containers/Commit",
        name: "commit",
        prepare: call!(|s| {
            s.api.remove_image("departing/commit:1").await?;
            if s.api.status(s.name).await?.is_none() {
                // Enough that it takes a moment.
                let script = format!("head -c 12000000 /dev/urandom > /much; {OBEYS}");
                s.api.create(s.name, DEMO, &script).await?;
            }
            s.api.running(s.name, OBEYS).await
        }),
        call: call!(|s| { commit(&s).await }),
        // The container runs, and is not frozen; the image is whole, or is not there.
        side: |_, now, verb| match status(now, verb)? {
            "running" => Ok(done(now.images.contains_key("departing/commit:1"))),
            other => Err(format!("it is {other}")),
        },
        again: call!(|s, side| {
            if side == Side::After {
                whole(&s, "departing/commit:1").await?;
            }
            commit(&s).await?;
            whole(&s, "departing/commit:1").await
        }),
    },
    Verb {
        rpc: "Containers/Prune",
        name: "prune",
        prepare: call!(|s| {
            s.api.remove(s.name).await?;
            // An anonymous volume would stay.
            let mut request = creation(s.name, DEMO, OBEYS);
            request.spec.as_mut().context("a specification")?.mounts.clear();
            s.api.containers().create(request).await?;
            Ok(())
        }),
        call: call!(|s| {
            s.api.containers().prune(wire::PruneRequest { filters: labelled(s.name, "") }).await?;
            Ok(())
        }),
        side: |_, now, verb| Ok(done(!now.containers.contains_key(verb.name))),
        again: call!(|s, _side| {
            s.api.containers().prune(wire::PruneRequest { filters: labelled(s.name, "") }).await?;
            Ok(())
        }),
    },
    Verb {
        rpc: "Containers/CreateExec",
        name: "create-exec",
        prepare: call!(|s| { s.api.running(s.name, OBEYS).await }),
        call: call!(|s| { s.api.exec(s.name, &["sleep", "1000"]).await.map(drop) }),
        // One that is made is not seen before it is started.
        side: |_, now, verb| match status(now, verb)? {
            "running" => Ok(Side::After),
            other => Err(format!("it is {other}")),
        },
        again: call!(|s, _side| {
            let id = s.api.exec(s.name, &["true"]).await?;
            start_exec(&s.api, s.name, id).await
        }),
    },
    Verb {
        rpc: "Containers/StartExec",
        name: "start-exec",
        prepare: call!(|s| {
            s.api.running(s.name, OBEYS).await?;
            let id = s.api.exec(s.name, &["sleep", &seconds(s.round)]).await?;
            *s.note.lock().expect("note") = id;
            Ok(())
        }),
        call: call!(|s| {
            let id = s.note.lock().expect("note").clone();
            start_exec(&s.api, s.name, id).await
        }),
        side: |before, now, verb| match status(now, verb)? {
            "running" => Ok(done(sleepers(now) > sleepers(before))),
            other => Err(format!("it is {other}")),
        },
        again: call!(|s, side| {
            let id = match side {
                Side::Before => s.note.lock().expect("note").clone(),
                Side::After => s.api.exec(s.name, &["sleep", &seconds(s.round)]).await?,
            };
            start_exec(&s.api, s.name, id).await
        }),
    },
    Verb {
        rpc: "Containers/CopyTo",
        name: "copy-to",
        prepare: call!(|s| { s.api.running(s.name, OBEYS).await }),
        call: call!(|s| { copy_to(&s).await }),
        // The client has the rest of the archive: the file may be there in part.
        side: |_, now, verb| match status(now, verb)? {
            "running" => Ok(Side::After),
            other => Err(format!("it is {other}")),
        },
        again: call!(|s, _side| {
            copy_to(&s).await?;
            let request = wire::StatPathRequest { container: s.name.into(), path: "/tmp/much".into() };
            let stat = s.api.containers().stat_path(request).await?.into_inner().stat.context("no answer")?;
            ensure!(usize::try_from(stat.size)? == MUCH, "{stat:?}");
            Ok(())
        }),
    },
    Verb {
        rpc: "Images/Tag",
        name: "tag",
        prepare: call!(|s| { s.api.remove_image("departing/tag:1").await }),
        call: call!(|s| { tag(&s).await }),
        side: |_, now, _| Ok(done(now.images.contains_key("departing/tag:1"))),
        again: call!(|s, _side| { tag(&s).await }),
    },
    Verb {
        rpc: "Images/Remove",
        name: "image-remove",
        prepare: call!(|s| { s.api.image("departing/remove:1").await }),
        call: call!(|s| { s.api.remove_image("departing/remove:1").await }),
        side: |_, now, _| Ok(done(!now.images.contains_key("departing/remove:1"))),
        again: call!(|s, side| {
            if side == Side::Before {
                whole(&s, "departing/remove:1").await?;
            }
            s.api.remove_image("departing/remove:1").await
        }),
    },
    Verb {
        rpc: "Images/Load",
        name: "load",
        prepare: call!(|s| { s.api.remove_image("departing/load:1").await }),
        call: call!(|s| { load(&s).await }),
        side: |_, now, _| Ok(done(now.images.contains_key("departing/load:1"))),
        again: call!(|s, side| {
            if side == Side::After {
                whole(&s, "departing/load:1").await?;
            }
            load(&s).await?;
            whole(&s, "departing/load:1").await
        }),
    },
    Verb {
        rpc: "Images/Import",
        name: "import",
        prepare: call!(|s| { s.api.remove_image("departing/import:1").await }),
        call: call!(|s| { import(&s).await }),
        side: |_, now, _| Ok(done(now.images.contains_key("departing/import:1"))),
        again: call!(|s, side| {
            if side == Side::After {
                whole(&s, "departing/import:1").await?;
            }
            import(&s).await?;
            whole(&s, "departing/import:1").await
        }),
    },
    Verb {
        rpc: "Images/Prune",
        name: "image-prune",
        prepare: call!(|s| { s.api.image("departing/prune:1").await }),
        call: call!(|s| { prune_images(&s).await }),
        side: |_, now, _| Ok(done(!now.images.contains_key("departing/prune:1"))),
        again: call!(|s, side| {
            if side == Side::Before {
                whole(&s, "departing/prune:1").await?;
            }
            prune_images(&s).await
        }),
    },
    Verb {
        rpc: "Volumes/Create",
        name: "volume-create",
        prepare: call!(|s| { remove_volume(&s).await }),
        call: call!(|s| { create_volume(&s).await }),
        side: |_, now, verb| Ok(done(now.volumes.contains_key(verb.name))),
        again: call!(|s, _side| { create_volume(&s).await }),
    },
    Verb {
        rpc: "Volumes/Remove",
        name: "volume-remove",
        prepare: call!(|s| { create_volume(&s).await }),
        call: call!(|s| { remove_volume(&s).await }),
        side: |_, now, verb| Ok(done(!now.volumes.contains_key(verb.name))),
        again: call!(|s, _side| { remove_volume(&s).await }),
    },
    Verb {
        rpc: "Volumes/Prune",
        name: "volume-prune",
        prepare: call!(|s| { create_volume(&s).await }),
        call: call!(|s| {
            s.api.volumes().prune(wire::PruneRequest { filters: labelled(s.name, "all") }).await?;
            Ok(())
        }),
        side: |_, now, verb| Ok(done(!now.volumes.contains_key(verb.name))),
        again: call!(|s, _side| {
            s.api.volumes().prune(wire::PruneRequest { filters: labelled(s.name, "all") }).await?;
            Ok(())
        }),
    },
    Verb {
        rpc: "Networks/Create",
        name: "network-create",
        prepare: call!(|s| { remove_network(&s).await }),
        call: call!(|s| { create_network(&s).await }),
        side: |_, now, verb| Ok(done(now.networks.contains_key(verb.name))),
        again: call!(|s, side| {
            match side {
                Side::Before => create_network(&s).await,
                Side::After => refused(create_network(&s).await, "already exists"),
            }
        }),
    },
    Verb {
        rpc: "Networks/Remove",
        name: "network-remove",
        prepare: call!(|s| { ensure_network(&s).await }),
        call: call!(|s| { remove_network(&s).await }),
        side: |_, now, verb| Ok(done(!now.networks.contains_key(verb.name))),
        again: call!(|s, _side| { remove_network(&s).await }),
    },
    Verb {
        rpc: "Networks/Prune",
        name: "network-prune",
        prepare: call!(|s| { ensure_network(&s).await }),
        call: call!(|s| { prune_networks(&s).await }),
        side: |_, now, verb| Ok(done(!now.networks.contains_key(verb.name))),
        again: call!(|s, _side| { prune_networks(&s).await }),
    },
    Verb {
        rpc: "Networks/Connect",
        name: "network-connect",
        prepare: call!(|s| {
            ensure_network(&s).await?;
            s.api.running(s.name, STAYS).await?;
            disconnect(&s).await.ok();
            Ok(())
        }),
        call: call!(|s| { connect(&s).await }),
        side: |_, now, verb| connected(now, verb).map(done),
        again: call!(|s, side| {
            match side {
                Side::Before => connect(&s).await,
                Side::After => refused(connect(&s).await, "already exists in network"),
            }
        }),
    },
    Verb {
        rpc: "Networks/Disconnect",
        name: "network-disconnect",
        prepare: call!(|s| {
            ensure_network(&s).await?;
            s.api.running(s.name, STAYS).await?;
            connect(&s).await.ok();
            Ok(())
        }),
        call: call!(|s| { disconnect(&s).await }),
        side: |_, now, verb| connected(now, verb).map(|connected| done(!connected)),
        again: call!(|s, side| {
            match side {
                Side::Before => disconnect(&s).await,
                Side::After => refused(disconnect(&s).await, "is not connected to network"),
            }
        }),
    },
];

fn done(done: bool) -> Side {
    if done { Side::After } else { Side::Before }
}

/// The status of a verb's container, which is there.
fn status<'a>(view: &'a View, verb: &Verb) -> Result<&'a str, String> {
    view.containers.get(verb.name).map(|c| c.status.as_str()).ok_or_else(|| "it is gone".to_owned())
}

/// An answer that is an error with these words.
fn refused(answer: Result<()>, words: &str) -> Result<()> {
    let text = answer.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(text.contains(words), "expected {words:?}: {text:?}");
    Ok(())
}

async fn stop(s: &Scene) -> Result<()> {
    let request = wire::StopContainerRequest {
        container: s.name.into(),
        timeout_seconds: Some(1),
        signal: String::new(),
    };
    s.api.containers().stop(request).await?;
    Ok(())
}

async fn restart(s: &Scene) -> Result<()> {
    let request = wire::RestartContainerRequest {
        container: s.name.into(),
        timeout_seconds: Some(10),
        signal: String::new(),
    };
    s.api.containers().restart(request).await?;
    Ok(())
}

async fn rename(api: &Api, from: &str, to: &str) -> Result<()> {
    let request = wire::RenameContainerRequest { container: from.into(), name: to.into() };
    api.containers().rename(request).await?;
    Ok(())
}

async fn pause(s: &Scene) -> Result<()> {
    s.api.containers().pause(wire::PauseContainerRequest { container: s.name.into() }).await?;
    Ok(())
}

async fn update(s: &Scene) -> Result<()> {
    let restart = wire::RestartPolicy { name: "on-failure".into(), maximum_retry_count: s.round + 1 };
    let request =
        wire::UpdateContainerRequest { container: s.name.into(), resources: None, restart: Some(restart) };
    s.api.containers().update(request).await?;
    Ok(())
}

async fn commit(s: &Scene) -> Result<()> {
    let request = wire::CommitContainerRequest {
        container: s.name.into(),
        reference: "departing/commit:1".into(),
        ..Default::default()
    };
    s.api.containers().commit(request).await?;
    Ok(())
}

/// A length that tells this round's processes from others.
fn seconds(round: i32) -> String {
    format!("98765{round}")
}

/// How many of those there are.
fn sleepers(view: &View) -> usize {
    view.processes.iter().filter(|line| line.starts_with("sleep 98765")).count()
}

async fn start_exec(api: &Api, container: &str, exec: String) -> Result<()> {
    api.containers().start_exec(wire::StartExecRequest { container: container.into(), exec }).await?;
    Ok(())
}

/// Bytes of the file that is copied, and of the image that is loaded.
const MUCH: usize = 3 << 20;

/// Bytes of an archive in one message.
const CHUNK: usize = 64 << 10;

/// Bytes that do not compress well.
fn much() -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(MUCH).collect()
}

fn archive(files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, data) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(data.len())?);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        archive.append_data(&mut header, name, *data)?;
    }
    Ok(archive.into_inner()?)
}

async fn copy_to(s: &Scene) -> Result<()> {
    use wire::copy_to_request::Part;
    let data = archive(&[("much", &much())])?;
    let options = wire::CopyToOptions { container: s.name.into(), path: "/tmp".into(), ..Default::default() };
    let first = wire::CopyToRequest { part: Some(Part::Options(options)) };
    let rest: Vec<_> = data
        .chunks(CHUNK)
        .map(|chunk| wire::CopyToRequest { part: Some(Part::Data(chunk.to_vec())) })
        .collect();
    s.api.containers().copy_to(futures::stream::iter(std::iter::once(first).chain(rest))).await?;
    Ok(())
}

/// An image of one layer, as `docker save` writes it.
fn image(tag: &str) -> Result<Vec<u8>> {
    let layer = archive(&[("much", &much())])?;
    let config = serde_json::json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Cmd": ["/much"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{:x}", Sha256::digest(&layer))] },
    });
    let manifest =
        serde_json::json!([{ "Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"] }]);
    archive(&[
        ("config.json", config.to_string().as_bytes()),
        ("layer.tar", &layer),
        ("manifest.json", manifest.to_string().as_bytes()),
    ])
}

async fn load(s: &Scene) -> Result<()> {
    use wire::load_image_request::Part;
    let options = wire::LoadOptions { quiet: true, ..Default::default() };
    let first = wire::LoadImageRequest { part: Some(Part::Options(options)) };
    let data = image("departing/load:1")?;
    let rest: Vec<_> = data
        .chunks(CHUNK)
        .map(|chunk| wire::LoadImageRequest { part: Some(Part::Data(chunk.to_vec())) })
        .collect();
    let requests = futures::stream::iter(std::iter::once(first).chain(rest));
    let mut answers = s.api.images().load(requests).await?.into_inner();
    while answers.message().await?.is_some() {}
    Ok(())
}

async fn import(s: &Scene) -> Result<()> {
    use wire::import_image_request::Part;
    let options = wire::ImportOptions { reference: "departing/import:1".into(), ..Default::default() };
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(4);
    header.set_mode(0o755);
    archive.append_data(&mut header, "true", &b"true"[..])?;
    let data = archive.into_inner()?;
    let parts = [Part::Options(options), Part::Data(data)];
    let requests = futures::stream::iter(parts.map(|part| wire::ImportImageRequest { part: Some(part) }));
    s.api.images().import(requests).await?;
    Ok(())
}

async fn tag(s: &Scene) -> Result<()> {
    let request = wire::TagImageRequest { source: DEMO.into(), target: "departing/tag:1".into() };
    s.api.images().tag(request).await?;
    Ok(())
}

/// A container can be made of an image: all of it is there.
async fn whole(s: &Scene, image: &str) -> Result<()> {
    let name = format!("of-{}", s.name);
    s.api.create(&name, image, "true").await.with_context(|| format!("{image} is not whole"))?;
    s.api.remove(&name).await
}

async fn prune_images(s: &Scene) -> Result<()> {
    let mut filters = labelled("departing/prune-1", "");
    filters.insert("dangling".into(), wire::Strings { values: vec!["false".into()] });
    s.api.images().prune(wire::PruneRequest { filters }).await?;
    Ok(())
}

/// Only what has this value of the label, and also a switch, if one is named.
fn labelled(value: &str, switch: &str) -> HashMap<String, wire::Strings> {
    let strings = |text: String| wire::Strings { values: vec![text] };
    let mut all = HashMap::from([("label".to_owned(), strings(format!("departing={value}")))]);
    if !switch.is_empty() {
        all.insert(switch.to_owned(), strings("true".to_owned()));
    }
    all
}

async fn create_volume(s: &Scene) -> Result<()> {
    let labels = HashMap::from([("departing".to_owned(), s.name.to_owned())]);
    s.api.volumes().create(wire::CreateVolumeRequest { name: s.name.into(), labels }).await?;
    Ok(())
}

async fn remove_volume(s: &Scene) -> Result<()> {
    s.api.volumes().remove(wire::RemoveVolumeRequest { name: s.name.into(), force: true }).await?;
    Ok(())
}

async fn create_network(s: &Scene) -> Result<()> {
    let labels = HashMap::from([("departing".to_owned(), s.name.to_owned())]);
    let request = wire::CreateNetworkRequest { name: s.name.into(), labels, ..Default::default() };
    s.api.networks().create(request).await?;
    Ok(())
}

async fn ensure_network(s: &Scene) -> Result<()> {
    match create_network(s).await {
        Err(error) if !format!("{error:#}").contains("already exists") => Err(error),
        _ => Ok(()),
    }
}

async fn remove_network(s: &Scene) -> Result<()> {
    match s.api.networks().remove(wire::RemoveNetworkRequest { network: s.name.into() }).await {
        Err(status) if status.code() != tonic::Code::NotFound => Err(status.into()),
        _ => Ok(()),
    }
}

async fn prune_networks(s: &Scene) -> Result<()> {
    s.api.networks().prune(wire::PruneRequest { filters: labelled(s.name, "") }).await?;
    Ok(())
}

async fn connect(s: &Scene) -> Result<()> {
    let endpoint = wire::EndpointSpec { network: s.name.into(), ..Default::default() };
    let request = wire::ConnectNetworkRequest { container: s.name.into(), endpoint: Some(endpoint) };
    s.api.networks().connect(request).await?;
    Ok(())
}

async fn disconnect(s: &Scene) -> Result<()> {
    let request = wire::DisconnectNetworkRequest { network: s.name.into(), container: s.name.into() };
    s.api.networks().disconnect(request).await?;
    Ok(())
}

/// Whether a verb's container is in the network of the same name.
fn connected(now: &View, verb: &Verb) -> Result<bool, String> {
    status(now, verb)?;
    let networks = &now.containers[verb.name].document["NetworkSettings"]["Networks"];
    Ok(networks.get(verb.name).is_some())
}

//! An instance at one moment, from all sides: the API, CRI, containerd, the kernel, the data directory. [`View::wrong`]
//! says where they disagree.

use super::PREFIX;
use super::api::Api;
use crate::env::TestEnv;
use anyhow::{Context, Result, ensure};
use containerd_client::services::v1 as containerd;
use containerd_client::services::v1::snapshots as snapshot;
use k3c::proto::cri;
use k3c::proto::k3c::v1 as wire;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// On a pod and a container: the record's ID.
const LABEL: &str = "io.k3c.id";

/// A container as the API, and the kernel, have it.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) status: String,
    /// What `inspect` shows.
    pub(super) document: Value,
    /// The first process; none where the API names none, or where there is none of that number.
    process: Option<Process>,
    /// What it has written so far.
    pub(super) log: String,
}

#[derive(Debug)]
struct Process {
    frozen: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct View {
    /// By name.
    pub(super) containers: BTreeMap<String, Container>,
    /// By tag; those that begin with [`PREFIX`].
    pub(super) images: BTreeMap<String, String>,
    pub(super) volumes: BTreeMap<String, wire::Volume>,
    /// The users', by name.
    pub(super) networks: BTreeMap<String, wire::Network>,
    /// Command lines of all of the instance's processes.
    pub(super) processes: Vec<String>,
    /// Pods that carry our label: the record's ID.
    pods: Vec<String>,
    /// Containers that carry our label: the record's ID, and whether it runs.
    made: Vec<(String, bool)>,
    /// Tags of CRI's images that begin with [`PREFIX`].
    tags: BTreeSet<String>,
    /// Leases and snapshots that belong to no container of containerd's.
    held: Vec<String>,
    /// Names of folders in the data directory, and what is half-made there.
    folders: BTreeMap<&'static str, BTreeSet<String>>,
    half: Vec<String>,
    /// Names and IDs by which a container is not found, or another one is.
    lookups: Vec<String>,
}

impl View {
    /// Looks at everything.
    pub(super) fn take(env: &TestEnv) -> Result<Self> {
        let mut view = Api::with(env, |api| async move { Self::ask(api).await })?;
        view.look(env)?;
        Ok(view)
    }

    async fn ask(api: Api) -> Result<Self> {
        let mut view = Self::default();
        let request = wire::ListContainersRequest { all: true, ..Default::default() };
        for row in api.containers().list(request).await?.into_inner().containers {
            let name = row.names.first().context("a container without a name")?.clone();
            let document = api.inspect(&name).await?;
            for who in [&row.id, &name] {
                let found = api.inspect(who).await.map(|d| d["Id"].clone()).unwrap_or_default();
                if found != row.id.as_str() {
                    view.lookups.push(format!("{who} leads to {found} instead of {}", row.id));
                }
            }
            let status = row.state.context("a container without a state")?.status;
            let container = Container { id: row.id, status, document, process: None, log: String::new() };
            ensure!(view.containers.insert(name.clone(), container).is_none(), "two are called {name}");
        }
        let all = wire::ListImagesRequest { all: true, ..Default::default() };
        for image in api.images().list(all).await?.into_inner().images {
            let tags = image.repo_tags.into_iter().filter(|tag| tag.starts_with(PREFIX));
            view.images.extend(tags.map(|tag| (tag, image.id.clone())));
        }
        let networks = api.networks().list(wire::ListNetworksRequest::default()).await?.into_inner().networks;
        let users = networks.into_iter().filter(|network| network.created.is_some());
        view.networks = users.map(|network| (network.name.clone(), network)).collect();
        let volumes = api.volumes().list(wire::ListVolumesRequest::default()).await?.into_inner().volumes;
        view.volumes = volumes.into_iter().map(|v| (v.name.clone(), v)).collect();
        view.ask_cri(&api).await?;
        view.ask_containerd(&api).await?;
        Ok(view)
    }

    async fn ask_cri(&mut self, api: &Api) -> Result<()> {
        let pods = api.runtime().list_pod_sandbox(cri::ListPodSandboxRequest::default()).await?;
        self.pods = pods.into_inner().items.iter().filter_map(|p| p.labels.get(LABEL).cloned()).collect();
        let made = api.runtime().list_containers(cri::ListContainersRequest::default()).await?;
        for container in made.into_inner().containers {
            if let Some(record) = container.labels.get(LABEL) {
                let runs = container.state() == cri::ContainerState::ContainerRunning;
                self.made.push((record.clone(), runs));
            }
        }
        let images = api.cri_images().list_images(cri::ListImagesRequest::default()).await?.into_inner();
        let tags = images.images.into_iter().flat_map(|image| image.repo_tags);
        self.tags = tags
            .filter_map(|tag| tag.strip_prefix("docker.io/").map(str::to_owned))
            .filter(|tag| tag.starts_with(PREFIX))
            .collect();
        Ok(())
    }

    async fn ask_containerd(&mut self, api: &Api) -> Result<()> {
        let message = containerd::ListContainersRequest::default();
        let all = containerd::containers_client::ContainersClient::new(api.channel())
            .list(Api::namespaced(message))
            .await?;
        let mut known: BTreeSet<String> = all.into_inner().containers.into_iter().map(|c| c.id).collect();
        // CRI has a lease for each pod.
        let pods = api.runtime().list_pod_sandbox(cri::ListPodSandboxRequest::default()).await?;
        known.extend(pods.into_inner().items.into_iter().map(|pod| pod.id));
        let leases = containerd::leases_client::LeasesClient::new(api.channel())
            .list(Api::namespaced(containerd::ListRequest::default()))
            .await?;
        let leases = leases.into_inner().leases.into_iter().map(|lease| lease.id);
        self.held = leases.filter(|id| !known.contains(id)).map(|id| format!("lease {id}")).collect();
        let message = snapshot::ListSnapshotsRequest { snapshotter: "overlayfs".into(), filters: Vec::new() };
        let mut answers = snapshot::snapshots_client::SnapshotsClient::new(api.channel())
            .list(Api::namespaced(message))
            .await?
            .into_inner();
        while let Some(part) = answers.message().await? {
            let open = part.info.into_iter().filter(|info| info.kind() != snapshot::Kind::Committed);
            let nobodys = open.filter(|info| !known.contains(&info.name));
            self.held.extend(nobodys.map(|info| format!("snapshot {}", info.name)));
        }
        Ok(())
    }

    /// The kernel and the data directory.
    fn look(&mut self, env: &TestEnv) -> Result<()> {
        let root = format!("/proc/{}/root", env.daemon_pid()?);
        for container in self.containers.values_mut() {
            let pid = container.document["State"]["Pid"].as_i64().unwrap_or(0);
            container.process = process(Path::new(&root), pid);
            let log = container.document["LogPath"].as_str().unwrap_or_default();
            container.log = fs::read_to_string(log).unwrap_or_default();
        }
        self.processes = env.processes().into_iter().map(|(_, line)| line).collect();
        for folder in ["logs", "containers", "volumes"] {
            let names = names(&env.data_dir().join(folder))?;
            self.folders.insert(folder, names.into_iter().collect());
        }
        for name in self.volumes.keys() {
            let there = names(&env.data_dir().join("volumes").join(name)).unwrap_or_default();
            if there != ["_data"] {
                self.half.push(format!("volume {name}: {there:?}"));
            }
        }
        let roots = names(&env.run_dir())?.into_iter().filter(|name| name.starts_with("root-"));
        self.half.extend(roots.map(|name| format!("mount {name}")));
        Ok(())
    }

    /// What the API alone says, for a comparison with another engine on the same store.
    pub(super) fn told(&self) -> Vec<String> {
        let keys = ["RestartCount", "Attempt", "Image", "Mounts", "ExecIDs"];
        let containers = self.containers.iter().map(|(name, c)| {
            let more: Vec<String> = keys.iter().map(|key| c.document[key].to_string()).collect();
            let policy = &c.document["HostConfig"]["RestartPolicy"];
            let state = &c.document["State"];
            format!("{name} {} {state} {policy} {}", c.id, more.join(" "))
        });
        let images = self.images.iter().map(|(tag, id)| format!("{tag} {id}"));
        let volumes = self.volumes.values().map(|volume| format!("{volume:?}"));
        containers.chain(images).chain(volumes).collect()
    }

    /// Where the sides disagree; nothing if they do not.
    pub(super) fn wrong(&self) -> Vec<String> {
        let mut wrong: Vec<String> =
            self.lookups.iter().chain(&self.half).chain(&self.held).cloned().collect();
        for (name, container) in &self.containers {
            if let Some(why) = self.wrong_with(container) {
                wrong.push(format!("{name} is {}: {why}", container.status));
            }
            let mounts = container.document["Mounts"].as_array().into_iter().flatten();
            let missing =
                mounts.filter_map(|mount| mount["Name"].as_str()).filter(|v| !self.volumes.contains_key(*v));
            wrong.extend(missing.map(|volume| format!("{name} has the volume {volume}, which is not there")));
        }
        let ids: BTreeSet<&String> = self.containers.values().map(|c| &c.id).collect();
        let made = self.made.iter().map(|(record, _)| record);
        wrong.extend(
            self.pods.iter().filter(|id| !ids.contains(id)).map(|id| format!("a pod of nobody, {id}")),
        );
        wrong.extend(made.filter(|id| !ids.contains(id)).map(|id| format!("a container of nobody, {id}")));
        let volumes: BTreeSet<&String> = self.volumes.keys().collect();
        for (folder, names) in &self.folders {
            let known = if *folder == "volumes" { &volumes } else { &ids };
            let nobodys = names.iter().filter(|name| !known.contains(name));
            wrong.extend(nobodys.map(|name| format!("{folder}/{name} of nobody")));
        }
        let unused = self.volumes.values().filter(|v| v.anonymous && v.containers == 0);
        wrong.extend(unused.map(|v| format!("the anonymous volume {} of nobody", v.name)));
        let tags: BTreeSet<&String> = self.images.keys().collect();
        let theirs: BTreeSet<&String> = self.tags.iter().collect();
        wrong.extend(
            tags.symmetric_difference(&theirs).map(|tag| format!("the image {tag} on one side only")),
        );
        wrong
    }

    fn wrong_with(&self, container: &Container) -> Option<String> {
        let pods = self.pods.iter().filter(|id| **id == container.id).count();
        let running = self.made.iter().filter(|(id, runs)| *id == container.id && *runs).count();
        let (alive, frozen) =
            (container.process.is_some(), container.process.as_ref().is_some_and(|p| p.frozen));
        let seen = format!("alive {alive}, frozen {frozen}, {pods} pods, {running} running for CRI");
        let right = match container.status.as_str() {
            // A paused one runs, for CRI.
            "running" => alive && !frozen && pods == 1 && running == 1,
            "paused" => alive && frozen && pods == 1 && running == 1,
            "created" | "exited" => !alive && pods <= 1 && running == 0,
            // Passing states.
            _ => false,
        };
        (!right).then_some(seen)
    }
}

/// What the kernel has of a process, seen through the daemon's mount of the cgroups, `root`.
fn process(root: &Path, pid: i64) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok().filter(|_| pid > 0)?;
    if stat.rsplit(") ").next()?.starts_with('Z') {
        return None;
    }
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let events = fs::read_to_string(root.join("sys/fs/cgroup").join(group).join("cgroup.events")).ok()?;
    Some(Process { frozen: events.lines().any(|line| line == "frozen 1") })
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

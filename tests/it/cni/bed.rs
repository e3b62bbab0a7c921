//! Network namespaces of a test's own, and the plugin called as a runtime calls it.

use crate::env::{Ran, binary};
use crate::host::tool;
use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, setns};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A refusal of the plugin's.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(Value);

/// Where a network is tried. Dropping it removes its namespaces.
pub(super) struct Bed {
    /// The plugin's configuration.
    pub(super) config: Value,
    /// The namespace of the bridge.
    pub(super) root: String,
    prefix: String,
    folder: tempfile::TempDir,
}

impl Bed {
    pub(super) fn new() -> Result<Self> {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("k3cit{}-{number}-", std::process::id());
        let folder = tempfile::tempdir()?;
        let root = format!("{prefix}root");
        let config = json!({
            "cniVersion": "1.0.0", "name": "test", "type": "k3c-cni", "bridge": "br0", "mtu": 1400,
            "subnet": "10.77.0.0/24", "subnet6": "fd77::/64",
            "state": folder.path().join("state"), "detachedNetns": Self::path(&root),
        });
        let bed = Self { config, root, prefix, folder };
        bed.ip(&["netns", "add", &bed.root])?;
        bed.ip(&["-n", &bed.root, "link", "set", "lo", "up"])?;
        Ok(bed)
    }

    /// Where a namespace is bound.
    pub(super) fn path(namespace: &str) -> String {
        format!("/run/netns/{namespace}")
    }

    /// Makes a namespace for a pod.
    pub(super) fn namespace(&self, name: &str) -> Result<String> {
        let name = format!("{}{name}", self.prefix);
        self.ip(&["netns", "add", &name])?;
        Ok(name)
    }

    pub(super) fn ip(&self, args: &[&str]) -> Result<String> {
        run(Command::new("ip").args(args))
    }

    /// A program in a namespace; its output.
    pub(super) fn inside(&self, namespace: &str, program: &str, args: &[&str]) -> Result<String> {
        run(Command::new("ip").args(["netns", "exec", namespace, program]).args(args))
    }

    /// Interfaces on the bridge.
    pub(super) fn ports(&self) -> Result<BTreeSet<String>> {
        // None while there is no bridge.
        let shown = self.ip(&["-j", "-n", &self.root, "link", "show", "master", "br0"]).unwrap_or_default();
        let all: Value = serde_json::from_str(shown.trim()).unwrap_or_default();
        let names = all.as_array().into_iter().flatten().filter_map(|link| link["ifname"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    fn command(&self, command: &str, id: &str, namespace: &str, interface: &str) -> Command {
        let mut plugin = Command::new(binary());
        plugin.arg0("k3c-cni").env_clear();
        let path = if namespace.is_empty() { String::new() } else { Self::path(namespace) };
        for (name, value) in [
            ("COMMAND", command),
            ("CONTAINERID", id),
            ("NETNS", &path),
            ("IFNAME", interface),
            ("PATH", "/nowhere"),
        ] {
            plugin.env(format!("CNI_{name}"), value);
        }
        plugin
    }

    fn feed(&self, mut plugin: Command, config: &Value) -> Result<Output> {
        let mut child = plugin.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("stdin")?.write_all(config.to_string().as_bytes())?;
        Ok(child.wait_with_output()?)
    }

    fn answer(output: &Output) -> Result<Value> {
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let answer = match said.trim() {
            "" => Value::Null,
            text => serde_json::from_str(text).with_context(|| text.to_owned())?,
        };
        match output.status.code() {
            Some(0) => Ok(answer),
            Some(_) => Err(Refused(answer).into()),
            None => {
                bail!("killed by {:?}: {}", output.status.signal(), String::from_utf8_lossy(&output.stderr))
            }
        }
    }

    /// Calls the plugin, with more variables.
    pub(super) fn call(
        &self,
        command: &str,
        id: &str,
        namespace: &str,
        more: &[(&str, &str)],
    ) -> Result<Value> {
        let mut plugin = self.command(command, id, namespace, "eth0");
        plugin.envs(more.iter().copied());
        Self::answer(&self.feed(plugin, &self.config)?)
    }

    pub(super) fn add(&self, id: &str, namespace: &str) -> Result<Value> {
        self.call("ADD", id, namespace, &[])
    }

    /// ADD of an interface of another name.
    pub(super) fn add_as(&self, id: &str, namespace: &str, interface: &str) -> Result<Value> {
        Self::answer(&self.feed(self.command("ADD", id, namespace, interface), &self.config)?)
    }

    /// Calls the plugin `loopback`, as buildkitd does.
    pub(super) fn loopback(&self, command: &str, namespace: &str) -> Result<Value> {
        let mut plugin = self.command(command, "one", namespace, "lo");
        plugin.arg0("/somewhere/loopback");
        let config = json!({ "cniVersion": "0.3.1", "name": "cni-loopback", "type": "loopback" });
        Self::answer(&self.feed(plugin, &config)?)
    }

    fn with_valid(&self, valid: &[(&str, &str)]) -> Value {
        let mut config = self.config.clone();
        let list: Vec<Value> =
            valid.iter().map(|(id, name)| json!({ "containerID": id, "ifname": name })).collect();
        config["cni.dev/valid-attachments"] = list.into();
        config
    }

    /// GC with these attachments as the valid ones.
    pub(super) fn gc(&self, valid: &[(&str, &str)]) -> Result<()> {
        let output = self.feed(self.command("GC", "", "", ""), &self.with_valid(valid))?;
        Self::answer(&output).map(drop)
    }

    fn killed(&self, mut plugin: Command, point: &str, config: &Value) -> Result<()> {
        plugin.env("K3C_TEST_CNI_DIES", point);
        let output = self.feed(plugin, config)?;
        ensure!(output.status.signal() == Some(9), "it did not die at {point}: {output:?}");
        Ok(())
    }

    /// Calls the plugin, which dies on the way.
    pub(super) fn dies(&self, command: &str, id: &str, namespace: &str, point: &str) -> Result<()> {
        self.killed(self.command(command, id, namespace, "eth0"), point, &self.config)
    }

    /// GC that dies on the way.
    pub(super) fn dies_in(&self, command: &str, valid: &[(&str, &str)], point: &str) -> Result<()> {
        self.killed(self.command(command, "", "", ""), point, &self.with_valid(valid))
    }

    /// Calls the plugin under strace(1); how many programs were executed.
    pub(super) fn traced(&self, command: &str, id: &str, namespace: &str) -> Result<usize> {
        let log = self.folder.path().join("trace");
        let plain = self.command(command, id, namespace, "eth0");
        let name = self.folder.path().join("k3c-cni");
        if !name.exists() {
            std::os::unix::fs::symlink(binary(), &name)?;
        }
        let mut plugin = Command::new("strace");
        plugin.args(["-f", "-e", "trace=execve", "-o"]).arg(&log).arg(&name);
        plugin.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::answer(&self.feed(plugin, &self.config)?)?;
        Ok(fs::read_to_string(&log)?.lines().filter(|line| line.contains("execve(")).count())
    }

    /// The CNI project's own tool.
    pub(super) fn cnitool(&self, verb: &str, namespace: &str) -> Result<Ran> {
        let folder = self.folder.path();
        let plugin = folder.join("k3c-cni");
        if !plugin.exists() {
            std::os::unix::fs::symlink(binary(), &plugin)?;
        }
        let mut config = self.config.clone();
        let (version, name) = (config["cniVersion"].take(), config["name"].take());
        let plain = config.as_object_mut().context("configuration")?;
        plain.remove("cniVersion");
        plain.remove("name");
        let list = json!({ "cniVersion": version, "name": name, "plugins": [config] });
        fs::write(folder.join("10-test.conflist"), list.to_string())?;
        let output = Command::new(tool("cnitool"))
            .args([verb, "test", &Self::path(namespace)])
            .env("CNI_PATH", folder)
            .env("NETCONFPATH", folder)
            .output()?;
        Ok(Ran::new(format!("cnitool {verb}"), &output))
    }

    /// A connection over TCP from one namespace to an address in another.
    pub(super) fn reaches(&self, from: &str, to: &str, address: IpAddr) -> Result<()> {
        let listener = within_namespace(to, move || TcpListener::bind((address, 0)))?
            .with_context(|| format!("{address} in {to}"))?;
        let port = listener.local_addr()?.port();
        within_namespace(from, move || {
            TcpStream::connect_timeout(&(address, port).into(), Duration::from_secs(5))
        })?
        .with_context(|| format!("{address} from {from}"))
        .map(drop)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let all = self.ip(&["netns", "list"]).unwrap_or_default();
        for name in all.lines().filter_map(|line| line.split(' ').next()) {
            if name.starts_with(&self.prefix) {
                let _ = self.ip(&["netns", "del", name]);
            }
        }
    }
}

/// Code and words of a refusal.
pub(super) fn code(outcome: Result<Value>) -> Result<(u64, String)> {
    match outcome {
        Ok(answer) => bail!("it was not refused: {answer}"),
        Err(error) => {
            let refused = error.downcast::<Refused>()?.0;
            let code = refused["code"].as_u64().with_context(|| refused.to_string())?;
            Ok((code, refused["msg"].as_str().unwrap_or_default().to_owned()))
        }
    }
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs something in a thread of its own that is in a namespace.
fn within_namespace<T: Send + 'static>(name: &str, what: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let file = File::open(Bed::path(name))?;
    std::thread::spawn(move || -> Result<T> {
        setns(file, CloneFlags::CLONE_NEWNET)?;
        Ok(what())
    })
    .join()
    .expect("a thread in a namespace")
}

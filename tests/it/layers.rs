//! Layers that our differ writes, beside the same ones that containerd's own does.

use crate::Case;
use crate::containers::{DEMO, within};
use crate::debian;
use crate::env::{Ran, TestEnv};
use crate::host::{Need, tool};
use crate::user::User;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tar::{Builder, EntryType, Header};

const NEEDS: &[Need] = &[Need::Daemon, Need::Tools];

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case::new(name, NEEDS, run);
    vec![
        case("layers::as_containerds_own_overlay", || compare(None, "overlayfs")),
        case("layers::as_containerds_own_native", || compare(None, "native")),
        case("layers::as_containerds_own_root", || compare(Some(User::root()), "overlayfs")),
        case("layers::differ_killed", differ_killed),
        case("layers::built_on", built_on),
    ]
}

/// The differ's part of a command line.
const DIFFER: &str = "__differ";

/// One layer's archive.
struct Archive(Builder<Vec<u8>>);

impl Archive {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn header(kind: EntryType, mode: u32, size: usize) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size as u64);
        header.set_uid(1000);
        header.set_gid(1001);
        header.set_mtime(1_000_000_000);
        header
    }

    fn folder(&mut self, path: &str, mode: u32) -> Result<&mut Self> {
        self.0.append_data(&mut Self::header(EntryType::Directory, mode, 0), path, &b""[..])?;
        Ok(self)
    }

    fn file(&mut self, path: &str, text: &str) -> Result<&mut Self> {
        self.file_of(path, 0o644, text)
    }

    fn file_of(&mut self, path: &str, mode: u32, text: &str) -> Result<&mut Self> {
        self.0.append_data(&mut Self::header(EntryType::Regular, mode, text.len()), path, text.as_bytes())?;
        Ok(self)
    }

    fn link(&mut self, kind: EntryType, path: &str, target: &str) -> Result<&mut Self> {
        self.0.append_link(&mut Self::header(kind, 0o777, 0), path, target)?;
        Ok(self)
    }

    fn device(&mut self, kind: EntryType, path: &str) -> Result<&mut Self> {
        let mut header = Self::header(kind, 0o620, 0);
        header.set_device_major(1)?;
        header.set_device_minor(3)?;
        self.0.append_data(&mut header, path, &b""[..])?;
        Ok(self)
    }

    /// Records for the next entry.
    fn records(&mut self, records: &[(&str, &[u8])]) -> Result<&mut Self> {
        self.0.append_pax_extensions(records.iter().copied())?;
        Ok(self)
    }

    fn done(self) -> Result<Vec<u8>> {
        Ok(self.0.into_inner()?)
    }
}

/// The lowest layer has one of everything.
fn lowest() -> Result<Vec<u8>> {
    let mut layer = Archive::new();
    for path in
        ["etc", "usr", "usr/lib", "old", "old/in", "opaque", "opaque/in", "merged", "replaced", "again"]
    {
        layer.folder(path, 0o755)?;
    }
    for path in [
        "etc/a",
        "etc/b",
        "usr/lib/x",
        "old/in/x",
        "opaque/x",
        "opaque/in/x",
        "merged/x",
        "replaced/x",
        "again/x",
        "file",
    ] {
        layer.file(path, path)?;
    }
    layer.folder("secret", 0o1730)?.folder("secret/in", 0o700)?.file_of("secret/in/x", 0o600, "x")?;
    layer.link(EntryType::Symlink, "lib", "usr/lib")?.link(EntryType::Symlink, "out", "/../../etc")?;
    layer.link(EntryType::Link, "etc/c", "etc/a")?.link(EntryType::Link, "linked-link", "lib")?;
    layer.file_of("program", 0o6755, "#!/bin/sh\n")?.device(EntryType::Fifo, "fifo")?;
    let capability = [1, 0, 0, 2, b'\n', 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    layer
        .records(&[
            ("SCHILY.xattr.security.capability", &capability),
            ("SCHILY.xattr.user.note", b"a\nb"),
            ("mtime", b"999999999.123456789"),
            ("path", b"with-records"),
        ])?
        .file_of("x", 0o755, "1")?;
    layer.records(&[("SCHILY.xattr.user.note", b"on a folder")])?.folder("noted", 0o750)?;
    layer.records(&[("SCHILY.xattr.trusted.note", b"1"), ("mtime", b"-5.5")])?.file("strange", "1")?;
    layer.file(&format!("{}/x", "n".repeat(120)), "long")?.device(EntryType::Char, "null")?;
    layer.done()
}

/// The next one takes away, replaces and adds; `through` also in ways in which containerd's differ says one thing in a
/// user namespace and another as root.
fn next(through: bool) -> Result<Vec<u8>> {
    let mut layer = Archive::new();
    layer.file("etc/.wh.a", "")?.file("etc/.wh.nothing", "")?.file(".wh.old", "")?;
    layer.file("opaque/new", "new")?.folder("opaque", 0o711)?.file("opaque/.wh..wh..opq", "")?;
    layer.file("replaced", "a file now")?.folder("file", 0o700)?.file("file/in", "a folder now")?;
    layer.file("secret/in/y", "y")?.folder("merged", 0o701)?.file("merged/y", "y")?;
    layer.file("twice", "1")?.file("twice", "2")?.folder("dots", 0o755)?;
    layer.records(&[("path", b"dots/.././dots//x")])?.file("x", "x")?;
    layer.records(&[("path", b"../../above")])?.file("x", "inside")?;
    layer.link(EntryType::Symlink, "loop", "loop")?.link(EntryType::Symlink, "up", "../../..")?;
    layer.file("up/reached", "inside")?;
    layer.link(EntryType::Link, "dots/y", "dots/x")?;
    layer
        .records(&[
            ("GNU.sparse.size", b"100000"),
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.map", b"0,2,99998,2"),
        ])?
        .file("sparse", "abcd")?;
    if through {
        layer.file(".wh.again", "")?.folder("again", 0o755)?.file("again/y", "y")?;
        layer.file("lib/y", "through a link")?.link(EntryType::Link, "further", "usr/lib/x")?;
        layer.file("usr/lib/z", "z")?.file("usr/lib/.wh.z", "")?;
        layer.file("noted/in", "")?.file(".wh.merged/x", "")?;
    }
    layer.done()
}

fn digest(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// An OCI archive with layers that are packed in three ways.
fn image(layers: &[Vec<u8>]) -> Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    let mut put = |path: &str, bytes: &[u8]| -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        Ok(archive.append_data(&mut header, path, bytes)?)
    };
    let mut blob = |bytes: &[u8], kind: &str| -> Result<Value> {
        let digest = digest(bytes);
        put(&format!("blobs/{}", digest.replace(':', "/")), bytes)?;
        Ok(
            json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest, "size": bytes.len() }),
        )
    };
    let mut descriptors = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        descriptors.push(match number % 3 {
            0 => {
                // Two members, as parallel packers write.
                let (first, second) = layer.split_at(layer.len() / 2);
                let mut bytes = Vec::new();
                for part in [first, second] {
                    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                    gzip.write_all(part)?;
                    bytes.extend(gzip.finish()?);
                }
                blob(&bytes, "layer.v1.tar+gzip")?
            }
            1 => blob(&zstd::encode_all(layer.as_slice(), 3)?, "layer.v1.tar+zstd")?,
            _ => blob(layer, "layer.v1.tar")?,
        });
    }
    let ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({ "os": "linux", "architecture": arch, "config": { "Cmd": ["true"] },
        "rootfs": { "type": "layers", "diff_ids": ids } });
    let config = blob(config.to_string().as_bytes(), "config.v1+json")?;
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": descriptors });
    let mut manifest = blob(manifest.to_string().as_bytes(), "manifest.v1+json")?;
    manifest["annotations"] = json!({ "io.containerd.image.name": NAME });
    put("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    put("index.json", json!({ "schemaVersion": 2, "manifests": [manifest] }).to_string().as_bytes())?;
    Ok(archive.into_inner()?)
}

const NAME: &str = "docker.io/library/layers:1";

/// A command in the instance's namespaces, as their root.
fn inside(env: &TestEnv, program: &str, args: &[&str]) -> Result<Command> {
    let holder = env.process("__holder")?.to_string();
    let mut command = Command::new("nsenter");
    command.args(["-t", &holder, "-m"]);
    if env.user.uid != 0 {
        command.args(["-U", "-S", "0", "-G", "0"]);
    }
    command.arg("--").arg(program).args(args).current_dir("/").stdin(Stdio::null());
    Ok(command)
}

/// A containerd with its own differ, in the instance's namespaces.
struct Plain {
    child: Child,
    socket: String,
}

impl Plain {
    fn start(env: &TestEnv, snapshotter: &str) -> Result<Self> {
        let dir = env.home.join("plain");
        env.user.dir(&dir, 0o711)?;
        let at = |name: &str| dir.join(name).display().to_string();
        let config = format!(
            "version = 3\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \
             \"io.containerd.cri.v1.runtime\", \"io.containerd.cri.v1.images\"]\n[grpc]\naddress = \"{}\"\n\
             [ttrpc]\naddress = \"{}\"\n[plugins.\"io.containerd.internal.v1.opt\"]\npath = \"{}\"\n\
             [[plugins.\"io.containerd.transfer.v1.local\".unpack_config]]\nplatform = \"linux\"\n\
             snapshotter = \"{snapshotter}\"\ndiffer = \"walking\"\n",
            at("root"),
            at("state"),
            at("sock"),
            at("ttrpc"),
            at("opt"),
        );
        env.user.write(&dir.join("config.toml"), config)?;
        let bin = env.process("containerd --config")?;
        let program = fs::read_link(format!("/proc/{bin}/exe"))?.display().to_string();
        let log = fs::File::create(dir.join("log"))?;
        let mut command = inside(env, &program, &["--config", &at("config.toml")])?;
        let child = command.stdout(log.try_clone()?).stderr(log).spawn()?;
        let plain = Self { child, socket: at("sock") };
        within(Duration::from_secs(30), "the plain containerd listens", || {
            Ok(std::os::unix::net::UnixStream::connect(&plain.socket).is_ok())
        })
        .with_context(|| fs::read_to_string(dir.join("log")).unwrap_or_default())?;
        Ok(plain)
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lists a mounted image: a line a file with everything but times of now, hard links by their first name.
const LIST: &str = r#"
set -e
D=$(mktemp -d); trap 'umount $D 2> /dev/null || true; rmdir $D' EXIT
"$1" -a "$2" -n "$3" images mount --snapshotter "$4" "$5" $D > /dev/null
cd $D
find . -printf '%p|%y|%m|%U|%G|%s|%T@|%i|%l\n' | LC_ALL=C sort | awk -F'|' -v OFS='|' '
    { if ($2 == "d") $6 = "-"; if ($7 > 1700000000) $7 = "now"; if (!($8 in first)) first[$8] = $1; $8 = first[$8]; print }'
find . -type f | LC_ALL=C sort | xargs -d '\n' sha256sum
python3 - <<'END'
import os
for base, dirs, files in sorted(os.walk('.')):
    for name in sorted(dirs + files):
        path = os.path.join(base, name)
        for key in sorted(os.listxattr(path, follow_symlinks=False)):
            print(path, key, os.getxattr(path, key, follow_symlinks=False).hex())
END
cd /
"$1" -a "$2" -n "$3" images unmount --rm --snapshotter "$4" $D > /dev/null 2>&1 || true
"#;

fn list(env: &TestEnv, ctr: &str, socket: &str, namespace: &str, snapshotter: &str) -> Result<String> {
    let args = ["-c", LIST, "sh", ctr, socket, namespace, snapshotter, NAME];
    let output = inside(env, "sh", &args)?.output()?;
    Ran::new(format!("list {socket}"), &output).ok()
}

fn compare(user: Option<User>, snapshotter: &str) -> Result<()> {
    let root = user.is_some();
    let mut env = user.map_or_else(TestEnv::new, TestEnv::of)?;
    if snapshotter != "overlayfs" {
        let file = env.home.join(".config/k3c/config.toml");
        env.user.dir(&env.home.join(".config"), 0o755)?;
        env.user.write(&file, format!("snapshotter = \"{snapshotter}\"\n"))?;
    }
    env.start()?;
    let archive = env.home.join("layers.tar");
    env.user.write(&archive, image(&[lowest()?, next(!root)?, next(false)?])?)?;
    let archive = archive.display().to_string();
    // A copy that the namespaces' root can run.
    let ctr = env.home.join("ctr");
    fs::copy(tool("ctr"), &ctr)?;
    let ctr = ctr.display().to_string();
    let plain = Plain::start(&env, snapshotter)?;
    let args = ["-a", &plain.socket, "images", "import", "--snapshotter", snapshotter, &archive];
    let output = inside(&env, &ctr, &args)?.output()?;
    Ran::new("ctr images import".to_owned(), &output).ok()?;
    let theirs = list(&env, &ctr, &plain.socket, "default", snapshotter)?;
    drop(plain);

    env.ok(&["load", "-qi", &archive])?;
    let socket = env.run_dir().join("containerd/containerd.sock").display().to_string();
    let ours = list(&env, &ctr, &socket, "k8s.io", snapshotter)?;
    for part in ["./with-records|f|755", "./sparse|f|644|1000|1001|100000", "./above|f|", "./fifo|p|620"] {
        ensure!(theirs.contains(part), "no {part} in {theirs}");
    }
    for (ours, theirs) in ours.lines().zip(theirs.lines()) {
        ensure!(ours == theirs, "ours\n{ours}\nis not\n{theirs}");
    }
    ensure!(ours.lines().count() == theirs.lines().count(), "{ours}\nis not\n{theirs}");
    env.stop()
}

/// Folders of snapshots.
fn snapshots(env: &TestEnv) -> PathBuf {
    env.data_dir().join("containerd/io.containerd.snapshotter.v1.overlayfs/snapshots")
}

/// A differ that is killed while it writes: the load fails, says so and leaves nothing, and the next one succeeds.
fn differ_killed() -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&["run", "--rm", DEMO, "true"])?;
    let archive = debian::archive()?.display().to_string();
    let mut load = env.k3c_command(&["load", "-qi", &archive]);
    let load = load.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    within(Duration::from_secs(120), "the layer is being written", || {
        let half = |folder: PathBuf| folder.join("usr").exists() && !folder.join("var").exists();
        Ok(fs::read_dir(snapshots(&env))?.flatten().any(|entry| half(entry.path().join("fs"))))
    })?;
    let killed = env.kill_process(DIFFER)?;
    let ran = Ran::new("load".to_owned(), &load.wait_with_output()?);
    ensure!(ran.code == 1 && ran.stderr.contains("failed to extract layer"), "{ran}");
    within(Duration::from_secs(20), "it is there again", || {
        Ok(env.process(DIFFER).is_ok_and(|pid| pid != killed))
    })?;
    ensure!(!env.ok(&["images"])?.contains("debian"), "an image that was not unpacked");
    // containerd connects again after at most 3 s.
    within(Duration::from_secs(20), "it loads", || Ok(env.k3c(&["load", "-qi", &archive])?.code == 0))?;
    let said = env.ok(&["run", "--rm", "debian:bookworm", "sh", "-c", "gcc --version | head -1"])?;
    ensure!(said.starts_with("gcc"), "{said}");
    // It outlives the engine.
    let differ = env.process(DIFFER)?;
    env.kill_process("__engine")?;
    env.ok(&["rmi", "-f", "debian:bookworm"])?;
    env.ok(&["load", "-qi", &archive])?;
    ensure!(env.process(DIFFER)? == differ, "the differ is another one");
    env.stop()
}

/// BuildKit builds on what we wrote, and what it made is loaded again by us.
fn built_on() -> Result<()> {
    let mut env = TestEnv::started()?;
    let archive = env.home.join("layers.tar");
    let mut last = Archive::new();
    last.folder("etc", 0o755)?.file("etc/own", "own")?;
    env.user.write(&archive, image(&[lowest()?, next(true)?, last.done()?])?)?;
    env.ok(&["load", "-qi", &archive.display().to_string()])?;
    let context = env.home.join("context");
    env.user.dir(&context, 0o755)?;
    let text = format!(
        "FROM {DEMO} AS tools\nFROM layers:1\nCOPY --from=tools / /tools/\n\
         RUN [\"/tools/bin/sh\", \"-c\", \"/tools/bin/busybox rm -r /etc/own /opaque && /tools/bin/busybox mkdir /opaque\"]\n"
    );
    env.user.write(&context.join("Dockerfile"), text)?;
    env.ok(&["build", "-q", "-t", "onto:1", &context.display().to_string()])?;
    let script = "ls /etc/own /opaque/new; cat /lib/y; ls -A /opaque | wc -l";
    let looked = |env: &TestEnv| -> Result<()> {
        let ran =
            env.k3c(&["run", "--rm", "-e", "PATH=/tools/bin", "onto:1", "/tools/bin/sh", "-c", script])?;
        ensure!(ran.code == 0 && ran.stdout.trim() == "through a link0", "{ran}");
        Ok(())
    };
    looked(&env)?;
    env.ok(&["save", "-o", "onto.tar", "onto:1"])?;
    env.ok(&["rmi", "-f", "onto:1", "layers:1"])?;
    env.ok(&["builder", "prune", "-af"])?;
    env.ok(&["load", "-qi", "onto.tar"])?;
    looked(&env)?;
    env.stop()
}

//! The generated code under `src/proto` is what the definitions give.
//!
//! The definitions are our own (`src/proto/k3c`), Kubernetes' CRI and containerd's content (the Go
//! modules `k8s.io/cri-api` and `github.com/containerd/containerd/api`, at the versions of `images/go.mod`) and BuildKit's (the resources of the crate `bollard-buildkit-proto`). `make proto` runs this test
//! with `K3C_PROTO_WRITE=1`, which writes the files instead of comparing them.

#![expect(clippy::disallowed_methods, reason = "the test starts cargo and go")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Messages with credentials in them: `src/proto/secret.rs` says how they are shown.
const SECRET: [&str; 2] = [".k3c.v1.Login", ".moby.buildkit.secrets.v1.GetSecretResponse"];

fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("utf-8")
}

/// The folder of a Go module at the version pinned in `images/go.mod`.
fn go_module(name: &str) -> PathBuf {
    let images = Path::new(ROOT).join("images");
    output_of(Command::new("go").args(["mod", "download", name]).current_dir(&images));
    PathBuf::from(
        output_of(Command::new("go").args(["list", "-m", "-f", "{{.Dir}}", name]).current_dir(&images))
            .trim(),
    )
}

/// The folder of a crate pinned in `Cargo.lock`.
fn crate_folder(name: &str) -> PathBuf {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let text = output_of(
        Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--locked", "--manifest-path"])
            .arg(Path::new(ROOT).join("Cargo.toml")),
    );
    let metadata: serde_json::Value = serde_json::from_str(&text).expect("cargo metadata");
    let package = metadata["packages"]
        .as_array()
        .and_then(|all| all.iter().find(|p| p["name"] == name))
        .unwrap_or_else(|| panic!("{name} is not in Cargo.lock"));
    Path::new(package["manifest_path"].as_str().expect("path")).parent().expect("folder").to_path_buf()
}

fn generate(out: &Path, files: &[&str], includes: &[PathBuf]) {
    let mut set = protox::compile(files, includes).unwrap_or_else(|e| panic!("{files:?}: {e:?}"));
    // Other people's comments are not ours to hand on; our own are in the definitions.
    for file in &mut set.file {
        file.source_code_info = None;
    }
    tonic_prost_build::configure()
        .out_dir(out)
        .build_transport(false)
        // Nothing that is logged may show them.
        .skip_debug(SECRET)
        .boxed(".moby.buildkit.v1.frontend.ExecMessage.Input.Init")
        .boxed(".k3c.v1.RunRequest.part.create")
        .compile_fds(set)
        .unwrap_or_else(|e| panic!("{files:?}: {e}"));
}

fn copy_definitions(from: &Path, to: &Path, below: &Path) {
    if below == Path::new("google/protobuf") {
        return;
    }
    fs::create_dir_all(to.join(below)).expect("a folder");
    for entry in fs::read_dir(from.join(below)).expect("entries") {
        let name = below.join(entry.expect("an entry").file_name());
        if from.join(&name).is_dir() {
            copy_definitions(from, to, &name);
        } else {
            fs::copy(from.join(&name), to.join(&name)).expect("copied");
        }
    }
}

fn generated() -> BTreeMap<String, String> {
    let out = tempfile::tempdir().expect("a temporary folder");
    let own = Path::new(ROOT).join("src/proto");
    generate(out.path(), &["k3c/v1/k3c.proto"], &[own]);

    let cri = tempfile::tempdir().expect("a temporary folder");
    let module = go_module("k8s.io/cri-api");
    fs::copy(module.join("pkg/apis/runtime/v1/api.proto"), cri.path().join("api.proto"))
        .expect("the CRI definition");
    generate(out.path(), &["api.proto"], &[cri.path().to_path_buf()]);

    let containerd = go_module("github.com/containerd/containerd/api");
    let definitions = tempfile::tempdir().expect("a temporary folder");
    fs::copy(containerd.join("services/content/v1/content.proto"), definitions.path().join("content.proto"))
        .expect("the definition of containerd's content");
    generate(out.path(), &["content.proto"], &[definitions.path().to_path_buf()]);

    let buildkit = crate_folder("bollard-buildkit-proto").join("resources");
    let files = [
        "moby/buildkit/v1/control.proto",
        "moby/filesync/v1/filesync.packet.proto",
        "moby/filesync/v1/auth.proto",
        "moby/upload/v1/upload.proto",
        "moby/buildkit/v1/secrets.proto",
        "moby/buildkit/v1/ssh.proto",
        "moby/buildkit/v1/frontend/gateway.proto",
        "fsutil/types/stat.proto",
        "fsutil/types/wire.proto",
        "grpc/health/v1/health.proto",
    ];
    // The crate's copy of Google's own types is ahead of what protox parses, which brings its own.
    let includes = tempfile::tempdir().expect("a temporary folder");
    copy_definitions(&buildkit, includes.path(), Path::new(""));
    generate(out.path(), &files, &[includes.path().to_path_buf()]);

    fs::read_dir(out.path())
        .expect("generated files")
        .map(|entry| {
            let entry = entry.expect("an entry");
            (
                entry.file_name().to_string_lossy().into_owned(),
                fs::read_to_string(entry.path()).expect("generated text"),
            )
        })
        .filter(|(_, text)| !text.trim().is_empty())
        .collect()
}

#[test]
fn generated_code_is_up_to_date() {
    let folder = Path::new(ROOT).join("src/proto/generated");
    let write = env::var_os("K3C_PROTO_WRITE").is_some();
    let files = generated();
    if write {
        fs::create_dir_all(&folder).expect("src/proto/generated");
        for entry in fs::read_dir(&folder).expect("entries") {
            fs::remove_file(entry.expect("an entry").path()).expect("removed");
        }
    }
    for (name, text) in &files {
        let path = folder.join(name);
        if write {
            fs::write(&path, text).expect("written");
        } else {
            let present = fs::read_to_string(&path).unwrap_or_default();
            assert!(present == *text, "{name} is not what the definitions give: run `make proto`");
        }
    }
}

//! The CNI stage (`k3c-cni`): joins the detached network namespace, if it is not there already (BuildKit calls it
//! inside), and hands over to the bridge plugin beside it.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The name under which the stage is executed.
pub const NAME: &str = "k3c-cni";

/// The stage; errors go to standard output in CNI's form.
pub fn run() -> i32 {
    match hand_over() {
        Ok(code) => code,
        Err(e) => {
            let error =
                serde_json::json!({ "cniVersion": "1.0.0", "code": 999, "msg": format!("k3c-cni: {e}") });
            let _ = writeln!(io::stdout(), "{error}");
            1
        }
    }
}

fn hand_over() -> io::Result<i32> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let mut config: Value = serde_json::from_str(&text)?;
    let namespace = adapt(&mut config);
    if let Some(path) = namespace {
        join(Path::new(&path))?;
    }
    let bridge = std::env::current_exe()?.with_file_name("bridge");
    let mut child = Command::new(&bridge).stdin(Stdio::piped()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(config.to_string().as_bytes())?;
    }
    Ok(child.wait()?.code().unwrap_or(1))
}

/// What the bridge plugin is to read; the namespace that was named for us.
fn adapt(config: &mut Value) -> Option<String> {
    let object = config.as_object_mut()?;
    if object.contains_key("type") {
        object.insert("type".into(), "bridge".into());
    }
    object.remove("detachedNetns")?.as_str().map(str::to_owned)
}

fn join(path: &Path) -> io::Result<()> {
    let Ok(wanted) = fs::metadata(path) else { return Ok(()) };
    let own = fs::metadata("/proc/self/ns/net")?;
    if (own.dev(), own.ino()) == (wanted.dev(), wanted.ino()) {
        return Ok(());
    }
    let file = File::open(path)?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_key_is_taken_out() {
        let mut config = serde_json::json!({ "type": "k3c-cni", "detachedNetns": "/n", "bridge": "b" });
        assert_eq!(adapt(&mut config), Some("/n".into()));
        assert_eq!(config, serde_json::json!({ "type": "bridge", "bridge": "b" }));
        assert_eq!(adapt(&mut config), None);
    }
}

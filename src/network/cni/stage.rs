//! The plugin (`k3c-cni`): joins the detached network namespace, if it is not there already (BuildKit calls it inside),
//! and hands over to the bridge plugin beside it.

use super::NAME;
use super::config::DETACHED;
use crate::sys::netns;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs the plugin; errors go to standard output in CNI's form. Returns the exit code.
pub fn run() -> i32 {
    match hand_over() {
        Ok(code) => code,
        Err(e) => {
            let error =
                serde_json::json!({ "cniVersion": "1.0.0", "code": 999, "msg": format!("{NAME}: {e}") });
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
        netns::join(Path::new(&path))?;
    }
    let bridge = std::env::current_exe()?.with_file_name("bridge");
    #[expect(clippy::disallowed_methods, reason = "CNI's plugins are programs")]
    let mut child = Command::new(&bridge).stdin(Stdio::piped()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(config.to_string().as_bytes())?;
    }
    Ok(child.wait()?.code().unwrap_or(1))
}

/// Makes the bridge plugin's configuration of ours; returns the path of the namespace to join.
fn adapt(config: &mut Value) -> Option<String> {
    let object = config.as_object_mut()?;
    if object.contains_key("type") {
        object.insert("type".into(), "bridge".into());
    }
    object.remove(DETACHED)?.as_str().map(str::to_owned)
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

//! `info`

use super::context::Context;
use super::error::Outcome;
use super::format::template::{Data, Template};
use super::version;
use crate::api::docker;
use crate::api::docker::schema::Typed as _;
use serde_json::Value;

/// Display system-wide information
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Format output: 'json', or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
}

/// The engine's document, and what we know of ourselves.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let template = match args.format.as_deref() {
        None | Some("" | "json") => None,
        Some(text) => Some(Template::parse(text)?),
    };
    let mut document = cx.client().await?.info().await?;
    document["ClientInfo"] = docker::value(&docker::ClientInfo {
        version: version::own().to_owned(),
        git_commit: crate::config::commit().to_owned(),
        os: docker::os(std::env::consts::OS).to_owned(),
        arch: docker::arch(std::env::consts::ARCH).to_owned(),
        context: "default".to_owned(),
        ..docker::ClientInfo::default()
    });
    match (template, args.format.as_deref()) {
        (Some(template), _) => {
            cx.ui.line(&template.render(&Data::new(&document, docker::Info::SHAPE))?)?;
        }
        (None, Some("json")) => cx.ui.line(&document.to_string())?,
        (None, _) => {
            for warning in document["Warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                cx.ui.warning(warning);
            }
            cx.ui.data(text(&document).as_bytes())?;
        }
    }
    Ok(())
}

/// Lines in Docker's order: depth, title, key.
const LINES: &[(usize, &str, &str)] = &[
    (0, "Containers", "Containers"),
    (1, "Running", "ContainersRunning"),
    (1, "Paused", "ContainersPaused"),
    (1, "Stopped", "ContainersStopped"),
    (0, "Images", "Images"),
    (0, "Server Version", "ServerVersion"),
    (0, "Storage Driver", "Driver"),
    (0, "Logging Driver", "LoggingDriver"),
    (0, "Cgroup Driver", "CgroupDriver"),
    (0, "Cgroup Version", "CgroupVersion"),
    (0, "Default Runtime", "DefaultRuntime"),
    (0, "Kernel Version", "KernelVersion"),
    (0, "Operating System", "OperatingSystem"),
    (0, "OSType", "OSType"),
    (0, "Architecture", "Architecture"),
    (0, "CPUs", "NCPU"),
    (0, "Total Memory", "MemTotal"),
    (0, "Name", "Name"),
    (0, "ID", "ID"),
    (0, "Docker Root Dir", "DockerRootDir"),
];

/// The document as lines for people; keys that the engine does not have are left out.
fn text(document: &Value) -> String {
    let mut out = format!("Client:\n Version:    {}\n Context:    default\n\nServer:\n", version::own());
    for (depth, title, key) in LINES {
        let value = match &document[*key] {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Number(bytes) if *key == "MemTotal" => memory(bytes.as_f64().unwrap_or_default()),
            other => other.to_string(),
        };
        out.push_str(&format!("{:indent$}{title}: {value}\n", "", indent = depth + 1));
    }
    if let Some(options) = document["SecurityOptions"].as_array() {
        out.push_str(" Security Options:\n");
        for option in options.iter().filter_map(Value::as_str) {
            out.push_str(&format!("  {}\n", option.trim_start_matches("name=")));
        }
    }
    out
}

/// `1.952GiB`: binary units, four significant digits.
fn memory(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut value, mut unit) = (bytes, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if value >= 1000.0 {
        0
    } else if value >= 100.0 {
        1
    } else if value >= 10.0 {
        2
    } else {
        3
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_known() {
        let document = json!({"Containers": 3, "ContainersRunning": 1, "MemTotal": 2_095_890_432u64,
                              "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"]});
        let expected = "Server:\n Containers: 3\n  Running: 1\n Total Memory: 1.952GiB\n Security Options:\n  \
                        seccomp,profile=builtin\n  rootless\n";
        assert!(text(&document).ends_with(expected), "{}", text(&document));
    }
}

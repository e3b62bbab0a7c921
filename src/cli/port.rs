//! `port`

use super::context::Context;
use super::error::{CommandError, Outcome};
use serde_json::Value;

/// List port mappings or a specific mapping for the container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
    #[arg(value_name = "PRIVATE_PORT[/PROTO]")]
    port: Option<String>,
}

/// Published ports only.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let document = cx.client().await?.inspect(&args.container, false).await?;
    let lines = match &args.port {
        None => all(&document["NetworkSettings"]["Ports"]),
        Some(port) => {
            let wanted = wanted(port)?;
            let bound = bound(&document["NetworkSettings"]["Ports"][&wanted]);
            if bound.is_empty() {
                let text = format!("no public port '{port}' published for {}", args.container);
                return Err(CommandError::failed(text));
            }
            bound
        }
    };
    for line in lines {
        cx.ui.line(&line)?;
    }
    Ok(())
}

/// `80` is `80/tcp`.
fn wanted(text: &str) -> Result<String, CommandError> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    match number.parse::<u16>() {
        Ok(number) if number > 0 && !protocol.is_empty() => Ok(format!("{number}/{protocol}")),
        _ => Err(CommandError::failed(format!("invalid port: {text}"))),
    }
}

fn bound(bindings: &Value) -> Vec<String> {
    let text = |binding: &Value, key: &str| binding[key].as_str().unwrap_or_default().to_owned();
    let all = bindings.as_array().into_iter().flatten();
    all.map(|binding| {
        let (ip, port) = (text(binding, "HostIp"), text(binding, "HostPort"));
        if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
    })
    .collect()
}

fn all(ports: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (port, bindings) in ports.as_object().into_iter().flatten() {
        lines.extend(bound(bindings).into_iter().map(|to| format!("{port} -> {to}")));
    }
    lines.sort();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines() {
        let ports = json!({"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
            "9000/tcp": null});
        assert_eq!(all(&ports), ["80/tcp -> 0.0.0.0:8080", "80/tcp -> [::]:8080"]);
        assert_eq!(wanted("80").unwrap(), "80/tcp");
        assert_eq!(wanted("53/udp").unwrap(), "53/udp");
        assert!(wanted("x").is_err());
    }
}

//! The plugin `loopback`: it brings up `lo` in a pod's namespace, which has its addresses by itself.

use super::error::{Code, Refusal};
use super::links::Links;
use super::request::{Config, Pod};
use super::stage::{Outcome, go, no_command, open, versions};
use crate::sys::link::loopback_up;
use serde_json::{Value, json};
use std::net::IpAddr;

/// The device's name.
const DEVICE: &str = "lo";

/// Obeys one command. Nothing is undone: the device goes with its namespace.
pub(super) fn obey(command: &str, config: &Config) -> Result<Outcome, Refusal> {
    let pod = || Pod::read(|name| std::env::var(name).ok());
    match command {
        "ADD" => {
            let pod = pod()?;
            enter(&pod)?;
            loopback_up().map_err(Refusal::kernel("bring up lo"))?;
            let sandbox = pod.need_netns()?.display().to_string();
            let (_, addresses) = device()?;
            Ok(Outcome { answer: Some(document(config.version(), &sandbox, &addresses)), afterwards: None })
        }
        "CHECK" => {
            enter(&pod()?)?;
            match device()? {
                (true, _) => Ok(Outcome::default()),
                (false, _) => Err(Refusal::new(Code::Differs, "lo is down")),
            }
        }
        "DEL" | "GC" | "STATUS" => Ok(Outcome::default()),
        "VERSION" => Ok(versions(config)),
        other => Err(no_command(other)),
    }
}

fn enter(pod: &Pod) -> Result<(), Refusal> {
    let path = pod.need_netns()?;
    go(&open(path, Code::UnknownContainer)?, path)
}

/// Whether the device is up, and its addresses.
fn device() -> Result<(bool, Vec<IpAddr>), Refusal> {
    let asked = Links::here().and_then(|mut links| {
        let link = links.find(DEVICE)?.unwrap_or_default();
        let all = links.addresses(None)?;
        let own = all.into_iter().filter(|(index, _)| *index == link.index).map(|(_, address)| address);
        Ok((link.up, own.collect()))
    });
    asked.map_err(Refusal::kernel("ask about lo"))
}

/// CNI's result.
fn document(version: &str, sandbox: &str, addresses: &[IpAddr]) -> Value {
    let ips: Vec<Value> = addresses
        .iter()
        .map(|address| {
            let bits = if address.is_ipv4() { 8 } else { 128 };
            let mut ip = json!({ "address": format!("{address}/{bits}"), "interface": 0 });
            if version.starts_with("0.") {
                ip["version"] = if address.is_ipv4() { "4" } else { "6" }.into();
            }
            ip
        })
        .collect();
    json!({
        "cniVersion": version,
        "interfaces": [{ "name": DEVICE, "mac": "00:00:00:00:00:00", "sandbox": sandbox }],
        "ips": ips,
        "dns": {},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_form() {
        let addresses = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        assert_eq!(
            document("0.3.1", "/n", &addresses),
            json!({
                "cniVersion": "0.3.1",
                "interfaces": [{ "name": "lo", "mac": "00:00:00:00:00:00", "sandbox": "/n" }],
                "ips": [
                    { "address": "127.0.0.1/8", "interface": 0, "version": "4" },
                    { "address": "::1/128", "interface": 0, "version": "6" },
                ],
                "dns": {},
            })
        );
        assert_eq!(document("1.0.0", "/n", &addresses)["ips"][0].get("version"), None);
    }
}

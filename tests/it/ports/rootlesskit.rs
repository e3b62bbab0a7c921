//! RootlessKit's API for ports: by hand, and by its own client.

use super::bed::{Bed, HOST, SOON, answers, serve};
use super::case;
use crate::Case;
use crate::containers::{DEMO, within};
use crate::host::{Need, tool};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::process::Command;

pub(super) fn cases() -> Vec<Case> {
    const NEEDED: &[Need] = &[Need::Daemon, Need::Program("ip"), Need::Program("nsenter"), Need::Rootlesskit];
    vec![
        case("ports::rootlesskits_api", rootlesskits_api),
        Case::new("ports::rootlessctl", NEEDED, rootlessctl),
    ]
}

/// What RootlessKit's own client says, word for word.
fn rootlesskits_api() -> Result<()> {
    let bed = Bed::rootless(&[])?;
    bed.run("web", &[])?;
    serve(&bed, "web", 80)?;
    let call = |method: &str, path: &str, body: &str| -> Result<(u16, String)> {
        let mut stream = std::os::unix::net::UnixStream::connect(bed.socket())?;
        stream.set_read_timeout(Some(SOON))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: rootlesskit\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").context("no answer")?;
        Ok((head.split(' ').nth(1).unwrap_or_default().parse()?, body.to_owned()))
    };
    let (code, info) = call("GET", "/v1/info", "")?;
    let info: Value = serde_json::from_str(&info)?;
    ensure!(
        code == 200 && info["childPID"] == bed.process("__holder")? && info["portDriver"]["driver"] == "k3c",
        "{info}"
    );
    ensure!(call("GET", "/v1/ports", "")? == (200, "[]".into()));
    let address = bed.env.ok(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web"])?;
    let spec = json!({"proto": "tcp", "parentIP": "0.0.0.0", "parentPort": 8080, "childIP": address, "childPort": 80});
    let (code, status) = call("POST", "/v1/ports", &spec.to_string())?;
    ensure!((code, serde_json::from_str(&status)?) == (201, json!({"id": 1, "spec": spec})), "{status}");
    ensure!(bed.lan(|| Ok(answers(HOST, 8080)))?);
    // It is a person's: an engine that comes up lets it be, and nobody else gets it.
    bed.env.kill_process("__engine")?;
    within(SOON, "the next engine answers", || Ok(bed.env.k3c(&["ps"])?.code == 0))?;
    bed.env
        .k3c(&["run", "-d", "-p", "8080:80", DEMO, "sleep", "9"])?
        .fails(125, "port is already allocated")?;
    ensure!(call("POST", "/v1/ports", "{}")?.0 == 400 && call("DELETE", "/v1/ports/99", "")?.0 == 404);
    ensure!(
        call("DELETE", "/v1/ports/1", "")?.0 == 200 && call("GET", "/v1/ports", "")? == (200, "[]".into())
    );
    ensure!(!bed.lan(|| Ok(answers(HOST, 8080)))?);
    bed.end()
}

fn rootlessctl() -> Result<()> {
    let bed = Bed::rootless(&[])?;
    bed.run("web", &["-p", "8081:81"])?;
    serve(&bed, "web", 80)?;
    let call = |args: &[&str]| -> Result<(bool, String)> {
        let output = Command::new(tool("rootlesskit/rootlessctl"))
            .env("ROOTLESSKIT_STATE_DIR", bed.socket().parent().context("no folder")?)
            .args(args)
            .output()?;
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        Ok((output.status.success(), said.concat()))
    };
    let ok = |args: &[&str]| -> Result<String> {
        let (good, said) = call(args)?;
        ensure!(good, "{args:?}: {said}");
        Ok(said)
    };
    let info = ok(&["info"])?;
    ensure!(
        info.contains("Driver: k3c") && info.contains("Supported protocols: [tcp tcp4 tcp6 udp"),
        "{info}"
    );
    let info: Value = serde_json::from_str(&ok(&["info", "--json"])?)?;
    ensure!(info["networkDriver"]["driver"] == "slirp4netns", "{info}");
    // The engine's ports are in its list.
    let listed = ok(&["list-ports"])?;
    ensure!(listed.lines().filter(|line| line.contains("8081")).count() == 2, "{listed}");
    let address = bed.env.ok(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web"])?;
    let number = ok(&["add-ports", &format!("0.0.0.0:8080:{address}:80/tcp")])?;
    ensure!(bed.lan(|| Ok(answers(HOST, 8080)))?);
    let listed: Vec<Value> =
        ok(&["list-ports", "--json"])?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(listed.len() == 3 && listed.iter().any(|port| port["spec"]["parentPort"] == 8080), "{listed:?}");
    let (good, said) = call(&["add-ports", "0.0.0.0:8081:80/tcp"])?;
    ensure!(!good && said.contains("Bind for 0.0.0.0:8081 failed: port is already allocated"), "{said}");
    let (good, said) = call(&["add-ports", "0.0.0.0:8082:80/sctp"])?;
    ensure!(!good && said.contains("sctp"), "{said}");
    ok(&["remove-ports", number.trim()])?;
    ensure!(!bed.lan(|| Ok(answers(HOST, 8080)))? && ok(&["list-ports", "--json"])?.lines().count() == 2);
    let (good, said) = call(&["remove-ports", "99"])?;
    ensure!(!good && said.contains("no port is published under the number 99"), "{said}");
    bed.end()
}

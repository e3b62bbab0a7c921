//! Networks of the user's: made, joined, left and removed, while containers run and while they do not.

use crate::Case;
use crate::containers::{DEMO, within};
use crate::env::TestEnv;
use crate::host::Need;
use crate::ports::bed::{Bed, SOON};
use crate::shared;
use crate::user::User;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::thread;

const NEEDS: &[Need] = &[Need::Daemon, Need::Program("ip"), Need::Program("nsenter")];

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("networks::made_and_shown", &[Need::Daemon], made_and_shown),
        Case::new("networks::joined_and_left", &[Need::Daemon], || joined_and_left(&*shared::env()?)),
        Case::new("networks::wishes", &[Need::Daemon], wishes),
        Case::new("networks::that_cannot_be", &[Need::Daemon], that_cannot_be),
        Case::new("networks::many_at_once", &[Need::Daemon], many_at_once),
        Case::new("networks::nothing_is_left", NEEDS, nothing_is_left),
        Case::new("networks::roots_own", &[Need::Daemon], || {
            let mut env = TestEnv::of(User::root())?;
            env.start()?;
            joined_and_left(&env)?;
            env.stop()
        }),
    ]
}

fn document(env: &TestEnv, args: &[&str]) -> Result<Value> {
    let all: Value = serde_json::from_str(&env.ok(args)?)?;
    all.get(0).cloned().context("nothing is shown")
}

pub(super) fn run(env: &TestEnv, name: &str, flags: &[&str]) -> Result<String> {
    env.ok(&[&["run", "-d", "--name", name], flags, &[DEMO, "sleep", "1000"]].concat())
}

pub(super) fn address(env: &TestEnv, name: &str, network: &str) -> Result<String> {
    let document = document(env, &["inspect", name])?;
    let place = &document["NetworkSettings"]["Networks"][network];
    Ok(place["IPAddress"].as_str().context("no address")?.to_owned())
}

fn reaches(env: &TestEnv, from: &str, to: &str) -> Result<bool> {
    Ok(env.k3c(&["exec", from, "ping", "-c1", "-W1", to])?.code == 0)
}

fn made_and_shown() -> Result<()> {
    let env = shared::env()?;
    let id = env.ok(&["network", "create", "--label", "a=b", "--subnet", "10.201.0.0/24", "shown"])?;
    ensure!(id.len() == 64, "{id}");
    let document = document(&env, &["network", "inspect", "shown"])?;
    ensure!(
        document["Id"] == id && document["Driver"] == "bridge" && document["Scope"] == "local",
        "{document}"
    );
    ensure!(document["IPAM"]["Config"][0] == json!({ "Subnet": "10.201.0.0/24", "Gateway": "10.201.0.1" }));
    ensure!(document["EnableIPv6"] == true && document["Labels"] == json!({ "a": "b" }), "{document}");
    // By its ID, a prefix of it, and among all things.
    for who in [id.as_str(), &id[..12]] {
        ensure!(env.ok(&["network", "inspect", "-f", "{{.Name}}", who])? == "shown");
    }
    ensure!(env.ok(&["inspect", "-f", "{{.Driver}}", "shown"])? == "bridge");
    ensure!(env.ok(&["inspect", "--type", "network", "-f", "{{.Name}}", "host"])? == "host");
    let list = |filter: &str| env.ok(&["network", "ls", "--format", "{{.Name}}", "--filter", filter]);
    for (filter, there) in [
        ("name=show", true),
        ("label=a=b", true),
        ("label=c", false),
        ("driver=bridge", true),
        ("driver=host", false),
        ("type=custom", true),
        ("type=builtin", false),
        ("dangling=true", true),
    ] {
        let names = list(filter)?;
        ensure!(names.lines().any(|name| name == "shown") == there, "{filter}: {names}");
    }
    ensure!(list("type=builtin")? == "bridge\nhost\nnone");
    let table = env.ok(&["network", "ls", "-f", "name=shown"])?;
    let expected =
        format!("NETWORK ID     NAME      DRIVER    SCOPE\n{}   shown     bridge    local", &id[..12]);
    ensure!(table == expected, "{table}");
    ensure!(env.ok(&["network", "ls", "-q", "--no-trunc", "-f", "name=shown"])? == id);
    // What nobody is in goes with a prune, what a stopped container is in does not.
    env.ok(&["network", "create", "--label", "unused", "unused"])?;
    env.ok(&["create", "--name", "user", "--network", "shown", DEMO, "true"])?;
    let pruned = env.ok(&["network", "prune", "-f", "--filter", "label=unused"])?;
    ensure!(pruned == "Deleted Networks:\nunused", "{pruned}");
    ensure!(list("dangling=false")?.lines().any(|name| name == "shown"));
    // It is no hindrance to a removal; a start then says what is missing.
    ensure!(env.ok(&["network", "rm", "shown"])? == "shown");
    env.k3c(&["start", "user"])?.fails(1, "network shown not found")?;
    // One of the same name is as good.
    env.ok(&["network", "create", "--subnet", "10.202.0.0/24", "shown"])?;
    env.ok(&["start", "-a", "user"])?;
    env.ok(&["rm", "user"])?;
    env.ok(&["network", "rm", "shown"])?;
    let events = env.ok(&[
        "events",
        "--since",
        "10m",
        "--until",
        "0s",
        "--filter",
        "type=network",
        "--format",
        "{{.Action}}",
    ]);
    ensure!(events?.lines().any(|action| action == "create"));
    Ok(())
}

fn joined_and_left(env: &TestEnv) -> Result<()> {
    for name in ["one", "two"] {
        env.ok(&["network", "create", name])?;
    }
    env.ok(&["network", "create", "--internal", "inner"])?;
    run(env, "in-one", &["--network", "one"])?;
    run(env, "in-two", &["--network", "two"])?;
    run(env, "in-none", &[])?;
    run(env, "in-both", &["--network", "one", "--network", "name=two,alias=x"])?;
    let ran = env.k3c(&[
        "run",
        "-d",
        "-p",
        "80",
        "--name",
        "in-inner",
        "--network",
        "inner",
        DEMO,
        "sleep",
        "1000",
    ])?;
    let discarded = "Published ports are discarded when using the internal network inner";
    ensure!(ran.stderr.contains(discarded), "{}", ran.stderr);
    ensure!(env.ok(&["port", "in-inner"])?.is_empty());
    let of = |name: &str, network: &str| address(env, name, network);
    let (one, two, both) = (of("in-one", "one")?, of("in-two", "two")?, of("in-both", "two")?);
    let inner = of("in-inner", "inner")?;
    let default = of("in-none", "bridge")?;
    for (from, to, can) in [
        ("in-both", &one, true),
        ("in-both", &two, true),
        ("in-two", &both, true),
        ("in-one", &two, false),
        ("in-two", &one, false),
        ("in-one", &default, false),
        ("in-none", &one, false),
        ("in-one", &inner, false),
        ("in-inner", &one, false),
    ] {
        ensure!(reaches(env, from, to)? == can, "{from} {to}");
    }
    let both_id = env.ok(&["network", "inspect", "-f", "{{.Id}}", "two"])?;
    for filter in ["network=two", &format!("network={}", &both_id[..12])] {
        let mut names: Vec<String> = env
            .ok(&["ps", "--filter", filter, "--format", "{{.Names}} {{.Networks}}"])?
            .lines()
            .map(str::to_owned)
            .collect();
        names.sort();
        ensure!(names == ["in-both one,two", "in-two two"], "{filter}: {names:?}");
    }
    // The first is the way out; an internal network has none.
    ensure!(env.ok(&["exec", "in-both", "ip", "route"])?.starts_with("default via "));
    ensure!(!env.ok(&["exec", "in-inner", "ip", "route"])?.contains("default"));
    // While it runs.
    env.ok(&["network", "connect", "--alias", "y", "two", "in-one"])?;
    ensure!(reaches(env, "in-one", &two)? && reaches(env, "in-two", &of("in-one", "two")?)?);
    let members: Value =
        serde_json::from_str(&env.ok(&["network", "inspect", "-f", "{{json .Containers}}", "two"])?)?;
    let names: HashSet<&str> =
        members.as_object().context("no set")?.values().filter_map(|m| m["Name"].as_str()).collect();
    ensure!(names == HashSet::from(["in-one", "in-two", "in-both"]), "{members}");
    env.k3c(&["network", "connect", "two", "in-one"])?
        .fails(1, "endpoint with name in-one already exists in network two")?;
    env.k3c(&["network", "rm", "two"])?.fails(1, "network two has active endpoints")?;
    env.ok(&["network", "disconnect", "one", "in-one"])?;
    ensure!(!reaches(env, "in-both", &one)? && reaches(env, "in-one", &two)?);
    let routes = env.ok(&["exec", "in-one", "ip", "route"])?;
    ensure!(routes.contains("default via ") && routes.contains("dev eth1"), "{routes}");
    env.k3c(&["network", "disconnect", "one", "in-one"])?.fails(1, "is not connected to network one")?;
    // And what it is in it is in after a start, too.
    env.ok(&["restart", "-t", "0", "in-one"])?;
    ensure!(reaches(env, "in-one", &two)? && !env.ok(&["exec", "in-one", "ip", "-o", "a"])?.contains("eth1"));
    env.ok(&["network", "disconnect", "two", "in-one"])?;
    ensure!(env.ok(&["exec", "in-one", "ls", "/sys/class/net"])? == "lo");
    env.ok(&["network", "connect", "bridge", "in-one"])?;
    ensure!(reaches(env, "in-one", &default)?);
    // Of one that does not run.
    env.ok(&["stop", "-t", "0", "in-one"])?;
    env.ok(&["network", "connect", "two", "in-one"])?;
    env.ok(&["network", "disconnect", "bridge", "in-one"])?;
    env.ok(&["start", "in-one"])?;
    ensure!(reaches(env, "in-one", &two)? && !reaches(env, "in-one", &default)?);
    env.ok(&["rm", "-f", "in-one", "in-two", "in-none", "in-both", "in-inner"])?;
    env.ok(&["network", "rm", "one", "two", "inner"]).map(drop)
}

fn wishes() -> Result<()> {
    let env = shared::env()?;
    let create = ["network", "create", "--subnet", "10.203.0.0/24", "--gateway", "10.203.0.254"];
    let more = ["--ip-range", "10.203.0.16/30", "--aux-address", "host=10.203.0.17", "--subnet", "fd03::/64"];
    env.ok(&[&create[..], &more, &["-o", "com.docker.network.driver.mtu=1400", "wished"]].concat())?;
    let fixed = [
        "--network",
        "wished",
        "--ip",
        "10.203.0.18",
        "--ip6",
        "fd03::99",
        "--mac-address",
        "02-00-00-00-00-AB",
    ];
    run(&env, "fixed", &fixed)?;
    let said = env.ok(&["exec", "fixed", "ip", "a", "show", "eth0"])?;
    for part in ["mtu 1400", "02:00:00:00:00:ab", "inet 10.203.0.18/24", "inet6 fd03::99/64"] {
        ensure!(said.contains(part), "{part}: {said}");
    }
    ensure!(env.ok(&["exec", "fixed", "ip", "route"])?.starts_with("default via 10.203.0.254"));
    let document = document(&env, &["inspect", "fixed"])?;
    let place = &document["NetworkSettings"]["Networks"]["wished"];
    for (key, value) in [
        ("IPAddress", "10.203.0.18"),
        ("GlobalIPv6Address", "fd03::99"),
        ("MacAddress", "02:00:00:00:00:ab"),
        ("Gateway", "10.203.0.254"),
    ] {
        ensure!(place[key] == value, "{key}: {place}");
    }
    ensure!(place["IPAMConfig"] == json!({ "IPv4Address": "10.203.0.18", "IPv6Address": "fd03::99" }));
    // Of four addresses two can be given out.
    let flags = ["--network", "wished"];
    run(&env, "free-1", &flags)?;
    run(&env, "free-2", &flags)?;
    let mut both = [address(&env, "free-1", "wished")?, address(&env, "free-2", "wished")?];
    both.sort();
    ensure!(both == ["10.203.0.16", "10.203.0.19"], "{both:?}");
    let third = env.k3c(&["run", "-d", "--name", "free-3", "--network", "wished", DEMO, "true"])?;
    third.fails(125, "failed to set up container networking: no address of 10.203.0.16/30 is free")?;
    ensure!(env.ok(&["ps", "-aq", "-f", "name=free-3"])?.is_empty());
    let again = env.k3c(&["run", "--rm", "--network", "wished", "--ip", "10.203.0.18", DEMO, "true"])?;
    again.fails(125, "Address already in use: 10.203.0.18")?;
    let again = env.k3c(&[
        "run",
        "--rm",
        "--network",
        "wished",
        "--ip",
        "10.203.0.20",
        "--ip6",
        "fd03::99",
        DEMO,
        "true",
    ])?;
    again.fails(125, "Address already in use: fd03::99")?;
    // An address that a container wishes for is kept for it while it does not run.
    env.ok(&["stop", "-t", "0", "fixed"])?;
    env.k3c(&["run", "--rm", "--network", "wished", DEMO, "true"])?.fails(125, "no address of")?;
    env.ok(&["start", "fixed"])?;
    ensure!(address(&env, "fixed", "wished")? == "10.203.0.18");
    env.ok(&["rm", "-f", "fixed", "free-1", "free-2"])?;
    env.ok(&["network", "rm", "wished"]).map(drop)
}

fn that_cannot_be() -> Result<()> {
    let env = shared::env()?;
    env.ok(&["network", "create", "--subnet", "10.204.0.0/24", "there"])?;
    for (flags, text) in [
        (&["there"][..], "network with name there already exists"),
        (&["bridge"], "operation is not permitted on predefined bridge network"),
        (&["a b"], "Invalid network name (a b)"),
        (&["container:x"], "Invalid network name"),
        (&["-d", "macvlan", "x"], "plugin \"macvlan\" not found: only the driver bridge exists"),
        (&["--subnet", "10.204.0.128/25", "x"], "Pool overlaps with other one on this address space"),
        (&["--subnet", "10.88.7.0/24", "x"], "Pool overlaps"),
        (&["--subnet", "10.205.0.1/24", "x"], "it should be 10.205.0.0/24"),
        (&["--subnet", "10.205.0.0/31", "x"], "invalid subnet 10.205.0.0/31"),
        (&["--subnet", "fd00::/48", "x"], "64 bits"),
        (
            &["--subnet", "10.205.0.0/24", "--gateway", "10.206.0.1", "x"],
            "no matching subnet for gateway 10.206.0.1",
        ),
        (&["--subnet", "10.205.0.0/24", "--ip-range", "10.206.0.0/25", "x"], "no matching subnet for range"),
        (
            &["-o", "com.docker.network.bridge.name=x", "x"],
            "option \"com.docker.network.bridge.name\" cannot be had",
        ),
        (&["-o", "com.docker.network.driver.mtu=9", "x"], "no number from 1280 to 65535"),
        (&["--ipv6=false", "--subnet", "fd05::/64", "x"], "conflicting options: --ipv6=false"),
    ] {
        env.k3c(&[&["network", "create"], flags].concat())?.fails(1, text)?;
    }
    for (args, text) in [
        (&["network", "rm", "nowhere"][..], "network nowhere not found"),
        (&["network", "rm", "host"], "host is a pre-defined network and cannot be removed"),
        (&["network", "inspect", "nowhere"], "network nowhere not found"),
        (&["network", "connect", "there", "nobody"], "No such container: nobody"),
        (&["network", "disconnect", "nowhere", "nobody"], "No such container: nobody"),
    ] {
        env.k3c(args)?.fails(1, text)?;
    }
    ensure!(env.ok(&["network", "rm", "-f", "nowhere"])?.is_empty());
    run(&env, "hosts", &["--network", "host"])?;
    env.k3c(&["network", "connect", "there", "hosts"])?
        .fails(1, "container sharing network namespace with another container or host")?;
    env.k3c(&["network", "connect", "nowhere", "hosts"])?.fails(1, "container sharing")?;
    let refused = env.k3c(&["run", "--rm", "--network", "there", "--ip", "10.9.9.9", DEMO, "true"])?;
    refused.fails(125, "no configured subnet contains IP address 10.9.9.9")?;
    let twice = env.k3c(&["run", "--rm", "--network", "there", "--network", "there", DEMO, "true"])?;
    twice.fails(125, "network \"there\" is specified multiple times")?;
    env.ok(&["rm", "-f", "hosts"])?;
    env.ok(&["network", "rm", "there"]).map(drop)
}

/// Clients that make, use and remove networks at once have subnets and addresses of their own.
fn many_at_once() -> Result<()> {
    let env = shared::env()?;
    let one = |number: usize| -> Result<(String, String)> {
        let (network, container) = (format!("many-{number}"), format!("in-many-{number}"));
        env.ok(&["network", "create", &network])?;
        run(&env, &container, &["--network", &network, "--network", "bridge"])?;
        let subnet = env.ok(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", &network])?;
        let address = address(&env, &container, "bridge")?;
        Ok((subnet, address))
    };
    let all: Vec<(String, String)> = thread::scope(|scope| {
        let clients: Vec<_> = (0..6).map(|number| scope.spawn(move || one(number))).collect();
        clients.into_iter().map(|client| client.join().expect("a client")).collect::<Result<_>>()
    })?;
    let subnets: HashSet<&String> = all.iter().map(|(subnet, _)| subnet).collect();
    let addresses: HashSet<&String> = all.iter().map(|(_, address)| address).collect();
    ensure!(subnets.len() == 6 && addresses.len() == 6, "{all:?}");
    for number in 0..6 {
        env.ok(&["rm", "-f", &format!("in-many-{number}")])?;
        env.ok(&["network", "rm", &format!("many-{number}")])?;
    }
    Ok(())
}

/// Bridges and rules go with their networks, also when an engine dies between; and come back when somebody removes them.
fn nothing_is_left() -> Result<()> {
    let bed = Bed::rootless(&[])?;
    let env = &bed.env;
    let bridges = || {
        bed.bridge(|| {
            let all = std::fs::read_dir("/proc/thread-self/net/dev_snmp6")?.flatten();
            let names = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
            let mut ours: Vec<String> = names.filter(|name| name.starts_with("k3c-")).collect();
            ours.sort();
            Ok(ours)
        })
    };
    let id = env.ok(&["network", "create", "stays"])?;
    run(env, "stays", &["--network", "stays"])?;
    ensure!(bridges()? == [format!("k3c-{}", &id[..11])]);
    // Another bridge of ours, of which no record tells.
    bed.bridge(|| {
        for args in ["link add k3c-0123456789a type bridge", "link set k3c-0123456789a alias k3c:"] {
            let done = std::process::Command::new("ip").args(args.split(' ')).status()?;
            ensure!(done.success(), "{args}");
        }
        Ok(())
    })?;
    ensure!(bridges()?.len() == 2);
    env.kill_process("__engine")?;
    within(SOON, "the bridge of no network is gone", || Ok(bridges()?.len() == 1))?;
    let ip = address(env, "stays", "stays")?;
    ensure!(env.k3c(&["exec", "stays", "ping", "-c1", "-W1", &ip])?.code == 0);
    // Its interface deleted by hand: a restart gives it a new one.
    bed.bridge(|| {
        let done = std::process::Command::new("sh")
            .args(["-c", "ip -o link show type veth | sed 's/^[0-9]*: //; s/@.*//' | while read v; do ip link del $v; done"])
            .status()?;
        ensure!(done.success());
        Ok(())
    })?;
    env.ok(&["restart", "-t", "0", "stays"])?;
    let gateway = env.ok(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "stays"])?;
    ensure!(reaches(env, "stays", &gateway)?);
    env.ok(&["rm", "-f", "stays"])?;
    env.ok(&["network", "rm", "stays"])?;
    ensure!(bridges()?.is_empty());
    bed.end()
}

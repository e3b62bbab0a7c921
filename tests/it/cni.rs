//! The CNI plugin, as a runtime calls it: in network namespaces of the test's own, with no daemon. Whatever is killed,
//! and when, no interface and no address is left over.

mod bed;
mod daemon;

use crate::containers::within;
use crate::host::Need;
use crate::{Case, report};
use anyhow::{Context, Result, ensure};
use bed::{Bed, code};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

const NEEDS: &[Need] = &[Need::Root, Need::Program("ip")];

/// Removals behind the answer are over by then.
const SOON: Duration = Duration::from_secs(10);

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case::new(name, NEEDS, run);
    let mut cases = vec![
        case("cni::pods_reach_each_other", pods_reach_each_other),
        case("cni::answers_of_each_version", answers_of_each_version),
        case("cni::refusals", refusals),
        case("cni::check_sees_what_differs", check_sees_what_differs),
        case("cni::del_again_and_without_a_namespace", del_again_and_without_a_namespace),
        case("cni::killed_at_each_point", killed_at_each_point),
        case("cni::gc_keeps_what_is_valid", gc_keeps_what_is_valid),
        case("cni::a_hundred_at_once", a_hundred_at_once),
        case("cni::three_hundred_in_a_row", three_hundred_in_a_row),
        case("cni::pods_of_older_versions", pods_of_older_versions),
        case("cni::no_ipv6", no_ipv6),
        case("cni::loopback_for_buildkit", loopback_for_buildkit),
        Case::new(
            "cni::no_other_program",
            &[Need::Root, Need::Program("ip"), Need::Program("strace")],
            no_other_program,
        ),
        case("cni::several_networks", several_networks),
        Case::new("cni::cnitool", &[Need::Root, Need::Program("ip"), Need::Cnitool], cnitool),
    ];
    cases.extend(daemon::cases());
    cases
}

/// The pod's addresses in an answer, without their bits.
fn addresses(answer: &Value) -> Result<Vec<IpAddr>> {
    let ips = answer["ips"].as_array().context("no ips")?;
    let parsed = ips.iter().map(|ip| {
        Ok(ip["address"].as_str().unwrap_or_default().split('/').next().unwrap_or_default().parse()?)
    });
    parsed.collect()
}

fn pods_reach_each_other() -> Result<()> {
    let bed = Bed::new()?;
    let (a, b) = (bed.namespace("a")?, bed.namespace("b")?);
    let one = bed.add("one", &a)?;
    let two = addresses(&bed.add("two", &b)?)?;
    ensure!(two.len() == 2 && two[0].is_ipv4() && two[1].is_ipv6(), "{two:?}");
    for address in &two {
        bed.reaches(&a, &b, *address)?;
    }
    // The first address is the gateway's, and is reached as well.
    for (ip, expected) in one["ips"].as_array().context("ips")?.iter().zip(["10.77.0.1", "fd77::1"]) {
        ensure!(ip["gateway"] == expected, "{one}");
        bed.reaches(&a, &bed.root, expected.parse()?)?;
    }
    let routes = bed.ip(&["-n", &a, "route"])?;
    ensure!(routes.contains("default via 10.77.0.1 dev eth0"), "{routes}");
    let rules = bed.inside(&bed.root, "nft", &["list", "table", "inet", "k3c"]);
    if let Ok(rules) = rules {
        let expected = [
            "ip saddr 10.77.0.0/24 oifname != \"br0\" masquerade",
            "ip6 saddr fd77::/64 oifname != \"br0\" masquerade",
        ];
        ensure!(expected.iter().all(|rule| rules.contains(rule)), "{rules}");
        // Somebody takes it away: the next pod brings it back, once.
        bed.inside(&bed.root, "nft", &["flush", "ruleset"])?;
        bed.add("three", &bed.namespace("c")?)?;
        let again = bed.inside(&bed.root, "nft", &["list", "table", "inet", "k3c"])?;
        ensure!(again == rules, "{again}");
    }
    Ok(())
}

fn answers_of_each_version() -> Result<()> {
    let mut bed = Bed::new()?;
    let versions = bed.call("VERSION", "", "", &[])?;
    ensure!(
        versions["supportedVersions"] == json!(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]),
        "{versions}"
    );
    for version in ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        bed.config["cniVersion"] = version.into();
        let namespace = bed.namespace(version)?;
        let answer = bed.add(version, &namespace)?;
        ensure!(answer["cniVersion"] == version, "{answer}");
        let interface = &answer["interfaces"][2];
        ensure!(interface["name"] == "eth0" && interface["sandbox"] == Bed::path(&namespace), "{answer}");
        let link: Value = serde_json::from_str(&bed.ip(&["-j", "-n", &namespace, "link", "show", "eth0"])?)?;
        ensure!(interface["mac"] == link[0]["address"] && link[0]["mtu"] == 1400, "{answer} {link}");
        ensure!(interface.get("mtu").is_some() == (version == "1.1.0"), "{answer}");
        let host = answer["interfaces"][1]["name"].as_str().context("host's end")?;
        ensure!(host.starts_with("veth") && bed.ports()?.contains(host), "{answer}");
        let four = (version < "1").then(|| json!("4"));
        ensure!(answer["ips"][0].get("version") == four.as_ref(), "{answer}");
    }
    bed.call("STATUS", "", "", &[]).map(drop)
}

fn refusals() -> Result<()> {
    let mut bed = Bed::new()?;
    let a = bed.namespace("a")?;
    let whole = bed.config.clone();
    for (key, value, expected) in [
        ("cniVersion", json!("7.0.0"), 1),
        ("runtimeConfig", json!({ "portMappings": [{ "hostPort": 80, "containerPort": 80 }] }), 2),
        ("runtimeConfig", json!({ "bandwidth": { "ingressRate": 1 } }), 2),
        ("ipam", json!({ "type": "host-local" }), 2),
        ("prevResult", json!({ "cniVersion": "1.0.0" }), 2),
        ("subnet", json!("nonsense"), 7),
        ("detachedNetns", json!("/nowhere"), 50),
    ] {
        bed.config[key] = value.clone();
        let refused = code(bed.call("ADD", "one", &a, &[]))?;
        ensure!(refused.0 == expected, "{key} {value}: {refused:?}");
        bed.config = whole.clone();
    }
    for (id, namespace, expected) in
        [("", a.as_str(), 4), ("../x", &a, 4), ("one", "", 4), ("one", "nowhere", 3)]
    {
        let refused = code(bed.call("ADD", id, namespace, &[]))?;
        ensure!(refused.0 == expected, "{id:?} {namespace:?}: {refused:?}");
    }
    ensure!(code(bed.call("DANCE", "one", &a, &[]))?.0 == 4);
    ensure!(code(bed.call("CHECK", "one", &a, &[]))?.0 == 7, "no prevResult");
    ensure!(bed.ports()?.is_empty(), "{:?}", bed.ports());
    // An address for each of six, and none for the seventh.
    bed.config["subnet"] = "10.77.0.0/29".into();
    for number in 0..5 {
        bed.add_as(&format!("c{number}"), &a, &format!("eth{number}"))?;
    }
    let refused = code(bed.add_as("c9", &a, "eth9"))?;
    ensure!(refused.0 == 100 && refused.1.contains("no address of 10.77.0.0/29 is free"), "{refused:?}");
    // Twice the same is an error, and takes nothing away.
    let before = bed.ports()?;
    ensure!(code(bed.add_as("c1", &a, "eth1"))?.0 == 100 && bed.ports()? == before);
    bed.config = whole;
    ensure!(code(bed.add_as("c1", &a, "eth1"))?.0 == 102 && bed.ports()? == before);
    Ok(())
}

fn check_sees_what_differs() -> Result<()> {
    let mut bed = Bed::new()?;
    let a = bed.namespace("a")?;
    let answer = bed.add("one", &a)?;
    let host = answer["interfaces"][1]["name"].as_str().context("host's end")?.to_owned();
    bed.config["prevResult"] = answer.clone();
    bed.call("CHECK", "one", &a, &[])?;
    let root = bed.root.clone();
    for (break_it, mend_it, words) in [
        (
            vec!["-n", &a, "addr", "del", "10.77.0.2/24", "dev", "eth0"],
            vec!["-n", &a, "addr", "add", "10.77.0.2/24", "dev", "eth0"],
            "lacks the address 10.77.0.2",
        ),
        (
            vec!["-n", &a, "route", "replace", "default", "dev", "eth0"],
            vec!["-n", &a, "route", "replace", "default", "via", "10.77.0.1"],
            "no default route through 10.77.0.1",
        ),
        (
            vec!["-n", &root, "link", "set", &host, "nomaster"],
            vec!["-n", &root, "link", "set", &host, "master", "br0"],
            "no port of br0",
        ),
        (
            vec!["-n", &root, "link", "set", &host, "down"],
            vec!["-n", &root, "link", "set", &host, "up"],
            "is down",
        ),
        (
            vec!["-n", &a, "link", "set", "eth0", "address", "02:00:00:00:00:09"],
            vec![
                "-n",
                &a,
                "link",
                "set",
                "eth0",
                "address",
                answer["interfaces"][2]["mac"].as_str().context("mac")?,
            ],
            "has the MAC address 02:00:00:00:00:09",
        ),
        (
            vec!["-n", &a, "link", "set", "eth0", "down"],
            vec!["-n", &a, "link", "set", "eth0", "up"],
            "eth0 is down",
        ),
    ] {
        bed.ip(&break_it)?;
        let refused = code(bed.call("CHECK", "one", &a, &[]))?;
        ensure!(refused.0 == 101 && refused.1.contains(words), "{break_it:?}: {refused:?}");
        bed.ip(&mend_it)?;
        if words.contains("lacks") || words.contains("no default") {
            bed.ip(&["-n", &a, "route", "replace", "default", "via", "10.77.0.1"])?;
            bed.call("CHECK", "one", &a, &[]).with_context(|| format!("{mend_it:?}"))?;
        }
    }
    bed.ip(&["-n", &a, "link", "del", "eth0"])?;
    ensure!(code(bed.call("CHECK", "one", &a, &[]))?.0 == 101);
    Ok(())
}

fn del_again_and_without_a_namespace() -> Result<()> {
    let bed = Bed::new()?;
    let (a, b) = (bed.namespace("a")?, bed.namespace("b")?);
    // Before there is anything at all.
    bed.call("DEL", "one", &a, &[])?;
    bed.add("one", &a)?;
    bed.add("two", &b)?;
    bed.call("DEL", "one", &a, &[])?;
    // The same once more: while the kernel is at it, and when it is done.
    bed.call("DEL", "one", &a, &[])?;
    // At once into the same namespace, under the same name.
    let again = addresses(&bed.add("one", &a)?)?;
    ensure!(again[0].to_string() == "10.77.0.4", "an address just freed was given out again: {again:?}");
    bed.call("DEL", "one", &a, &[])?;
    within(SOON, "one's interface is gone", || Ok(bed.ports()?.len() == 1))?;
    bed.call("DEL", "one", &a, &[])?;
    // A runtime that has lost the namespace, or knows of none.
    bed.call("DEL", "two", "", &[])?;
    bed.call("DEL", "two", "vanished", &[])?;
    within(SOON, "two's interface is gone", || Ok(bed.ports()?.is_empty()))?;
    bed.add("two", &b)?;
    bed.ip(&["netns", "del", &b])?;
    within(SOON, "two's interface went with its namespace", || Ok(bed.ports()?.is_empty()))?;
    bed.call("DEL", "two", &b, &[]).map(drop)
}

fn killed_at_each_point() -> Result<()> {
    let bed = Bed::new()?;
    let mut seen = BTreeSet::new();
    let mut fresh = |bed: &Bed, id: &str, namespace: &str| -> Result<()> {
        let got = addresses(&bed.add(id, namespace)?)?;
        ensure!(seen.insert(got[0]), "{got:?} was given out before");
        Ok(())
    };
    for point in ["bridge", "chosen", "made", "inside", "answer"] {
        let namespace = bed.namespace(point)?;
        let id = format!("add-{point}");
        bed.dies("ADD", &id, &namespace, point)?;
        // The runtime knows of none.
        bed.gc(&[])?;
        ensure!(bed.ports()?.is_empty(), "{point}: {:?}", bed.ports());
        fresh(&bed, &id, &namespace)?;
        bed.call("DEL", &id, &namespace, &[])?;
        within(SOON, "nothing is left", || Ok(bed.ports()?.is_empty()))?;
        // The runtime knows of its attempt, and takes it back.
        bed.dies("ADD", &id, &namespace, point)?;
        bed.call("DEL", &id, &namespace, &[])?;
        within(SOON, "nothing is left", || Ok(bed.ports()?.is_empty()))?;
        // The runtime is killed, too, and the namespace goes.
        bed.dies("ADD", &id, &namespace, point)?;
        bed.ip(&["netns", "del", &namespace])?;
        within(SOON, "nothing is left", || Ok(bed.ports()?.is_empty()))?;
    }
    let next = bed.namespace("next")?;
    for point in ["marked", "behind"] {
        let namespace = bed.namespace(point)?;
        fresh(&bed, "dying", &namespace)?;
        match point {
            "marked" => bed.dies("DEL", "dying", &namespace, point)?,
            // What is killed is the child, which nobody waits for.
            _ => drop(bed.call("DEL", "dying", &namespace, &[("K3C_TEST_CNI_DIES", point)])?),
        }
        std::thread::sleep(Duration::from_millis(200));
        ensure!(bed.ports()?.len() == 1, "{point}: it was not killed in time");
        // The next ADD, of anything, sweeps up.
        fresh(&bed, "next", &next)?;
        within(SOON, "only the next is there", || Ok(bed.ports()?.len() == 1))?;
        bed.call("DEL", "next", &next, &[])?;
        within(SOON, "nothing is left", || Ok(bed.ports()?.is_empty()))?;
        // DEL, once more, does as well; so does GC.
        bed.add("dying", &namespace)?;
        bed.call("DEL", "dying", &namespace, &[("K3C_TEST_CNI_DIES", point)]).ok();
        bed.gc(&[("dying", "eth0")])?;
        ensure!(bed.ports()?.is_empty(), "{point}: {:?}", bed.ports());
    }
    Ok(())
}

/// A pod in several networks, as its annotation says: all of them, or none.
fn several_networks() -> Result<()> {
    let mut bed = Bed::new()?;
    let (a, b) = (bed.namespace("a")?, bed.namespace("b")?);
    let network = |bridge: &str, number: u8, internal: bool| {
        json!({
            "bridge": bridge, "subnet": format!("10.78.{number}.0/24"), "gateway": format!("10.78.{number}.1"),
            "range": format!("10.78.{number}.128/25"), "subnet6": format!("fd78:{number}::/64"),
            "internal": internal, "mtu": null,
        })
    };
    let whole = bed.config.clone();
    let annotated = |places: Value| {
        let mut config = whole.clone();
        config["runtimeConfig"] =
            json!({ "io.kubernetes.cri.pod-annotations": { "io.k3c.networks": places.to_string() } });
        config
    };
    let places = json!([
        { "interface": "eth0", "network": network("k3ct1", 1, false) },
        { "interface": "eth1", "network": network("k3ct2", 2, true), "address": "10.78.2.9", "address_6": "fd78:2::77" },
        { "interface": "eth2" },
    ]);
    bed.config = annotated(places.clone());
    let answer = bed.add("one", &a)?;
    let interfaces = answer["interfaces"].as_array().context("interfaces")?;
    let names: Vec<&str> = interfaces.iter().filter_map(|one| one["name"].as_str()).collect();
    ensure!(names.len() == 9 && (names[2], names[5], names[8]) == ("eth0", "eth1", "eth2"), "{answer}");
    let all: Vec<String> = addresses(&answer)?.iter().map(ToString::to_string).collect();
    ensure!(all[..4] == ["10.78.1.128", "fd78:1::80", "10.78.2.9", "fd78:2::77"], "{all:?}");
    // One way out: the first that has one.
    let routes = bed.ip(&["-n", &a, "route"])?;
    ensure!(routes.matches("default").count() == 1 && routes.contains("via 10.78.1.1 dev eth0"), "{routes}");
    bed.config["prevResult"] = answer.clone();
    bed.call("CHECK", "one", &a, &[])?;
    // What one place cannot have undoes the others.
    bed.config = annotated(json!([
        { "interface": "eth0", "network": network("k3ct1", 1, false) },
        { "interface": "eth1", "network": network("k3ct2", 2, true), "address": "10.78.2.9" },
    ]));
    let refused = code(bed.add("two", &b))?;
    ensure!(refused == (100, "k3c-cni: Address already in use: 10.78.2.9".into()), "{refused:?}");
    ensure!(!bed.ip(&["-n", &b, "-o", "link"])?.contains("eth0"));
    // Networks of ours do not reach each other; what is in both reaches both.
    bed.config = annotated(json!([{ "interface": "eth0", "network": network("k3ct2", 2, true) }]));
    let two = addresses(&bed.add("two", &b)?)?;
    bed.reaches(&a, &b, two[0])?;
    ensure!(bed.reaches(&b, &a, "10.78.1.128".parse()?).is_err());
    // GC knows the first interface of a pod that was connected to another network later.
    bed.config = annotated(json!([{ "interface": "eth3", "network": network("k3ct3", 3, false) }]));
    bed.add_as("one", &a, "eth3")?;
    bed.config = whole.clone();
    bed.gc(&[("one", "eth0")])?;
    ensure!(!bed.ip(&["-n", &b, "-o", "link"])?.contains(": eth"), "two is not valid");
    let links = bed.ip(&["-n", &a, "-o", "link"])?;
    ensure!((0..4).all(|number| links.contains(&format!(": eth{number}"))), "{links}");
    bed.config = annotated(places);
    bed.call("DEL", "one", &a, &[])?;
    crate::containers::within(SOON, "the interfaces are gone", || {
        let links = bed.ip(&["-n", &a, "-o", "link"])?;
        Ok((0..3).all(|number| !links.contains(&format!(": eth{number}"))))
    })
}

fn gc_keeps_what_is_valid() -> Result<()> {
    let mut bed = Bed::new()?;
    let a = bed.namespace("a")?;
    let names: Vec<String> = (0..4)
        .map(|number| {
            let answer = bed.add_as(&format!("c{number}"), &a, &format!("eth{number}"))?;
            Ok(answer["interfaces"][1]["name"].as_str().unwrap_or_default().to_owned())
        })
        .collect::<Result<_>>()?;
    // Another network on the same bridge, and an interface of nobody's.
    bed.config["name"] = "other".into();
    let other = bed.add_as("c0", &a, "eth9")?;
    let other = other["interfaces"][1]["name"].as_str().context("host's end")?.to_owned();
    bed.config["name"] = "test".into();
    bed.ip(&["-n", &bed.root, "link", "add", "nobodys", "master", "br0", "type", "veth"])?;
    // The name of the interface counts, too.
    bed.dies_in("GC", &[("c1", "eth1")], "removing")?;
    bed.gc(&[("c1", "eth1"), ("c3", "eth2"), ("unknown", "eth0")])?;
    let left = bed.ports()?;
    let expected: BTreeSet<String> = [names[1].clone(), other, "nobodys".into()].into();
    ensure!(left == expected, "{left:?} {expected:?}");
    bed.gc(&[])?;
    ensure!(bed.ports()?.len() == 2, "{:?}", bed.ports());
    Ok(())
}

fn a_hundred_at_once() -> Result<()> {
    let bed = Bed::new()?;
    let namespaces: Vec<String> =
        (0..10).map(|number| bed.namespace(&format!("n{number}"))).collect::<Result<_>>()?;
    let answers: Vec<Result<Value>> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..100)
            .map(|number| {
                let (bed, namespace) = (&bed, &namespaces[number % 10]);
                scope.spawn(move || {
                    bed.add_as(&format!("c{number}"), namespace, &format!("eth{}", number / 10))
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().expect("a call")).collect()
    });
    let mut seen = BTreeSet::new();
    for answer in answers {
        for address in addresses(&answer?)? {
            ensure!(seen.insert(address), "{address} twice");
        }
    }
    ensure!(seen.len() == 200 && bed.ports()?.len() == 100);
    bed.gc(&[])?;
    ensure!(bed.ports()?.is_empty());
    Ok(())
}

fn three_hundred_in_a_row() -> Result<()> {
    let mut bed = Bed::new()?;
    // Fewer addresses than pods: what is not given back is missed.
    bed.config["subnet"] = "10.77.0.0/26".into();
    let namespaces = [bed.namespace("a")?, bed.namespace("b")?];
    let (mut adds, mut dels) = (Vec::new(), Vec::new());
    let mut last = Vec::new();
    for number in 0..300 {
        let (id, namespace) = (format!("c{number}"), &namespaces[number % 2]);
        let since = Instant::now();
        let got = addresses(&bed.add(&id, namespace)?)?[0];
        adds.push(since.elapsed());
        ensure!(!last.contains(&got), "{got} is given out again at once");
        last.insert(0, got);
        last.truncate(30);
        let since = Instant::now();
        bed.call("DEL", &id, namespace, &[])?;
        dels.push(since.elapsed());
    }
    within(SOON, "nothing is left", || Ok(bed.ports()?.is_empty()))?;
    for (what, times) in [("ADD", &mut adds), ("DEL", &mut dels)] {
        times.sort();
        report(&format!("{what}: least {:?}, median {:?}, most {:?}", times[0], times[150], times[299]));
    }
    Ok(())
}

fn pods_of_older_versions() -> Result<()> {
    let bed = Bed::new()?;
    let (old, a) = (bed.namespace("old")?, bed.namespace("a")?);
    bed.add("warm", &a)?;
    bed.call("DEL", "warm", &a, &[])?;
    within(SOON, "nothing is left", || Ok(bed.ports()?.is_empty()))?;
    // As the plugin of the CNI project makes them; the address is the next in turn.
    let root = bed.root.clone();
    for line in [
        &["-n", &root, "link", "add", "veth12345678", "type", "veth", "peer", "name", "eth0", "netns", &old]
            [..],
        &["-n", &root, "link", "set", "veth12345678", "master", "br0", "up"],
        &["-n", &old, "addr", "add", "10.77.0.3/24", "dev", "eth0"],
        &["-n", &old, "link", "set", "eth0", "up"],
    ] {
        bed.ip(line)?;
    }
    let fresh = addresses(&bed.add("new", &a)?)?[0];
    ensure!(fresh.to_string() == "10.77.0.4", "{fresh} is an old pod's, or is not the next");
    bed.reaches(&a, &old, "10.77.0.3".parse()?)?;
    // GC does not know whose it is; DEL does.
    bed.gc(&[("new", "eth0")])?;
    ensure!(bed.ports()?.len() == 2);
    bed.call("DEL", "oldest", &old, &[])?;
    within(SOON, "the old pod's interface is gone", || Ok(bed.ports()?.len() == 1))?;
    // An interface that has nothing to do with the bridge stays.
    bed.ip(&["-n", &old, "link", "add", "eth0", "type", "veth"])?;
    bed.call("DEL", "oldest", &old, &[])?;
    bed.ip(&["-n", &old, "link", "show", "eth0"]).map(drop)
}

fn no_ipv6() -> Result<()> {
    let bed = Bed::new()?;
    let (a, b) = (bed.namespace("a")?, bed.namespace("b")?);
    bed.inside(&a, "sh", &["-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"])?;
    let one = addresses(&bed.add("one", &a)?)?;
    ensure!(one.len() == 1 && one[0].is_ipv4(), "{one:?}");
    let two = addresses(&bed.add("two", &b)?)?;
    ensure!(two.len() == 2, "{two:?}");
    bed.reaches(&a, &b, two[0])
}

fn loopback_for_buildkit() -> Result<()> {
    let bed = Bed::new()?;
    let a = bed.namespace("a")?;
    bed.loopback("CHECK", &a).err().context("lo is not down in a new namespace")?;
    let answer = bed.loopback("ADD", &a)?;
    let known: Vec<String> = addresses(&answer)?.iter().map(ToString::to_string).collect();
    ensure!(known == ["127.0.0.1", "::1"] && answer["interfaces"][0]["name"] == "lo", "{answer}");
    bed.reaches(&a, &a, "127.0.0.1".parse()?)?;
    bed.loopback("CHECK", &a)?;
    bed.loopback("DEL", &a)?;
    bed.ip(&["netns", "del", &a])?;
    bed.loopback("DEL", &a).map(drop)
}

fn no_other_program() -> Result<()> {
    let bed = Bed::new()?;
    let a = bed.namespace("a")?;
    for command in ["ADD", "DEL"] {
        let programs = bed.traced(command, "one", &a)?;
        ensure!(programs == 1, "{command} executed {programs} programs");
    }
    Ok(())
}

fn cnitool() -> Result<()> {
    let mut bed = Bed::new()?;
    bed.config["cniVersion"] = "1.1.0".into();
    let a = bed.namespace("a")?;
    bed.cnitool("status", &a)?.ok()?;
    let answer: Value = serde_json::from_str(&bed.cnitool("add", &a)?.ok()?)?;
    ensure!(addresses(&answer)?.len() == 2 && bed.ports()?.len() == 1, "{answer}");
    bed.cnitool("check", &a)?.ok()?;
    bed.ip(&["-n", &a, "addr", "flush", "dev", "eth0"])?;
    bed.cnitool("check", &a)?.fails(1, "lacks the address")?;
    bed.cnitool("del", &a)?.ok()?;
    bed.cnitool("del", &a)?.ok()?;
    within(SOON, "nothing is left", || Ok(bed.ports()?.is_empty()))?;
    bed.cnitool("add", &a)?.ok()?;
    bed.cnitool("gc", &a)?.ok()?;
    within(SOON, "nothing is left", || Ok(bed.ports()?.is_empty()))?;
    bed.config["detachedNetns"] = "/nowhere".into();
    bed.cnitool("status", &a)?.fails(1, "cannot open the network namespace /nowhere")
}

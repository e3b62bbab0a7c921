use super::*;
use crate::model::port::Publish;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use std::time::Duration;

fn mounts() -> impl Strategy<Value = Vec<Mount>> {
    let kind = prop_oneof![
        ("/[a-z/]{0,8}", any::<bool>()).prop_map(|(source, create)| MountKind::Bind { source, create }),
        ("[a-z]{0,8}", any::<bool>()).prop_map(|(name, no_copy)| MountKind::Volume { name, no_copy }),
        vec("[a-z]{1,4}", 0..3).prop_map(|options| MountKind::Tmpfs { options }),
        "[a-z]{1,8}".prop_map(|reference| MountKind::Image { reference }),
    ];
    let propagation = prop_oneof![Just(""), Just("rprivate"), Just("rslave"), Just("shared")];
    let mount =
        (kind, "/[a-z/]{0,8}", any::<bool>(), propagation).prop_map(|(kind, target, read_only, how)| Mount {
            kind,
            target,
            read_only,
            propagation: how.to_owned(),
            non_recursive: read_only,
            subpath: how.to_owned(),
        });
    vec(mount, 0..4)
}

fn policies() -> impl Strategy<Value = RestartPolicy> {
    prop_oneof![
        Just(RestartPolicy::No),
        Just(RestartPolicy::Always),
        Just(RestartPolicy::UnlessStopped),
        (0..=i32::MAX.unsigned_abs()).prop_map(|max| RestartPolicy::OnFailure { max }),
    ]
}

fn limits() -> impl Strategy<Value = Resources> {
    (0..=i64::MAX, -1..=i64::MAX, 0..=i64::MAX, 0..=i64::MAX, "[0-9,-]{0,6}", -1..=i64::MAX).prop_map(
        |(memory, memory_swap, nano_cpus, cpu_shares, cpuset_cpus, pids_limit)| Resources {
            memory,
            memory_swap,
            nano_cpus,
            cpu_shares,
            cpuset_cpus: cpuset_cpus.clone(),
            pids_limit,
            memory_reservation: memory,
            cpu_period: cpu_shares,
            cpu_quota: memory_swap,
            cpuset_mems: cpuset_cpus.clone(),
            blkio_weight: nano_cpus,
            blkio_rates: vec![DeviceRate { path: cpuset_cpus, kind: "wbps".into(), rate: memory }],
        },
    )
}

fn sharings() -> impl Strategy<Value = [Sharing; 2]> {
    let ipc = prop_oneof![
        Just(Sharing::Default),
        Just(Sharing::Shareable),
        Just(Sharing::None),
        ".{1,6}".prop_map(Sharing::Container),
    ];
    (ipc, prop_oneof![Just(Sharing::Default), Just(Sharing::Host)]).prop_map(|(a, b)| [a, b])
}

fn checks() -> impl Strategy<Value = Healthcheck> {
    (option::of(any::<u32>()), 0..=i32::MAX.unsigned_abs(), ".{0,6}").prop_map(|(time, retries, text)| {
        let time = time.map(|nanos| Duration::from_nanos(nanos.into()));
        Healthcheck {
            test: vec!["CMD-SHELL".into(), text],
            interval: time,
            timeout: time,
            start_period: time,
            start_interval: None,
            retries,
        }
    })
}

fn specs() -> impl Strategy<Value = ContainerSpec> {
    let words = || vec(".{0,6}", 0..3);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let texts = (".{1,9}", ".{0,6}", ".{0,6}", ".{0,6}", ".{0,6}");
    let lists = (words(), words(), words(), vec("[A-Z]{1,4}=.{0,4}", 0..3), option::of(words()));
    let rest =
        (btree_map(".{0,4}", ".{0,4}", 0..3), mounts(), limits(), policies(), option::of(any::<i64>()));
    (flags, texts, lists, rest, sharings(), checks()).prop_map(
        |(flags, texts, lists, rest, share, health)| ContainerSpec {
            image: texts.0,
            entrypoint: lists.4,
            command: lists.0,
            env: lists.3,
            working_dir: texts.1,
            user: texts.2,
            hostname: texts.3,
            labels: rest.0,
            mounts: rest.1,
            read_only: flags.0,
            cap_add: lists.1,
            cap_drop: lists.2,
            privileged: flags.1,
            resources: rest.2,
            auto_remove: flags.2,
            restart: rest.3,
            stop_signal: texts.4,
            stop_timeout: rest.4,
            tty: flags.0,
            terminal_size: flags.1.then_some((80, 24)),
            publish: Publish::parse("127.0.0.1:8000-8001:80/udp").unwrap_or_default(),
            publish_all: flags.2,
            endpoints: vec![crate::model::container::EndpointSpec::plain("n")],
            network: NetworkMode::parse(if flags.2 { "container:x" } else { "none" }).unwrap_or_default(),
            expose: vec!["7/tcp".into()],
            open_stdin: flags.1,
            stdin_once: flags.2,
            domainname: "d".into(),
            extra_hosts: vec!["a:1.2.3.4".into()],
            dns: Dns {
                servers: vec!["1.1.1.1".into()],
                searches: vec!["x".into()],
                options: vec!["y".into()],
            },
            group_add: vec!["g".into()],
            volumes_from: vec!["v:ro".into()],
            ulimits: vec![Ulimit { name: "nofile".into(), soft: 1, hard: -1 }],
            sysctls: [("net.ipv4.ip_forward".to_owned(), "1".to_owned())].into(),
            shm_size: 7,
            security_opt: vec!["no-new-privileges".into()],
            devices: vec![Device {
                host: "/dev/a".into(),
                container: "/dev/b".into(),
                permissions: "rw".into(),
            }],
            pid: share[1].clone(),
            ipc: share[0].clone(),
            uts: share[1].clone(),
            cgroupns: share[1].clone(),
            init: flags.0,
            health: Some(health),
            log: LogConfig { driver: "none".into(), options: [("a".to_owned(), "b".to_owned())].into() },
            annotations: [("a".to_owned(), "b".to_owned())].into(),
            oom_score_adj: Some(5),
            platform: "linux/amd64".into(),
            runtime: "k3c".into(),
            cgroup_parent: "/p".into(),
            oom_kill_disable: flags.1,
        },
    )
}

proptest! {
    #[test]
    fn a_spec_comes_back(spec in specs()) {
        prop_assert_eq!(wire::ContainerSpec::from(spec.clone()).try_into(), Ok(spec));
    }
}

#[test]
fn nonsense_is_refused_in_words() {
    let good = || wire::ContainerSpec { image: "demo".into(), ..Default::default() };
    let mount = |kind: Type, source: &str, target: &str| wire::ContainerSpec {
        mounts: vec![wire::Mount {
            r#type: kind.into(),
            source: source.into(),
            target: target.into(),
            ..Default::default()
        }],
        ..good()
    };
    let policy = |name: &str, maximum_retry_count| wire::ContainerSpec {
        restart: Some(wire::RestartPolicy { name: name.into(), maximum_retry_count }),
        ..good()
    };
    let limits = wire::Resources { memory_bytes: -1, ..Default::default() };
    let cases = [
        (wire::ContainerSpec::default(), "invalid spec.image: must not be empty"),
        (
            mount(Type::Bind, "here", "/x"),
            "invalid mount.source: bind source path must be absolute: \"here\"",
        ),
        (mount(Type::Volume, "v", "x"), "invalid mount.target: mount path must be absolute: \"x\""),
        (mount(Type::Unspecified, "", "/x"), "invalid mount.type: unknown mount type 0"),
        (mount(Type::Tmpfs, "a", "/x"), "invalid mount.source: a tmpfs has no source"),
        (policy("sometimes", 0), "invalid restart.name: unknown policy \"sometimes\""),
        (policy("on-failure", -1), "invalid restart.maximum_retry_count: -1 is negative"),
        (policy("always", 3), "invalid restart.maximum_retry_count: can only be used with 'on-failure'"),
        (
            wire::ContainerSpec { resources: Some(limits), ..good() },
            "invalid resources.memory_bytes: -1 is less than 0",
        ),
        (wire::ContainerSpec { env: vec!["=x".into()], ..good() }, "invalid spec.env: no name in \"=x\""),
    ];
    for (spec, words) in cases {
        assert_eq!(ContainerSpec::try_from(spec).unwrap_err().to_string(), words);
    }
}

use super::*;
use jiff::Timestamp;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

fn mounts() -> impl Strategy<Value = Vec<Mount>> {
    let kind = prop_oneof![
        ("/[a-z/]{0,8}", any::<bool>()).prop_map(|(source, create)| MountKind::Bind { source, create }),
        "[a-z]{0,8}".prop_map(|name| MountKind::Volume { name }),
        Just(MountKind::Tmpfs),
    ];
    let propagation = prop_oneof![Just(""), Just("rprivate"), Just("rslave"), Just("shared")];
    let mount =
        (kind, "/[a-z/]{0,8}", any::<bool>(), propagation).prop_map(|(kind, target, read_only, how)| Mount {
            kind,
            target,
            read_only,
            propagation: how.to_owned(),
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
            cpuset_cpus,
            pids_limit,
        },
    )
}

fn specs() -> impl Strategy<Value = ContainerSpec> {
    let words = || vec(".{0,6}", 0..3);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let texts = (".{1,9}", ".{0,6}", ".{0,6}", ".{0,6}", ".{0,6}");
    let lists = (words(), words(), words(), vec("[A-Z]{1,4}=.{0,4}", 0..3), option::of(words()));
    let rest =
        (btree_map(".{0,4}", ".{0,4}", 0..3), mounts(), limits(), policies(), option::of(any::<i64>()));
    (flags, texts, lists, rest).prop_map(|(flags, texts, lists, rest)| ContainerSpec {
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
        open_stdin: flags.1,
        stdin_once: flags.2,
    })
}

proptest! {
    #[test]
    fn a_spec_comes_back(spec in specs()) {
        prop_assert_eq!(wire::ContainerSpec::from(spec.clone()).try_into(), Ok(spec));
    }
}

#[test]
fn a_row_comes_back() {
    let row = ContainerSummary {
        id: ContainerId::from_bytes([1; 32]),
        names: vec!["web".into()],
        image: "demo".into(),
        image_id: "sha256:1".into(),
        command: "sleep 1".into(),
        created: Timestamp::new(1_700_000_000, 1).unwrap(),
        state: ContainerState {
            status: Status::Restarting,
            pid: 1,
            exit_code: 137,
            error: "e".into(),
            oom_killed: true,
            started_at: Some(Timestamp::UNIX_EPOCH),
            finished_at: None,
            attempt: 3,
            restart_count: 2,
        },
        labels: [("a".to_owned(), "b".to_owned())].into(),
        mounts: Vec::new(),
        size: Some((0, 7)),
        foreign: true,
    };
    assert_eq!(wire::ContainerSummary::from(row.clone()).try_into(), Ok(row));
}

#[test]
fn requests_come_back() {
    let filters = [("name".to_owned(), vec!["a".to_owned(), "b".to_owned()])].into();
    let filter = ListFilter { all: true, filters, limit: Some(3), size: true };
    assert_eq!(list_from(list_to(filter.clone())), filter);
    let options = LogsOptions { follow: true, tail: Some(0), stdout: true, ..LogsOptions::default() };
    assert_eq!(logs_from(logs_to("web", options.clone())), Ok(("web".to_owned(), options)));
    for condition in [WaitCondition::NotRunning, WaitCondition::NextExit, WaitCondition::Removed] {
        assert_eq!(condition_from(condition_to(condition)), Ok(condition));
    }
    for stream in [Stream::Stdout, Stream::Stderr] {
        let entry = LogEntry { stream, time: Timestamp::UNIX_EPOCH, data: vec![0xff, b'\n'], partial: true };
        assert_eq!(wire::LogEntry::from(entry.clone()).try_into(), Ok(entry));
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

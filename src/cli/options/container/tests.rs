//! A container's specification from its command line.

use super::*;
use crate::cli::command;

#[derive(Debug, clap::Args)]
struct Args {
    #[command(flatten)]
    flags: Flags,
}

fn host() -> Host {
    Host {
        env: [("HERE".to_owned(), "yes".to_owned())].into(),
        working_dir: "/home/me".into(),
        home: Some("/home/me".into()),
        ..Host::default()
    }
}

fn parsed(line: &str) -> Result<ContainerSpec, String> {
    let args = command::parse_as::<Args>(line).map_err(|e| e.to_string())?;
    args.flags.spec(&Files::default(), &host()).map(|(spec, _)| spec)
}

fn base() -> ContainerSpec {
    ContainerSpec { image: "alpine".into(), ..ContainerSpec::default() }
}

#[test]
fn flags_to_specification() {
    let resources = |resources| ContainerSpec { resources, ..base() };
    let cases = [
        ("alpine", base()),
        ("--rm alpine", ContainerSpec { auto_remove: true, ..base() }),
        (
            "alpine sh -c -e --rm",
            ContainerSpec { command: ["sh", "-c", "-e", "--rm"].map(String::from).into(), ..base() },
        ),
        (
            "-e A=1 -eHERE -e GONE --env B= alpine",
            ContainerSpec { env: ["A=1", "HERE=yes", "B="].map(String::from).into(), ..base() },
        ),
        ("--entrypoint= alpine", ContainerSpec { entrypoint: Some(Vec::new()), ..base() }),
        ("--entrypoint /x alpine", ContainerSpec { entrypoint: Some(vec!["/x".into()]), ..base() }),
        (
            "-w /x -u 1:2 -h box --read-only --privileged alpine",
            ContainerSpec {
                working_dir: "/x".into(),
                user: "1:2".into(),
                hostname: "box".into(),
                read_only: true,
                privileged: true,
                ..base()
            },
        ),
        (
            "-l a=b --label c alpine",
            ContainerSpec {
                labels: [("a", "b"), ("c", "")].map(|(k, v)| (k.into(), v.into())).into(),
                ..base()
            },
        ),
        (
            "--cap-add cap_sys_admin --cap-add NET_RAW --cap-drop all alpine",
            ContainerSpec {
                cap_add: vec!["SYS_ADMIN".into(), "NET_RAW".into()],
                cap_drop: vec!["ALL".into()],
                ..base()
            },
        ),
        (
            "-m 64m --memory-swap -1 --cpus 1.5 -c 512 --cpuset-cpus 0-1 --pids-limit 10 alpine",
            resources(Resources {
                memory: 64 << 20,
                memory_swap: -1,
                nano_cpus: 1_500_000_000,
                cpu_shares: 512,
                cpuset_cpus: "0-1".into(),
                pids_limit: 10,
                ..Resources::default()
            }),
        ),
        ("--pids-limit -1 alpine", base()),
        (
            "--tmpfs /t:size=1m --init --shm-size 1m --ulimit nofile=5 --ulimit nofile=6:7 --pid host alpine",
            ContainerSpec {
                mounts: vec![tmpfs_mount("/t", vec!["size=1m".into()])],
                init: true,
                shm_size: 1 << 20,
                ulimits: vec![Ulimit { name: "nofile".into(), soft: 6, hard: 7 }],
                pid: Sharing::Host,
                ..base()
            },
        ),
        (
            "--health-cmd true --health-interval 5s --health-retries 2 alpine",
            ContainerSpec {
                health: Some(Healthcheck {
                    test: vec!["CMD-SHELL".into(), "true".into()],
                    interval: Some(Duration::from_secs(5)),
                    retries: 2,
                    ..Healthcheck::default()
                }),
                ..base()
            },
        ),
        (
            "--restart on-failure:3 alpine",
            ContainerSpec { restart: RestartPolicy::OnFailure { max: 3 }, ..base() },
        ),
        (
            "--stop-signal INT --stop-timeout -1 alpine",
            ContainerSpec { stop_signal: "INT".into(), stop_timeout: Some(-1), ..base() },
        ),
        (
            "-v ./x:/x:ro alpine",
            ContainerSpec {
                mounts: vec![Mount {
                    read_only: true,
                    ..Mount::new(MountKind::Bind { source: "/home/me/x".into(), create: true }, "/x")
                }],
                ..base()
            },
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(parsed(line), Ok(expected), "{line}");
    }
}

#[test]
fn refused_values() {
    let cases = [
        ("--rm --restart always alpine", "conflicting options: cannot specify both --restart and --rm"),
        ("-m lots alpine", "invalid argument \"lots\" for \"-m, --memory\" flag: invalid size: 'lots'"),
        (
            "--cpus x alpine",
            "invalid argument \"x\" for \"--cpus\" flag: failed to parse \"x\" as a rational number",
        ),
        (
            "--stop-timeout soon alpine",
            "invalid argument \"soon\" for \"--stop-timeout\" flag: strconv.ParseInt: parsing \"soon\": invalid syntax",
        ),
        ("-e =1 alpine", "invalid environment variable: =1"),
        ("-v /a:/b --mount type=tmpfs,dst=/b alpine", "Duplicate mount point: /b"),
        (
            "--mount foo alpine",
            "invalid argument \"foo\" for \"--mount\" flag: invalid field 'foo' must be a key=value pair",
        ),
        ("-v /a:b alpine", "mount path must be absolute"),
        ("--cpus 1 --cpu-quota 5 alpine", "Nano CPUs and CPU Quota cannot both be set"),
        ("--pid mine alpine", "--pid: invalid PID mode"),
        ("--uts host -h x alpine", "conflicting options: hostname and the UTS mode"),
        ("--no-healthcheck --health-cmd x alpine", "--no-healthcheck conflicts with --health-* options"),
    ];
    for (line, part) in cases {
        let error = parsed(line).unwrap_err();
        assert!(error.contains(part), "{line}: {error}");
    }
}

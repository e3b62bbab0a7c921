//! From the command line to the container's specification.

use super::*;
use crate::cli::command;
use crate::model::container::{Mount, MountKind};

fn host() -> Host {
    Host {
        env: [("HERE".to_owned(), "yes".to_owned())].into(),
        working_dir: "/home/me".into(),
        home: Some("/home/me".into()),
    }
}

fn parsed(line: &str) -> Result<ContainerSpec, String> {
    let args = command::parse_as::<Args>(line).map_err(|e| e.to_string())?;
    spec(&args, &[], &host()).map(|(spec, _)| spec)
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
            }),
        ),
        ("--pids-limit -1 alpine", base()),
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
                    kind: MountKind::Bind { source: "/home/me/x".into(), create: true },
                    target: "/x".into(),
                    read_only: true,
                    propagation: String::new(),
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
            "invalid argument \"foo\" for \"--mount\" flag: unexpected key 'foo' in 'foo'",
        ),
        ("-v /a:b alpine", "mount path must be absolute"),
    ];
    for (line, part) in cases {
        let error = parsed(line).unwrap_err();
        assert!(error.contains(part), "{line}: {error}");
    }
    assert!(pull_policy("x").unwrap_err().starts_with("invalid pull option: 'x'"));
}

#[test]
fn exit_codes_by_words() {
    let cases = [
        ("exec: \"nope\": executable file not found in $PATH: unknown", 127),
        ("exec /x: no such file or directory", 127),
        ("exec: \"/etc/passwd\": permission denied", 126),
        ("exec: \"/etc\": is a directory", 126),
        ("Conflict. The container name is in use", 125),
    ];
    for (text, code) in cases {
        assert_eq!(exit_code(Reason::Internal, text), code, "{text}");
    }
    assert_eq!(exit_code(Reason::CommandNotFound, ""), 127);
    assert_eq!(exit_code(Reason::CommandNotExecutable, ""), 126);
}

#[test]
fn an_id_file_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("id");
    drop(CidFile::new(&path).unwrap());
    assert!(!path.exists(), "nothing was created, so nothing stays");
    let id = ContainerId::from_bytes([1; 32]);
    CidFile::new(&path).unwrap().write(&id).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), id.as_str());
    let error = CidFile::new(&path).err().unwrap();
    assert!(
        error.starts_with("container ID file found, make sure the other container isn't running or delete ")
    );
}

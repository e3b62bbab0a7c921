//! The programs beside those that libseccomp makes of the same profiles (`golden/`), both executed over all calls.
//!
//! `K3C_MAKE_GOLDEN=1 cargo test --lib golden` makes libseccomp's programs anew, with a C compiler and libseccomp-dev (2.5.4
//! when they were made last), which the build of runc needs, too. Where profiles name calls that this libseccomp does not
//! know ([`NEWER`]), they are left out of both.

use super::table::X32_BIT;
use super::tests::{execute, made, mixed};
use super::*;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Calls of Docker's profile that are newer than libseccomp 2.5.4.
const NEWER: [&str; 11] = [
    "getxattrat",
    "listmount",
    "listxattrat",
    "lsm_get_self_attr",
    "lsm_list_modules",
    "lsm_set_self_attr",
    "mseal",
    "removexattrat",
    "setxattrat",
    "statmount",
    "uretprobe",
];

const X86: [&str; 3] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/shim/oci/seccomp/golden")
}

fn file(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder().join(name)).unwrap()).unwrap()
}

/// What is forbidden, in all ways in which it can be, and what is not.
fn forbidden() -> Value {
    let arg = |index: u32, op: &str, value: u64, two: u64| json!({"index": index, "op": op, "value": value, "valueTwo": two});
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": ["chmod", "fchmod", "socket", "shmat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22},
            {"names": ["bind", "semget"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22, "args": [arg(0, "SCMP_CMP_EQ", 5, 0)]},
            {"names": ["ptrace"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["mount"], "action": "SCMP_ACT_KILL_THREAD"},
            {"names": ["umount2", "umount"], "action": "SCMP_ACT_TRAP"},
            {"names": ["reboot"], "action": "SCMP_ACT_TRACE", "errnoRet": 9},
            {"names": ["swapon"], "action": "SCMP_ACT_LOG"},
            {"names": ["personality"], "action": "SCMP_ACT_ERRNO", "args": [arg(0, "SCMP_CMP_NE", 0, 0)]},
            {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "args": [arg(0, "SCMP_CMP_MASKED_EQ", 0x1000_0000, 0x1000_0000)]},
            {"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "args": [arg(1, "SCMP_CMP_EQ", 0x5412, 0)]},
            {"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "args": [arg(1, "SCMP_CMP_EQ", 0x541c, 0)]},
            {"names": ["prctl"], "action": "SCMP_ACT_ERRNO", "args": [arg(0, "SCMP_CMP_GE", 38, 0), arg(1, "SCMP_CMP_LT", 2, 0), arg(5, "SCMP_CMP_LE", 40, 0)]},
            {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [arg(1, "SCMP_CMP_GT", 37, 0)]},
        ],
    })
}

/// Profiles by the names of their files, with the machine.
fn profiles() -> Vec<(String, Value, &'static str)> {
    let mut all = vec![
        ("docker".to_owned(), file("docker.json"), "x86_64"),
        ("admin".to_owned(), file("admin.json"), "x86_64"),
    ];
    let with = |mut profile: Value, default: &str, architectures: &[&str]| {
        profile["defaultAction"] = json!(default);
        profile["architectures"] = json!(architectures);
        profile
    };
    all.push(("docker-native".to_owned(), with(file("docker.json"), "SCMP_ACT_ERRNO", &[]), "x86_64"));
    for (name, default) in [
        ("errno", "SCMP_ACT_ERRNO"),
        ("kill", "SCMP_ACT_KILL_PROCESS"),
        ("trap", "SCMP_ACT_TRAP"),
        ("log", "SCMP_ACT_LOG"),
    ] {
        let profile = if name == "log" { forbidden() } else { mixed() };
        all.push((format!("{name}-all"), with(profile.clone(), default, &X86), "x86_64"));
        all.push((format!("{name}-i386"), with(profile, default, &X86[..2]), "x86_64"));
    }
    all.push(("forbidden-all".to_owned(), with(forbidden(), "SCMP_ACT_ALLOW", &X86), "x86_64"));
    all.push(("forbidden-native".to_owned(), with(forbidden(), "SCMP_ACT_ALLOW", &[]), "x86_64"));
    for (name, profile) in [("arm-errno", mixed()), ("arm-docker", file("docker.json"))] {
        let profile = with(profile, "SCMP_ACT_ERRNO", &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]);
        all.push((name.to_owned(), profile, "aarch64"));
    }
    for (_, profile, _) in &mut all {
        for entry in profile["syscalls"].as_array_mut().unwrap() {
            entry["names"].as_array_mut().unwrap().retain(|name| !NEWER.contains(&name.as_str().unwrap()));
        }
    }
    all
}

/// The profile in the words of `golden/make.c`.
fn words(profile: &spec::Seccomp, machine: &str) -> String {
    let token = |abi: Abi| if abi == Abi::X32 { 0x4000_003e } else { abi.audit() };
    let default = action(&profile.default_action, profile.default_errno_ret).unwrap();
    let mut text = format!("default {default:x}\n");
    for abi in Abi::all(machine, profile.architectures.as_deref().unwrap_or_default()).unwrap() {
        text += &format!("arch {:x}\n", token(abi));
    }
    if machine != "x86_64" {
        text += &format!("without {:x}\n", token(Abi::X86_64));
    }
    let table = Table::new();
    for entry in &profile.syscalls {
        let action = action(&entry.action, entry.errno_ret).unwrap();
        let known = entry.names.iter().filter(|name| table.names().any(|known| known == *name));
        for name in known.filter(|_| action != default) {
            for rule in rules(entry.args.as_deref().unwrap_or_default()).unwrap() {
                text += &format!("rule {action:x} {name}");
                for Condition { index, comparison, value, second } in rule {
                    let operator = match comparison {
                        Comparison::NotEqual => 1,
                        Comparison::Less => 2,
                        Comparison::LessOrEqual => 3,
                        Comparison::Equal => 4,
                        Comparison::GreaterOrEqual => 5,
                        Comparison::Greater => 6,
                        Comparison::Masked => 7,
                    };
                    text += &format!(" {index} {operator} {value} {second}");
                }
                text += "\n";
            }
        }
    }
    text
}

/// Makes libseccomp's program.
fn ask(compiled: &Path, words: &str) -> Vec<u8> {
    let mut child = Command::new(compiled).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(words.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn program(bytes: &[u8]) -> Vec<Instruction> {
    let half = |b: &[u8]| u16::from_le_bytes(b.try_into().unwrap());
    let instruction = |b: &[u8]| Instruction {
        code: half(&b[..2]),
        jt: b[2],
        jf: b[3],
        k: u32::from_le_bytes(b[4..].try_into().unwrap()),
    };
    bytes.chunks_exact(8).map(instruction).collect()
}

#[test]
fn golden() {
    let scratch = tempfile::tempdir().unwrap();
    let make = std::env::var_os("K3C_MAKE_GOLDEN").is_some();
    let compiled = scratch.path().join("make");
    if make {
        let source = folder().join("make.c");
        let done = Command::new("cc").arg("-o").arg(&compiled).arg(source).arg("-lseccomp").status().unwrap();
        assert!(done.success());
    }
    let mut wrong = Vec::new();
    for (name, profile, machine) in profiles() {
        let golden = folder().join(format!("{name}.bpf"));
        if make {
            let words = words(&serde_json::from_value(profile.clone()).unwrap(), machine);
            std::fs::write(&golden, ask(&compiled, &words)).unwrap();
        }
        let theirs = program(&std::fs::read(&golden).unwrap());
        if compare(&name, &made(&profile, machine).unwrap(), &theirs) > 0 {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?} are answered otherwise than by libseccomp");
}

/// How many calls are answered otherwise.
fn compare(name: &str, profile: &Profile, theirs: &[Instruction]) -> usize {
    let ours = bpf::assemble(profile).unwrap();
    let mut different = 0;
    for abi in [Abi::X86_64, Abi::X32, Abi::I386, Abi::Arm64, Abi::Arm] {
        let policy = profile.policies.iter().find(|policy| policy.abi == abi);
        let bit = if abi == Abi::X32 { X32_BIT } else { 0 };
        for number in (0..1100).chain([983_041, 983_042, 983_045, 0x3fff_ffff]) {
            let number = number | bit;
            let call = policy.and_then(|policy| policy.calls.get(&number));
            let mut values = vec![0, u64::MAX];
            for condition in call.iter().flat_map(|call| &call.rules).flatten() {
                for value in [condition.value, condition.second] {
                    let more = [value, value + 1, value.saturating_sub(1), value << 1, value | 1 << 40];
                    values.extend(more);
                }
            }
            if call.is_some_and(|call| call.rules.iter().any(|rule| !rule.is_empty())) {
                values.extend(0..45);
            }
            for value in values {
                for at in 0..7 {
                    let mut args = [value; 6];
                    if at < 6 {
                        args = [0; 6];
                        args[at] = value;
                    }
                    let got = execute(&ours, number, abi.audit(), &args);
                    let wanted = execute(theirs, number, abi.audit(), &args);
                    // What is newer than the profile is runc's own addition.
                    let newer = policy.and_then(|policy| policy.last).is_some_and(|last| number > last);
                    let same = if newer {
                        (got, wanted) == (ERRNO | ENOSYS, profile.default)
                    } else {
                        got == wanted
                    };
                    if !same {
                        different += 1;
                        if different < 20 {
                            eprintln!(
                                "{name}: {abi:?} {number:#x} {args:x?}: {got:#x}, libseccomp {wanted:#x}"
                            );
                        }
                    }
                }
            }
        }
    }
    let strange = execute(&ours, 0, 0xdead_beef, &[0; 6]);
    assert_eq!(strange, execute(theirs, 0, 0xdead_beef, &[0; 6]), "{name}");
    different
}

//! The programs, executed by a small machine over all calls, against what the profile says.

use super::table::X32_BIT;
use super::*;
use serde_json::{Value, json};

/// Executes a program (kernel's `Documentation/networking/filter.rst`), for one call.
pub(super) fn execute(program: &[Instruction], number: u32, audit: u32, args: &[u64; 6]) -> u32 {
    let mut data = [0_u8; 64];
    data[..4].copy_from_slice(&number.to_ne_bytes());
    data[4..8].copy_from_slice(&audit.to_ne_bytes());
    for (at, arg) in args.iter().enumerate() {
        data[16 + 8 * at..24 + 8 * at].copy_from_slice(&arg.to_ne_bytes());
    }
    let (mut at, mut accumulator) = (0_usize, 0_u32);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let skip = |met: bool| usize::from(if met { jt } else { jf });
        match code {
            0x20 => {
                let from = k as usize;
                accumulator = u32::from_ne_bytes(data[from..from + 4].try_into().unwrap());
            }
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += skip(accumulator == k),
            0x25 => at += skip(accumulator > k),
            0x35 => at += skip(accumulator >= k),
            0x45 => at += skip(accumulator & k != 0),
            0x06 => return k,
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}

/// What a profile says of a call, asked plainly.
fn answer(profile: &Profile, abi: Abi, number: u32, args: &[u64; 6]) -> u32 {
    let Some(policy) = profile.policies.iter().find(|p| p.abi == abi) else { return KILL_THREAD };
    if policy.last.is_some_and(|last| number > last) {
        return ERRNO | ENOSYS;
    }
    let wide = matches!(abi, Abi::X86_64 | Abi::Arm64);
    let met = |condition: &Condition| {
        let Condition { value, second, .. } = *condition;
        let arg = args[condition.index as usize];
        let arg = if wide { arg } else { arg & 0xffff_ffff };
        match condition.comparison {
            Comparison::Equal => arg == value,
            Comparison::NotEqual => arg != value,
            Comparison::Less => arg < value,
            Comparison::LessOrEqual => arg <= value,
            Comparison::Greater => arg > value,
            Comparison::GreaterOrEqual => arg >= value,
            Comparison::Masked => arg & value == second,
        }
    };
    match policy.calls.get(&number) {
        Some(call) if call.rules.iter().any(|rule| rule.iter().all(met)) => call.action,
        _ => profile.default,
    }
}

pub(super) fn made(profile: &Value, machine: &str) -> Result<Profile, String> {
    Profile::new(&serde_json::from_value(profile.clone()).unwrap(), machine)
}

fn check(profile: &Profile) {
    let program = bpf::assemble(profile).unwrap();
    let values = [0, 1, 2, 37, 38, 39, 40, 41, 0x7e02_0000, 0xffff_ffff, 0x1_0000_0026, u64::MAX];
    for abi in [Abi::X86_64, Abi::X32, Abi::I386, Abi::Arm64, Abi::Arm] {
        let bit = if abi == Abi::X32 { X32_BIT } else { 0 };
        for number in (0..1100).chain([983_040, 983_041, 983_042, 983_045, 983_046, 0x3fff_ffff]) {
            // Of the other machine's architectures there is nothing.
            for value in values {
                for args in [[value; 6], [value, 0, 0, 0, 0, 0], [0, value, 0, 0, 0, 0]] {
                    let wanted = answer(profile, abi, number | bit, &args);
                    let got = execute(&program, number | bit, abi.audit(), &args);
                    assert_eq!(got, wanted, "{abi:?} {number} {args:x?}");
                }
            }
        }
    }
    assert_eq!(execute(&program, 0, 0xdead_beef, &[0; 6]), KILL_THREAD);
}

pub(super) fn mixed() -> Value {
    let arg = |index: u32, op: &str, value: u64, two: u64| json!({"index": index, "op": op, "value": value, "valueTwo": two});
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            {"names": ["read", "write", "exit_group", "nosuchcall", "openat2"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [arg(0, "SCMP_CMP_NE", 38, 0)]},
            {"names": ["bind"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["shmget"], "action": "SCMP_ACT_ALLOW", "args": []},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [arg(0, "SCMP_CMP_MASKED_EQ", 0x7e02_0000, 0)]},
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [arg(0, "SCMP_CMP_EQ", 0, 0), arg(0, "SCMP_CMP_EQ", 0xffff_ffff, 0)]},
            {"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": [arg(0, "SCMP_CMP_GT", 38, 0), arg(1, "SCMP_CMP_LE", 40, 0)]},
            {"names": ["fcntl"], "action": "SCMP_ACT_ALLOW", "args": [arg(0, "SCMP_CMP_GE", 39, 0)]},
            {"names": ["fcntl"], "action": "SCMP_ACT_ALLOW", "args": [arg(1, "SCMP_CMP_LT", 2, 0)]},
            {"names": ["dup"], "action": "SCMP_ACT_ALLOW", "args": [arg(5, "SCMP_CMP_LT", 0, 0)]},
            {"names": ["ptrace"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            {"names": ["kill"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["tkill"], "action": "SCMP_ACT_TRAP"},
            {"names": ["getpid"], "action": "SCMP_ACT_TRACE", "errnoRet": 7},
            {"names": ["getppid"], "action": "SCMP_ACT_LOG"},
            {"names": ["getuid"], "action": "SCMP_ACT_KILL"},
        ],
    })
}

#[test]
fn programs_say_what_profiles_say() {
    let x86: &[&str] = &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
    for (machine, architectures) in [
        ("x86_64", &[][..]),
        ("x86_64", x86),
        ("x86_64", &x86[..2]),
        ("aarch64", &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]),
    ] {
        for default in ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"] {
            let mut profile = mixed();
            profile["architectures"] = json!(architectures);
            profile["defaultAction"] = json!(default);
            check(&made(&profile, machine).unwrap());
        }
    }
}

#[test]
fn a_list_of_what_is_forbidden() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [{"names": ["chmod", "bind", "read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22}],
    });
    let profile = made(&profile, "x86_64").unwrap();
    check(&profile);
    let program = bpf::assemble(&profile).unwrap();
    let ask = |number: u32, abi: Abi, arg: u64| execute(&program, number, abi.audit(), &[arg, 0, 0, 0, 0, 0]);
    assert_eq!(ask(90, Abi::X86_64, 0), ERRNO | 22);
    // No call is too new where everything is allowed.
    assert_eq!(ask(9999, Abi::X86_64, 0), ALLOW);
    // bind(2) within socketcall(2).
    assert_eq!((ask(102, Abi::I386, 2), ask(102, Abi::I386, 1)), (ERRNO | 22, ALLOW));
    // The third architecture was not asked for.
    assert_eq!(ask(X32_BIT, Abi::X32, 0), KILL_THREAD);
}

#[test]
fn every_known_call_can_be_named() {
    let mut names: Vec<&str> = Table::new().names().collect();
    names.sort_unstable();
    assert!(names.len() > 450 && names.contains(&"clone3"));
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
    });
    check(&made(&profile, "x86_64").unwrap());
}

#[test]
fn the_kernel_takes_the_program() {
    let mut profile = mixed();
    profile["architectures"] = json!([]);
    // The thread must end in peace.
    profile["defaultAction"] = json!("SCMP_ACT_ALLOW");
    let filter = Kept::default().compile(serde_json::from_value(profile).unwrap()).unwrap().unwrap();
    std::thread::spawn(move || {
        rustix::thread::set_no_new_privs(true).unwrap();
        // The numbers that are the kernel's own are checked by it: a wrong jump is refused.
        crate::sys::stage::load_filter(&filter.program, filter.flags).unwrap();
    })
    .join()
    .unwrap();
}

#[test]
fn all_else_is_refused() {
    for (key, value) in [
        ("defaultAction", json!("SCMP_ACT_NOTIFY")),
        ("flags", json!(["SECCOMP_FILTER_FLAG_NEW_LISTENER"])),
        ("architectures", json!(["SCMP_ARCH_MIPS"])),
        (
            "syscalls",
            json!([{"names": ["read"], "action": "SCMP_ACT_ALLOW"}, {"names": ["read"], "action": "SCMP_ACT_LOG"}]),
        ),
        ("syscalls", json!([{"names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 5}])),
        ("syscalls", json!([{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5000}])),
        (
            "syscalls",
            json!([{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 6, "op": "SCMP_CMP_EQ"}]}]),
        ),
        (
            "syscalls",
            json!([{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "op": "SCMP_CMP_XX"}]}]),
        ),
        (
            "syscalls",
            json!([{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 1_u64 << 40}]}]),
        ),
    ] {
        let mut profile = mixed();
        profile[key] = value.clone();
        assert!(made(&profile, "x86_64").is_err(), "{key} {value}");
    }
    assert!(made(&mixed(), "s390x").is_err());
    // What is behind socketcall(2)'s pointer cannot be looked at.
    let second = json!([{"names": ["bind"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 1, "op": "SCMP_CMP_EQ", "value": 1}]}]);
    let profile = |architectures: Value| json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": architectures, "syscalls": second});
    assert!(made(&profile(json!([])), "x86_64").is_ok());
    assert!(made(&profile(json!(["SCMP_ARCH_X86"])), "x86_64").is_err());
    let flags = |names: Value| super::flags(Some(&serde_json::from_value::<Vec<String>>(names).unwrap()));
    assert_eq!(flags(json!(["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"])), Ok(2));
    assert_eq!((flags(json!([])), super::flags(None)), (Ok(0), Ok(4)));
}

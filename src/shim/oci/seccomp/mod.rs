//! Filters for system calls: an OCI profile becomes a BPF program (kernel's `seccomp_filter.rst`).
//!
//! A shim makes the program of a profile once, and hands it to its stages in memory, where no container can write it. All
//! rules for a call must have one action: then their order means nothing, and what a
//! profile says is a plain question (`Policy::answer`), which the program answers, too.
//!
//! As runc does, calls that are newer than all that a profile names fail with `ENOSYS`, so that C libraries try an older
//! one, and calls of an architecture that is not in the profile end the thread.

mod bpf;
#[cfg(test)]
mod golden;
mod table;
#[cfg(test)]
mod tests;

use super::spec;
use crate::sys::stage::Instruction;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use table::{Abi, Table};

const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// The largest error number.
const MAX_ERRNO: u32 = 4095;

/// A program, and the flags of seccomp(2) that it is loaded with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Packed", from = "Packed")]
pub(in crate::shim) struct Filter {
    pub(super) program: Vec<Instruction>,
    pub(super) flags: u32,
}

/// A filter on its way to the stage: each instruction as one number.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Packed {
    program: Vec<u64>,
    flags: u32,
}

impl From<Filter> for Packed {
    fn from(filter: Filter) -> Self {
        let pack = |i: &Instruction| {
            let [code, jt, jf, k] = [u64::from(i.code), i.jt.into(), i.jf.into(), i.k.into()];
            code | jt << 16 | jf << 24 | k << 32
        };
        Self { program: filter.program.iter().map(pack).collect(), flags: filter.flags }
    }
}

impl From<Packed> for Filter {
    fn from(packed: Packed) -> Self {
        let unpack = |packed: &u64| {
            let [a, b, jt, jf, k @ ..] = packed.to_le_bytes();
            Instruction { code: u16::from_le_bytes([a, b]), jt, jf, k: u32::from_le_bytes(k) }
        };
        Self { program: packed.program.iter().map(unpack).collect(), flags: packed.flags }
    }
}

/// The last profile and its program: the containers of a pod mostly have one.
#[derive(Debug, Default)]
pub(in crate::shim) struct Kept(Mutex<Option<(spec::Seccomp, Option<Filter>)>>);

impl Kept {
    /// Makes the program for this machine, or knows it. The error says what is not done here.
    pub(super) fn compile(&self, profile: spec::Seccomp) -> Result<Option<Filter>, String> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, filter)) = &*kept
            && *known == profile
        {
            return Ok(filter.clone());
        }
        let filter = compile(&profile)?;
        *kept = Some((profile, filter.clone()));
        Ok(filter)
    }
}

/// A comparison of one argument.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    index: u32,
    comparison: Comparison,
    value: u64,
    /// The second value of `Masked`: `argument & value == second`.
    second: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Masked,
}

/// All rules for one call: the action is taken when one of them has all its conditions met.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    action: u32,
    rules: Vec<Vec<Condition>>,
}

/// What a profile says for one architecture.
#[derive(Debug)]
struct Policy {
    abi: Abi,
    calls: BTreeMap<u32, Call>,
    /// The largest number that the profile names, when larger ones are unknown.
    last: Option<u32>,
}

/// What a profile says.
#[derive(Debug)]
struct Profile {
    default: u32,
    policies: Vec<Policy>,
    flags: u32,
}

/// Makes the program for this machine. The error says what is not done here.
fn compile(profile: &spec::Seccomp) -> Result<Option<Filter>, String> {
    if profile.default_action.is_empty() && profile.syscalls.is_empty() {
        return Ok(None);
    }
    let profile = Profile::new(profile, std::env::consts::ARCH)?;
    let program = bpf::assemble(&profile)?;
    Ok(Some(Filter { program, flags: profile.flags }))
}

fn action(name: &str, errno: Option<u32>) -> Result<u32, String> {
    let number = match (name, errno) {
        ("SCMP_ACT_ERRNO" | "SCMP_ACT_TRACE", None) => EPERM,
        ("SCMP_ACT_ERRNO" | "SCMP_ACT_TRACE", Some(number)) if number <= MAX_ERRNO => number,
        (_, None) => 0,
        _ => return Err(format!("seccomp: {name} with errnoRet")),
    };
    Ok(number
        | match name {
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => KILL_THREAD,
            "SCMP_ACT_KILL_PROCESS" => KILL_PROCESS,
            "SCMP_ACT_TRAP" => TRAP,
            "SCMP_ACT_ERRNO" => ERRNO,
            "SCMP_ACT_TRACE" => TRACE,
            "SCMP_ACT_ALLOW" => ALLOW,
            "SCMP_ACT_LOG" => LOG,
            _ => return Err(format!("seccomp: action {name}")),
        })
}

fn comparison(name: &str) -> Result<Comparison, String> {
    Ok(match name {
        "SCMP_CMP_NE" => Comparison::NotEqual,
        "SCMP_CMP_LT" => Comparison::Less,
        "SCMP_CMP_LE" => Comparison::LessOrEqual,
        "SCMP_CMP_EQ" => Comparison::Equal,
        "SCMP_CMP_GE" => Comparison::GreaterOrEqual,
        "SCMP_CMP_GT" => Comparison::Greater,
        "SCMP_CMP_MASKED_EQ" => Comparison::Masked,
        _ => return Err(format!("seccomp: operator {name}")),
    })
}

fn flags(names: Option<&[String]>) -> Result<u32, String> {
    // Numbers of <linux/seccomp.h>.
    const LOG_FLAG: u32 = 2;
    const SPEC_ALLOW: u32 = 4;
    let Some(names) = names else { return Ok(SPEC_ALLOW) };
    names.iter().try_fold(0, |flags, name| {
        Ok(flags
            | match name.as_str() {
                // There is only one thread.
                "SECCOMP_FILTER_FLAG_TSYNC" => 0,
                "SECCOMP_FILTER_FLAG_LOG" => LOG_FLAG,
                "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => SPEC_ALLOW,
                _ => return Err(format!("seccomp: flag {name}")),
            })
    })
}

/// The conditions as alternatives: several on one argument are one rule each, as with runc.
fn rules(args: &[spec::SeccompArg]) -> Result<Vec<Vec<Condition>>, String> {
    let all = args
        .iter()
        .map(|arg| {
            if arg.index > 5 {
                return Err(format!("seccomp: argument {}", arg.index));
            }
            let (comparison, second) = (comparison(&arg.op)?, arg.value_two.unwrap_or(0));
            // What libraries make of values that can never match, or that half of the architectures do not have, is theirs.
            if comparison == Comparison::Masked && second & !arg.value != 0
                || arg.value.max(second) > u64::from(u32::MAX)
            {
                return Err(format!("seccomp: value {:#x}", arg.value));
            }
            Ok(Condition { index: arg.index, comparison, value: arg.value, second })
        })
        .collect::<Result<Vec<_>, String>>()?;
    let repeated = all.iter().enumerate().any(|(at, one)| all[..at].iter().any(|o| o.index == one.index));
    Ok(if repeated { all.into_iter().map(|one| vec![one]).collect() } else { vec![all] })
}

impl Profile {
    fn new(profile: &spec::Seccomp, machine: &str) -> Result<Self, String> {
        let default = action(&profile.default_action, profile.default_errno_ret)?;
        let abis = Abi::all(machine, profile.architectures.as_deref().unwrap_or_default())?;
        let table = Table::new();
        let permissive = matches!(default & 0xffff_0000, ALLOW | LOG | TRACE);
        let policies = abis
            .into_iter()
            .map(|abi| Policy::new(abi, profile, default, permissive, &table))
            .collect::<Result<_, _>>()?;
        Ok(Self { default, policies, flags: flags(profile.flags.as_deref())? })
    }
}

impl Policy {
    fn new(
        abi: Abi,
        profile: &spec::Seccomp,
        default: u32,
        permissive: bool,
        table: &Table,
    ) -> Result<Self, String> {
        let mut policy = Self { abi, calls: BTreeMap::new(), last: None };
        for entry in &profile.syscalls {
            let action = action(&entry.action, entry.errno_ret)?;
            let rules = rules(entry.args.as_deref().unwrap_or_default())?;
            for name in &entry.names {
                let number = table.number(abi, name);
                policy.last = policy.last.max(number);
                if action == default {
                    continue;
                }
                // A part of another call has its arguments behind a pointer. libseccomp puts the part in the place of the first
                // one, and so rules for that mean the part as a whole; the others it would compare with what is not them.
                if let Some((call, value)) = table::multiplexed(abi, name)
                    && let Some(number) = table.number(abi, call)
                {
                    if rules.iter().flatten().any(|condition| condition.index != 0) {
                        return Err(format!("seccomp: arguments of {name} within {call}"));
                    }
                    let selected = Condition { index: 0, comparison: Comparison::Equal, value, second: 0 };
                    policy.last = policy.last.max(Some(number));
                    policy.add(name, number, action, &[vec![selected]])?;
                }
                if let Some(number) = number {
                    policy.add(name, number, action, &rules)?;
                }
            }
        }
        if permissive || default == ERRNO | ENOSYS {
            policy.last = None;
        }
        Ok(policy)
    }

    fn add(&mut self, name: &str, number: u32, action: u32, rules: &[Vec<Condition>]) -> Result<(), String> {
        let call = self.calls.entry(number).or_insert_with(|| Call { action, rules: Vec::new() });
        if call.action != action {
            return Err(format!("seccomp: different actions for {name}"));
        }
        call.rules.extend_from_slice(rules);
        Ok(())
    }
}

//! Rules for devices: OCI's list becomes a program that the kernel asks at each opening and making of a device in the
//! container's cgroup (bpf(2), `BPF_PROG_TYPE_CGROUP_DEVICE`). Only root can load one; in a user namespace what is not
//! bound cannot be opened anyway.
//!
//! The rules mean what they meant to cgroup v1 (kernel's `cgroup-v1/devices.rst`): one for all devices sets what is usual
//! and forgets those before it, others are exceptions.

use super::spec::{Device, DeviceRule};
use crate::sys::bpf::Instruction;
use std::collections::BTreeMap;

/// What may be done with a device, a bit each (`BPF_DEVCG_ACC_*`).
const MAKE: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;
const ALL: u32 = MAKE | READ | WRITE;

/// Kinds (`BPF_DEVCG_DEV_*`).
const BLOCK: u32 = 1;
const CHARACTER: u32 = 2;

/// Devices that every container may use, with their nodes' names, unless the specification has such a node itself; no name
/// is one for ever: terminals, and the tunnel that runc allows.
const USUAL: [(&str, u32, Option<u32>); 9] = [
    ("/dev/null", 1, Some(3)),
    ("/dev/random", 1, Some(8)),
    ("/dev/full", 1, Some(7)),
    ("/dev/tty", 5, Some(0)),
    ("/dev/zero", 1, Some(5)),
    ("/dev/urandom", 1, Some(9)),
    ("", 136, None),
    ("", 5, Some(2)),
    ("", 10, Some(200)),
];

/// Devices: a kind, and a number each that may be any.
type Which = (u32, Option<u32>, Option<u32>);

/// What a list of rules says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    allow: bool,
    /// What is not as usual.
    exceptions: BTreeMap<Which, u32>,
}

impl Rules {
    /// Understands a specification's rules. The error says what is not done here.
    pub(super) fn new(rules: &[DeviceRule], nodes: &[Device]) -> Result<Self, String> {
        let mut all = Self::default();
        for rule in rules {
            let access = access(&rule.access)?;
            let kind = match rule.kind.as_str() {
                "" | "a" => {
                    all = Self { allow: rule.allow, ..Self::default() };
                    continue;
                }
                "b" => BLOCK,
                "c" => CHARACTER,
                other => return Err(format!("a rule for devices of type {other}")),
            };
            all.except(rule.allow, (kind, number(rule.major)?, number(rule.minor)?), access)?;
        }
        for kind in [CHARACTER, BLOCK] {
            all.except(true, (kind, None, None), MAKE)?;
        }
        for (path, major, minor) in USUAL {
            if path.is_empty() || !nodes.iter().any(|node| node.path == path) {
                all.except(true, (CHARACTER, Some(major), minor), ALL)?;
            }
        }
        Ok(all)
    }

    fn except(&mut self, allow: bool, which: Which, access: u32) -> Result<(), String> {
        if allow != self.allow {
            *self.exceptions.entry(which).or_default() |= access;
            return Ok(());
        }
        let (kind, major, minor) = which;
        for wider in [(kind, None, minor), (kind, major, None), (kind, None, None)] {
            if wider != which && self.exceptions.get(&wider).is_some_and(|has| has & access != 0) {
                return Err("a rule for a device within a rule for many".to_owned());
            }
        }
        if let Some(has) = self.exceptions.get_mut(&which) {
            *has &= !access;
        }
        self.exceptions.retain(|_, access| *access != 0);
        Ok(())
    }

    /// The program. It gets kind, access and numbers, and answers whether that may be done.
    pub(super) fn program(&self) -> Vec<Instruction> {
        // Registers: 0 the answer, 1 the question (`struct bpf_cgroup_dev_ctx`), then kind, access, major and minor.
        let mut out = vec![
            Instruction::load(2, 1, 0),
            Instruction::and(2, 0xffff),
            Instruction::load(3, 1, 0),
            Instruction::shift_right(3, 16),
            Instruction::load(4, 1, 4),
            Instruction::load(5, 1, 8),
        ];
        for ((kind, major, minor), access) in &self.exceptions {
            let mut block = Vec::new();
            let numbers = [(2, Some(*kind)), (4, *major), (5, *minor)];
            for (register, number) in numbers {
                if let Some(number) = number {
                    // To the block's end, which is known below.
                    block.push(Instruction::unless_equal(register, number.cast_signed(), 0));
                }
            }
            if *access != ALL {
                // Allowed is what is allowed wholly, denied what is denied in part.
                let other = if self.allow { *access } else { ALL & !access };
                block.push(Instruction::copy(1, 3));
                block.push(Instruction::and(1, other.cast_signed()));
                block.push(match self.allow {
                    true => Instruction::if_equal(1, 0, 0),
                    false => Instruction::unless_equal(1, 0, 0),
                });
            }
            block.push(Instruction::set(0, i32::from(!self.allow)));
            block.push(Instruction::end());
            let length = block.len();
            for (at, instruction) in block.iter_mut().enumerate() {
                instruction.lead_to(length - at - 1);
            }
            out.append(&mut block);
        }
        out.extend([Instruction::set(0, i32::from(self.allow)), Instruction::end()]);
        out
    }
}

fn access(words: &str) -> Result<u32, String> {
    let bits = words.chars().try_fold(0, |bits, letter| {
        Some(
            bits | match letter {
                'r' => READ,
                'w' => WRITE,
                'm' => MAKE,
                _ => return None,
            },
        )
    });
    bits.filter(|bits| *bits != 0).ok_or_else(|| format!("a rule for devices with access {words:?}"))
}

/// A number, or any.
fn number(given: Option<i64>) -> Result<Option<u32>, String> {
    match given {
        None | Some(-1) => Ok(None),
        Some(number) => u32::try_from(number).map(Some).map_err(|_| format!("a device's number {number}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rules(rules: Value, nodes: Value) -> Result<Rules, String> {
        Rules::new(
            &serde_json::from_value::<Vec<DeviceRule>>(rules).unwrap(),
            &serde_json::from_value::<Vec<Device>>(nodes).unwrap(),
        )
    }

    /// What the rules say, asked plainly.
    fn plain(rules: &Rules, kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let hit = rules.exceptions.iter().any(|(which, has)| {
            let same =
                which.0 == kind && which.1.is_none_or(|n| n == major) && which.2.is_none_or(|n| n == minor);
            same && if rules.allow { access & has != 0 } else { access & !has == 0 }
        });
        hit != rules.allow
    }

    fn executed(program: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let question = [kind | access << 16, major, minor];
        crate::sys::bpf::execute(program, &question) == 1
    }

    fn check(rules: &Rules) {
        let program = rules.program();
        for kind in [BLOCK, CHARACTER] {
            for access in 1..=ALL {
                for (major, minor) in [
                    (1, 3),
                    (1, 4),
                    (5, 0),
                    (5, 1),
                    (5, 2),
                    (8, 0),
                    (8, 7),
                    (10, 200),
                    (10, 229),
                    (136, 77),
                    (4_000_000_000, 3),
                ] {
                    let wanted = plain(rules, kind, access, major, minor);
                    assert_eq!(
                        executed(&program, kind, access, major, minor),
                        wanted,
                        "{rules:?} {kind} {access} {major}:{minor}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_cri_asks_for() {
        let deny = json!({"allow": false, "access": "rwm"});
        let usual = rules(json!([deny]), json!([])).unwrap();
        check(&usual);
        let ask = |rules: &Rules, kind, access, major, minor| {
            executed(&rules.program(), kind, access, major, minor)
        };
        assert!(ask(&usual, CHARACTER, READ | WRITE, 1, 3) && ask(&usual, CHARACTER, READ, 136, 5));
        assert!(
            ask(&usual, BLOCK, MAKE, 8, 0)
                && !ask(&usual, BLOCK, READ, 8, 0)
                && !ask(&usual, BLOCK, MAKE | READ, 8, 0)
        );
        assert!(!ask(&usual, CHARACTER, READ, 10, 229));
        let fuse = json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "r"});
        let one = rules(
            json!([deny, fuse]),
            json!([{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]),
        )
        .unwrap();
        check(&one);
        assert!(ask(&one, CHARACTER, READ, 10, 229) && !ask(&one, CHARACTER, READ | WRITE, 10, 229));
        let all = rules(json!([deny, {"allow": true, "access": "rwm"}]), json!([])).unwrap();
        check(&all);
        assert!(ask(&all, BLOCK, ALL, 8, 0) && all.exceptions.is_empty());
        // A node of the specification's own takes the place of the usual one, and needs a rule of its own.
        let own = rules(json!([deny]), json!([{"path": "/dev/null", "type": "c", "major": 1, "minor": 7}]))
            .unwrap();
        assert!(!ask(&own, CHARACTER, READ, 1, 3));
    }

    #[test]
    fn lists_of_what_is_forbidden() {
        let allow = json!({"allow": true, "access": "rwm"});
        let disk = json!({"allow": false, "type": "b", "major": 8, "access": "w"});
        let some = rules(json!([allow, disk]), json!([])).unwrap();
        check(&some);
        assert!(
            !executed(&some.program(), BLOCK, READ | WRITE, 8, 3),
            "a part that is denied denies the whole"
        );
        assert!(executed(&some.program(), BLOCK, READ, 8, 3));
        let again =
            rules(json!([allow, disk, {"allow": true, "type": "b", "major": 8, "access": "w"}]), json!([]))
                .unwrap();
        assert_eq!(again.exceptions.len(), 0);
        check(&rules(json!([]), json!([])).unwrap());
    }

    #[test]
    fn all_else_is_refused() {
        let deny = json!({"allow": false, "access": "rwm"});
        for rule in [
            json!({"allow": true, "type": "c", "access": "x"}),
            json!({"allow": true, "type": "c", "access": ""}),
            json!({"allow": true, "type": "p", "access": "r"}),
            json!({"allow": true, "type": "c", "major": -2, "access": "r"}),
            json!({"allow": true, "type": "c", "major": 1_i64 << 32, "access": "r"}),
        ] {
            assert!(rules(json!([deny, rule]), json!([])).is_err(), "{rule}");
        }
        let many = json!({"allow": true, "type": "c", "major": 10, "access": "rw"});
        let hole = json!({"allow": false, "type": "c", "major": 10, "minor": 5, "access": "w"});
        assert!(rules(json!([deny, many, hole]), json!([])).is_err());
    }
}

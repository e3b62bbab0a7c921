//! A profile as a program of classic BPF: a question for the architecture, a binary search for the number of the call, and
//! comparisons of its arguments.

use super::table::{Abi, X32_BIT};
use super::{Call, Comparison, Condition, ENOSYS, ERRNO, KILL_THREAD, Policy, Profile};
use crate::sys::stage::Instruction;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_GREATER: u16 = 0x25;
const IF_AT_LEAST: u16 = 0x35;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// The kernel's largest program.
const LONGEST: usize = 4096;

/// A place in the program, known when all of it is there.
type Label = usize;

#[derive(Default)]
struct Assembler {
    program: Vec<Instruction>,
    /// Where each label is.
    places: Vec<Option<usize>>,
    /// Jumps, and where they lead.
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    fn emit(&mut self, code: u16, k: u32) {
        self.program.push(Instruction { code, jt: 0, jf: 0, k });
    }

    fn label(&mut self) -> Label {
        self.places.push(None);
        self.places.len() - 1
    }

    fn place(&mut self, label: Label) {
        self.places[label] = Some(self.program.len());
    }

    fn jump(&mut self, label: Label) {
        self.jumps.push((self.program.len(), label));
        self.emit(JUMP, 0);
    }

    /// Goes on when the accumulator compares so, and else to `otherwise`.
    fn unless(&mut self, code: u16, k: u32, otherwise: Label) {
        self.program.push(Instruction { code, jt: 1, jf: 0, k });
        self.jump(otherwise);
    }

    /// Goes to `there` when the accumulator compares so, and else on.
    fn when(&mut self, code: u16, k: u32, there: Label) {
        self.program.push(Instruction { code, jt: 0, jf: 1, k });
        self.jump(there);
    }

    fn finish(mut self) -> Result<Vec<Instruction>, String> {
        for (at, label) in self.jumps {
            let to = self.places[label].ok_or("seccomp: a jump leads nowhere")?;
            let distance = to.checked_sub(at + 1).ok_or("seccomp: a jump leads back")?;
            self.program[at].k = u32::try_from(distance).map_err(|e| e.to_string())?;
        }
        if self.program.len() > LONGEST {
            return Err("seccomp: the program is too long".to_owned());
        }
        Ok(self.program)
    }
}

/// Makes the program.
pub(super) fn assemble(profile: &Profile) -> Result<Vec<Instruction>, String> {
    let mut out = Assembler::default();
    out.emit(LOAD, ARCHITECTURE);
    let find = |abi: Abi| profile.policies.iter().find(|p| p.abi == abi);
    for architecture in [Abi::X86_64, Abi::I386, Abi::Arm64, Abi::Arm] {
        let Some(policy) = find(architecture) else { continue };
        let next = out.label();
        out.unless(IF_EQUAL, architecture.audit(), next);
        out.emit(LOAD, NUMBER);
        if architecture == Abi::X86_64 {
            let native = out.label();
            out.unless(IF_AT_LEAST, X32_BIT, native);
            match find(Abi::X32) {
                Some(x32) => answer(&mut out, x32, profile.default),
                None => out.emit(RETURN, KILL_THREAD),
            }
            out.place(native);
        }
        answer(&mut out, policy, profile.default);
        out.place(next);
    }
    out.emit(RETURN, KILL_THREAD);
    out.finish()
}

/// Numbers from here on, up to the next span, and what is to be done with them.
struct Span<'a> {
    first: u32,
    verdict: Verdict<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict<'a> {
    Constant(u32),
    Depends(&'a Call),
}

/// Answers for one architecture. The number is in the accumulator.
fn answer(out: &mut Assembler, policy: &Policy, default: u32) {
    if let Some(last) = policy.last {
        let known = out.label();
        out.unless(IF_GREATER, last, known);
        out.emit(RETURN, ERRNO | ENOSYS);
        out.place(known);
    }
    let mut spans = vec![Span { first: 0, verdict: Verdict::Constant(default) }];
    for (number, call) in &policy.calls {
        let verdict = match call.rules.iter().any(Vec::is_empty) {
            true => Verdict::Constant(call.action),
            false => Verdict::Depends(call),
        };
        spans.push(Span { first: *number, verdict });
        spans.push(Span { first: number.saturating_add(1), verdict: Verdict::Constant(default) });
    }
    // Of spans that begin at one number, the last one counts; neighbours with one verdict are one.
    let mut merged: Vec<Span<'_>> = Vec::new();
    for span in spans {
        if merged.last().is_some_and(|last| last.first == span.first) {
            merged.pop();
        }
        if merged.last().is_none_or(|last| last.verdict != span.verdict) {
            merged.push(span);
        }
    }
    search(out, &merged, default, matches!(policy.abi, Abi::X86_64 | Abi::Arm64));
}

fn search(out: &mut Assembler, spans: &[Span<'_>], default: u32, wide: bool) {
    if let [only] = spans {
        match only.verdict {
            Verdict::Constant(value) => out.emit(RETURN, value),
            Verdict::Depends(call) => compare(out, call, default, wide),
        }
        return;
    }
    let (lower, upper) = spans.split_at(spans.len() / 2);
    let there = out.label();
    out.when(IF_AT_LEAST, upper[0].first, there);
    search(out, lower, default, wide);
    out.place(there);
    search(out, upper, default, wide);
}

/// Answers by the arguments.
fn compare(out: &mut Assembler, call: &Call, default: u32, wide: bool) {
    for rule in &call.rules {
        let next = out.label();
        for condition in rule {
            check(out, condition, next, wide);
        }
        out.emit(RETURN, call.action);
        out.place(next);
    }
    out.emit(RETURN, default);
}

/// Goes on when the condition is met, and else to `otherwise`. Arguments have two halves (`wide`); the machines here keep
/// the lower one first. Of the others only the lower half counts.
fn check(out: &mut Assembler, condition: &Condition, otherwise: Label, wide: bool) {
    let low_at = ARGUMENTS + 8 * condition.index;
    let high_at = low_at + 4;
    let ((low, high), (second_low, second_high)) = (halves(condition.value), halves(condition.second));
    let met = out.label();
    if wide {
        out.emit(LOAD, high_at);
        match condition.comparison {
            Comparison::Equal => out.unless(IF_EQUAL, high, otherwise),
            Comparison::NotEqual => out.unless(IF_EQUAL, high, met),
            Comparison::Masked => {
                out.emit(AND, high);
                out.unless(IF_EQUAL, second_high, otherwise);
            }
            Comparison::Greater | Comparison::GreaterOrEqual => {
                out.when(IF_GREATER, high, met);
                out.unless(IF_EQUAL, high, otherwise);
            }
            Comparison::Less | Comparison::LessOrEqual => {
                out.when(IF_GREATER, high, otherwise);
                out.unless(IF_EQUAL, high, met);
            }
        }
    }
    out.emit(LOAD, low_at);
    match condition.comparison {
        Comparison::Equal => out.unless(IF_EQUAL, low, otherwise),
        Comparison::NotEqual => out.when(IF_EQUAL, low, otherwise),
        Comparison::Masked => {
            out.emit(AND, low);
            out.unless(IF_EQUAL, second_low, otherwise);
        }
        Comparison::Greater => out.unless(IF_GREATER, low, otherwise),
        Comparison::GreaterOrEqual => out.unless(IF_AT_LEAST, low, otherwise),
        Comparison::Less => out.when(IF_AT_LEAST, low, otherwise),
        Comparison::LessOrEqual => out.when(IF_GREATER, low, otherwise),
    }
    out.place(met);
}

/// The lower and the upper half.
fn halves(value: u64) -> (u32, u32) {
    let half = |value: u64| u32::try_from(value & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    (half(value), half(value >> 32))
}

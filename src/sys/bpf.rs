//! Programs for the kernel (bpf(2)): those that are asked before a device is opened.
// UNSAFETY: raw system calls with pointers to values that outlive the call.
#![expect(unsafe_code, reason = "system calls without a typed form")]

use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::ffi::CStr;
use std::io;

/// One instruction (`struct bpf_insn`; kernel's `bpf/standardization/instruction-set.rst`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    code: u8,
    /// Destination in the lower half, source in the upper one.
    registers: u8,
    /// Of a load: bytes from the pointer on; of a jump: instructions to skip.
    offset: i16,
    operand: i32,
}

const LOAD_WORD: u8 = 0x61;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const COPY: u8 = 0xbc;
const SET: u8 = 0xb4;
const IF_EQUAL: u8 = 0x16;
const UNLESS_EQUAL: u8 = 0x56;
const END: u8 = 0x95;

impl Instruction {
    fn new(code: u8, to: u8, offset: i16, operand: i32) -> Self {
        Self { code, registers: to, offset, operand }
    }

    /// Loads the word that is `offset` bytes behind register `from`.
    pub fn load(to: u8, from: u8, offset: i16) -> Self {
        Self { registers: to | from << 4, ..Self::new(LOAD_WORD, 0, offset, 0) }
    }

    /// Keeps bits of a register's lower half.
    pub fn and(register: u8, bits: i32) -> Self {
        Self::new(AND, register, 0, bits)
    }

    /// Shifts a register's lower half.
    pub fn shift_right(register: u8, bits: i32) -> Self {
        Self::new(SHIFT_RIGHT, register, 0, bits)
    }

    /// Copies the lower half.
    pub fn copy(to: u8, from: u8) -> Self {
        Self { registers: to | from << 4, ..Self::new(COPY, 0, 0, 0) }
    }

    /// Sets a register.
    pub fn set(register: u8, value: i32) -> Self {
        Self::new(SET, register, 0, value)
    }

    /// Skips `skip` instructions when the register's lower half has the value.
    pub fn if_equal(register: u8, value: i32, skip: i16) -> Self {
        Self::new(IF_EQUAL, register, skip, value)
    }

    /// Skips `skip` instructions unless the register's lower half has the value.
    pub fn unless_equal(register: u8, value: i32, skip: i16) -> Self {
        Self::new(UNLESS_EQUAL, register, skip, value)
    }

    /// Answers register 0.
    pub fn end() -> Self {
        Self::new(END, 0, 0, 0)
    }

    /// Lets a jump skip `skip` instructions; nothing for others.
    pub fn lead_to(&mut self, skip: usize) {
        if matches!(self.code, IF_EQUAL | UNLESS_EQUAL) {
            self.offset = i16::try_from(skip).unwrap_or(i16::MAX);
        }
    }
}

fn call<T>(command: i32, attributes: &T) -> io::Result<i64> {
    // SAFETY: the kernel reads as many bytes as are given; what they point to lives until the caller returns.
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Lets a program decide about devices in the cgroup whose folder is open.
///
/// # Errors
/// bpf(2): no right to, or the kernel's check of the program failed.
pub fn attach_to_devices(program: &[Instruction], cgroup: impl AsFd) -> io::Result<()> {
    const LOAD: i32 = 5;
    const ATTACH: i32 = 8;
    const FOR_DEVICES: u32 = 15;
    const AT_DEVICES: u32 = 6;
    /// Programs of the cgroups below go on being asked, too.
    const ALLOW_MULTI: u32 = 2;

    #[repr(C)]
    struct Load {
        kind: u32,
        length: u32,
        first: *const Instruction,
        licence: *const libc::c_char,
        log: [u32; 2],
        log_to: u64,
    }
    #[repr(C)]
    struct Attach {
        to: u32,
        program: u32,
        kind: u32,
        flags: u32,
    }
    let licence: &CStr = c"Apache-2.0";
    let length = u32::try_from(program.len()).map_err(io::Error::other)?;
    let load = Load {
        kind: FOR_DEVICES,
        length,
        first: program.as_ptr(),
        licence: licence.as_ptr(),
        log: [0; 2],
        log_to: 0,
    };
    let mut tries = 30;
    let loaded = loop {
        match call(LOAD, &load) {
            // The check was interrupted.
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && tries > 0 => tries -= 1,
            other => break other?,
        }
    };
    let loaded = i32::try_from(loaded).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it for us, and nobody else knows it.
    let loaded = unsafe { OwnedFd::from_raw_fd(loaded) };
    let attach = Attach {
        to: cgroup.as_fd().as_raw_fd().cast_unsigned(),
        program: loaded.as_raw_fd().cast_unsigned(),
        kind: AT_DEVICES,
        flags: ALLOW_MULTI,
    };
    call(ATTACH, &attach).map(drop)
}

/// Executes a program, as the kernel would, on words that register 1 points to.
#[cfg(test)]
pub(crate) fn execute(program: &[Instruction], words: &[u32]) -> u32 {
    let mut registers = [0_u32; 11];
    let mut at = 0_usize;
    loop {
        let Instruction { code, registers: both, offset, operand } = program[at];
        at += 1;
        let (to, from) = (usize::from(both & 15), usize::from(both >> 4));
        let (value, skip) = (operand.cast_unsigned(), usize::try_from(offset).unwrap());
        match code {
            LOAD_WORD => {
                assert_eq!(from, 1);
                registers[to] = words[skip / 4];
            }
            AND => registers[to] &= value,
            SHIFT_RIGHT => registers[to] >>= value,
            COPY => registers[to] = registers[from],
            SET => registers[to] = value,
            IF_EQUAL if registers[to] == value => at += skip,
            UNLESS_EQUAL if registers[to] != value => at += skip,
            IF_EQUAL | UNLESS_EQUAL => {}
            END => return registers[0],
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}

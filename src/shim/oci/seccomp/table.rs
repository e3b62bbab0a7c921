//! Numbers of system calls by architecture.

use std::collections::HashMap;

/// Go's `x/sys` and the kernel's own headers, by name. A column for each [`Abi`].
const TEXT: &str = include_str!("syscalls.txt");

/// The bit of a call by the x32 ABI.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// A way to call the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Abi {
    X86_64,
    X32,
    I386,
    Arm64,
    Arm,
}

impl Abi {
    /// The machine's own one, and those that a profile names. One of another machine is not done here.
    pub(super) fn all(machine: &str, names: &[String]) -> Result<Vec<Self>, String> {
        let native = match machine {
            "x86_64" => Self::X86_64,
            "aarch64" => Self::Arm64,
            other => return Err(format!("seccomp: machine {other}")),
        };
        let mut all = vec![native];
        for name in names {
            let abi = match (name.as_str(), native) {
                ("SCMP_ARCH_X86_64", Self::X86_64) => Self::X86_64,
                ("SCMP_ARCH_X32", Self::X86_64) => Self::X32,
                ("SCMP_ARCH_X86", Self::X86_64) => Self::I386,
                ("SCMP_ARCH_AARCH64", Self::Arm64) => Self::Arm64,
                ("SCMP_ARCH_ARM", Self::Arm64) => Self::Arm,
                _ => return Err(format!("seccomp: architecture {name}")),
            };
            if !all.contains(&abi) {
                all.push(abi);
            }
        }
        Ok(all)
    }

    /// The kernel's number of the architecture (`<linux/audit.h>`).
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
            Self::Arm64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }
}

/// All numbers.
pub(super) struct Table(HashMap<&'static str, [Option<u32>; 5]>);

impl Table {
    pub(super) fn new() -> Self {
        let line = |line: &'static str| {
            let mut fields = line.split(' ');
            let name = fields.next()?;
            Some((name, std::array::from_fn(|_| fields.next().and_then(|field| field.parse().ok()))))
        };
        Self(TEXT.lines().filter(|l| !l.starts_with('#')).filter_map(line).collect())
    }

    /// The number of a call, with x32's bit; `None` when there is none of that name.
    pub(super) fn number(&self, abi: Abi, name: &str) -> Option<u32> {
        let [x86_64, x32, i386, arm64, arm] = self.0.get(name)?;
        match abi {
            Abi::X86_64 => *x86_64,
            Abi::X32 => x32.map(|number| number | X32_BIT),
            Abi::I386 => *i386,
            Abi::Arm64 => *arm64,
            Abi::Arm => *arm,
        }
    }

    #[cfg(test)]
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }
}

/// The call of which a call is also a part, and which part (socketcall(2), ipc(2)).
pub(super) fn multiplexed(abi: Abi, name: &str) -> Option<(&'static str, u64)> {
    if abi != Abi::I386 {
        return None;
    }
    let socket = match name {
        "socket" => 1,
        "bind" => 2,
        "connect" => 3,
        "listen" => 4,
        "accept" => 5,
        "getsockname" => 6,
        "getpeername" => 7,
        "socketpair" => 8,
        "send" => 9,
        "recv" => 10,
        "sendto" => 11,
        "recvfrom" => 12,
        "shutdown" => 13,
        "setsockopt" => 14,
        "getsockopt" => 15,
        "sendmsg" => 16,
        "recvmsg" => 17,
        "accept4" => 18,
        "recvmmsg" => 19,
        "sendmmsg" => 20,
        _ => 0,
    };
    let ipc = match name {
        "semop" => 1,
        "semget" => 2,
        "semctl" => 3,
        "semtimedop" => 4,
        "msgsnd" => 11,
        "msgrcv" => 12,
        "msgget" => 13,
        "msgctl" => 14,
        "shmat" => 21,
        "shmdt" => 22,
        "shmget" => 23,
        "shmctl" => 24,
        _ => 0,
    };
    match (socket, ipc) {
        (1.., _) => Some(("socketcall", socket)),
        (_, 1..) => Some(("ipc", ipc)),
        _ => None,
    }
}

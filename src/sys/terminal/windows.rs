//! The Windows console (Console Virtual Terminal Sequences).
// UNSAFETY: calls of the console API with handles of our own process.
#![expect(unsafe_code, reason = "the console has no safe interface")]

use std::io;
use windows_sys::Win32::System::Console::{
    CONSOLE_SCREEN_BUFFER_INFO, ENABLE_ECHO_INPUT, ENABLE_LINE_INPUT, ENABLE_PROCESSED_INPUT,
    ENABLE_VIRTUAL_TERMINAL_INPUT, GetConsoleMode, GetConsoleScreenBufferInfo, GetStdHandle,
    STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, SetConsoleMode,
};

/// Standard input in raw mode. Dropping it restores what was.
#[derive(Debug)]
pub struct Raw(u32);

impl Raw {
    /// Enters it.
    ///
    /// # Errors
    /// Standard input is no console.
    pub fn enter() -> io::Result<Self> {
        Self::without(
            ENABLE_ECHO_INPUT | ENABLE_LINE_INPUT | ENABLE_PROCESSED_INPUT,
            ENABLE_VIRTUAL_TERMINAL_INPUT,
        )
    }

    /// Only does not show the keys, for a password.
    ///
    /// # Errors
    /// Standard input is no console.
    pub fn unseen() -> io::Result<Self> {
        Self::without(ENABLE_ECHO_INPUT, 0)
    }

    fn without(modes: u32, with: u32) -> io::Result<Self> {
        let mut before = 0;
        // SAFETY: the handle is our own standard input and `before` outlives the call.
        if unsafe { GetConsoleMode(GetStdHandle(STD_INPUT_HANDLE), &raw mut before) } == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle is our own standard input.
        if unsafe { SetConsoleMode(GetStdHandle(STD_INPUT_HANDLE), before & !modes | with) } == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: the handle is our own standard input; a failure leaves nothing to do.
        unsafe { SetConsoleMode(GetStdHandle(STD_INPUT_HANDLE), self.0) };
    }
}

/// Columns and rows of the console that standard output is; `None`: it is none.
pub fn size() -> Option<(u16, u16)> {
    let mut info = CONSOLE_SCREEN_BUFFER_INFO::default();
    // SAFETY: the handle is our own standard output and `info` outlives the call.
    if unsafe { GetConsoleScreenBufferInfo(GetStdHandle(STD_OUTPUT_HANDLE), &raw mut info) } == 0 {
        return None;
    }
    let window = info.srWindow;
    let columns = u16::try_from(window.Right - window.Left + 1).ok()?;
    let rows = u16::try_from(window.Bottom - window.Top + 1).ok()?;
    Some((columns, rows))
}

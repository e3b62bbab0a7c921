//! Exit codes of programs that did not start, read from the runtime's words, as Docker's daemon and client do.

/// Cause that the words name.
enum Cause {
    /// The program, or a file that the start needs, does not exist.
    NotFound,
    /// The program exists but cannot be executed.
    NotExecutable,
    /// A file stands where a folder is needed.
    NotAFolder,
    Other,
}

fn cause(words: &str) -> Cause {
    let has = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    if has(&["executable file not found", "no such file or directory", "system cannot find the file"]) {
        Cause::NotFound
    } else if has(&["permission denied", "is a directory", "exec format error"]) {
        Cause::NotExecutable
    } else if has(&["not a directory"]) {
        Cause::NotAFolder
    } else {
        Cause::Other
    }
}

/// The exit code that the daemon notes for a container whose first process did not start.
pub fn start_code(words: &str) -> i32 {
    match cause(words) {
        Cause::NotFound | Cause::NotAFolder => 127,
        Cause::NotExecutable => 126,
        Cause::Other => 128,
    }
}

/// The exit code of an exec that did not start. A program that is missing has 127; everything else, a missing working
/// directory included, is a command that cannot be invoked.
pub fn exec_code(words: &str) -> i32 {
    match cause(words) {
        Cause::NotFound if !words.contains("chdir to cwd") => 127,
        _ => 126,
    }
}

/// The exit code of `run` when the daemon refuses it with these words.
pub fn refusal_code(words: &str) -> u8 {
    match cause(words) {
        Cause::NotFound => 127,
        Cause::NotExecutable => 126,
        Cause::NotAFolder | Cause::Other => 125,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_by_words() {
        for (words, start, exec, refusal) in [
            ("exec: \"foo\": executable file not found in $PATH: unknown", 127, 127, 127),
            ("exec: \"/foo\": stat /foo: no such file or directory", 127, 127, 127),
            (
                "chdir to cwd (\"/nosuch\") set in config.json failed: no such file or directory",
                127,
                126,
                127,
            ),
            ("chdir to cwd (\"/etc/passwd\") set in config.json failed: not a directory", 127, 126, 125),
            ("exec: \"/etc/passwd\": permission denied", 126, 126, 126),
            ("exec: \"/etc\": is a directory", 126, 126, 126),
            ("exec /script: exec format error", 126, 126, 126),
            ("error mounting: not a directory", 127, 126, 125),
            ("something else", 128, 126, 125),
            ("Conflict. The container name is in use", 128, 126, 125),
        ] {
            let found = (start_code(words), exec_code(words), refusal_code(words));
            assert_eq!(found, (start, exec, refusal), "{words}");
        }
    }
}

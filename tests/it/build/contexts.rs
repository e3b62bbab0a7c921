//! Contexts and Dockerfiles from wherever they may come, and those that are none.

use super::context;
use crate::containers::DEMO;
use crate::env::TestEnv;
use crate::host::Need;
use crate::{Case, DAEMON, shared};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const WITH_GIT: &[Need] = &[DAEMON[0], Need::Program("git")];

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("build::contexts_on_standard_input", DAEMON, standard_input),
        Case::new("build::contexts_from_git_and_the_web", WITH_GIT, fetched),
        Case::new("build::dockerfiles_that_are_none", DAEMON, bad_dockerfiles),
        Case::new("build::ignore_files_that_are_none", DAEMON, bad_ignore_files),
        Case::new("build::files_that_change_meanwhile", DAEMON, changing_files),
        Case::new("build::contexts_with_odd_files", DAEMON, odd_files),
    ]
}

/// Gives `input` to a build on its standard input.
fn fed(env: &TestEnv, args: &[&str], input: &[u8]) -> Result<(bool, String)> {
    let mut build = env.k3c_command(args);
    build.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut build = build.spawn()?;
    let mut stdin = build.stdin.take().context("no standard input")?;
    // A build that was refused takes no input.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = build.wait_with_output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

fn standard_input() -> Result<()> {
    let env = shared::env()?;
    let file = format!("FROM {DEMO}\nCOPY data /data\nCMD [\"cat\", \"/data\"]\n");
    let dir = context(&env, "packed", &[("Dockerfile", &file), ("data", "packed\n")])?;
    for (name, flag) in
        [("plain", "-c"), ("gzip", "-cz"), ("bzip2", "-cj"), ("xz", "-cJ"), ("zstd", "-c --zstd")]
    {
        let mut tar = Command::new("tar");
        tar.args(flag.split(' ')).arg("-C").arg(&dir).arg(".");
        let archive = tar.output().context("tar")?.stdout;
        let tag = format!("packed:{name}");
        let (done, text) = fed(&env, &["build", "-q", "-t", &tag, "-"], &archive)?;
        // BuildKit unpacks what Docker's own archives may be.
        ensure!(done || name == "zstd", "{name}: {text}");
        ensure!(!done || env.ok(&["run", "--rm", &tag])? == "packed", "{name}");
    }
    let (done, text) = fed(&env, &["build", "-q", "-t", "fed:1", "-"], format!("FROM {DEMO}\n").as_bytes())?;
    ensure!(done, "{text}");
    let (done, text) = fed(&env, &["build", "-q", "-t", "fed:2", "-f", "-", "packed"], file.as_bytes())?;
    ensure!(done && env.ok(&["run", "--rm", "fed:2"])? == "packed", "{text}");
    let (done, text) = fed(&env, &["build", "-"], b"")?;
    ensure!(!done && text.contains("failed to read the context from stdin: it is empty"), "{text}");
    let (done, text) = fed(&env, &["build", "-f", "-", "-"], b"x")?;
    ensure!(!done && text.contains("can't use stdin for both"), "{text}");
    Ok(())
}

/// Serves files to whoever asks, until the process ends.
fn serve(root: PathBuf) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let root = root.clone();
            std::thread::spawn(move || answer(&stream, &root));
        }
    });
    Ok(port)
}

fn answer(mut stream: &TcpStream, root: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default().trim_start_matches('/');
    let (status, body) = match fs::read(root.join(path)) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    if method == "GET" { stream.write_all(&body) } else { Ok(()) }
}

fn fetched() -> Result<()> {
    let env = shared::env()?;
    let file = format!("FROM {DEMO}\nCOPY data /data\nCMD [\"cat\", \"/data\"]\n");
    let dir = context(&env, "origin", &[("Dockerfile", &file), ("data", "top\n")])?;
    let web = context(&env, "web", &[("Alone", &format!("FROM {DEMO}\nCMD [\"echo\", \"alone\"]\n"))])?;
    env.user.dir(&dir.join("sub"), 0o755)?;
    env.user.write(&dir.join("sub/data"), "below\n")?;
    env.user.write(&dir.join("sub/Other"), &file)?;
    let git = |args: &[&str]| -> Result<()> {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "safe.directory=*", "-C"];
        let place = dir.display().to_string();
        env.program(Path::new("git"), &[&identity[..], &[&place], args].concat())?.ok().map(drop)
    };
    git(&["init", "-q", "-b", "main"])?;
    git(&["add", "."])?;
    git(&["commit", "-q", "-m", "first"])?;
    git(&["clone", "-q", "--bare", ".", &web.join("repo.git").display().to_string()])?;
    let bare = web.join("repo.git").display().to_string();
    git(&["--git-dir", &bare, "update-server-info"])?;
    let mut tar = Command::new("tar");
    tar.arg("-czf").arg(web.join("context.tar.gz")).args(["--exclude=.git", "-C"]).arg(&dir).arg(".");
    ensure!(tar.status()?.success());

    let port = serve(web)?;
    let address = |path: &str| format!("http://127.0.0.1:{port}/{path}");
    let built = |args: &[&str]| -> Result<String> {
        env.ok(&[&["build", "-q", "-t", "fetched:1"], args].concat())?;
        env.ok(&["run", "--rm", "fetched:1"])
    };
    ensure!(built(&[&address("repo.git")])? == "top");
    ensure!(built(&["-f", "Other", &address("repo.git#main:sub")])? == "below");
    ensure!(built(&[&address("context.tar.gz")])? == "top");
    ensure!(built(&["-f", "sub/Other", &address("context.tar.gz")])? == "top");
    ensure!(built(&[&address("Alone")])? == "alone");
    let outside = context(&env, "outside-git", &[("Dockerfile", &file)])?.join("Dockerfile");
    ensure!(built(&["-f", &outside.display().to_string(), &address("repo.git")])? == "top");
    let named = format!("FROM {DEMO}\nCOPY --from=more sub/data /data\nCMD [\"cat\", \"/data\"]\n");
    context(&env, "named-git", &[("Dockerfile", &named)])?;
    let more = format!("more={}", address("repo.git"));
    ensure!(built(&["--build-context", &more, "named-git"])? == "below");
    env.k3c(&["build", &address("none.tar")])?.fails(1, "404")?;
    env.k3c(&["build", &address("none.git")])?.fails(1, "failed to")?;
    env.k3c(&["build", &address("repo.git#none")])?.fails(1, "none").map(drop)
}

fn bad_dockerfiles() -> Result<()> {
    let env = shared::env()?;
    let dir = context(&env, "bad", &[("empty", ""), ("syntax", "FROM\n"), ("word", "FRUM x\n")])?;
    env.user.dir(&dir.join("directory"), 0o755)?;
    env.user
        .write(&dir.join("bytes"), [format!("FROM {DEMO}\nRUN echo ").as_bytes(), b"\xff\xfe\n"].concat())?;
    let comment = "# a comment\n";
    let large =
        |size: usize, end: &str| format!("FROM {DEMO}\n{}{end}\n", comment.repeat(size / comment.len()));
    env.user.write(&dir.join("large"), large(10 << 20, ""))?;
    // The whole file comes with the error about its last line.
    env.user.write(&dir.join("failing"), large(1 << 20, "RUN exit 23"))?;
    nix::unistd::mkfifo(&dir.join("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o644))?;
    symlink("../none", dir.join("nowhere"))?;
    symlink("../outside.df", dir.join("outside"))?;
    env.user.write(&env.home.join("outside.df"), format!("FROM {DEMO}\n"))?;
    env.user.write(&dir.join("unreadable"), "FROM x\n")?;
    fs::set_permissions(dir.join("unreadable"), fs::Permissions::from_mode(0o000))?;
    let build = |file: &str| env.k3c(&["build", "-q", "-f", &format!("bad/{file}"), "bad"]);
    for (file, part) in [
        ("none", "failed to read dockerfile: open bad/none: no such file or directory"),
        ("empty", "the Dockerfile cannot be empty"),
        ("directory", "failed to read dockerfile: open directory: not a regular file"),
        ("bytes", "invalid UTF-8"),
        ("syntax", "FROM requires either one or three arguments"),
        ("word", "unknown instruction: FRUM"),
        ("failing", ">>> RUN exit 23"),
        ("fifo", "failed to read dockerfile: open fifo: not a regular file"),
        ("nowhere", "failed to read dockerfile: open nowhere: no such file or directory"),
        ("unreadable", "bad/unreadable: Permission denied"),
    ] {
        build(file)?.fails(1, part)?;
    }
    // A link may lead to a Dockerfile that is somewhere else.
    build("outside")?.ok()?;
    build("large")?.ok().map(drop)
}

fn bad_ignore_files() -> Result<()> {
    let env = shared::env()?;
    let file = format!("FROM {DEMO}\nCOPY . /c\nCMD [\"ls\", \"/c\"]\n");
    let dir = context(&env, "ignoring", &[("Dockerfile", &file), ("kept", ""), ("name 19999", "")])?;
    let with = |text: &[u8]| -> Result<_> {
        env.user.write(&dir.join(".dockerignore"), text)?;
        env.k3c(&["build", "-q", "-t", "ignoring", "ignoring"])
    };
    for (text, why) in [
        ("[", "syntax error in pattern"),
        ("a\\", "syntax error in pattern"),
        ("!", "illegal exclusion pattern"),
    ] {
        with(text.as_bytes())?.fails(1, why).with_context(|| text.to_owned())?;
    }
    // Bytes that are no text match nothing, and thousands of patterns are no reason to wait.
    with(b"\xff\xfe*\n")?.ok()?;
    let many: String = (0..20_000).map(|n| format!("na*e {n}\n")).collect();
    with(many.as_bytes())?.ok()?;
    let names = env.ok(&["run", "--rm", "ignoring"])?;
    ensure!(names == "Dockerfile\nkept", "{names}");
    Ok(())
}

/// Files that appear, grow, shrink, vanish and become something else all the time: a build of them ends, with all there
/// was or with a word about what changed.
fn changing_files() -> Result<()> {
    let env = shared::env()?;
    let file = format!("FROM {DEMO}\nCOPY . /c\nRUN cat /c/still | md5sum\n");
    let dir = context(&env, "changing", &[("Dockerfile", &file), ("still", &"x".repeat(3_000_000))])?;
    let script = "cd \"$1\"; n=0; while [ ! -e ../stop ]; do n=$(((n+1)%20)); f=f$n; rm -rf $f; case $((n%5)) in \
        0) head -c ${n}00000 /dev/zero > $f;; 1) mkfifo $f;; 2) ln -s /etc $f;; 3) mkdir $f; echo x > $f/in;; \
        4) echo new > $f;; esac; echo more >> grows; g=f$(((n+2)%20)); rm -rf $g; : > $g; sleep 0.01; done 2>/dev/null";
    let place = dir.display().to_string();
    std::thread::scope(|scope| -> Result<()> {
        let changes = scope.spawn(|| env.program(Path::new("/bin/sh"), &["-c", script, "sh", &place]));
        let build = || {
            env.program_within(60, &crate::env::installed(), &["build", "--progress", "plain", "changing"])
        };
        let outcome = (0..8).try_for_each(|_| {
            let ran = build()?;
            let told = [" changed while it was sent: ", ": Not a directory", ": Invalid argument"];
            let is_told = ran.code == 1 && told.iter().any(|part| ran.stderr.contains(part));
            ensure!(ran.code == 0 || is_told, "{ran}");
            Ok(())
        });
        env.user.write(&env.home.join("stop"), "")?;
        changes.join().expect("changes")?;
        outcome
    })?;
    env.ok(&["build", "-q", "changing"]).map(drop)
}

fn odd_files() -> Result<()> {
    let env = shared::env()?;
    let list = "ls /c | tr '\\n' ' '; stat -c '%F %h' /c/fifo /c/one /c/socket; readlink /c/loop";
    let file = format!("FROM {DEMO}\nCOPY . /c\nRUN {list}\n");
    let dir = context(
        &env,
        "odd",
        &[("Dockerfile", &file), ("one", "1"), ("loops", &format!("FROM {DEMO}\nCOPY loop /c\n"))],
    )?;
    fs::hard_link(dir.join("one"), dir.join("two"))?;
    symlink("pool", dir.join("loop"))?;
    symlink("loop", dir.join("pool"))?;
    symlink(".", dir.join("self"))?;
    nix::unistd::mkfifo(&dir.join("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o644))?;
    let socket = std::os::unix::net::UnixListener::bind(dir.join("socket"))?;
    let ran = env.k3c(&["build", "--progress", "plain", "--no-cache", "odd"])?;
    let said = |text: &str| ran.stderr.contains(text);
    ensure!(ran.code == 0 && said("Dockerfile fifo loop loops one pool self socket two"), "{ran}");
    ensure!(said("fifo 1") && said("regular file 2") && said("regular empty file 1"), "{ran}");
    env.k3c(&["build", "-q", "-f", "odd/loops", "odd"])?.fails(1, "too many links")?;
    drop(socket);
    // Files that cannot be sent are an error, unless they are left out.
    let unreadable = dir.join("unreadable");
    env.user.write(&unreadable, "x")?;
    fs::set_permissions(&unreadable, fs::Permissions::from_mode(0o000))?;
    env.k3c(&["build", "-q", "odd"])?.fails(1, "odd/unreadable: Permission denied")?;
    fs::write(dir.join(std::ffi::OsStr::from_bytes(b"a\xff")), "")?;
    env.user.write(&dir.join(".dockerignore"), "unreadable\n")?;
    env.k3c(&["build", "-q", "odd"])?.fails(1, "odd/a\\xFF\": file name is not valid UTF-8")?;
    env.user.write(&dir.join("Dockerfile.dockerignore"), "unreadable\na?\n")?;
    env.k3c(&["build", "-q", "odd"])?.ok().map(drop)
}

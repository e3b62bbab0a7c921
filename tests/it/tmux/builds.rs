//! Builds on a terminal: the picture of the steps is whole whatever they say and however small the terminal is.

use super::{NEEDS, Screen, client, prompt_of};
use crate::containers::{DEMO, within};
use crate::env::TestEnv;
use crate::{Case, shared};
use anyhow::{Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant};

pub(super) fn cases() -> Vec<Case> {
    let case = |name, run| Case::new(name, NEEDS, run);
    vec![
        case("tmux::build_of_many_steps_on_a_small_terminal", many_steps),
        case("tmux::build_that_says_anything", anything_said),
        case("tmux::build_ended_by_keys_and_signals", ended),
        case("tmux::build_with_warnings_and_a_failure", warnings_and_a_failure),
        case("tmux::build_without_colours", without_colours),
    ]
}

/// A context with a Dockerfile and nothing else.
fn context(env: &TestEnv, name: &str, file: &str) -> Result<()> {
    env.user.dir(&env.home.join(name), 0o755)?;
    env.user.write(&env.home.join(name).join("Dockerfile"), file)
}

impl Screen<'_> {
    /// The lines on the screen just now.
    fn lines(&self) -> Result<Vec<String>> {
        let text = self.tmux(&["capture-pane", "-p"])?.ok()?;
        Ok(text.lines().map(|line| line.trim_end().to_owned()).collect())
    }

    /// The same with sequences for the colours.
    fn coloured(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p", "-e", "-S", "-"])?.ok()
    }

    /// Whether the cursor is shown and lines wrap.
    fn flags(&self) -> Result<String> {
        self.tmux(&["display-message", "-p", "#{cursor_flag} #{wrap_flag} #{alternate_on}"])?.ok()
    }
}

/// A picture of a build is below the shell's prompt: the heading once, and steps.
fn whole(lines: &[String]) -> Result<()> {
    let is_part = |line: &str| ["[+] Building ", " => "].iter().any(|start| line.starts_with(start));
    let picture: Vec<&String> =
        lines.iter().filter(|line| !line.is_empty() && !line.contains("k3c build")).collect();
    let headings = picture.iter().filter(|line| line.starts_with("[+]")).count();
    ensure!(headings <= 1 && picture.iter().all(|line| is_part(line)), "{lines:#?}");
    Ok(())
}

fn many_steps() -> Result<()> {
    let env = shared::env()?;
    let mut file = String::new();
    for stage in 1..=6 {
        let script = format!("for i in $(seq 60); do echo stage {stage} line $i; sleep 0.1; done");
        file.push_str(&format!("FROM {DEMO} AS s{stage}\nRUN {script}; touch /f{stage}\n"));
    }
    file.push_str(&format!("FROM {DEMO}\n"));
    (1..=6).for_each(|stage| file.push_str(&format!("COPY --from=s{stage} /f{stage} /\n")));
    context(&env, "tmux-many", &file)?;
    let mut screen = Screen::open(&env)?;
    screen.line("clear")?;
    screen.resize("70", "10")?;
    screen.enter("k3c build --no-cache -t tmux-many tmux-many")?;
    screen.sees(" => => # stage ")?;
    let sizes = [("70", "10"), ("40", "10"), ("25", "7"), ("120", "30"), ("70", "10")];
    for (columns, rows) in sizes {
        screen.resize(columns, rows)?;
        // The next picture has the new size.
        std::thread::sleep(Duration::from_millis(300));
        for _ in 0..5 {
            let lines = screen.lines()?;
            let is_over = |line: &String| line.contains("FINISHED") || prompt_of(line).is_some();
            if lines.iter().any(is_over) {
                break;
            }
            let from = lines.iter().position(|line| line.starts_with("[+]")).unwrap_or_default();
            whole(&lines[from..])?;
            let steps = lines.iter().filter(|line| line.starts_with(" => ")).count();
            ensure!(steps > 0, "{lines:#?}");
            std::thread::sleep(Duration::from_millis(40));
        }
    }
    let text = screen.over(0)?;
    ensure!(text.contains(" FINISHED\n"), "{text}");
    // Each step is there at the end, though the screen is smaller.
    let last = text.rsplit_once("[+] Building").map_or("", |(_, last)| last);
    for stage in 1..=6 {
        ensure!(last.contains(&format!(" => [s{stage} 2/2] RUN for i in ")), "{stage}: {last}");
    }
    ensure!(!last.contains("line 60"), "{last}");
    env.ok(&["rmi", "tmux-many"]).map(drop)
}

fn anything_said() -> Result<()> {
    let env = shared::env()?;
    let bar = r"for i in $(seq 20); do printf '\r%d%%' $((i*5)); sleep 0.1; done; echo";
    let clear = r"printf '\033[2J\033[H\033[?25l\033[?1049h\033]0;title\007\033[31mred\n'";
    let long = "for i in $(seq 300); do printf 日本語; done; echo; sleep 1";
    let last = "printf 'no end'; sleep 1; seq 300000";
    let file = format!("FROM {DEMO}\nRUN {clear}; {bar}; {long}; {last}\n");
    context(&env, "tmux-said", &file)?;
    let mut screen = Screen::open(&env)?;
    screen.line("clear")?;
    screen.enter("k3c build --no-cache tmux-said")?;
    screen.sees(" => => # red\n")?;
    // A bar is shown as it grows, though its line has no end yet.
    screen.until("a bar", |text| {
        text.lines().any(|line| line.starts_with(" => => # 5") && line.ends_with('%'))
    })?;
    whole(&screen.lines()?)?;
    // A line that is longer than the terminal goes on in the next one.
    let wraps = |text: &str| {
        text.lines().filter(|line| line.starts_with(" => => # 日")).count() >= 2
            || text
                .lines()
                .filter(|line| line.starts_with(" => => # ") && line.contains("日本語日本語"))
                .count()
                >= 2
    };
    screen.until("a long line", wraps)?;
    whole(&screen.lines()?)?;
    screen.sees(" => => # no end\n")?;
    whole(&screen.lines()?)?;
    let text = screen.over(0)?;
    whole(&text.lines().skip(1).take_while(|l| !l.contains("host")).map(str::to_owned).collect::<Vec<_>>())?;
    ensure!(screen.flags()?.trim() == "1 1 0", "{}", screen.flags()?);
    Ok(())
}

fn ended() -> Result<()> {
    let env = shared::env()?;
    context(&env, "tmux-ended", &format!("FROM {DEMO}\nRUN echo begun; sleep 100.5\n"))?;
    let mut screen = Screen::open(&env)?;
    let line = "k3c build --no-cache tmux-ended";
    let running = || env.processes().iter().any(|(_, line)| line.contains("sleep 100.5"));
    for (end, code) in [(None, 130), (Some(Signal::SIGTERM), 143), (Some(Signal::SIGKILL), 137)] {
        screen.enter(line)?;
        screen.sees(" => => # begun\n")?;
        match end {
            None => screen.keys(&["C-c"])?,
            Some(signal) => kill(Pid::from_raw(client(&env, line)?), signal)?,
        }
        screen.over(code)?;
        ensure!(screen.flags()?.trim() == "1 1 0", "{}", screen.flags()?);
        within(Duration::from_secs(20), "the step ends", || Ok(!running()))?;
    }
    Ok(())
}

fn warnings_and_a_failure() -> Result<()> {
    let env = shared::env()?;
    let file = format!("FROM {DEMO} as base\nRUN echo one; echo two\nRUN echo last words; exit 9\nUSER 1\n");
    context(&env, "tmux-failing", &file)?;
    let mut screen = Screen::open(&env)?;
    screen.enter("k3c build --no-cache tmux-failing")?;
    let text = screen.over(1)?;
    for part in [
        " => ERROR [3/3] RUN echo last words; exit 9",
        "------\n > [3/3] RUN echo last words; exit 9:\n0.",
        " last words\n------\n",
        "\n 1 warning found:\n - FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)\n",
        "\nDockerfile:1\n--------------------\n   1 | >>> FROM ",
        "\nDockerfile:3\n--------------------\n   1 |     FROM ",
        "\n   3 | >>> RUN echo last words; exit 9\n   4 |     USER 1\n",
        "\nERROR: failed to build: failed to solve: ",
        "exit code: 9\n",
    ] {
        ensure!(text.contains(part), "{part:?} is not in {text}");
    }
    Ok(())
}

fn without_colours() -> Result<()> {
    let env = shared::env()?;
    context(&env, "tmux-colours", &format!("FROM {DEMO}\nRUN echo x\n"))?;
    let mut screen = Screen::open(&env)?;
    let coloured = "\u{1b}[34m => ";
    let started = Instant::now();
    for (before, expected) in
        [("", true), ("NO_COLOR=1 ", false), ("TERM=dumb ", false), ("BUILDKIT_COLORS=run=green ", false)]
    {
        screen.line("clear; tmux clear-history 2>/dev/null")?;
        screen.enter(&format!("{before}k3c build tmux-colours"))?;
        let text = screen.over(0)?;
        let all = screen.coloured()?;
        ensure!(all.contains(coloured) == expected, "{before}: {all}");
        ensure!(text.contains("[+] Building") != before.starts_with("TERM"), "{before}: {text}");
        ensure!(all.contains("\u{1b}[32m => ") == before.contains("green"), "{before}: {all}");
        ensure!(started.elapsed() < Duration::from_secs(120), "too slow");
    }
    Ok(())
}

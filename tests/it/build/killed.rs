//! Builds whose processes are killed: the store stays as it was, and the same build succeeds the next time.

use super::context;
use crate::containers::{DEMO, within};
use crate::env::TestEnv;
use crate::{Case, DAEMON};
use anyhow::{Result, ensure};
use std::process::Stdio;
use std::time::Duration;

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("build::killed_and_built_again", DAEMON, killed)]
}

fn killed() -> Result<()> {
    let mut env = TestEnv::new()?;
    env.start()?;
    let file = format!("FROM {DEMO}\nRUN echo built > /f; sleep 3.141\nCMD [\"cat\", \"/f\"]\n");
    context(&env, "killed", &[("Dockerfile", &file)])?;
    let before = env.ok(&["images", "-a", "--no-trunc"])?;
    let steps = || env.processes().iter().filter(|(_, line)| line.contains("sleep 3.141")).count();
    for victim in ["buildkitd", "__engine"] {
        let mut build = env.k3c_command(&["build", "-q", "--no-cache", "-t", "killed:1", "killed"]);
        build.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let build = build.spawn()?;
        let running = within(Duration::from_secs(60), "the step runs", || Ok(steps() > 0));
        let died = running.and_then(|()| env.kill_process(victim));
        let output = build.wait_with_output()?;
        died?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(1), "{victim}: {output:?}");
        ensure!(said.contains("ERROR: failed to build: "), "{victim}: {said}");
        ensure!(env.ok(&["images", "-a", "--no-trunc"])? == before, "{victim}: there are other images");
        env.ok(&["build", "-q", "-t", "killed:1", "killed"])?;
        ensure!(env.ok(&["run", "--rm", "killed:1"])? == "built", "{victim}");
        env.ok(&["rmi", "killed:1"])?;
    }
    env.stop()
}

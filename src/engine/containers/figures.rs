//! Processes of a container, and what they use: `top` and `stats`.

use super::target::Target;
use crate::engine::containerd::{call, request};
use crate::engine::error::EngineError;
use crate::engine::lifecycle;
use crate::engine::{Engine, Inner, blocking};
use crate::model::container::{Processes, Stats, Status};
use crate::model::id::ContainerId;
use crate::model::reason::Reason;
use crate::store::Record;
use containerd_client::services::v1::{ListPidsRequest, MetricsRequest};
use containerd_shim_protos::cgroups_v2::metrics::Metrics;
use containerd_shim_protos::protobuf::Message;
use jiff::Timestamp;
use std::collections::HashMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Interval between two figures.
const SECOND: Duration = Duration::from_secs(1);

impl Engine {
    /// Processes of a container as ps(1) lists them with `args`; without arguments `-ef`.
    ///
    /// # Errors
    /// `NotFound`: no such container; `NotRunning`; `Conflict`: it is restarting; `InvalidArgument`: ps does not take
    /// the arguments, or prints no PIDs with them.
    pub async fn top(&self, who: &str, args: &[String]) -> Result<Processes, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let record = inner.records.find(who)?;
        match record.status {
            Status::Running | Status::Paused => {}
            Status::Restarting => {
                return Err(EngineError::refused(
                    Reason::Conflict,
                    format!("Container {} is restarting, wait until the container is running", record.id),
                ));
            }
            _ => {
                return Err(EngineError::refused(
                    Reason::NotRunning,
                    format!("container {} is not running", record.id),
                ));
            }
        }
        let answer = call("cannot list processes", || {
            let mut tasks = inner.containerd.tasks();
            let message = ListPidsRequest { container_id: record.attempt.container.clone() };
            async move { tasks.list_pids(request(message)).await }
        })
        .await?;
        inner.note_event(&Target::from(&record), "top", &[]).await;
        let pids: Vec<u32> = answer.processes.iter().map(|p| p.pid).collect();
        if args.is_empty() {
            return blocking(move || listed(&pids)).await;
        }
        #[expect(clippy::disallowed_methods, reason = "`top` takes the options of ps(1), as in Docker")]
        let output = tokio::process::Command::new("ps")
            .args(args)
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|e| EngineError::invalid(format!("cannot run ps with these arguments: {e}")))?;
        if !output.status.success() {
            // The lines after the first are the usage.
            let why = String::from_utf8_lossy(&output.stderr);
            let why = why.trim().lines().next().unwrap_or_default();
            return Err(EngineError::invalid(format!("ps: {why}")));
        }
        chosen(&String::from_utf8_lossy(&output.stdout), &pids)
    }

    /// Figures of the containers named (empty: of those that run, or with `all` of all), each second; without `stream`
    /// once.
    ///
    /// # Errors
    /// `NotFound`: one of the named containers.
    pub async fn stats(
        &self,
        who: &[String],
        all: bool,
        stream: bool,
    ) -> Result<ReceiverStream<Result<Stats, EngineError>>, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let named: Vec<ContainerId> =
            who.iter().map(|who| Ok(inner.records.find(who)?.id)).collect::<Result<_, EngineError>>()?;
        let (sender, receiver) = mpsc::channel(64);
        tokio::spawn(async move {
            let mut before: HashMap<ContainerId, (Instant, u64)> = HashMap::new();
            // The first look is only to compare with.
            for round in 0_u64.. {
                let mut now = HashMap::new();
                let watched = inner.watched(&named, all);
                if watched.is_empty() && !named.is_empty() {
                    // All named containers were removed, and no other can come in their place.
                    return;
                }
                for record in watched {
                    let mut stats = inner.stats_of(&record).await;
                    let time = Instant::now();
                    if let Some((then, used)) = before.get(&record.id) {
                        stats.cpu_percent = percent(stats.cpu_nanos.saturating_sub(*used), time - *then);
                    }
                    now.insert(record.id.clone(), (time, stats.cpu_nanos));
                    if round > 0 && sender.send(Ok(stats)).await.is_err() {
                        return;
                    }
                }
                before = now;
                if round > 0 && !stream {
                    return;
                }
                tokio::select! {
                    () = tokio::time::sleep(SECOND) => {}
                    () = sender.closed() => return,
                }
            }
        });
        Ok(ReceiverStream::new(receiver))
    }
}

fn percent(nanos: u64, over: Duration) -> f64 {
    let used = Duration::from_nanos(nanos).as_secs_f64();
    if over.is_zero() { 0.0 } else { used / over.as_secs_f64() * 100.0 }
}

impl Inner {
    fn watched(&self, named: &[ContainerId], all: bool) -> Vec<Record> {
        let mut records = self.records.all();
        let runs = |r: &Record| lifecycle::lives(r.status);
        records.retain(|r| match named.is_empty() {
            true => all || runs(r),
            false => named.contains(&r.id),
        });
        records.sort_by(|a, b| match named.is_empty() {
            true => b.created.cmp(&a.created),
            false => {
                let place = |r: &Record| named.iter().position(|id| *id == r.id);
                place(a).cmp(&place(b))
            }
        });
        records
    }

    async fn stats_of(self: &Arc<Self>, record: &Record) -> Stats {
        let mut stats = Stats { id: record.id.to_string(), name: record.name.clone(), ..Stats::default() };
        if !lifecycle::lives(record.status) {
            return stats;
        }
        let message = MetricsRequest { filters: vec![format!("id=={}", record.attempt.container)] };
        let mut tasks = self.containerd.tasks();
        let Ok(answer) = tasks.metrics(request(message)).await else { return stats };
        let data = answer.into_inner().metrics.into_iter().find_map(|m| m.data);
        let Some(metrics) = data.and_then(|any| Metrics::parse_from_bytes(&any.value).ok()) else {
            return stats;
        };
        let pid = record.attempt.pid;
        stats.known = true;
        stats.cpu_nanos = metrics.cpu.usage_usec.saturating_mul(1000);
        stats.memory_usage = metrics.memory.usage.saturating_sub(metrics.memory.inactive_file);
        stats.memory_limit = match metrics.memory.usage_limit {
            0 | u64::MAX => host_memory(),
            limit => limit,
        };
        stats.pids = metrics.pids.current;
        for entry in &metrics.io.usage {
            stats.block.0 += entry.rbytes;
            stats.block.1 += entry.wbytes;
        }
        stats.net = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).map_or((0, 0), |t| traffic(&t));
        stats.online_cpus = online_cpus();
        stats
    }
}

/// Memory of the host by /proc/meminfo, in bytes.
fn host_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text.lines().find_map(|l| l.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0_u64) << 10
}

fn online_cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}

/// Bytes received and sent by all devices but the loopback (proc_pid_net(5)).
fn traffic(text: &str) -> (u64, u64) {
    text.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| name.trim() != "lo").fold(
        (0, 0),
        |(received, sent), (_, rest)| {
            let field = |n| rest.split_whitespace().nth(n).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
            (received + field(0), sent + field(8))
        },
    )
}

/// The rows of ps's output whose PID is one of `pids`.
fn chosen(text: &str, pids: &[u32]) -> Result<Processes, EngineError> {
    let mut lines = text.lines();
    let titles: Vec<String> =
        lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let column = titles
        .iter()
        .position(|t| t == "PID")
        .ok_or_else(|| EngineError::invalid("Couldn't find PID field in ps output"))?;
    let rows = lines.filter_map(|line| {
        let mut fields: Vec<String> = Vec::new();
        let mut rest = line.trim_start();
        while fields.len() + 1 < titles.len() {
            let (field, after) = rest.split_once(char::is_whitespace)?;
            fields.push(field.to_owned());
            rest = after.trim_start();
        }
        fields.push(rest.trim_end().to_owned());
        let pid: u32 = fields.get(column)?.parse().ok()?;
        pids.contains(&pid).then_some(fields)
    });
    Ok(Processes { rows: rows.collect(), titles })
}

/// Rows as of `ps -ef`, from /proc (proc_pid_stat(5)). Processes that have ended meanwhile are left out.
fn listed(pids: &[u32]) -> Processes {
    let titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"].map(str::to_owned).into();
    let boot = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let boot = boot.lines().find_map(|l| l.strip_prefix("btime ")?.trim().parse::<i64>().ok()).unwrap_or(0);
    let mut pids = pids.to_vec();
    pids.sort_unstable();
    let rows = pids.into_iter().filter_map(|pid| row(pid, boot)).collect();
    Processes { titles, rows }
}

fn row(pid: u32, boot: i64) -> Option<Vec<String>> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
    let stat = read("stat")?;
    let (head, rest) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |n: usize| fields.get(n).and_then(|f| f.parse::<i64>().ok());
    let uid = read("status")?
        .lines()
        .find_map(|l| Some(l.strip_prefix("Uid:")?.split_whitespace().nth(1)?.to_owned()))?;
    let ticks = i64::try_from(rustix::param::clock_ticks_per_second()).ok()?.max(1);
    // Counted from the field after the name, which is the third.
    let (parent, tty, used, started) =
        (number(1)?, number(4)?, (number(11)? + number(12)?) / ticks, number(19)? / ticks);
    let now = Timestamp::now().as_second();
    let alive = (now - boot - started).max(1);
    let begun = Timestamp::from_second(boot + started).ok()?.to_zoned(jiff::tz::TimeZone::system());
    let stime = if alive < 86_400 { begun.strftime("%H:%M") } else { begun.strftime("%b%d") }.to_string();
    let terminal = match tty {
        0 => "?".to_owned(),
        tty => format!("pts/{}", (tty & 0xff) | ((tty >> 12) & 0xf_ff00)),
    };
    let time = format!("{:02}:{:02}:{:02}", used / 3600, used / 60 % 60, used % 60);
    let line = read("cmdline").unwrap_or_default().replace('\0', " ");
    let command = match line.trim_end() {
        "" => format!("[{name}]"),
        line => line.to_owned(),
    };
    let share = (used * 100 / alive).to_string();
    Some(vec![uid, pid.to_string(), parent.to_string(), share, stime, terminal, time, command])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_ps() {
        let text = "  PID TTY      CMD\n    7 ?        sleep  1 2\n    8 ?        other\n";
        let processes = chosen(text, &[7]).unwrap();
        assert_eq!(processes.titles, ["PID", "TTY", "CMD"]);
        assert_eq!(processes.rows, [["7", "?", "sleep  1 2"]]);
        assert!(chosen("CMD\nsleep\n", &[7]).is_err());
    }

    #[test]
    fn own_rows() {
        let own = std::process::id();
        let processes = listed(&[own, 4_000_000]);
        assert_eq!(processes.rows.len(), 1);
        assert_eq!(processes.rows[0][1], own.to_string());
        assert_eq!(processes.rows[0].len(), processes.titles.len());
    }

    #[test]
    fn sums() {
        let text =
            "Inter-| Receive\n face |bytes\n    lo: 5 0 0 0 0 0 0 0 5 0\n  eth0: 10 1 0 0 0 0 0 0 20 2\n";
        assert_eq!(traffic(text), (10, 20));
        assert!((percent(500_000_000, SECOND) - 50.0).abs() < 0.001);
    }
}

//! Processor time of this process and of the servers beside it, as Linux accounts for it.

use std::{collections::BTreeMap, fs, time::Duration};

/// Linux counts in hundredths of a second on every architecture we build for (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);
/// Servers of this machine, by the name of their processes.
const SERVERS: [(&str, &str); 2] = [("PostgreSQL", "postgres"), ("RabbitMQ", "beam.smp")];
const OURS: &str = "odograph";

/// Time spent since some beginning, user and system, by who spent it; that of a server's processes that have ended is in that of
/// their parent.
#[derive(Debug, Clone, Default)]
pub struct Cpu(BTreeMap<&'static str, Duration>);

impl Cpu {
    /// Empty where there is no `/proc`.
    pub fn now() -> Self {
        let ours = std::process::id();
        let each = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = each.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let mut spent = BTreeMap::new();
        for (pid, name, time) in pids.filter_map(|pid| stat(pid).map(|(name, time)| (pid, name, time))) {
            let server = SERVERS.iter().find(|(_, process)| *process == name);
            let who = if pid == ours {
                Some(OURS)
            } else {
                server.map(|(who, _)| *who)
            };
            if let Some(who) = who {
                *spent.entry(who).or_insert(Duration::ZERO) += time;
            }
        }
        Self(spent)
    }

    /// What was spent since, by who spent it.
    pub fn since(&self) -> Vec<(&'static str, Duration)> {
        let now = Self::now().0;
        let before = |who: &str| self.0.get(who).copied().unwrap_or_default();
        let order = [OURS].into_iter().chain(SERVERS.map(|(name, _)| name));
        order
            .filter_map(|who| Some((who, now.get(who)?.saturating_sub(before(who)))))
            .collect()
    }
}

/// Name and time of a process and of its children that have ended: proc(5), fields 2 and 14 to 17 of `/proc/PID/stat`.
fn stat(pid: u32) -> Option<(String, Duration)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (before, rest) = text.rsplit_once(") ")?;
    let name = before.split_once('(')?.1.to_owned();
    let ticks = |field: usize| rest.split(' ').nth(field - 3)?.parse::<u32>().ok();
    Some((name, TICK * (ticks(14)? + ticks(15)? + ticks(16)? + ticks(17)?)))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_this_process_spends_is_counted() {
        let before = Cpu::now();
        let since = Instant::now();
        let mut work = 1_u64;
        while since.elapsed() < Duration::from_millis(200) {
            work = std::hint::black_box(work.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
        let spent = before.since();
        let (who, ours) = spent[0];
        assert_eq!(who, OURS);
        assert!(ours >= Duration::from_millis(20), "{ours:?}");
    }
}

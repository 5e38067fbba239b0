//! The process itself, by the names that Prometheus' own clients use. As Linux tells it; nothing elsewhere.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// `USER_HZ`, the unit of times in `/proc`: 100 on every architecture that we build for.
const TICKS_PER_S: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process;

/// What `/proc` says of this process.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Status {
    cpu_s: f64,
    resident_bytes: f64,
    threads: f64,
    open_files: f64,
    started_at_s: f64,
}

impl Status {
    fn read() -> Option<Self> {
        let open_files = std::fs::read_dir("/proc/self/fd").ok()?.count();
        Self::parse(
            &std::fs::read_to_string("/proc/self/stat").ok()?,
            &std::fs::read_to_string("/proc/self/status").ok()?,
            &std::fs::read_to_string("/proc/stat").ok()?,
            // The folder that is being read is one of them.
            open_files.saturating_sub(1),
        )
    }

    fn parse(stat: &str, status: &str, system: &str, open_files: usize) -> Option<Self> {
        // The name of the program, in brackets, may hold anything; the fields after it are numbered from 3 (proc(5)).
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let line = |text: &str, name: &str| {
            let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
            rest.split_ascii_whitespace().next()?.parse::<f64>().ok()
        };
        Some(Self {
            cpu_s: (field(14)? + field(15)?) / TICKS_PER_S,
            resident_bytes: line(status, "VmRSS:")? * 1024.0,
            threads: field(20)?,
            open_files: open_files as f64,
            started_at_s: line(system, "btime")? + field(22)? / TICKS_PER_S,
        })
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let Some(status) = Status::read() else { return Ok(()) };
        let cpu = ConstCounter::new(status.cpu_s);
        let what = "Time of processors that this process used, in user and system mode.";
        cpu.encode(encoder.encode_descriptor("process_cpu", what, Some(&Unit::Seconds), cpu.metric_type())?)?;
        let gauges = [
            (
                "process_resident_memory",
                "Memory that is in use.",
                Some(Unit::Bytes),
                status.resident_bytes,
            ),
            ("process_threads", "Threads.", None, status.threads),
            (
                "process_open_fds",
                "Files and connections that are open.",
                None,
                status.open_files,
            ),
            (
                "process_start_time",
                "When this process began, since 1970.",
                Some(Unit::Seconds),
                status.started_at_s,
            ),
        ];
        for (name, what, unit, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, what, unit.as_ref(), gauge.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_behind_the_name() {
        let stat = "42 (odd) name) S 1 42 42 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 9 0 12345 1000 200 1 1";
        let read = Status::parse(
            stat,
            "Name:\todograph\nVmRSS:\t    2048 kB\n",
            "cpu 1 2\nbtime 1700000000\n",
            7,
        );
        let wanted = Status {
            cpu_s: 3.0,
            resident_bytes: 2_097_152.0,
            threads: 9.0,
            open_files: 7.0,
            started_at_s: 1_700_000_123.45,
        };
        assert_eq!(read, Some(wanted));
        assert_eq!(Status::parse("", "", "", 0), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_something() {
        let status = Status::read().unwrap();
        assert!(
            status.resident_bytes > 1e6 && status.threads >= 1.0 && status.started_at_s > 1.6e9,
            "{status:?}"
        );
    }
}

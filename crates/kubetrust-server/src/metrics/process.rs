//! What the process uses, by the names that every Prometheus client library has.

use std::fs;
use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Ticks of `/proc/self/stat` in a second (`USER_HZ`, 100 for all programs on Linux).
const TICKS: f64 = 100.0;

/// What could be read; the kernel may not tell.
pub(super) fn register(registry: &mut Registry, started: Timestamp) {
    let mut gauge = |name: &str, help: &str, value: Option<i64>| {
        if let Some(value) = value {
            let gauge = Gauge::<i64>::default();
            gauge.set(value);
            registry.register(name, help, gauge);
        }
    };
    gauge(
        "process_start_time_seconds",
        "When the server started, since the epoch",
        Some(started.as_second()),
    );
    gauge("process_resident_memory_bytes", "Memory in use", resident());
    gauge("process_open_fds", "Files open", open_files());
    gauge("process_max_fds", "Files that may be open", most_files());
    if let Some(seconds) = cpu_seconds() {
        let counter = Counter::<f64, AtomicU64>::default();
        counter.inc_by(seconds);
        registry.register("process_cpu_seconds", "Processor time used", counter);
    }
}

fn resident() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn open_files() -> Option<i64> {
    i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}

fn most_files() -> Option<i64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may have spaces; after it come the state and ten fields, then user and system time.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11).map(str::parse::<u32>);
    Some((f64::from(fields.next()?.ok()?) + f64::from(fields.next()?.ok()?)) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_what_this_process_uses() {
        let (resident, open, most) = (resident().unwrap(), open_files().unwrap(), most_files().unwrap());
        assert!((1 << 20..1 << 40).contains(&resident), "{resident} bytes");
        assert!((3..most).contains(&open), "{open} of {most} files");
        assert!(cpu_seconds().unwrap() < 3600.0);
    }
}

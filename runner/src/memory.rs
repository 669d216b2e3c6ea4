//! Memory of the pod, from cgroup v2 or v1. Where neither can be read the figures are 0 and there is no limit.
//!
//! The kernel counts its kills per cgroup, and every start of a container has a cgroup of its own: what earlier lives saw
//! is added.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use longshore_wire::api::Memory;

/// Where the figures are, and the highest one seen.
#[derive(Debug)]
pub struct MemoryProbe {
    source: Source,
    peak: AtomicU64,
    /// Kills that the counter held when this process started.
    kills_before: u64,
    /// Kills that earlier lives of the session or task saw.
    kills_of_earlier_lives: AtomicU64,
}

#[derive(Debug)]
enum Source {
    V2(PathBuf),
    V1(PathBuf),
    Unknown,
}

impl Source {
    /// Processes of this cgroup that were killed for memory.
    fn kills(&self) -> u64 {
        let counters = match self {
            Self::V2(folder) => folder.join("memory.events"),
            Self::V1(folder) => folder.join("memory.oom_control"),
            Self::Unknown => return 0,
        };
        named(&counters, "oom_kill").unwrap_or(0)
    }
}

impl MemoryProbe {
    /// Looks for this process's cgroup.
    pub fn new() -> Self {
        let cgroup = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::find(Path::new("/sys/fs/cgroup"), &cgroup)
    }

    fn find(mount: &Path, cgroup: &str) -> Self {
        let path_of = |controller: &str| {
            cgroup.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':');
                let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
                let named = controllers.split(',').any(|name| name == controller);
                named.then(|| path.trim_start_matches('/').to_owned())
            })
        };
        // Inside a container the own cgroup is usually mounted as the root, whatever /proc/self/cgroup says.
        let candidates = |base: PathBuf, path: Option<String>| {
            let own = path.map(|path| base.join(path));
            own.into_iter().chain([base]).collect::<Vec<_>>()
        };
        let v2 = candidates(mount.to_owned(), path_of(""));
        let v1 = candidates(mount.join("memory"), path_of("memory"));
        let readable = |folder: &PathBuf, file: &str| folder.join(file).is_file();
        let source = v2
            .into_iter()
            .find(|folder| readable(folder, "memory.current"))
            .map(Source::V2)
            .or_else(|| {
                let found = v1.into_iter().find(|folder| readable(folder, "memory.usage_in_bytes"));
                found.map(Source::V1)
            })
            .unwrap_or(Source::Unknown);
        Self {
            kills_before: source.kills(),
            source,
            peak: AtomicU64::new(0),
            kills_of_earlier_lives: AtomicU64::new(0),
        }
    }

    /// What the journal knows of kills in earlier lives.
    pub fn add_earlier_kills(&self, kills: u64) {
        self.kills_of_earlier_lives.store(kills, Ordering::Relaxed);
    }

    /// The figures now.
    pub fn read(&self) -> Memory {
        let (current, limit) = match &self.source {
            Source::V2(folder) => (
                used(folder, "memory.current", "inactive_file"),
                number(&folder.join("memory.max")),
            ),
            Source::V1(folder) => (
                used(folder, "memory.usage_in_bytes", "total_inactive_file"),
                // v1 says "none" by a number near the largest one that is a whole page.
                number(&folder.join("memory.limit_in_bytes")).filter(|limit| *limit < u64::MAX / 4),
            ),
            Source::Unknown => (0, None),
        };
        let peak = self.peak.fetch_max(current, Ordering::Relaxed).max(current);
        Memory {
            current_bytes: current,
            peak_bytes: peak,
            limit_bytes: limit,
            oom_kills: self.kills_of_earlier_lives.load(Ordering::Relaxed)
                + self.source.kills().saturating_sub(self.kills_before),
        }
    }
}

impl Default for MemoryProbe {
    fn default() -> Self {
        Self::new()
    }
}

/// In use without page cache that can be reclaimed at once.
fn used(folder: &Path, total: &str, cache: &str) -> u64 {
    let inactive = named(&folder.join("memory.stat"), cache);
    let total = number(&folder.join(total)).unwrap_or(0);
    total.saturating_sub(inactive.unwrap_or(0))
}

/// The number behind a name in a file of such lines.
fn named(path: &Path, wanted: &str) -> Option<u64> {
    let lines = std::fs::read_to_string(path).ok()?;
    lines.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == wanted).then(|| value.trim().parse().ok())?
    })
}

fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path, files: &[(&str, &str)]) {
        std::fs::create_dir_all(folder).unwrap();
        for (name, content) in files {
            std::fs::write(folder.join(name), content).unwrap();
        }
    }

    #[test]
    fn cgroup_v2_counts_without_inactive_cache_and_remembers_the_peak() {
        let mount = tempfile::tempdir().unwrap();
        let own = mount.path().join("pod/x");
        files(
            &own,
            &[
                ("memory.current", "1000\n"),
                ("memory.max", "5000\n"),
                ("memory.stat", "anon 1\ninactive_file 300\n"),
            ],
        );
        files(&own, &[("memory.events", "oom 9\noom_kill 2\noom_group_kill 0\n")]);
        let probe = MemoryProbe::find(mount.path(), "0::/pod/x\n");
        assert_eq!((probe.read().current_bytes, probe.read().oom_kills), (700, 0));
        probe.add_earlier_kills(5);
        files(&own, &[("memory.events", "oom 9\noom_kill 3\noom_group_kill 0\n")]);
        assert_eq!(probe.read().oom_kills, 6);
        files(&own, &[("memory.current", "400\n"), ("memory.max", "max\n")]);
        let memory = probe.read();
        assert_eq!(
            (memory.current_bytes, memory.peak_bytes, memory.limit_bytes),
            (100, 700, None)
        );
    }

    #[test]
    fn cgroup_v1_is_read_too() {
        let mount = tempfile::tempdir().unwrap();
        files(
            &mount.path().join("memory"),
            &[
                ("memory.usage_in_bytes", "1000\n"),
                ("memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory.stat", "total_inactive_file 100\n"),
            ],
        );
        let probe = MemoryProbe::find(mount.path(), "5:cpu,memory:/docker/abc\n");
        let counters = "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n";
        files(&mount.path().join("memory"), &[("memory.oom_control", counters)]);
        let memory = probe.read();
        assert_eq!((memory.current_bytes, memory.limit_bytes), (900, None));
        assert_eq!(memory.oom_kills, 1);
    }
}

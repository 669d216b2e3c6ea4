//! The processes below one: who they are, what memory they hold, and how soon the kernel takes them when memory runs out.
//!
//! A process that is gone before it can be looked at counts as not there.

use std::collections::BTreeMap;

/// Living processes by their parent.
#[derive(Debug, Default)]
pub struct Processes {
    by_parent: BTreeMap<i32, Vec<(i32, u64)>>,
}

impl Processes {
    /// All that are alive now, by `/proc`.
    pub fn read() -> Self {
        let mut processes = Self::default();
        let Ok(entries) = std::fs::read_dir("/proc") else {
            return processes;
        };
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        for pid in pids {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if let Some((parent, pages)) = parent_and_pages(&stat) {
                processes.by_parent.entry(parent).or_default().push((pid, pages));
            }
        }
        processes
    }

    /// Children of a process.
    pub fn children(&self, parent: i32) -> Vec<i32> {
        let children = self.by_parent.get(&parent).into_iter().flatten();
        children.map(|(pid, _)| *pid).collect()
    }

    /// Children of a process, their children, and so on.
    pub fn below(&self, root: i32) -> Vec<i32> {
        let mut found = self.children(root);
        let mut next = 0;
        while let Some(pid) = found.get(next) {
            let children = self.children(*pid);
            found.extend(children.into_iter().filter(|child| *child != root));
            next += 1;
        }
        found
    }

    /// Resident memory of these processes, in bytes. What they share is counted for each.
    pub fn memory(&self, pids: &[i32]) -> u64 {
        let all = self.by_parent.values().flatten();
        let pages: u64 = all.filter(|(pid, _)| pids.contains(pid)).map(|(_, pages)| pages).sum();
        pages * PAGE
    }
}

/// Size of a page on every platform that we build for.
const PAGE: u64 = 4096;

/// Fields 4 and 24 of `/proc/<pid>/stat`; none for a zombie. The name in parentheses may hold anything, so fields count
/// from its end: state, parent, ...
fn parent_and_pages(stat: &str) -> Option<(i32, u64)> {
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    let parent = fields.next()?.parse().ok()?;
    let pages = fields.nth(19)?.parse().ok()?;
    Some((parent, pages))
}

/// How readily the kernel kills which of our processes when memory runs out: first tools, then claude, the runner last.
/// Raising the readiness of one's own children is always allowed, lowering is not.
#[derive(Clone, Copy, Debug)]
pub struct OomOrder {
    claude: i32,
    tools: i32,
}

impl OomOrder {
    /// The order for processes below this one, whose own readiness is what the kubelet gave the container.
    pub fn below_this_process() -> Self {
        Self::above(readiness("self").unwrap_or(0))
    }

    fn above(own: i32) -> Self {
        let room = 1000 - own;
        Self {
            claude: own + (room / 3).min(300),
            tools: own + (room * 2 / 3).min(600),
        }
    }

    /// Puts claude behind the runner and everything else below the runner behind claude. Has to be done again and again:
    /// new processes inherit their parent's place, and one that has only just been started cannot be moved yet.
    pub fn establish(self, processes: &Processes, runner: u32, claude: u32) {
        for pid in processes.below(runner.cast_signed()) {
            if pid == claude.cast_signed() {
                raise(pid, self.claude);
            } else {
                raise(pid, self.tools);
            }
        }
    }
}

fn readiness(process: &str) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/{process}/oom_score_adj"));
    text.ok()?.trim().parse().ok()
}

fn raise(pid: i32, readiness_wanted: i32) {
    if readiness(&pid.to_string()).is_some_and(|now| now < readiness_wanted) {
        let written = std::fs::write(format!("/proc/{pid}/oom_score_adj"), readiness_wanted.to_string());
        if let Err(error) = written {
            // Also when it has just ended.
            tracing::debug!(pid, %error, "the order of kills for memory cannot be set");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_takes_tools_first_and_the_runner_last() {
        for own in [-997, 0, 500, 940, 994] {
            let order = OomOrder::above(own);
            assert!(
                own < order.claude && order.claude < order.tools && order.tools <= 1000,
                "{own}: {order:?}"
            );
        }
        assert_eq!(OomOrder::above(1000).tools, 1000);
    }

    #[test]
    fn names_with_blanks_and_parentheses_do_not_shift_the_fields() {
        let numbers = (5..=40).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(parent_and_pages(&format!("7 (a) b (c)) S 3 {numbers}")), Some((3, 24)));
        assert_eq!(parent_and_pages(&format!("7 (x) Z 3 {numbers}")), None);
        assert_eq!(parent_and_pages(""), None);
    }

    #[test]
    fn a_child_is_found_below_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let pid = child.id().cast_signed();
        let processes = Processes::read();
        let own = std::process::id().cast_signed();
        assert!(processes.children(own).contains(&pid) && processes.below(own).contains(&pid));
        assert!(processes.memory(&[own]) > 0);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

//! Memory that is short or has run out, in a real cgroup.
//!
//! Making a cgroup needs root and a writable cgroup file system; where there is none these tests say so and pass.

use std::path::{Path, PathBuf};
use std::time::Duration;

use longshore_wire::event::{Event, MemoryLevel, ToolState};
use longshore_wire::notice::NoticeKind;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::notices;
use crate::support::{PATIENCE, Rig, Setup, id};

const MIB: u64 = 1 << 20;

/// A memory cgroup of our own, with a limit that can be changed.
struct Cgroup {
    folder: PathBuf,
    limit: PathBuf,
}

impl Cgroup {
    fn new(limit: u64) -> Option<Self> {
        let name = format!("longshore-runner-{}", uuid::Uuid::new_v4());
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let (base, file) = if v1.is_dir() {
            (v1, "memory.limit_in_bytes")
        } else {
            (Path::new("/sys/fs/cgroup"), "memory.max")
        };
        let folder = base.join(name);
        let made = std::fs::create_dir(&folder).is_ok();
        let cgroup = Self {
            limit: folder.join(file),
            folder,
        };
        if made && std::fs::write(&cgroup.limit, limit.to_string()).is_ok() {
            return Some(cgroup);
        }
        eprintln!("not tested: no memory cgroup can be made here");
        None
    }

    fn set_limit(&self, limit: u64) {
        std::fs::write(&self.limit, limit.to_string()).unwrap();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Only what was started in it is in it.
        for _ in 0..100 {
            for pid in std::fs::read_to_string(self.folder.join("cgroup.procs"))
                .unwrap_or_default()
                .lines()
            {
                let _ = kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL);
            }
            if std::fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn in_cgroup(cgroup: &Cgroup, agent: serde_json::Value) -> Setup {
    Setup {
        agent,
        cgroup: Some(cgroup.folder.clone()),
        ..Setup::default()
    }
}

fn at_level(wanted: MemoryLevel) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Memory { level, .. } if *level == wanted)
}

fn told(record: &longshore_wire::Record) -> &str {
    match &record.event {
        Event::Memory { message, .. } | Event::Restarted { message } => message,
        other => panic!("nothing is told by {other:?}"),
    }
}

fn restarts(records: &[longshore_wire::Record]) -> Vec<&str> {
    let restarts = records
        .iter()
        .filter(|record| matches!(record.event, Event::Restarted { .. }));
    restarts.map(told).collect()
}

#[tokio::test]
async fn claude_is_restarted_with_its_conversation_when_memory_is_short_between_turns() {
    let Some(cgroup) = Cgroup::new(8192 * MIB) else { return };
    let (url, mut told_operator) = notices::operator().await;
    let thresholds = json!({"memoryWarnPercent": 50, "memoryRecyclePercent": 50, "noticeUrl": url});
    let rig = Rig::start(in_cgroup(&cgroup, thresholds)).await;
    rig.runner.ask(id(1), "remember teal").await;
    let mut events = rig.runner.events(0).await;
    rig.runner.say(id(2), "busy [[hold gate]]").await;
    rig.client().held_at("gate", PATIENCE).await.unwrap();
    let before = rig.runner.status().await;
    cgroup.set_limit(before.memory.current_bytes * 100 / 70);
    let warning = events.wait("a warning", at_level(MemoryLevel::Warning)).await;
    assert!(told(&warning).contains("claude holds"), "{warning:?}");
    assert_eq!(rig.runner.status().await.recycled, 0, "not during a turn");
    rig.client().open_gate("gate").await.unwrap();
    assert!(!events.turn_of(id(2)).await.is_error);
    let recycled = events.wait("a restart", at_level(MemoryLevel::Recycled)).await;
    assert!(told(&recycled).contains("with its conversation"), "{recycled:?}");
    cgroup.set_limit(8192 * MIB);
    let turn = rig.runner.ask(id(3), "and now [[recall]]").await;
    assert!(turn.text().contains("remember teal"), "{turn:?}");
    events.wait("relief", at_level(MemoryLevel::Normal)).await;
    let after = rig.runner.status().await;
    assert_ne!(after.claude_pid, before.claude_pid);
    assert_eq!((after.recycled, after.restarts), (1, 0));
    assert_eq!(restarts(&events.records), [""; 0]);
    for _ in 0..3 {
        while notices::next(&mut told_operator).await.what != NoticeKind::Memory {}
    }
}

#[tokio::test]
async fn a_tool_that_eats_all_memory_is_killed_and_claude_goes_on() {
    let Some(cgroup) = Cgroup::new(700 * MIB) else { return };
    let mut rig = Rig::start(in_cgroup(&cgroup, json!({"allowedTools": ["Bash"]}))).await;
    let mut events = rig.runner.events(0).await;
    let eat = "python3 -c \"x = b'x' * (4 << 30)\"";
    rig.runner
        .say(id(1), &format!("eat [[bash {eat}]] [[say survived]]"))
        .await;
    let kill = events.wait("the kill", at_level(MemoryLevel::OutOfMemory)).await;
    let said = told(&kill);
    assert!(
        said.starts_with("A process of the agent was killed") && said.contains("Bash (python3"),
        "{said}"
    );
    assert_eq!(events.turn_of(id(1)).await.text(), "survived");
    let status = rig.runner.status().await;
    assert_eq!((status.memory.oom_kills, status.restarts), (1, 0));
    rig.runner.terminate().await;
    rig.start_again().await;
    let ready = |status: &longshore_wire::api::Status| status.claude_version.is_some();
    assert_eq!(rig.runner.until("ready", ready).await.memory.oom_kills, 1, "also later");
}

#[tokio::test]
async fn claude_killed_for_memory_is_started_again_and_people_are_told_why() {
    let Some(cgroup) = Cgroup::new(700 * MIB) else { return };
    let rig = Rig::start(in_cgroup(&cgroup, json!({"allowedTools": ["Bash"]}))).await;
    let mut events = rig.runner.events(0).await;
    let wait = "while [ ! -e go ]; do python3 -c 'import time; time.sleep(0.05)'; done";
    // Many small eaters: none of them is as good a victim as claude is made below.
    let eat = "for n in $(seq 40); do python3 -c \"x = b'x' * (30 << 20); import time; time.sleep(600)\" & done; wait";
    rig.runner
        .say(id(1), &format!("eat [[bash {wait}; {eat}]] [[say never]]"))
        .await;
    events
        .wait("the tool", |event| {
            matches!(
                event,
                Event::Tool {
                    state: ToolState::Started,
                    ..
                }
            )
        })
        .await;
    let claude = rig.runner.status().await.claude_pid.unwrap();
    std::fs::write(format!("/proc/{claude}/oom_score_adj"), "1000").unwrap();
    std::fs::write(rig.path("workspace/go"), "").unwrap();
    let kill = events.wait("the kill", at_level(MemoryLevel::OutOfMemory)).await;
    let said = told(&kill);
    assert!(
        said.starts_with("claude was killed") && said.contains("Bash (while"),
        "{said}"
    );
    let turn = events.turn_of(id(1)).await;
    assert!(
        !turn.is_error && turn.text().contains("ended unexpectedly"),
        "the turn goes on: {turn:?}"
    );
    let told = restarts(&events.records);
    assert!(told.len() == 1 && told[0].contains("the memory ran out"), "{told:?}");
}

#[tokio::test]
async fn the_kernel_is_told_to_take_tools_before_claude_and_claude_before_the_runner() {
    let rig = Rig::start(Setup {
        agent: json!({"allowedTools": ["Bash"]}),
        user: nix::unistd::geteuid().is_root().then_some(65_532),
        ..Setup::default()
    })
    .await;
    let wait = "echo $$ > shell.new; mv shell.new shell; while [ ! -e go ]; do python3 -c 'import time; time.sleep(0.05)'; done";
    rig.runner.say(id(1), &format!("[[bash {wait}]]")).await;
    let readiness = |pid: u32| -> i32 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
        text.trim().parse().unwrap()
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let shell = std::fs::read_to_string(rig.path("workspace/shell")).unwrap_or_default();
        let claude = rig.runner.status().await.claude_pid;
        if let (Ok(shell), Some(claude)) = (shell.trim().parse(), claude) {
            let order = [readiness(rig.runner.pid()), readiness(claude), readiness(shell)];
            if order.is_sorted_by(|a, b| a < b) {
                break;
            }
        }
        assert!(tokio::time::Instant::now() < deadline, "the order is never right");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::write(rig.path("workspace/go"), "").unwrap();
    rig.runner.events(0).await.turn_of(id(1)).await;
}

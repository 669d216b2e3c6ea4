//! Goldens of what crosses the runner's HTTP API around idleness, endings, memory and space. A change that these show
//! breaks older callers, or callers that are newer than a running pod.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

use insta::assert_json_snapshot;
use jiff::Timestamp;
use longshore_wire::MessageId;
use longshore_wire::agent::AgentKind;
use longshore_wire::api::{
    Approval, ApprovalKind, Busy, ClaudeStatus, Disk, Escalation, IdleEnd, Memory, ModelChoice, PostMessage, Priority,
    Quiesce, RunnerState, RunningTool, SentFile, Status, Summary, TaskResult, Undelivered, Usage, Warn,
};
use longshore_wire::event::{DiskLevel, Event, Meets, MemoryLevel, Preview, Record};
use longshore_wire::notice::TerminationMessage;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use uuid::Uuid;

const NOON: Timestamp = Timestamp::constant(1_700_000_000, 0);

/// The JSON of a value, which must read back as the same value.
fn golden<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) -> Value {
    let json = serde_json::to_value(&value).unwrap();
    assert_eq!(serde_json::from_value::<T>(json.clone()).unwrap(), value);
    json
}

fn memory() -> Memory {
    Memory {
        current_bytes: 1,
        peak_bytes: 2,
        limit_bytes: Some(3),
        oom_kills: 4,
    }
}

fn disk() -> Disk {
    Disk {
        free_bytes: 5,
        total_bytes: 6,
    }
}

fn escalation() -> Escalation {
    Escalation {
        reason: "r".to_owned(),
        plan: "p".to_owned(),
    }
}

#[test]
fn what_a_task_says_last() {
    let result = |escalation| TaskResult {
        text: "t".to_owned(),
        truncated: false,
        is_error: false,
        terminal_reason: "completed".to_owned(),
        usage: Usage::default(),
        finished_at: NOON,
        seq: 3,
        escalation,
    };
    let words = |escalation| TerminationMessage {
        v: 1,
        is_error: false,
        reason: "completed".to_owned(),
        text: "t".to_owned(),
        escalation,
    };
    let goldens = [
        golden(result(None)),
        golden(result(Some(escalation()))),
        golden(words(None)),
        golden(words(Some(escalation()))),
    ];
    insta::with_settings!({sort_maps => true}, { assert_json_snapshot!(goldens) });
}

#[test]
fn an_escalation_is_cut_to_its_bounds_and_no_further() {
    let long = Escalation {
        reason: "é".repeat(501),
        plan: format!("a{}", "é".repeat(2048)),
    };
    let cut = long.bounded();
    assert_eq!((cut.reason.chars().count(), cut.plan.len()), (500, 4095));
    assert_eq!(escalation().bounded(), escalation());
}

#[test]
fn what_the_runner_is_asked() {
    let quiesce = |unless_active_after| Quiesce {
        deadline: NOON,
        summarize: true,
        unless_active_after,
    };
    let warn = |then| Warn { deadline: NOON, then };
    let goldens = [
        golden(quiesce(None)),
        golden(quiesce(Some(NOON))),
        golden(warn(IdleEnd::Suspend)),
        golden(warn(IdleEnd::End)),
    ];
    insta::with_settings!({sort_maps => true}, { assert_json_snapshot!(goldens) });
}

#[test]
fn what_the_runner_tells() {
    let events = [
        Event::IdleWarning {
            deadline: NOON,
            then: IdleEnd::Suspend,
        },
        Event::Memory {
            level: MemoryLevel::OutOfMemory,
            message: "m".to_owned(),
            memory: memory(),
        },
        Event::Disk {
            level: DiskLevel::Low,
            message: "d".to_owned(),
            disk: disk(),
        },
        Event::Repository {
            message: "r".to_owned(),
        },
        Event::EarlierSummary {
            session: "s1".to_owned(),
            summary: Summary {
                path: "state/summaries/u.md".to_owned(),
                time: NOON,
                text: "- done".to_owned(),
            },
        },
        Event::Escalation {
            turn: 2,
            escalation: escalation(),
        },
        Event::File {
            turn: 2,
            file: SentFile {
                id: Uuid::nil(),
                name: "plan.pdf".to_owned(),
                size: 7,
                caption: Some("c".to_owned()),
            },
        },
        Event::Approval {
            turn: 3,
            approval: Approval {
                summary: "Bash: ls".to_owned(),
                expires_at: NOON,
                tool_use_id: Some("toolu_1".to_owned()),
                blocked_path: Some("/etc".to_owned()),
                reason: Some("outside of the workspace".to_owned()),
                rememberable: Some(vec!["Bash(ls)".to_owned()]),
                ..Approval::new("a", ApprovalKind::Permission, "Bash", json!({"command": "ls"}))
            },
        },
        Event::ApprovalLost { id: "a".to_owned() },
    ];
    let records = events.map(|event| {
        golden(Record {
            seq: 1,
            at: NOON,
            event,
        })
    });
    insta::with_settings!({sort_maps => true}, { assert_json_snapshot!(records) });
}

#[test]
fn a_status() {
    let status = Status {
        version: "0.1.0".to_owned(),
        claude_version: Some("2.1.330".to_owned()),
        claude_pid: None,
        kind: AgentKind::Session,
        uid: Uuid::nil(),
        state: RunnerState::Quiesced,
        problem: None,
        busy: vec![Busy::BackgroundTask, Busy::TerminalAttached],
        last_activity: NOON,
        unfinished: vec![MessageId(Uuid::nil())],
        approvals: Vec::new(),
        memory: memory(),
        disk: disk(),
        usage: Usage {
            cost_usd: "0.5".to_owned(),
            ..Usage::default()
        },
        seq: 7,
        acked: 6,
        restarts: 1,
        summary: Some(Summary {
            path: "state/summaries/x.md".to_owned(),
            time: NOON,
            text: "s".to_owned(),
        }),
        summary_error: Some("e".to_owned()),
        recycled: 2,
        undelivered: vec![Undelivered {
            message_ids: vec![MessageId(Uuid::nil())],
            text: "u".to_owned(),
            is_error: false,
        }],
        claude: ClaudeStatus {
            model: Some("claude-haiku-4-5".to_owned()),
            permission_mode: Some("plan".to_owned()),
            models: vec![ModelChoice {
                value: "opus".to_owned(),
                name: "Opus".to_owned(),
            }],
            turn_since: Some(NOON),
            running: vec![RunningTool {
                name: "Bash".to_owned(),
                summary: "make".to_owned(),
                since: NOON,
            }],
        },
    };
    let golden = golden(status);
    insta::with_settings!({sort_maps => true}, { assert_json_snapshot!(golden) });
}

#[test]
fn a_status_of_the_previous_version_is_understood() {
    let old = json!({
        "version": "0.0.9", "kind": "session", "uid": Uuid::nil(), "state": "ready", "lastActivity": NOON,
        "memory": {"currentBytes": 1, "peakBytes": 2}, "disk": {"freeBytes": 5, "totalBytes": 6},
        "usage": {"turns": 0, "inputTokens": 0, "outputTokens": 0, "costUsd": "0"}, "seq": 0, "acked": 0, "restarts": 0,
    });
    let status: Status = serde_json::from_value(old).unwrap();
    assert_eq!(
        (status.recycled, status.memory.oom_kills, status.undelivered),
        (0, 0, Vec::new())
    );
}

#[test]
fn a_message_with_what_it_refers_to_and_how_it_meets_a_turn() {
    let id = MessageId(Uuid::nil());
    let message = PostMessage {
        id,
        text: "t".to_owned(),
        attachments: Vec::new(),
        author: Some("Ada".to_owned()),
        context: Some("c".to_owned()),
        priority: Priority::Next,
    };
    assert_eq!(
        golden(message),
        json!({"id": Uuid::nil(), "text": "t", "author": "Ada", "context": "c", "priority": "next"})
    );
    let accepted = Event::Accepted {
        id,
        author: None,
        text: "t".to_owned(),
        attachments: Vec::new(),
        context: Some("c".to_owned()),
    };
    assert_eq!(
        golden(accepted),
        json!({"type": "accepted", "id": Uuid::nil(), "text": "t", "context": "c"})
    );
    let meeting = |meets| golden(Preview::Meeting { turn: 2, id, meets });
    assert_eq!(
        meeting(Meets::Folded),
        json!({"type": "meeting", "turn": 2, "id": Uuid::nil(), "meets": "folded"})
    );
    assert_eq!(meeting(Meets::Waiting)["meets"], "waiting");
    assert_eq!(meeting(Meets::Begun)["meets"], "begun");
}

#[test]
fn a_message_of_the_previous_version_refers_to_nothing() {
    let old = json!({"id": Uuid::nil(), "text": "t"});
    let message: PostMessage = serde_json::from_value(old).unwrap();
    assert_eq!((message.context, message.author), (None, None));
    let old = json!({"seq": 1, "at": NOON, "type": "accepted", "id": Uuid::nil(), "text": "t"});
    let Event::Accepted { context, .. } = serde_json::from_value::<Record>(old).unwrap().event else {
        panic!("it is another event");
    };
    assert_eq!(context, None);
}

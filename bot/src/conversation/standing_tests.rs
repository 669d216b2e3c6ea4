use serde_json::{Value, json};

use super::*;

const NOON: &str = "2026-01-02T12:00:00Z";

fn now() -> Timestamp {
    NOON.parse().unwrap()
}

fn object<T: serde::de::DeserializeOwned>(kind: &str, name: &str, spec: &Value, status: &Value) -> T {
    serde_json::from_value(json!({
        "apiVersion": "longshore.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec, "status": status,
    }))
    .unwrap()
}

fn topic() -> Topic {
    object("Topic", "tg-1g-7", &json!({"displayName": "Deep work"}), &json!({}))
}

fn session(status: &Value) -> PersistentSession {
    object(
        "PersistentSession",
        "tg-1g-7-3",
        &json!({"topicRef": {"name": "tg-1g-7"}}),
        status,
    )
}

fn class(on_idle: &str) -> AgentClass {
    let spec = json!({"image": "i", "model": "sonnet", "session": {"onIdle": on_idle, "idleTimeoutSeconds": 1800}});
    object("AgentClass", "default", &spec, &json!({}))
}

fn runner(change: impl FnOnce(&mut Status)) -> Status {
    let mut status: Status = serde_json::from_value(json!({
        "version": "0", "kind": "session", "uid": "00000000-0000-0000-0000-000000000000", "state": "ready",
        "lastActivity": "2026-01-02T11:55:00Z",
        "memory": {"currentBytes": 322_122_547, "peakBytes": 1, "limitBytes": 4_294_967_296_u64},
        "disk": {"freeBytes": 9_000_000_000_u64, "totalBytes": 10_000_000_000_u64},
        "usage": {"turns": 12, "inputTokens": 1_234_567, "outputTokens": 890, "costUsd": "0.0123"},
        "seq": 0, "acked": 0, "restarts": 0,
        "claude": {"model": "opus", "permissionMode": "plan"},
    }))
    .unwrap();
    change(&mut status);
    status
}

fn told(object: &PersistentSession, runner: Option<&Status>, class: Option<&AgentClass>) -> String {
    let known = Known {
        name: "tg-1g-7-3",
        object: Some(object),
        runner,
        class,
        choices: &[],
        waiting: 0,
    };
    status(&topic(), Some(&known), &[], now()).join("\n")
}

#[test]
fn an_idle_session_says_when_it_sleeps_and_ends_and_what_it_has_cost() {
    let seen = session(&json!({"phase": "Running", "endpoint": "e:1", "expiresAt": "2026-01-05T12:00:00Z"}));
    insta::assert_snapshot!(told(&seen, Some(&runner(|_| {})), Some(&class("Suspend"))), @"
    Deep work (topic tg-1g-7, with a workspace of its own).
    Session tg-1g-7-3: running.
    It is idle.
    Model: opus.
    Mode: plan – claude reads and makes plans, and changes nothing.
    If nothing happens it goes to sleep at 12:25 UTC, in 25 min.
    It ends at 2026-01-05 12:00 UTC, in 3 days, whatever happens.
    Memory: 307 MiB of 4 GiB (7 %).
    So far: 12 turns, 1,234,567 tokens in and 890 out, $0.0123.
    ");
}

#[test]
fn a_session_that_works_says_what_it_does_and_what_waits() {
    let seen = session(&json!({"phase": "Running", "endpoint": "e:1", "idleDeadline": "2026-01-02T12:01:00Z"}));
    let busy = runner(|status| {
        let id = longshore_wire::MessageId::from_telegram(1, 1);
        status.busy = vec![Busy::TurnRunning, Busy::WaitingForApproval];
        status.unfinished = vec![id, id];
        status.claude = serde_json::from_value(json!({
            "turnSince": "2026-01-02T11:57:00Z",
            "running": [{"name": "Bash", "summary": "make\ntest", "since": "2026-01-02T11:59:18Z"}],
        }))
        .unwrap();
        status.disk.free_bytes = 100_000_000;
    });
    let known = Known {
        name: "tg-1g-7-3",
        object: Some(&seen),
        runner: Some(&busy),
        class: None,
        choices: &[Choice {
            setting: Setting::Model(Some("haiku".into())),
            row: 1,
            by: "Ada".into(),
        }],
        waiting: 1,
    };
    let task = |name: &str, status: Value| {
        let spec = json!({"topicRef": {"name": "tg-1g-7"}, "prompt": "what is\nthis?"});
        Arc::new(object::<ContainerTask>("ContainerTask", name, &spec, &status))
    };
    let tasks = [
        task("a", json!({"phase": "Queued", "queuePosition": 2})),
        task("b", Value::Null),
    ];
    insta::assert_snapshot!(status(&topic(), Some(&known), &tasks, now()).join("\n"), @"
    Deep work (topic tg-1g-7, with a workspace of its own).
    Session tg-1g-7-3: running.
    It waits for a decision, since 11:57 UTC (3 min).
    • Bash: make test, for 42 s
    From the next message on: model haiku.
    Messages that are not answered yet: 3.
    Memory: 307 MiB of 4 GiB (7 %).
    Disk: only 95 MiB of 9.3 GiB are free on the topic's volume. Let claude clean up, or make it larger.
    So far: 12 turns, 1,234,567 tokens in and 890 out, $0.0123.
    Task a: queued, at position 2 of the queue – “what is”
    Task b: new – “what is”
    ");
}

#[test]
fn without_a_runner_the_status_says_what_the_cluster_knows() {
    let usage = json!({"turns": 1, "inputTokens": 5, "outputTokens": 2, "costUsd": "1.50"});
    let silent = session(&json!({"phase": "Running", "endpoint": "e:1", "usage": usage,
        "idleDeadline": "2026-01-02T12:05:00Z"}));
    insta::assert_snapshot!(told(&silent, None, Some(&class("End"))), @"
    Deep work (topic tg-1g-7, with a workspace of its own).
    Session tg-1g-7-3: running.
    It does not answer right now, so what it is doing cannot be said.
    Model: sonnet.
    If nothing happens it ends at 12:05 UTC, in 5 min.
    So far: 1 turn, 5 tokens in and 2 out, $1.5.
    ");
    let queued = session(&json!({"phase": "Queued", "queuePosition": 3}));
    insta::assert_snapshot!(told(&queued, None, None), @"
    Deep work (topic tg-1g-7, with a workspace of its own).
    Session tg-1g-7-3: queued.
    The session waits in the queue, at position 3. It starts when another one has ended or sleeps.
    ");
    let asleep = session(&json!({"phase": "Suspended", "expiresAt": "2026-01-02T13:00:00Z"}));
    insta::assert_snapshot!(told(&asleep, None, None), @"
    Deep work (topic tg-1g-7, with a workspace of its own).
    Session tg-1g-7-3: suspended.
    If nobody comes back it ends at 13:00 UTC, in 60 min.
    ");
    insta::assert_snapshot!(status(&topic(), None, &[], now()).join("\n"), @"
    Deep work (topic tg-1g-7, with a workspace of its own).
    No session is active; /deep starts one.
    ");
}

#[test]
fn uses_are_summed_to_the_last_billionth() {
    let usage = |cost: &str| Usage {
        turns: 1,
        input_tokens: 400,
        output_tokens: 30,
        cost_usd: cost.into(),
    };
    // In floating point 0.1 + 0.2 is another number.
    let sum = total(&[usage("0.1"), usage("0.2"), usage("0.000000001"), usage("nonsense")]);
    assert_eq!(spent(&sum), "4 turns, 1,600 tokens in and 120 out, $0.300000001");
    assert_eq!(spent(&Usage::default()), "0 turns, 0 tokens in and 0 out, $0");
}

#[test]
fn every_permission_mode_has_words() {
    assert_eq!(
        mode_in_words("acceptEdits"),
        "edits – claude changes files without asking, and asks about the rest"
    );
    assert!(mode_in_words("bypassPermissions").contains("everything without asking"));
    assert_eq!(mode_in_words("auto"), "auto");
}

#[test]
fn sizes_spans_and_beginnings_read_well() {
    let sizes = [7, 2048, 1_572_864, 10_737_418_240, u64::MAX].map(bytes);
    assert_eq!(sizes, ["7 bytes", "2 KiB", "1.5 MiB", "10 GiB", "17179869183 GiB"]);
    let spans = [-5, 59, 60, 7199, 7200, 172_800].map(|seconds| span(SignedDuration::from_secs(seconds)));
    assert_eq!(spans, ["0 s", "59 s", "1 min", "119 min", "2 h", "2 days"]);
    assert_eq!(beginning("  two \n lines  of it", 9), "two lines…");
    assert_eq!(beginning("äöü", 3), "äöü");
    assert_eq!(
        when("2026-01-01T23:59:00Z".parse().unwrap(), now()),
        "2026-01-01 23:59 UTC"
    );
}

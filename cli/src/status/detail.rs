//! One topic with everything that is known of its sessions. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use longshore_crds::{PersistentSession, SessionPhase};
use longshore_wire::api::Status;

use super::{Seen, TopicSeen, at, busy, bytes, columns};
use crate::change::standing;
use crate::plain::{indent, one_line, plain};
use crate::times::{age, ago, ahead};

/// Everything about a topic.
pub fn render(seen: &TopicSeen, now: Timestamp) -> String {
    let topic = &seen.topic;
    let status = topic.status.clone().unwrap_or_default();
    let mut text = fields(&[
        ("Topic", Some(topic.name_any())),
        (
            "Name",
            topic.spec.display_name.as_deref().map(|name| one_line(name, 128)),
        ),
        ("Class", Some(topic.spec.agent_class_name.clone())),
        ("Volume", status.workspace_claim),
        (
            "Chat",
            topic.binding().map(|chat| match chat.thread_id {
                Some(thread) => format!("{}, thread {thread}", chat.chat_id),
                None => chat.chat_id.to_string(),
            }),
        ),
    ]);
    text.push_str(&conditions(&status.conditions, now));
    for one in &seen.sessions {
        text.push('\n');
        text.push_str(&session(one, now));
    }
    if seen.sessions.is_empty() {
        text.push_str("\nNo session.\n");
    }
    text
}

fn session(seen: &Seen, now: Timestamp) -> String {
    let session = &seen.session;
    let status = session.status.clone().unwrap_or_default();
    let time = |time: &Option<_>| time.as_ref().map(at);
    let usage = seen
        .live
        .as_ref()
        .map(|live| (live.usage.turns, live.usage.cost_usd.clone()));
    let stored = status
        .usage
        .as_ref()
        .map(|usage| (usage.turns.unsigned_abs(), usage.cost_usd.clone()));
    let restarts = seen
        .live
        .as_ref()
        .map(|live| i64::from(live.restarts))
        .or(status.restarts.map(i64::from));
    let mut text = fields(&[
        ("Session", Some(session.name_any())),
        ("Phase", Some(standing(session))),
        ("Wanted", Some(format!("{:?}", session.spec.desired_state))),
        ("Queue", status.queue_position.map(|place| format!("position {place}"))),
        ("Started", time(&status.start_time).map(|start| ago(start, now))),
        ("Ended", time(&status.end_time).map(|end| ago(end, now))),
        ("Activity", seen.last_activity().map(|last| ago(last, now))),
        (
            "Idle",
            seen.idle_deadline()
                .filter(|_| status.phase == Some(SessionPhase::Running))
                .map(|idle| ahead(idle, now)),
        ),
        (
            "Expires",
            time(&status.expires_at)
                .filter(|_| status.end_time.is_none())
                .map(|end| ahead(end, now)),
        ),
        ("Pod", status.pod_name.clone()),
        (
            "Use",
            usage
                .or(stored)
                .map(|(turns, cost)| format!("{turns} turns, ${}", one_line(&cost, 16))),
        ),
        ("Memory", seen.memory()),
        (
            "Restarts",
            restarts.filter(|count| *count > 0).map(|count| count.to_string()),
        ),
    ]);
    if let Some(live) = &seen.live {
        text.push_str(&agent(live, now));
    }
    text.push_str(&conditions(&status.conditions, now));
    text.push_str(&leftovers(session, now));
    text
}

fn agent(live: &Status, now: Timestamp) -> String {
    let claude = live
        .claude_version
        .as_deref()
        .map_or_else(String::new, |version| format!(", claude {}", one_line(version, 32)));
    let mut text = fields(&[
        (
            "Agent",
            Some(format!(
                "{:?}, runner {}{claude}",
                live.state,
                one_line(&live.version, 32)
            )),
        ),
        (
            "Problem",
            live.problem.as_ref().map(|problem| one_line(&problem.message, 500)),
        ),
        ("Busy", Some(busy(&live.busy)).filter(|busy| !busy.is_empty())),
        (
            "Messages",
            Some(live.unfinished.len())
                .filter(|count| *count > 0)
                .map(|count| format!("{count} without an answer")),
        ),
        (
            "Disk",
            Some(format!(
                "{} of {} free",
                bytes(live.disk.free_bytes),
                bytes(live.disk.total_bytes)
            )),
        ),
        (
            "Journal",
            Some(format!("{} records, {} taken by the bot", live.seq, live.acked)),
        ),
    ]);
    for approval in &live.approvals {
        let (tool, summary) = (one_line(&approval.tool_name, 40), one_line(&approval.summary, 160));
        text.push_str(&format!(
            "  asks      {tool}: {summary} (denied {})\n",
            ahead(approval.expires_at, now)
        ));
    }
    text
}

fn leftovers(session: &PersistentSession, now: Timestamp) -> String {
    let Some(status) = &session.status else {
        return String::new();
    };
    let mut text = String::new();
    if !status.undelivered.is_empty() {
        text.push_str(&format!(
            "Answers that nobody has taken: {}\n",
            status.undelivered.len()
        ));
        for answer in &status.undelivered {
            text.push_str(&format!("{}\n", indent(&plain(&answer.text), "  ")));
        }
    }
    if let Some(summary) = &status.summary {
        let when = summary
            .time
            .parse()
            .map_or_else(|_| plain(&summary.time), |time| ago(time, now));
        text.push_str(&format!(
            "Summary ({when}, {})\n{}\n",
            plain(&summary.path),
            indent(&plain(&summary.text), "  ")
        ));
    }
    text
}

fn fields(all: &[(&str, Option<String>)]) -> String {
    let there = all.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    there.map(|(name, value)| format!("{name:<10}{value}\n")).collect()
}

fn conditions(all: &[Condition], now: Timestamp) -> String {
    if all.is_empty() {
        return String::new();
    }
    let mut rows = vec![
        ["  CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(all.iter().map(|condition| {
        vec![
            format!("  {}", condition.type_),
            condition.status.clone(),
            condition.reason.clone(),
            age(at(&condition.last_transition_time), now),
            one_line(&condition.message, 500),
        ]
    }));
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use longshore_crds::{SessionSummary, UndeliveredAnswer};

    use super::super::tests::{live, now, running, topic};
    use super::*;

    #[test]
    fn a_topic_is_shown_with_what_its_agent_says() {
        let seen = TopicSeen {
            topic: topic("deep"),
            sessions: vec![Seen {
                session: running(),
                live: Some(live()),
            }],
        };
        insta::assert_snapshot!(render(&seen, now()), @r"
        Topic     deep
        Name      Fix the build
        Class     default
        Volume    ls-deep
          CONDITION  STATUS  REASON        SINCE
          Ready      True    ClaimCreated  2h

        Session   one
        Phase     Running: about Ready
        Wanted    Running
        Activity  30s ago
        Idle      in 29m
        Expires   in 22h
        Pod       ls-deep-0
        Use       4 turns, $0.42
        Memory    312Mi/2Gi
        Restarts  1
        Agent     Ready, runner 0.1.0, claude 2.1.330
        Busy      a turn runs, waits for an approval
        Messages  1 without an answer
        Disk      5Gi of 10Gi free
        Journal   12 records, 10 taken by the bot
          asks      Bash: make test (denied in 20m)
          CONDITION  STATUS  REASON    SINCE  MESSAGE
          Admitted   True    Admitted  2h     about Admitted
          Ready      True    Ready     2h     about Ready
          Active     False   Idle      2h     about Active
          Ended      False   NotEnded  2h     about Ended
        ");
    }

    #[test]
    fn what_the_last_session_left_is_shown() {
        let mut session = crate::session::tests::session("old", "Ended", &["+Ended/UserEnded"]);
        let status = session.status.as_mut().unwrap();
        status.summary = Some(SessionSummary {
            path: "state/summaries/x.md".to_owned(),
            time: "2026-11-23T11:00:00Z".to_owned(),
            text: "Fixed the build.\n- open: docs".to_owned(),
        });
        status.undelivered = vec![UndeliveredAnswer {
            text: "All \u{1b}[31mgreen.".to_owned(),
            ..UndeliveredAnswer::default()
        }];
        let seen = TopicSeen {
            topic: topic("deep"),
            sessions: vec![Seen { session, live: None }],
        };
        insta::assert_snapshot!(render(&seen, now()), @r"
        Topic     deep
        Name      Fix the build
        Class     default
        Volume    ls-deep
          CONDITION  STATUS  REASON        SINCE
          Ready      True    ClaimCreated  2h

        Session   old
        Phase     Ended: about Ended
        Wanted    Running
          CONDITION  STATUS  REASON     SINCE  MESSAGE
          Ended      True    UserEnded  2h     about Ended
        Answers that nobody has taken: 1
          All [31mgreen.
        Summary (60m ago, state/summaries/x.md)
          Fixed the build.
          - open: docs
        ");
    }
}

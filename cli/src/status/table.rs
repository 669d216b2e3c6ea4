//! All topics in a table, a line for each session. Pure.

use jiff::Timestamp;
use kube::ResourceExt;
use longshore_crds::SessionPhase;
use longshore_crds::conditions::{reasons, types};
use longshore_wire::api::Busy;

use super::{Seen, TopicSeen, at, columns};
use crate::plain::one_line;
use crate::session::{condition, is, phase};
use crate::times::{ago, ahead};

const HEAD: [&str; 11] = [
    "TOPIC", "SESSION", "PHASE", "REASON", "QUEUE", "IDLE", "EXPIRES", "MEMORY", "COST", "ACTIVE", "POD",
];

/// The table.
pub fn render(topics: &[TopicSeen], now: Timestamp) -> String {
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    for TopicSeen { topic, sessions } in topics {
        let name = topic.name_any();
        if sessions.is_empty() {
            let mut row = vec![String::new(); HEAD.len()];
            row[0] = name.clone();
            row[2] = "-".to_owned();
            rows.push(row);
        }
        rows.extend(sessions.iter().map(|seen| row(&name, seen, now)));
    }
    columns(&rows)
}

fn row(topic: &str, seen: &Seen, now: Timestamp) -> Vec<String> {
    let status = seen.session.status.clone().unwrap_or_default();
    let over = status.phase == Some(SessionPhase::Ended);
    let busy = seen.live.as_ref().is_some_and(|live| !live.busy.is_empty());
    let idle = match (busy, status.phase) {
        (true, _) => "busy".to_owned(),
        (false, Some(SessionPhase::Running)) => seen.idle_deadline().map(|at| ahead(at, now)).unwrap_or_default(),
        _ => String::new(),
    };
    let expires = status
        .expires_at
        .filter(|_| !over)
        .map(|expires| ahead(at(&expires), now));
    vec![
        topic.to_owned(),
        seen.session.name_any(),
        status
            .phase
            .map_or_else(|| "New".to_owned(), |phase| format!("{phase:?}")),
        reason(seen),
        status.queue_position.map(|place| place.to_string()).unwrap_or_default(),
        idle,
        expires.unwrap_or_default(),
        seen.memory().unwrap_or_default(),
        seen.cost()
            .map(|cost| format!("${}", one_line(&cost, 16)))
            .unwrap_or_default(),
        seen.last_activity().map(|last| ago(last, now)).unwrap_or_default(),
        status.pod_name.unwrap_or_default(),
    ]
}

/// The reason that a person asks for: why it is not ready, or else what it does.
fn reason(seen: &Seen) -> String {
    let session = &seen.session;
    let type_ = match phase(session) {
        Some(SessionPhase::Queued) if !is(session, types::ADMITTED) => types::ADMITTED,
        Some(SessionPhase::Suspended) => types::SUSPENDED,
        Some(SessionPhase::Ended) => types::ENDED,
        Some(SessionPhase::Running) if is(session, types::MEMORY_PRESSURE) => types::MEMORY_PRESSURE,
        Some(SessionPhase::Running) if is(session, types::READY) => match &seen.live {
            Some(live) => return doing(&live.busy),
            None => types::ACTIVE,
        },
        _ => types::READY,
    };
    condition(session, type_)
        .map(|found| found.reason.clone())
        .unwrap_or_default()
}

/// What waits for a person comes first.
fn doing(busy: &[Busy]) -> String {
    let waits = [Busy::WaitingForApproval, Busy::WaitingForAnswer]
        .into_iter()
        .find(|one| busy.contains(one));
    waits
        .or(busy.first().copied())
        .map_or_else(|| reasons::IDLE.to_owned(), |one| format!("{one:?}"))
}

#[cfg(test)]
mod tests {
    use longshore_crds::PersistentSession;

    use super::super::tests::{live, now, running, topic};
    use super::*;
    use crate::session::tests::session;

    #[test]
    fn the_table_answers_the_first_questions_of_a_person() {
        let seen = |session: PersistentSession| Seen { session, live: None };
        let mut queued = session("two", "Queued", &["Admitted/Queued", "Ready/Starting"]);
        queued.status.as_mut().unwrap().queue_position = Some(2);
        let topics = [
            TopicSeen {
                topic: topic("deep"),
                sessions: vec![Seen {
                    session: running(),
                    live: Some(live()),
                }],
            },
            TopicSeen {
                topic: topic("far"),
                sessions: vec![seen(running())],
            },
            TopicSeen {
                topic: topic("new"),
                sessions: vec![seen(queued)],
            },
            TopicSeen {
                topic: topic("empty"),
                sessions: vec![],
            },
            TopicSeen {
                topic: topic("over"),
                sessions: vec![seen(session("old", "Ended", &["+Ended/SuspendedTooLong"]))],
            },
        ];
        insta::assert_snapshot!(render(&topics, now()), @r"
        TOPIC  SESSION  PHASE    REASON              QUEUE  IDLE    EXPIRES  MEMORY      COST   ACTIVE   POD
        deep   one      Running  WaitingForApproval         busy    in 22h   312Mi/2Gi   $0.42  30s ago  ls-deep-0
        far    one      Running  Idle                       in 10m  in 22h   381Mi peak         20m ago  ls-deep-0
        new    two      Queued   Queued              2
        empty           -
        over   old      Ended    SuspendedTooLong
        ");
    }
}

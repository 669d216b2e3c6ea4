//! `status`: topics and their sessions as the API server knows them, with what the agents themselves say.
//!
//! Whoever may not read the access keys or not reach pods sees everything else, and is told what is left out.

mod detail;
mod table;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::ListParams;
use longshore_crds::{PersistentSession, SessionPhase, Topic, names};
use longshore_wire::api::{Busy, Memory, Status};

use crate::access::Keys;
use crate::cluster::{Cluster, ClusterError, rights};
use crate::runner::{Runner, RunnerError};
use crate::session::{self, FindError, phase};
use crate::way::PodWay;

/// Agents that are asked at the same time.
const AT_ONCE: usize = 8;
/// Time for an agent to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The topic is not there.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The API server did not help.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Nobody reads any more.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

/// A session, and what its agent says when it can be asked.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The session.
    pub session: PersistentSession,
    /// What its agent says.
    pub live: Option<Status>,
}

/// A topic and its sessions: the live ones, else the newest that is over.
#[derive(Clone, Debug)]
pub struct TopicSeen {
    /// The topic.
    pub topic: Topic,
    /// Its sessions.
    pub sessions: Vec<Seen>,
}

/// Shows all topics, or one.
pub async fn run(cluster: &Cluster, topic: Option<&str>, out: &mut dyn Write) -> Result<(), StatusError> {
    let (topics, sessions) = match topic {
        Some(name) => {
            let topic = session::topic(cluster, name).await?;
            (vec![topic], session::of_topic(cluster, name).await?)
        }
        None => all(cluster).await?,
    };
    let mut seen: Vec<_> = topics.into_iter().map(|topic| gather(topic, &sessions)).collect();
    let left_out = ask_agents(cluster, &mut seen).await;
    let now = Timestamp::now();
    match (topic, &seen[..]) {
        (Some(_), [one]) => write!(out, "{}", detail::render(one, now))?,
        (_, []) => writeln!(out, "There are no topics in namespace {}.", cluster.namespace)?,
        _ => write!(out, "{}", table::render(&seen, now))?,
    }
    if let Some(why) = left_out {
        writeln!(out, "\nWithout what the agents themselves say: {why}")?;
    }
    Ok(())
}

async fn all(cluster: &Cluster) -> Result<(Vec<Topic>, Vec<PersistentSession>), ClusterError> {
    let everything = ListParams::default();
    let (topics, sessions) = (cluster.api::<Topic>(), cluster.api::<PersistentSession>());
    let (topics, sessions) = tokio::join!(topics.list(&everything), sessions.list(&everything));
    let topics = topics.map_err(|error| cluster.explain(error, rights::TOPICS))?.items;
    let sessions = sessions
        .map_err(|error| cluster.explain(error, rights::SESSIONS))?
        .items;
    Ok((topics, sessions))
}

fn gather(topic: Topic, all: &[PersistentSession]) -> TopicSeen {
    let name = topic.name_any();
    let of_topic: Vec<_> = all
        .iter()
        .filter(|session| session.spec.topic_ref.name == name)
        .cloned()
        .collect();
    let mut shown: Vec<_> = of_topic.iter().filter(|session| !session::is_over(session)).collect();
    if shown.is_empty() {
        shown.extend(session::last_ended(&of_topic));
    }
    shown.sort_by_key(|session| session.metadata.creation_timestamp.clone());
    let sessions = shown.into_iter().map(|session| Seen {
        session: session.clone(),
        live: None,
    });
    TopicSeen {
        topic,
        sessions: sessions.collect(),
    }
}

/// Asks the agents that run. Says why, when none of them can be asked at all.
async fn ask_agents(cluster: &Cluster, seen: &mut [TopicSeen]) -> Option<String> {
    let mut asked: Vec<(String, &mut Seen)> = Vec::new();
    for TopicSeen { topic, sessions } in seen {
        let uid = topic.uid().unwrap_or_default();
        let running = sessions
            .iter_mut()
            .filter(|seen| phase(&seen.session) == Some(SessionPhase::Running));
        asked.extend(running.map(|seen| (uid.clone(), seen)));
    }
    if asked.is_empty() {
        return None;
    }
    if let Err(error) = Keys::read(cluster).await {
        return Some(error.to_string());
    }
    let answers = asked.into_iter().map(|(topic_uid, seen)| async move {
        let pod = names::session_pod(&seen.session.spec.topic_ref.name);
        let runner = Runner::new(Arc::new(PodWay::new(cluster, pod, topic_uid)));
        match tokio::time::timeout(PATIENCE, runner.status()).await {
            Ok(Ok(status)) if Some(status.uid.to_string()) == seen.session.uid() => {
                seen.live = Some(status);
                None
            }
            Ok(Err(RunnerError::Closed(error))) => Some(error.to_string()),
            // One agent that does not answer is no reason to show less of the others.
            _ => None,
        }
    });
    let refused: Vec<_> = futures::stream::iter(answers).buffer_unordered(AT_ONCE).collect().await;
    refused.into_iter().flatten().next()
}

impl Seen {
    /// When the session will be idle, corrected by what the agent says of its last activity; none while it cannot be.
    fn idle_deadline(&self) -> Option<Timestamp> {
        let status = self.session.status.as_ref()?;
        let stored = status.idle_deadline.as_ref().map(at)?;
        let moved = self.live.as_ref().zip(status.last_activity_time.as_ref());
        Some(moved.map_or(stored, |(live, before)| {
            stored
                .saturating_add(live.last_activity.duration_since(at(before)))
                .unwrap_or(stored)
                .max(stored)
        }))
    }

    fn last_activity(&self) -> Option<Timestamp> {
        let stored = || Some(at(self.session.status.as_ref()?.last_activity_time.as_ref()?));
        self.live.as_ref().map(|live| live.last_activity).or_else(stored)
    }

    fn cost(&self) -> Option<String> {
        let stored = || Some(self.session.status.as_ref()?.usage.as_ref()?.cost_usd.clone());
        self.live
            .as_ref()
            .map(|live| live.usage.cost_usd.clone())
            .or_else(stored)
    }

    fn memory(&self) -> Option<String> {
        let stored = || {
            let peak = self.session.status.as_ref()?.peak_memory_bytes?;
            Some(format!("{} peak", bytes(u64::try_from(peak).ok()?)))
        };
        self.live.as_ref().map(|live| memory(&live.memory)).or_else(stored)
    }
}

fn memory(memory: &Memory) -> String {
    match memory.limit_bytes {
        Some(limit) => format!("{}/{}", bytes(memory.current_bytes), bytes(limit)),
        None => bytes(memory.current_bytes),
    }
}

/// Bytes as Kubernetes writes them.
fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
    for (unit, name) in UNITS {
        if count >= unit {
            let tenths = count * 10 / unit;
            return match (tenths / 10, tenths % 10) {
                (whole @ ..10, tenth @ 1..) => format!("{whole}.{tenth}{name}"),
                (whole, _) => format!("{whole}{name}"),
            };
        }
    }
    count.to_string()
}

/// What an agent is busy with, in words.
pub fn busy(busy: &[Busy]) -> String {
    let words = busy.iter().map(|one| match one {
        Busy::TurnRunning => "a turn runs",
        Busy::WaitingForApproval => "waits for an approval",
        Busy::WaitingForAnswer => "waits for an answer",
        Busy::BackgroundTask => "a background command runs",
        Busy::TerminalAttached => "a terminal is attached",
    });
    words.collect::<Vec<_>>().join(", ")
}

fn at(time: &Time) -> Timestamp {
    time.0
}

/// Columns as wide as they must be. Empty ones are left out, but for the first.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let used = |column: &usize| *column == 0 || rows.iter().skip(1).any(|row| !row[*column].is_empty());
    let kept: Vec<(usize, usize)> = (0..count).filter(used).map(|column| (column, width(column))).collect();
    let line = |row: &Vec<String>| {
        let cells = kept.iter().map(|(column, width)| format!("{:width$}", row[*column]));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::session::tests::session;

    pub fn topic(name: &str) -> Topic {
        serde_json::from_value(json!({
            "apiVersion": "longshore.dev/v1alpha1", "kind": "Topic",
            "metadata": {"name": name, "uid": "t"}, "spec": {"displayName": "Fix the build"},
            "status": {"workspaceClaim": format!("ls-{name}"), "conditions": [
                {"type": "Ready", "status": "True", "reason": "ClaimCreated", "message": "", "lastTransitionTime": "2026-11-23T10:00:00Z"}]},
        }))
        .unwrap()
    }

    pub fn live() -> Status {
        serde_json::from_value(json!({
            "version": "0.1.0", "claudeVersion": "2.1.330", "kind": "session", "uid": "0b1c7a52-0000-4000-8000-000000000001",
            "state": "ready", "busy": ["turnRunning", "waitingForApproval"], "lastActivity": "2026-11-23T11:59:30Z",
            "unfinished": ["0b1c7a52-0000-4000-8000-000000000002"],
            "approvals": [{"id": "a", "kind": "permission", "toolName": "Bash", "summary": "make\u{1b} test", "input": {"command": "make test"},
                           "expiresAt": "2026-11-23T12:20:00Z"}],
            "memory": {"currentBytes": 327155712, "peakBytes": 400000000, "limitBytes": 2147483648u64},
            "disk": {"freeBytes": 5368709120u64, "totalBytes": 10737418240u64},
            "usage": {"turns": 4, "inputTokens": 1000, "outputTokens": 50, "costUsd": "0.42"}, "seq": 12, "acked": 10, "restarts": 1,
        }))
        .unwrap()
    }

    pub fn running() -> PersistentSession {
        let mut running = session(
            "one",
            "Running",
            &["+Admitted/Admitted", "+Ready/Ready", "Active/Idle", "Ended/NotEnded"],
        );
        let status = running.status.as_mut().unwrap();
        status.pod_name = Some("ls-deep-0".to_owned());
        let time = |text: &str| Some(Time(text.parse().unwrap()));
        status.idle_deadline = time("2026-11-23T12:10:00Z");
        status.last_activity_time = time("2026-11-23T11:40:00Z");
        status.expires_at = time("2026-11-24T10:00:00Z");
        status.peak_memory_bytes = Some(400_000_000);
        running
    }

    pub fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn activity_that_the_agent_knows_of_moves_the_idle_deadline() {
        let mut seen = Seen {
            session: running(),
            live: None,
        };
        assert_eq!(seen.idle_deadline().unwrap().to_string(), "2026-11-23T12:10:00Z");
        seen.live = Some(live());
        assert_eq!(seen.idle_deadline().unwrap().to_string(), "2026-11-23T12:29:30Z");
    }

    #[test]
    fn a_topic_shows_its_live_sessions_and_else_the_last_one() {
        let mut all = vec![
            session("old", "Ended", &["+Ended/UserEnded"]),
            session("one", "Running", &[]),
        ];
        let names = |seen: TopicSeen| {
            seen.sessions
                .iter()
                .map(|seen| seen.session.name_any())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(gather(topic("deep"), &all)), ["one"]);
        all.pop();
        assert_eq!(names(gather(topic("deep"), &all)), ["old"]);
        assert!(names(gather(topic("other"), &all)).is_empty());
    }

    #[test]
    fn bytes_are_written_as_kubernetes_does() {
        assert_eq!(
            [999, 1024, 1_572_864, 327_155_712, 2_147_483_648].map(bytes),
            ["999", "1Ki", "1.5Mi", "312Mi", "2Gi"]
        );
    }
}

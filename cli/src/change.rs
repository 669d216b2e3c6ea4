//! `end`, `suspend`, `resume`: one patch of the session, then waiting until the operator has done it.
//!
//! What is asked for stands in the spec (and the wake annotation); everything else is the operator's.

use std::io::Write;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watch_object};
use longshore_crds::conditions::types;
use longshore_crds::{DesiredState, PersistentSession, SessionPhase, meta};
use serde_json::{Value, json};

use crate::args::Change;
use crate::cluster::{Cluster, ClusterError, rights};
use crate::plain::plain;
use crate::session::{self, FindError, condition, is, is_over, phase};
use crate::times::age;

/// What shall become of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// End it.
    End,
    /// Suspend it.
    Suspend,
    /// Bring it back.
    Resume,
}

/// Why it did not come to pass.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no session to change.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The API server did not help.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// It is too late for this.
    #[error("{0}")]
    TooLate(String),
    /// It takes longer than the person wants to wait.
    #[error(
        "{name} is not {wanted} after {waited:?}; it goes on in the background. Now: {now}. `kubectl longshore status {topic}` says more"
    )]
    Timeout {
        /// The session.
        name: String,
        /// Its topic.
        topic: String,
        /// What was waited for.
        wanted: &'static str,
        /// How long.
        waited: Duration,
        /// Where it stands.
        now: String,
    },
    /// Nobody reads any more.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

impl Wish {
    /// What it is when the wish has come true.
    fn fulfilled(self) -> &'static str {
        match self {
            Self::End => "ended",
            Self::Suspend => "suspended",
            Self::Resume => "ready",
        }
    }

    /// The one patch that says it. `wake` is new with every wish.
    pub fn patch(self, wake: &str) -> Value {
        match self {
            Self::End => json!({"spec": {"desiredState": DesiredState::Ended}}),
            Self::Suspend => json!({"spec": {"desiredState": DesiredState::Suspended}}),
            Self::Resume => json!({
                "metadata": {"annotations": {meta::WAKE: wake}},
                "spec": {"desiredState": DesiredState::Running},
            }),
        }
    }

    /// Whether it has come true: yes, not yet, or never.
    fn judge(self, asked: &PersistentSession, now: &PersistentSession) -> Result<bool, String> {
        let name = now.name_any();
        let over = is_over(now);
        match self {
            Self::End => return Ok(over),
            _ if over => return Err(format!("{name} has ended: {}", why(now, types::ENDED))),
            _ if now.metadata.deletion_timestamp.is_some() => return Err(format!("{name} is being deleted")),
            _ if now.spec.desired_state != asked.spec.desired_state => {
                return Err(format!("somebody set {name} to {:?} meanwhile", now.spec.desired_state));
            }
            _ => {}
        }
        let status = now.status.clone().unwrap_or_default();
        let seen = status.observed_generation >= asked.metadata.generation;
        Ok(seen
            && match self {
                Self::Suspend => phase(now) == Some(SessionPhase::Suspended),
                _ => {
                    let was_up = phase(asked) == Some(SessionPhase::Running);
                    let woken = status.observed_wake.as_ref() == now.annotations().get(meta::WAKE);
                    phase(now) == Some(SessionPhase::Running) && is(now, types::READY) && (woken || was_up)
                }
            })
    }
}

fn why(session: &PersistentSession, type_: &str) -> String {
    condition(session, type_).map_or_else(
        || "the operator gives no reason".to_owned(),
        |condition| match condition.message.is_empty() {
            true => condition.reason.clone(),
            false => format!("{} ({})", plain(&condition.message), condition.reason),
        },
    )
}

/// Where a session stands, in one line.
pub fn standing(session: &PersistentSession) -> String {
    let Some(status) = &session.status else {
        return "the operator has not seen it yet".to_owned();
    };
    let word = status
        .phase
        .map_or_else(|| "unknown".to_owned(), |phase| format!("{phase:?}"));
    let type_ = match status.phase {
        Some(SessionPhase::Queued) => types::ADMITTED,
        Some(SessionPhase::Suspended) => types::SUSPENDED,
        Some(SessionPhase::Ended) => types::ENDED,
        _ => types::READY,
    };
    match condition(session, type_) {
        Some(found) if !found.message.is_empty() => format!("{word}: {}", plain(&found.message)),
        Some(found) => format!("{word}: {}", found.reason),
        None => word,
    }
}

/// Changes the topic's session.
pub async fn run(cluster: &Cluster, wish: Wish, change: &Change, out: &mut dyn Write) -> Result<(), ChangeError> {
    let (_, session) = session::find(cluster, &change.which).await?;
    if is_over(&session) {
        let name = session.name_any();
        return match wish {
            Wish::End => Ok(writeln!(
                out,
                "{name} has ended already: {}",
                why(&session, types::ENDED)
            )?),
            _ => Err(ChangeError::TooLate(format!(
                "{name} has ended; an ended session stays ended"
            ))),
        };
    }
    let asked = ask(cluster, wish, &session).await?;
    if !change.wait {
        return Ok(writeln!(
            out,
            "{} is asked to be {}",
            asked.name_any(),
            wish.fulfilled()
        )?);
    }
    let done = wait(cluster, wish, &asked, change.timeout, out).await?;
    let summary = done
        .as_ref()
        .and_then(|session| session.status.as_ref()?.summary.clone());
    if let (Wish::End | Wish::Suspend, Some(summary)) = (wish, summary)
        && summary
            .time
            .parse::<Timestamp>()
            .is_ok_and(|time| is_of_this_change(&asked, time))
    {
        writeln!(out, "Summary, in {}:\n{}", plain(&summary.path), plain(&summary.text))?;
    }
    Ok(())
}

/// Whether a summary was written because of the change, by the API server's clock.
fn is_of_this_change(asked: &PersistentSession, time: Timestamp) -> bool {
    let before = asked
        .status
        .as_ref()
        .and_then(|status| status.summary.as_ref())
        .and_then(|old| old.time.parse().ok());
    before.is_none_or(|before: Timestamp| time > before)
}

/// Sends the patch.
pub async fn ask(
    cluster: &Cluster,
    wish: Wish,
    session: &PersistentSession,
) -> Result<PersistentSession, ClusterError> {
    let patch = wish.patch(&uuid::Uuid::new_v4().to_string());
    let (sessions, name) = (cluster.api::<PersistentSession>(), session.name_any());
    let patched = sessions
        .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
        .await;
    patched.map_err(|error| cluster.explain(error, rights::CHANGE))
}

/// Follows the session until the wish has come true, and says what happens. None when the object is gone.
pub async fn wait(
    cluster: &Cluster,
    wish: Wish,
    asked: &PersistentSession,
    patience: Duration,
    out: &mut dyn Write,
) -> Result<Option<PersistentSession>, ChangeError> {
    let name = asked.name_any();
    let mut seen = watch_object(cluster.api::<PersistentSession>(), &name)
        .default_backoff()
        .boxed();
    let (begun, deadline) = (Timestamp::now(), tokio::time::Instant::now() + patience);
    let mut said = String::new();
    loop {
        let next = tokio::time::timeout_at(deadline, seen.next()).await;
        let now = match next {
            Ok(Some(Ok(Some(now)))) if now.uid() == asked.uid() => now,
            Ok(Some(Ok(_)) | None) if wish == Wish::End => {
                writeln!(out, "{name} is gone")?;
                return Ok(None);
            }
            Ok(Some(Ok(_)) | None) => return Err(ChangeError::TooLate(format!("{name} was deleted"))),
            Ok(Some(Err(error))) => {
                refused(cluster, error)?;
                continue;
            }
            Err(_) => {
                return Err(ChangeError::Timeout {
                    name,
                    topic: asked.spec.topic_ref.name.clone(),
                    wanted: wish.fulfilled(),
                    waited: patience,
                    now: if said.is_empty() {
                        "nothing has happened".to_owned()
                    } else {
                        said
                    },
                });
            }
        };
        let line = standing(&now);
        if line != said {
            writeln!(out, "{:>5}  {name} {line}", age(begun, Timestamp::now()))?;
            out.flush()?;
            said = line;
        }
        if wish.judge(asked, &now).map_err(ChangeError::TooLate)? {
            return Ok(Some(now));
        }
    }
}

/// A watch recovers by itself from everything but a refusal.
pub fn refused(cluster: &Cluster, error: watcher::Error) -> Result<(), ClusterError> {
    match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) => match error {
            kube::Error::Api(status) if matches!(status.code, 401 | 403) => {
                Err(cluster.explain(kube::Error::Api(status), rights::SESSIONS))
            }
            _ => Ok(()),
        },
        watcher::Error::WatchError(status) if matches!(status.code, 401 | 403) => {
            Err(cluster.explain(kube::Error::Api(status), rights::SESSIONS))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::session;

    fn after(wish: Wish, change: impl Fn(&mut PersistentSession)) -> Result<bool, String> {
        let mut asked = session("one", "Suspended", &[]);
        if wish == Wish::Resume {
            asked.annotations_mut().insert(meta::WAKE.to_owned(), "w2".to_owned());
        }
        let mut now = asked.clone();
        change(&mut now);
        wish.judge(&asked, &now)
    }

    #[test]
    fn a_resumed_session_is_ready_only_when_this_wake_was_seen() {
        let running = |wake: &'static str| {
            move |now: &mut PersistentSession| {
                let other = session("one", "Running", &["+Ready/Ready"]);
                now.status = other.status;
                now.status.as_mut().unwrap().observed_wake = Some(wake.to_owned());
            }
        };
        assert_eq!(after(Wish::Resume, running("w1")), Ok(false));
        assert_eq!(after(Wish::Resume, running("w2")), Ok(true));
        assert_eq!(after(Wish::Resume, |_| ()), Ok(false));
    }

    #[test]
    fn a_suspension_counts_when_the_spec_was_seen_and_the_end_beats_it() {
        assert_eq!(after(Wish::Suspend, |_| ()), Ok(true));
        let ended = |now: &mut PersistentSession| now.status = session("one", "Ended", &["+Ended/MaxDuration"]).status;
        assert_eq!(after(Wish::End, ended), Ok(true));
        let error = after(Wish::Suspend, ended).unwrap_err();
        assert_eq!(error, "one has ended: about Ended (MaxDuration)");
        let unseen = |now: &mut PersistentSession| now.status.as_mut().unwrap().observed_generation = Some(0);
        assert_eq!(after(Wish::Suspend, unseen), Ok(false));
    }

    #[test]
    fn waking_is_one_patch_of_spec_and_annotation() {
        insta::assert_snapshot!(
            Wish::Resume.patch("w"),
            @r#"{"metadata":{"annotations":{"longshore.dev/wake":"w"}},"spec":{"desiredState":"Running"}}"#
        );
    }
}

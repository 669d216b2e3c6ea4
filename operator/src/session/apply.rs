//! Effects of a session's plan.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::{Api, ResourceExt};
use longshore_crds::{PersistentSession, meta};
use longshore_wire::api::Warn;
use serde_json::{Value, json};

use super::observe::Observed;
use super::plan::{Plan, Step};
use crate::cluster::{self, Created, Error};
use crate::context::Context;
use crate::pod;

pub async fn apply(plan: &Plan, seen: &Observed, ctx: &Context) -> Result<(), Error> {
    let api: Api<StatefulSet> = Api::namespaced(ctx.client.clone(), &seen.namespace());
    match (&plan.step, &seen.stateful_set) {
        (Some(Step::Create(wanted)), _) => match cluster::create(&api, wanted).await? {
            Created::New(_) | Created::Ours(_) => Ok(()),
            // The next pass sees whose it is.
            Created::Foreign(_) => Err(Error::Conflict {
                what: cluster::describe(wanted.as_ref()),
            }),
        },
        (Some(Step::Start(wanted)), Some(stopped)) => {
            let started = cluster::replace(&api, wanted).await?;
            ctx.superseded.note(stopped.as_ref(), &started);
            Ok(())
        }
        (Some(Step::Stop), Some(running)) => {
            is_current(seen, ctx).await?;
            let stopped = cluster::merge(&api, &running.name_any(), &stop_patch(running)).await?;
            ctx.superseded.note(running.as_ref(), &stopped);
            Ok(())
        }
        (Some(Step::Delete), Some(left)) => {
            is_current(seen, ctx).await?;
            cluster::delete(&api, &left.name_any(), &left.uid().unwrap_or_default()).await?;
            ctx.superseded.note_deleted(left.as_ref());
            Ok(())
        }
        (Some(Step::ReleaseSlot), _) => match seen.keepers() {
            Some(keepers) => {
                let uid = seen.session.uid().unwrap_or_default();
                cluster::release_slot(&ctx.client, &ctx.superseded, &keepers, &uid).await
            }
            None => Ok(()),
        },
        (Some(Step::Guard), _) => finalizers(seen, ctx, true).await,
        (Some(Step::Unguard), _) => finalizers(seen, ctx, false).await,
        (Some(Step::Warn(warning)), _) => warn(warning, seen, ctx).await,
        (Some(Step::Start(_) | Step::Stop | Step::Delete), None) | (None, _) => Ok(()),
    }
}

/// Looks at the session live before its pod is taken away. One that runs has answers that nobody has fetched yet; an operator whose
/// cache is behind may still take it for one that is wound down.
async fn is_current(seen: &Observed, ctx: &Context) -> Result<(), Error> {
    let session = seen.session.as_ref();
    let api: Api<PersistentSession> = Api::namespaced(ctx.client.clone(), &seen.namespace());
    let live = cluster::get(&api, &session.name_any()).await?;
    if live.is_some_and(|live| live.metadata.resource_version == session.metadata.resource_version) {
        return Ok(());
    }
    Err(Error::Conflict {
        what: cluster::describe(session),
    })
}

/// Scales to 0 what this was decided by. An operator that leads no more, and does not know it yet, would else stop a session that
/// was resumed in the meantime.
fn stop_patch(running: &StatefulSet) -> Value {
    json!({
        "metadata": { "uid": running.uid(), "resourceVersion": running.resource_version() },
        "spec": { "replicas": 0 },
    })
}

/// Sets or lifts our finalizer, if the session is still the one that this was decided by.
async fn finalizers(seen: &Observed, ctx: &Context, ours: bool) -> Result<(), Error> {
    let session = seen.session.as_ref();
    let api: Api<PersistentSession> = Api::namespaced(ctx.client.clone(), &seen.namespace());
    let written = cluster::merge(&api, &session.name_any(), &finalizers_patch(session, ours)).await?;
    ctx.superseded.note(session, &written);
    Ok(())
}

/// The only change of a session but those of its status, and its waking for a schedule. It touches nothing but metadata.
fn finalizers_patch(session: &PersistentSession, ours: bool) -> Value {
    let mut wanted: Vec<&str> = session.finalizers().iter().map(String::as_str).collect();
    wanted.retain(|name| *name != meta::SUMMARY_FINALIZER);
    if ours {
        wanted.push(meta::SUMMARY_FINALIZER);
    }
    json!({ "metadata": {
        "uid": session.uid(), "resourceVersion": session.resource_version(), "finalizers": wanted,
    }})
}

/// A warning that is not heard is no failure: whoever did not hear it brings the session back with the next message.
async fn warn(warning: &Warn, seen: &Observed, ctx: &Context) -> Result<(), Error> {
    let (Some(topic), Some(endpoint)) = (&seen.topic, seen.pod.as_deref().and_then(pod::endpoint)) else {
        return Ok(());
    };
    let tokens = ctx
        .access
        .tokens(&seen.namespace(), &topic.uid().unwrap_or_default())
        .await?;
    if let Err(error) = ctx.dialer.runner(&endpoint, &tokens).warn(warning).await {
        tracing::debug!(%error, session = seen.session.name_any(), "a warning was not heard");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_patched_in_its_finalizers_only_and_those_of_others_stay() {
        let spec = serde_json::from_value(json!({ "topicRef": { "name": "t" } })).unwrap();
        let mut session = PersistentSession::new("deep", spec);
        session.metadata.uid = Some("u".to_owned());
        session.metadata.resource_version = Some("7".to_owned());
        session.finalizers_mut().push("other".to_owned());
        let patch = |finalizers: &[&str]| json!({ "metadata": { "uid": "u", "resourceVersion": "7", "finalizers": finalizers } });
        assert_eq!(
            finalizers_patch(&session, true),
            patch(&["other", "longshore.dev/summary"])
        );
        session.finalizers_mut().push(meta::SUMMARY_FINALIZER.to_owned());
        assert_eq!(
            finalizers_patch(&session, true),
            patch(&["other", "longshore.dev/summary"])
        );
        assert_eq!(finalizers_patch(&session, false), patch(&["other"]));
    }

    #[test]
    fn only_the_stateful_set_that_was_looked_at_is_stopped() {
        let mut running = StatefulSet::default();
        running.metadata.uid = Some("u".to_owned());
        running.metadata.resource_version = Some("7".to_owned());
        assert_eq!(
            stop_patch(&running),
            json!({ "metadata": { "uid": "u", "resourceVersion": "7" }, "spec": { "replicas": 0 } })
        );
    }
}

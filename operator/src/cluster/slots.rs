//! The slot ledger in AgentClass `status.slots`, changed by compare-and-swap on the resource version only.
//!
//! Which class keeps it ([`Keepers`]) is decided by the caches: a limit of a namespace that is new counts from the moment in which
//! it is known.

use jiff::Timestamp;
use kube::api::Api;
use kube::{Client, ResourceExt};
use longshore_crds::{AgentClass, Slot, SlotKind};
use serde_json::json;

use super::{Error, Superseded, describe, get, merge_status};
use crate::ledger::{Claim, Grant, Keepers, Others, grant, held, slots};

/// How often a claim is decided anew because somebody else changed the ledger in between.
const ATTEMPTS: usize = 5;

/// Claims a slot of a live ledger. [`Grant::Held`] means that it has one now, whether old or new.
pub async fn claim_slot(
    client: &Client,
    superseded: &Superseded,
    keepers: &Keepers<'_>,
    kind: SlotKind,
    me: &Claim,
    others: &Others,
    now: Timestamp,
) -> Result<Grant, Error> {
    if !keepers.is_limited(kind) {
        return Ok(Grant::Unlimited);
    }
    let class = keepers.keeper(kind);
    let api: Api<AgentClass> = Api::namespaced(client.clone(), &class.namespace().unwrap_or_default());
    for _ in 0..ATTEMPTS {
        let Some(live) = get(&api, &class.name_any()).await? else {
            return Err(Error::Conflict { what: describe(class) });
        };
        let Some(bounds) = keepers.bounds(&live, kind) else {
            return Err(Error::Conflict { what: describe(class) });
        };
        match grant(slots(&live), &bounds, kind, me, others, now) {
            Grant::Free(next) => match replace_slots(client, &live, &next).await {
                Ok(written) => {
                    superseded.note(&live, &written);
                    return Ok(Grant::Held);
                }
                Err(Error::Conflict { .. }) => {}
                Err(e) => return Err(e),
            },
            other => return Ok(other),
        }
    }
    Err(Error::Conflict { what: describe(class) })
}

/// Gives a slot back that its holder does not want after all. Not holding one is success, and costs no write.
pub async fn release_slot(
    client: &Client,
    superseded: &Superseded,
    keepers: &Keepers<'_>,
    uid: &str,
) -> Result<(), Error> {
    for class in keepers.all() {
        release(client, superseded, class, uid).await?;
    }
    Ok(())
}

async fn release(client: &Client, superseded: &Superseded, class: &AgentClass, uid: &str) -> Result<(), Error> {
    if class.spec.limits == longshore_crds::Limits::default() && slots(class).is_empty() {
        return Ok(());
    }
    let api: Api<AgentClass> = Api::namespaced(client.clone(), &class.namespace().unwrap_or_default());
    for _ in 0..ATTEMPTS {
        let Some(live) = get(&api, &class.name_any()).await? else {
            return Ok(());
        };
        let next: Vec<Slot> = slots(&live).iter().filter(|slot| slot.uid != uid).cloned().collect();
        if next.len() == slots(&live).len() {
            return Ok(());
        }
        match replace_slots(client, &live, &next).await {
            Ok(written) => {
                superseded.note(&live, &written);
                return Ok(());
            }
            Err(Error::Conflict { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Err(Error::Conflict { what: describe(class) })
}

/// Writes a ledger, if `class` is still current.
pub async fn replace_slots(client: &Client, class: &AgentClass, slots: &[Slot]) -> Result<AgentClass, Error> {
    let api: Api<AgentClass> = Api::namespaced(client.clone(), &class.namespace().unwrap_or_default());
    let status = json!({
        "slots": slots,
        "activeSessions": held(slots, SlotKind::Session),
        "runningTasks": held(slots, SlotKind::Task),
    });
    merge_status(&api, class, status).await
}

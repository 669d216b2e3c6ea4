//! AgentClass: its network policy, and an honest slot ledger.
//!
//! Entries whose holder is done are dropped after a live look at holder and pods. Somebody who runs without an entry, because
//! the limit came later, is entered after the same look, so that the limit counts everybody. Claims are made by those who want a
//! slot, not here. The class called `namespace` does so for all classes of its namespace, as far as it has limits.

mod observe;
mod plan;

use std::sync::Arc;

use kube::runtime::controller::Action;
use longshore_crds::AgentClass;

use crate::cluster::{self, Error};
use crate::context::Context;
use crate::furniture;

pub use observe::others;

/// One pass over one AgentClass.
pub async fn reconcile(class: Arc<AgentClass>, ctx: Arc<Context>) -> Result<Action, Error> {
    if ctx.superseded.is_old(class.as_ref()) || class.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    furniture::ensure(&ctx, &class).await?;
    let seen = observe::observe(&class, &ctx.client, &ctx.index, ctx.clock.now()).await?;
    if let Some(slots) = plan::slots(&seen) {
        let written = cluster::replace_slots(&ctx.client, &class, &slots).await?;
        ctx.superseded.note(class.as_ref(), &written);
    }
    Ok(Action::requeue(ctx.settings.timing.resync))
}

//! What a namespace needs before the first agent pod: the shared headless Service, the Secret with the access keys, and the
//! network policies.
//!
//! Made once per namespace, and per class for its own egress; a pod is created only after [`ensure`] has returned. Nothing is
//! sent when what is there has the right hash. Losing a race to another operator is success.

mod access;
mod build;

pub use access::Access;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};
use longshore_crds::{AgentClass, meta};

use crate::cluster::{self, Created, Error};
use crate::context::Context;

/// Makes what is missing for pods of this class.
pub async fn ensure(ctx: &Context, class: &AgentClass) -> Result<(), Error> {
    let namespace = class.namespace().unwrap_or_default();
    ctx.access.ensure(&namespace).await?;
    ensure_service(ctx, &namespace).await?;
    for policy in [
        build::isolation(&namespace, &ctx.settings.namespace),
        build::egress(class, &ctx.settings.namespace, ctx.settings.notice_url.is_some()),
    ] {
        ensure_policy(ctx, &namespace, policy).await?;
    }
    Ok(())
}

async fn ensure_service(ctx: &Context, namespace: &str) -> Result<(), Error> {
    if ctx.served.contains(namespace) {
        return Ok(());
    }
    let wanted = build::service(namespace);
    let api: Api<Service> = Api::namespaced(ctx.client.clone(), namespace);
    if cluster::get(&api, &wanted.name_any()).await?.is_none() {
        cluster::create(&api, &wanted).await?;
    }
    ctx.served.insert(namespace);
    Ok(())
}

async fn ensure_policy(ctx: &Context, namespace: &str, wanted: NetworkPolicy) -> Result<(), Error> {
    let key = ObjectRef::new(&wanted.name_any()).within(namespace);
    if ctx
        .index
        .policies
        .get(&key)
        .is_some_and(|found| same_hash(found.as_ref(), &wanted))
    {
        return Ok(());
    }
    let api: Api<NetworkPolicy> = Api::namespaced(ctx.client.clone(), namespace);
    let mut found = match cluster::get(&api, &wanted.name_any()).await? {
        Some(found) => found,
        None => match cluster::create(&api, &wanted).await? {
            Created::New(_) => return Ok(()),
            Created::Ours(found) | Created::Foreign(found) => found,
        },
    };
    if same_hash(&found, &wanted) {
        return Ok(());
    }
    let wanted_meta = wanted.metadata;
    found.spec = wanted.spec;
    found.metadata.labels = wanted_meta.labels;
    found.metadata.annotations = wanted_meta.annotations;
    found.metadata.owner_references = wanted_meta.owner_references;
    cluster::replace(&api, &found).await.map(|_| ())
}

fn same_hash<K: Resource>(found: &K, wanted: &K) -> bool {
    found.annotations().get(meta::SPEC_HASH) == wanted.annotations().get(meta::SPEC_HASH)
}

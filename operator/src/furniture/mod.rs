//! What a namespace needs before the first agent pod: the shared headless Service, the Secret with the access keys, and the
//! network policies.
//!
//! Made once per namespace, and per class for its own egress; a pod is created only after [`ensure`] has returned. Nothing is
//! sent when what is there has the right hash. Losing a race to another operator is success.

mod access;
mod build;

pub use access::Access;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};
use longshore_crds::{AgentClass, meta};

use crate::cluster::{self, Created, Error};
use crate::context::Context;
use crate::settings::Settings;

/// The policies of every class, as they were last built. Every pass over somebody who waits wants them, and hashing them is most
/// of the work of such a pass. A class that is gone leaves its two behind.
#[derive(Default)]
pub struct Policies(Mutex<HashMap<String, Built>>);

/// What was built for a generation of a class.
struct Built {
    generation: i64,
    policies: Arc<[NetworkPolicy; 2]>,
}

impl Policies {
    /// The policies for pods of this class, built anew when its spec has changed.
    fn of(&self, class: &AgentClass, namespace: &str, settings: &Settings) -> Arc<[NetworkPolicy; 2]> {
        let build = || {
            Arc::new([
                build::isolation(namespace, &settings.namespace),
                build::egress(class, &settings.namespace, settings.notice_url.is_some()),
            ])
        };
        let (Some(uid), Some(generation)) = (class.uid(), class.meta().generation) else {
            return build();
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = known.get(&uid).filter(|built| built.generation == generation) {
            return Arc::clone(&built.policies);
        }
        let policies = build();
        let built = Built {
            generation,
            policies: Arc::clone(&policies),
        };
        known.insert(uid, built);
        policies
    }
}

/// Makes what is missing for pods of this class.
pub async fn ensure(ctx: &Context, class: &AgentClass) -> Result<(), Error> {
    let namespace = class.namespace().unwrap_or_default();
    ctx.access.ensure(&namespace).await?;
    ensure_service(ctx, &namespace).await?;
    for policy in ctx.policies.of(class, &namespace, &ctx.settings).iter() {
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

async fn ensure_policy(ctx: &Context, namespace: &str, wanted: &NetworkPolicy) -> Result<(), Error> {
    let key = ObjectRef::new(&wanted.name_any()).within(namespace);
    if ctx
        .index
        .policies
        .get(&key)
        .is_some_and(|found| same_hash(found.as_ref(), wanted))
    {
        return Ok(());
    }
    let api: Api<NetworkPolicy> = Api::namespaced(ctx.client.clone(), namespace);
    let mut found = match cluster::get(&api, &wanted.name_any()).await? {
        Some(found) => found,
        None => match cluster::create(&api, wanted).await? {
            Created::New(_) => return Ok(()),
            Created::Ours(found) | Created::Foreign(found) => found,
        },
    };
    if same_hash(&found, wanted) {
        return Ok(());
    }
    let wanted_meta = wanted.metadata.clone();
    found.spec = wanted.spec.clone();
    found.metadata.labels = wanted_meta.labels;
    found.metadata.annotations = wanted_meta.annotations;
    found.metadata.owner_references = wanted_meta.owner_references;
    cluster::replace(&api, &found).await.map(|_| ())
}

fn same_hash<K: Resource>(found: &K, wanted: &K) -> bool {
    found.annotations().get(meta::SPEC_HASH) == wanted.annotations().get(meta::SPEC_HASH)
}

#[cfg(test)]
mod tests {
    use longshore_crds::AgentClassSpec;

    use super::*;

    #[test]
    fn policies_follow_the_spec_of_their_class() {
        let class = |generation: i64, base_url: Option<&str>| {
            let spec = AgentClassSpec {
                base_url: base_url.map(str::to_owned),
                ..AgentClassSpec::default()
            };
            let mut class = AgentClass::new("default", spec);
            class.metadata.uid = Some("uid".to_owned());
            class.metadata.generation = Some(generation);
            class
        };
        let (policies, settings) = (Policies::default(), Settings::example());
        let of = |class: &AgentClass| policies.of(class, "ns", &settings);
        let (first, local) = (class(1, None), class(2, Some("http://10.1.2.3:4010")));
        let before = of(&first);
        assert!(Arc::ptr_eq(&before, &of(&first)), "built once");
        assert!(!same_hash(&before[1], &of(&local)[1]));
        assert!(same_hash(&before[0], &of(&local)[0]));
    }
}

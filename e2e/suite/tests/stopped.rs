//! What an installation leaves behind that is stopped half-way, as the demo is by Ctrl-C: nothing.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, ResourceExt as _};
use longshore_e2e::cluster::Cluster;
use longshore_e2e::install::{DEADLINE, Install, Options};

const NAME: &str = "half-way";

async fn namespaces(cluster: &Cluster) -> Result<Vec<String>> {
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    let all = api.list(&kube::api::ListParams::default()).await?;
    let is_ours = |name: &String| name.starts_with(NAME);
    Ok(all.iter().map(|one| one.name_any()).filter(is_ours).collect())
}

/// Comes when the Secrets are there.
async fn credentials_are_there(cluster: &Cluster) -> Result<()> {
    loop {
        for namespace in namespaces(cluster).await? {
            let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), &namespace);
            if secrets.get_opt("anthropic").await?.is_some() {
                return Ok(());
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_installation_stopped_half_way_leaves_no_namespace_and_no_credentials() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let started = Install::start_unless(Options::named(NAME), credentials_are_there(&cluster)).await;
    let said = match started {
        Ok(install) => {
            install.stop().await?;
            anyhow::bail!("it was installed before it could be stopped")
        }
        Err(error) => format!("{error:#}"),
    };
    ensure!(said.contains("stopped before it was installed"), "{said}");
    let began = Instant::now();
    loop {
        let left = namespaces(&cluster).await?;
        if left.is_empty() {
            return Ok(());
        }
        ensure!(began.elapsed() < DEADLINE, "still there: {left:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

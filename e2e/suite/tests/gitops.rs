//! The example for Git, applied again and again as Argo CD and Flux do: nothing of what Git owns is ever written by anybody else.

use anyhow::{Result, ensure};
use longshore_crds::{RoutingPolicy, ScheduledTask};
use longshore_e2e::install::{Install, Options, with_install};

/// Times that everything is applied again.
const AGAIN: usize = 10;
/// Rounds after which the operator is replaced.
const RESTARTS: [usize; 2] = [3, 7];

fn overlay(install: &Install, name: &str) -> String {
    let folder = install.cluster.root.join("manifests/gitops/overlays").join(name);
    folder.to_string_lossy().into_owned()
}

/// Kind, name, version and generation of everything that Git owns.
async fn owned(install: &Install) -> Result<String> {
    let shown = "jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion} \
                 {.metadata.generation}{'\\n'}{end}";
    let kinds = "agentclasses,topics,routingpolicies,scheduledtasks";
    let owned = ["get", kinds, "-l", "app.kubernetes.io/part-of=agents", "-o", shown];
    install.kubectl(&owned).await
}

/// Waits until the operator has said all that there is to say.
async fn settled(install: &Install) -> Result<()> {
    for topic in ["shop", "operations"] {
        install.topic_settled(topic).await?;
    }
    let in_force = |policy: Option<&RoutingPolicy>| {
        let status = policy.and_then(|policy| policy.status.as_ref());
        status.is_some_and(|status| status.conditions.iter().any(|one| one.reason == "InForce"))
    };
    install.wait_for("engineering", "in force", in_force).await?;
    let suspended = |schedule: Option<&ScheduledTask>| {
        let status = schedule.and_then(|schedule| schedule.status.as_ref());
        status.is_some_and(|status| status.conditions.iter().any(|one| one.reason == "Suspended"))
    };
    install.wait_for("morning-report", "suspended", suspended).await?;
    // One that begins anew looks at everything once more.
    install.restart_operator().await
}

/// Applies the same again, with operators that come and go.
async fn apply_again(install: &Install, apply: &[&str], says: &str) -> Result<()> {
    settled(install).await?;
    let before = owned(install).await?;
    ensure!(before.lines().count() == 5, "{before}");
    for round in 1..=AGAIN {
        let told = install.kubectl(apply).await?;
        ensure!(
            told.lines().count() == 5 && told.lines().all(|line| line.ends_with(says)),
            "round {round}: {told}"
        );
        if RESTARTS.contains(&round) {
            install.restart_operator().await?;
        }
    }
    let after = owned(install).await?;
    ensure!(after == before, "something was written:\n{before}\nbecame\n{after}");
    Ok(())
}

#[tokio::test]
async fn ten_applies_of_the_example_and_new_operators_change_nothing_that_git_owns() -> Result<()> {
    with_install(Options::named("gitops"), async |install| {
        let (staging, production) = (overlay(install, "staging"), overlay(install, "production"));
        // The API server takes it; two overlays do not fit into one namespace.
        install
            .kubectl(&["apply", "--dry-run=server", "-k", &production])
            .await?;
        let by_kubectl = ["apply", "-k", &staging];
        install.kubectl(&by_kubectl).await?;
        apply_again(install, &by_kubectl, " unchanged").await?;

        // As Flux does, and Argo CD when it is told to.
        let by_server = [
            "apply",
            "--server-side",
            "--field-manager=gitops",
            "--force-conflicts",
            "-k",
            &staging,
        ];
        install.kubectl(&by_server).await?;
        apply_again(install, &by_server, " serverside-applied").await
    })
    .await
}

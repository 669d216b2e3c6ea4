//! Rules for messages as `kubectl apply` brings them, from the chat to what they become.

use anyhow::{Context as _, Result, ensure};
use longshore_crds::PersistentSession;
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{Options, with_install};
use serde_json::{Value, json};

#[tokio::test]
async fn the_same_sentence_becomes_a_task_and_after_another_policy_a_session() -> Result<()> {
    with_install(Options::named("routing"), async |install| {
        let chat = Chat::open(install, "incidents").await?;
        let asked = chat.say("Look into the incident. [[say A first look.]]").await?;
        chat.answer(asked, "A first look.").await?;
        install.task(&chat.object(asked), "Complete", "True").await?;

        let rule = |name: &str, keywords: Value| {
            json!({"name": name, "match": {"keywords": keywords}, "action": {"mode": "Session"}})
        };
        let policy = json!({
            "apiVersion": "longshore.dev/v1alpha1", "kind": "RoutingPolicy", "metadata": {"name": "team"},
            "spec": {"rules": [rule("deep", json!(["incident", "outage"])), rule("late", json!(["incident"]))]},
        });
        install.put_into_force(&policy).await?;
        let asked = chat.say("Look into the incident. [[say A close look.]]").await?;
        chat.answer(asked, "A close look.").await?;
        let name = chat.object(asked);
        install.session(&name, "Ready", "True").await?;
        let columns = async || install.kubectl(&["get", "routingpolicies"]).await;
        install
            .until("the second rule is called shadowed", async || {
                Ok(columns().await?.contains("RuleShadowed"))
            })
            .await?;

        let versions = async || {
            let of = ["get", "routingpolicies", "-o", "jsonpath={.items[*].metadata.resourceVersion}"];
            install.kubectl(&of).await
        };
        install.want(&name, "Ended").await?;
        install.session(&name, "Ended", "True").await?;
        let before = versions().await?;
        for _ in 0..3 {
            install.apply(&policy).await?;
        }
        install.restart_operator().await?;
        ensure!(versions().await? == before, "applying the same again writes nothing");

        let asked = chat.say("Look into the leak. [[say Another look.]]").await?;
        chat.answer(asked, "Another look.").await?;
        install.task(&chat.object(asked), "Complete", "True").await?;
        let sessions = install.api::<PersistentSession>().list(&Default::default()).await?;
        let session = sessions.iter().next().context("there is a session")?;
        ensure!(sessions.items.len() == 1, "only the rule's words start sessions: {session:?}");
        Ok(())
    })
    .await
}

//! Somebody unknown writes: an approver is asked by a button, and who is let in is heard, over restarts and no longer than policies
//! mean it.

use anyhow::{Result, ensure};
use longshore_crds::ContainerTask;
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{ALICE, MALLORY, Options, with_install};
use longshore_e2e::plugin::Plugin;
use serde_json::{Value, json};

const BOT: &str = "app.kubernetes.io/component=bot";
const ALLOW: &str = "✅ Allow";
const REVOKE: &str = "↩️ Revoke";

fn door(unknown: &str) -> Value {
    json!({
        "apiVersion": "longshore.dev/v1alpha1", "kind": "RoutingPolicy", "metadata": {"name": "door"},
        "spec": {"access": {"unknownSenders": unknown}},
    })
}

/// What the model shall answer stands behind what approvers are shown.
fn long(text: &str, answer: &str) -> String {
    format!("{text} {} [[say {answer}]]", "All of them. ".repeat(30))
}

async fn stranger(chat: &Chat, text: &str) -> Result<i64> {
    Ok(chat.telegram.say(chat.forum, Some(chat.thread), MALLORY, text).await?)
}

#[tokio::test]
async fn a_stranger_is_heard_once_an_approver_has_let_them_in_and_no_longer_than_the_policy_means_it() -> Result<()> {
    with_install(Options::named("offer"), async |install| {
        let chat = Chat::open(install, "door").await?;
        install.put_into_force(&door("OfferToApprover")).await?;
        let tasks = async || {
            anyhow::Ok(
                install
                    .api::<ContainerTask>()
                    .list(&Default::default())
                    .await?
                    .items
                    .len(),
            )
        };

        // One question, however often the stranger writes; nothing is run, and nobody else may press.
        let first = stranger(&chat, &long("Count the piers.", "Forty piers.")).await?;
        let asking = chat.button(first, ALLOW).await?;
        ensure!(asking.text.contains("Count the piers."), "{}", asking.text);
        let second = stranger(&chat, "Count the cranes. [[say Nine cranes.]]").await?;
        let said = chat.press(asking.message_id, MALLORY, ALLOW).await?;
        ensure!(said.contains("not on the list"), "the stranger was told «{said}»");
        chat.ask("What is here? [[say A harbour.]]", "A harbour.").await?;
        ensure!(tasks().await? == 1, "only Alice's");
        chat.exactly_once("is not known here and writes").await?;

        // What was written is taken up in order, each once, although the bot is started again in between.
        let version = async || {
            let of = ["get", "rp", "door", "-o", "jsonpath={.metadata.generation}"];
            install.kubectl(&of).await
        };
        let before = version().await?;
        let bot = install.pod_with(BOT).await?;
        install.delete_pod(&bot).await?;
        install.gone("pod", &bot).await?;
        let said = chat.press(asking.message_id, ALICE, ALLOW).await?;
        ensure!(said.contains("Allowed"), "Alice was told «{said}»");
        chat.answer(first, "Forty piers.").await?;
        chat.answer(second, "Nine cranes.").await?;
        chat.exactly_once("Forty piers.").await?;
        let allowed = chat.button(first, REVOKE).await?;
        ensure!(allowed.message_id == asking.message_id, "it is the same message");
        install.task(&chat.object(first), "Complete", "True").await?;
        let third = stranger(&chat, "Count the boats. [[say Three boats.]]").await?;
        chat.answer(third, "Three boats.").await?;
        ensure!(version().await? == before, "the policy belongs to its author");

        let (forum, user, alice) = (chat.forum, MALLORY, ALICE);
        let explain = async |more: &str| {
            let (forum, user) = (format!("--chat={forum}"), format!("--user={user}"));
            let thread = format!("--thread={}", chat.thread);
            let args = ["explain", &forum, &thread, &user, more, "Count the gulls."];
            Plugin::of(install).ok(&args, "").await
        };
        let told = explain("--bot-username=longshore_bot").await?;
        ensure!(told.starts_with("Decision  approvers are asked"), "{told}");
        let told = explain(&format!("--let-in-by={alice}")).await?;
        ensure!(told.starts_with("Decision  a task"), "{told}");

        // The policy does not mean it any more; when it does again, the answer of that time does not count.
        install.put_into_force(&door("Ignore")).await?;
        chat.answer(first, "This does not count any more").await?;
        let count = tasks().await?;
        stranger(&chat, "Count the gulls.").await?;
        chat.ask("What comes now? [[say The tide.]]", "The tide.").await?;
        ensure!(tasks().await? == count + 1, "only Alice's");
        install.put_into_force(&door("OfferToApprover")).await?;
        let fourth = stranger(&chat, &long("Count the ropes.", "Two ropes.")).await?;
        let asking = chat.button(fourth, ALLOW).await?;
        ensure!(tasks().await? == count + 1, "nothing was run");
        chat.press(asking.message_id, ALICE, ALLOW).await?;
        chat.answer(fourth, "Two ropes.").await?;

        let allowed = chat.button(fourth, REVOKE).await?;
        chat.press(allowed.message_id, ALICE, REVOKE).await?;
        chat.answer(fourth, "Taken back, as Alice said").await?;
        let count = tasks().await?;
        stranger(&chat, "Count the nets.").await?;
        chat.ask("What was here? [[say The harbour.]]", "The harbour.").await?;
        ensure!(tasks().await? == count + 1, "only Alice's");
        Ok(())
    })
    .await
}

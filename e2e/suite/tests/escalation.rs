//! The agent of a task finds that one task is not enough: a session takes over that knows what the task has learnt.

use anyhow::{Context as _, Result, ensure};
use longshore_crds::{PersistentSession, names};
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{ALICE, Install, MALLORY, Options, with_install};
use serde_json::{Value, json};

const REASON: &str = "Forty piers stand there.";
const PLAN: &str = "Walk along all of them.";
const LEARNT: &str = "Two of forty are rotten.";

/// What the model does with the same message in a task and in the session that takes over.
fn script() -> Value {
    let tool = json!({"name": "mcp__longshore__request_deep_session", "input": {"reason": REASON, "plan": PLAN}});
    json!([
        {"name": "session", "match": {"user": "(?s)^Audit the piers\\..*asked for this session", "side_question": false},
         "steps": [{"text": "{{last_user}}\n\nSo much the session has read."}]},
        {"name": "task", "match": {"user": "^Audit the piers\\.$", "side_question": false},
         "steps": [{"tool": tool}, {"text": LEARNT}]},
    ])
}

/// Waits for the first words of the session, which must quote all that the task had learnt.
async fn knows(install: &Install, chat: &Chat, asked: i64) -> Result<String> {
    let said = chat.answer(asked, "So much the session has read.").await?;
    ensure!(said.text.starts_with("Audit the piers."), "{}", said.text);
    for learnt in [REASON, PLAN, LEARNT] {
        ensure!(said.text.contains(learnt), "«{learnt}» is not known: {}", said.text);
    }
    let name = names::for_escalation(&chat.object(asked));
    let session = install.session(&name, "Ready", "True").await?;
    ensure!(session.spec.topic_ref.name == chat.topic, "it works on the same files");
    // Nobody says it again: what is written now is a message to that session.
    chat.ask(
        "And the railings? [[recall]]",
        "Your first message was: Audit the piers.",
    )
    .await?;
    Ok(name)
}

#[tokio::test]
async fn a_task_that_asks_for_a_session_is_followed_by_one_that_knows_what_it_has_learnt() -> Result<()> {
    with_install(Options::named("escalation"), async |install| {
        install.model()?.add_rules(&script()).await?;
        let sessions =
            async || Ok::<_, anyhow::Error>(install.api::<PersistentSession>().list(&Default::default()).await?);

        // People are asked unless a policy says otherwise.
        let chat = Chat::open(install, "asked").await?;
        let asked = chat.say("Audit the piers.").await?;
        chat.answer(asked, LEARNT).await?;
        let task = install.task(&chat.object(asked), "Complete", "True").await?;
        let wish = task
            .status
            .and_then(|status| status.escalation)
            .context("the task says what its agent wants")?;
        ensure!((wish.reason.as_str(), wish.plan.as_str()) == (REASON, PLAN), "{wish:?}");
        let start = "✅ Start a session";
        let question = chat.button(asked, start).await?;
        ensure!(
            question.text.contains(REASON) && question.text.contains(PLAN),
            "{}",
            question.text
        );
        let said = chat.press(question.message_id, MALLORY, start).await?;
        ensure!(said.contains("not on the list"), "a stranger was told «{said}»");
        ensure!(sessions().await?.items.is_empty(), "nobody has decided yet");
        chat.press(question.message_id, ALICE, start).await?;
        let first = knows(install, &chat, asked).await?;
        chat.exactly_once("A session takes over").await?;
        install.want(&first, "Ended").await?;
        install.session(&first, "Ended", "True").await?;

        // The same message, and nobody is asked.
        let policy = json!({
            "apiVersion": "longshore.dev/v1alpha1", "kind": "RoutingPolicy", "metadata": {"name": "at-once"},
            "spec": {"escalation": {"mode": "Start"}},
        });
        install.put_into_force(&policy).await?;
        let chat = chat.another("at once").await?;
        let asked = chat.say("Audit the piers.").await?;
        let second = knows(install, &chat, asked).await?;
        let all = sessions().await?.items;
        let mut found = all
            .iter()
            .filter_map(|session| session.metadata.name.clone())
            .collect::<Vec<_>>();
        let mut expected = vec![first, second];
        found.sort();
        expected.sort();
        ensure!(found == expected, "one session for each: {found:?}");
        Ok(())
    })
    .await
}

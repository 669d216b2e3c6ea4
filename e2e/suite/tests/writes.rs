//! What chatting costs the API server, counted from its audit log.

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use longshore_crds::ContainerTask;
use longshore_crds::meta::DELIVERED;
use longshore_e2e::audit::render;
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{Options, skip, with_install};
use longshore_e2e::kinds::{session, topic};
use longshore_e2e::runner::Runner;
use longshore_wire::Event;
use longshore_wire::api::{MessageId, PostMessage, Priority};
use serde_json::json;

#[tokio::test]
async fn a_session_start_costs_at_most_six_writes_and_a_warm_message_none() -> Result<()> {
    let values = json!({"bot": {"enabled": false}, "agentClass": {"limits": {"maxActiveSessions": 3}}});
    with_install(Options::named("writes").with(values), async |install| {
        if install.cluster.audit_log().is_none() {
            return skip("the audit log of a foreign cluster cannot be read");
        }
        install.apply(&topic("warm-up")).await?;
        install.apply(&session("first", "warm-up", "[[say hello]]")).await?;
        install.session("first", "Ready", "True").await?;
        install.apply(&topic("counted")).await?;
        install.topic_settled("counted").await?;

        let start = install.count_writes().await?.context("an audit log")?;
        install.apply(&session("second", "counted", "[[say hello]]")).await?;
        install.session("second", "Ready", "True").await?;
        let runner = Runner::open(&install.cluster, &install.namespace, "counted", "ls-counted-0").await?;
        runner.events(0, |record| matches!(record.event, Event::TurnFinished { .. })).await?;
        let writes = start.writes(&install.namespace)?;
        println!("{}", render("session start, without the user's own create", &writes));
        ensure!(!writes.is_empty(), "the audit log was not read");
        ensure!(writes.len() <= 6, "more than 6 by the operator; the create is the user's own");

        let warm = install.count_writes().await?.context("an audit log")?;
        for number in 1..=5 {
            let id = MessageId::from_telegram(-1, number);
            let text = format!("message {number} [[say answer {number}]]");
            let message = PostMessage { id, text, attachments: Vec::new(), author: None, context: None, priority: Priority::Next };
            ensure!(runner.post(&message).await?.0 == 202);
            runner
                .events(0, |record| matches!(&record.event, Event::TurnFinished { message_ids, .. } if message_ids.contains(&id)))
                .await?;
        }
        let writes = warm.writes(&install.namespace)?;
        println!("{}", render("five warm messages", &writes));
        ensure!(writes.is_empty());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn deep_work_from_the_chat_costs_bot_and_operator_together_at_most_six_writes_and_a_message_none() -> Result<()> {
    let values = json!({"agentClass": {"limits": {"maxActiveSessions": 3}}});
    with_install(Options::named("chat-writes").with(values), async |install| {
        if install.cluster.audit_log().is_none() {
            return skip("the audit log of a foreign cluster cannot be read");
        }
        let chat = Chat::open(install, "counted").await?;
        let first = chat.say("[[say A task made the topic.]]").await?;
        chat.answer(first, "A task made the topic.").await?;
        install.topic_settled(&chat.topic).await?;
        install
            .until("the answer is marked as delivered", async || {
                let task = install.api::<ContainerTask>().get(&chat.object(first)).await?;
                Ok(task.annotations().contains_key(DELIVERED))
            })
            .await?;

        let start = install.count_writes().await?.context("an audit log")?;
        let asked = chat.say("/deep [[say The session is here.]]").await?;
        chat.answer(asked, "The session is here.").await?;
        install.session(&chat.object(asked), "Ready", "True").await?;
        let writes = start.writes(&install.namespace)?;
        println!("{}", render("/deep until its answer, bot and operator", &writes));
        ensure!((1..=6).contains(&writes.len()), "{} writes", writes.len());

        let warm = install.count_writes().await?.context("an audit log")?;
        for number in 1..=5 {
            chat.ask(
                &format!("message {number} [[say Answer {number}.]]"),
                &format!("Answer {number}."),
            )
            .await?;
        }
        let writes = warm.writes(&install.namespace)?;
        println!("{}", render("five warm messages from the chat", &writes));
        ensure!(writes.is_empty(), "{} writes", writes.len());
        Ok(())
    })
    .await
}

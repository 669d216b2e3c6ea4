//! What chatting costs the API server, counted from its audit log.

use anyhow::{Result, ensure};
use longshore_e2e::audit::{Audit, Write};
use longshore_e2e::install::{Options, with_install};
use longshore_e2e::kinds::{session, topic};
use longshore_e2e::runner::Runner;
use longshore_wire::Event;
use longshore_wire::api::{MessageId, PostMessage, Priority};
use serde_json::json;

fn shown(title: &str, writes: &[Write]) -> String {
    let lines: String = writes.iter().map(|write| format!("\n  {write}")).collect();
    format!("\n{title}: {} mutating requests{lines}", writes.len())
}

#[tokio::test]
async fn a_session_start_costs_at_most_six_writes_and_a_warm_message_none() -> Result<()> {
    let values = json!({"bot": {"enabled": false}, "agentClass": {"limits": {"maxActiveSessions": 3}}});
    with_install(Options::named("writes").with(values), async |install| {
        let Some(log) = install.cluster.audit_log() else {
            println!("not counted here: the audit log of a foreign cluster cannot be read");
            return Ok(());
        };
        install.apply(&topic("warm-up")).await?;
        install.apply(&session("first", "warm-up", "[[say hello]]")).await?;
        install.session("first", "Ready", "True").await?;
        install.apply(&topic("counted")).await?;
        install.topic_settled("counted").await?;

        let start = Audit::start(log.clone())?;
        install.apply(&session("second", "counted", "[[say hello]]")).await?;
        install.session("second", "Ready", "True").await?;
        let runner = Runner::open(&install.cluster, &install.namespace, "counted", "ls-counted-0").await?;
        runner.events(0, |record| matches!(record.event, Event::TurnFinished { .. })).await?;
        let writes = start.writes(&install.namespace)?;
        println!("{}", shown("session start, without the user's own create", &writes));
        ensure!(!writes.is_empty(), "the audit log was not read");
        ensure!(writes.len() < 6, "with the create that is more than 6");

        let warm = Audit::start(log)?;
        for number in 1..=5 {
            let id = MessageId::from_telegram(-1, number);
            let text = format!("message {number} [[say answer {number}]]");
            let message = PostMessage { id, text, attachments: Vec::new(), author: None, priority: Priority::Next };
            ensure!(runner.post(&message).await?.0 == 202);
            runner
                .events(0, |record| matches!(&record.event, Event::TurnFinished { message_ids, .. } if message_ids.contains(&id)))
                .await?;
        }
        let writes = warm.writes(&install.namespace)?;
        println!("{}", shown("five warm messages", &writes));
        ensure!(writes.is_empty());
        Ok(())
    })
    .await
}

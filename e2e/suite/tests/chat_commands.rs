//! Every command of the chat once, with the real claude CLI in the pod.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{ALICE, Install, Options, with_install};
use longshore_e2e::runner::Runner;
use longshore_model::server::Wanted;
use serde_json::json;

fn bash_allowed(name: &'static str) -> Options {
    Options::named(name).with(json!({"agentClass": {"permissions": {"allowedTools": ["Bash"]}}}))
}

/// The model that was asked when a person had written this.
async fn asked_model(install: &Install, text: &str) -> Result<String> {
    let entries = install.model()?.requests(&Wanted::default()).await?;
    let asked = entries.iter().rfind(|entry| entry.last_user.contains(text));
    Ok(asked
        .with_context(|| format!("nobody asked the model «{text}»"))?
        .model
        .clone())
}

#[tokio::test]
async fn status_model_mode_usage_and_history_speak_of_the_session() -> Result<()> {
    with_install(bash_allowed("commands"), async |install| {
        let chat = Chat::open(install, "commands").await?;
        let nothing = chat.say("/status").await?;
        chat.answer(nothing, "Nothing has been run here yet.").await?;
        let quick = chat.say("/quick What is DNS? [[say DNS is a phone book.]]").await?;
        chat.answer(quick, "DNS is a phone book.").await?;
        let deep = chat.say("/deep Look around. [[say I have looked around.]]").await?;
        chat.answer(deep, "I have looked around.").await?;

        // The words of an answer are read while its turn still ends.
        let is_idle = async || {
            let asked = chat.say("/status").await?;
            Ok(chat.answer(asked, "Session ").await?.text.contains("It is idle."))
        };
        install.until("the session is idle", is_idle).await?;
        let asked = chat.say("/status").await?;
        let status = chat.answer(asked, "It is idle.").await?.text;
        for piece in [
            "commands (topic tg-",
            &format!("Session {}: running.", chat.object(deep)),
            "Mode: ask – claude asks",
            "Model: ",
            "If nothing happens it goes to sleep at ",
            " UTC, in ",
            "whatever happens.",
            "Memory: ",
            "So far: 1 turn, ",
        ] {
            ensure!(status.contains(piece), "no «{piece}» in\n{status}");
        }

        let model = chat.say("/model claude-haiku-4-5").await?;
        chat.answer(model, "uses the model claude-haiku-4-5 from now on (Alice)")
            .await?;
        chat.ask("Who are you now? [[say I am small.]]", "I am small.").await?;
        ensure!(asked_model(install, "Who are you now?").await? == "claude-haiku-4-5");
        let menu = chat.say("/model").await?;
        let menu = chat
            .answer(menu, "The session uses the model claude-haiku-4-5.")
            .await?;
        ensure!(menu.buttons.len() > 1, "{:?}", menu.buttons);

        let refuse = json!({"match": {"model": "no-such"},
            "steps": [{"error": {"status": 404, "message": "model: no-such-model"}}]});
        install.model()?.add_rules(&refuse).await?;
        let refused = chat.say("/model no-such-model").await?;
        chat.answer(refused, "claude does not take the model no-such-model")
            .await?;

        let mode = chat.say("/mode").await?;
        let menu = chat.answer(mode, "The session is in this mode: ask").await?;
        let said = chat.press(menu.message_id, ALICE, "plan").await?;
        ensure!(said.contains("reads and makes plans"), "{said}");
        let said = chat.press(menu.message_id, ALICE, "✓ ask").await;
        ensure!(said.is_err() || said?.contains("used already"));
        let asked = chat.say("/status").await?;
        chat.answer(asked, "Mode: plan – claude reads").await?;

        let usage = chat.say("/usage").await?;
        let usage = chat.answer(usage, "All that is still known of this topic").await?.text;
        let session = usage.lines().next().context("no line")?;
        ensure!(
            session.contains("2 turns, ") && !session.contains(" 0 tokens in"),
            "{usage}"
        );

        let history = chat.say("/history").await?;
        let history = chat.answer(history, "→ ").await?.text;
        for piece in [
            "Alice: What is DNS?",
            "→ DNS is a phone book.",
            "Alice: Look around.",
            "→ I am small.",
        ] {
            ensure!(history.contains(piece), "no «{piece}» in\n{history}");
        }
        let last = chat.say("/history 1").await?;
        let last = chat.answer(last, "→ I am small.").await?.text;
        ensure!(!last.contains("Look around."), "{last}");

        let help = chat.say("/help").await?;
        let help = chat.answer(help, "/history – ").await?.text;
        ensure!(
            ["/new – ", "/mode – ", "/usage – "]
                .iter()
                .all(|line| help.contains(line)),
            "{help}"
        );
        let slip = chat.say("/statsu").await?;
        chat.answer(slip, "Did you mean /status?").await?;
        let end = chat.say("/end").await?;
        install.session(&chat.object(deep), "Ended", "True").await?;
        chat.answer(end, "").await?;
        let none = chat.say("/model opus").await?;
        chat.answer(none, "none is active here").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn new_leaves_a_summary_and_starts_a_session_whose_first_message_is_answered_once() -> Result<()> {
    with_install(bash_allowed("new"), async |install| {
        let chat = Chat::open(install, "new").await?;
        let first = chat.say("/deep codename ibis [[say The first one is here.]]").await?;
        chat.answer(first, "The first one is here.").await?;
        let new = chat.say("/new Start over. [[say The second one is here.]]").await?;
        let more = chat.say("And then? [[say Then this.]]").await?;
        install.session(&chat.object(first), "Ended", "True").await?;
        install.session(&chat.object(new), "Ready", "True").await?;
        chat.answer(new, "The session has ended.").await?;
        chat.answer(new, "Key outcomes:").await?;
        chat.answer(new, "The second one is here.").await?;
        chat.answer(more, "Then this.").await?;
        chat.exactly_once("The second one is here.").await?;
        chat.exactly_once("Then this.").await
    })
    .await
}

#[tokio::test]
async fn a_word_that_ends_the_session_can_be_taken_back_and_is_then_read_by_claude() -> Result<()> {
    let options = bash_allowed("farewell").with(json!({"telegram": {"keepGoingSeconds": 20}}));
    with_install(options, async |install| {
        let chat = Chat::open(install, "farewell").await?;
        let deep = chat.say("/deep Hello. [[say Push it, and tell me.]]").await?;
        chat.answer(deep, "Push it, and tell me.").await?;
        let meant = chat.say("done").await?;
        let offered = chat.button(meant, "▶ Keep going").await?;
        let said = chat.press(offered.message_id, ALICE, "▶ Keep going").await?;
        ensure!(said.starts_with("The session goes on"), "{said}");
        let answer = chat.answer(meant, "You wrote: done").await?;
        ensure!(
            answer.message_id == offered.message_id && answer.buttons.is_empty(),
            "{answer:?}"
        );
        let pod = format!("ls-{}-0", chat.topic);
        install.kubectl(&["get", "pod", &pod]).await?;

        let done = chat.say("Done!").await?;
        chat.button(done, "▶ Keep going").await?;
        install.session(&chat.object(deep), "Ended", "True").await?;
        chat.answer(done, "The session has ended.").await?;
        chat.answer(done, "Key outcomes:").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn stop_kills_the_command_that_runs_and_the_session_stays() -> Result<()> {
    with_install(bash_allowed("stop"), async |install| {
        let chat = Chat::open(install, "stop").await?;
        let first = chat.say("/deep Hello. [[say Hello yourself.]]").await?;
        chat.answer(first, "Hello yourself.").await?;
        let pod = format!("ls-{}-0", chat.topic);
        let runner = Runner::open(&install.cluster, &install.namespace, &chat.topic, &pod).await?;
        let before = runner.claude().await?;
        let asked = chat
            .say("[[bash touch begun; python3 -c \"import time; time.sleep(60)\"; touch slept]] [[say never]]")
            .await?;
        loop {
            let status = chat.say("/status").await?;
            let shown = chat.answer(status, "It ").await?;
            if shown.text.contains("• Bash: ") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let stop = chat.say("/stop").await?;
        chat.answer(stop, "Stopping.").await?;
        chat.answer(asked, "Stopped.").await?;
        let look = chat
            .say("[[bash ls; ls /proc/*/cmdline | xargs -n1 tr '\\0' ' ' 2>/dev/null | grep -c 'time.slee[p]']] [[say It found {{last_tool_result}}]]")
            .await?;
        let found = chat.answer(look, "It found").await?.text;
        ensure!(found.contains("begun") && !found.contains("slept"), "{found}");
        let runner = Runner::open(&install.cluster, &install.namespace, &chat.topic, &pod).await?;
        ensure!(runner.claude().await? == before, "claude was started again");
        Ok(())
    })
    .await
}

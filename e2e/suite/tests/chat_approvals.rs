//! Every button of a prompt, with the real claude: what it does, over restarts of the bot, and what nobody answers.

use anyhow::{Context as _, Result, ensure};
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{ALICE, Install, MALLORY, Options, with_install};
use longshore_e2e::kinds::topic;
use longshore_telegram_emulator::control::view::Shown;
use serde_json::json;

const BOT: &str = "app.kubernetes.io/component=bot";
const ALLOW: &str = "✅ Allow";
const SESSION: &str = "This session";
const ALWAYS: &str = "Always Bash here";
const DENY: &str = "⛔ Deny";
const WORD: &str = "💬 Deny, say why";
const STOP: &str = "↩️ Stop allowing";

/// Alice asks for a command; claude's prompt for it.
async fn prompt(chat: &Chat, text: &str) -> Result<(i64, Shown)> {
    let asked = chat.say(text).await?;
    let shown = chat.button(asked, ALLOW).await?;
    Ok((asked, shown))
}

async fn press(chat: &Chat, shown: &Shown, label: &str, expected: &str) -> Result<()> {
    let said = chat.press(shown.message_id, ALICE, label).await?;
    ensure!(
        said.starts_with(expected),
        "«{label}» was answered with «{said}», not «{expected}»"
    );
    Ok(())
}

async fn restart_bot(install: &Install) -> Result<()> {
    let bot = install.pod_with(BOT).await?;
    install.delete_pod(&bot).await
}

/// How the prompt looks now.
async fn now(chat: &Chat, prompt: &Shown) -> Result<Shown> {
    let all = chat.from_bot().await?;
    let found = all.into_iter().find(|shown| shown.message_id == prompt.message_id);
    found.context("the prompt is gone")
}

async fn says(install: &Install, chat: &Chat, prompt: &Shown, text: &str) -> Result<Shown> {
    let there = async || Ok(now(chat, prompt).await?.text.contains(text));
    install.until(&format!("the prompt says «{text}»"), there).await?;
    now(chat, prompt).await
}

#[tokio::test]
async fn allow_session_always_and_deny_do_what_they_say() -> Result<()> {
    with_install(Options::named("approvals"), async |install| {
        let chat = Chat::open(install, "approvals").await?;
        // Once: shown readably, allowed once, and not decided twice.
        let (asked, shown) = prompt(
            &chat,
            "/deep [[bash touch once.txt && ls]] [[say It said {{last_tool_result}}]]",
        )
        .await?;
        ensure!(
            shown.text.contains("touch once.txt && ls") && shown.text.contains("Waits until"),
            "{}",
            shown.text
        );
        let code = |entity: &longshore_telegram_emulator::entities::Entity| entity.kind == "pre";
        ensure!(
            shown.entities.iter().any(code),
            "the command is no code: {:?}",
            shown.entities
        );
        let stranger = chat.press(shown.message_id, MALLORY, ALLOW).await?;
        ensure!(stranger.contains("not on the list"), "{stranger}");
        let twice = chat.telegram.press(chat.forum, shown.message_id, ALICE, ALLOW).await?;
        let late = chat.telegram.press(chat.forum, shown.message_id, ALICE, DENY).await;
        let first = chat
            .telegram
            .callback(&twice.id, longshore_e2e::install::DEADLINE)
            .await?
            .answer;
        ensure!(
            first.as_ref().is_some_and(|answer| answer.text == "Allowed."),
            "{first:?}"
        );
        // The button may be gone already; if it is not, the press is told who was first.
        if let Ok(late) = late {
            let answer = chat
                .telegram
                .callback(&late.id, longshore_e2e::install::DEADLINE)
                .await?
                .answer;
            ensure!(
                answer.is_some_and(|answer| answer.text.contains("allowed this at")),
                "the second press decided"
            );
        }
        chat.answer(asked, "once.txt").await?;

        // This session: the same command does not ask again.
        let (asked, shown) = prompt(&chat, "[[bash touch session.txt]] [[say Touched it.]]").await?;
        press(&chat, &shown, SESSION, "Allowed for this session.").await?;
        chat.answer(asked, "Touched it.").await?;
        chat.ask(
            "[[bash touch session.txt]] [[say Touched it again.]]",
            "Touched it again.",
        )
        .await?;

        // Always: no command asks, over a restart of the bot, until somebody stops it.
        let (asked, shown) = prompt(&chat, "[[bash touch always.txt]] [[say The first of all.]]").await?;
        press(&chat, &shown, ALWAYS, "Allowed, from now on always").await?;
        chat.answer(asked, "The first of all.").await?;
        restart_bot(install).await?;
        chat.ask(
            "[[bash rm always.txt && touch more.txt]] [[say The second of all.]]",
            "The second of all.",
        )
        .await?;
        let closed = says(install, &chat, &shown, "Bash is always allowed in this topic").await?;
        press(&chat, &closed, STOP, "From now on claude asks again.").await?;
        let (asked, shown) = prompt(&chat, "[[bash touch denied.txt]] [[say Denied: {{last_tool_result}}]]").await?;
        press(&chat, &shown, DENY, "Denied.").await?;
        chat.answer(asked, "Denied:").await?;

        // With a word, which claude reads, and which is no message.
        let (asked, shown) = prompt(
            &chat,
            "[[bash touch friday.txt]] [[say It heard: {{last_tool_result}}]]",
        )
        .await?;
        press(&chat, &shown, WORD, "Write why").await?;
        restart_bot(install).await?;
        says(install, &chat, &shown, "write why").await?;
        chat.say("not on a Friday").await?;
        let heard = chat.answer(asked, "It heard:").await?.text;
        ensure!(heard.contains("not on a Friday"), "{heard}");
        says(install, &chat, &shown, "not on a Friday").await?;
        let look = "[[bash ls]] [[say Here: {{last_tool_result}}]]";
        let files = chat.ask(look, "Here:").await?.text;
        ensure!(
            files.contains("more.txt") && !files.contains("friday") && !files.contains("denied"),
            "{files}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_prompt_outlives_the_bot_and_expires_by_itself() -> Result<()> {
    with_install(Options::named("expiry"), async |install| {
        let chat = Chat::open(install, "patient").await?;
        let (asked, shown) = prompt(&chat, "/deep [[bash touch late.txt]] [[say It is done.]]").await?;
        restart_bot(install).await?;
        press(&chat, &shown, ALLOW, "Allowed.").await?;
        chat.answer(asked, "It is done.").await?;

        let hasty = chat.another("hasty").await?;
        install
            .another_class("hasty", json!({"permissions": {"approvalTimeoutSeconds": 30}}))
            .await?;
        let mut manifest = topic(&hasty.topic);
        manifest["spec"]["agentClassName"] = json!("hasty");
        manifest["spec"]["telegram"] = json!({"chatId": hasty.forum, "threadId": hasty.thread});
        install.apply(&manifest).await?;
        let (asked, shown) = prompt(
            &hasty,
            "/deep [[bash touch never.txt]] [[say It said: {{last_tool_result}}]]",
        )
        .await?;
        let told = hasty.answer(asked, "It said:").await?.text;
        ensure!(told.contains("Nobody answered"), "{told}");
        let closed = says(install, &hasty, &shown, "Nobody answered until").await?;
        ensure!(closed.buttons.is_empty(), "{closed:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_plan_and_questions_are_answered_by_buttons_and_by_words() -> Result<()> {
    with_install(Options::named("plans"), async |install| {
        let chat = Chat::open(install, "plans").await?;
        let several = json!({"questions": [
            {"question": "Which parts?", "header": "Scope", "multiSelect": true,
             "options": [{"label": "docs", "description": "words"}, {"label": "tests", "description": "proofs"}, {"label": "code", "description": "the rest"}]},
            {"question": "Which name?", "header": "Name", "multiSelect": false,
             "options": [{"label": "Anchor", "description": "heavy"}, {"label": "Buoy", "description": "light"}]}]});
        let asked = chat
            .say(&format!("/deep [[tool AskUserQuestion {several}]] [[say You said {{{{last_tool_result}}}}]]"))
            .await?;
        let shown = chat.button(asked, "☐ docs").await?;
        ensure!(shown.text.contains("Scope"), "{}", shown.text);
        press(&chat, &shown, "☐ docs", "☑ docs").await?;
        let switched = async || {
            let buttons = now(&chat, &shown).await?.buttons;
            Ok(buttons.iter().flatten().any(|label| label == "☑ docs"))
        };
        install.until("the switch is on", switched).await?;
        press(&chat, &shown, "☐ code", "☑ code").await?;
        press(&chat, &shown, "✅ Done", "Noted.").await?;
        says(install, &chat, &shown, "Which name?").await?;
        chat.say("Capstan").await?;
        let said = chat.answer(asked, "You said").await?.text;
        ensure!(said.contains("docs, code") && said.contains("Capstan"), "{said}");

        let one = json!({"questions": [{"question": "Really?", "header": "Sure", "multiSelect": false,
            "options": [{"label": "Yes", "description": "go"}, {"label": "No", "description": "stay"}]}]});
        let asked = chat
            .say(&format!("[[tool AskUserQuestion {one}]] [[say Skipped: {{{{last_tool_result}}}}]]"))
            .await?;
        let shown = chat.button(asked, "⏭ Skip").await?;
        press(&chat, &shown, "⏭ Skip", "Skipped.").await?;
        let said = chat.answer(asked, "Skipped:").await?.text;
        ensure!(said.contains("gave no answer"), "{said}");

        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_plan_is_turned_down_with_a_word_and_approved() -> Result<()> {
    let options = Options::named("plan").with(json!({"agentClass": {"permissions": {"sessionMode": "plan"}}}));
    with_install(options, async |install| {
        let chat = Chat::open(install, "plan").await?;
        let plan = json!({"plan": "1. Look around.\n2. Set sail."});
        let asked = chat
            .say(&format!(
                "/deep [[tool ExitPlanMode {plan}]] [[say On the plan: {{{{last_tool_result}}}}]]"
            ))
            .await?;
        let shown = chat.button(asked, "💬 Keep, say why").await?;
        press(&chat, &shown, "💬 Keep, say why", "Write why").await?;
        chat.say("the tide is wrong").await?;
        let said = chat.answer(asked, "On the plan:").await?.text;
        ensure!(said.contains("the tide is wrong"), "{said}");
        let asked = chat
            .say(&format!("[[tool ExitPlanMode {plan}]] [[say It is agreed.]]"))
            .await?;
        let shown = chat.button(asked, "✅ And accept edits").await?;
        press(&chat, &shown, "✅ And accept edits", "Allowed.").await?;
        chat.answer(asked, "It is agreed.").await?;
        Ok(())
    })
    .await
}

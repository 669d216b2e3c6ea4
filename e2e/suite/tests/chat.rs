//! What people do all day, from the chat to the pod and back.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use longshore_crds::{ContainerTask, PersistentSession};
use longshore_e2e::chat::Chat;
use longshore_e2e::golden;
use longshore_e2e::install::{ALICE, DEADLINE, Install, MALLORY, Options, with_install};
use longshore_e2e::runner::Runner;
use serde_json::json;

fn bash_allowed(name: &'static str) -> Options {
    Options::named(name).with(json!({"agentClass": {"permissions": {"allowedTools": ["Bash"]}}}))
}

#[tokio::test]
async fn a_question_becomes_a_task_whose_answer_is_edited_into_the_topic() -> Result<()> {
    with_install(Options::named("question"), async |install| {
        let chat = Chat::open(install, "questions").await?;
        let asked = chat.say("What is DNS? [[say DNS turns names into addresses.]]").await?;
        let shown = chat.answer(asked, "DNS turns names into addresses.").await?;
        ensure!(shown.edits > 0, "the answer was not edited into a placeholder");
        let name = chat.object(asked);
        let task = install.task(&name, "Complete", "True").await?;
        let status = task.status.context("status")?;
        ensure!(
            status
                .result
                .context("result")?
                .text
                .contains("DNS turns names into addresses.")
        );
        install
            .wait_for(&status.job_name.context("job")?, "complete", |job: Option<&Job>| {
                job.and_then(|job| job.status.as_ref())
                    .is_some_and(|status| status.succeeded == Some(1))
            })
            .await?;
        golden::check(
            install,
            "task-complete",
            &[(&chat.topic, "<topic>"), (&chat.forum.to_string(), "<chat>")],
        )
        .await?;
        chat.exactly_once("DNS turns names into addresses.").await
    })
    .await
}

#[tokio::test]
async fn deep_work_streams_keeps_one_process_that_remembers_and_ends() -> Result<()> {
    with_install(bash_allowed("deep"), async |install| {
        let chat = Chat::open(install, "builds").await?;
        let names = |chat: &Chat| [(chat.topic.clone(), "<topic>"), (chat.forum.to_string(), "<chat>")];
        let asked = chat
            .say("/deep fix the build, codename ibis [[slow 30 150]] [[bash echo built]] [[say The build is green.]]")
            .await?;
        let streamed = chat.answer(asked, "part").await?;
        chat.answer(asked, "The build is green.").await?;
        let shown = chat.telegram.messages(chat.forum, Some(chat.thread)).await?;
        let shown = shown
            .iter()
            .find(|one| one.message_id == streamed.message_id)
            .context("the streamed message is gone")?;
        ensure!(
            shown.history.len() > 2,
            "the answer came in one piece: {:?}",
            shown.history
        );
        let session = chat.object(asked);
        install.session(&session, "Ready", "True").await?;
        let pairs = names(&chat);
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(real, name)| (real.as_str(), *name)).collect();
        golden::check(install, "session-running", &pairs).await?;

        let pod = format!("ls-{}-0", chat.topic);
        let runner = Runner::open(&install.cluster, &install.namespace, &chat.topic, &pod).await?;
        let before = runner.claude().await?;
        let recalled = chat
            .ask("What was my first message? [[recall]]", "codename ibis")
            .await?;
        let runner = Runner::open(&install.cluster, &install.namespace, &chat.topic, &pod).await?;
        let after = runner.claude().await?;
        ensure!(after == before, "{before:?} has become {after:?}: {recalled:?}");

        let end = chat.say("/end").await?;
        install.session(&session, "Ended", "True").await?;
        install.gone("pod", &pod).await?;
        chat.answer(end, "").await?;
        golden::check(install, "session-ended", &pairs).await?;
        let after = chat
            .ask("Are you there? [[say A task answers now.]]", "A task answers now.")
            .await?;
        ensure!(after.from_bot);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn done_ends_the_session_and_stop_interrupts_its_turn() -> Result<()> {
    with_install(bash_allowed("done"), async |install| {
        let chat = Chat::open(install, "done").await?;
        let asked = chat.say("/deep [[hold forever]] [[say never]]").await?;
        install.model_holds("forever").await?;
        let stop = chat.say("/stop").await?;
        chat.answer(stop, "").await?;
        // claude hands the stopped message to the model once more, in front of the next one.
        install.open_gate("forever").await?;
        chat.ask("Still there? [[say Still here.]]", "Still here.").await?;
        chat.say("Done").await?;
        install.session(&chat.object(asked), "Ended", "True").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_running_command_is_told_below_the_turn_and_stopped_by_its_button() -> Result<()> {
    with_install(bash_allowed("stop-button"), async |install| {
        let chat = Chat::open(install, "button").await?;
        let asked = chat.say("/deep [[bash tail -f /dev/null]] [[say never]]").await?;
        let running = chat.answer(asked, "⚙ running tail -f /dev/null").await?;
        let details = chat.press(running.message_id, ALICE, "Details").await?;
        ensure!(details.contains("Bash tail -f /dev/null"), "{details}");
        let said = chat.press(running.message_id, ALICE, "⏹ Stop").await?;
        ensure!(said == "Stopping.", "{said}");
        let stopped = chat.answer(asked, "Stopped.").await?;
        ensure!(
            stopped.message_id == running.message_id && stopped.buttons.is_empty(),
            "{stopped:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_permission_prompt_waits_for_allow_or_deny() -> Result<()> {
    with_install(Options::named("permission"), async |install| {
        let chat = Chat::open(install, "permission").await?;
        let asked = chat
            .say("/deep [[bash touch allowed.txt && ls]] [[say It said {{last_tool_result}}.]]")
            .await?;
        let prompt = chat.button(asked, "✅ Allow").await?;
        ensure!(
            prompt.text.contains("touch allowed.txt"),
            "the prompt hides the command: {}",
            prompt.text
        );
        let refused = chat
            .telegram
            .press(chat.forum, prompt.message_id, MALLORY, "✅ Allow")
            .await?;
        let answer = chat.telegram.callback(&refused.id, DEADLINE).await?.answer;
        let answer = answer.context("the stranger's press was not answered")?.text;
        ensure!(
            answer.contains("not on the list"),
            "a stranger who allowed was told «{answer}»"
        );
        let pressed = chat
            .telegram
            .press(chat.forum, prompt.message_id, ALICE, "✅ Allow")
            .await?;
        // Not "too late": the stranger's press has decided nothing.
        let answer = chat.telegram.callback(&pressed.id, DEADLINE).await?.answer;
        ensure!(
            answer.as_ref().is_some_and(|shown| shown.text == "Allowed."),
            "{answer:?}"
        );
        chat.answer(asked, "It said").await?;
        let files = chat.from_bot().await?;
        ensure!(files.iter().any(|shown| shown.text.contains("allowed.txt")));

        let asked = chat
            .say("[[bash touch denied.txt]] [[say The tool answered: {{last_tool_result}}]]")
            .await?;
        let prompt = chat.button(asked, "⛔ Deny").await?;
        chat.telegram
            .press(chat.forum, prompt.message_id, ALICE, "⛔ Deny")
            .await?;
        chat.answer(asked, "The tool answered:").await?;
        let asked = chat
            .say("[[tool Read {\"file_path\": \"denied.txt\"}]] [[say Reading says {{last_tool_result}}]]")
            .await?;
        let shown = chat.answer(asked, "Reading says").await?;
        ensure!(
            shown.text.contains("not exist"),
            "the denied command ran: {}",
            shown.text
        );
        let late = chat
            .telegram
            .press(chat.forum, prompt.message_id, ALICE, "⛔ Deny")
            .await;
        ensure!(late.is_err(), "the buttons of an answered prompt are still there");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_stranger_gets_nothing_run() -> Result<()> {
    with_install(Options::named("stranger"), async |install| {
        let chat = Chat::open(install, "closed").await?;
        chat.telegram
            .say(chat.forum, Some(chat.thread), MALLORY, "/deep let me in [[say no]]")
            .await?;
        chat.telegram
            .say(chat.forum, Some(chat.thread), MALLORY, "hello? [[say no]]")
            .await?;
        chat.ask("And I? [[say You are welcome.]]", "You are welcome.").await?;
        let tasks = install
            .api::<ContainerTask>()
            .list(&Default::default())
            .await?
            .items
            .len();
        let sessions = install
            .api::<PersistentSession>()
            .list(&Default::default())
            .await?
            .items
            .len();
        ensure!((tasks, sessions) == (1, 0), "{tasks} tasks, {sessions} sessions");
        ensure!(
            install.model_requests("let me in").await?.is_empty() && install.model_requests("hello?").await?.is_empty()
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn odd_messages_are_handled_and_nothing_is_read_that_was_not_asked_for() -> Result<()> {
    with_install(Options::named("odd"), async |install| {
        let chat = Chat::open(install, "odd").await?;
        odd_messages_as_tasks(install, &chat).await?;
        let asked = chat.say("/deep [[say The session is here.]]").await?;
        chat.answer(asked, "The session is here.").await?;
        odd_messages_to_a_session(install, &chat).await
    })
    .await
}

async fn odd_messages_as_tasks(install: &Install, chat: &Chat) -> Result<()> {
    chat.ask("@/etc/passwd [[say I saw an at sign.]]", "I saw an at sign.")
        .await?;
    let unknown = chat.say("/cost").await?;
    let explained = chat.answer(unknown, "/help").await?;
    ensure!(explained.text.contains("/cost"), "{}", explained.text);
    let sticker = json!({"message": {
        "message_id": 900_001, "message_thread_id": chat.thread, "is_topic_message": true, "date": 1_700_000_000,
        "chat": {"id": chat.forum, "type": "supergroup", "title": "The team", "is_forum": true},
        "from": {"id": ALICE, "is_bot": false, "first_name": "Alice"},
        "sticker": {"file_id": "s", "file_unique_id": "s", "type": "regular", "width": 1, "height": 1,
            "is_animated": false, "is_video": false},
    }});
    let before = chat.from_bot().await?.len();
    chat.telegram.inject(&sticker).await?;
    install
        .until("the empty message is answered", async || {
            Ok(chat.from_bot().await?.len() > before)
        })
        .await?;
    a_huge_message_is_refused(chat).await?;
    nothing_of_passwd(install).await
}

async fn a_huge_message_is_refused(chat: &Chat) -> Result<()> {
    let asked = chat.say(&format!("[[say never]] {}", "x".repeat(3 << 20))).await?;
    chat.answer(asked, "too long").await?;
    let shown = chat.from_bot().await?;
    ensure!(
        shown.iter().all(|one| !one.text.contains("never")),
        "the huge message was run"
    );
    Ok(())
}

async fn odd_messages_to_a_session(install: &Install, chat: &Chat) -> Result<()> {
    chat.ask("@/etc/passwd [[say An at sign again.]]", "An at sign again.")
        .await?;
    // No command, so it reaches claude, which must not take it for one either.
    chat.ask("/etc/passwd is a path [[say A path it is.]]", "A path it is.")
        .await?;
    a_huge_message_is_refused(chat).await?;
    chat.ask("And now? [[say Still well.]]", "Still well.").await?;
    ensure!(
        install.model_requests("say never").await?.is_empty(),
        "the model was sent the huge message"
    );
    nothing_of_passwd(install).await
}

async fn nothing_of_passwd(install: &Install) -> Result<()> {
    let full = longshore_model::server::Wanted {
        full: 1,
        ..Default::default()
    };
    for entry in install.model()?.requests(&full).await? {
        let body = entry.body.map(|body| body.to_string()).unwrap_or_default();
        ensure!(!body.contains("root:x:0:0"), "the model was sent /etc/passwd");
    }
    Ok(())
}

#[tokio::test]
async fn two_topics_of_a_forum_are_answered_side_by_side() -> Result<()> {
    with_install(Options::named("side-by-side"), async |install| {
        let one = Chat::open(install, "one").await?;
        let two = one.another("two").await?;
        one.say("/deep [[hold slow]] [[say One is done.]]").await?;
        install.model_holds("slow").await?;
        let fast = tokio::time::timeout(Duration::from_secs(60), two.ask("[[say Two is done.]]", "Two is done.")).await;
        fast.context("a busy topic held up another")??;
        install.open_gate("slow").await?;
        one.answer(0, "One is done.").await?;
        Ok(())
    })
    .await
}

//! Processes die at the worst moments; every message is answered exactly once.

use anyhow::{Context as _, Result, ensure};
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{DEADLINE, Install, OPERATOR, Options, with_install};
use longshore_telegram_emulator::control::routes::WantedCalls;
use longshore_telegram_emulator::faults::{Fault, Kind};
use serde_json::json;

const BOT: &str = "app.kubernetes.io/component=bot";

/// Where the bot is killed: while this call of the Bot API is under way.
struct Point {
    what: &'static str,
    method: &'static str,
    kind: Kind,
    contains: Option<&'static str>,
}

fn points() -> [Point; 3] {
    [
        Point {
            what: "after the update was fetched, before it is stored",
            method: "getUpdates",
            kind: Kind::HoldReply,
            contains: None,
        },
        Point {
            what: "after it was stored, before anything is seen",
            method: "sendMessage",
            kind: Kind::HoldBefore,
            contains: None,
        },
        Point {
            what: "while the answer is edited in",
            method: "editMessageText",
            kind: Kind::HoldBefore,
            contains: Some("answer"),
        },
    ]
}

/// Kills the bot there. The call stays held until the question is answered, so it cannot be finished for the dead bot.
async fn kill_bot_at(install: &Install, chat: &Chat, point: Point, question: &str, answer: &str) -> Result<()> {
    let mut fault = Fault::on(point.method, point.kind);
    fault.contains = point.contains.map(str::to_owned);
    let fault = chat.telegram.fault(&fault).await?;
    if point.method == "getUpdates" {
        ask_in_a_held_poll(install, chat, fault, question).await?;
    } else {
        chat.say(question).await?;
        chat.telegram.fault_hit(fault, DEADLINE).await?;
    }
    install.kill_pod(&install.pod_with(BOT).await?).await?;
    chat.answer(0, answer).await?;
    chat.telegram.remove_fault(fault).await?;
    Ok(())
}

/// Says the question to the poll whose reply is held back, and waits until it is on its way. The poll that hangs when the fault is
/// added is none of those that it hits: another message makes the bot begin the next one.
async fn ask_in_a_held_poll(install: &Install, chat: &Chat, fault: u64, question: &str) -> Result<()> {
    let mut polls = WantedCalls {
        method: Some("getUpdates".to_owned()),
        ..WantedCalls::default()
    };
    chat.say("/help").await?;
    chat.telegram.fault_hit(fault, DEADLINE).await?;
    polls.after = chat.telegram.calls(&polls).await?.last().map_or(0, |poll| poll.seq);
    chat.say(question).await?;
    let taken = async || Ok(!chat.telegram.calls(&polls).await?.is_empty());
    install.until("the question is fetched", taken).await?;
    let pending = chat.telegram.backlog().await?.pending;
    ensure!(
        pending.len() == 1,
        "the held poll has something else than the question: {pending:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_bot_killed_at_three_points_answers_every_message_exactly_once() -> Result<()> {
    with_install(Options::named("dead-bot"), async |install| {
        let chat = Chat::open(install, "faults").await?;
        chat.ask("Are you there? [[say First answer.]]", "First answer.")
            .await?;
        for (number, point) in points().into_iter().enumerate() {
            let answer = format!("The answer number {number}.");
            let what = point.what;
            let question = format!("Question {number} [[say {answer}]]");
            kill_bot_at(install, &chat, point, &question, &answer)
                .await
                .context(what)?;
        }
        let last = chat.ask("And now? [[say Last answer.]]", "Last answer.").await?;
        ensure!(last.from_bot);
        for number in 0..3 {
            chat.exactly_once(&format!("The answer number {number}.")).await?;
            let asked = install.model_requests(&format!("Question {number} ")).await?.len();
            ensure!(asked == 1, "question {number} was sent to the model {asked} times");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_bot_killed_while_a_session_streams_goes_on_where_it_was() -> Result<()> {
    with_install(Options::named("dead-stream"), async |install| {
        let chat = Chat::open(install, "stream").await?;
        let asked = chat
            .say("/deep [[slow 40 200]] [[hold rest]] [[say The end of the story.]]")
            .await?;
        chat.answer(asked, "part").await?;
        install.kill_pod(&install.pod_with(BOT).await?).await?;
        install.model_holds("rest").await?;
        install.open_gate("rest").await?;
        chat.answer(asked, "The end of the story.").await?;
        chat.ask("More? [[say No more.]]", "No more.").await?;
        chat.exactly_once("The end of the story.").await
    })
    .await
}

#[tokio::test]
async fn replies_that_are_lost_after_the_call_took_effect_double_no_answer() -> Result<()> {
    with_install(Options::named("lost-reply"), async |install| {
        let chat = Chat::open(install, "lost").await?;
        chat.telegram.fault(&Fault::on("sendMessage", Kind::LostReply)).await?;
        chat.telegram
            .fault(&Fault::on("editMessageText", Kind::LostReply))
            .await?;
        chat.ask("One [[say The one answer.]]", "The one answer.").await?;
        chat.telegram
            .fault(&Fault::on("editMessageText", Kind::TooManyRequests { retry_after: 2 }))
            .await?;
        chat.ask("Two [[say The other answer.]]", "The other answer.").await?;
        chat.exactly_once("The one answer.").await
    })
    .await
}

#[tokio::test]
async fn an_operator_killed_while_a_task_ends_costs_no_answer() -> Result<()> {
    with_install(Options::named("dead-operator"), async |install| {
        let chat = Chat::open(install, "operator").await?;
        let asked = chat
            .say("Slow one [[hold gate]] [[say Answered all the same.]]")
            .await?;
        install.model_holds("gate").await?;
        // The next operator leads only when the Lease of the dead one has run out; the task ends before that.
        install.kill_pod(&install.pod_with(OPERATOR).await?).await?;
        install.open_gate("gate").await?;
        chat.answer(asked, "Answered all the same.").await?;
        chat.exactly_once("Answered all the same.").await?;
        ensure!(install.model_requests("Slow one").await?.len() == 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_session_pod_deleted_mid_turn_answers_the_interrupted_message_exactly_once() -> Result<()> {
    let options = Options::named("dead-pod").with(json!({"agentClass": {"permissions": {"allowedTools": ["Bash"]}}}));
    with_install(options, async |install| {
        let chat = Chat::open(install, "pod").await?;
        let asked = chat.say("/deep Remember bittern [[say Noted.]]").await?;
        chat.answer(asked, "Noted.").await?;
        let asked = chat
            .say("Long work [[bash echo ran >> ran.txt]] [[hold cut]] [[say The long work is over.]]")
            .await?;
        install.model_holds("cut").await?;
        // The new pod tells claude what happened instead of asking again; this is what the model says to that.
        let told = json!({"name": "told", "match": {"user": "ended unexpectedly"}, "steps": [{"text": "The long work is over."}]});
        install.model()?.add_rules(&told).await?;
        install.delete_pod_by_force(&format!("ls-{}-0", chat.topic)).await?;
        install.open_gate("cut").await?;
        install
            .until("the interrupted message has an answer", async || {
                let shown = chat.from_bot().await?;
                Ok(shown
                    .iter()
                    .any(|one| one.message_id > asked && one.text.contains("The long work is over.")))
            })
            .await?;
        let count = chat
            .ask(
                "[[bash wc -l < ran.txt]] [[say The command ran {{last_tool_result}} times.]]",
                "The command ran",
            )
            .await?;
        ensure!(count.text.contains("ran 1"), "{}", count.text);
        chat.ask("What was first? [[recall]]", "bittern").await?;
        chat.exactly_once("The long work is over.").await
    })
    .await
}

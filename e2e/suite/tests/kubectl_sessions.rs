//! PersistentSessions with `kubectl` and the runner's API.

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use longshore_crds::PersistentSession;
use longshore_e2e::install::{Install, Options, with_install};
use longshore_e2e::kinds::{list, session, task, topic};
use longshore_e2e::pods::PodWatch;
use longshore_e2e::runner::Runner;
use longshore_wire::api::{MessageId, PostMessage, Priority};
use longshore_wire::{Event, Record};
use serde_json::json;

fn kubectl_only(name: &'static str) -> Options {
    Options::named(name)
        .with(json!({"bot": {"enabled": false}, "agentClass": {"permissions": {"allowedTools": ["Bash"]}}}))
}

fn message(number: i64, text: &str) -> PostMessage {
    let id = MessageId::from_telegram(-1, number);
    PostMessage {
        id,
        text: text.to_owned(),
        attachments: Vec::new(),
        author: None,
        context: None,
        priority: Priority::Next,
    }
}

/// Texts of the turn that answered this message, joined.
fn answer(records: &[Record], id: MessageId) -> String {
    let turn = records.iter().find_map(|record| match &record.event {
        Event::TurnFinished { turn, message_ids, .. } if message_ids.contains(&id) => Some(*turn),
        _ => None,
    });
    let texts = records.iter().filter_map(|record| match &record.event {
        Event::Text { turn: of, text, .. } if Some(*of) == turn => Some(text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

fn finishes(record: &Record, id: MessageId) -> bool {
    matches!(&record.event, Event::TurnFinished { message_ids, .. } if message_ids.contains(&id))
}

async fn ask(runner: &Runner, number: i64, text: &str) -> Result<String> {
    let message = message(number, text);
    let (code, _) = runner.post(&message).await?;
    ensure!(code == 202, "the message was answered with {code}");
    let records = runner.events(0, |record| finishes(record, message.id)).await?;
    Ok(answer(&records, message.id))
}

async fn pod_uid(install: &Install, pod: &str) -> Result<String> {
    install
        .kubectl(&["get", "pod", pod, "-o", "jsonpath={.metadata.uid}"])
        .await
}

#[tokio::test]
async fn a_session_keeps_one_claude_process_that_remembers_and_ends_on_request() -> Result<()> {
    with_install(kubectl_only("session"), async |install| {
        install
            .apply(&list(vec![
                topic("deep"),
                session("one", "deep", "The build is red, call it crimson [[say ok]]"),
            ]))
            .await?;
        let ready = install.session("one", "Ready", "True").await?;
        let endpoint = ready
            .status
            .and_then(|status| status.endpoint)
            .context("a ready session has an endpoint")?;
        ensure!(endpoint.ends_with(":7411"), "{endpoint}");
        let runner = Runner::open(&install.cluster, &install.namespace, "deep", "ls-deep-0").await?;
        let recalled = ask(&runner, 1, "What did I say first? [[recall]]").await?;
        ensure!(
            recalled.contains("call it crimson"),
            "claude does not remember: {recalled}"
        );
        let before = runner.claude().await?;
        ask(&runner, 2, "And again [[say again]]").await?;
        let runner = Runner::open(&install.cluster, &install.namespace, "deep", "ls-deep-0").await?;
        let after = runner.claude().await?;
        ensure!(after == before, "{before:?} has become {after:?}");

        install.want("one", "Ended").await?;
        let ended = install.session("one", "Ended", "True").await?;
        ensure!(
            ended.status.context("status")?.endpoint.is_none(),
            "an ended session has no endpoint"
        );
        install.gone("pod", "ls-deep-0").await?;
        install.gone("statefulset", "ls-deep").await
    })
    .await
}

#[tokio::test]
async fn a_suspended_session_comes_back_with_its_conversation() -> Result<()> {
    with_install(kubectl_only("suspend"), async |install| {
        install
            .apply(&list(vec![
                topic("deep"),
                session("one", "deep", "The password is swordfish [[say noted]]"),
            ]))
            .await?;
        install.session("one", "Ready", "True").await?;
        let runner = Runner::open(&install.cluster, &install.namespace, "deep", "ls-deep-0").await?;
        ask(&runner, 1, "[[say warm]]").await?;
        install.want("one", "Suspended").await?;
        install.session("one", "Suspended", "True").await?;
        install.gone("pod", "ls-deep-0").await?;
        install.want("one", "Running").await?;
        install.session("one", "Ready", "True").await?;
        let runner = Runner::open(&install.cluster, &install.namespace, "deep", "ls-deep-0").await?;
        let recalled = ask(&runner, 2, "[[recall]]").await?;
        ensure!(recalled.contains("swordfish"), "the conversation is lost: {recalled}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pod_deleted_mid_turn_comes_back_with_the_conversation_and_answers_once() -> Result<()> {
    comes_back_after("mid-turn", async |install, pod| install.delete_pod(pod).await).await
}

/// A forced deletion lets the next pod start while the old one still winds down.
#[tokio::test]
async fn a_pod_deleted_by_force_mid_turn_comes_back_with_the_conversation_and_answers_once() -> Result<()> {
    comes_back_after("forced", async |install, pod| install.delete_pod_by_force(pod).await).await
}

async fn comes_back_after(name: &'static str, end: impl AsyncFn(&Install, &str) -> Result<()>) -> Result<()> {
    with_install(kubectl_only(name), async |install| {
        install
            .apply(&list(vec![
                topic("deep"),
                session("one", "deep", "Remember heron [[say noted]]"),
            ]))
            .await?;
        install.session("one", "Ready", "True").await?;
        let runner = Runner::open(&install.cluster, &install.namespace, "deep", "ls-deep-0").await?;
        let cut = message(7, "Long work [[hold cut]] [[say The long work is done.]]");
        ensure!(runner.post(&cut).await?.0 == 202);
        install.model_holds("cut").await?;
        let old = pod_uid(install, "ls-deep-0").await?;
        end(install, "ls-deep-0").await?;
        install.open_gate("cut").await?;
        install.replaced("ls-deep-0", &old).await?;
        install.session("one", "Ready", "True").await?;
        let runner = Runner::open(&install.cluster, &install.namespace, "deep", "ls-deep-0").await?;
        let records = runner.events(0, |record| finishes(record, cut.id)).await?;
        ensure!(!answer(&records, cut.id).is_empty(), "no answer: {records:?}");
        let recalled = ask(&runner, 8, "[[recall]]").await?;
        ensure!(recalled.contains("heron"), "the conversation is lost: {recalled}");
        let all = runner
            .events(0, |record| finishes(record, MessageId::from_telegram(-1, 8)))
            .await?;
        let finished = all.iter().filter(|record| finishes(record, cut.id)).count();
        ensure!(finished == 1, "the interrupted message was finished {finished} times");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn one_message_id_posted_twenty_times_at_once_is_one_turn() -> Result<()> {
    with_install(kubectl_only("twenty"), async |install| {
        install
            .apply(&list(vec![topic("deep"), session("one", "deep", "[[say hello]]")]))
            .await?;
        install.session("one", "Ready", "True").await?;
        let runner = Runner::open(&install.cluster, &install.namespace, "deep", "ls-deep-0").await?;
        let same = message(5, "only once please [[say once]]");
        let answers = try_join_all((0..20).map(|_| runner.post(&same))).await?;
        let accepted: Vec<_> = answers.iter().filter_map(|(_, accepted)| accepted.clone()).collect();
        ensure!(accepted.len() == 20, "{answers:?}");
        ensure!(
            accepted.iter().all(|one| *one == accepted[0]),
            "different answers: {accepted:?}"
        );
        ask(&runner, 6, "[[say after]]").await?;
        ensure!(install.model_requests("only once please").await?.len() == 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_second_session_of_a_topic_waits_until_the_first_has_ended() -> Result<()> {
    with_install(kubectl_only("busy"), async |install| {
        install.apply(&topic("deep")).await?;
        install
            .apply(&list(vec![
                session("one", "deep", "[[say one]]"),
                session("two", "deep", "[[say two]]"),
            ]))
            .await?;
        install
            .wait_for("two", "TopicBusy or ready", |found: Option<&PersistentSession>| {
                reason(found, "Admitted").is_some_and(|reason| reason == "TopicBusy" || reason == "Admitted")
            })
            .await?;
        let (first, second) = if reason_of(install, "two").await? == "TopicBusy" {
            ("one", "two")
        } else {
            ("two", "one")
        };
        install.session(first, "Ready", "True").await?;
        ensure!(reason_of(install, second).await? == "TopicBusy");
        install
            .kubectl(&["annotate", "ps", first, "longshore.dev/end=over"])
            .await?;
        install.session(first, "Ended", "True").await?;
        install.session(second, "Ready", "True").await?;
        Ok(())
    })
    .await
}

fn reason<'a>(session: Option<&'a PersistentSession>, condition: &str) -> Option<&'a str> {
    let conditions = &session?.status.as_ref()?.conditions;
    conditions
        .iter()
        .find(|entry| entry.type_ == condition)
        .map(|entry| entry.reason.as_str())
}

async fn reason_of(install: &Install, name: &str) -> Result<String> {
    let found = install.api::<PersistentSession>().get(name).await?;
    Ok(reason(Some(&found), "Admitted").unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_task_and_a_session_of_one_topic_never_write_at_once() -> Result<()> {
    with_install(kubectl_only("one-writer"), async |install| {
        let watch = PodWatch::start(install, "longshore.dev/topic=deep").await?;
        install
            .apply(&list(vec![
                topic("deep"),
                task("first", "deep", "[[hold task]] [[say task done]]"),
            ]))
            .await?;
        install.model_holds("task").await?;
        install.apply(&session("one", "deep", "[[say session]]")).await?;
        install
            .wait_for("one", "waiting for the task", |found: Option<&PersistentSession>| {
                reason(found, "Ready") == Some("WaitingForTask")
            })
            .await?;
        install.open_gate("task").await?;
        install.session("one", "Ready", "True").await?;

        install
            .apply(&task("second", "deep", "[[say after the session]]"))
            .await?;
        install
            .wait_for(
                "second",
                "waiting for the session",
                |found: Option<&longshore_crds::ContainerTask>| {
                    let status = found.and_then(|task| task.status.as_ref());
                    status.is_some_and(|status| {
                        status
                            .conditions
                            .iter()
                            .any(|entry| entry.reason == "WaitingForSession")
                    })
                },
            )
            .await?;
        install
            .kubectl(&["annotate", "ps", "one", "longshore.dev/end=over"])
            .await?;
        install.task("second", "Complete", "True").await?;

        let seen = watch.finish().await?;
        ensure!(
            seen.most == 1,
            "{} pods at once could write: {:?}",
            seen.most,
            seen.names
        );
        let saw = |start: &str| seen.names.iter().any(|name| name.starts_with(start));
        ensure!(
            saw("first") && saw("ls-deep-0") && saw("second"),
            "the watch saw {:?}",
            seen.names
        );
        Ok(())
    })
    .await
}

//! Sessions that sleep, wake and end by rule, on the real cluster.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use kube::ResourceExt as _;
use longshore_crds::conditions::types;
use longshore_crds::{PersistentSession, SessionPhase};
use longshore_e2e::audit::{Write, render};
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{Install, Options, with_install};
use longshore_e2e::kinds::{list, session, task, topic};
use serde_json::{Value, json};

/// Waits until a condition is True with this reason.
async fn is(install: &Install, name: &str, condition: &'static str, reason: &'static str) -> Result<PersistentSession> {
    install
        .wait_for(
            name,
            &format!("{condition} by {reason}"),
            move |found: Option<&PersistentSession>| {
                found.and_then(|session| session.status.as_ref()).is_some_and(|status| {
                    let holds = |c: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
                        c.type_ == condition && c.status == "True" && c.reason == reason
                    };
                    status.conditions.iter().any(|c| holds(&c))
                })
            },
        )
        .await
}

#[tokio::test]
async fn an_idle_session_warns_sleeps_and_is_woken_by_the_next_message_with_its_conversation() -> Result<()> {
    let class = json!({"agentClass": {"session": {"idleTimeoutSeconds": 12}, "limits": {"maxActiveSessions": 3}}});
    with_install(Options::named("idle").with(class), async |install| {
        let chat = Chat::open(install, "idle").await?;
        let asked = chat.say("/deep Remember kittiwake [[say Noted.]]").await?;
        chat.answer(asked, "Noted.").await?;
        let name = chat.object(asked);

        // A message after the warning keeps it awake.
        let warned = chat.answer(asked, "goes to sleep").await?;
        chat.ask("Still here [[say I am awake.]]", "I am awake.").await?;
        let awake = install.api::<PersistentSession>().get(&name).await?;
        let phase = awake.status.as_ref().context("status")?.phase;
        ensure!(phase == Some(SessionPhase::Running), "{phase:?}");

        // The deadline has moved with the message; the status says so once, whether it then sleeps or not.
        let before = awake.status.and_then(|status| status.idle_deadline);
        let moved = move |found: Option<&PersistentSession>| {
            found
                .and_then(|session| session.status.as_ref())
                .is_some_and(|status| status.idle_deadline != before)
        };
        install.wait_for(&name, "with a new deadline", moved).await?;
        let quiet = install.count_writes().await?;
        is(install, &name, types::SUSPENDED, "IdleTimeout").await?;
        install.gone("pod", &format!("ls-{}-0", chat.topic)).await?;
        if let Some(quiet) = &quiet {
            install.slots_free().await?;
            let writes = quiet.writes(&install.namespace)?;
            println!("{}", render("going to sleep", &writes));
            ensure!(!writes.is_empty() && writes.len() <= 4, "{} writes", writes.len());
        }
        let looks = chat.from_bot().await?;
        ensure!(
            looks
                .iter()
                .any(|shown| shown.message_id > warned.message_id && shown.text.to_lowercase().contains("sleep")),
            "the topic was not told: {}",
            chat.transcript().await?
        );

        // Looking at everything again, as every new leader does, writes nothing.
        let asleep = install.count_writes().await?;
        install.restart_operator().await?;
        if let Some(asleep) = asleep {
            let writes = asleep.writes(&install.namespace)?;
            let of_longshore: Vec<Write> = writes
                .into_iter()
                .filter(|write| write.account.starts_with("longshore-"))
                .collect();
            println!("{}", render("asleep, with a new leader", &of_longshore));
            ensure!(of_longshore.is_empty());
        }

        let wake = install.count_writes().await?;
        let recalled = chat.ask("What was the first thing? [[recall]]", "kittiwake").await?;
        if let Some(wake) = wake {
            let writes = wake.writes(&install.namespace)?;
            println!("{}", render("waking up", &writes));
            ensure!(!writes.is_empty() && writes.len() <= 5, "{} writes", writes.len());
        }
        ensure!(recalled.text.contains("kittiwake"));
        let again = install.api::<PersistentSession>().get(&name).await?;
        ensure!(
            again
                .status
                .as_ref()
                .and_then(|status| status.observed_wake.as_ref())
                .is_some(),
            "the wake is not marked as seen"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_session_that_ends_in_any_of_six_ways_leaves_its_summary_in_the_workspace() -> Result<()> {
    let values = json!({"bot": {"enabled": false}, "agentClass": {"permissions": {"allowedTools": ["Bash"]}}});
    with_install(Options::named("six-ways").with(values), async |install| {
        let ending = json!({"session": {"idleTimeoutSeconds": 5, "onIdle": "End"}});
        install.another_class("ending", ending).await?;
        let ways: [(&str, Value, &str); 6] = [
            ("wanted", json!({}), "UserEnded"),
            ("annotated", json!({}), "UserEnded"),
            ("deleted", json!({}), "Deleted"),
            ("idle", json!({"agentClassName": "ending"}), "IdleTimeout"),
            ("old", json!({"maxDurationSeconds": 40}), "MaxDuration"),
            ("asleep", json!({"suspendedTtlSeconds": 10}), "SuspendedTooLong"),
        ];
        for (way, extra, _) in &ways {
            let mut made = session(way, way, &format!("Remember the {way} way [[say noted]]"));
            for (key, value) in extra.as_object().into_iter().flatten() {
                made["spec"][key] = value.clone();
            }
            install.apply(&list(vec![topic(way), made])).await?;
        }
        try_join_all(ways.iter().map(|(way, ..)| install.answered_once(way))).await?;
        install.want("wanted", "Ended").await?;
        install
            .kubectl(&["annotate", "ps", "annotated", "longshore.dev/end=enough"])
            .await?;
        install.kubectl(&["delete", "ps", "deleted", "--timeout=120s"]).await?;
        install.want("asleep", "Suspended").await?;
        for (way, _, reason) in &ways {
            if *reason == "Deleted" {
                install.gone("ps", way).await?;
                continue;
            }
            let ended = is(install, way, types::ENDED, reason).await?;
            let status = ended.status.context("status")?;
            let summary = status
                .summary
                .with_context(|| format!("{way} has no summary in its status"))?;
            ensure!(
                summary.text.contains(&format!("the {way} way")),
                "{way}: {}",
                summary.text
            );
        }
        try_join_all(ways.iter().map(|(way, ..)| async move {
            let look = "[[bash cat ../state/summaries/*.md ../state/state.md]] [[say {{last_tool_result}}]]";
            install.apply(&task(&format!("{way}-look"), way, look)).await?;
            let looked = install.task(&format!("{way}-look"), "Complete", "True").await?;
            let text = looked.status.and_then(|status| status.result).context("a result")?.text;
            let found = text.matches(&format!("the {way} way")).count();
            ensure!(found >= 2, "{way}: summary and state file should have it: {text}");
            install.gone("statefulset", &format!("ls-{way}")).await
        }))
        .await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_tool_that_eats_all_memory_is_reported_and_the_conversation_goes_on() -> Result<()> {
    let class = json!({"agentClass": {
        "permissions": {"allowedTools": ["Bash"]},
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "768Mi"}},
    }});
    with_install(Options::named("memory").with(class), async |install| {
        let chat = Chat::open(install, "memory").await?;
        let asked = chat.say("/deep Remember dunlin [[say Noted.]]").await?;
        chat.answer(asked, "Noted.").await?;
        let told =
            json!({"name": "told", "match": {"user": "ended unexpectedly"}, "steps": [{"text": "Then I do without."}]});
        install.model()?.add_rules(&told).await?;
        let hungry = chat
            .say("Eat [[bash python3 -c 'x = bytearray(4 << 30)']] [[say Then I do without.]]")
            .await?;
        chat.answer(hungry, "Then I do without.").await?;
        chat.answer(hungry, "memory").await?;
        let name = chat.object(asked);
        install
            .wait_for(
                &name,
                "MemoryPressure by OutOfMemory",
                |found: Option<&PersistentSession>| {
                    found.and_then(|session| session.status.as_ref()).is_some_and(|status| {
                        status
                            .conditions
                            .iter()
                            .any(|c| c.type_ == types::MEMORY_PRESSURE && c.reason == "OutOfMemory")
                    })
                },
            )
            .await?;
        chat.ask("What was first? [[recall]]", "dunlin").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_full_class_puts_the_longest_idle_session_to_sleep_for_a_new_one() -> Result<()> {
    let values = json!({"bot": {"enabled": false}, "agentClass": {
        "session": {"whenFull": "SuspendIdle"}, "limits": {"maxActiveSessions": 1},
    }});
    with_install(Options::named("full").with(values), async |install| {
        install
            .apply(&list(vec![
                topic("a"),
                topic("b"),
                session("first", "a", "[[say one]]"),
            ]))
            .await?;
        install.answered_once("first").await?;
        install.apply(&session("second", "b", "[[say two]]")).await?;
        is(install, "first", types::SUSPENDED, "SlotReclaimed").await?;
        install.session("second", "Ready", "True").await?;
        // Woken, it waits for its turn and then goes on.
        install
            .kubectl(&["annotate", "ps", "first", "longshore.dev/wake=one"])
            .await?;
        is(install, "second", types::SUSPENDED, "SlotReclaimed").await?;
        let first = install.session("first", "Ready", "True").await?;
        ensure!(first.name_any() == "first");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn who_finds_no_room_is_told_and_who_waits_too_long_is_let_go() -> Result<()> {
    let values = json!({"bot": {"enabled": false}, "agentClass": {
        "limits": {"maxActiveSessions": 1, "maxQueued": 1, "queueTimeoutSeconds": 15},
    }});
    with_install(Options::named("queue").with(values), async |install| {
        let topics = ["a", "b", "c"].map(topic).to_vec();
        install.apply(&list(topics)).await?;
        install.apply(&session("runs", "a", "[[say one]]")).await?;
        install.session("runs", "Ready", "True").await?;
        install.apply(&session("waits", "b", "[[say two]]")).await?;
        install.session("waits", "Admitted", "False").await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        install.apply(&session("late", "c", "[[say three]]")).await?;
        is(install, "late", types::ENDED, "Rejected").await?;
        is(install, "waits", types::ENDED, "QueueTimeout").await?;
        install.session("runs", "Ready", "True").await?;
        Ok(())
    })
    .await
}

/// Makes another class, whose image nobody has, or puts that right again.
async fn with_image(install: &Install, name: &str, there: bool) -> Result<()> {
    let mut over = json!({"session": {"startTimeoutSeconds": 10}});
    if !there {
        over["image"] = json!("example.com/longshore/nowhere:1");
    }
    install.another_class(name, over).await
}

#[tokio::test]
async fn what_cannot_start_is_given_up_in_time_and_what_cannot_come_back_keeps_its_conversation() -> Result<()> {
    with_install(Options::named("late"), async |install| {
        let chat = Chat::open(install, "late").await?;
        let asked = chat.say("/deep Remember razorbill [[say Noted.]]").await?;
        chat.answer(asked, "Noted.").await?;
        let name = chat.object(asked);

        // One that never was Ready ends, and says why.
        with_image(install, "broken", false).await?;
        install.apply(&topic("other")).await?;
        let mut never = session("never", "other", "[[say never]]");
        never["spec"]["agentClassName"] = json!("broken");
        install.apply(&never).await?;
        let ended = is(install, "never", types::ENDED, "Failed").await?;
        let conditions = ended.status.context("status")?.conditions;
        let why = conditions.iter().find(|c| c.type_ == types::ENDED).context("Ended")?;
        ensure!(why.message.contains("ImagePull"), "{}", why.message);

        // One that has a conversation keeps it, and the message that woke it waits.
        let class = install
            .kubectl(&["get", "agentclass", "default", "-o", "jsonpath={.spec.image}"])
            .await?;
        let image =
            |image: Option<&str>| json!({"spec": {"image": image, "session": {"startTimeoutSeconds": 10}}}).to_string();
        let patch = |body: String| async move {
            install
                .kubectl(&["patch", "agentclass", "default", "--type=merge", "-p", &body])
                .await
        };
        install.want(&name, "Suspended").await?;
        is(install, &name, types::SUSPENDED, "Requested").await?;
        patch(image(Some("example.com/longshore/nowhere:1"))).await?;
        install.want(&name, "Running").await?;
        is(install, &name, types::SUSPENDED, "ResumeFailed").await?;
        install.gone("pod", &format!("ls-{}-0", chat.topic)).await?;
        let waits = chat.say("What was the first thing? [[recall]]").await?;
        chat.answer(waits, "could not be brought back").await?;
        patch(image(Some(class.trim()).filter(|image| !image.is_empty()))).await?;
        let wake = install
            .kubectl(&["annotate", "ps", &name, "--overwrite", "longshore.dev/wake=mended"])
            .await?;
        ensure!(wake.contains("annotated"), "{wake}");
        chat.answer(waits, "razorbill").await?;
        chat.exactly_once("razorbill").await
    })
    .await
}

#[tokio::test]
async fn a_limit_of_the_namespace_holds_over_all_classes_and_costs_no_write_more() -> Result<()> {
    let values = json!({
        "bot": {"enabled": false}, "namespaceLimits": {"maxActiveSessions": 2},
        "agentClass": {"limits": {"maxActiveSessions": 2}},
    });
    with_install(Options::named("namespace").with(values), async |install| {
        install.another_class("other", json!({})).await?;
        let topics = ["a", "b", "c"].map(topic).to_vec();
        install.apply(&list(topics)).await?;
        for name in ["a", "b", "c"] {
            install.topic_settled(name).await?;
        }
        let starting = install.count_writes().await?;
        install.apply(&session("first", "a", "[[say one]]")).await?;
        install.session("first", "Ready", "True").await?;
        if let Some(starting) = starting {
            let writes = starting.writes(&install.namespace)?;
            println!("{}", render("starting, with limits of class and namespace", &writes));
            ensure!(!writes.is_empty() && writes.len() <= 6, "{} writes", writes.len());
        }
        let of_other = |name: &str, topic: &str| {
            let mut session = session(name, topic, "[[say other]]");
            session["spec"]["agentClassName"] = json!("other");
            session
        };
        install.apply(&of_other("second", "b")).await?;
        install.session("second", "Ready", "True").await?;
        install.apply(&of_other("third", "c")).await?;
        let waits = install.session("third", "Admitted", "False").await?;
        let place = waits.status.as_ref().and_then(|status| status.queue_position);
        ensure!(place == Some(1), "{place:?}");
        let shown = install.kubectl(&["get", "ac", "namespace", "--no-headers"]).await?;
        ensure!(shown.split_whitespace().take(3).eq(["namespace", "2", "2"]), "{shown}");
        install.want("first", "Ended").await?;
        install.session("third", "Ready", "True").await?;
        Ok(())
    })
    .await
}

//! Commands: what each tells or changes, also over a crash, with a session that sleeps, and pressed late.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use longshore_telegram_emulator::control::BotChange;
use serde_json::{Value, json};
use support::deep::Deep;
use support::runner::Runner;
use support::{PATIENCE, Stage, in_time};

/// What a runner says about itself.
fn status(claude: &Value) -> Value {
    json!({
        "version": "0", "kind": "session", "uid": "00000000-0000-0000-0000-000000000000", "state": "ready",
        "lastActivity": "2026-01-01T00:00:00Z", "busy": ["turnRunning"],
        "memory": {"currentBytes": 1_073_741_824, "peakBytes": 1, "limitBytes": 4_294_967_296_u64},
        "disk": {"freeBytes": 1_000_000, "totalBytes": 10_000_000_000_u64},
        "usage": {"turns": 3, "inputTokens": 1000, "outputTokens": 20, "costUsd": "0.1"},
        "seq": 0, "acked": 0, "restarts": 0, "claude": claude,
    })
}

#[tokio::test]
async fn new_ends_the_session_and_what_follows_goes_to_the_next_one_in_order() {
    let deep = Deep::greeted().await;
    let Deep { stage, thread, .. } = &deep;
    let new = stage.say(*thread, "/new start over").await;
    let next = stage.name(*thread, new);
    stage.marked(&deep.name).await;
    let made = stage.api.wait("persistentsessions", &next, |_| true).await;
    assert_eq!(made["spec"]["prompt"], "start over");
    stage
        .sees(*thread, "The earlier session writes down its outcomes")
        .await;
    let more = stage.say(*thread, "first this").await;
    let last = stage.say(*thread, "then that").await;
    let summary =
        json!({"status": {"summary": {"path": "p", "time": "2026-01-01T00:00:00Z", "text": "- all is well"}}});
    stage.api.merge("persistentsessions", &deep.name, summary);
    stage.end(&deep.name);
    stage.sees(*thread, "all is well").await;
    let (runner, endpoint) = Runner::start().await;
    stage.ready(&next, &runner, &endpoint).await;
    deep_posted(&deep, &runner, last).await;
    let posted = runner.wait("both", |state| state.posted.len() == 2).await.posted;
    let ids = posted.iter().map(|posted| posted.id).collect::<Vec<_>>();
    assert_eq!(ids, [deep.id(more), deep.id(last)]);
    runner.turn(1, &[deep.id(new)], "Starting over.");
    runner.turn(2, &ids, "Both done.");
    stage.sees(*thread, "Starting over.").await;
    stage.sees(*thread, "Both done.").await;
    assert_eq!(stage.stands(*thread, "Starting over.").await, 1);
}

async fn deep_posted(deep: &Deep, runner: &Runner, message: i64) {
    let id = deep.id(message);
    runner
        .wait("the message", |state| state.posted.iter().any(|posted| posted.id == id))
        .await;
}

#[tokio::test]
async fn a_bot_that_is_killed_between_the_two_halves_of_new_does_both_once() {
    let mut deep = Deep::greeted().await;
    let made_before = deep.stage.api.names("persistentsessions").len();
    deep.stage.api.hold(true);
    let new = deep.stage.say(deep.thread, "/new start over").await;
    deep.stage.marked(&deep.name).await;
    deep.stage.kill();
    deep.stage.api.hold(false);
    deep.stage.start();
    let next = deep.stage.name(deep.thread, new);
    deep.stage.api.wait("persistentsessions", &next, |_| true).await;
    deep.stage.end(&deep.name);
    deep.stage.sees(deep.thread, "The session has ended.").await;
    let after = deep.stage.say(deep.thread, "and on").await;
    let (runner, endpoint) = Runner::start().await;
    deep.stage.ready(&next, &runner, &endpoint).await;
    deep_posted(&deep, &runner, after).await;
    assert_eq!(deep.stage.api.names("persistentsessions").len(), made_before + 1);
    assert_eq!(deep.stage.stands(deep.thread, "The session has ended.").await, 1);
}

#[tokio::test]
async fn new_without_a_session_starts_one() {
    let stage = Stage::play().await;
    let thread = stage.topic("Fresh").await;
    let new = stage.say(thread, "/new look around").await;
    let made = stage
        .api
        .wait("persistentsessions", &stage.name(thread, new), |_| true)
        .await;
    assert_eq!(made["spec"]["prompt"], "look around");
}

#[tokio::test]
async fn what_a_sleeping_session_never_took_is_asked_in_a_task_when_another_takes_its_place() {
    let deep = Deep::greeted().await;
    let Deep { stage, thread, .. } = &deep;
    deep.suspended("IdleTimeout", 1);
    stage.sees(*thread, "The session sleeps").await;
    let waiting = stage.say(*thread, "/deep and the tests?").await;
    stage.sees(*thread, "Waking the session up").await;
    let new = stage.say(*thread, "/new start over").await;
    let task = stage
        .api
        .wait("containertasks", &stage.name(*thread, waiting), |_| true)
        .await;
    assert_eq!(task["spec"]["prompt"], "and the tests?");
    stage
        .api
        .wait("persistentsessions", &stage.name(*thread, new), |_| true)
        .await;
    assert_eq!(stage.api.names("persistentsessions").len(), 2);
}

#[tokio::test]
async fn status_says_what_runs_and_answers_also_when_the_runner_does_not() {
    let deep = Deep::greeted().await;
    let Deep {
        stage, thread, runner, ..
    } = &deep;
    let patches = deep.patches();
    stage.say(*thread, "/status").await;
    let silent = stage.sees(*thread, "It does not answer right now").await;
    assert!(silent.text.contains("running."), "{}", silent.text);
    let class = json!({"metadata": {"name": "default"},
        "spec": {"image": "i", "session": {"onIdle": "Suspend", "idleTimeoutSeconds": 600}}});
    stage.api.add("agentclasses", "AgentClass", class);
    let claude = json!({"model": "opus", "permissionMode": "default",
        "turnSince": "2026-01-01T00:00:00Z",
        "running": [{"name": "Bash", "summary": "make test", "since": "2026-01-01T00:00:00Z"}]});
    runner.change(|state| state.status = Some(status(&claude)));
    stage.say(*thread, "/status@longshore_bot").await;
    stage.say(*thread, "/status").await;
    let told = stage.sees(*thread, "• Bash: make test, for ").await.text;
    for piece in [
        "Deep (topic tg-",
        "It is working, since 00:00 UTC (",
        "Model: opus.",
        "Mode: ask – claude asks before",
        "Memory: 1 GiB of 4 GiB (25 %).",
        "Disk: only 976 KiB of 9.3 GiB are free",
        "So far: 3 turns, 1,000 tokens in and 20 out, $0.1.",
    ] {
        assert!(told.contains(piece), "no {piece:?} in {told}");
    }
    let mut idle = status(&claude);
    idle["busy"] = json!([]);
    idle["lastActivity"] = json!(jiff::Timestamp::now());
    runner.change(|state| state.status = Some(idle));
    stage.say(*thread, "/status").await;
    stage.sees(*thread, "If nothing happens it goes to sleep at ").await;
    deep.suspended("IdleTimeout", 1);
    stage.sees(*thread, "The session sleeps").await;
    stage.say(*thread, "/status").await;
    stage.sees(*thread, ": suspended.").await;
    assert_eq!(deep.patches(), patches, "a session is not woken to say how it is");
    assert_eq!(deep.wish(), Value::Null);
}

#[tokio::test]
async fn a_model_is_chosen_by_name_or_by_button_and_a_refusal_is_told() {
    let deep = Deep::greeted().await;
    let Deep {
        stage, thread, runner, ..
    } = &deep;
    let claude =
        json!({"model": "opus", "models": [{"value": "opus", "name": "Opus"}, {"value": "haiku", "name": "Haiku"}]});
    runner.change(|state| state.status = Some(status(&claude)));
    stage.say(*thread, "/model sonnet").await;
    stage
        .sees(*thread, "The session uses the model sonnet from now on (Ada).")
        .await;
    stage.say(*thread, "/model no-such-model").await;
    let refused = stage
        .sees(*thread, "claude does not take the model no-such-model")
        .await;
    assert!(
        refused.text.contains("an issue with the selected model"),
        "{}",
        refused.text
    );
    stage.say(*thread, "/model").await;
    let menu = stage.sees(*thread, "The session uses the model opus.").await;
    assert_eq!(menu.buttons, [["✓ Opus"], ["Haiku"]]);
    let eve = stage.people.user("Eve").await.unwrap().id;
    assert!(
        stage
            .press(menu.message_id, eve, "Haiku")
            .await
            .contains("not on the list")
    );
    // Two presses at once: the first that is heard counts.
    let pressed = async |label: &str| {
        let press = stage.people.press(stage.forum, menu.message_id, stage.ada, label);
        press.await.unwrap().id
    };
    let mut both = Vec::new();
    for id in [pressed("Haiku").await, pressed("✓ Opus").await] {
        let answered = stage.people.callback(&id, PATIENCE).await.unwrap();
        both.push(answered.answer.unwrap_or_default().text);
    }
    assert!(both.iter().any(|said| said.contains("from now on (Ada)")), "{both:?}");
    assert!(both.iter().any(|said| said.contains("used already")), "{both:?}");
    let shown = stage.sees(*thread, " from now on (Ada).").await;
    assert_ne!(shown.message_id, menu.message_id, "that of /model sonnet");
    let taken = runner.wait("both", |state| state.settings.len() == 2).await.settings;
    assert_eq!(taken[0].model.as_deref(), Some("sonnet"));
    let chosen = taken[1].model.as_deref().unwrap();
    let said = format!("The session uses the model {chosen} from now on (Ada).");
    let shown = stage.sees(*thread, &said).await;
    assert_eq!(shown.message_id, menu.message_id);
    assert!(shown.buttons.is_empty(), "{:?}", shown.buttons);
}

#[tokio::test]
async fn the_mode_is_changed_in_words_and_only_approvers_let_claude_do_more() {
    let deep = Deep::greeted().await;
    let Deep {
        stage, thread, runner, ..
    } = &deep;
    let bob = stage.people.user("Bob").await.unwrap().id;
    let spec = json!({"access": {"users": [{"id": bob, "role": "User"}]}});
    let policy = json!({"metadata": {"name": "team"}, "spec": spec});
    stage.api.add("routingpolicies", "RoutingPolicy", policy);
    runner.change(|state| state.status = Some(status(&json!({"permissionMode": "default"}))));
    // Until the policy is seen, Bob gets no answer at all.
    support::in_time("an answer for Bob", async {
        while stage.stands(*thread, "The session is in this mode: ask").await == 0 {
            stage
                .people
                .say(stage.forum, Some(*thread), bob, "/mode")
                .await
                .unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    })
    .await;
    let menu = stage.sees(*thread, "The session is in this mode: ask").await;
    assert_eq!(menu.buttons, [["✓ ask"], ["edits"], ["plan"], ["dontask"]]);
    assert!(
        stage
            .press(menu.message_id, bob, "edits")
            .await
            .contains("Only approvers")
    );
    assert!(
        stage
            .press(menu.message_id, stage.ada, "edits")
            .await
            .contains("changes files without asking")
    );
    stage
        .people
        .say(stage.forum, Some(*thread), bob, "/mode accept edits")
        .await
        .unwrap();
    stage.sees(*thread, "Only approvers may let claude change files").await;
    stage
        .people
        .say(stage.forum, Some(*thread), bob, "/mode plan")
        .await
        .unwrap();
    stage
        .sees(
            *thread,
            "From now on claude reads and makes plans, and changes nothing (Bob).",
        )
        .await;
    stage.say(*thread, "/mode yolo").await;
    stage.sees(*thread, "There is no such mode").await;
    let taken = runner.wait("both", |state| state.settings.len() == 2).await.settings;
    let modes = taken
        .iter()
        .map(|settings| settings.permission_mode.as_deref())
        .collect::<Vec<_>>();
    assert_eq!(modes, [Some("acceptEdits"), Some("plan")]);
}

#[tokio::test]
async fn what_is_chosen_for_a_session_that_sleeps_is_there_before_its_next_message() {
    let mut deep = Deep::greeted().await;
    deep.suspended("IdleTimeout", 1);
    deep.stage.sees(deep.thread, "The session sleeps").await;
    deep.stage.say(deep.thread, "/model haiku").await;
    deep.stage
        .sees(deep.thread, "Model haiku: kept; the session sleeps")
        .await;
    deep.stage.say(deep.thread, "/mode plan").await;
    deep.stage.sees(deep.thread, "Mode plan: kept").await;
    assert_eq!(deep.wish(), Value::Null, "a setting wakes nobody");
    deep.stage.kill();
    deep.stage.start();
    let message = deep.stage.say(deep.thread, "go on").await;
    deep.wished(message).await;
    deep.runner.change(|state| state.unset = 2);
    deep.woken();
    deep.back();
    deep.posted(message).await;
    let state = deep.runner.wait("both", |_| true).await;
    assert_eq!(state.settings.len(), 2, "before the message");
    assert_eq!(state.settings[0].model.as_deref(), Some("haiku"));
    assert_eq!(state.settings[1].permission_mode.as_deref(), Some("plan"));
    deep.stage
        .sees(deep.thread, "The session uses the model haiku from now on (Ada).")
        .await;
}

#[tokio::test]
async fn a_model_that_a_woken_session_refuses_is_told_aside() {
    let deep = Deep::greeted().await;
    let Deep { stage, thread, .. } = &deep;
    deep.suspended("IdleTimeout", 1);
    stage.sees(*thread, "The session sleeps").await;
    stage.say(*thread, "/model no-such-model").await;
    stage.sees(*thread, "Model no-such-model: kept").await;
    let message = stage.say(*thread, "go on").await;
    deep.wished(message).await;
    deep.woken();
    deep.back();
    deep.posted(message).await;
    stage
        .sees_times(*thread, "claude does not take the model no-such-model", 2)
        .await;
}

#[tokio::test]
async fn usage_sums_the_topic_exactly() {
    let deep = Deep::greeted().await;
    let Deep {
        stage, thread, runner, ..
    } = &deep;
    runner.change(|state| state.status = Some(status(&json!({}))));
    let usage = json!({"turns": 2, "inputTokens": 500, "outputTokens": 5, "costUsd": "0.2"});
    let spec = json!({"topicRef": {"name": stage.topic_name(*thread)}, "prompt": "p"});
    let metadata = json!({"name": "other", "creationTimestamp": "2020-01-01T00:00:00Z"});
    let task = json!({"metadata": metadata, "spec": spec, "status": {"usage": usage}});
    stage.api.add("containertasks", "ContainerTask", task);
    support::in_time("the sum", async {
        while stage
            .stands(*thread, "5 turns, 1,500 tokens in and 25 out, $0.3.")
            .await
            == 0
        {
            stage.say(*thread, "/usage").await;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    })
    .await;
    let told = stage
        .sees(*thread, "All that is still known of this topic: 5 turns")
        .await
        .text;
    assert!(told.contains(": 3 turns, 1,000 tokens in and 20 out, $0.1."), "{told}");
}

#[tokio::test]
async fn history_tells_who_asked_what_and_how_it_was_answered() {
    let deep = Deep::greeted().await;
    let Deep {
        stage, thread, runner, ..
    } = &deep;
    let second = stage.say(*thread, "and the tests?").await;
    deep.posted(second).await;
    stage.say(*thread, "/history").await;
    let told = stage.sees(*thread, "Ada: fix the build").await.text;
    assert!(told.contains("→ Fixed."), "{told}");
    assert!(told.contains("Ada: and the tests?\n→ (not answered yet)"), "{told}");
    runner.turn(2, &[deep.id(second)], "They pass.");
    stage.sees(*thread, "They pass.").await;
    stage.say(*thread, "/history 1").await;
    let last = stage.sees(*thread, "→ They pass.").await.text;
    assert!(!last.contains("fix the build"), "{last}");
    let empty = stage.topic("Empty").await;
    stage.say(empty, "/history").await;
    stage.sees(empty, "Nothing has been asked here yet.").await;
}

#[tokio::test]
async fn stop_all_drops_what_waits_and_stop_reaches_a_task_that_nobody_wrote() {
    let deep = Deep::greeted().await;
    let Deep {
        stage, thread, runner, ..
    } = &deep;
    stage.say(*thread, "/stop").await;
    runner.wait("the interruption", |state| state.interrupts == 1).await;
    stage.say(*thread, "/stop all").await;
    stage.sees(*thread, "What waited is dropped").await;
    let state = runner.wait("the other", |state| state.interrupts == 2).await;
    assert_eq!(state.dropped, 1);
    let other = stage.topic("Scheduled").await;
    let asked = stage.say(other, "anything new?").await;
    let task = stage.name(other, asked);
    stage.complete(&task, "No.").await;
    stage.sees(other, "No.").await;
    let (worker, endpoint) = Runner::start().await;
    let topic = stage.api.get("topics", &stage.topic_name(other)).unwrap();
    worker.let_in(topic["metadata"]["uid"].as_str().unwrap());
    let spec = json!({"topicRef": {"name": stage.topic_name(other)}, "prompt": "watch"});
    let status = json!({"phase": "Running", "endpoint": endpoint});
    let task = json!({"metadata": {"name": "nightly-1"}, "spec": spec, "status": status});
    stage.api.add("containertasks", "ContainerTask", task);
    support::in_time("the task is stopped", async {
        while stage.stands(other, "Stopping.").await == 0 {
            stage.say(other, "/stop").await;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    })
    .await;
    assert!(worker.wait("the interruption", |_| true).await.interrupts >= 1);
}

#[tokio::test]
async fn help_lists_all_and_the_menu_has_all_and_a_slip_is_understood() {
    let stage = Stage::play().await;
    let thread = stage.topic("Help").await;
    stage.say(thread, "/help").await;
    let help = stage.sees(thread, "/help – ").await.text;
    stage.say(thread, "/statsu").await;
    stage.sees(thread, "Did you mean /status?").await;
    let own = longshore_routing::COMMANDS.map(|(_, name, _)| name);
    for name in own {
        assert!(help.contains(&format!("/{name} – ")), "{name} in {help}");
    }
    menu(&stage, &own).await;
    // Those of policies are there as long as the policies are.
    let rule = json!({"name": "review", "match": {"commands": ["review"]}, "action": {"mode": "Task"}});
    let policy = json!({"metadata": {"name": "team"}, "spec": {"rules": [rule]}});
    stage.api.add("routingpolicies", "RoutingPolicy", policy);
    menu(&stage, &[&own[..], &["review"]].concat()).await;
    stage.api.delete("routingpolicies", "team");
    menu(&stage, &own).await;
}

/// Waits until Telegram offers these commands.
async fn menu(stage: &Stage, wanted: &[&str]) {
    in_time(&format!("the menu {wanted:?}"), async {
        loop {
            let menus = stage.people.overview().await.unwrap().commands;
            let commands = menus.values().filter_map(Value::as_array).flatten();
            let names = commands.map(|command| command["command"].as_str().unwrap());
            if names.eq(wanted.iter().copied()) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn every_topic_of_a_private_chat_has_a_workspace_and_a_session_of_its_own() {
    let stage = Stage::play().await;
    let with_topics = BotChange {
        has_topics_enabled: Some(true),
        ..BotChange::default()
    };
    stage.people.change_bot(&with_topics).await.unwrap();
    let ada = stage.ada;
    let mut sessions = Vec::new();
    for name in ["Taxes", "Garden"] {
        let thread = stage.people.topic(ada, ada, name).await.unwrap();
        let asked = stage
            .people
            .say(ada, Some(thread), ada, &format!("/deep plan the {name}"))
            .await
            .unwrap();
        let topic = longshore_crds::names::telegram_topic(ada, Some(thread));
        let session = longshore_crds::names::for_message(&topic, asked);
        let made = stage.api.wait("persistentsessions", &session, |_| true).await;
        assert_eq!(made["spec"]["origin"]["telegram"]["threadId"], thread);
        let bound = stage.api.get("topics", &topic).unwrap();
        assert_eq!(bound["spec"]["telegram"], json!({"chatId": ada, "threadId": thread}));
        sessions.push((thread, session));
    }
    for (thread, session) in sessions {
        stage.people.say(ada, Some(thread), ada, "/status").await.unwrap();
        let expected = format!("Session {session}: starting.");
        let shown = stage.people.wait_for(ada, Some(thread), 0, &expected, PATIENCE).await;
        shown.unwrap_or_else(|error| panic!("{error}\n{}", stage.log()));
    }
}

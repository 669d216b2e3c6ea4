//! The table of decisions on a real cluster: policies by `kubectl apply`, messages by updates of Telegram's, and what the bot and
//! `kubectl longshore explain` say of each.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use longshore_e2e::install::{Install, Options, with_install};
use longshore_e2e::plugin::Plugin;
use longshore_routing::{Explanation, Message, Mode, PolicySource, Router, Situation, TopicState};
use longshore_telegram_emulator::control::{NewChat, NewUser};
use longshore_telegram_emulator::world::ChatKind;
use serde_json::{Value, json};

#[path = "../../../routing/cases/mod.rs"]
#[allow(dead_code, clippy::panic, reason = "other tests need the rest")]
mod cases;

/// Cases that must come out on the cluster as they stand in the table.
const LEAST: usize = 40;

/// A message in a forum topic of its own, so that no case sees the session of another.
struct Sent<'a> {
    case: &'a cases::Case,
    thread: i64,
}

/// Cases that need nothing but a message: no session, no task, no other time.
fn plain(table: &cases::Table) -> Vec<&cases::Case> {
    let plain = |case: &&cases::Case| {
        let noon = Timestamp::from_second(1_795_435_200).is_ok_and(|noon| case.at == noon);
        case.session.is_none()
            && case.let_in_by.is_none()
            && !case.task
            && !case.no_topic
            && noon
            && case.text.is_some()
    };
    table.cases.iter().filter(plain).collect()
}

/// Applies what the API server takes, and returns what it has then.
async fn apply_policies(install: &Install, table: &cases::Table) -> Result<Vec<PolicySource>> {
    let mut stored = Vec::new();
    for policy in &table.policies {
        let mut manifest = policy.clone();
        manifest["apiVersion"] = json!("longshore.dev/v1alpha1");
        manifest["kind"] = json!("RoutingPolicy");
        // Admission refuses what could not be read; the bot then never sees it.
        if install.apply(&manifest).await.is_err() {
            continue;
        }
        let name = policy["metadata"]["name"].as_str().context("name")?;
        let read = install.kubectl(&["get", "rp", name, "-o", "json"]).await?;
        let read: Value = serde_json::from_str(&read)?;
        stored.push(PolicySource {
            name: name.to_owned(),
            spec: read["spec"].clone(),
        });
    }
    Ok(stored)
}

/// What the library makes of a case in this thread.
fn by_library(router: &Router, sent: &Sent<'_>, at: Timestamp) -> Explanation {
    let situation = Situation {
        topic: TopicState::Bound("build".to_owned()),
        session: None,
        task: None,
        guest: None,
    };
    let message = Message {
        user: sent.case.user,
        chat: sent.case.chat,
        thread: Some(sent.thread),
        content: Ok(sent.case.text.as_deref().unwrap_or_default()),
        file: sent.case.file,
    };
    router.decide(&situation, &message, at)
}

/// What the bot has decided by its log: mode and reason, by thread.
async fn by_bot(install: &Install) -> Result<BTreeMap<i64, (String, String)>> {
    let log = install
        .kubectl(&["logs", "-l", "app.kubernetes.io/component=bot", "--tail=-1"])
        .await?;
    let mut decisions = BTreeMap::new();
    for line in log.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let fields = &line["fields"];
        let said = |field: &str| fields[field].as_str().map(str::to_owned);
        if fields["message"] == "decided"
            && let (Some(thread), Some(mode), Some(reason)) = (fields["thread"].as_i64(), said("mode"), said("reason"))
        {
            decisions.insert(thread, (mode, reason));
        }
    }
    Ok(decisions)
}

async fn send(install: &Install, telegram: &longshore_telegram_emulator::Client, sent: &Sent<'_>) -> Result<()> {
    let mut update = json!({"message": {
        "message_id": sent.thread, "message_thread_id": sent.thread, "is_topic_message": true, "date": Timestamp::now().as_second(),
        "chat": {"id": sent.case.chat, "type": "supergroup", "title": "Cases", "is_forum": true},
        "from": {"id": sent.case.user, "is_bot": false, "first_name": "Somebody"},
    }});
    let (text, file) = (&sent.case.text, sent.case.file);
    update["message"][if file { "caption" } else { "text" }] = json!(text);
    if file {
        update["message"]["document"] = json!({"file_id": "nowhere", "file_name": "log.txt"});
    }
    telegram
        .inject(&update)
        .await
        .with_context(|| format!("in {}", install.namespace))?;
    Ok(())
}

/// Plays the plain cases of one table. How many there were, and how many came out just as they stand there.
async fn play(install: &Install, table: &cases::Table) -> Result<(usize, usize)> {
    let telegram = longshore_telegram_emulator::Client::new(&install.telegram_url()?);
    let cases = plain(table);
    for case in &cases {
        // Some are there already.
        let user = NewUser {
            id: Some(case.user),
            first_name: "Somebody".to_owned(),
            username: None,
        };
        let _ = telegram.add_user(&user).await;
        let chat = NewChat {
            id: Some(case.chat),
            kind: ChatKind::Supergroup,
            title: "Cases".to_owned(),
            creator: None,
        };
        let _ = telegram.add_chat(&chat).await;
    }
    let stored = apply_policies(install, table).await?;
    let router = Router::compile(cases::settings(table), &stored);
    let all_in_force = format!("\"policies\":{}", stored.len());
    install
        .until("the policies are in force", async || {
            let log = install
                .kubectl(&["logs", "-l", "app.kubernetes.io/component=bot", "--tail=-1"])
                .await?;
            let last = log.lines().rfind(|line| line.contains("RoutingPolicies are in force"));
            Ok(stored.is_empty() || last.is_some_and(|last| last.contains(&all_in_force)))
        })
        .await?;
    let sent: Vec<Sent<'_>> = cases
        .iter()
        .zip(1001..)
        .map(|(case, thread)| Sent {
            case,
            thread: case.thread.unwrap_or(thread),
        })
        .collect();
    let (mut as_in_table, mut expected) = (0, BTreeMap::new());
    for one in &sent {
        // Two of one forum topic would meet.
        if expected.contains_key(&one.thread) {
            continue;
        }
        let explained = by_library(&router, one, Timestamp::now());
        as_in_table += usize::from(one.case.expect.differs(&explained).is_none());
        check_explain(install, table, one, &explained).await?;
        send(install, &telegram, one).await?;
        expected.insert(one.thread, explained);
    }
    let told = |explained: &Explanation| explained.decision.mode != Mode::Ignore || explained.rule.is_some();
    let told = expected.iter().filter(|(_, explained)| told(explained));
    let told: BTreeMap<i64, (String, String)> = told
        .map(|(thread, explained)| {
            let decision = &explained.decision;
            (*thread, (decision.mode.in_words().to_string(), decision.reason.clone()))
        })
        .collect();
    install
        .until("the bot has decided about all", async || {
            Ok(by_bot(install).await?.len() >= told.len())
        })
        .await?;
    let found = by_bot(install).await?;
    for (thread, wanted) in &told {
        ensure!(
            found.get(thread) == Some(wanted),
            "thread {thread}: {:?}, not {wanted:?}",
            found.get(thread)
        );
    }
    ensure!(found.len() == told.len(), "{found:#?}");
    Ok((expected.len(), as_in_table))
}

/// `kubectl longshore explain` reads the policies of the cluster, and says the same.
async fn check_explain(install: &Install, table: &cases::Table, sent: &Sent<'_>, wanted: &Explanation) -> Result<()> {
    let ids = table
        .allowed_users
        .iter()
        .map(i64::to_string)
        .collect::<Vec<_>>()
        .join(",");
    let with_file = sent.case.file.then(|| "--with-file".to_owned());
    let args = [
        "explain".to_owned(),
        format!("--chat={}", sent.case.chat),
        format!("--thread={}", sent.thread),
        format!("--user={}", sent.case.user),
        format!("--allowed-users={ids}"),
        "--bot-username=longshore_bot".to_owned(),
        "--json".to_owned(),
        "--".to_owned(),
        sent.case.text.clone().unwrap_or_default(),
    ];
    let (command, rest) = args.split_at(1);
    let args = command.iter().chain(&with_file).chain(rest);
    let args: Vec<&str> = args.map(String::as_str).collect();
    let said = Plugin::of(install).ok(&args, "").await?;
    let said: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
    ensure!(
        said["decision"]["reason"] == wanted.decision.reason.as_str(),
        "{said} is not {wanted:?}"
    );
    Ok(())
}

#[tokio::test]
async fn the_bot_and_explain_decide_on_the_cluster_as_the_table_has_it() -> Result<()> {
    let mut count = 0;
    for (path, table) in cases::tables() {
        let name: &'static str = match path.file_stem().and_then(|stem| stem.to_str()) {
            Some("rules") => "cases-rules",
            Some("heuristics") => "cases-heuristics",
            Some("no-policy") => "cases-none",
            Some("access") => "cases-access",
            Some("offer") => "cases-offer",
            Some("files") => "cases-files",
            _ => continue,
        };
        // Nothing shall run: what is decided is all that counts.
        let values = json!({"agentClass": {"create": false}, "telegram": {"allowedUsers": table.allowed_users}});
        with_install(Options::named(name).with(values), async |install| {
            let (sent, as_in_table) = play(install, &table).await?;
            println!("{}: {sent} messages, {as_in_table} as in the table", table.about);
            count += as_in_table;
            Ok(())
        })
        .await?;
    }
    println!("{count} cases came out on the cluster as they stand in the table");
    ensure!(count >= LEAST, "only {count}");
    Ok(())
}

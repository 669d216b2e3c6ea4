//! `explain` says what the bot's router says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

#[path = "../../routing/cases/mod.rs"]
#[allow(dead_code, reason = "the expectations are checked where the router is")]
mod cases;

use clap::Parser;
use kubectl_longshore::args::{Cli, Command};
use kubectl_longshore::explain;
use serde_json::json;

async fn run(args: &[String]) -> String {
    let cli = Cli::try_parse_from(["kubectl-longshore", "explain"].map(str::to_owned).iter().chain(args));
    let Command::Explain(wanted) = cli.unwrap_or_else(|error| panic!("{error}")).command else {
        panic!("another command")
    };
    let mut out = Vec::new();
    explain::run(None, &wanted, &mut out).await.unwrap();
    String::from_utf8(out).unwrap()
}

/// The case as a person would say it on the command line.
fn args(table: &cases::Table, case: &cases::Case, file: Option<&str>) -> Vec<String> {
    let ids = table
        .allowed_users
        .iter()
        .map(i64::to_string)
        .collect::<Vec<_>>()
        .join(",");
    let mut args = vec![
        format!("--chat={}", case.chat),
        format!("--user={}", case.user),
        format!("--at={}", case.at),
        "--bot-username=longshore_bot".to_owned(),
    ];
    if !ids.is_empty() {
        args.push(format!("--allowed-users={ids}"));
    }
    args.extend(case.thread.map(|thread| format!("--thread={thread}")));
    args.extend(file.map(|file| format!("--file={file}")));
    if let Some(session) = case.session {
        args.push("--session=build-7".to_owned());
        match session {
            cases::SessionState::Awake => {}
            cases::SessionState::Asleep => args.push("--asleep".to_owned()),
            cases::SessionState::Asking => args.push("--asking".to_owned()),
        }
    }
    if case.task {
        args.push("--task=build-6".to_owned());
    }
    args.extend(case.let_in_by.map(|by| format!("--let-in-by={by}")));
    if case.no_topic {
        args.push("--no-topic".to_owned());
    }
    if case.file {
        args.push("--with-file".to_owned());
    }
    match &case.attachment {
        Some(kind) => args.push(format!("--attachment={kind}")),
        None => args.push(case.text.clone().unwrap()),
    }
    args
}

#[tokio::test]
async fn explain_says_what_the_router_says_in_every_case() {
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for (path, table) in cases::tables() {
        let file = folder.path().join(path.file_name().unwrap());
        let manifests = table.policies.iter().map(|policy| {
            let mut manifest = policy.clone();
            manifest["kind"] = json!("RoutingPolicy");
            format!("---\n{manifest}\n")
        });
        std::fs::write(&file, manifests.collect::<String>()).unwrap();
        let file = (!table.policies.is_empty()).then(|| file.to_str().unwrap());
        let router = table.router();
        for case in &table.cases {
            count += 1;
            let mut args = args(&table, case, file);
            let expected = case.explanation(&router);
            let told = run(&args).await;
            assert!(told.contains(&expected.decision.reason), "{case:?}: {told}");
            let wish = expected
                .escalation
                .iter()
                .all(|wish| told.contains(&format!("And {wish}.\n")));
            assert!(wish, "{case:?}: {told}");
            for passed in &expected.passed {
                assert!(
                    told.contains(&format!("  {}: {}\n", passed.step, passed.why)),
                    "{case:?}: {told}"
                );
            }
            args.insert(0, "--json".to_owned());
            let found = serde_json::from_str::<serde_json::Value>(&run(&args).await).unwrap();
            assert_eq!(found, serde_json::to_value(&expected).unwrap(), "{case:?}");
        }
    }
    assert!(count >= 60, "only {count} cases");
}

#[tokio::test]
async fn a_broken_file_is_told_in_a_sentence_and_a_broken_rule_in_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    let args = || {
        [
            format!("--file={}", file.display()),
            "--chat=-1".into(),
            "--user=5".into(),
            "deploy".into(),
        ]
    };
    let refused = async || {
        let cli = Cli::try_parse_from(
            ["kubectl-longshore", "explain"]
                .map(str::to_owned)
                .iter()
                .chain(&args()),
        );
        let Command::Explain(wanted) = cli.unwrap().command else {
            panic!("another command")
        };
        explain::run(None, &wanted, &mut Vec::new())
            .await
            .unwrap_err()
            .to_string()
    };
    assert!(refused().await.contains("policy.yaml: No such file"));
    std::fs::write(&file, "kind: Topic\n").unwrap();
    assert!(refused().await.contains("there is no RoutingPolicy in it"));
    let policy = "kind: RoutingPolicy\nmetadata: {name: team}\nspec:\n  access: {users: [{id: 5}]}\n  rules:\n  \
        - {name: bad, match: {regex: '('}, action: {mode: Deny}}\n  - {name: all, action: {mode: Session}}\n";
    std::fs::write(&file, policy).unwrap();
    let told = run(&args()).await;
    assert!(
        told.starts_with("Decision  a new session\nBecause   rule all of policy team: it matches every message\n"),
        "{told}"
    );
    assert!(
        told.contains("rule bad of policy team: it is skipped, since match.regex cannot be read"),
        "{told}"
    );
    assert!(
        told.contains("\nNot right:\n  policy team: rule bad: match.regex cannot be read"),
        "{told}"
    );
}

#[tokio::test]
async fn explain_says_by_which_template_a_topic_would_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    let policy = json!({ "kind": "RoutingPolicy", "metadata": { "name": "team" }, "spec": { "topicTemplates": [
        { "name": "shop", "match": { "chats": [-100], "threads": [7] }, "topic": { "agentClassName": "large" } }] } });
    std::fs::write(&file, policy.to_string()).unwrap();
    let explain = async |more: &[&str]| {
        let file = format!("--file={}", file.display());
        let mut args = vec!["--chat=-100", "--user=5", "--allowed-users=5", &file, "hello"];
        args.extend(more);
        run(&args.into_iter().map(str::to_owned).collect::<Vec<_>>()).await
    };
    let by = "Topic     tg-100g-7 is made, by template shop of policy team";
    let told = explain(&["--thread=7", "--new-topic"]).await;
    assert!(told.contains(by), "{told}");
    let told = explain(&["--thread=7"]).await;
    assert!(
        !told.contains("is made"),
        "a Topic that is there stays as it is: {told}"
    );
    let told = explain(&["--thread=8", "--new-topic"]).await;
    assert!(told.contains("tg-100g-8 is made, by the bot's own settings"), "{told}");
    let told: serde_json::Value =
        serde_json::from_str(&explain(&["--thread=7", "--new-topic", "--json"]).await).unwrap();
    assert_eq!(told["new_topic"]["template"]["template"], "shop");
}

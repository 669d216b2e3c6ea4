//! `kubectl longshore` on a real cluster: through the API server to the agent, with a person's own rights.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use longshore_e2e::install::{Install, Options, with_install};
use longshore_e2e::kinds::{list, session, topic};
use longshore_e2e::plugin::Plugin;
use serde_json::{Value, json};

fn kubectl_only(name: &'static str) -> Options {
    Options::named(name).with(json!({"bot": {"enabled": false}}))
}

async fn with_session(name: &'static str, test: impl AsyncFnOnce(&Install, Plugin<'_>) -> Result<()>) -> Result<()> {
    with_install(kubectl_only(name), async |install| {
        install
            .apply(&list(vec![
                topic("deep"),
                session("one", "deep", "Remember heron [[say noted]]"),
            ]))
            .await?;
        install.session("one", "Ready", "True").await?;
        test(install, Plugin::of(install)).await
    })
    .await
}

#[tokio::test]
async fn a_session_is_talked_to_read_suspended_woken_and_ended_from_a_terminal() -> Result<()> {
    with_session("plugin", async |install, plugin| {
        let said = plugin
            .ok(
                &["chat", "deep"],
                "What was it? [[recall]]\nand more [[say the second answer]]\n",
            )
            .await?;
        ensure!(
            said.contains("heron") && said.ends_with("the second answer\n"),
            "{said}"
        );
        let table = plugin.ok(&["status"], "").await?;
        ensure!(
            table.contains("Running") && table.contains("ls-deep-0") && table.contains('$'),
            "{table}"
        );
        let detail = plugin.ok(&["status", "deep"], "").await?;
        ensure!(
            detail.contains("Agent     Ready") && detail.contains("turns"),
            "{detail}"
        );
        let journal = plugin.ok(&["logs", "deep"], "").await?;
        ensure!(
            journal.contains("first message: Remember heron") && journal.contains("claude: noted"),
            "{journal}"
        );

        let suspended = plugin.ok(&["suspend", "deep"], "").await?;
        ensure!(suspended.contains("one Suspended"), "{suspended}");
        install.gone("pod", "ls-deep-0").await?;
        let journal = plugin.ok(&["logs", "deep"], "").await?;
        ensure!(journal.contains("No pod of one runs"), "{journal}");

        let woken = plugin.run(&["chat", "deep"], "Still there? [[recall]]\n").await?;
        ensure!(woken.code == Some(0) && woken.out.contains("heron"), "{woken:?}");
        ensure!(
            woken.err.contains("one Running"),
            "the wake-up is told beside the answer: {woken:?}"
        );

        plugin.ok(&["suspend", "deep", "--wait=false"], "").await?;
        let resumed = plugin.ok(&["resume", "deep"], "").await?;
        ensure!(resumed.contains("one Running"), "{resumed}");

        let ended = plugin.ok(&["end", "deep"], "").await?;
        ensure!(ended.contains("one Ended"), "{ended}");
        let late = plugin.run(&["chat", "deep"], "anybody?\n").await?;
        ensure!(
            late.code == Some(1) && late.err.contains("has no session (one has ended)"),
            "{late:?}"
        );
        let late = plugin.run(&["resume", "deep", "--session", "one"], "").await?;
        ensure!(
            late.code == Some(1) && late.err.contains("an ended session stays ended"),
            "{late:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_conversation_goes_on_over_a_replaced_pod_and_the_session_outlives_the_terminal() -> Result<()> {
    with_session("plugin-tty", async |install, plugin| {
        let mut terminal = plugin.terminal(&["chat", "deep", "--since-start"])?;
        terminal.until("noted").await?;
        terminal
            .types("please [[bash touch made-here]] [[say made it]]")
            .await?;
        terminal.until("[1] May claude use Bash?").await?;
        terminal.types("/allow 1").await?;
        terminal.until("made it\n").await?;
        install.delete_pod("ls-deep-0").await?;
        terminal.until("the pod was replaced").await?;
        terminal.types("Was it a bird? [[recall]]").await?;
        terminal.until("Remember heron").await?;
        let code = terminal.leave().await?;
        ensure!(
            code == Some(0) && terminal.text.contains("left; one goes on"),
            "{code:?}\n{}",
            terminal.text
        );
        install.session("one", "Ready", "True").await?;

        let mut terminal = plugin.terminal(&["chat", "deep"])?;
        terminal.until("connected to one").await?;
        plugin.ok(&["end", "deep"], "").await?;
        let code = terminal.end().await?;
        ensure!(
            code == Some(0) && terminal.text.contains("one Ended"),
            "{code:?}\n{}",
            terminal.text
        );
        Ok(())
    })
    .await
}

/// A kubeconfig of a service account with these rules in the namespace.
async fn account(install: &Install, name: &str, rules: Value) -> Result<PathBuf> {
    let namespace = &install.namespace;
    let rbac = "rbac.authorization.k8s.io";
    let version = format!("{rbac}/v1");
    let subject = json!({"kind": "ServiceAccount", "name": name, "namespace": namespace});
    install
        .apply(&list(vec![
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}),
            json!({"apiVersion": version, "kind": "Role", "metadata": {"name": name}, "rules": rules}),
            json!({"apiVersion": version, "kind": "RoleBinding", "metadata": {"name": name},
                   "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name}, "subjects": [subject]}),
        ]))
        .await?;
    let token = install.kubectl(&["create", "token", name]).await?;
    let config = install
        .kubectl(&["config", "view", "--raw", "--minify", "--flatten", "-o", "json"])
        .await?;
    let mut config: Value = serde_json::from_str(&config)?;
    config["users"][0]["user"] = json!({"token": token.trim()});
    let path = std::env::temp_dir().join(format!("{namespace}-{name}.json"));
    std::fs::write(&path, config.to_string())?;
    Ok(path)
}

#[tokio::test]
async fn whoever_may_only_look_sees_the_status_and_is_told_which_rules_are_missing() -> Result<()> {
    with_session("plugin-reader", async |install, _| {
        let kinds = ["topics", "persistentsessions"];
        let rules = json!([{"apiGroups": ["longshore.dev"], "resources": kinds, "verbs": ["get", "list", "watch"]}]);
        let kubeconfig = account(install, "reader", rules).await?;
        let plugin = Plugin::of(install).with_kubeconfig(kubeconfig.clone());
        let table = plugin.ok(&["status"], "").await?;
        ensure!(table.contains("deep") && table.contains("Running"), "{table}");
        ensure!(
            table.contains("Without what the agents themselves say") && table.contains("longshore-access"),
            "{table}"
        );
        let chat = plugin.run(&["chat", "deep"], "hello\n").await?;
        ensure!(
            chat.code == Some(1) && chat.err.contains("you have no right to talk to agents"),
            "{chat:?}"
        );
        ensure!(
            chat.err.contains("resourceNames: [longshore-access], verbs: [get]"),
            "{chat:?}"
        );
        let end = plugin.run(&["end", "deep"], "").await?;
        ensure!(
            end.code == Some(1) && end.err.contains("resources: [persistentsessions], verbs: [patch]"),
            "{end:?}"
        );
        let logs = plugin.run(&["logs", "deep"], "").await?;
        ensure!(
            logs.code == Some(1) && logs.err.contains("you have no right"),
            "{logs:?}"
        );
        std::fs::remove_file(kubeconfig)?;
        Ok(())
    })
    .await
}

/// The rules that the documentation gives to whoever shall use the plugin.
fn documented_rules(install: &Install) -> Result<Value> {
    let page = std::fs::read_to_string(install.cluster.root.join("docs/kubectl.md"))?;
    let block = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    let rules: Value = serde_saphyr::from_str(block.context("docs/kubectl.md has a block of rules")?)?;
    Ok(rules["rules"].clone())
}

#[tokio::test]
async fn the_documented_rights_are_enough_for_every_command() -> Result<()> {
    with_session("plugin-rights", async |install, _| {
        let kubeconfig = account(install, "talker", documented_rules(install)?).await?;
        let plugin = Plugin::of(install).with_kubeconfig(kubeconfig.clone());
        let said = plugin.ok(&["chat", "deep"], "[[say hello there]]\n").await?;
        ensure!(said == "hello there\n", "{said}");
        let journal = plugin.ok(&["logs", "deep"], "").await?;
        let author = format!("system:serviceaccount:{}:talker: [[say", install.namespace);
        ensure!(journal.contains(&author), "{journal}");
        let table = plugin.ok(&["status"], "").await?;
        ensure!(table.contains("Running") && !table.contains("Without what"), "{table}");
        let told = plugin.ok(&["explain", "--chat=-1", "--user=5", "hello"], "").await?;
        ensure!(told.starts_with("Decision  "), "{told}");
        plugin.ok(&["suspend", "deep"], "").await?;
        plugin.ok(&["rotate-keys"], "").await?;
        plugin.ok(&["resume", "deep"], "").await?;
        plugin.ok(&["end", "deep"], "").await?;
        std::fs::remove_file(kubeconfig)?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn rotated_keys_lock_nobody_out() -> Result<()> {
    with_session("plugin-keys", async |install, plugin| {
        let key = |which: &'static str| async move {
            let path = format!("jsonpath={{.data.{which}}}");
            install
                .kubectl(&["get", "secret", "longshore-access", "-o", &path])
                .await
        };
        let first = key("current").await?;
        let planned = plugin.ok(&["rotate-keys", "--dry-run"], "").await?;
        ensure!(
            planned.contains("would be rotated") && key("current").await? == first,
            "{planned}"
        );
        plugin.ok(&["rotate-keys"], "").await?;
        ensure!(key("previous").await? == first && key("current").await? != first);

        // The pod knows the first key alone.
        let said = plugin.ok(&["chat", "deep"], "[[say still open]]\n").await?;
        ensure!(said == "still open\n", "{said}");
        let soon = plugin.run(&["rotate-keys"], "").await?;
        ensure!(
            soon.code == Some(1) && soon.err.contains("they were rotated"),
            "{soon:?}"
        );
        let long_ago = "longshore.dev/rotated=2020-01-01T00:00:00Z";
        install
            .kubectl(&["annotate", "secret", "longshore-access", long_ago, "--overwrite"])
            .await?;
        let early = plugin.run(&["rotate-keys"], "").await?;
        ensure!(
            early.code == Some(1) && early.err.contains("pod/ls-deep-0"),
            "{early:?}"
        );
        ensure!(key("previous").await? == first, "what an agent depends on stays");

        // The operator winds the session down with the older key, and brings it back.
        plugin.ok(&["suspend", "deep"], "").await?;
        install.gone("pod", "ls-deep-0").await?;
        let free = plugin.ok(&["rotate-keys", "--dry-run"], "").await?;
        ensure!(free.contains("no agent depends on its previous key"), "{free}");
        let said = plugin.ok(&["chat", "deep"], "[[recall]]\n").await?;
        ensure!(said.contains("heron"), "{said}");
        let after = install.api::<longshore_crds::PersistentSession>().get("one").await?;
        after.status.context("a session has a status")?;
        Ok(())
    })
    .await
}

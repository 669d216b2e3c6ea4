//! A Topic's repository, from a server of Git in the cluster into the workspace.

use anyhow::{Context as _, Result, ensure};
use longshore_crds::{ContainerTask, PersistentSession};
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{Install, Options, image, with_install};
use longshore_e2e::kinds::{list, task, topic};
use serde_json::{Value, json};

const PORT: u16 = 8080;
/// Makes a repository and serves it as plain files, which is all that Git needs to clone the whole of it.
const SERVE: &str = "set -e; cd /tmp; export HOME=/tmp
git init -q -b main work
echo from-the-repository > work/hello.txt
git -C work add .
git -C work -c user.name=Test -c user.email=test@example.com commit -q -m first
git clone -q --bare work app.git
git -C app.git update-server-info
exec python3 -m http.server 8080";
const LOOK: &str = "[[bash cat hello.txt]] [[say It says: {{last_tool_result}}]]";

/// Agents may run commands, and reach the stand-in for the model and the server.
fn options(name: &'static str) -> Options {
    let to = |app: &str| json!({"to": [{"podSelector": {"matchLabels": {"app": app}}}]});
    Options::named(name).with(json!({
        "agentClass": {"permissions": {"allowedTools": ["Bash"]}, "egress": [to("model"), to("git")]},
    }))
}

fn repository(name: &str) -> Value {
    json!({"url": format!("http://git:{PORT}/{name}.git"), "depth": 0})
}

fn topic_of(name: &str, repository: Value) -> Value {
    let mut topic = topic(name);
    topic["spec"]["repository"] = repository;
    topic
}

async fn start_server(install: &Install) -> Result<()> {
    let labels = json!({"app": "git"});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "git", "labels": labels},
        "spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "git", "image": image("-agent"), "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", SERVE],
                "ports": [{"containerPort": PORT}],
                "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "git"},
        "spec": {"selector": labels, "ports": [{"port": PORT, "targetPort": PORT}]},
    });
    install.apply(&list(vec![pod, service])).await?;
    let ready = ["wait", "--for=condition=Ready", "--timeout=60s", "pod", "git"];
    install.kubectl(&ready).await.map(drop)
}

#[tokio::test]
async fn a_task_works_in_a_clone_or_says_why_it_has_none() -> Result<()> {
    with_install(options("clone"), async |install| {
        start_server(install).await?;
        let topics = [
            topic_of("cloned", repository("app")),
            topic_of("lost", repository("other")),
        ];
        let tasks = [task("look", "cloned", LOOK), task("search", "lost", LOOK)];
        install.apply(&list(topics.into_iter().chain(tasks).collect())).await?;
        let result = |task: ContainerTask| task.status.and_then(|status| status.result).context("it has a result");
        let found = result(install.task("look", "Complete", "True").await?)?;
        ensure!(found.text.contains("It says: from-the-repository"), "{found:?}");
        let failed = result(install.task("search", "Complete", "True").await?)?;
        ensure!(
            failed.is_error && failed.terminal_reason == "repository_clone_failed",
            "{failed:?}"
        );
        for piece in [
            "http://git:8080/other.git cannot be cloned",
            "not found",
            "Correct repository.url",
        ] {
            ensure!(failed.text.contains(piece), "{piece}: {failed:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_session_that_lacks_its_repository_tells_the_chat_and_a_correction_helps() -> Result<()> {
    with_install(options("reclone"), async |install| {
        start_server(install).await?;
        let chat = Chat::open(install, "shop").await?;
        let mut topic = topic_of(&chat.topic, repository("other"));
        topic["spec"]["telegram"] = json!({"chatId": chat.forum, "threadId": chat.thread});
        install.apply(&topic).await?;
        install.topic_settled(&chat.topic).await?;
        let asked = chat.say("/deep [[say I wait.]]").await?;
        let name = chat.object(asked);
        let failed = |session: Option<&PersistentSession>| {
            let status = session.and_then(|session| session.status.as_ref());
            status.is_some_and(|status| {
                let ready = status.conditions.iter().find(|one| one.type_ == "Ready");
                ready.is_some_and(|ready| ready.reason == "RepositoryCloneFailed")
            })
        };
        install.wait_for(&name, "without its repository", failed).await?;
        chat.answer(asked, "the topic's repository cannot be cloned").await?;

        topic["spec"]["repository"] = repository("app");
        install.apply(&topic).await?;
        install.want(&name, "Suspended").await?;
        install.session(&name, "Suspended", "True").await?;
        install.want(&name, "Running").await?;
        install.session(&name, "Ready", "True").await?;
        chat.ask(LOOK, "It says: from-the-repository").await?;
        chat.exactly_once("was cloned into the workspace").await
    })
    .await
}

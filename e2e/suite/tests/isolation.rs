//! What an agent can see and reach, looked at from inside by a script that claude's Bash tool runs; beside it, the same script in
//! a pod that nobody restricts, so that a probe which could not fail is noticed.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use kube::Api;
use longshore_e2e::install::{Install, MODEL_KEY, Options, image, with_install};
use longshore_e2e::kinds::{list, task, topic};
use serde_json::{Value, json};

const SCRIPT: &str = include_str!("inside.py");

fn shell_words(words: &[String]) -> String {
    words
        .iter()
        .map(|word| format!("'{word}'"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test]
async fn an_agent_has_no_token_no_capability_no_key_and_reaches_the_model_only() -> Result<()> {
    let values = json!({"agentClass": {"permissions": {"allowedTools": ["Bash"]}}});
    with_install(Options::named("inside").with(values), async |install| {
        let client = install.cluster.client.clone();
        let kubernetes = Api::<Service>::namespaced(client.clone(), "default")
            .get("kubernetes")
            .await?;
        let api_server = kubernetes
            .spec
            .and_then(|spec| spec.cluster_ip)
            .context("the API server has an address")?;
        let telegram = install.api::<Pod>().get("telegram").await?;
        let other_pod = telegram
            .status
            .and_then(|status| status.pod_ip)
            .context("the other pod has an address")?;
        let nodes = Api::<Node>::all(client).list(&Default::default()).await?;
        let node = nodes
            .items
            .into_iter()
            .next()
            .and_then(|node| node.status)
            .and_then(|status| status.addresses);
        let node = node
            .into_iter()
            .flatten()
            .find(|address| address.type_ == "InternalIP")
            .context("a node")?
            .address;

        let (front, back) = MODEL_KEY.split_at(MODEL_KEY.len() / 2);
        let mut words = vec![front.to_owned(), back.to_owned()];
        words.push("model=model:8080".to_owned());
        words.push(format!("api-server={api_server}:443"));
        words.push("api-server-by-name=kubernetes.default.svc:443".to_owned());
        words.push(format!("kubelet={node}:10250"));
        words.push("metadata=169.254.169.254:80".to_owned());
        words.push(format!("other-pod={other_pod}:8081"));
        words.push("other-service=telegram:8081".to_owned());
        let script = base64(SCRIPT);
        let command = format!(
            "echo {script} | base64 -d > /tmp/inside.py; python3 /tmp/inside.py {}",
            shell_words(&words)
        );
        let free = look_freely(install, &command).await?;
        let prompt = format!("[[bash {command}]] [[say {{{{last_tool_result}}}}]]");
        install
            .apply(&list(vec![topic("inside"), task("look", "inside", &prompt)]))
            .await?;
        let done = install.task("look", "Complete", "True").await?;
        let text = done.status.and_then(|status| status.result).context("a result")?.text;
        let found: Value = serde_json::from_str(text.trim()).with_context(|| format!("no report: {text}"))?;

        let none = "0000000000000000";
        let capabilities = found["capabilities"].as_object().context("capabilities")?;
        ensure!(
            capabilities.values().all(|value| value == none),
            "capabilities: {capabilities:?}"
        );
        for absent in [
            "token",
            "key_in_env",
            "runner_environ_readable",
            "runner_memory_readable",
            "runner_files_readable",
        ] {
            ensure!(found[absent] == json!(false), "{absent}: {found}");
        }
        ensure!(
            found["root_read_only"] == json!(true) && free["root_read_only"] == json!(false),
            "{found}\n{free}"
        );
        ensure!(
            free["root_writable"].as_array().is_some_and(|paths| paths.len() == 2),
            "nobody could write there anyway: {free}"
        );
        for empty in ["root_writable", "key_in_environ", "key_in_memory", "key_in_open_files"] {
            ensure!(found[empty] == json!([]), "{empty}: {found}");
        }
        ensure!(found["key_on_disk"] == json!(""), "{found}");
        ensure!(
            found["no_new_privs"] == json!("1") && found["uid"] != json!(0),
            "{found}"
        );
        ensure!(
            found["memories_read"].as_u64() > Some(0),
            "no memory could be read, so the search proves nothing: {found}"
        );
        let reached = found["reachable"].as_object().context("reachable")?;
        for (name, reached) in reached {
            ensure!(
                *reached == json!(name == "model"),
                "{name} reachable: {reached}; {found}"
            );
            // Not every cluster has something at the metadata address; the embedded one does.
            let there = name != "metadata" || install.cluster.embedded_state().is_some();
            ensure!(
                !there || free["reachable"][name] == json!(true),
                "{name} is reachable for nobody, so that it is not for agents proves nothing: {free}"
            );
        }
        let keys = install.model()?.requests(&Default::default()).await?;
        let sent = keys.iter().filter(|entry| entry.path.contains("/v1/messages"));
        ensure!(sent.clone().count() > 0, "the model was never asked");
        ensure!(
            sent.clone()
                .all(|entry| entry.headers.get("x-api-key").is_some_and(|key| key == MODEL_KEY))
        );
        Ok(())
    })
    .await
}

/// What the script finds in a pod of the agent image that no policy selects and whose root can be written.
async fn look_freely(install: &Install, command: &str) -> Result<Value> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "free"},
        "spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "free", "image": image("-agent"), "imagePullPolicy": "IfNotPresent",
                "command": ["bash", "-c", command],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    install.create(&pod).await?;
    install
        .wait_for("free", "finished", |pod: Option<&Pod>| {
            let phase = pod
                .and_then(|pod| pod.status.as_ref())
                .and_then(|status| status.phase.as_deref());
            matches!(phase, Some("Succeeded" | "Failed"))
        })
        .await?;
    let printed = install.kubectl(&["logs", "free"]).await?;
    serde_json::from_str(printed.trim()).with_context(|| format!("no report: {printed}"))
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

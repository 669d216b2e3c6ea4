//! ContainerTasks with nothing but `kubectl`.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use longshore_crds::ContainerTask;
use longshore_e2e::install::{Install, OPERATOR, Options, with_install};
use longshore_e2e::kinds::{list, task, topic};
use serde_json::json;

fn kubectl_only(name: &'static str) -> Options {
    Options::named(name)
        .with(json!({"bot": {"enabled": false}, "agentClass": {"permissions": {"allowedTools": ["Bash"]}}}))
}

fn text(task: &ContainerTask) -> Result<&str> {
    let result = task.status.as_ref().and_then(|status| status.result.as_ref());
    Ok(result.context("the task has no result")?.text.as_str())
}

#[tokio::test]
async fn kubectl_apply_of_a_topic_and_a_task_runs_claude_and_the_answer_stands_in_the_status() -> Result<()> {
    with_install(kubectl_only("task"), async |install| {
        let objects = list(vec![
            topic("docs"),
            task("hello", "docs", "Say hello [[say Hello from the model.]]"),
        ]);
        install.apply(&objects).await?;
        let done = install.task("hello", "Complete", "True").await?;
        ensure!(text(&done)?.contains("Hello from the model."), "{:?}", done.status);
        let status = done.status.context("a complete task has a status")?;
        ensure!(status.usage.context("it has usage")?.turns == 1);
        let job = status.job_name.context("it names its Job")?;
        install
            .wait_for(&job, "complete", |job: Option<&Job>| {
                let conditions = job
                    .and_then(|job| job.status.as_ref())
                    .and_then(|status| status.conditions.as_ref());
                conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Complete" && one.status == "True"))
            })
            .await?;
        let shown = install.kubectl(&["get", "containertasks"]).await?;
        ensure!(shown.contains("Complete"), "{shown}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_task_has_the_files_and_the_answers_that_an_earlier_task_of_its_topic_left() -> Result<()> {
    with_install(kubectl_only("files"), async |install| {
        let first = task("write", "shared", "[[bash echo kept > note.txt]] [[say written]]");
        let second = task(
            "read",
            "shared",
            "[[bash cat note.txt]] [[say The note says {{last_tool_result}}; {{earlier}}]]",
        );
        install.apply(&list(vec![topic("shared"), first])).await?;
        install.apply(&second).await?;
        let done = install.task("read", "Complete", "True").await?;
        for seen in ["The note says kept", "> written"] {
            ensure!(text(&done)?.contains(seen), "{}", text(&done)?);
        }
        let over =
            |pod: &str| ["wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s", pod].map(str::to_owned);
        for owner in ["write", "read"] {
            let pod = format!(
                "pod/{}",
                install.pod_with(&format!("longshore.dev/owner={owner}")).await?
            );
            install.kubectl(&over(&pod).each_ref().map(String::as_str)).await?;
        }
        ensure!(overlaps(install).await? == 0, "two tasks of one topic ran at once");
        Ok(())
    })
    .await
}

/// Pairs of task pods whose agents ran at the same time.
async fn overlaps(install: &Install) -> Result<usize> {
    let pods: Api<Pod> = install.api();
    let mut spans = Vec::new();
    for pod in pods
        .list(&ListParams::default().labels("longshore.dev/kind=task"))
        .await?
    {
        let containers = pod
            .status
            .and_then(|status| status.container_statuses)
            .unwrap_or_default();
        let ended = containers
            .into_iter()
            .filter_map(|container| container.state?.terminated)
            .next();
        let ended = ended.context("a finished task's agent has ended")?;
        spans.push((
            ended.started_at.context("it started")?.0,
            ended.finished_at.context("it ended")?.0,
        ));
    }
    spans.sort();
    ensure!(spans.len() == 2, "{} pods", spans.len());
    Ok(spans.windows(2).filter(|pair| pair[0].1 > pair[1].0).count())
}

#[tokio::test]
async fn a_task_whose_pod_is_lost_goes_on_and_answers_once() -> Result<()> {
    with_install(kubectl_only("lost-pod"), async |install| {
        let prompt = "[[bash echo ran >> count.txt]] [[hold lost]] [[say The work is done.]]";
        install
            .apply(&list(vec![topic("work"), task("job", "work", prompt)]))
            .await?;
        install.model_holds("lost").await?;
        install
            .delete_pod_by_force(&install.pod_with("longshore.dev/owner=job").await?)
            .await?;
        install.open_gate("lost").await?;
        let done = install.task("job", "Complete", "True").await?;
        ensure!(!text(&done)?.is_empty());
        let check = task(
            "check",
            "work",
            "[[bash cat count.txt | wc -l]] [[say lines={{last_tool_result}}]]",
        );
        install.apply(&check).await?;
        let counted = install.task("check", "Complete", "True").await?;
        ensure!(
            text(&counted)?.contains("lines=1"),
            "the command ran again: {}",
            text(&counted)?
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_result_reaches_the_status_though_the_operator_dies_while_the_task_ends() -> Result<()> {
    with_install(kubectl_only("dead-operator"), async |install| {
        let prompt = "[[hold ending]] [[say Nobody was listening, and still.]]";
        install
            .apply(&list(vec![topic("work"), task("job", "work", prompt)]))
            .await?;
        install.model_holds("ending").await?;
        install.kill_pod(&install.pod_with(OPERATOR).await?).await?;
        install.open_gate("ending").await?;
        let done = install.task("job", "Complete", "True").await?;
        ensure!(text(&done)?.contains("Nobody was listening, and still."));
        ensure!(
            install.model_requests("hold ending").await?.len() == 1,
            "the prompt was sent to the model again"
        );
        Ok(())
    })
    .await
}

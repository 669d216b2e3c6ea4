//! A task beside a session: at once, on the session's node, and unable to write what belongs to the session.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use longshore_crds::names;
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{Options, with_install};
use serde_json::json;

/// Tries to write wherever the session and the runner of the session write.
const TRY: &str = "What does the note say? [[bash cat note.txt
for place in . note.txt ../state ../state/history ../state/state.md; do
  if [ -d $place ]; then place=$place/stolen; fi
  (echo stolen >> $place) 2>/dev/null && echo written: $place
done
ls /topic/.runner/journal | wc -l
echo mine > /topic/scratch/own && cat /topic/scratch/own]] [[say It says: {{last_tool_result}}]]";

#[tokio::test]
async fn a_task_beside_a_session_reads_its_workspace_and_cannot_write_there() -> Result<()> {
    let options = Options::named("beside").with(json!({"agentClass": {"permissions": {"allowedTools": ["Bash"]}}}));
    with_install(options, async |install| {
        let policy = json!({
            "apiVersion": "longshore.dev/v1alpha1", "kind": "RoutingPolicy", "metadata": {"name": "beside"},
            "spec": {"whileSessionActive": "RunTask"},
        });
        install.put_into_force(&policy).await?;
        let chat = Chat::open(install, "piers").await?;
        let deep = chat
            .say("/deep Begin. [[bash echo from-the-session > note.txt]] [[say Begun.]]")
            .await?;
        chat.answer(deep, "Begun.").await?;
        let session = chat.object(deep);
        let busy = chat.say("/deep Go on. [[hold tide]] [[say The tide is out.]]").await?;
        install.model_holds("tide").await?;

        let asked = chat.say(TRY).await?;
        let said = chat.answer(asked, "It says:").await?.text;
        ensure!(said.contains("from-the-session"), "it does not see the workspace: {said}");
        ensure!(said.contains("mine"), "it has no scratch folder: {said}");
        ensure!(!said.contains("written:"), "it wrote where only the session may: {said}");
        ensure!(said.contains("\n1\n"), "it sees other journals than its own: {said}");
        let task = install.task(&chat.object(asked), "Complete", "True").await?;
        ensure!(task.spec.read_only, "{:?}", task.spec);
        let pods = install.api::<Pod>();
        let node = async |pod: &str| anyhow::Ok(pods.get(pod).await?.spec.and_then(|spec| spec.node_name));
        let own = task.status.and_then(|status| status.pod_name).context("it had a pod")?;
        let beside = node(&own).await?;
        ensure!(beside.is_some() && beside == node(&names::session_pod(&chat.topic)).await?);

        install.open_gate("tide").await?;
        chat.answer(busy, "The tide is out.").await?;
        let look = chat
            .say("/deep [[bash ls -A . ../state ../state/history | grep -c stolen || cat note.txt]] [[say Found: {{last_tool_result}}]]")
            .await?;
        let found = chat.answer(look, "Found:").await?.text;
        ensure!(found.contains("from-the-session"), "something was stolen: {found}");

        // Asleep it holds nothing, so the same words make a task like any other.
        install.want(&session, "Suspended").await?;
        install.session(&session, "Suspended", "True").await?;
        let asked = chat.say("Write it down. [[bash echo more >> note.txt]] [[say Noted.]]").await?;
        chat.answer(asked, "Noted.").await?;
        let task = install.task(&chat.object(asked), "Complete", "True").await?;
        ensure!(!task.spec.read_only, "{:?}", task.spec);
        Ok(())
    })
    .await
}

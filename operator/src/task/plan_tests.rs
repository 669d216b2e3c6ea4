//! Whole plans of tasks, through one `check`.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use longshore_crds::{AgentClass, AgentClassSpec, ContainerTask, TaskEscalation, Topic, TopicStatus};
use longshore_wire::agent::AgentKind;
use longshore_wire::api::{self, Disk, Memory, RunnerState, Status};
use serde_json::{Value, json};

use super::*;

const UID: &str = "7f7a36ea-5c4f-4d0e-8a2b-222222222222";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn settings() -> Settings {
    Settings::example()
}

#[derive(Clone, Debug)]
struct World {
    seen: Observed,
    admission: Admission,
    contact: Contact,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let spec = json!({ "topicRef": { "name": "build" }, "prompt": "say hello" });
        let mut task = ContainerTask::new("hello", serde_json::from_value(spec).unwrap());
        task.metadata.namespace = Some("ns".to_owned());
        task.metadata.uid = Some(UID.to_owned());
        task.metadata.generation = Some(1);
        let mut topic = Topic::new("build", serde_json::from_value(json!({})).unwrap());
        topic.status = Some(TopicStatus {
            conditions: merge(&[], vec![yes(types::READY, reasons::CLAIM_CREATED, "")], None, at(0)),
            ..TopicStatus::default()
        });
        let seen = Observed {
            task: Arc::new(task),
            topic: Some(Arc::new(topic)),
            class_name: Some("default".to_owned()),
            class: Some(Arc::new(AgentClass::new("default", AgentClassSpec::default()))),
            namespace_class: None,
            before: None,
            neighbour: None,
            job: None,
            pod: None,
        };
        Self {
            seen,
            admission: Admission::NotAsked,
            contact: Contact::NotTried,
            now: at(1000),
        }
    }

    fn plan(&self) -> Plan {
        plan(&self.seen, &self.admission, &self.contact, &settings(), self.now)
    }

    fn admitted(&mut self, admission: Admission) -> &mut Self {
        self.admission = admission;
        self
    }

    /// The Job that is made once it may be.
    fn made(&mut self) -> Job {
        let go = Admission::Go {
            token_sha256: vec!["d".to_owned()],
        };
        match self.admitted(go).plan().step {
            Some(Step::CreateJob(job)) => *job,
            other => panic!("no Job but {other:?}"),
        }
    }

    fn task(&mut self, change: impl FnOnce(&mut ContainerTask)) -> &mut Self {
        change(Arc::make_mut(&mut self.seen.task));
        self
    }

    fn follow(&mut self) -> Plan {
        let plan = self.plan();
        self.task(|task| task.status = Some(plan.status.clone()));
        if let Some(Step::CreateJob(job)) = plan.step.clone() {
            let mut job = *job;
            job.metadata.uid = Some(format!("job-{}", job.name_any()));
            job.spec.as_mut().unwrap().suspend = Some(false);
            self.seen.job = Some(Arc::new(job));
            self.admission = Admission::NotAsked;
        }
        plan
    }

    fn started() -> Self {
        let mut world = Self::new();
        world.admitted(Admission::Admitted).follow();
        world
            .admitted(Admission::Go {
                token_sha256: vec!["digest".to_owned()],
            })
            .follow();
        world
    }

    fn job(&mut self, type_: &str, reason: &str) -> &mut Self {
        let job = Arc::make_mut(self.seen.job.as_mut().unwrap());
        let conditions = json!({ "conditions": [{ "type": type_, "status": "True", "reason": reason }] });
        job.status = Some(serde_json::from_value(conditions).unwrap());
        self
    }

    fn pod(&mut self, status: Value) -> &mut Self {
        let owner = json!([{ "apiVersion": "batch/v1", "kind": "Job", "name": "j", "controller": true,
            "uid": self.seen.job.as_ref().unwrap().uid() }]);
        let pod = json!({ "metadata": { "name": "hello-x", "ownerReferences": owner }, "status": status });
        self.seen.pod = Some(Arc::new(serde_json::from_value::<Pod>(pod).unwrap()));
        self
    }

    fn ended(&mut self, reason: &str, message: &str) -> &mut Self {
        self.pod(json!({ "phase": "Failed", "containerStatuses": [{
            "name": "agent", "image": "a", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "terminated": { "exitCode": 1, "reason": reason, "message": message } } }] }))
    }

    fn hears(&mut self, result: Option<api::TaskResult>) -> &mut Self {
        let status = Status {
            version: "0.1.0".to_owned(),
            claude_version: None,
            claude_pid: None,
            kind: AgentKind::Task,
            uid: UID.parse().unwrap(),
            state: RunnerState::Ready,
            problem: None,
            busy: Vec::new(),
            last_activity: at(0),
            unfinished: Vec::new(),
            approvals: Vec::new(),
            memory: Memory::default(),
            disk: Disk::default(),
            usage: api::Usage::default(),
            seq: 1,
            acked: 0,
            restarts: 0,
            summary: None,
            summary_error: None,
            recycled: 0,
            undelivered: Vec::new(),
            claude: Default::default(),
        };
        let endpoint = "10.0.0.9:7411".to_owned();
        self.contact = Contact::Met(Box::new(Met {
            endpoint,
            status,
            accepted: true,
            result,
            refused: false,
            quiesced_at: None,
        }));
        self
    }
}

fn result(text: &str) -> api::TaskResult {
    api::TaskResult {
        text: text.to_owned(),
        truncated: false,
        is_error: false,
        terminal_reason: "completed".to_owned(),
        usage: api::Usage {
            turns: 1,
            input_tokens: 2,
            output_tokens: 3,
            cost_usd: "0.01".to_owned(),
        },
        finished_at: at(1),
        seq: 7,
        escalation: None,
    }
}

fn line(plan: &Plan, now: Timestamp) -> String {
    let step = match &plan.step {
        None => "",
        Some(Step::ReleaseJob) => " release-job",
        Some(Step::CreateJob(_)) => " create",
        Some(Step::ReleaseSlot) => " release",
        Some(Step::DeleteJob { .. }) => " delete-job",
        Some(Step::DeleteTask) => " delete-task",
    };
    let status = &plan.status;
    let marks: Vec<String> = status
        .conditions
        .iter()
        .filter(|c| c.status == "True")
        .map(|c| format!("+{}", c.type_))
        .collect();
    let queue = status.queue_position.map(|n| format!(" #{n}")).unwrap_or_default();
    let look = plan
        .next_look
        .map(|t| format!(" look+{}s", t.as_second() - now.as_second()))
        .unwrap_or_default();
    let reason = status.reason.as_deref().unwrap_or("-");
    format!(
        "{:?}/{reason}{step} {}{queue}{look}",
        status.phase.unwrap(),
        marks.join(" ")
    )
}

fn check(world: &World, expected: &str) {
    assert_eq!(line(&world.plan(), world.now), expected);
}

#[test]
fn a_task_waits_its_turn_then_gets_a_job() {
    let mut world = World::new();
    world.seen.before = Some(Blocker::Task("earlier".to_owned()));
    check(&world, "Queued/WaitingForTask ");
    world.seen.before = Some(Blocker::Session("deep".to_owned()));
    check(&world, "Queued/WaitingForSession ");
    world.seen.before = None;
    world.admitted(Admission::Queued { position: 3, limit: 1 });
    check(&world, "Queued/Queued  #3");
    world.follow();
    world.admitted(Admission::Admitted);
    check(&world, "Starting/Starting +Admitted");
    world.follow();
    world.admitted(Admission::Waiting(Blocker::Session("deep".to_owned())));
    check(&world, "Queued/WaitingForSession release ");
    world.admitted(Admission::Settling);
    check(&world, "Starting/Starting +Admitted look+5s");
    world.admitted(Admission::Go { token_sha256: vec![] });
    check(&world, "Starting/Starting create +Admitted");
}

#[test]
fn a_missing_topic_or_class_is_said() {
    let mut world = World::new();
    world.seen.class = None;
    check(&world, "Queued/ClassNotFound ");
    world.seen.topic = None;
    check(&world, "Queued/TopicNotFound ");
}

#[test]
fn the_answer_is_kept_bounded_and_the_runner_is_met_once_more() {
    let mut world = World::started();
    world.pod(json!({ "phase": "Running" })).hears(None);
    check(&world, "Running/Ready +Admitted +Ready look+5s");
    world.follow();
    world.hears(Some(result(&"ä".repeat(40_000))));
    check(&world, "Complete/Completed +Admitted +Complete look+0s");
    let status = world.follow().status;
    let kept = status.result.unwrap();
    assert_eq!((kept.text.len(), kept.truncated), (65_536, true));
    assert_eq!(status.usage.unwrap().cost_usd, "0.01");
}

#[test]
fn what_the_agent_asked_for_comes_with_the_answer_bounded_and_only_if_it_could_ask() {
    let mut world = World::started();
    world.hears(Some(api::TaskResult {
        escalation: Some(api::Escalation {
            reason: "ä".repeat(600),
            plan: "ä".repeat(3000),
        }),
        ..result("handed over")
    }));
    assert_eq!(world.plan().status.escalation, None, "it was not offered");
    let mut task = (*world.seen.task).clone();
    task.spec.escalation = Some(TaskEscalation::Ask);
    world.seen.task = Arc::new(task);
    let status = world.plan().status;
    let asked = status.escalation.unwrap();
    assert_eq!((asked.reason.chars().count(), asked.plan.len()), (500, 4096));
    assert_eq!(status.result.unwrap().text, "handed over");
}

#[test]
fn an_answer_with_an_error_is_an_answer() {
    let mut world = World::started();
    world.hears(Some(api::TaskResult {
        is_error: true,
        terminal_reason: "api_error".to_owned(),
        ..result("no")
    }));
    let plan = world.plan();
    assert!(plan.status.result.unwrap().is_error);
    assert_eq!(plan.status.phase, Some(TaskPhase::Complete));
}

/// A task with a `when` whose runner says this.
fn with_when(reason: &str, text: &str) -> World {
    let mut world = World::started();
    world.task(|task| {
        task.spec.when = serde_json::from_value(json!({ "command": ["./look"] })).unwrap();
        task.spec.origin = serde_json::from_value(json!({ "telegram": { "chatId": 1 } })).unwrap();
    });
    world.hears(Some(api::TaskResult {
        is_error: reason == "when_failed",
        terminal_reason: reason.to_owned(),
        ..result(text)
    }));
    world
}

#[test]
fn a_task_that_was_not_needed_is_complete_says_why_and_waits_for_no_chat() {
    let mut world = with_when("not_needed", "claude was not asked: nothing new");
    check(&world, "Complete/NotNeeded +Admitted +Complete look+0s");
    let status = world.follow().status;
    let complete = crate::conditions::find(&status.conditions, types::COMPLETE).unwrap();
    assert_eq!(complete.message, "claude was not asked: nothing new");
    assert_eq!(status.result.unwrap().terminal_reason, "not_needed");
    check(&world, "Complete/NotNeeded +Admitted +Complete look+86400s");
    world.now = at(1000 + 86_400);
    check(&world, "Complete/NotNeeded delete-task +Admitted +Complete look+0s");
}

#[test]
fn a_task_whose_when_failed_has_failed_with_what_to_do() {
    let mut world = with_when("when_failed", &"Mend it. ".repeat(1000));
    check(&world, "Failed/WhenFailed +Admitted +Failed");
    let status = world.follow().status;
    let failed = crate::conditions::find(&status.conditions, types::FAILED).unwrap();
    assert!(failed.message.starts_with("Mend it.") && failed.message.len() <= MAX_MESSAGE);
    assert!(
        matches!(world.plan().step, Some(Step::DeleteJob { .. })),
        "its pod lingers"
    );
}

#[test]
fn last_words_say_that_a_task_was_not_needed_and_without_a_when_nobody_says_so() {
    let mut world = with_when("not_needed", "");
    world.contact = Contact::NotTried;
    for (reason, expected) in [
        ("not_needed", "Complete/NotNeeded"),
        ("when_failed", "Failed/WhenFailed"),
    ] {
        let words = json!({ "v": 1, "isError": false, "reason": reason, "text": "so" });
        world.ended("Completed", &words.to_string());
        let line = line(&world.plan(), world.now);
        assert!(line.starts_with(expected), "{line}");
    }
    world.task(|task| task.spec.when = None);
    let line = line(&world.plan(), world.now);
    assert!(line.starts_with("Complete/Completed"), "{line}");
}

#[test]
fn last_words_of_a_pod_stand_in_for_the_answer() {
    let mut world = World::started();
    world.ended(
        "Completed",
        r#"{"v":1,"isError":false,"reason":"completed","text":"hello"}"#,
    );
    check(&world, "Complete/Completed +Admitted +Complete look+0s");
    assert_eq!(world.plan().status.result.unwrap().text, "hello");
    let mut task = (*world.seen.task).clone();
    task.spec.escalation = Some(TaskEscalation::Start);
    world.seen.task = Arc::new(task);
    world.ended(
        "Completed",
        r#"{"v":1,"isError":false,"reason":"completed","text":"hello","escalation":{"reason":"long","plan":"steps"}}"#,
    );
    assert_eq!(world.plan().status.escalation.unwrap().plan, "steps");
}

#[test]
fn a_lost_pod_is_replaced_as_often_as_retries_allow() {
    let mut world = World::started();
    world.ended("Error", "rubbish").job("Failed", "BackoffLimitExceeded");
    check(&world, "Starting/Starting +Admitted");
    let first = world.follow().status;
    assert_eq!((first.restarts, first.job_name.as_deref()), (Some(1), Some("hello-1")));
    world.seen.job = None;
    let Some(Step::CreateJob(job)) = world.admitted(Admission::Go { token_sha256: vec![] }).plan().step else {
        panic!()
    };
    assert_eq!(job.name_any(), "hello-1");
    world.follow();
    world.task(|task| task.status.as_mut().unwrap().restarts = Some(2));
    world.seen.pod = None;
    world.job("Failed", "BackoffLimitExceeded");
    check(&world, "Failed/PodLost +Admitted +Failed");
}

#[test]
fn a_job_that_ended_before_its_pod_is_seen_to_end_is_waited_for() {
    let mut world = World::started();
    world.pod(json!({ "phase": "Running" })).job("Complete", "");
    check(&world, "Starting/Starting +Admitted look+5s");
}

#[test]
fn a_task_that_takes_too_long_has_failed() {
    let mut world = World::started();
    world.job("Failed", "DeadlineExceeded");
    check(&world, "Failed/Timeout +Admitted +Failed");

    let mut world = World::started();
    world.now = at(1000 + 900 + 600 + 1);
    check(&world, "Failed/Timeout +Admitted +Failed");
    world.follow();
    assert!(
        matches!(world.plan().step, Some(Step::DeleteJob { .. })),
        "its Job does not know"
    );
}

#[test]
fn a_finished_task_is_deleted_some_time_after_delivery() {
    let mut world = World::started();
    world.hears(Some(result("hello"))).follow();
    check(&world, "Complete/Completed +Admitted +Complete look+86400s");
    world.task(|task| {
        task.spec.ttl_seconds_after_finished = Some(60);
        task.spec.origin = Some(
            serde_json::from_value(json!({
            "telegram": { "chatId": 1, "messageId": 2, "userId": 3 } }))
            .unwrap(),
        );
    });
    check(&world, "Complete/Completed +Admitted +Complete look+604800s");
    world.task(|task| {
        drop(
            task.annotations_mut()
                .insert(meta::DELIVERED.to_owned(), at(1100).to_string()),
        )
    });
    check(&world, "Complete/Completed +Admitted +Complete look+160s");
    world.now = at(1160);
    check(&world, "Complete/Completed delete-task +Admitted +Complete look+0s");
}

#[test]
fn plans_are_fixpoints_after_their_own_effects() {
    for finish in [true, false] {
        let mut world = World::started();
        world
            .pod(json!({ "phase": "Running" }))
            .hears(finish.then(|| result("hello")))
            .follow();
        world.now = at(2000);
        let again = world.plan();
        assert_eq!(Some(again.status), world.seen.task.status.clone());
        assert_eq!((again.step, again.news), (None, Vec::new()));
    }
}

#[test]
fn the_pod_of_a_task_that_only_reads_stands_beside_the_session_and_is_not_made_twice() {
    let mut world = World::new();
    world.admitted(Admission::Admitted).follow();
    Arc::make_mut(&mut world.seen.task).spec.read_only = true;
    let own = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
        { "matchExpressions": [{ "key": "disk", "operator": "Exists" }] },
    ] } } });
    let class = json!({ "podTemplate": { "affinity": own }, "task": { "retries": 3 } });
    Arc::make_mut(world.seen.class.as_mut().unwrap()).spec = serde_json::from_value(class).unwrap();
    let repository = json!({ "url": "https://git.example.com/app" });
    Arc::make_mut(world.seen.topic.as_mut().unwrap()).spec.repository = serde_json::from_value(repository).unwrap();
    let neighbour = json!({ "metadata": { "name": "ls-build-0" }, "spec": { "nodeName": "seven", "containers": [] } });
    world.seen.neighbour = Some(Arc::new(serde_json::from_value(neighbour).unwrap()));
    assert_eq!(crate::task::build::retries(&world.seen), 0);
    let job = serde_json::to_value(world.made()).unwrap();
    let pod = &job["spec"]["template"];
    assert_eq!(
        job["spec"]["podFailurePolicy"],
        json!(null),
        "a pod that was drained is not replaced"
    );
    assert_eq!(job["metadata"]["labels"]["longshore.dev/read-only"], "true");
    assert_eq!(pod["metadata"]["labels"]["longshore.dev/read-only"], "true");
    let required = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let here = json!([{ "key": "metadata.name", "operator": "In", "values": ["seven"] }]);
    assert_eq!(required["nodeSelectorTerms"][0]["matchFields"], here);
    assert_eq!(required["nodeSelectorTerms"][0]["matchExpressions"][0]["key"], "disk");
    let container = &pod["spec"]["containers"][0];
    assert_eq!(
        container["volumeMounts"],
        json!([
            { "name": "scratch", "mountPath": "/topic" },
            { "name": "topic", "mountPath": "/topic/workspace", "subPath": "workspace", "readOnly": true },
            { "name": "topic", "mountPath": "/topic/state", "subPath": "state", "readOnly": true },
            { "name": "tmp", "mountPath": "/tmp" },
        ])
    );
    let told: Value = serde_json::from_str(container["env"][0]["value"].as_str().unwrap()).unwrap();
    assert_eq!((&told["readOnly"], &told["repository"]), (&json!(true), &json!(null)));
}

#[test]
fn the_job_is_as_written_down() {
    let mut world = World::new();
    world.admitted(Admission::Admitted).follow();
    Arc::make_mut(world.seen.class.as_mut().unwrap()).spec = serde_json::from_value(json!({
        "image": "mine:2", "imagePullPolicy": "Always", "imagePullSecrets": ["pull"], "model": "opus",
        "credentials": { "secretRef": { "name": "anthropic", "key": "token" }, "type": "OAuthToken" },
        "resources": { "limits": { "memory": "4Gi" } },
        "podTemplate": { "labels": { "team": "a", "longshore.dev/topic": "stolen" }, "annotations": { "a": "b" },
            "nodeSelector": { "disk": "fast" }, "runtimeClassName": "gvisor", "priorityClassName": "low",
            "tolerations": [{ "key": "gpu" }], "env": [{ "name": "AGENT_X", "value": "1" }] },
        "instructions": { "configMapRef": { "name": "rules", "key": "team.md" } },
    }))
    .unwrap();
    let when = json!({ "command": ["sh", "-c", "test -n \"$(ls)\""], "timeoutSeconds": 30 });
    world.task(|task| task.spec.when = serde_json::from_value(when).unwrap());
    let inline = json!({ "inline": "It costs $1, $(HOME) is yours." });
    let repository = json!({ "url": "https://git.example.com/app", "ref": "main", "secretRef": { "name": "git" } });
    let topic = &mut Arc::make_mut(world.seen.topic.as_mut().unwrap()).spec;
    topic.instructions = serde_json::from_value(inline).unwrap();
    topic.repository = serde_json::from_value(repository).unwrap();
    insta::assert_yaml_snapshot!(world.made());
}

#[test]
fn an_agent_sends_files_only_where_a_chat_takes_them() {
    let mut world = World::new();
    world.admitted(Admission::Admitted).follow();
    let sends = |world: &mut World| serde_json::to_string(&world.made()).unwrap().contains("sendsFiles");
    assert!(!sends(&mut world));
    world.task(|task| task.spec.origin = serde_json::from_value(json!({ "telegram": { "chatId": 1 } })).unwrap());
    assert!(sends(&mut world));
}

#[test]
fn a_slot_that_the_status_does_not_know_of_is_given_back_too() {
    let mut world = World::new();
    world.seen.before = Some(Blocker::Task("other".to_owned()));
    world.follow();
    assert_eq!(world.plan().step, None, "there is nothing to give back");
    let claim = crate::task::claim(&world.seen.task);
    let slot = crate::ledger::entry(longshore_crds::SlotKind::Task, &claim, None, at(0));
    Arc::make_mut(world.seen.class.as_mut().unwrap()).status = Some(longshore_crds::AgentClassStatus {
        slots: vec![slot],
        ..Default::default()
    });
    assert_eq!(world.plan().step, Some(Step::ReleaseSlot));
}

#[test]
fn a_job_of_somebody_else_does_not_make_a_task_run() {
    let mut world = World::new();
    let job = json!({ "metadata": { "name": "hello", "ownerReferences": [{ "apiVersion": "longshore.dev/v1alpha1",
        "kind": "ContainerTask", "name": "hello", "uid": "old", "controller": true }] } });
    world.seen.job = Some(Arc::new(serde_json::from_value(job).unwrap()));
    assert!(world.seen.startable().is_some(), "a slot is claimed first");
    check(
        world.admitted(Admission::Queued { position: 1, limit: 1 }),
        "Queued/Queued  #1",
    );
    world.admitted(Admission::Admitted).follow();
    check(
        world.admitted(Admission::Settling),
        "Starting/Starting +Admitted look+5s",
    );
    check(
        world.admitted(Admission::NameTaken),
        "Failed/NameConflict +Admitted +Failed",
    );
}

#[test]
fn a_job_that_was_not_released_is_released_and_then_waited_for() {
    let mut world = World::started();
    let hold = |world: &mut World, back: bool| {
        let job = Arc::make_mut(world.seen.job.as_mut().unwrap());
        job.spec.as_mut().unwrap().suspend = Some(back);
    };
    hold(&mut world, true);
    assert_eq!(world.plan().step, Some(Step::ReleaseJob));
    assert_eq!(world.plan().status.phase, Some(TaskPhase::Starting));
    hold(&mut world, false);
    assert_eq!(world.plan().step, None);
}

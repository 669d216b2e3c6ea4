//! Whole plans of sessions, through one `check`.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use longshore_crds::{AgentClass, AgentClassSpec, DesiredState, PersistentSession, Topic, meta};
use longshore_wire::agent::AgentKind;
use longshore_wire::api::{Busy, Memory, RunnerState, Status, Usage};
use proptest::prelude::*;
use serde_json::json;

use super::*;

mod lifecycle;

use crate::conditions::{merge, yes};
use crate::settings::Settings;

const UID: &str = "7f7a36ea-5c4f-4d0e-8a2b-111111111111";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn settings() -> Settings {
    Settings {
        notice_url: Some("http://op:7412".to_owned()),
        ..Settings::example()
    }
}

/// A session, its objects, and what was learnt of them.
#[derive(Clone, Debug)]
struct World {
    seen: Observed,
    admission: Admission,
    contact: Contact,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let mut session = PersistentSession::new(
            "deep",
            serde_json::from_value(json!({
                "topicRef": { "name": "build" }, "prompt": "fix it"
            }))
            .unwrap(),
        );
        session.metadata.namespace = Some("ns".to_owned());
        session.metadata.uid = Some(UID.to_owned());
        session.metadata.generation = Some(1);
        session.metadata.finalizers = Some(vec![meta::SUMMARY_FINALIZER.to_owned()]);
        let mut topic = Topic::new("build", serde_json::from_value(json!({})).unwrap());
        topic.metadata.uid = Some("topic".to_owned());
        topic.status = Some(longshore_crds::TopicStatus {
            conditions: merge(&[], vec![yes(types::READY, reasons::CLAIM_CREATED, "")], None, at(0)),
            ..Default::default()
        });
        let class = AgentClass::new("default", AgentClassSpec::default());
        let seen = Observed {
            session: Arc::new(session),
            topic: Some(Arc::new(topic)),
            class_name: Some("default".to_owned()),
            class: Some(Arc::new(class)),
            namespace_class: None,
            rival: None,
            stateful_set: None,
            pod: None,
        };
        Self {
            seen,
            admission: Admission::NotAsked,
            contact: Contact::NotTried,
            now: at(100),
        }
    }

    fn plan(&self) -> Plan {
        plan(&self.seen, &self.admission, &self.contact, &settings(), self.now)
    }

    fn session(&mut self, change: impl FnOnce(&mut PersistentSession)) -> &mut Self {
        change(Arc::make_mut(&mut self.seen.session));
        self
    }

    fn desired(&mut self, state: DesiredState) -> &mut Self {
        self.session(|s| s.spec.desired_state = state)
    }

    /// Sets the annotation, as bot and people do.
    fn wake(&mut self, wish: &str) -> &mut Self {
        self.session(|s| {
            s.annotations_mut().insert(meta::WAKE.to_owned(), wish.to_owned());
        })
    }

    fn admitted(&mut self, admission: Admission) -> &mut Self {
        self.admission = admission;
        self
    }

    fn go(&mut self) -> &mut Self {
        self.admitted(Admission::Go {
            token_sha256: vec!["digest".to_owned()],
        })
    }

    fn later(&mut self, seconds: i64) -> &mut Self {
        self.now = at(self.now.as_second() + seconds);
        self
    }

    fn hears(&mut self, state: RunnerState) -> &mut Self {
        self.contact = Contact::Met(Box::new(Met {
            endpoint: "10.0.0.9:7411".to_owned(),
            status: runner(state),
            accepted: true,
            result: None,
            refused: false,
            quiesced_at: (state == RunnerState::Quiesced).then_some(self.now),
        }));
        self
    }

    /// Does what the plan says, as API server, StatefulSet controller and runner would.
    fn follow(&mut self) -> Plan {
        let plan = self.plan();
        self.session(|s| s.status = Some(plan.status.clone()));
        match plan.step.clone() {
            Some(Step::Create(set) | Step::Start(set)) => {
                self.seen.stateful_set = Some(Arc::from(set));
                self.seen.pod = Some(Arc::new(pod()));
            }
            Some(Step::Stop) => {
                let set = Arc::make_mut(self.seen.stateful_set.as_mut().unwrap());
                set.spec.as_mut().unwrap().replicas = Some(0);
                self.seen.pod = None;
                self.contact = Contact::NotTried;
            }
            Some(Step::Delete) => {
                self.seen.stateful_set = None;
                self.seen.pod = None;
                self.contact = Contact::NotTried;
            }
            Some(Step::Guard) => {
                self.session(|s| s.finalizers_mut().push(meta::SUMMARY_FINALIZER.to_owned()));
            }
            Some(Step::Unguard) => {
                self.session(|s| s.finalizers_mut().clear());
            }
            Some(Step::ReleaseSlot | Step::Warn(_)) | None => {}
        }
        plan
    }

    /// A session whose runner accepts messages.
    fn running() -> Self {
        let mut world = Self::new();
        world.admitted(Admission::Admitted).follow();
        world.go().follow();
        world.admitted(Admission::NotAsked).hears(RunnerState::Ready).follow();
        world
    }

    fn suspended() -> Self {
        let mut world = Self::running();
        world.desired(DesiredState::Suspended).follow();
        world.hears(RunnerState::Quiesced).follow();
        world.follow();
        world
    }
}

fn pod() -> Pod {
    serde_json::from_value(json!({
        "metadata": { "name": "ls-build-0", "labels": { "longshore.dev/uid": UID } },
        "status": { "podIP": "10.0.0.9", "startTime": "1970-01-01T00:01:35Z" },
    }))
    .unwrap()
}

fn runner(state: RunnerState) -> Status {
    Status {
        version: "0.1.0".to_owned(),
        claude_version: None,
        claude_pid: None,
        kind: AgentKind::Session,
        uid: UID.parse().unwrap(),
        state,
        problem: None,
        busy: Vec::new(),
        last_activity: at(0),
        unfinished: Vec::new(),
        approvals: Vec::new(),
        memory: Memory::default(),
        disk: longshore_wire::api::Disk::default(),
        usage: Usage {
            turns: 1,
            input_tokens: 2,
            output_tokens: 3,
            cost_usd: "0.01".to_owned(),
        },
        seq: 1,
        acked: 0,
        restarts: 0,
        summary: None,
        summary_error: None,
        recycled: 0,
        undelivered: Vec::new(),
        claude: Default::default(),
    }
}

/// A plan in one line: phase, step, conditions as `+Type/Reason` or `-Type/Reason` but for what is ordinary of
/// memory, volume and summary, position, next look but for what is a quarter of an hour away.
fn line(plan: &Plan, now: Timestamp) -> String {
    let step = match &plan.step {
        None => "",
        Some(Step::Create(_)) => " create",
        Some(Step::Start(_)) => " start",
        Some(Step::Stop) => " stop",
        Some(Step::Guard) => " guard",
        Some(Step::Unguard) => " unguard",
        Some(Step::Warn(_)) => " warn",
        Some(Step::Delete) => " delete",
        Some(Step::ReleaseSlot) => " release",
    };
    let conditions: Vec<String> = plan
        .status
        .conditions
        .iter()
        .filter(|c| !["BelowThreshold", "EnoughSpace", "Pending"].contains(&c.reason.as_str()))
        .map(|c| format!("{}{}/{}", if c.status == "True" { '+' } else { '-' }, c.type_, c.reason))
        .collect();
    let queue = plan.status.queue_position.map(|n| format!(" #{n}")).unwrap_or_default();
    let look = plan
        .next_deadline
        .filter(|t| t.as_second() - now.as_second() < 900)
        .map(|t| format!(" look+{}ms", t.as_millisecond() - now.as_millisecond()))
        .unwrap_or_default();
    format!(
        "{:?}{step} {}{queue}{look}",
        plan.status.phase.unwrap(),
        conditions.join(" ")
    )
}

fn check(world: &World, expected: &str) {
    let expected = expected.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(line(&world.plan(), world.now), expected);
}

const QUIET: &str = "-Active/Unknown -Suspended/NotSuspended -Ended/NotEnded";

#[test]
fn a_slot_stands_in_the_status_before_there_is_a_stateful_set() {
    let mut world = World::new();
    world.admitted(Admission::Queued { position: 2, limit: 2 });
    check(&world, &format!("Queued -Admitted/Queued -Ready/Queued {QUIET} #2"));
    world.follow();
    world.admitted(Admission::Admitted);
    check(&world, &format!("Starting +Admitted/Admitted -Ready/Starting {QUIET}"));
    world.follow();
    world.go();
    check(
        &world,
        &format!("Starting create +Admitted/Admitted -Ready/Starting {QUIET}"),
    );
    let before = world.seen.session.status.clone();
    world.follow();
    assert_eq!(
        world.seen.session.status, before,
        "creating costs no second status write"
    );
}

#[test]
fn a_session_is_ready_when_its_runner_accepts_messages() {
    let mut world = World::new();
    world.admitted(Admission::Admitted).follow();
    world.go().follow();
    world.admitted(Admission::NotAsked);
    check(&world, &format!("Starting +Admitted/Admitted -Ready/Starting {QUIET}"));
    world.contact = Contact::Failed("connection refused".to_owned());
    check(
        &world,
        &format!("Starting +Admitted/Admitted -Ready/Starting {QUIET} look+200ms"),
    );
    world.hears(RunnerState::Starting);
    check(
        &world,
        "Running +Admitted/Admitted +Ready/Ready -Active/Idle -Suspended/NotSuspended -Ended/NotEnded",
    );
    assert_eq!(world.plan().status.endpoint.as_deref(), Some("10.0.0.9:7411"));
    assert_eq!(world.plan().status.claude_session_id.as_deref(), Some(UID));
}

#[test]
fn chatting_costs_no_status_write() {
    let mut world = World::running();
    let before = world.seen.session.status.clone();
    if let Contact::Met(met) = &mut world.contact {
        met.status.busy = vec![Busy::TurnRunning];
        met.status.usage.turns = 99;
        met.status.restarts = 1;
    }
    assert_eq!(Some(world.plan().status), before);
}

#[test]
fn what_stands_in_the_way_is_said() {
    let check_without = |change: &dyn Fn(&mut Observed), reason: &str| {
        let mut world = World::new();
        change(&mut world.seen);
        check(&world, &format!("Queued -Admitted/{reason} -Ready/{reason} {QUIET}"));
    };
    check_without(&|seen| seen.topic = None, "TopicNotFound");
    check_without(
        &|seen| Arc::make_mut(seen.topic.as_mut().unwrap()).status = None,
        "Starting",
    );
    check_without(&|seen| seen.class = None, "ClassNotFound");
    check_without(&|seen| seen.rival = Some("other".to_owned()), "TopicBusy");
}

#[test]
fn a_session_that_cannot_have_the_topic_gives_its_slot_back() {
    let mut world = World::new();
    world.admitted(Admission::Admitted).follow();
    world.admitted(Admission::TopicBusy("other".to_owned()));
    check(
        &world,
        &format!("Queued release -Admitted/TopicBusy -Ready/TopicBusy {QUIET}"),
    );
    world.admitted(Admission::WaitingForTask("quick".to_owned()));
    check(
        &world,
        &format!("Queued +Admitted/Admitted -Ready/WaitingForTask {QUIET} look+5000ms"),
    );
    world.admitted(Admission::NameTaken("StatefulSet ns/ls-build".to_owned()));
    check(
        &world,
        &format!("Starting +Admitted/Admitted -Ready/NameConflict {QUIET} look+300000ms"),
    );
}

#[test]
fn trouble_of_the_pod_and_of_claude_is_the_reason() {
    let mut world = World::running();
    world.contact = Contact::NotTried;
    let broken = json!({ "metadata": {}, "status": { "containerStatuses": [{
        "name": "agent", "image": "a", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "waiting": { "reason": "ImagePullBackOff", "message": "x" } } }] } });
    world.seen.pod = Some(Arc::new(serde_json::from_value(broken).unwrap()));
    check(&world, &format!("Starting +Admitted/Admitted -Ready/ImagePull {QUIET}"));

    for (kind, reason) in [
        ("notLoggedIn", "AgentNotLoggedIn"),
        ("repositoryCloneFailed", "RepositoryCloneFailed"),
    ] {
        let mut world = World::running();
        world.hears(RunnerState::Failed);
        if let Contact::Met(met) = &mut world.contact {
            met.status.problem = Some(serde_json::from_value(json!({ "kind": kind, "message": "do this" })).unwrap());
        }
        let rest = "-Active/Idle -Suspended/NotSuspended -Ended/NotEnded";
        check(&world, &format!("Starting +Admitted/Admitted -Ready/{reason} {rest}"));
    }
}

#[test]
fn a_lost_pod_is_resumed_not_started() {
    let mut world = World::running();
    world.seen.pod = None;
    world.contact = Contact::NotTried;
    check(&world, &format!("Starting +Admitted/Admitted -Ready/Resuming {QUIET}"));
}

#[test]
fn suspension_is_persisted_before_the_runner_hears_of_it_and_frees_the_slot_at_the_end() {
    let mut world = World::running();
    world.desired(DesiredState::Suspended);
    let suspending = "Suspending +Admitted/Admitted -Ready/Suspended -Active/Unknown -Suspended/Requested -Ended/NotEnded look+5000ms";
    check(&world, suspending);
    world.follow();
    assert_eq!(
        world
            .seen
            .session
            .status
            .as_ref()
            .unwrap()
            .drain_deadline
            .as_ref()
            .unwrap()
            .0,
        at(220)
    );
    world.hears(RunnerState::Quiescing).later(60);
    check(&world, suspending);
    world.hears(RunnerState::Quiesced);
    let suspended = "-Admitted/Suspended -Ready/Suspended -Active/Unknown +Suspended/Requested +Summarized/NothingNew -Ended/NotEnded";
    check(&world, &format!("Suspended {suspended}"));
    world.follow();
    check(&world, &format!("Suspended stop {suspended}"));
    world.follow();
    check(&world, &format!("Suspended {suspended}"));
}

#[test]
fn a_runner_that_does_not_wind_down_is_stopped_at_the_deadline() {
    for deaf in [Contact::Failed("timeout".to_owned()), {
        World::running().hears(RunnerState::Quiescing).contact.clone()
    }] {
        let mut world = World::running();
        world.desired(DesiredState::Suspended).follow();
        world.contact = deaf;
        world.later(119);
        assert_eq!(world.plan().step, None);
        assert_eq!(world.plan().next_deadline, Some(at(220)));
        world.later(1).follow();
        assert_eq!(world.plan().step, Some(Step::Stop), "first the status, then the pod");
    }
}

#[test]
fn a_suspended_session_resumes_with_a_fresh_template() {
    let mut world = World::suspended();
    world.desired(DesiredState::Running).admitted(Admission::Admitted);
    let resuming = "-Active/Unknown -Suspended/NotSuspended +Summarized/NothingNew -Ended/NotEnded";
    check(
        &world,
        &format!("Starting +Admitted/Admitted -Ready/Resuming {resuming}"),
    );
    world.follow();
    Arc::make_mut(world.seen.class.as_mut().unwrap()).spec.image = Some("agent:2".to_owned());
    let plan = world.go().plan();
    let Some(Step::Start(set)) = plan.step else {
        panic!("{plan:?}")
    };
    let spec = set.spec.unwrap();
    assert_eq!(spec.replicas, Some(1));
    assert_eq!(
        spec.template.spec.unwrap().containers[0].image.as_deref(),
        Some("agent:2")
    );
}

#[test]
fn a_suspension_that_has_begun_is_finished_before_the_session_runs_again() {
    let mut world = World::running();
    world.desired(DesiredState::Suspended).follow();
    world.desired(DesiredState::Running).hears(RunnerState::Quiescing);
    assert_eq!(world.plan().step, None);
    world.hears(RunnerState::Quiesced).follow();
    assert_eq!(world.plan().step, Some(Step::Stop));
    world.follow();
    world.admitted(Admission::Admitted);
    assert_eq!(world.plan().status.phase, Some(SessionPhase::Starting));
}

#[test]
fn an_ended_session_keeps_its_summary_and_loses_its_stateful_set() {
    let mut world = World::running();
    world.session(|s| {
        s.annotations_mut()
            .insert("longshore.dev/end".to_owned(), "done".to_owned());
    });
    check(
        &world,
        "Ending +Admitted/Admitted -Ready/Ended -Active/Unknown -Suspended/NotSuspended -Ended/UserEnded look+5000ms",
    );
    world.follow();
    world.hears(RunnerState::Quiesced);
    if let Contact::Met(met) = &mut world.contact {
        let text = "x".repeat(9000);
        met.status.summary = Some(longshore_wire::api::Summary {
            path: "state/summaries/a.md".to_owned(),
            time: at(5),
            text,
        });
    }
    let ended = "Ended -Admitted/Ended -Ready/Ended -Active/Unknown -Suspended/NotSuspended +Summarized/Written +Ended/UserEnded";
    check(&world, ended);
    assert_eq!(world.plan().step, None, "first the status, then the children");
    world.follow();
    assert_eq!(
        world
            .seen
            .session
            .status
            .as_ref()
            .unwrap()
            .summary
            .as_ref()
            .unwrap()
            .text
            .len(),
        4096
    );
    assert_eq!(world.plan().step, Some(Step::Delete));
    world.follow();
    assert_eq!(world.plan().step, Some(Step::Unguard));
    world.follow();
    assert_eq!(world.plan().step, None);
}

#[test]
fn a_session_without_a_pod_ends_at_once() {
    let mut world = World::new();
    world.desired(DesiredState::Ended);
    assert_eq!(world.plan().status.phase, Some(SessionPhase::Ended));
    let mut world = World::suspended();
    world.desired(DesiredState::Ended);
    assert_eq!(world.plan().status.phase, Some(SessionPhase::Ended));
    world.follow();
    assert_eq!(world.plan().step, Some(Step::Delete));
}

#[test]
fn a_session_that_is_being_deleted_without_our_finalizer_is_left_to_the_garbage_collector() {
    let mut world = World::running();
    world.session(|s| {
        s.metadata.deletion_timestamp = Some(Time(at(1)));
        s.metadata.finalizers = None;
    });
    let plan = world.plan();
    assert_eq!(
        (plan.step, Some(plan.status)),
        (None, world.seen.session.status.clone())
    );
}

#[test]
fn the_stateful_set_is_as_written_down() {
    let mut world = World::new();
    world.admitted(Admission::Admitted).follow();
    let Some(Step::Create(set)) = world.go().plan().step else {
        panic!("no StatefulSet")
    };
    insta::assert_yaml_snapshot!(*set as StatefulSet);
}

#[test]
fn a_step_that_fails_is_not_taken_for_done() {
    let mut world = World::running();
    world.desired(DesiredState::Suspended).follow();
    world.hears(RunnerState::Quiesced).follow();
    let plan = world.plan();
    assert_eq!(plan.step, Some(Step::Stop));
    let error = Error::Timeout {
        what: "StatefulSet".to_owned(),
    };
    let hindered = plan.hindered(&world.seen, &error, world.now);
    assert_eq!(Some(hindered.status), world.seen.session.status.clone());
}

/// What may happen to a session between two passes.
#[derive(Clone, Debug)]
enum Happening {
    Wish(DesiredState),
    Admission(u8),
    Runner(RunnerState),
    Silence,
    PodLost,
    Woken(u8),
    Refused,
    Deleted,
    Time(i64),
    Pass,
}

fn happening() -> impl Strategy<Value = Happening> {
    use RunnerState::{Failed, Quiesced, Quiescing, Ready, Starting};
    prop_oneof![
        prop_oneof![
            Just(DesiredState::Running),
            Just(DesiredState::Suspended),
            Just(DesiredState::Ended)
        ]
        .prop_map(Happening::Wish),
        (0..5_u8).prop_map(Happening::Admission),
        prop_oneof![
            Just(Starting),
            Just(Ready),
            Just(Quiescing),
            Just(Quiesced),
            Just(Failed)
        ]
        .prop_map(Happening::Runner),
        Just(Happening::Silence),
        Just(Happening::PodLost),
        (0..3_u8).prop_map(Happening::Woken),
        Just(Happening::Refused),
        (0..4000_i64).prop_map(Happening::Time),
        Just(Happening::Pass),
        Just(Happening::Pass),
        Just(Happening::Deleted),
    ]
}

impl World {
    fn happen(&mut self, what: Happening) {
        let has_pod = self.seen.pod.is_some();
        match what {
            // Ended is one-way, by the schema.
            Happening::Wish(state) if self.seen.session.spec.desired_state != DesiredState::Ended => {
                self.desired(state);
            }
            Happening::Wish(_) => {}
            Happening::Admission(0) => drop(self.admitted(Admission::NotAsked)),
            Happening::Admission(1) => drop(self.admitted(Admission::Queued { position: 1, limit: 1 })),
            Happening::Admission(2) => drop(self.admitted(Admission::Admitted)),
            Happening::Admission(3) => drop(self.admitted(Admission::TopicBusy("other".to_owned()))),
            Happening::Admission(_) if self.seen.holds(types::ADMITTED) => drop(self.go()),
            Happening::Admission(_) => {}
            Happening::Runner(state) if has_pod => drop(self.hears(state)),
            Happening::Silence if has_pod => self.contact = Contact::Failed("silence".to_owned()),
            Happening::Runner(_) | Happening::Silence => {}
            Happening::PodLost => {
                self.seen.pod = None;
                self.contact = Contact::NotTried;
            }
            Happening::Woken(wish) => drop(self.wake(&wish.to_string())),
            Happening::Refused => {
                if let Contact::Met(met) = &mut self.contact {
                    met.refused = met.status.state == RunnerState::Ready;
                }
            }
            Happening::Deleted => drop(self.session(|s| s.metadata.deletion_timestamp = Some(Time(at(1))))),
            Happening::Time(seconds) => drop(self.later(seconds)),
            Happening::Pass => drop(self.follow()),
        }
        if stage(&self.seen, self.now) != Stage::Waiting {
            self.admission = Admission::NotAsked;
        }
    }
}

proptest! {
    #[test]
    fn a_plan_is_a_fixpoint_after_its_own_effects(story in proptest::collection::vec(happening(), 0..40)) {
        let mut world = World::new();
        for what in story {
            world.happen(what);
        }
        for _ in 0..6 {
            world.follow();
            if stage(&world.seen, world.now) != Stage::Waiting || matches!(world.admission, Admission::Go { .. }) {
                world.admission = Admission::NotAsked;
            }
        }
        let settled = world.plan();
        prop_assert_eq!(&settled.step, &None);
        prop_assert_eq!(Some(&settled.status), world.seen.session.status.as_ref());
        prop_assert!(settled.news.is_empty());
    }

    #[test]
    fn whatever_happens_winding_down_comes_to_an_end(story in proptest::collection::vec(happening(), 0..40)) {
        let mut world = World::new();
        for what in story {
            world.happen(what);
        }
        world.desired(DesiredState::Ended);
        for _ in 0..5 {
            world.admission = Admission::NotAsked;
            world.follow();
            world.later(121);
        }
        prop_assert!(crate::session::is_over(&world.seen.session));
        prop_assert!(world.seen.stateful_set.is_none());
        prop_assert!(world.seen.session.finalizers().is_empty());
    }
}

#[test]
fn a_slot_that_the_status_does_not_know_of_is_given_back_too() {
    let mut world = World::new();
    world.seen.rival = Some("other".to_owned());
    world.follow();
    assert_eq!(world.plan().step, None, "there is nothing to give back");
    let claim = crate::session::claim(&world.seen.session);
    let slot = crate::ledger::entry(longshore_crds::SlotKind::Session, &claim, None, at(0));
    Arc::make_mut(world.seen.class.as_mut().unwrap()).status = Some(longshore_crds::AgentClassStatus {
        slots: vec![slot],
        ..Default::default()
    });
    assert_eq!(world.plan().step, Some(Step::ReleaseSlot));
}

#[test]
fn a_session_whose_topic_was_deleted_or_made_anew_says_so_instead_of_an_endpoint_that_nobody_can_open() {
    let mut world = World::running();
    let labels = Arc::make_mut(world.seen.pod.as_mut().unwrap()).labels_mut();
    labels.insert("longshore.dev/topic-uid".to_owned(), "topic".to_owned());
    let ready = |world: &World| {
        let plan = world.plan();
        let ready = plan.status.conditions.iter().find(|c| c.type_ == types::READY).unwrap();
        (plan.status.phase, ready.reason.clone(), plan.status.endpoint)
    };
    let endpoint = Some("10.0.0.9:7411".to_owned());
    let running = Some(SessionPhase::Running);
    assert_eq!(ready(&world), (running, "Ready".to_owned(), endpoint));
    Arc::make_mut(world.seen.topic.as_mut().unwrap()).metadata.uid = Some("another".to_owned());
    assert_eq!(ready(&world), (running, "TopicNotFound".to_owned(), None));
    world.seen.topic = None;
    assert_eq!(ready(&world), (running, "TopicNotFound".to_owned(), None));
}

//! Runs that go to sessions, in simulated time.

use longshore_crds::HandOver;

use super::*;

const DUE: &str = "2026-01-01T09:00:00Z";

/// A session of the topic in this phase, as its status would say it.
pub fn session(name: &str, phase: &str) -> PersistentSession {
    let at = "2026-01-01T00:00:00Z";
    let is = |kind: &str, holds: bool, reason: &str| {
        json!({ "type": kind, "status": if holds { "True" } else { "False" }, "reason": reason, "message": "",
            "lastTransitionTime": at })
    };
    let conditions = [
        is("Admitted", matches!(phase, "Starting" | "Running"), "Admitted"),
        is("Ready", phase == "Running", "Ready"),
        is("Suspended", phase == "Suspended", "IdleTimeout"),
        is("Ended", phase == "Ended", "UserEnded"),
    ];
    serde_json::from_value(json!({
        "apiVersion": "longshore.dev/v1alpha1", "kind": "PersistentSession",
        "metadata": { "name": name, "namespace": "ns", "uid": format!("{name}-uid"), "resourceVersion": "1" },
        "spec": { "topicRef": { "name": "t" } },
        "status": { "phase": phase, "startTime": at, "conditions": conditions },
    }))
    .unwrap()
}

impl World {
    /// The topic has a session in this phase, and a run is due every hour.
    fn with_session(phase: &str, spec: Value) -> Self {
        let mut whole = json!({ "schedule": "0 * * * *", "whileSessionActive": "ToSession" });
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let mut world = Self::new("2026-01-01T08:30:00Z", whole);
        world.sessions = vec![Arc::new(session("deep", phase))];
        world.pass();
        world.at(DUE);
        world
    }

    pub fn annotate(&mut self, asked: &PersistentSession, wish: &str) {
        for session in &mut self.sessions {
            if session.uid() == asked.uid() {
                Arc::make_mut(session)
                    .annotations_mut()
                    .insert(meta::WAKE.to_owned(), wish.to_owned());
            }
        }
    }

    /// The session goes on to this phase, and has seen the last wish.
    pub fn becomes(&mut self, phase: &str) -> &mut Self {
        for one in &mut self.sessions {
            let one = Arc::make_mut(one);
            let wish = one.annotations().get(meta::WAKE).cloned();
            let next = session(&one.name_any(), phase).status;
            one.status = next.map(|mut status| {
                status.observed_wake = wish;
                status
            });
        }
        self
    }

    pub fn edit(&mut self, change: impl Fn(&mut PersistentSession)) -> &mut Self {
        self.sessions.iter_mut().for_each(|one| change(Arc::make_mut(one)));
        self
    }

    fn step(&self) -> Option<HandOver> {
        self.status().pending.as_ref().map(|pending| pending.step)
    }

    fn wish(&self) -> Option<&str> {
        self.sessions[0].annotations().get(meta::WAKE).map(String::as_str)
    }

    fn last(&self) -> Option<String> {
        Some(self.status().last_schedule_time.as_ref()?.0.to_string())
    }

    fn check_taken(&mut self) {
        self.pass_with(Some(&Handed::Taken));
        assert_eq!((self.step(), self.status().active_count), (None, 0));
        assert_eq!(self.last().as_deref(), Some(DUE));
        assert_eq!(self.ready(), ("True", "Scheduled"));
        self.check_started(&[]);
    }
}

fn at_nine() -> String {
    "2026-01-01T09:00:00+00:00".to_owned()
}

#[test]
fn a_session_that_is_awake_is_given_the_run_once_that_stands_in_the_status() {
    let mut world = World::with_session("Running", json!({}));
    let plan = world.pass();
    assert_eq!(plan.steps, []);
    assert_eq!(world.step(), Some(HandOver::Giving));
    assert_eq!(world.status().active_count, 1);
    assert_eq!(world.ready(), ("True", "HandingOver"));
    let message = &world.status().conditions[0].message;
    assert!(message.contains("waits until session deep takes it"), "{message}");
    world.check_taken();
    assert_eq!(world.wish(), None);
}

#[test]
fn the_message_says_which_run_it_is_and_has_one_id_for_ever() {
    let world = World::with_session("Running", json!({ "timeZone": "Europe/Berlin", "prompt": "Report." }));
    let calendar = Calendar::read("0 * * * *", "Europe/Berlin").unwrap();
    let message = |when: &str| hand_over::message(&world.schedule, &calendar, at(when));
    let first = message(DUE);
    assert_eq!(
        (first.text.as_str(), first.author.as_deref()),
        ("Report.", Some("schedule daily, 2026-01-01 10:00"))
    );
    assert_eq!(first.id, message("2026-01-01T09:00:59Z").id);
    assert_ne!(first.id, message("2026-01-01T09:01:00Z").id);
    // Under another id, what was given already would be new.
    assert_eq!(first.id.to_string(), "cbc03a3c-422c-5b64-825d-68362f84b3a5");
}

#[test]
fn a_session_that_sleeps_is_woken_first_and_asked_once() {
    let mut world = World::with_session("Suspended", json!({}));
    assert_eq!(world.pass().steps, [], "the intent comes first");
    assert_eq!(world.step(), Some(HandOver::Waiting));
    let woken = world.pass();
    assert!(matches!(woken.steps.as_slice(), [Step::Wake { .. }]), "{woken:?}");
    assert_eq!(world.wish(), Some("schedule/uid/29454300"));
    world.becomes("Starting").pass();
    assert_eq!(
        world.step(),
        Some(HandOver::Waiting),
        "it is given only once it is Ready"
    );
    world.becomes("Running").pass();
    assert_eq!(world.step(), Some(HandOver::Giving));
    world.check_taken();
}

#[test]
fn a_session_that_falls_asleep_before_it_took_the_run_is_asked_again() {
    let mut world = World::with_session("Suspended", json!({}));
    world.pass();
    world.pass();
    world.becomes("Running").pass();
    world.pass_with(Some(&Handed::WindsDown));
    assert_eq!(world.step(), Some(HandOver::Waiting), "it has not got it for certain");
    world.pass();
    assert_eq!(world.step(), Some(HandOver::Waiting), "it is not tried again at once");
    world.becomes("Suspended").pass();
    assert_eq!(world.wish(), Some("schedule/uid/29454300/2"));
    world.becomes("Running").at("2026-01-01T09:00:30Z").pass();
    world.check_taken();
}

#[test]
fn without_a_session_of_its_own_a_topic_gets_a_task() {
    let mut world = World::with_session("Ended", json!({}));
    world.pass();
    world.check_started(&[&at_nine()]);
    let mut world = World::with_session("Running", json!({}));
    world
        .edit(|session| session.spec.desired_state = longshore_crds::DesiredState::Ended)
        .pass();
    world.check_started(&[&at_nine()]);
    assert_eq!(world.step(), None);
}

#[test]
fn a_session_that_ends_or_cannot_be_brought_back_before_it_has_the_run_leaves_it_to_a_task() {
    let ends: [fn(&mut World); 3] = [
        |world| {
            world.becomes("Ended");
        },
        |world| world.sessions.clear(),
        |world| {
            world.becomes("Suspended").edit(|session| {
                let status = session.status.as_mut().unwrap();
                let suspended = status.conditions.iter_mut().find(|one| one.type_ == "Suspended");
                suspended.unwrap().reason = "ResumeFailed".to_owned();
            });
        },
    ];
    for end in ends {
        let mut world = World::with_session("Suspended", json!({}));
        world.pass();
        world.pass();
        end(&mut world);
        world.pass();
        world.check_started(&[&at_nine()]);
        assert_eq!((world.step(), world.last().as_deref()), (None, Some(DUE)));
        assert_eq!(world.ready(), ("True", "Scheduled"));
    }
}

#[test]
fn a_run_that_another_session_of_the_same_name_could_take_does_not_go_there() {
    let mut world = World::with_session("Suspended", json!({}));
    world.pass();
    let mut other = session("deep", "Running");
    other.metadata.uid = Some("other".to_owned());
    world.sessions = vec![Arc::new(other)];
    world.pass();
    world.check_started(&[&at_nine()]);
}

#[test]
fn a_run_that_the_session_may_have_taken_is_not_started_another_way() {
    for unknown in [None, Some(Handed::Unknown("nobody answers".to_owned()))] {
        let mut world = World::with_session("Running", json!({}));
        world.pass();
        world.pass_with(unknown.as_ref());
        assert_eq!(world.step(), Some(HandOver::Giving), "it is tried again");
        world.becomes("Ended").pass();
        world.check_started(&[]);
        assert_eq!(world.missed(), Some((DUE.to_owned(), "HandOverUncertain")));
        assert_eq!(world.ready(), ("True", "HandOverUncertain"));
        world.until("2026-01-01T10:00:00Z");
        world.check_started(&["2026-01-01T10:00:00+00:00"]);
    }
}

#[test]
fn a_session_that_may_have_the_run_and_sleeps_is_woken_to_be_asked() {
    let mut world = World::with_session("Running", json!({}));
    world.pass();
    world.becomes("Suspended").pass();
    assert_eq!(world.wish(), Some("schedule/uid/29454300"));
    assert_eq!(world.step(), Some(HandOver::Giving));
    world.becomes("Running");
    world.check_taken();
}

#[test]
fn a_session_that_a_person_keeps_asleep_is_not_woken_and_the_run_is_left_out() {
    let hold = |session: &mut PersistentSession| session.spec.desired_state = longshore_crds::DesiredState::Suspended;
    let mut world = World::with_session("Suspended", json!({}));
    world.edit(hold).pass();
    assert_eq!(world.missed(), Some((DUE.to_owned(), "SessionSuspended")));
    assert_eq!((world.ready(), world.wish()), (("True", "SessionSuspended"), None));
    let mut world = World::with_session("Suspended", json!({}));
    world.pass();
    world.edit(hold).pass();
    assert_eq!(world.missed(), Some((DUE.to_owned(), "SessionSuspended")));
    let mut world = World::with_session("Running", json!({}));
    world.pass();
    world.becomes("Suspended").edit(hold).pass();
    assert_eq!(world.missed(), Some((DUE.to_owned(), "HandOverUncertain")));
    world.check_started(&[]);
}

#[test]
fn a_run_that_no_session_takes_in_time_is_left_out() {
    let mut world = World::with_session("Starting", json!({ "startingDeadlineSeconds": 60 }));
    world.pass();
    let plan = world.at("2026-01-01T09:00:58Z").pass();
    assert!(plan.next_look.is_some_and(|look| look <= at("2026-01-01T09:01:05Z")));
    assert_eq!(world.step(), Some(HandOver::Waiting));
    world.at("2026-01-01T09:01:01Z").becomes("Running").pass();
    assert_eq!(world.missed(), Some((DUE.to_owned(), "MissedDeadline")));
    assert_eq!(world.step(), None);
}

#[test]
fn what_falls_due_while_a_run_waits_for_its_session_is_up_to_the_policy() {
    let world = |policy: &str| {
        let mut world = World::with_session("Starting", json!({ "concurrencyPolicy": policy }));
        world.pass();
        world.at("2026-01-01T10:00:00Z").pass();
        world
    };
    let time = |world: &World| world.status().pending.as_ref().unwrap().schedule_time.0.to_string();
    let ten = "2026-01-01T10:00:00Z".to_owned();

    let mut forbid = world("Forbid");
    assert_eq!(
        (time(&forbid), forbid.missed()),
        (DUE.to_owned(), Some((ten.clone(), "PreviousRunActive")))
    );
    forbid.becomes("Ended").pass();
    forbid.check_started(&[&at_nine()]);
    forbid.at("2026-01-01T10:30:00Z").pass();
    forbid.check_started(&[]);

    let replace = world("Replace");
    assert_eq!(
        (time(&replace), replace.missed()),
        (ten, Some((DUE.to_owned(), "LaterRunDue")))
    );
    assert_eq!(replace.status().active_count, 1);

    let mut allow = world("Allow");
    assert_eq!((time(&allow), allow.missed()), (DUE.to_owned(), None));
    allow.becomes("Running").pass();
    allow.pass_with(Some(&Handed::Taken));
    assert_eq!(time(&allow), "2026-01-01T10:00:00Z", "it comes next");
    assert_eq!(allow.last().as_deref(), Some(DUE));
}

#[test]
fn a_schedule_that_is_suspended_or_changed_finishes_what_has_begun() {
    let mut world = World::with_session("Suspended", json!({}));
    world.pass();
    world.set("suspend", json!(true)).pass();
    assert!(world.wish().is_some());
    assert_eq!(world.ready(), ("False", "Suspended"));
    world.becomes("Running").pass();
    world.pass_with(Some(&Handed::Taken));
    assert_eq!((world.step(), world.last().as_deref()), (None, Some(DUE)));

    let mut world = World::with_session("Suspended", json!({}));
    world.pass();
    world.set("whileSessionActive", json!("QueueTask")).pass();
    world.check_started(&[&at_nine()]);
    let mut world = World::with_session("Suspended", json!({}));
    world.pass();
    world.set("schedule", json!("nonsense")).pass();
    assert_eq!(
        (world.step(), world.ready().1),
        (Some(HandOver::Waiting), "InvalidSchedule")
    );
    world.set("schedule", json!("30 7 * * *")).becomes("Running").pass();
    world.check_taken();
}

#[test]
fn a_task_that_a_run_has_become_is_not_forgotten_with_the_status() {
    let mut world = World::with_session("Suspended", json!({}));
    world.pass();
    // It ends, the task is made, and the operator dies; then somebody takes the wish to end back.
    world.edit(|session| {
        session.annotations_mut().insert(meta::END.to_owned(), "x".to_owned());
    });
    let lost = world.plan();
    world.carry_out(&lost);
    world.edit(|session| drop(session.annotations_mut().remove(meta::END)));
    world.becomes("Running").pass();
    assert_eq!((world.step(), world.last().as_deref()), (None, Some(DUE)));
    world.check_started(&[&at_nine()]);
    assert_eq!(world.status().active_count, 1);
}

#[test]
fn a_session_that_cannot_be_woken_is_said_and_tried_again() {
    let mut world = World::with_session("Suspended", json!({}));
    world.pass();
    let seen = world.seen();
    let error = Error::Timeout {
        what: "PersistentSession deep".to_owned(),
    };
    world.schedule.status = Some(world.plan().hindered(&seen, &error, world.now).status);
    assert_eq!(
        (world.ready(), world.step()),
        (("False", "CannotStart"), Some(HandOver::Waiting))
    );
    world.pass();
    assert_eq!(world.ready(), ("True", "HandingOver"));
    assert!(world.wish().is_some());
}

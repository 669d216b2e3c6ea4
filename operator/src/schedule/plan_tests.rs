//! Schedules in simulated time: what is planned is done, and time goes from one look to the next.

use std::sync::Arc;

use longshore_crds::{ContainerTaskStatus, ScheduledTask, Topic, meta};
use serde_json::{Value, json};

use super::*;
use crate::conditions::holds;

#[path = "hand_over_tests.rs"]
mod handing_over;
#[path = "race_tests.rs"]
mod race;

struct World {
    now: Timestamp,
    schedule: ScheduledTask,
    topic: Option<Arc<Topic>>,
    sessions: Vec<Arc<PersistentSession>>,
    runs: Vec<Arc<ContainerTask>>,
    /// Times that runs were started for, as clocks in the schedule's time zone show them.
    started: Vec<String>,
    born: u32,
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

impl World {
    /// The schedule was made at `now`.
    fn new(now: &str, spec: Value) -> Self {
        let mut whole = json!({ "topicRef": { "name": "t" }, "prompt": "p", "timeZone": "UTC" });
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let mut schedule = ScheduledTask::new("daily", serde_json::from_value(whole).unwrap());
        schedule.metadata.namespace = Some("ns".to_owned());
        schedule.metadata.uid = Some("uid".to_owned());
        schedule.metadata.generation = Some(1);
        schedule.metadata.creation_timestamp = Some(Time(at(now)));
        let telegram = json!({ "telegram": { "chatId": -7, "threadId": 9 } });
        Self {
            now: at(now),
            schedule,
            topic: Some(Arc::new(Topic::new("t", serde_json::from_value(telegram).unwrap()))),
            sessions: Vec::new(),
            runs: Vec::new(),
            started: Vec::new(),
            born: 0,
        }
    }

    fn seen(&self) -> Observed {
        Observed {
            schedule: Arc::new(self.schedule.clone()),
            topic: self.topic.clone(),
            runs: self.runs.clone(),
            sessions: self.sessions.clone(),
        }
    }

    fn plan(&self) -> Plan {
        plan(&self.seen(), None, self.now)
    }

    /// One pass; a second one right after it has nothing to do, unless this one has only persisted what the next one begins.
    fn pass(&mut self) -> Plan {
        self.pass_with(None)
    }

    /// The same, when a session has answered this to the run that it was given.
    fn pass_with(&mut self, handed: Option<&Handed>) -> Plan {
        let plan = plan(&self.seen(), handed, self.now);
        self.carry_out(&plan);
        let before = self.schedule.status.replace(plan.status.clone());
        if before.is_some_and(|before| before.pending != plan.status.pending) {
            return plan;
        }
        let again = self.plan();
        let expected = Plan {
            steps: Vec::new(),
            news: Vec::new(),
            ..again.clone()
        };
        assert_eq!(
            (&again, &again.status),
            (&expected, &plan.status),
            "no fixpoint at {}",
            self.now
        );
        plan
    }

    fn carry_out(&mut self, plan: &Plan) {
        for step in &plan.steps {
            match step {
                Step::Start(run) if self.runs.iter().all(|made| made.name_any() != run.name_any()) => {
                    let mut run = run.as_ref().clone();
                    run.metadata.uid = Some(format!("run-{}", self.born));
                    run.metadata.creation_timestamp = Some(Time(self.now));
                    self.born += 1;
                    self.started.push(run.annotations()[meta::SCHEDULED_FOR].clone());
                    self.runs.push(Arc::new(run));
                }
                Step::Start(_) => {}
                Step::Wake { session, wish } => self.annotate(session, wish),
                Step::Delete { uid, .. } => self.runs.retain(|run| run.uid().as_ref() != Some(uid)),
            }
        }
    }

    /// The operator works until then; every run is over at once, and its answer in the chat.
    fn until(&mut self, end: &str) -> &mut Self {
        let end = at(end);
        loop {
            let plan = self.pass();
            self.finish(types::COMPLETE, true);
            self.pass();
            if self.now >= end {
                return self;
            }
            // Looking at everything again every five minutes would only make the test slow.
            let resync = self.now + Duration::from_secs(3600);
            let look = plan.next_look.map_or(resync, |look| look.min(resync));
            assert!(look > self.now, "it looks again at once");
            self.now = look.min(end);
        }
    }

    fn at(&mut self, now: &str) -> &mut Self {
        self.now = at(now);
        self
    }

    fn set(&mut self, field: &str, value: Value) -> &mut Self {
        let mut spec = serde_json::to_value(&self.schedule.spec).unwrap();
        spec[field] = value;
        self.schedule.spec = serde_json::from_value(spec).unwrap();
        self.schedule.metadata.generation = self.schedule.metadata.generation.map(|generation| generation + 1);
        self
    }

    /// Ends all runs that are not over.
    fn finish(&mut self, how: &'static str, delivered: bool) {
        self.finish_by(how, reasons::COMPLETED, delivered);
    }

    fn finish_by(&mut self, how: &'static str, reason: &'static str, delivered: bool) {
        let verdict = yes(how, reason, "");
        for run in self.runs.iter_mut().filter(|run| !task::is_over(run)) {
            let run = Arc::make_mut(run);
            run.status = Some(ContainerTaskStatus {
                conditions: merge(&[], vec![verdict.clone()], None, self.now),
                completion_time: Some(Time(self.now)),
                ..ContainerTaskStatus::default()
            });
            if delivered {
                run.annotations_mut()
                    .insert(meta::DELIVERED.to_owned(), self.now.to_string());
            }
        }
    }

    fn status(&self) -> &ScheduledTaskStatus {
        self.schedule.status.as_ref().unwrap()
    }

    fn ready(&self) -> (&str, &str) {
        let ready = find(&self.status().conditions, types::READY).unwrap();
        (ready.status.as_str(), ready.reason.as_str())
    }

    fn missed(&self) -> Option<(String, &str)> {
        let missed = self.status().last_missed.as_ref()?;
        Some((missed.schedule_time.0.to_string(), missed.reason.as_str()))
    }

    /// Takes what was started since it was last asked.
    fn check_started(&mut self, expected: &[&str]) -> &mut Self {
        assert_eq!(std::mem::take(&mut self.started), expected);
        self
    }
}

#[test]
fn runs_are_started_at_their_time_and_carry_what_the_schedule_says() {
    let mut world = World::new(
        "2026-01-01T08:00:00Z",
        json!({ "schedule": "0 9 * * *", "agentClassName": "small", "timeoutSeconds": 60 }),
    );
    world.pass();
    assert_eq!(world.ready(), ("True", "Scheduled"));
    assert_eq!(
        world.status().next_schedule_time,
        Some(Time(at("2026-01-01T09:00:00Z")))
    );
    world.at("2026-01-01T09:00:00Z");
    let plan = world.pass();
    let [Step::Start(run)] = plan.steps.as_slice() else {
        panic!("{:?}", plan.steps)
    };
    assert_eq!(run.name_any(), "daily-29454300");
    assert_eq!(
        serde_json::to_value(&run.spec).unwrap(),
        json!({ "topicRef": { "name": "t" }, "prompt": "p", "agentClassName": "small", "timeoutSeconds": 60,
            "origin": { "telegram": { "chatId": -7, "threadId": 9 } } })
    );
    assert_eq!(run.owner_references()[0].uid, "uid");
    assert_eq!(crate::schedule::of_run(run), Some("daily"));
    assert_eq!(world.status().active, ["daily-29454300"]);
    assert_eq!(world.status().active_count, 1);
    let told: Vec<&str> = plan.news.iter().map(|news| news.reason.as_str()).collect();
    assert_eq!(told, ["Started"]);
    world.until("2026-01-03T12:00:00Z");
    assert_eq!(world.status().active_count, 0);
    world.check_started(&[
        "2026-01-01T09:00:00+00:00",
        "2026-01-02T09:00:00+00:00",
        "2026-01-03T09:00:00+00:00",
    ]);
}

#[test]
fn a_topic_without_a_chat_gets_runs_without_an_origin() {
    let mut world = World::new("2026-01-01T08:59:00Z", json!({ "schedule": "0 9 * * *" }));
    world.topic = Some(Arc::new(Topic::new("t", serde_json::from_value(json!({})).unwrap())));
    world.until("2026-01-01T09:00:00Z");
    assert_eq!(world.runs[0].spec.origin, None);
}

#[test]
fn nights_with_23_and_25_hours_have_one_daily_run_each_in_berlin_and_new_york() {
    let daily = |zone: &str| json!({ "schedule": "30 2 * * *", "timeZone": zone });
    let mut world = World::new("2026-03-28T12:00:00Z", daily("Europe/Berlin"));
    world.until("2026-03-30T12:00:00Z");
    world.check_started(&["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]);
    let mut world = World::new("2026-10-24T12:00:00Z", daily("Europe/Berlin"));
    world.until("2026-10-26T12:00:00Z");
    world.check_started(&["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]);
    let mut world = World::new("2026-03-07T12:00:00Z", daily("America/New_York"));
    world.until("2026-03-09T12:00:00Z");
    world.check_started(&["2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"]);
    let mut world = World::new(
        "2026-10-31T12:00:00Z",
        json!({ "schedule": "30 1 * * *", "timeZone": "America/New_York" }),
    );
    world.until("2026-11-02T12:00:00Z");
    world.check_started(&["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"]);
}

#[test]
fn an_hourly_schedule_runs_in_both_equal_hours_under_two_names() {
    let mut world = World::new(
        "2026-10-24T23:30:00Z",
        json!({ "schedule": "0 * * * *", "timeZone": "Europe/Berlin", "successfulTasksHistoryLimit": 10 }),
    );
    world.until("2026-10-25T02:00:00Z");
    world.check_started(&[
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ]);
    let names: std::collections::HashSet<String> = world.runs.iter().map(|run| run.name_any()).collect();
    assert_eq!(names.len(), 3);
}

#[test]
fn after_a_downtime_one_run_is_made_up_for() {
    let mut world = World::new("2026-01-01T08:00:00Z", json!({ "schedule": "0 * * * *" }));
    world.until("2026-01-01T08:30:00Z");
    // The operator is down for hours.
    world.at("2026-01-01T13:20:00Z").until("2026-01-01T14:00:00Z");
    world.check_started(&["2026-01-01T13:00:00+00:00", "2026-01-01T14:00:00+00:00"]);
    assert_eq!(world.missed(), Some(("2026-01-01T12:00:00Z".to_owned(), "LaterRunDue")));
    assert_eq!(world.ready(), ("True", "Scheduled"));
}

#[test]
fn a_schedule_that_was_made_while_the_operator_was_down_is_not_forgotten() {
    let mut world = World::new("2026-01-01T08:59:00Z", json!({ "schedule": "0 9 * * *" }));
    world.at("2026-01-01T09:05:00Z").pass();
    world.check_started(&["2026-01-01T09:00:00+00:00"]);
}

#[test]
fn a_run_that_would_start_too_late_is_recorded_and_left_out() {
    let spec = json!({ "schedule": "0 9 * * *", "startingDeadlineSeconds": 600 });
    let mut world = World::new("2026-01-01T08:00:00Z", spec);
    world.pass();
    world.at("2026-01-01T09:10:01Z");
    let plan = world.pass();
    assert_eq!(
        world.missed(),
        Some(("2026-01-01T09:00:00Z".to_owned(), "MissedDeadline"))
    );
    assert_eq!(world.ready(), ("True", "MissedDeadline"));
    assert_eq!(plan.news.len(), 1, "{:?}", plan.news);
    world.check_started(&[]);
    world
        .until("2026-01-02T09:00:00Z")
        .check_started(&["2026-01-02T09:00:00+00:00"]);
    assert_eq!(world.ready(), ("True", "Scheduled"));
    world.at("2026-01-03T09:10:00Z").pass();
    world.check_started(&["2026-01-03T09:00:00+00:00"]);
}

#[test]
fn what_falls_due_while_suspended_is_not_made_up_for() {
    let mut world = World::new("2026-01-01T08:30:00Z", json!({ "schedule": "0 * * * *" }));
    world
        .until("2026-01-01T09:30:00Z")
        .check_started(&["2026-01-01T09:00:00+00:00"]);
    world.set("suspend", json!(true)).until("2026-01-01T12:30:00Z");
    assert_eq!(world.ready(), ("False", "Suspended"));
    assert_eq!(world.status().next_schedule_time, None);
    world.check_started(&[]);
    world.set("suspend", json!(false)).until("2026-01-01T13:00:00Z");
    world.check_started(&["2026-01-01T13:00:00+00:00"]);
}

#[test]
fn a_changed_schedule_counts_from_the_change_and_another_prompt_changes_nothing() {
    let mut world = World::new("2026-01-01T08:30:00Z", json!({ "schedule": "0 12 * * *" }));
    world.pass();
    world
        .at("2026-01-01T10:00:00Z")
        .set("schedule", json!("0 9 * * *"))
        .pass();
    world.check_started(&[]);
    assert_eq!(
        world.status().next_schedule_time,
        Some(Time(at("2026-01-02T09:00:00Z")))
    );
    world.set("timeZone", json!("America/New_York")).pass();
    assert_eq!(
        world.status().next_schedule_time,
        Some(Time(at("2026-01-01T14:00:00Z")))
    );
    world.at("2026-01-01T14:01:00Z").set("prompt", json!("other")).pass();
    world.check_started(&["2026-01-01T09:00:00-05:00"]);
    assert_eq!(world.runs[0].spec.prompt, "other");
}

#[test]
fn a_clock_that_is_set_back_starts_no_run_twice_even_if_its_task_is_deleted() {
    let spec = json!({ "schedule": "*/10 * * * *", "successfulTasksHistoryLimit": 0 });
    let mut world = World::new("2026-01-01T08:55:00Z", spec);
    world.until("2026-01-01T09:15:00Z");
    world.check_started(&["2026-01-01T09:00:00+00:00", "2026-01-01T09:10:00+00:00"]);
    assert!(world.runs.is_empty());
    world.at("2026-01-01T08:50:00Z").until("2026-01-01T09:20:00Z");
    world.check_started(&["2026-01-01T09:20:00+00:00"]);
}

#[test]
fn a_clock_that_was_years_ahead_does_not_silence_a_schedule_that_is_resumed() {
    let mut world = World::new("2026-01-01T08:55:00Z", json!({ "schedule": "0 9 * * *" }));
    world.pass();
    world.at("2036-01-01T10:00:00Z").pass();
    world.check_started(&["2036-01-01T09:00:00+00:00"]);
    world
        .at("2026-01-01T08:56:00Z")
        .until("2026-01-01T10:00:00Z")
        .check_started(&[]);
    world.set("suspend", json!(true)).pass();
    world.set("suspend", json!(false)).until("2026-01-02T09:00:00Z");
    world.check_started(&["2026-01-02T09:00:00+00:00"]);
}

#[test]
fn a_run_whose_status_was_not_written_is_not_started_again() {
    for policy in ["Allow", "Forbid", "Replace"] {
        let spec = json!({ "schedule": "0 9 * * *", "concurrencyPolicy": policy });
        let mut world = World::new("2026-01-01T08:59:00Z", spec);
        world.pass();
        world.at("2026-01-01T09:00:00Z");
        let lost = world.plan();
        world.carry_out(&lost);
        world.at("2026-01-01T09:00:05Z").pass();
        world.check_started(&["2026-01-01T09:00:00+00:00"]);
        assert_eq!(world.runs.len(), 1, "{policy}");
        assert_eq!(world.missed(), None, "{policy}");
    }
}

#[test]
fn while_an_earlier_run_is_not_over_the_policy_decides() {
    let check = |policy: &str, names: &[&str], missed: Option<&str>| {
        let spec = json!({ "schedule": "0 * * * *", "concurrencyPolicy": policy });
        let mut world = World::new("2026-01-01T08:30:00Z", spec);
        world.at("2026-01-01T09:00:00Z").pass();
        world.at("2026-01-01T10:00:00Z").pass();
        let found: Vec<String> = world.runs.iter().map(|run| run.name_any()).collect();
        assert_eq!(found, names, "{policy}");
        assert_eq!(world.status().active, names, "{policy}");
        assert_eq!(world.missed().map(|(_, reason)| reason), missed, "{policy}");
        world.finish(types::COMPLETE, true);
        world.pass();
        assert_eq!(world.status().active_count, 0, "{policy}");
    };
    check("Allow", &["daily-29454300", "daily-29454360"], None);
    check("Forbid", &["daily-29454300"], Some("PreviousRunActive"));
    check("Replace", &["daily-29454360"], None);
}

#[test]
fn while_a_session_is_active_a_run_is_queued_or_left_out() {
    for (mode, started) in [("QueueTask", 1), ("Skip", 0)] {
        let spec = json!({ "schedule": "0 * * * *", "whileSessionActive": mode });
        let mut world = World::new("2026-01-01T08:30:00Z", spec);
        world.sessions = vec![Arc::new(handing_over::session("deep", "Running"))];
        world.until("2026-01-01T09:30:00Z");
        assert_eq!(world.started.len(), started, "{mode}");
        assert_eq!(
            world.ready().1,
            if started == 0 { "SessionActive" } else { "Scheduled" }
        );
        world.sessions.clear();
        world.until("2026-01-01T10:00:00Z");
        assert_eq!(world.started.len(), started + 1, "{mode}");
        assert_eq!(world.ready(), ("True", "Scheduled"));
    }
}

#[test]
fn without_its_topic_a_run_waits_until_its_deadline() {
    let spec = json!({ "schedule": "0 9 * * *", "startingDeadlineSeconds": 3600 });
    let mut world = World::new("2026-01-01T08:30:00Z", spec);
    let topic = world.topic.take();
    world.until("2026-01-01T09:30:00Z");
    assert_eq!(world.ready(), ("False", "TopicNotFound"));
    world.topic = topic;
    world.pass();
    world.check_started(&["2026-01-01T09:00:00+00:00"]);
    world.topic = None;
    world.at("2026-01-02T09:00:00Z").until("2026-01-02T10:01:00Z");
    assert_eq!(
        world.missed(),
        Some(("2026-01-02T09:00:00Z".to_owned(), "MissedDeadline"))
    );
    world.check_started(&[]);
}

#[test]
fn what_cannot_be_read_is_said_and_starts_nothing() {
    let check = |field: &str, bad: &str, reason: &str, says: &str| {
        let mut world = World::new("2026-01-01T08:30:00Z", json!({ "schedule": "0 9 * * *" }));
        world
            .set(field, json!(bad))
            .until("2026-01-01T10:00:00Z")
            .check_started(&[]);
        assert_eq!(world.ready(), ("False", reason));
        let message = &world.status().conditions[0].message;
        assert!(message.contains(says), "{message}");
        // Once it is corrected it counts from then.
        let good = if field == "schedule" { "0 11 * * *" } else { "Etc/GMT-1" };
        world.set(field, json!(good)).until("2026-01-02T11:00:00Z");
        assert_eq!(world.ready(), ("True", "Scheduled"));
        assert!(!world.started.is_empty());
    };
    check("schedule", "0 25 * * *", "InvalidSchedule", "write five fields");
    check("schedule", "0 0 31 2 *", "InvalidSchedule", "never comes true");
    check("timeZone", "Europe/Atlantis", "InvalidTimeZone", "write an IANA name");
}

#[test]
fn old_runs_are_deleted_once_their_answers_are_in_the_chat() {
    let spec = json!({ "schedule": "0 * * * *", "successfulTasksHistoryLimit": 2, "failedTasksHistoryLimit": 1 });
    let mut world = World::new("2026-01-01T08:30:00Z", spec);
    for hour in 9..16 {
        world.at(&format!("2026-01-01T{hour:02}:00:00Z")).pass();
        let how = if hour % 2 == 0 { types::FAILED } else { types::COMPLETE };
        world.finish(how, false);
    }
    world.pass();
    assert_eq!(world.runs.len(), 7, "an answer that the chat has not got was deleted");
    for run in &mut world.runs {
        Arc::make_mut(run)
            .annotations_mut()
            .insert(meta::DELIVERED.to_owned(), "then".to_owned());
    }
    world.pass();
    let kept: Vec<String> = world
        .runs
        .iter()
        .map(|run| run.annotations()[meta::SCHEDULED_FOR].clone())
        .collect();
    assert_eq!(
        kept,
        [
            "2026-01-01T13:00:00+00:00",
            "2026-01-01T14:00:00+00:00",
            "2026-01-01T15:00:00+00:00"
        ]
    );
    let failed = world
        .runs
        .iter()
        .filter(|run| holds(&run.status.as_ref().unwrap().conditions, types::FAILED));
    assert_eq!(failed.count(), 1);
}

#[test]
fn of_runs_that_were_not_needed_the_newest_stays_beside_the_answers_and_no_chat_is_waited_for() {
    let kept = |limit: i32| {
        let when = json!({ "command": ["./look"] });
        let spec = json!({ "schedule": "0 * * * *", "successfulTasksHistoryLimit": limit, "when": when });
        let mut world = World::new("2026-01-01T08:30:00Z", spec);
        for hour in 9..16 {
            world.at(&format!("2026-01-01T{hour:02}:00:00Z")).pass();
            assert_eq!(
                world.runs.last().unwrap().spec.when.as_ref().unwrap().command,
                ["./look"]
            );
            match hour {
                10 => world.finish(types::COMPLETE, true),
                _ => world.finish_by(types::COMPLETE, reasons::NOT_NEEDED, false),
            }
        }
        world.pass();
        let times = world
            .runs
            .iter()
            .map(|run| run.annotations()[meta::SCHEDULED_FOR][11..13].to_owned());
        times.collect::<Vec<_>>()
    };
    assert_eq!(kept(3), ["10", "15"]);
    assert_eq!(kept(0), Vec::<String>::new());
}

#[test]
fn answers_that_no_chat_takes_are_kept_for_a_week_and_no_more_than_a_hundred() {
    let spec = json!({ "schedule": "0 * * * *", "successfulTasksHistoryLimit": 0 });
    let mut world = World::new("2026-01-01T00:00:00Z", spec);
    for hour in 1..=150 {
        world.now = at("2026-01-01T00:00:00Z") + Duration::from_secs(3600 * hour);
        world.pass();
        world.finish(types::COMPLETE, false);
    }
    world.pass();
    assert_eq!(world.runs.len(), 100);
    world.set("suspend", json!(true)).at("2026-01-14T06:00:01Z").pass();
    assert!(world.runs.is_empty(), "{} are kept", world.runs.len());
}

#[test]
fn a_name_that_is_taken_costs_the_run_and_is_said() {
    let mut world = World::new("2026-01-01T08:30:00Z", json!({ "schedule": "0 9 * * *" }));
    world.pass();
    world.at("2026-01-01T09:00:00Z");
    let seen = world.seen();
    let refused = plan(&seen, None, world.now).name_taken(&seen, world.now);
    assert!(
        refused.news.iter().all(|news| news.reason != STARTED),
        "{:?}",
        refused.news
    );
    world.schedule.status = Some(refused.status);
    assert_eq!(world.ready(), ("True", "NameConflict"));
    assert_eq!(world.status().last_schedule_time, None);
    world
        .until("2026-01-02T09:00:00Z")
        .check_started(&["2026-01-02T09:00:00+00:00"]);
}

#[test]
fn a_run_that_cannot_be_made_stays_due_and_says_why() {
    let mut world = World::new("2026-01-01T08:30:00Z", json!({ "schedule": "0 9 * * *" }));
    world.pass();
    world.at("2026-01-01T09:00:00Z");
    let seen = world.seen();
    let error = |conflict: bool| match conflict {
        true => Error::Conflict { what: "it".to_owned() },
        false => Error::Timeout {
            what: "ContainerTask ns/daily-29454300".to_owned(),
        },
    };
    let unchanged = plan(&seen, None, world.now).hindered(&seen, &error(true), world.now);
    assert_eq!(Some(&unchanged.status), world.schedule.status.as_ref());
    let refused = plan(&seen, None, world.now).hindered(&seen, &error(false), world.now);
    world.schedule.status = Some(refused.status);
    assert_eq!(world.ready(), ("False", "CannotStart"));
    world.at("2026-01-01T09:00:30Z").pass();
    world.check_started(&["2026-01-01T09:00:00+00:00"]);
    assert_eq!(world.ready(), ("True", "Scheduled"));
}

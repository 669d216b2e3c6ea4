//! Deadlines, wake-ups, endings, limits: whole plans over time.

use longshore_crds::{Limits, OnIdle, WhenFull};
use longshore_wire::api::{Disk, IdleEnd, Memory, Undelivered};

use super::*;

impl World {
    /// Changes the class.
    fn class(&mut self, change: impl FnOnce(&mut AgentClassSpec)) -> &mut Self {
        change(&mut Arc::make_mut(self.seen.class.as_mut().unwrap()).spec);
        self
    }

    /// Changes what the runner says.
    fn says(&mut self, change: impl FnOnce(&mut Met)) -> &mut Self {
        let Contact::Met(met) = &mut self.contact else {
            panic!("nobody is there")
        };
        change(met);
        self
    }

    fn status(&self) -> &PersistentSessionStatus {
        self.seen.session.status.as_ref().unwrap()
    }

    fn until(&mut self, second: i64) -> &mut Self {
        self.now = at(second);
        self
    }

    fn reason(&self, condition: &str) -> String {
        let found = self.status().conditions.iter().find(|c| c.type_ == condition).unwrap();
        let sign = if found.status == "True" { '+' } else { '-' };
        format!("{sign}{}", found.reason)
    }

    /// A session with a chat that has been idle for its whole timeout, an hour since second 100.
    fn idle() -> Self {
        let mut world = Self::running();
        world.until(3700).follow();
        world
    }

    fn asleep() -> Self {
        let mut world = Self::idle();
        world.hears(RunnerState::Quiesced).follow();
        world.follow();
        world
    }

    fn pod_status(&mut self, status: serde_json::Value) {
        let pod = Arc::make_mut(self.seen.pod.as_mut().unwrap());
        pod.status = Some(serde_json::from_value(status).unwrap());
    }

    fn pod_waits(&mut self, reason: &str, message: &str) {
        self.pod_status(json!({ "containerStatuses": [{
            "name": "agent", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "waiting": { "reason": reason, "message": message } },
        }]}));
    }

    fn with_chat(&mut self) -> &mut Self {
        Arc::make_mut(self.seen.topic.as_mut().unwrap()).spec.telegram =
            Some(serde_json::from_value(json!({ "chatId": -7 })).unwrap());
        self
    }
}

fn answer(text: &str) -> Undelivered {
    Undelivered {
        message_ids: vec![longshore_wire::MessageId::from_object("m")],
        text: text.to_owned(),
        is_error: false,
    }
}

#[test]
fn an_idle_session_is_warned_of_suspended_and_stays_so_until_it_is_woken() {
    let mut world = World::running();
    assert_eq!(world.status().idle_deadline, Some(Time(at(3700))));
    assert_eq!(world.plan().next_deadline, Some(at(3640)));
    world.until(3640);
    let plan = world.plan();
    let warning = Warn {
        deadline: at(3700),
        then: IdleEnd::Suspend,
    };
    assert_eq!(
        (plan.step, plan.next_deadline),
        (Some(Step::Warn(warning)), Some(at(3700)))
    );
    assert_eq!(&plan.status, world.status(), "a warning costs no write");
    world.until(3700).follow();
    assert_eq!(world.status().phase, Some(SessionPhase::Suspending));
    assert_eq!(world.reason("Suspended"), "-IdleTimeout");
    assert_eq!(world.status().last_activity_time, Some(Time(at(100))));
    world.hears(RunnerState::Quiesced).follow();
    assert_eq!(world.reason("Suspended"), "+IdleTimeout");
    assert_eq!(world.plan().step, Some(Step::Stop));
    world.follow();
    for _ in 0..3 {
        world.later(3600);
        let plan = world.follow();
        assert_eq!((plan.step, plan.status.phase), (None, Some(SessionPhase::Suspended)));
    }
    assert_eq!(world.status().idle_deadline, None);
}

#[test]
fn a_session_that_is_never_ready_fails_in_time_and_says_what_was_in_the_way() {
    let mut world = World::new();
    world.go().follow();
    world.follow();
    assert_eq!(world.status().start_deadline, Some(Time(at(1000))));
    assert_eq!(world.plan().next_deadline, Some(at(1000)));
    world.pod_waits("ImagePullBackOff", "no such image");
    // It has an address all the same.
    world.contact = Contact::Failed("no answer".to_owned());
    world.until(999).follow();
    assert_eq!(world.reason("Ready"), "-ImagePull");
    assert_eq!(world.status().phase, Some(SessionPhase::Starting));
    assert_eq!(world.status().start_deadline, Some(Time(at(1000))));
    world.until(1000).follow();
    assert_eq!(
        (world.status().phase, world.reason("Ended").as_str()),
        (Some(SessionPhase::Ending), "-Failed")
    );
    world.follow();
    assert_eq!(world.reason("Ended"), "+Failed");
    let ended = world.status().conditions.iter().find(|c| c.type_ == "Ended").unwrap();
    insta::assert_snapshot!(ended.message, @"It was not Ready within startTimeoutSeconds. ImagePull: The image  cannot be pulled: no such image");
    assert_eq!(world.plan().step, Some(Step::Delete));
}

#[test]
fn a_session_that_is_not_ready_again_in_time_is_suspended_until_somebody_wakes_it() {
    let mut world = World::running();
    assert_eq!(world.status().start_deadline, None);
    world.contact = Contact::NotTried;
    world.pod_waits("CrashLoopBackOff", "exit 1");
    world.until(200).follow();
    assert_eq!(world.status().start_deadline, Some(Time(at(1100))));
    world.until(1100).follow();
    world.follow();
    assert_eq!(world.reason("Suspended"), "+ResumeFailed");
    assert!(
        world
            .status()
            .conditions
            .iter()
            .any(|c| c.message.contains("CrashLoop: The runner does not stay up"))
    );
    world.follow();
    assert_eq!(world.status().start_deadline, None);
    world.later(60).wake("again").follow();
    assert_eq!(world.status().phase, Some(SessionPhase::Starting));
    assert_eq!(world.status().start_deadline, Some(Time(at(1160 + 900))));
}

#[test]
fn a_session_that_gets_ready_in_the_last_moment_runs() {
    let mut world = World::new();
    world.go().follow();
    world.until(1000).hears(RunnerState::Ready).follow();
    assert_eq!(
        (world.status().phase, world.reason("Ready").as_str()),
        (Some(SessionPhase::Running), "+Ready")
    );
    assert_eq!(world.status().start_deadline, None);
}

#[test]
fn the_time_of_a_lost_node_does_not_count_as_starting() {
    let mut world = World::running();
    world.contact = Contact::Failed("no answer".to_owned());
    world.pod_status(json!({
        "conditions": [{ "type": "Ready", "status": "False" }],
        "containerStatuses": [{ "name": "agent", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": { "running": {} } }],
    }));
    world.until(200).follow();
    assert_eq!(
        (world.reason("Ready").as_str(), world.status().start_deadline.clone()),
        ("-NodeLost", None)
    );
    world.until(20_000).follow();
    assert_eq!(world.status().phase, Some(SessionPhase::Starting));
}

#[test]
fn what_keeps_a_stateful_set_from_being_made_does_not_keep_a_slot_for_ever() {
    let mut world = World::new();
    world.go();
    let refused = Error::Timeout {
        what: "StatefulSet ls-build".to_owned(),
    };
    for second in [100, 1000] {
        world.until(second);
        let plan = world.plan().hindered(&world.seen, &refused, world.now);
        world.session(|s| s.status = Some(plan.status));
    }
    assert_eq!(world.reason("Ended"), "-Failed");
    assert!(
        world
            .status()
            .conditions
            .iter()
            .any(|c| c.type_ == "Ended" && c.message.contains("took longer than"))
    );
}

#[test]
fn a_nearly_full_volume_is_said_until_there_is_room_again() {
    let mut world = World::running();
    assert_eq!(world.reason("DiskPressure"), "-EnoughSpace");
    let free = |world: &mut World, mib: u64| {
        let disk = Disk {
            free_bytes: mib << 20,
            total_bytes: 1000 << 20,
        };
        world.later(1).says(|met| met.status.disk = disk).follow();
        world.reason("DiskPressure")
    };
    assert_eq!(free(&mut world, 50), "-EnoughSpace");
    for mib in [49, 1, 99] {
        assert_eq!(free(&mut world, mib), "+NearlyFull");
    }
    world.contact = Contact::Failed("no answer".to_owned());
    world.follow();
    assert_eq!(world.reason("DiskPressure"), "+NearlyFull");
    world.hears(RunnerState::Ready);
    assert_eq!(free(&mut world, 100), "-EnoughSpace");
}

#[test]
fn activity_moves_the_deadline_and_is_written_only_when_the_old_one_nears() {
    let mut world = World::running();
    world
        .until(1000)
        .says(|met| met.status.last_activity = "1970-01-01T00:15:00.2Z".parse().unwrap());
    let plan = world.plan();
    assert_eq!(&plan.status, world.status());
    assert_eq!(plan.next_deadline, Some(at(901 + 3600 - 60)));
    world.until(3640).follow();
    assert_eq!(world.status().idle_deadline, Some(Time(at(901 + 3600))));
    assert_eq!(world.status().last_activity_time, Some(Time(at(901))));
    assert_eq!(world.plan().step, None, "nobody is warned of a deadline that has moved");
    let before = world.status().clone();
    world.until(4440).follow();
    assert_eq!(world.status(), &before);
}

#[test]
fn a_busy_session_is_not_idle_until_max_duration() {
    let mut world = World::running();
    for busy in [
        Busy::TurnRunning,
        Busy::BackgroundTask,
        Busy::WaitingForAnswer,
        Busy::TerminalAttached,
    ] {
        world.says(|met| met.status.busy = vec![busy]).later(3600);
        let plan = world.follow();
        assert_eq!((plan.step, plan.status.phase), (None, Some(SessionPhase::Running)));
        assert!(plan.status.idle_deadline.unwrap().0 > world.now);
    }
    world
        .class(|class| class.session.max_duration_seconds = 20_000)
        .until(20_100);
    world.follow();
    assert_eq!(world.reason("Ended"), "-MaxDuration");
    assert_eq!(world.status().phase, Some(SessionPhase::Ending));
    world.hears(RunnerState::Quiesced).follow();
    assert_eq!(world.reason("Ended"), "+MaxDuration");
}

#[test]
fn a_runner_that_is_not_idle_after_all_cancels() {
    for on_idle in [OnIdle::Suspend, OnIdle::End] {
        let mut world = World::running();
        world.class(|class| class.session.on_idle = on_idle);
        world.until(3700).follow();
        assert_ne!(world.status().phase, Some(SessionPhase::Running));
        world.later(1).hears(RunnerState::Ready).says(|met| met.refused = true);
        let plan = world.follow();
        assert_eq!(plan.status.phase, Some(SessionPhase::Running), "{on_idle:?}");
        assert_eq!(plan.status.idle_deadline, Some(Time(at(3701 + 3600))));
        assert_eq!(
            (plan.status.drain_deadline, world.reason("Ended").as_str()),
            (None, "-NotEnded")
        );
    }
}

#[test]
fn an_idle_session_ends_when_its_class_says_so() {
    let mut world = World::running();
    world.class(|class| class.session.on_idle = OnIdle::End);
    world.until(3690);
    assert!(matches!(
        world.plan().step,
        Some(Step::Warn(Warn { then: IdleEnd::End, .. }))
    ));
    world.until(3700).follow();
    assert_eq!(world.reason("Ended"), "-IdleTimeout");
    world.hears(RunnerState::Quiesced).follow();
    assert_eq!(world.reason("Ended"), "+IdleTimeout");
}

#[test]
fn a_wake_up_is_observed_in_the_pass_that_lets_the_session_run_again() {
    for (admission, phase) in [
        (Admission::Admitted, SessionPhase::Starting),
        (Admission::Queued { position: 1, limit: 1 }, SessionPhase::Queued),
    ] {
        let mut world = World::asleep();
        world.wake("w1").admitted(admission);
        let plan = world.follow();
        assert_eq!(plan.status.phase, Some(phase));
        assert_eq!(plan.status.observed_wake.as_deref(), Some("w1"));
        let again = world.plan();
        assert_eq!(again.status.observed_wake.as_deref(), Some("w1"));
    }
}

#[test]
fn two_wake_ups_are_one_start() {
    let mut world = World::asleep();
    world.wake("w1").admitted(Admission::Admitted).follow();
    world.wake("w2").go().follow();
    world.admitted(Admission::NotAsked).hears(RunnerState::Ready).follow();
    assert_eq!(world.status().observed_wake.as_deref(), Some("w2"));
    assert_eq!(world.plan().step, None);
    world.later(3600).follow();
    world.hears(RunnerState::Quiesced).follow();
    world.follow();
    world.follow();
    assert_eq!(
        world.status().phase,
        Some(SessionPhase::Suspended),
        "old wishes are spent"
    );
}

#[test]
fn a_wake_up_while_it_winds_down_is_never_lost() {
    let mut world = World::idle();
    world.wake("w1").hears(RunnerState::Ready);
    assert_eq!(
        world.plan().status.phase,
        Some(SessionPhase::Running),
        "nothing has begun"
    );

    world.hears(RunnerState::Quiescing);
    assert_eq!(&world.plan().status, world.status());
    world.hears(RunnerState::Quiesced).follow();
    assert_eq!(world.status().observed_wake, None);
    assert_eq!(world.plan().step, Some(Step::Stop), "what has begun is finished");
    world.follow();
    world.admitted(Admission::Admitted).follow();
    assert_eq!(world.status().phase, Some(SessionPhase::Starting));
    assert_eq!(world.status().observed_wake.as_deref(), Some("w1"));
}

#[test]
fn a_wish_to_rest_or_to_end_beats_a_wake_up() {
    let mut world = World::asleep();
    world.wake("w1").desired(DesiredState::Suspended);
    world.follow();
    assert_eq!(world.reason("Suspended"), "+Requested");
    assert_eq!(world.status().observed_wake, None);
    world.desired(DesiredState::Ended).follow();
    assert_eq!(world.reason("Ended"), "+UserEnded");
}

#[test]
fn a_session_that_a_person_suspended_runs_again_when_that_person_says_so() {
    let mut world = World::asleep();
    world.desired(DesiredState::Suspended).follow();
    world
        .desired(DesiredState::Running)
        .admitted(Admission::Admitted)
        .follow();
    assert_eq!(world.status().phase, Some(SessionPhase::Starting));
}

#[test]
fn a_wake_up_of_a_session_that_is_up_counts_as_activity_and_is_spent() {
    let mut world = World::running();
    world.until(3700).wake("w1");
    let plan = world.follow();
    assert_eq!(plan.status.phase, Some(SessionPhase::Running));
    assert_eq!(plan.status.observed_wake.as_deref(), Some("w1"));
    world.later(3599);
    assert_eq!(world.plan().status.phase, Some(SessionPhase::Running));
    world.later(1);
    assert_eq!(world.plan().status.phase, Some(SessionPhase::Suspending));
}

#[test]
fn a_session_that_came_back_is_not_idle_at_once_however_old_its_conversation() {
    let mut world = World::asleep();
    world.until(90_000).wake("w1").admitted(Admission::Admitted).follow();
    world.go().follow();
    world.admitted(Admission::NotAsked).hears(RunnerState::Ready).follow();
    assert_eq!(world.status().idle_deadline, Some(Time(at(93_600))));
    assert_eq!(world.plan().step, None);
}

#[test]
fn a_session_that_is_suspended_for_too_long_ends_unless_somebody_came_back() {
    let mut world = World::running();
    world.class(|class| class.session.suspended_ttl_seconds = 500);
    world.until(3700).follow();
    world.hears(RunnerState::Quiesced).follow();
    assert_eq!(world.status().expires_at, Some(Time(at(4200))));
    world.follow();
    assert_eq!(world.plan().next_deadline, Some(at(4200)));
    world.until(4200);
    let mut woken = world.clone();
    world.follow();
    assert_eq!(world.reason("Ended"), "+SuspendedTooLong");
    assert_eq!(world.status().expires_at, None);
    woken.wake("w1").admitted(Admission::Admitted).follow();
    assert_eq!(woken.status().phase, Some(SessionPhase::Starting));
    assert_eq!(woken.status().expires_at, Some(Time(at(100 + 604_800))));
}

#[test]
fn times_of_the_session_beat_those_of_its_topic_and_those_beat_the_class() {
    let mut world = World::new();
    let idle = |world: &World| world.seen.spans().idle.as_secs();
    assert_eq!(idle(&world), 3600);
    world.class(|class| class.session.idle_timeout_seconds = 50);
    assert_eq!(idle(&world), 50);
    Arc::make_mut(world.seen.topic.as_mut().unwrap()).spec.session =
        Some(serde_json::from_value(json!({ "idleTimeoutSeconds": 40 })).unwrap());
    assert_eq!(idle(&world), 40);
    world.session(|s| s.spec.idle_timeout_seconds = Some(30));
    assert_eq!(idle(&world), 30);
}

#[test]
fn a_deleted_session_winds_down_before_its_finalizer_is_lifted() {
    let mut world = World::running();
    world
        .session(|s| s.metadata.deletion_timestamp = Some(Time(at(1))))
        .follow();
    assert_eq!(world.reason("Ended"), "-Deleted");
    world.hears(RunnerState::Quiesced).follow();
    assert_eq!(world.reason("Ended"), "+Deleted");
    assert_eq!(world.plan().step, Some(Step::Delete));
    world.follow();
    assert_eq!(world.plan().step, Some(Step::Unguard));
    world.follow();
    assert_eq!(world.plan().step, None);
}

#[test]
fn deletion_never_hangs() {
    let without_topic = |world: &mut World| world.seen.topic = None;
    let without_class = |world: &mut World| world.seen.class = None;
    let nothing = |_: &mut World| {};
    for (mut world, change) in [
        (World::running(), &without_topic as &dyn Fn(&mut World)),
        (World::running(), &without_class),
        (World::new(), &nothing),
        (World::new(), &without_topic),
        (World::asleep(), &nothing),
        (World::idle(), &nothing),
    ] {
        change(&mut world);
        world.contact = Contact::Failed("silence".to_owned());
        world.session(|s| s.metadata.deletion_timestamp = Some(Time(at(1))));
        for _ in 0..4 {
            world.follow();
            world.later(121);
        }
        assert!(world.seen.session.finalizers().is_empty());
        assert!(world.seen.stateful_set.is_none());
    }
}

#[test]
fn a_session_gets_our_finalizer_before_it_gets_a_pod() {
    let mut world = World::new();
    world.session(|s| s.metadata.finalizers = None);
    world.admitted(Admission::Admitted).follow();
    let plan = world.go().follow();
    assert_eq!((plan.step, &plan.status), (Some(Step::Guard), world.status()));
    assert!(matches!(world.plan().step, Some(Step::Create(_))));
}

#[test]
fn what_became_of_the_summary_is_said_and_stays() {
    let check = |change: &dyn Fn(&mut World), expected: &str| {
        let mut world = World::running();
        assert_eq!(world.reason("Summarized"), "-Pending");
        world.desired(DesiredState::Suspended).follow();
        world.hears(RunnerState::Quiesced);
        change(&mut world);
        world.follow();
        assert_eq!(world.reason("Summarized"), expected);
        world.follow();
        world.contact = Contact::NotTried;
        world.desired(DesiredState::Ended).follow();
        assert_eq!(world.reason("Summarized"), expected);
    };
    let summary = |met: &mut Met| {
        met.status.summary = Some(longshore_wire::api::Summary {
            path: "state/summaries/a.md".to_owned(),
            time: at(5),
            text: "done".to_owned(),
        });
    };
    check(&|_| {}, "+NothingNew");
    check(
        &|world| {
            world.says(summary);
        },
        "+Written",
    );
    check(
        &|world| {
            world.says(|met| met.status.summary_error = Some("hangs".to_owned()));
        },
        "-SummaryFailed",
    );
    check(
        &|world| {
            world.hears(RunnerState::Quiescing).later(121);
        },
        "-SummaryFailed",
    );
    check(
        &|world| {
            world.class(|class| class.session.summarize = false);
        },
        "-Pending",
    );
}

#[test]
fn answers_that_the_bot_does_not_take_in_time_stand_in_the_status() {
    let mut world = World::running();
    world.with_chat().desired(DesiredState::Suspended).follow();
    world
        .hears(RunnerState::Quiesced)
        .says(|met| met.status.undelivered = vec![answer("hello")]);
    let plan = world.plan();
    assert_eq!((&plan.status, plan.next_deadline), (world.status(), Some(at(105))));
    let mut taken = world.clone();
    world.later(5).follow();
    assert_eq!(world.status().phase, Some(SessionPhase::Suspended));
    assert_eq!(world.status().undelivered[0].text, "hello");
    taken.later(1).says(|met| met.status.undelivered.clear()).follow();
    assert_eq!(taken.status().phase, Some(SessionPhase::Suspended));
    assert!(taken.status().undelivered.is_empty());
}

#[test]
fn answers_of_a_topic_without_a_chat_are_waited_for_by_nobody() {
    let mut world = World::running();
    world.desired(DesiredState::Ended).follow();
    world
        .hears(RunnerState::Quiesced)
        .says(|met| met.status.undelivered = vec![answer("hello")])
        .follow();
    assert_eq!(world.status().phase, Some(SessionPhase::Ended));
    assert!(world.status().undelivered.is_empty());
}

#[test]
fn a_session_waits_for_a_slot_only_as_long_as_its_class_says() {
    let mut world = World::new();
    world.class(|class| {
        class.limits = Limits {
            queue_timeout_seconds: Some(60),
            ..Limits::default()
        };
    });
    world.admitted(Admission::TopicBusy("other".to_owned())).follow();
    world.later(500).admitted(Admission::Queued { position: 2, limit: 1 });
    world.follow();
    assert_eq!(world.status().queued_since, Some(Time(at(600))));
    assert_eq!(world.plan().next_deadline, Some(at(660)));
    world.until(660).follow();
    assert_eq!(world.reason("Ended"), "+QueueTimeout");
    assert_eq!(world.reason("Admitted"), "-QueueTimeout");
}

#[test]
fn a_class_that_does_not_let_sessions_wait_rejects_them_but_not_one_that_was_woken() {
    let limits = |places: Option<i32>| Limits {
        max_queued: places,
        ..Limits::default()
    };
    let check = |places: Option<i32>, when_full: WhenFull, position: i32, phase: SessionPhase| {
        for (mut world, expected) in [(World::new(), phase), (World::asleep(), SessionPhase::Queued)] {
            world.class(|class| {
                class.limits = limits(places);
                class.session.when_full = when_full;
            });
            world
                .wake("w1")
                .admitted(Admission::Queued { position, limit: 1 })
                .follow();
            assert_eq!(world.status().phase, Some(expected));
            if expected == SessionPhase::Ended {
                assert_eq!(world.reason("Ended"), "+Rejected");
            }
        }
    };
    check(None, WhenFull::Reject, 1, SessionPhase::Ended);
    check(Some(1), WhenFull::Queue, 1, SessionPhase::Queued);
    check(Some(1), WhenFull::Queue, 2, SessionPhase::Ended);
    check(Some(0), WhenFull::SuspendIdle, 1, SessionPhase::Ended);
    check(None, WhenFull::Queue, 9, SessionPhase::Queued);
}

#[test]
fn memory_pressure_is_a_condition_that_does_not_flicker() {
    let mut world = World::running();
    let mut check = |percent: u64, kills: u64, recycled: u32, expected: &str| {
        world.says(|met| {
            met.status.recycled = recycled;
            met.status.memory = Memory {
                current_bytes: percent * 10,
                peak_bytes: 950,
                limit_bytes: Some(1000),
                oom_kills: kills,
            };
        });
        world.follow();
        assert_eq!(world.reason("MemoryPressure"), expected, "at {percent} %");
    };
    check(79, 0, 0, "-BelowThreshold");
    check(80, 0, 0, "+NearLimit");
    check(76, 0, 0, "+NearLimit");
    check(74, 0, 0, "-BelowThreshold");
    check(79, 0, 1, "-Recycled");
    check(20, 1, 1, "-OutOfMemory");
    assert_eq!(world.status().peak_memory_bytes, Some(950));
}

#[test]
fn a_session_on_a_silent_node_says_that_messages_wait() {
    let mut world = World::running();
    let mut pod = pod();
    pod.metadata.deletion_timestamp = Some(Time(at(120)));
    world.seen.pod = Some(Arc::new(pod));
    world.contact = Contact::NotTried;
    assert_eq!(world.plan().next_deadline, Some(at(150)));
    world.follow();
    assert_eq!(world.reason("Ready"), "-Resuming");
    world.until(150).follow();
    assert_eq!(world.reason("Ready"), "-NodeLost");

    // Suspended and woken while the old pod is still there.
    let mut woken = World::asleep();
    woken.seen.pod = world.seen.pod.clone();
    woken.wake("w1").admitted(Admission::Settling).follow();
    assert_eq!(woken.reason("Ready"), "-NodeLost");
}

#[test]
fn a_runner_that_somebody_else_wound_down_is_replaced() {
    let mut world = World::running();
    world.hears(RunnerState::Quiesced);
    assert_eq!(world.plan().step, Some(Step::Stop));
    world.follow();
    world.go();
    assert!(matches!(world.plan().step, Some(Step::Start(_))));
}

#[test]
fn an_idle_session_gives_way_and_comes_back_when_it_is_woken() {
    let mut world = World::running();
    world.later(40);
    let Contact::Met(met) = world.contact.clone() else {
        panic!("nobody is there")
    };
    let plan = give_way(&world.seen, &met, &settings(), world.now);
    assert_eq!(plan.status.phase, Some(SessionPhase::Suspending));
    world.session(|s| s.status = Some(plan.status));
    assert_eq!(world.reason("Suspended"), "-SlotReclaimed");
    assert_eq!(world.status().last_activity_time, Some(Time(at(100))));
    world.hears(RunnerState::Quiesced).follow();
    world.follow();
    assert_eq!(world.reason("Suspended"), "+SlotReclaimed");
    world.wake("w1").admitted(Admission::Admitted).follow();
    assert_eq!(world.status().phase, Some(SessionPhase::Starting));
}

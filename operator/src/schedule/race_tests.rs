//! Runs that go to sessions while everything goes wrong: two operators whose views are as old as they like, which die between any
//! two steps, and a session that sleeps, loses its pod and ends when it pleases.

use std::collections::{BTreeMap, BTreeSet};

use longshore_crds::HandOver;
use proptest::prelude::*;

use super::handing_over::session;
use super::*;

/// The session's runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runner {
    Gone,
    Up,
    WindsDown,
}

/// Whether the pass goes on.
type Alive = Result<(), ()>;

struct Race {
    world: World,
    views: [Observed; 2],
    runner: Runner,
    version: u64,
    /// Ids of messages that the session has, in its journal.
    journal: BTreeSet<String>,
    /// Names of all tasks that were ever made, with how often.
    made: BTreeMap<String, usize>,
    /// Runs that were on their way to the session, and whether they were ever given to it.
    begun: BTreeMap<Timestamp, bool>,
    ended: bool,
}

/// Id of the message that the run is.
fn id(at: Timestamp) -> String {
    longshore_wire::MessageId::from_run("uid", crate::schedule::build::minute(at)).to_string()
}

#[derive(Clone, Debug)]
enum Happens {
    Look {
        operator: usize,
        schedule: bool,
        rest: bool,
    },
    /// A pass that dies before this many effects are done, and may not hear the runner's answer.
    Pass {
        operator: usize,
        effects: usize,
        deaf: bool,
    },
    Minute,
    /// All tasks are over.
    Finish,
    Session(&'static str),
}

fn happens() -> impl Strategy<Value = Happens> {
    let phase = prop_oneof![
        8 => Just("wakes"), 8 => Just("ready"), 3 => Just("winds down"), 3 => Just("sleeps"), 2 => Just("loses its pod"),
        1 => Just("ends")
    ];
    prop_oneof![
        8 => (0..2_usize, prop::bool::weighted(0.8), prop::bool::weighted(0.8))
            .prop_map(|(operator, schedule, rest)| Happens::Look { operator, schedule, rest }),
        10 => (0..2_usize, 0..4_usize, prop::bool::weighted(0.3))
            .prop_map(|(operator, effects, deaf)| Happens::Pass { operator, effects, deaf }),
        1 => Just(Happens::Minute),
        1 => Just(Happens::Finish),
        6 => phase.prop_map(Happens::Session),
    ]
}

impl Race {
    fn new(policy: &str) -> Self {
        let spec = json!({ "schedule": "* * * * *", "whileSessionActive": "ToSession", "concurrencyPolicy": policy });
        let mut world = World::new("2026-01-01T08:59:30Z", spec);
        world.schedule.metadata.resource_version = Some("0".to_owned());
        world.sessions = vec![Arc::new(session("deep", "Running"))];
        let views = [world.seen(), world.seen()];
        Self {
            world,
            views,
            runner: Runner::Up,
            version: 0,
            journal: BTreeSet::new(),
            made: BTreeMap::new(),
            begun: BTreeMap::new(),
            ended: false,
        }
    }

    fn newer(&mut self) -> Option<String> {
        self.version += 1;
        Some(self.version.to_string())
    }

    fn look(&mut self, operator: usize, schedule: bool, rest: bool) {
        let now = self.world.seen();
        let view = &mut self.views[operator];
        if schedule {
            view.schedule = now.schedule;
        }
        if rest {
            (view.runs, view.sessions) = (now.runs, now.sessions);
        }
    }

    fn is_current(&self, view: &Observed) -> Alive {
        let same = view.schedule.metadata.resource_version == self.world.schedule.metadata.resource_version;
        same.then_some(()).ok_or(())
    }

    fn pass(&mut self, operator: usize, effects: usize, deaf: bool) -> Alive {
        let (view, now) = (self.views[operator].clone(), self.world.now);
        let mut left = effects;
        let mut effect = || {
            left = left.checked_sub(1).ok_or(())?;
            Ok(())
        };
        let handed = match hand_over::to_give(&view) {
            Some((pending, _)) => {
                self.is_current(&view)?;
                effect()?;
                self.give(pending.schedule_time.0, deaf)
            }
            None => None,
        };
        let plan = plan(&view, handed.as_ref(), now);
        for step in &plan.steps {
            if !matches!(step, Step::Delete { .. }) {
                self.is_current(&view)?;
            }
            effect()?;
            self.carry_out(step)?;
        }
        if view.schedule.status.as_ref() != Some(&plan.status) {
            effect()?;
            self.is_current(&view)?;
            self.note(&plan.status);
            self.world.schedule.status = Some(plan.status);
            self.world.schedule.metadata.resource_version = self.newer();
        }
        Ok(())
    }

    /// What the runner answers to the run.
    fn give(&mut self, at: Timestamp, deaf: bool) -> Option<Handed> {
        let id = id(at);
        let answer = match self.runner {
            Runner::Gone => return None,
            Runner::WindsDown if !self.journal.contains(&id) => Handed::WindsDown,
            Runner::WindsDown => Handed::Taken,
            Runner::Up => {
                self.journal.insert(id);
                Handed::Taken
            }
        };
        Some(if deaf { Handed::Unknown(String::new()) } else { answer })
    }

    fn carry_out(&mut self, step: &Step) -> Alive {
        match step {
            Step::Start(run) => {
                let name = run.name_any();
                if self.world.runs.iter().all(|made| made.name_any() != name) {
                    *self.made.entry(name).or_default() += 1;
                }
            }
            Step::Wake { session, .. } => {
                let live = self.world.sessions[0].metadata.resource_version.clone();
                if session.metadata.resource_version != live {
                    return Err(());
                }
            }
            Step::Delete { .. } => {}
        }
        let plan = Plan {
            steps: vec![step.clone()],
            status: ScheduledTaskStatus::default(),
            news: Vec::new(),
            next_look: None,
        };
        self.world.carry_out(&plan);
        if matches!(step, Step::Wake { .. }) {
            self.touch_session();
        }
        Ok(())
    }

    fn touch_session(&mut self) {
        let version = self.newer();
        Arc::make_mut(&mut self.world.sessions[0]).metadata.resource_version = version;
    }

    fn note(&mut self, status: &ScheduledTaskStatus) {
        if let Some(pending) = &status.pending {
            let given = self.begun.entry(pending.schedule_time.0).or_default();
            *given |= pending.step == HandOver::Giving;
        }
    }

    fn session(&mut self, how: &str) {
        let one = &self.world.sessions[0];
        let phase = one.status.as_ref().and_then(|status| status.phase);
        let asleep = phase == Some(longshore_crds::SessionPhase::Suspended);
        let woken = one.annotations().get(meta::WAKE).cloned()
            != one.status.as_ref().and_then(|status| status.observed_wake.clone());
        let (phase, runner) = match how {
            _ if self.ended => return,
            "wakes" if asleep && woken => ("Starting", Runner::Up),
            "ready" if !asleep => ("Running", Runner::Up),
            "winds down" if self.runner == Runner::Up => ("Suspending", Runner::WindsDown),
            "sleeps" if self.runner == Runner::WindsDown => ("Suspended", Runner::Gone),
            "loses its pod" if !asleep => ("Starting", Runner::Gone),
            "ends" => ("Ended", Runner::Gone),
            _ => return,
        };
        self.ended |= how == "ends";
        self.runner = runner;
        // A wish is seen only by a pass that leaves the session on its way up.
        let seen = match phase {
            "Starting" | "Running" => one.annotations().get(meta::WAKE).cloned(),
            _ => one.status.as_ref().and_then(|status| status.observed_wake.clone()),
        };
        self.world.becomes(phase);
        self.world.edit(|session| {
            if let Some(status) = session.status.as_mut() {
                status.observed_wake = seen.clone();
            }
        });
        self.touch_session();
    }

    fn plays(&mut self, what: &Happens) {
        match *what {
            Happens::Look {
                operator,
                schedule,
                rest,
            } => self.look(operator, schedule, rest),
            Happens::Pass {
                operator,
                effects,
                deaf,
            } => {
                let _ = self.pass(operator, effects, deaf);
            }
            Happens::Minute => self.world.now += Duration::from_secs(60),
            Happens::Finish => self.world.finish(types::COMPLETE, true),
            Happens::Session(how) => self.session(how),
        }
    }

    /// Everything works again, for a while.
    fn settles(&mut self) {
        for _ in 0..12 {
            for how in ["sleeps", "wakes", "ready"] {
                self.session(how);
            }
            self.look(0, true, true);
            let _ = self.pass(0, 9, false);
            self.world.now += Duration::from_secs(5);
        }
    }

    /// How often the run was started, in whatever way.
    fn times(&self, at: Timestamp) -> usize {
        let made = self.made.get(&run_name(&self.world.schedule, at)).copied();
        made.unwrap_or_default() + usize::from(self.journal.contains(&id(at)))
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let minutes = (0..60).map(|minute| at("2026-01-01T09:00:00Z") + Duration::from_secs(60 * minute));
        for minute in minutes.take_while(|minute| *minute <= self.world.now) {
            prop_assert!(self.times(minute) <= 1, "the run of {minute} came twice");
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_run_is_lost_or_comes_twice_whoever_dies_or_is_out_of_date(
        policy in prop_oneof![Just("Forbid"), Just("Allow")],
        script in prop::collection::vec(happens(), 1..120),
    ) {
        let mut race = Race::new(policy);
        race.world.now = at("2026-01-01T09:00:00Z");
        for what in &script {
            race.plays(what);
            race.check()?;
        }
        race.settles();
        race.check()?;
        let status = race.world.status().clone();
        prop_assert_eq!(&status.pending, &None, "a run waits for ever");
        for (at, given) in race.begun.clone() {
            let uncertain = race.ended && given;
            prop_assert!(uncertain || race.times(at) == 1, "the run of {} was lost, given: {}", at, given);
        }
    }
}

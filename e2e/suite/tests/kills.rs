//! Every part is killed at every moment of a session's life: nothing is lost, nothing happens twice, and all settles in time.
//!
//! Six topics per victim, one for each moment. All six are brought to their moments first, then the victim is killed: its own in each
//! topic, or the one that all share. Each moment is held open from outside until the victim is dead: a turn and a summary by
//! the model's gates, a prompt by nobody answering it, a start by SIGSTOP at the first moment of the runner or of claude.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, bail, ensure};
use futures::future::join_all;
use longshore_crds::conditions::types;
use longshore_crds::{PersistentSession, SessionPhase, names};
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{ALICE, Install, Options, skip, with_install};
use longshore_e2e::kinds::topic;
use longshore_e2e::processes::Signal;
use longshore_e2e::table::render;
use serde_json::{Value, json};

/// Longest from the kill until all is settled. Winding down has the same deadline in the product.
const SETTLED: Duration = Duration::from_secs(120);
/// What the model says when it is told that a turn was cut short.
const CARRIED_ON: &str = "I carry on.";
const ALLOW: &str = "✅ Allow";
const BOT: &str = "app.kubernetes.io/component=bot";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Runner,
    Claude,
    Pod,
    Leader,
    Bot,
}

const VICTIMS: [Victim; 5] = [Victim::Runner, Victim::Claude, Victim::Pod, Victim::Leader, Victim::Bot];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Start,
    Turn,
    Approval,
    Suspend,
    Resume,
    End,
}

const MOMENTS: [Moment; 6] = [
    Moment::Start,
    Moment::Turn,
    Moment::Approval,
    Moment::Suspend,
    Moment::Resume,
    Moment::End,
];

/// One victim at one moment, in a topic of its own.
struct Cell<'a> {
    install: &'a Install,
    chat: Chat,
    victim: Victim,
    moment: Moment,
    /// Name of the session.
    session: String,
    /// The permission prompt that is open at that moment.
    prompt: i64,
    /// Messages, in order; the first is number 1.
    asked: Vec<i64>,
}

impl<'a> Cell<'a> {
    async fn new(install: &'a Install, forum: &Chat, victim: Victim, moment: Moment) -> Result<Self> {
        let cell = Self {
            install,
            chat: forum.another(&format!("{victim:?}, {moment:?}")).await?,
            victim,
            moment,
            session: String::new(),
            prompt: 0,
            asked: Vec::new(),
        };
        if moment == Moment::Approval {
            let mut asking = topic(&cell.chat.topic);
            asking["spec"]["agentClassName"] = json!("asking");
            asking["spec"]["telegram"] = json!({"chatId": cell.chat.forum, "threadId": cell.chat.thread});
            install.apply(&asking).await?;
        }
        install.model()?.add_rules(&cell.rules()).await?;
        Ok(cell)
    }

    /// Word that stands in everything claude knows of this topic.
    fn mark(&self) -> String {
        format!("{:?}-{:?}", self.victim, self.moment).to_lowercase()
    }

    fn pod_name(&self) -> String {
        names::session_pod(&self.chat.topic)
    }

    /// What the model says in this topic when it is told of a cut, and when it is asked for the outcomes.
    fn rules(&self) -> Value {
        let mark = self.mark();
        let mut carry_on = vec![json!({"text": CARRIED_ON})];
        if self.moment == Moment::Approval {
            carry_on.insert(
                0,
                json!({"tool": {"name": "Bash", "input": {"command": "echo ran-1 >> ran.txt", "description": "Again"}}}),
            );
        }
        let mut outcomes = vec![json!({"text": format!("Outcome of {mark}.")})];
        if matches!(self.moment, Moment::Suspend | Moment::End) {
            outcomes.insert(0, json!({"hold": mark}));
        }
        json!({"rules": [
            {"name": "told", "match": {"user": "ended unexpectedly", "body": mark}, "steps": carry_on},
            {"name": "outcomes", "match": {"user": "(?i)\\bsummar", "body": mark}, "steps": outcomes},
        ]})
    }

    /// Alice writes the next message: a command that leaves a line in a file, and an answer.
    async fn say(&mut self, between: &str) -> Result<()> {
        let (number, mark) = (self.asked.len() + 1, self.mark());
        let deep = if number == 1 { "/deep " } else { "" };
        let text = format!(
            "{deep}Number {number} of {mark} [[bash echo ran-{number} >> ran.txt]] {between} [[say Answer {number} of {mark}.]]"
        );
        self.asked.push(self.chat.say(&text).await?);
        if number == 1 {
            self.session = self.chat.object(self.asked[0]);
        }
        Ok(())
    }

    /// Replies that answer this message for good.
    async fn answers(&self, number: usize) -> Result<Vec<String>> {
        let whole = format!("Answer {number} of {}.", self.mark());
        self.chat.replies(self.asked[number - 1], &[&whole, CARRIED_ON]).await
    }

    /// Waits until a message is answered.
    async fn answered(&self, number: usize) -> Result<&'static str> {
        let what = format!("message {number} is answered");
        let there = async || Ok(!self.answers(number).await?.is_empty());
        self.install.until(&what, there).await?;
        let whole = self
            .answers(number)
            .await?
            .iter()
            .all(|text| !text.contains(CARRIED_ON));
        Ok(if whole { "answered whole" } else { "carried on" })
    }

    /// Changes the session's spec.
    async fn patch(&self, spec: Value) -> Result<()> {
        let patch = json!({"spec": spec}).to_string();
        let args = ["patch", "ps", &self.session, "--type=merge", "-p", &patch];
        self.install.kubectl(&args).await.map(drop)
    }

    /// Goes as far as the moment; before a start or a resume.
    async fn prepare(&mut self) -> Result<()> {
        let gate = self.mark();
        match self.moment {
            Moment::Start => return Ok(()),
            Moment::Turn => {
                self.say(&format!("[[hold {gate}]]")).await?;
                self.install.model_holds(&gate).await?;
            }
            Moment::Approval => {
                self.say("").await?;
                self.prompt = self.chat.button(self.asked[0], ALLOW).await?.message_id;
            }
            Moment::Suspend | Moment::Resume | Moment::End => {
                self.say("").await?;
                self.answered(1).await?;
            }
        }
        match self.moment {
            Moment::Suspend => self.install.want(&self.session, "Suspended").await?,
            Moment::End => drop(self.chat.say("/end").await?),
            Moment::Resume => {
                self.patch(json!({"idleTimeoutSeconds": 5})).await?;
                self.asleep().await?;
                return self.patch(json!({"idleTimeoutSeconds": 3600})).await;
            }
            _ => {}
        }
        if matches!(self.moment, Moment::Suspend | Moment::End) {
            self.install.model_holds(&gate).await?;
        }
        Ok(())
    }

    /// Begins a start or a resume, and stops it before claude can say a word.
    async fn enter(&mut self) -> Result<()> {
        if !matches!(self.moment, Moment::Start | Moment::Resume) {
            return Ok(());
        }
        let lookout = self
            .install
            .look_out(&self.pod_name(), self.stopped(), Signal::Stop)
            .await?;
        self.say("").await?;
        lookout.hit().await
    }

    /// The program that is stopped at its first moment: the runner, or claude where it is the one to be killed.
    fn stopped(&self) -> &'static str {
        if self.victim == Victim::Claude {
            "claude"
        } else {
            "longshore-runner"
        }
    }

    /// Fails unless the session is where it should be.
    async fn at_the_moment(&self) -> Result<()> {
        let session = self.install.api::<PersistentSession>().get(&self.session).await?;
        let phase = session.status.and_then(|status| status.phase);
        let is_there = match self.moment {
            // The runner takes messages while claude starts.
            Moment::Start | Moment::Resume => {
                let last = format!("Number {} of {}", self.asked.len(), self.mark());
                let is_held = self.install.model_requests(&last).await?.is_empty();
                is_held && matches!(phase, Some(SessionPhase::Starting | SessionPhase::Running))
            }
            Moment::Turn | Moment::Approval => phase == Some(SessionPhase::Running),
            Moment::Suspend => phase == Some(SessionPhase::Suspending),
            Moment::End => phase == Some(SessionPhase::Ending),
        };
        ensure!(is_there, "the moment was missed: {phase:?}");
        Ok(())
    }

    /// Kills what this topic has of its own.
    async fn strike(&self) -> Result<()> {
        match self.victim {
            Victim::Runner => {
                self.install
                    .signal(&self.pod_name(), "longshore-runner", Signal::Kill)
                    .await
            }
            Victim::Claude => self.install.signal(&self.pod_name(), "claude", Signal::Kill).await,
            Victim::Pod => self.install.kill_pod(&self.pod_name()).await,
            Victim::Leader | Victim::Bot => Ok(()),
        }
    }

    /// What people do next; then waits until the session has got where it was going. Returns what was seen.
    async fn settle(&mut self) -> Result<String> {
        let shared = matches!(self.victim, Victim::Leader | Victim::Bot);
        if shared && matches!(self.moment, Moment::Start | Moment::Resume) {
            self.install
                .signal(&self.pod_name(), self.stopped(), Signal::Continue)
                .await?;
        }
        if matches!(self.moment, Moment::Suspend | Moment::End) {
            self.say("").await?;
        }
        self.install.open_gate(&self.mark()).await?;
        match self.moment {
            Moment::Start | Moment::Turn | Moment::Resume => {
                let seen = self.answered(self.asked.len()).await?;
                self.install.session(&self.session, "Ready", "True").await?;
                Ok(seen.to_owned())
            }
            Moment::Approval => {
                let seen = self.allow(shared).await?;
                self.answered(1).await?;
                self.install.session(&self.session, "Ready", "True").await?;
                Ok(seen.to_owned())
            }
            Moment::Suspend => {
                let reason = self.asleep().await?;
                Ok(format!("asleep, summary {reason}"))
            }
            Moment::End => {
                let ended = self.install.session(&self.session, types::ENDED, "True").await?;
                self.install
                    .gone("statefulset", &names::stateful_set(&self.chat.topic))
                    .await?;
                self.install.gone("pod", &self.pod_name()).await?;
                Ok(format!("ended, summary {}", summarized(&ended)))
            }
        }
    }

    /// Waits until the session sleeps and its pod is gone. Returns what became of its summary.
    async fn asleep(&self) -> Result<String> {
        let asleep = self.install.session(&self.session, types::SUSPENDED, "True").await?;
        self.install.gone("pod", &self.pod_name()).await?;
        Ok(summarized(&asleep))
    }

    /// Presses the button of the prompt that is open now: the old one if claude lives, else the one with which it asks again.
    async fn allow(&self, lives: bool) -> Result<&'static str> {
        let (prompt, seen) = if lives {
            (self.prompt, "the prompt stayed")
        } else {
            (self.chat.button(self.prompt, ALLOW).await?.message_id, "asked again")
        };
        let said = self.chat.press(prompt, ALICE, ALLOW).await?;
        ensure!(said == "Allowed.", "{said:?}");
        Ok(seen)
    }

    /// Nothing is lost and nothing was done twice.
    async fn judge(&self) -> Result<()> {
        if self.moment == Moment::Suspend {
            self.install.want(&self.session, "Running").await?;
        }
        for number in 1..=self.asked.len() {
            self.answered(number).await?;
        }
        // A session remembers its first message; a task knows what the session has left behind.
        let (look, remembered) = match self.moment {
            Moment::End => (
                "[[bash cat ran.txt ../state/state.md]]",
                format!("Outcome of {}.", self.mark()),
            ),
            Moment::Approval => (
                r#"[[tool Read {"file_path": "ran.txt"}]]"#,
                format!("Number 1 of {}", self.mark()),
            ),
            _ => ("[[bash cat ran.txt]]", format!("Number 1 of {}", self.mark())),
        };
        let look = format!("{look} [[say Found: {{{{last_tool_result}}}} First: {{{{first_user}}}}]]");
        let found = self.chat.ask(&look, "First:").await?.text;
        ensure!(found.contains(&remembered), "«{remembered}» is forgotten: {found}");
        for number in 1..=self.asked.len() {
            let ran = found.matches(&format!("ran-{number}")).count();
            ensure!(ran == 1, "command {number} ran {ran} times: {found}");
            let answers = self.answers(number).await?;
            ensure!(answers.len() == 1, "message {number} has these answers: {answers:?}");
        }
        if self.moment == Moment::End {
            self.chat.exactly_once("The session has ended.").await?;
        }
        Ok(())
    }

    /// An error with what stands in the topic.
    async fn explained(&self, error: Error) -> Error {
        let transcript = self
            .chat
            .transcript()
            .await
            .unwrap_or_else(|error| format!("{error:#}"));
        error.context(format!("{}, this stands in the topic:\n{transcript}", self.mark()))
    }
}

fn summarized(session: &PersistentSession) -> String {
    let conditions = session.status.iter().flat_map(|status| &status.conditions);
    let mut summarized = conditions.filter(|condition| condition.type_ == types::SUMMARIZED);
    summarized
        .next()
        .map_or("unknown", |condition| &condition.reason)
        .to_owned()
}

/// All moments of one victim. Returns rows of the table.
async fn kill_at_every_moment(install: &Install, forum: &Chat, victim: Victim) -> Result<Vec<Vec<String>>> {
    let mut cells = Vec::new();
    for moment in MOMENTS {
        cells.push(Cell::new(install, forum, victim, moment).await?);
    }
    all(&mut cells, async |cell| cell.prepare().await).await?;
    all(&mut cells, async |cell| cell.enter().await).await?;
    all(&mut cells, async |cell| cell.at_the_moment().await).await?;
    let leader = install.leader().await?.context("nobody leads")?;
    let struck = Instant::now();
    match victim {
        Victim::Leader => install.kill_pod(leader.split('_').next().unwrap_or_default()).await?,
        Victim::Bot => install.kill_pod(&install.pod_with(BOT).await?).await?,
        _ => all(&mut cells, async |cell| cell.strike().await).await.map(drop)?,
    }
    let seen = all(&mut cells, async |cell| {
        let seen = cell.settle().await?;
        Ok((seen, struck.elapsed()))
    })
    .await?;
    all(&mut cells, async |cell| cell.judge().await).await?;
    if victim == Victim::Leader {
        ensure!(install.leader().await? != Some(leader), "the dead leader leads");
    }
    let mut rows = Vec::new();
    for (cell, (seen, took)) in cells.iter().zip(seen) {
        ensure!(took <= SETTLED, "{} took {took:?}", cell.mark());
        let names = [format!("{victim:?}"), format!("{:?}", cell.moment)].map(|name| name.to_lowercase());
        rows.push(
            names
                .into_iter()
                .chain([seen, format!("{:.1}", took.as_secs_f64())])
                .collect(),
        );
    }
    Ok(rows)
}

/// The same with all cells side by side. Fails with all that has failed.
async fn all<'a, T>(cells: &mut [Cell<'a>], step: impl AsyncFn(&mut Cell<'a>) -> Result<T>) -> Result<Vec<T>> {
    let outcomes = join_all(cells.iter_mut().map(async |cell| match step(cell).await {
        Ok(seen) => Ok(seen),
        Err(error) => Err(cell.explained(error).await),
    }))
    .await;
    let (mut seen, mut wrong) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(one) => seen.push(one),
            Err(error) => wrong.push(format!("{error:?}")),
        }
    }
    if !wrong.is_empty() {
        bail!(wrong.join("\n\n"));
    }
    Ok(seen)
}

#[tokio::test]
async fn every_part_killed_at_every_moment_of_a_session_loses_nothing_and_does_nothing_twice() -> Result<()> {
    let values = json!({"operator": {"replicas": 2}, "agentClass": {
        "permissions": {"allowedTools": ["Bash"]},
        "limits": {"maxActiveSessions": 20},
    }});
    with_install(Options::named("kills").with(values), async |install| {
        if install.cluster.embedded_state().is_none() {
            return skip("the processes of a foreign cluster cannot be killed");
        }
        let asking = json!({"permissions": {"allowedTools": []}});
        install.another_class("asking", asking).await?;
        let forum = Chat::open(install, "kills").await?;
        let (mut rows, mut wrong) = (Vec::new(), Vec::new());
        for victim in VICTIMS {
            let begun = Instant::now();
            match kill_at_every_moment(install, &forum, victim).await {
                Ok(seen) => rows.extend(seen),
                Err(error) => wrong.push(format!("{victim:?}: {error:?}")),
            }
            println!("{victim:?}: {} s", begun.elapsed().as_secs());
            // They end beside what comes next.
            install.kubectl(&["delete", "ps", "--all", "--wait=false"]).await?;
        }
        let header = ["killed", "during", "seen", "seconds"];
        println!("{}", render("kill -9, from then until all was settled", &header, &rows));
        ensure!(wrong.is_empty(), "{}", wrong.join("\n\n"));
        ensure!(rows.len() == VICTIMS.len() * MOMENTS.len());
        install.slots_free().await
    })
    .await
}

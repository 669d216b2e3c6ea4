//! What `/status` and `/usage` say. For people; pure: what is known comes in, with the time.
//!
//! Every line stands by itself and is left out when nothing is known for it, so an answer is there even when a runner is not.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use longshore_crds::{AgentClass, ContainerTask, OnIdle, PersistentSession, SessionPhase, Topic};
use longshore_routing::{PermissionMode, Setting};
use longshore_wire::api::{Busy, Disk, Memory, Status, Usage};
use longshore_wire::money::Usd;

use super::life;
use crate::store::choices::Choice;

/// Longest piece of a prompt or of a tool's work that is shown, in characters.
const PIECE_CHARS: usize = 60;

/// What is known about a session now.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Name of the PersistentSession.
    pub name: &'a str,
    /// It, once it is seen.
    pub object: Option<&'a PersistentSession>,
    /// What its runner says, if it answers.
    pub runner: Option<&'a Status>,
    /// Its AgentClass, if it can be read.
    pub class: Option<&'a AgentClass>,
    /// Settings that wait for the runner.
    pub choices: &'a [Choice],
    /// Messages that have not reached the runner.
    pub waiting: usize,
}

/// What is going on in a topic.
pub fn status(topic: &Topic, session: Option<&Known<'_>>, tasks: &[Arc<ContainerTask>], now: Timestamp) -> Vec<String> {
    let mut lines = vec![heading(topic)];
    match session {
        None => lines.push("No session is active; /deep starts one.".to_owned()),
        Some(session) => lines.extend(session.lines(topic, now)),
    }
    lines.extend(tasks.iter().map(|task| task_line(task)));
    lines
}

fn heading(topic: &Topic) -> String {
    let name = topic.name_any();
    match topic.spec.display_name.as_deref().filter(|shown| !shown.is_empty()) {
        Some(shown) => format!("{shown} (topic {name}, with a workspace of its own)."),
        None => format!("Topic {name}, with a workspace of its own."),
    }
}

impl Known<'_> {
    fn lines(&self, topic: &Topic, now: Timestamp) -> Vec<String> {
        let status = self.object.and_then(|object| object.status.as_ref());
        let phase = status.and_then(|status| status.phase).unwrap_or(SessionPhase::Starting);
        let mut lines = vec![format!(
            "Session {}: {}.",
            self.name,
            format!("{phase:?}").to_lowercase()
        )];
        lines.extend(self.object.and_then(life::session_waits));
        lines.extend(self.work(now));
        lines.extend(self.settings());
        lines.extend(self.waiting());
        lines.extend(self.times(topic, now));
        let usage = match (self.runner, status.and_then(|status| status.usage.as_ref())) {
            (Some(runner), _) => Some(runner.usage.clone()),
            (None, Some(usage)) => Some(of_object(usage)),
            (None, None) => None,
        };
        if let Some(runner) = self.runner {
            lines.push(memory_line(&runner.memory));
            lines.extend(disk_line(&runner.disk));
        }
        lines.extend(usage.map(|usage| format!("So far: {}.", spent(&usage))));
        lines
    }

    /// What claude does right now.
    fn work(&self, now: Timestamp) -> Vec<String> {
        let asleep = self.object.is_some_and(life::is_asleep);
        let Some(runner) = self.runner.filter(|_| !asleep) else {
            let open = self
                .object
                .and_then(|object| object.status.as_ref()?.endpoint.as_ref())
                .is_some();
            let silent = "It does not answer right now, so what it is doing cannot be said.";
            return (open && !asleep).then(|| silent.to_owned()).into_iter().collect();
        };
        let mut lines = Vec::new();
        lines.extend(runner.problem.as_ref().map(|problem| problem.message.clone()));
        let since = runner.claude.turn_since;
        let since = since.map(|since| format!(", since {} ({})", clock(since), span(now.duration_since(since))));
        let doing = match runner.busy.first() {
            Some(_) if runner.busy.contains(&Busy::WaitingForApproval) => "It waits for a decision",
            Some(_) if runner.busy.contains(&Busy::WaitingForAnswer) => "It waits for an answer",
            Some(Busy::TurnRunning) => "It is working",
            Some(Busy::BackgroundTask) => "It runs something in the background",
            Some(_) => "Somebody has it open in a terminal",
            None => "It is idle",
        };
        lines.push(format!("{doing}{}.", since.unwrap_or_default()));
        lines.extend(runner.claude.running.iter().take(5).map(|tool| {
            let what = match tool.summary.as_str() {
                "" => tool.name.clone(),
                summary => format!("{}: {}", tool.name, piece(summary)),
            };
            format!("• {what}, for {}", span(now.duration_since(tool.since)))
        }));
        lines
    }

    /// Model and mode, as they are and as they will be.
    fn settings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let class = self.class.and_then(|class| class.spec.model.clone());
        let claude = self.runner.map(|runner| &runner.claude);
        if let Some(model) = claude.and_then(|claude| claude.model.clone()).or(class) {
            lines.push(format!("Model: {model}."));
        }
        if let Some(mode) = claude.and_then(|claude| claude.permission_mode.as_deref()) {
            lines.push(format!("Mode: {}.", mode_in_words(mode)));
        }
        lines.extend(self.choices.iter().map(|choice| match &choice.setting {
            Setting::Model(model) => format!("From the next message on: model {}.", model.as_deref().unwrap_or("–")),
            Setting::Permissions(mode) => {
                format!(
                    "From the next message on: mode {}.",
                    mode.map_or("–", PermissionMode::word)
                )
            }
        }));
        lines
    }

    fn waiting(&self) -> Vec<String> {
        let open = self.runner.map_or(0, |runner| runner.unfinished.len()) + self.waiting;
        let prompts = self.runner.map_or(0, |runner| runner.approvals.len());
        let mut lines = Vec::new();
        if prompts > 0 {
            lines.push(format!("Prompts and questions that wait for somebody: {prompts}."));
        }
        if open > 0 {
            lines.push(format!("Messages that are not answered yet: {open}."));
        }
        lines
    }

    /// When it sleeps and when it ends.
    fn times(&self, topic: &Topic, now: Timestamp) -> Vec<String> {
        let Some((object, status)) = self.object.and_then(|object| Some((object, object.status.as_ref()?))) else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        if status.endpoint.is_some() {
            let then = match self.class.map(|class| class.spec.session.on_idle) {
                Some(OnIdle::End) => "ends",
                Some(OnIdle::Suspend) | None => "goes to sleep",
            };
            match self.runner {
                Some(runner) if !runner.busy.is_empty() => {}
                runner => {
                    let known = status.idle_deadline.as_ref().map(|deadline| deadline.0);
                    let exact = runner.and_then(|runner| self.idle_at(object, topic, runner.last_activity));
                    lines.extend(
                        exact
                            .or(known)
                            .map(|at| format!("If nothing happens it {then} {}.", moment(at, now))),
                    );
                }
            }
        }
        let end = status.expires_at.as_ref().map(|at| moment(at.0, now));
        lines.extend(end.map(|end| match life::is_asleep(object) {
            true => format!("If nobody comes back it ends {end}."),
            false => format!("It ends {end}, whatever happens."),
        }));
        lines
    }

    /// When nothing has happened for long enough since the last thing that did.
    fn idle_at(&self, object: &PersistentSession, topic: &Topic, last: Timestamp) -> Option<Timestamp> {
        let of_topic = topic.spec.session.as_ref().and_then(|times| times.idle_timeout_seconds);
        let of_class = || self.class.map(|class| class.spec.session.idle_timeout_seconds);
        let seconds = object.spec.idle_timeout_seconds.or(of_topic).or_else(of_class)?;
        last.checked_add(SignedDuration::from_secs(seconds.into())).ok()
    }
}

/// claude's permission mode in words.
pub fn mode_in_words(mode: &str) -> String {
    match (mode, PermissionMode::read(mode)) {
        (_, Some(mode)) => format!("{} – claude {}", mode.word(), mode.meaning()),
        ("bypassPermissions", None) => "claude does everything without asking, as its AgentClass says".to_owned(),
        (other, None) => other.to_owned(),
    }
}

/// What a task is about and where it stands.
fn task_line(task: &ContainerTask) -> String {
    let status = task.status.as_ref();
    let phase = status.and_then(|status| status.phase);
    let phase = phase.map_or("new".to_owned(), |phase| format!("{phase:?}").to_lowercase());
    let position = status.and_then(|status| status.queue_position);
    let position = position.map(|position| format!(", at position {position} of the queue"));
    let beginning = piece(task.spec.prompt.lines().next().unwrap_or_default());
    let line = format!(
        "Task {}: {phase}{} – “{beginning}”",
        task.name_any(),
        position.unwrap_or_default()
    );
    match life::task_waits(task).filter(|_| status.is_some_and(|status| status.queue_position.is_none())) {
        Some(waits) => format!("{line}\n{waits}"),
        None => line,
    }
}

fn memory_line(memory: &Memory) -> String {
    match memory.limit_bytes.filter(|limit| *limit > 0) {
        None => format!("Memory: {}.", bytes(memory.current_bytes)),
        Some(limit) => format!(
            "Memory: {} of {} ({} %).",
            bytes(memory.current_bytes),
            bytes(limit),
            u128::from(memory.current_bytes) * 100 / u128::from(limit)
        ),
    }
}

fn disk_line(disk: &Disk) -> Option<String> {
    let low = disk.is_nearly_full(false)?;
    low.then(|| {
        let (free, total) = (bytes(disk.free_bytes), bytes(disk.total_bytes));
        format!("Disk: only {free} of {total} are free on the topic's volume. Let claude clean up, or make it larger.")
    })
}

/// What the model was used for, and what that cost.
pub fn spent(usage: &Usage) -> String {
    let turns = match usage.turns {
        1 => "1 turn".to_owned(),
        turns => format!("{} turns", grouped(turns)),
    };
    format!(
        "{turns}, {} tokens in and {} out, ${}",
        grouped(usage.input_tokens),
        grouped(usage.output_tokens),
        Usd::read(&usage.cost_usd)
    )
}

/// The use of the model as an object of the cluster has it. What cannot be is nothing.
pub fn of_object(usage: &longshore_crds::Usage) -> Usage {
    let count = |count: i64| u64::try_from(count).unwrap_or(0);
    Usage {
        turns: count(usage.turns),
        input_tokens: count(usage.input_tokens),
        output_tokens: count(usage.output_tokens),
        cost_usd: usage.cost_usd.clone(),
    }
}

/// The sum of uses; money is summed exactly.
pub fn total<'a>(uses: impl IntoIterator<Item = &'a Usage>) -> Usage {
    uses.into_iter().fold(Usage::default(), |sum, usage| Usage {
        turns: sum.turns.saturating_add(usage.turns),
        input_tokens: sum.input_tokens.saturating_add(usage.input_tokens),
        output_tokens: sum.output_tokens.saturating_add(usage.output_tokens),
        cost_usd: Usd::read(&sum.cost_usd).plus(Usd::read(&usage.cost_usd)).to_string(),
    })
}

/// The beginning of a text, in one line.
pub fn piece(text: &str) -> String {
    beginning(text, PIECE_CHARS)
}

/// The beginning of a text, in one line of so many characters.
pub fn beginning(text: &str, chars: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(chars) {
        None => line,
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default().trim_end()),
    }
}

/// A time of today by the clock, another with its date.
pub fn when(at: Timestamp, now: Timestamp) -> String {
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    match day(at) == day(now) {
        true => clock(at),
        false => at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    }
}

fn moment(at: Timestamp, now: Timestamp) -> String {
    match at.duration_since(now) {
        left if left.as_secs() > 0 => format!("at {}, in {}", when(at, now), span(left)),
        _ => "now".to_owned(),
    }
}

fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M UTC").to_string()
}

fn span(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        ..60 => format!("{seconds} s"),
        60..7200 => format!("{minutes} min"),
        7200..172_800 => format!("{hours} h"),
        _ => format!("{days} days"),
    }
}

fn bytes(bytes: u64) -> String {
    const UNITS: [(u32, &str); 3] = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let Some((shift, unit)) = UNITS.into_iter().find(|(shift, _)| bytes >> shift > 0) else {
        return format!("{bytes} bytes");
    };
    let tenths = (u128::from(bytes) * 10) >> shift;
    match tenths {
        ..100 if tenths % 10 != 0 => format!("{}.{} {unit}", tenths / 10, tenths % 10),
        _ => format!("{} {unit}", tenths / 10),
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;

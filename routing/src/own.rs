//! What the bot's own commands become.

use longshore_crds::Role;

use crate::command::{self, COMMANDS, Command};
use crate::decision::{Decision, Mode, StopTarget, reply};
use crate::router::Way;
use crate::setting::{self, PermissionMode, Setting};
use crate::words;

/// Turns that `/history` tells, and the most that it tells.
const HISTORY_TURNS: usize = 10;
const MAX_HISTORY_TURNS: usize = 50;

impl Way<'_> {
    /// What becomes of a command of the bot itself.
    pub(crate) fn command(&self, command: Command, rest: &str, role: Role) -> Decision {
        match (command, &self.situation.session) {
            (Command::Stop, _) => self.stop(rest),
            (Command::New, _) => self.new_session(rest),
            (Command::Model, _) => self.model(rest),
            (Command::Mode, _) => self.permissions(rest, role),
            (Command::Usage, _) => Mode::Usage.because("/usage"),
            (Command::History, _) => Self::history(rest),
            (Command::Help, _) => reply(words::help(&self.router.commands().collect::<Vec<_>>()), "/help"),
            (Command::Status, _) => Mode::Status.because("/status"),
            (Command::End, Some(session)) => Mode::EndSession {
                session: session.name.clone(),
                word: None,
            }
            .because("/end ends the active session"),
            (Command::End, None) => reply(words::NO_SESSION, "/end, and no session is active"),
            (Command::Quick, _) if rest.is_empty() => reply(words::NOTHING_QUICK, "/quick without text"),
            (Command::Quick, _) => self.task(rest, None, "/quick makes it a task"),
            (Command::Deep, Some(session)) => self.to_session(session, rest, true, None, "/deep"),
            (Command::Deep, None) => self.start(rest, None, "/deep starts a session"),
        }
    }

    fn stop(&self, rest: &str) -> Decision {
        let all = rest.eq_ignore_ascii_case("all");
        match (&self.situation.session, &self.situation.task) {
            (Some(session), _) => Mode::Stop {
                target: StopTarget::Session(session.name.clone()),
                all,
            }
            .because(match all {
                true => "/stop all stops the turn of the active session and drops what waits for it",
                false => "/stop stops the turn of the active session",
            }),
            (None, Some(task)) => Mode::Stop {
                target: StopTarget::Task(task.clone()),
                all,
            }
            .because("/stop stops the task that is not finished"),
            (None, None) => reply(words::NOTHING_TO_STOP, "/stop, and nothing runs here"),
        }
    }

    /// What is said to a command that nobody knows, or that no rule takes here.
    pub(crate) fn unknown_command(&self, name: &str, why: String) -> Decision {
        let own = COMMANDS.iter().map(|(_, name, _)| *name);
        let known = own.chain(self.router.commands()).filter(|known| *known != name);
        reply(words::unknown_command(name, command::nearest(name, known)), why)
    }

    fn new_session(&self, rest: &str) -> Decision {
        match &self.situation.session {
            None => self.start(rest, None, "/new starts a session"),
            Some(session) => {
                let why = format!("/new ends session {} and starts another", session.name);
                self.start_instead(rest, None, Some(session.name.clone()), why)
            }
        }
    }

    fn model(&self, rest: &str) -> Decision {
        let Some(session) = &self.situation.session else {
            return reply(words::NO_SESSION_TO_SET, "/model, and no session is active");
        };
        if !rest.is_empty() && !setting::is_model(rest) {
            return reply(words::NO_MODEL_NAME, "/model with what cannot be the name of a model");
        }
        Mode::Setting {
            session: session.name.clone(),
            setting: Setting::Model((!rest.is_empty()).then(|| rest.to_owned())),
        }
        .because("/model is for the active session")
    }

    fn permissions(&self, rest: &str, role: Role) -> Decision {
        let Some(session) = &self.situation.session else {
            return reply(words::NO_SESSION_TO_SET, "/mode, and no session is active");
        };
        let mode = match (rest, PermissionMode::read(rest)) {
            ("", _) => None,
            (_, Some(mode)) => Some(mode),
            (_, None) => return reply(words::no_such_mode(), "/mode with a word for none of them"),
        };
        if mode.is_some_and(PermissionMode::needs_approver) && role < Role::Approver {
            return reply(
                words::MODE_NEEDS_APPROVER,
                "/mode would let claude do more without asking, and the writer is no approver",
            );
        }
        Mode::Setting {
            session: session.name.clone(),
            setting: Setting::Permissions(mode),
        }
        .because("/mode is for the active session")
    }

    fn history(rest: &str) -> Decision {
        let turns = match rest {
            "" => Some(HISTORY_TURNS),
            number => number.parse().ok().filter(|turns| *turns > 0),
        };
        match turns {
            Some(turns) => Mode::History {
                turns: turns.min(MAX_HISTORY_TURNS),
            }
            .because("/history"),
            None => reply(words::NO_NUMBER_OF_TURNS, "/history with what is no number of turns"),
        }
    }
}

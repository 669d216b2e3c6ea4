//! Without a policy everything is as the bot's own settings say.

use super::*;
use crate::decision::StopTarget;

const ADA: i64 = 5;

fn settings() -> Settings {
    Settings {
        allowed_users: vec![ADA],
        bot_username: "longshore_bot".into(),
        done_words: vec!["done".into(), "fertig".into()],
    }
}

fn quiet() -> Situation {
    Situation {
        topic: TopicState::Bound("tp".into()),
        session: None,
        task: None,
        guest: None,
    }
}

fn in_session() -> Situation {
    Situation {
        session: Some(ActiveSession {
            name: "ps".into(),
            question: None,
            word: None,
            asleep: false,
        }),
        ..quiet()
    }
}

fn asked() -> Situation {
    Situation {
        session: Some(ActiveSession {
            name: "ps".into(),
            question: Some(3),
            word: None,
            asleep: false,
        }),
        ..quiet()
    }
}

fn asleep() -> Situation {
    Situation {
        session: Some(ActiveSession {
            name: "ps".into(),
            question: None,
            word: None,
            asleep: true,
        }),
        ..quiet()
    }
}

fn route(user: i64, content: Result<&str, &str>, situation: &Situation, settings: &Settings) -> Decision {
    let router = Router::compile(settings.clone(), &[]);
    let message = Message {
        user,
        chat: -100,
        thread: None,
        content,
        file: false,
    };
    router.decide(situation, &message, Timestamp::UNIX_EPOCH).decision
}

fn decide(text: &str, situation: &Situation) -> Decision {
    route(ADA, Ok(text), situation, &settings())
}

fn check(text: &str, situation: &Situation, expected: Mode) {
    let decision = decide(text, situation);
    assert_eq!(decision.mode, expected, "{text:?}: {}", decision.reason);
    assert!(!decision.reason.is_empty());
}

fn task(prompt: &str) -> Mode {
    Mode::Task {
        prompt: prompt.into(),
        agent_class: None,
        escalation: Some(crate::Escalation {
            mode: longshore_crds::TaskEscalation::Ask,
            agent_class: None,
        }),
        read_only: false,
    }
}
fn start(prompt: Option<&str>) -> Mode {
    Mode::StartSession {
        prompt: prompt.map(Into::into),
        agent_class: None,
        instead_of: None,
    }
}
fn to_session(text: &str) -> Mode {
    Mode::ToSession {
        session: "ps".into(),
        text: text.into(),
        deep: false,
        written: None,
    }
}
fn end() -> Mode {
    end_by(None)
}
fn end_by(word: Option<&str>) -> Mode {
    Mode::EndSession {
        session: "ps".into(),
        word: word.map(Into::into),
    }
}
fn says(text: impl Into<String>) -> Mode {
    Mode::Reply { text: text.into() }
}

#[test]
fn without_a_session_plain_text_is_a_task_and_deep_starts_one() {
    check("why is the sky blue?", &quiet(), task("why is the sky blue?"));
    check("  padded \n", &quiet(), task("padded"));
    check("/deep fix the build", &quiet(), start(Some("fix the build")));
    check("/deep\nfix\nthe build", &quiet(), start(Some("fix\nthe build")));
    check("/DEEP@Longshore_Bot fix", &quiet(), start(Some("fix")));
    check("/deep", &quiet(), start(None));
    check("done", &quiet(), task("done"));
    check("/end", &quiet(), says(words::NO_SESSION));
    check("/stop", &quiet(), says(words::NOTHING_TO_STOP));
}

#[test]
fn with_a_session_everything_goes_to_it() {
    check("and the tests?", &in_session(), to_session("and the tests?"));
    check(
        "/deep more",
        &in_session(),
        Mode::ToSession {
            session: "ps".into(),
            text: "more".into(),
            deep: true,
            written: None,
        },
    );
    check("/deep", &in_session(), says(words::ALREADY_DEEP));
    check("/end", &in_session(), end());
    check("/end@longshore_bot", &in_session(), end());
    check(" Done!\n", &in_session(), end_by(Some("Done!")));
    check("FERTIG", &in_session(), end_by(Some("FERTIG")));
    check(
        "done with this file, next one",
        &in_session(),
        to_session("done with this file, next one"),
    );
    check(
        "/stop",
        &in_session(),
        Mode::Stop {
            target: StopTarget::Session("ps".into()),
            all: false,
        },
    );
}

#[test]
fn why_something_is_denied_comes_before_an_answer_and_no_command_is_it() {
    let mut denying = asked();
    denying.session.as_mut().unwrap().word = Some(4);
    check(
        "not on a Friday",
        &denying,
        Mode::Answer {
            question: 4,
            text: "not on a Friday".into(),
        },
    );
    check("/end", &denying, end());
}

#[test]
fn an_answer_to_a_question_comes_before_everything_but_commands() {
    check(
        "the second one",
        &asked(),
        Mode::Answer {
            question: 3,
            text: "the second one".into(),
        },
    );
    check(
        "done",
        &asked(),
        Mode::Answer {
            question: 3,
            text: "done".into(),
        },
    );
    check(
        "/stop",
        &asked(),
        Mode::Stop {
            target: StopTarget::Session("ps".into()),
            all: false,
        },
    );
    check("/end", &asked(), end());
}

#[test]
fn stop_without_a_session_stops_the_task() {
    let running = Situation {
        task: Some("ct".into()),
        ..quiet()
    };
    check(
        "/stop",
        &running,
        Mode::Stop {
            target: StopTarget::Task("ct".into()),
            all: false,
        },
    );
}

#[test]
fn what_only_looks_like_a_command_is_text() {
    check("/etc/hosts is wrong", &quiet(), task("/etc/hosts is wrong"));
    check("/", &quiet(), task("/"));
    check("read @/etc/passwd", &quiet(), task("read @/etc/passwd"));
    check(
        "/frobnicate now",
        &quiet(),
        says(words::unknown_command("frobnicate", None)),
    );
    check("/frobnicate@other_bot", &quiet(), Mode::Ignore);
    check("/deep@other_bot fix", &quiet(), Mode::Ignore);
    check("/help", &quiet(), says(words::help(&[])));
    check("/status", &quiet(), Mode::Status);
}

#[test]
fn nobody_else_gets_anything() {
    for (user, allowed) in [(6, vec![ADA]), (ADA, vec![]), (0, vec![])] {
        let settings = Settings {
            allowed_users: allowed,
            ..settings()
        };
        for content in [Ok("/help"), Ok("hello"), Ok("/stop"), Ok(""), Err("stickers")] {
            let decision = route(user, content, &asked(), &settings);
            assert_eq!(decision.mode, Mode::Ignore, "{user} {content:?}");
        }
    }
}

#[test]
fn what_cannot_be_run_is_answered_with_a_sentence() {
    check("   ", &quiet(), says(words::EMPTY));
    let sticker = route(ADA, Err("stickers"), &quiet(), &settings());
    assert_eq!(sticker.mode, says(words::unsupported("stickers")));
    check(
        &"x".repeat(MAX_PROMPT_CHARS),
        &quiet(),
        task(&"x".repeat(MAX_PROMPT_CHARS)),
    );
    check(&"x".repeat(3_000_000), &quiet(), says(words::TOO_LONG));
    let nowhere = Situation::default();
    check("hello", &nowhere, says(words::NO_TOPIC));
    check("/deep hello", &nowhere, says(words::NO_TOPIC));
    check("/help", &nowhere, says(words::help(&[])));
    let creatable = Situation {
        topic: TopicState::Creatable("tg-1g-0".into()),
        ..nowhere
    };
    check("hello", &creatable, task("hello"));
}

#[test]
fn a_session_that_sleeps_is_woken_by_a_bare_deep_and_takes_messages_as_ever() {
    check("/deep", &asleep(), Mode::WakeSession { session: "ps".into() });
    let to_session = |text: &str, deep: bool| Mode::ToSession {
        session: "ps".into(),
        text: text.into(),
        deep,
        written: None,
    };
    check("/deep go on", &asleep(), to_session("go on", true));
    check("go on", &asleep(), to_session("go on", false));
    assert!(matches!(decide("/deep", &in_session()).mode, Mode::Reply { .. }));
}

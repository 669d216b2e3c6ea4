use super::*;
use jiff::Timestamp;
use longshore_wire::api::Usage;
use longshore_wire::event::ToolState;

fn id(n: i64) -> MessageId {
    MessageId::from_telegram(1, n)
}

fn started(turn: u64, ids: &[i64]) -> Event {
    Event::TurnStarted {
        turn,
        message_ids: ids.iter().copied().map(id).collect(),
    }
}
fn text(turn: u64, block: u32, text: &str) -> Event {
    Event::Text {
        turn,
        block,
        text: text.into(),
    }
}
fn tool(turn: u64, name: &str, state: ToolState) -> Event {
    Event::Tool {
        turn,
        id: name.into(),
        name: name.into(),
        summary: "cargo test".into(),
        state,
    }
}
fn finished(turn: u64, ids: &[i64], error: Option<(&str, Option<&str>)>) -> Event {
    Event::TurnFinished {
        turn,
        message_ids: ids.iter().copied().map(id).collect(),
        is_error: error.is_some(),
        terminal_reason: error.map_or("completed", |(reason, _)| reason).into(),
        error: error.and_then(|(_, text)| text.map(Into::into)),
        usage: Usage::default(),
    }
}

fn shows(conversation: &Conversation) -> Option<String> {
    conversation
        .progress(Timestamp::UNIX_EPOCH)
        .map(|progress| progress.rich.text)
}

fn answer(changes: Vec<Change>) -> (Vec<MessageId>, String) {
    match changes.as_slice() {
        [Change::Answer { messages, parts, .. }] => (
            messages.clone(),
            parts
                .iter()
                .map(|part| part.rich.text.as_str())
                .collect::<Vec<_>>()
                .join("|"),
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_turn_streams_and_its_answer_has_every_block_but_no_tool() {
    let mut talk = Conversation::default();
    assert_eq!(talk.take(&started(1, &[7])), [Change::Stirred]);
    assert_eq!(shows(&talk), None);
    talk.preview(&Preview::TextDelta {
        turn: 1,
        block: 0,
        text: "Let me ".into(),
    });
    talk.preview(&Preview::TextDelta {
        turn: 1,
        block: 0,
        text: "look".into(),
    });
    assert_eq!(shows(&talk).unwrap(), "Let me look");
    talk.take(&text(1, 0, "Let me look."));
    talk.take(&tool(1, "Bash", ToolState::Started));
    assert_eq!(shows(&talk).unwrap(), "Let me look.\n\n⚙ running tests");
    talk.take(&tool(1, "Bash", ToolState::Finished));
    talk.preview(&Preview::TextDelta {
        turn: 1,
        block: 1,
        text: "wrong".into(),
    });
    talk.preview(&Preview::TextReset { turn: 1, block: 1 });
    talk.take(&text(1, 1, "It works."));
    talk.preview(&Preview::TextDelta {
        turn: 1,
        block: 1,
        text: "late".into(),
    });
    assert_eq!(shows(&talk).unwrap(), "Let me look.\n\nIt works.");
    assert_eq!(talk.progress(Timestamp::UNIX_EPOCH).unwrap().messages, [id(7)]);
    assert_eq!(
        answer(talk.take(&finished(1, &[7, 8], None))),
        (vec![id(7), id(8)], "Let me look.\n\nIt works.".into())
    );
    assert_eq!(talk, Conversation::default());
}

#[test]
fn a_turn_that_a_crash_cut_short_keeps_what_it_said() {
    let mut talk = Conversation::default();
    for event in [
        started(3, &[1]),
        text(3, 0, "first"),
        started(3, &[1]),
        text(3, 1, "second"),
    ] {
        talk.take(&event);
    }
    assert_eq!(answer(talk.take(&finished(3, &[1], None))).1, "first\n\nsecond");
}

#[test]
fn a_conversation_is_rebuilt_from_its_events() {
    let events = [started(1, &[1]), text(1, 0, "a"), tool(1, "Bash", ToolState::Started)];
    let mut live = Conversation::default();
    let mut records = Vec::new();
    for (at, event) in events.into_iter().enumerate() {
        let record = Record {
            seq: at as u64 + 1,
            at: Timestamp::UNIX_EPOCH,
            event,
        };
        live.take_record(&record);
        records.push(record);
    }
    assert_eq!(Conversation::rebuild(&records), live);
}

#[test]
fn errors_are_sentences_after_what_was_said() {
    let end = |said: bool, reason, error| {
        let mut talk = Conversation::default();
        if said {
            talk.take(&text(1, 0, "half an"));
        }
        answer(talk.take(&finished(1, &[1], Some((reason, error))))).1
    };
    assert_eq!(end(true, "aborted_streaming", None), "half an\n\nStopped.");
    assert_eq!(end(false, "cancelled", None), "This was dropped before it ran.");
    assert_eq!(
        end(false, "api_error", Some("The model is overloaded.")),
        "The model is overloaded."
    );
    assert_eq!(
        end(false, "api_error", None),
        "claude stopped with an error (api_error)."
    );
}

#[test]
fn an_answer_longer_than_a_message_comes_in_parts() {
    let mut talk = Conversation::default();
    talk.take(&text(1, 0, &"word ".repeat(3000)));
    assert!(talk.progress(Timestamp::UNIX_EPOCH).unwrap().rich.units() <= 4096);
    let [Change::Answer { parts, .. }] = &talk.take(&finished(1, &[1], None))[..] else {
        panic!()
    };
    assert_eq!(parts.len(), 4);
    assert!(parts.iter().all(|part| part.rich.units() <= 4096));
}

#[test]
fn the_end_of_messages_that_were_dropped_leaves_the_running_turn_its_words() {
    let mut conversation = Conversation::default();
    conversation.take(&started(1, &[1]));
    conversation.take(&text(1, 0, "half an answer"));
    let dropped = conversation.take(&finished(2, &[2], Some(("quiesced", None))));
    assert_eq!(answer(dropped).0, [id(2)]);
    assert_eq!(shows(&conversation).unwrap(), "half an answer");
    let (_, said) = answer(conversation.take(&finished(1, &[1], None)));
    assert_eq!(said, "half an answer");
}

fn accepted(n: i64, author: &str) -> Event {
    Event::Accepted {
        id: id(n),
        author: Some(author.into()),
        text: "Report.".into(),
        attachments: Vec::new(),
        context: None,
    }
}

#[test]
fn an_answer_to_a_schedule_says_which_run_it_is_unless_somebody_else_asked_too() {
    let run = author::of_run("tick", "2026-01-01 09:00");
    let mut talk = Conversation::default();
    talk.take(&accepted(1, &run));
    talk.take(&started(1, &[1]));
    assert_eq!(shows(&talk), None, "a heading alone is nothing to show");
    talk.take(&text(1, 0, "All is well."));
    let whole = "⏰ tick, 2026-01-01 09:00\n\nAll is well.";
    assert_eq!(shows(&talk).unwrap(), whole);
    assert_eq!(answer(talk.take(&finished(1, &[1], None))).1, whole);
    assert_eq!(talk, Conversation::default());

    for (author, text) in [
        (run.as_str(), "⏰ tick, 2026-01-01 09:00\n\nStopped."),
        ("Ada", "Stopped."),
    ] {
        talk.take(&accepted(2, author));
        let stopped = finished(2, &[2], Some(("aborted_tools", None)));
        assert_eq!(answer(talk.take(&stopped)).1, text);
    }
    talk.take(&accepted(3, &run));
    talk.take(&accepted(4, "Ada"));
    talk.take(&text(3, 0, "Both."));
    assert_eq!(answer(talk.take(&finished(3, &[3, 4], None))).1, "Both.");
    talk.take(&accepted(5, &run));
    assert_eq!(
        answer(talk.take(&finished(4, &[5], None))).1,
        "",
        "who has nothing to say says nothing"
    );
}

#[test]
fn a_turn_that_says_nothing_yet_is_thinking_and_then_tells_what_it_does_for_how_long() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let record = |event| Record {
        seq: 1,
        at: at(100),
        event,
    };
    let mut talk = Conversation::default();
    talk.take_record(&record(started(1, &[7])));
    assert_eq!(talk.progress(at(102)), None);
    let thinking = talk.progress(at(160)).unwrap();
    assert_eq!(
        (thinking.rich.text.as_str(), thinking.thinking),
        ("💭 thinking · 1:00", true)
    );
    talk.take(&tool(1, "Bash", ToolState::Started));
    let busy = talk.progress(at(161)).unwrap();
    assert_eq!(
        (busy.rich.text.as_str(), busy.thinking),
        ("⚙ running tests · 1:01", false)
    );
    assert_eq!(busy.details, "… Bash cargo test");
    talk.take(&tool(1, "Bash", ToolState::Finished));
    talk.take(&text(1, 0, "It works."));
    let said = talk.progress(at(170)).unwrap();
    assert_eq!(
        (said.rich.text.as_str(), said.details.as_str()),
        ("It works.", "✓ Bash cargo test")
    );
    assert!(talk.is_running());
    talk.take(&finished(1, &[7], None));
    assert!(!talk.is_running());
}

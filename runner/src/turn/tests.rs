//! The machine against scripts of lines, and against any order of them.

use longshore_wire::api::{Decision, Verdict};
use longshore_wire::claude::decode;
use longshore_wire::event::{ApprovalOutcome, Record, ToolState};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::journal::Entry;

fn limits() -> Limits {
    Limits {
        silence: SignedDuration::from_secs(60),
        retries: SignedDuration::from_secs(30),
        obey: SignedDuration::from_secs(5),
        approval: SignedDuration::from_secs(600),
        start: SignedDuration::from_secs(90),
    }
}

/// A machine, its journal and its clock.
struct World {
    machine: Machine,
    journal: Vec<Entry>,
    outputs: Vec<Output>,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let now = Timestamp::UNIX_EPOCH;
        Self {
            machine: Machine::restore(Past::default(), limits(), now),
            journal: Vec::new(),
            outputs: Vec::new(),
            now,
        }
    }

    fn ready() -> Self {
        let mut world = Self::new();
        world.spawn();
        world.outputs.clear();
        world
    }

    fn step(&mut self, input: Input) -> &mut Self {
        let outputs = self.machine.step(self.now, input);
        self.take(outputs);
        self
    }

    fn take(&mut self, outputs: Vec<Output>) {
        for output in &outputs {
            match output {
                Output::Event(event) => self.record(event.clone()),
                Output::Mark(mark) => self.journal.push(Entry::Mark(mark.clone())),
                _ => {}
            }
        }
        self.outputs.extend(outputs);
    }

    fn record(&mut self, event: Event) {
        let records = self.journal.iter().filter(|entry| matches!(entry, Entry::Record(_)));
        let seq = records.count() as u64 + 1;
        self.journal.push(Entry::Record(Record {
            seq,
            at: self.now,
            event,
        }));
    }

    fn line(&mut self, line: Value) -> &mut Self {
        self.step(Input::Line(decode(&line.to_string())))
    }

    fn spawn(&mut self) {
        self.step(Input::Spawned { preface: Vec::new() });
        let asked = self.outputs.iter().rev().find_map(|output| match output {
            Output::Write(claude::Input::Control { request_id, .. }) => Some(request_id.clone()),
            _ => None,
        });
        let request_id = asked.unwrap();
        self.line(json!({"type": "control_response", "response": {"subtype": "success", "request_id": request_id, "response": {}}}));
    }

    fn accept(&mut self, n: i64) -> &mut Self {
        self.record(Event::Accepted {
            id: id(n),
            author: None,
            text: format!("message {n}"),
            attachments: Vec::new(),
            context: None,
        });
        self.step(Input::Accept(Message {
            id: id(n),
            text: format!("message {n}"),
            author: None,
            attachments: Vec::new(),
            context: None,
            priority: Priority::Next,
        }))
    }

    fn lifecycle(&mut self, n: i64, state: &str) -> &mut Self {
        self.line(json!({"type": "command_lifecycle", "command_uuid": id(n), "state": state}))
    }

    fn init(&mut self) -> &mut Self {
        self.line(json!({"type": "system", "subtype": "init"}))
    }

    fn says(&mut self, text: &str) -> &mut Self {
        self.line(json!({"type": "assistant", "message": {"content": [{"type": "text", "text": text}]}}))
    }

    fn streams(&mut self, text: &str) -> &mut Self {
        self.line(json!({"type": "stream_event", "event": {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}}}))
    }

    fn starts_message(&mut self) -> &mut Self {
        self.line(json!({"type": "stream_event", "event": {"type": "message_start"}}))
    }

    fn uses_tool(&mut self, tool: &str) -> &mut Self {
        self.line(json!({"type": "assistant", "message": {"content": [{"type": "tool_use", "id": tool, "name": "Bash", "input": {"command": "ls"}}]}}))
    }

    fn asks(&mut self, request: &str) -> &mut Self {
        self.line(json!({"type": "control_request", "request_id": request, "request": {
        "subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "rm x"},
        "permission_suggestions": [
            {"type": "addRules", "rules": [{"toolName": "Bash"}], "behavior": "allow", "destination": "localSettings"},
            {"type": "setMode", "mode": "acceptEdits", "destination": "session"},
        ]}}))
    }

    fn result(&mut self, messages: &[i64]) -> &mut Self {
        self.result_of(messages, json!({"is_error": false, "terminal_reason": "completed"}))
    }

    fn result_of(&mut self, messages: &[i64], more: Value) -> &mut Self {
        let uuids: Vec<MessageId> = messages.iter().map(|n| id(*n)).collect();
        let mut line = json!({"type": "result", "num_turns": 1, "user_message_uuids": uuids, "is_error": false});
        for (key, value) in more.as_object().unwrap() {
            line[key] = value.clone();
        }
        self.line(line)
    }

    fn later(&mut self, seconds: i64) -> &mut Self {
        self.now += SignedDuration::from_secs(seconds);
        self.step(Input::Tick { upstream: None })
    }

    fn crash(&mut self) -> &mut Self {
        self.step(Input::Exited)
    }

    /// claude is started again; `found` is what its transcript says.
    fn recover(&mut self, found: &[(Uuid, Found)]) -> &mut Self {
        self.step(Input::Recover(Searched {
            found: found.iter().cloned().collect(),
            cause: Some("It broke.".to_owned()),
            ..Searched::default()
        }));
        self.spawn();
        self
    }

    /// The runner dies; only the journal is left.
    fn runner_dies(&mut self) -> &mut Self {
        self.machine = Machine::restore(Past::read(&self.journal), limits(), self.now);
        self
    }

    fn events(&self) -> Vec<&Event> {
        let records = self.journal.iter().filter_map(|entry| match entry {
            Entry::Record(record) => Some(&record.event),
            Entry::Mark(_) => None,
        });
        records.collect()
    }

    /// `turn: messages reason`, one for each ended turn.
    fn ends(&self) -> Vec<String> {
        let ends = self.events().into_iter().filter_map(|event| match event {
            Event::TurnFinished {
                turn,
                message_ids,
                terminal_reason,
                ..
            } => Some(format!("{turn}: {} {terminal_reason}", numbers(message_ids))),
            _ => None,
        });
        ends.collect()
    }

    fn texts(&self) -> Vec<String> {
        let texts = self.events().into_iter().filter_map(|event| match event {
            Event::Text { turn, block, text } => Some(format!("{turn}.{block} {text}")),
            _ => None,
        });
        texts.collect()
    }

    /// uuids of the messages written to claude.
    fn sent(&self) -> Vec<Uuid> {
        let sent = self.outputs.iter().filter_map(|output| match output {
            Output::Write(claude::Input::User(message)) => Some(message.uuid),
            _ => None,
        });
        sent.collect()
    }

    /// Messages that were written with a note that the request before was stopped.
    fn told_of_a_stop(&self) -> Vec<MessageId> {
        let told = self.outputs.iter().filter_map(|output| match output {
            Output::Write(claude::Input::User(UserMessage {
                uuid,
                content: UserContent::Texts(texts),
                ..
            })) if texts.iter().any(|text| text == AFTER_STOP) => Some(MessageId(*uuid)),
            _ => None,
        });
        told.collect()
    }

    fn continuation(&self) -> Uuid {
        let marks = self.journal.iter().rev().find_map(|entry| match entry {
            Entry::Mark(Mark::Continued { uuid, .. }) => Some(*uuid),
            _ => None,
        });
        marks.expect("nothing was continued")
    }

    fn interrupts(&self) -> usize {
        let is = |output: &&Output| {
            matches!(
                output,
                Output::Write(claude::Input::Control {
                    request: claude::Request::Interrupt { .. },
                    ..
                })
            )
        };
        self.outputs.iter().filter(is).count()
    }
}

fn id(n: i64) -> MessageId {
    MessageId::from_telegram(0, n)
}

fn numbers(ids: &[MessageId]) -> String {
    let number = |wanted: &MessageId| (0..100).find(|n| id(*n) == *wanted).map(|n| n.to_string());
    let numbers: Vec<String> = ids.iter().filter_map(number).collect();
    format!("[{}]", numbers.join(","))
}

fn open(texts: &[&str]) -> Found {
    Found::Open {
        texts: texts.iter().map(|text| (*text).to_owned()).collect(),
    }
}

fn ended(texts: &[&str]) -> Found {
    Found::Ended {
        texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        error: None,
    }
}

#[test]
fn messages_wait_until_claude_is_ready() {
    let mut world = World::new();
    world.accept(1);
    assert!(world.sent().is_empty());
    world.spawn();
    assert_eq!(world.sent(), [id(1).0]);
}

#[test]
fn a_merged_batch_ends_in_one_turn() {
    let mut world = World::ready();
    world.accept(1).accept(2);
    world
        .lifecycle(1, "started")
        .lifecycle(2, "started")
        .init()
        .says("both")
        .result(&[1, 2]);
    world.lifecycle(1, "completed").lifecycle(2, "completed");
    assert_eq!(world.ends(), ["1: [1,2] completed"]);
    let starts: Vec<_> = world
        .events()
        .into_iter()
        .filter(|event| matches!(event, Event::TurnStarted { message_ids, .. } if message_ids.len() == 2))
        .collect();
    assert_eq!(starts.len(), 1, "the start names the whole batch");
}

#[test]
fn a_folded_message_ends_with_the_turn_that_took_it() {
    let mut world = World::ready();
    world.accept(1).lifecycle(1, "started").init().uses_tool("t").accept(2);
    world
        .lifecycle(2, "queued")
        .lifecycle(2, "started")
        .says("x")
        .lifecycle(2, "completed")
        .result(&[1, 2]);
    assert_eq!(world.ends(), ["1: [1,2] completed"]);
}

#[test]
fn a_turn_that_claude_begins_by_itself_has_no_message() {
    let mut world = World::ready();
    world.init().says("the build is done").result(&[]);
    assert_eq!(
        (world.ends(), world.texts()),
        (
            vec!["1: [] completed".to_owned()],
            vec!["1.0 the build is done".to_owned()]
        )
    );
}

#[test]
fn a_second_message_start_throws_the_preview_away() {
    let mut world = World::ready();
    world
        .accept(1)
        .lifecycle(1, "started")
        .init()
        .starts_message()
        .streams("half a ")
        .starts_message()
        .streams("fine")
        .says("fine");
    let previews: Vec<&Preview> = world
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::Preview(preview) => Some(preview),
            _ => None,
        })
        .collect();
    assert!(
        matches!(previews[1], Preview::TextReset { turn: 1, block: 0 }),
        "{previews:?}"
    );
    assert_eq!(world.texts(), ["1.0 fine"]);
}

#[test]
fn subtype_success_with_an_error_is_an_error() {
    let mut world = World::ready();
    world.accept(1).lifecycle(1, "started").init();
    world.line(json!({"type": "assistant", "is_api_error_message": true, "error": "server_error", "message": {"content": [{"type": "text", "text": "API Error: 529"}]}}));
    world.result_of(
        &[1],
        json!({"subtype": "success", "is_error": true, "terminal_reason": "api_error", "result": "tail"}),
    );
    assert_eq!(world.ends(), ["1: [1] api_error"]);
    assert!(world.texts().is_empty(), "an error is no answer");
    let told = world.events().into_iter().any(|event| matches!(event, Event::TurnFinished { is_error: true, error: Some(error), .. } if error == "API Error: 529"));
    assert!(told);
}

#[test]
fn a_turn_that_was_overtaken_counts_as_stopped_though_claude_calls_it_a_success() {
    let mut world = World::ready();
    world.accept(1).lifecycle(1, "started").init().streams("some");
    world.result_of(&[1], json!({"is_error": false, "terminal_reason": "aborted_streaming"}));
    assert!(matches!(
        world.events().last(),
        Some(Event::TurnFinished { is_error: true, .. })
    ));
    assert_eq!(world.texts(), ["1.0 some"], "what was streamed is kept");
}

#[test]
fn what_a_subagent_says_is_not_the_answer() {
    let mut world = World::ready();
    world.accept(1).lifecycle(1, "started").init();
    world.line(json!({"type": "assistant", "parent_tool_use_id": "t", "message": {"content": [{"type": "text", "text": "inner"}]}}));
    world.says("outer").result(&[1]);
    assert_eq!(world.texts(), ["1.0 outer"]);
}

#[test]
fn a_dropped_message_is_cancelled_in_a_turn_of_its_own() {
    let mut world = World::ready();
    world
        .accept(1)
        .accept(2)
        .lifecycle(1, "started")
        .init()
        .lifecycle(2, "queued");
    world.step(Input::Interrupt {
        token: Token(1),
        cancel_queued: true,
    });
    world.lifecycle(2, "cancelled");
    world.result_of(&[1], json!({"is_error": true, "terminal_reason": "aborted_streaming"}));
    world.lifecycle(1, "cancelled");
    assert_eq!(world.ends(), ["2: [2] cancelled", "1: [1] aborted_streaming"]);
}

#[test]
fn a_prompt_is_remembered_for_the_session_only_and_by_its_rule_only() {
    let mut world = World::ready();
    world.accept(1).lifecycle(1, "started").init().asks("p");
    let decision = Decision {
        verdict: Verdict::Allow,
        remember: true,
        message: None,
        answers: BTreeMap::new(),
        by: Some("Ann".to_owned()),
    };
    let outputs = world.machine.decide(world.now, "p", decision.clone()).unwrap();
    // That it is decided is journalled before claude hears of it.
    let [Output::Event(Event::ApprovalClosed { .. }), Output::Write(input)] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    let line: Value = serde_json::from_str(&input.encode()).unwrap();
    assert_eq!(
        line["response"]["response"],
        json!({
            "behavior": "allow", "updatedInput": {"command": "rm x"},
            "updatedPermissions": [{"type": "addRules", "rules": [{"toolName": "Bash"}], "behavior": "allow", "destination": "session"}],
        })
    );
    assert_eq!(
        world.machine.decide(world.now, "p", decision),
        Err(DecideError::NotWaiting)
    );
}

#[test]
fn prompts_expire_or_become_moot() {
    let mut world = World::ready();
    world
        .accept(1)
        .lifecycle(1, "started")
        .init()
        .asks("a")
        .asks("b")
        .asks("c");
    world.line(json!({"type": "control_cancel_request", "request_id": "a"}));
    world.later(599);
    assert_eq!(world.machine.approvals().len(), 2);
    world.later(1);
    assert!(world.machine.approvals().is_empty());
    let outcomes: Vec<ApprovalOutcome> = world
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::ApprovalClosed { outcome, .. } => Some(*outcome),
            _ => None,
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            ApprovalOutcome::Cancelled,
            ApprovalOutcome::Expired,
            ApprovalOutcome::Expired
        ]
    );
}

/// A turn in which claude asks about a use of a tool, in the words of the CLI.
fn asking(tool_use: &str) -> World {
    let mut world = World::ready();
    world.accept(1).lifecycle(1, "started").init().uses_tool(tool_use);
    world.line(json!({"type": "control_request", "request_id": "r", "request": {
        "subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "ls"}, "tool_use_id": tool_use,
        "blocked_path": "/etc", "decision_reason": "outside\nof it"}}));
    world
}

fn allow(world: &mut World) {
    let decision = Decision {
        verdict: Verdict::Allow,
        remember: false,
        message: None,
        answers: Default::default(),
        by: Some("Ada".to_owned()),
    };
    let out = world.machine.decide(world.now, "r", decision).unwrap();
    world.take(out);
}

fn ends_tool(world: &mut World, tool_use: &str, parent: Value) {
    world.line(
        json!({"type": "user", "parent_tool_use_id": parent, "message": {"content": [
        {"type": "tool_result", "tool_use_id": tool_use, "is_error": false}]}}),
    );
}

fn lost(world: &World) -> usize {
    let events = world.events();
    let lost = events
        .iter()
        .filter(|event| matches!(event, Event::ApprovalLost { .. }));
    lost.count()
}

#[test]
fn a_prompt_says_why_claude_asks_and_what_would_be_remembered() {
    let world = asking("t");
    let [approval] = &world.machine.approvals()[..] else {
        panic!()
    };
    assert_eq!(approval.tool_use_id.as_deref(), Some("t"));
    assert_eq!(approval.blocked_path.as_deref(), Some("/etc"));
    assert_eq!(approval.reason.as_deref(), Some("outside of it"));
    assert_eq!(approval.rememberable.as_deref(), Some(&[][..]));
    let mut world = World::ready();
    world.accept(1).lifecycle(1, "started").init().asks("r");
    assert_eq!(world.machine.approvals()[0].rememberable, Some(vec!["Bash".to_owned()]));
}

#[test]
fn a_prompt_whose_process_died_is_lost_and_closed() {
    for runner in [false, true] {
        let mut world = asking("t");
        if runner {
            world.runner_dies()
        } else {
            world.crash()
        };
        world.recover(&[(id(1).0, open(&[]))]);
        let events = world.events();
        let at = events
            .iter()
            .position(|event| matches!(event, Event::ApprovalLost { id } if id == "r"));
        let next = &events[at.unwrap() + 1];
        let outcome = ApprovalOutcome::Cancelled;
        assert!(matches!(next, Event::ApprovalClosed { outcome: found, .. } if *found == outcome));
        assert_eq!(lost(&world), 1);
    }
}

#[test]
fn a_decision_is_lost_when_claude_dies_before_the_tool_has_a_result() {
    for runner in [false, true] {
        let mut world = asking("t");
        allow(&mut world);
        if runner {
            world.runner_dies()
        } else {
            world.crash()
        };
        assert_eq!(lost(&world), 0, "what the transcript says is not known yet");
        world.recover(&[(id(1).0, open(&[]))]);
        assert_eq!(lost(&world), 1);
        world.crash().recover(&[(id(1).0, open(&[]))]);
        assert_eq!(lost(&world), 1, "once");
    }
}

#[test]
fn a_decision_about_a_tool_that_has_a_result_is_not_lost() {
    for runner in [false, true] {
        // claude has said so.
        let mut world = asking("t");
        allow(&mut world);
        ends_tool(&mut world, "t", Value::Null);
        if runner {
            world.runner_dies()
        } else {
            world.crash()
        };
        world.recover(&[(id(1).0, open(&[]))]);
        assert_eq!(lost(&world), 0);
        // Only the transcript knows.
        let mut world = asking("t");
        allow(&mut world);
        if runner {
            world.runner_dies()
        } else {
            world.crash()
        };
        assert_eq!(world.machine.decided(), ["t".to_owned()].into());
        world.step(Input::Recover(Searched {
            may_have_run: ["t".to_owned()].into(),
            ..Searched::default()
        }));
        assert_eq!(lost(&world), 0);
        // A subagent did it, of which no transcript tells.
        let mut world = asking("other");
        world.line(json!({"type": "control_request", "request_id": "s", "request": {
            "subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "ls"}, "tool_use_id": "of-subagent"}}));
        let out = world.machine.decide(
            world.now,
            "s",
            Decision {
                verdict: Verdict::Allow,
                remember: false,
                message: None,
                answers: Default::default(),
                by: None,
            },
        );
        world.take(out.unwrap());
        if runner {
            world.runner_dies()
        } else {
            world.crash()
        };
        assert!(world.machine.decided().is_empty());
    }
}

#[test]
fn what_was_decided_in_a_turn_that_is_over_is_not_lost() {
    let mut world = asking("t");
    allow(&mut world);
    world.result(&[1]).crash().recover(&[]);
    assert_eq!(lost(&world), 0);
    // A prompt that a stop makes moot is no loss either.
    let mut world = asking("t");
    world.result_of(&[1], json!({"is_error": true, "terminal_reason": "aborted_tools"}));
    assert_eq!(lost(&world), 0);
    assert!(world.machine.approvals().is_empty());
}

#[test]
fn other_requests_of_claude_are_answered_so_that_it_does_not_wait_for_ever() {
    let mut world = World::ready();
    world.line(json!({"type": "control_request", "request_id": "h", "request": {"subtype": "hook_callback"}}));
    assert!(
        matches!(&world.outputs[..], [Output::Write(claude::Input::Refuse { request_id, .. })] if request_id == "h")
    );
}

#[test]
fn silence_stops_a_turn_and_then_kills_claude() {
    let mut world = World::ready();
    world.accept(1).lifecycle(1, "started").init().later(59);
    assert_eq!(world.interrupts(), 0);
    world.later(1);
    assert_eq!(world.interrupts(), 1);
    world.later(5);
    assert!(world.outputs.iter().any(|output| matches!(output, Output::Kill(_))));
    world.crash();
    assert_eq!(world.ends(), ["1: [1] silence"]);
}

#[test]
fn a_running_tool_a_waiting_prompt_and_an_idle_session_are_not_silence() {
    let mut world = World::ready();
    world
        .later(1000)
        .accept(1)
        .lifecycle(1, "started")
        .init()
        .uses_tool("t")
        .later(1000);
    world.line(json!({"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": "t"}]}}));
    world.asks("p").later(500);
    assert_eq!(world.interrupts(), 0);
    world.step(Input::Tick {
        upstream: Some(world.now),
    });
    assert_eq!(world.interrupts(), 0);
}

#[test]
fn bytes_from_the_endpoint_are_a_sign_of_life() {
    let mut world = World::ready();
    world.accept(1).lifecycle(1, "started").init();
    world.now += SignedDuration::from_secs(100);
    world.step(Input::Tick {
        upstream: Some(world.now - SignedDuration::from_secs(1)),
    });
    assert_eq!(world.interrupts(), 0);
}

#[test]
fn endless_retries_and_refused_credentials_end_the_turn() {
    let retry = |error: &str| json!({"type": "system", "subtype": "api_retry", "attempt": 1, "error": error});
    let stopped = json!({"is_error": true, "terminal_reason": "aborted_streaming"});
    let mut world = World::ready();
    world
        .accept(1)
        .lifecycle(1, "started")
        .init()
        .line(retry("server_error"))
        .later(29)
        .line(retry("server_error"));
    assert_eq!(world.interrupts(), 0);
    world.later(1).result_of(&[1], stopped.clone());
    world
        .accept(2)
        .lifecycle(2, "started")
        .init()
        .line(retry("authentication_failed"))
        .result_of(&[2], stopped);
    assert_eq!(world.ends(), ["1: [1] retries", "2: [2] not_logged_in"]);
    world.accept(3).lifecycle(3, "started").init().says("x").result(&[3]);
    let problems: Vec<bool> = world
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::Problem(problem) => Some(problem.is_some()),
            _ => None,
        })
        .collect();
    assert_eq!(problems, [true, false], "told, and taken back when it works again");
}

#[test]
fn a_crash_mid_turn_is_continued_under_the_same_number() {
    let mut world = World::ready();
    world
        .accept(1)
        .accept(2)
        .lifecycle(1, "started")
        .init()
        .says("first")
        .streams("sec")
        .uses_tool("t")
        .asks("p");
    world.lifecycle(2, "queued").crash();
    assert_eq!(world.texts(), ["1.0 first", "1.1 sec"]);
    assert!(world.machine.approvals().is_empty());
    world.outputs.clear();
    world.recover(&[(id(1).0, open(&["first"]))]);
    let continuation = world.continuation();
    assert_eq!(
        world.sent(),
        [continuation, id(2).0],
        "continued first, then what never began"
    );
    let said = world.outputs.iter().any(|output| matches!(output, Output::Write(claude::Input::User(UserMessage { content: UserContent::Text(text), .. })) if text.ends_with("\nsec")));
    assert!(said, "claude is told what people have read already");
    world.line(json!({"type": "command_lifecycle", "command_uuid": continuation, "state": "started"}));
    world.init().says("third").line(json!({"type": "result", "num_turns": 1, "is_error": false, "terminal_reason": "completed", "user_message_uuids": [continuation]}));
    assert_eq!(world.ends(), ["1: [1] completed"]);
    assert_eq!(world.texts().last().unwrap(), "1.2 third");
}

#[test]
fn a_continuation_that_was_not_stored_is_sent_again_and_one_that_was_gets_a_successor() {
    let mut world = World::ready();
    world
        .accept(1)
        .lifecycle(1, "started")
        .init()
        .crash()
        .recover(&[(id(1).0, open(&[]))]);
    let first = world.continuation();
    world.crash();
    world.outputs.clear();
    world.recover(&[(id(1).0, open(&[]))]);
    assert_eq!(
        (world.continuation(), world.sent()),
        (first, vec![first]),
        "not stored: the same again"
    );
    world.runner_dies();
    world.outputs.clear();
    world.recover(&[(id(1).0, open(&[])), (first, open(&[]))]);
    let second = world.continuation();
    assert!(second != first && world.sent() == [second]);
    world.runner_dies().recover(&[(second, ended(&["done"]))]);
    assert_eq!(
        (world.ends(), world.texts()),
        (vec!["1: [1] completed".to_owned()], vec!["1.0 done".to_owned()])
    );
}

#[test]
fn an_end_that_only_the_transcript_knows_is_told_with_its_missing_texts() {
    let mut world = World::ready();
    world
        .accept(1)
        .lifecycle(1, "started")
        .init()
        .says("one")
        .streams("tw")
        .crash();
    world.recover(&[(id(1).0, ended(&["one", "two", "three"]))]);
    assert_eq!(
        world.texts(),
        ["1.0 one", "1.1 tw", "1.2 o", "1.3 three"],
        "nothing doubled, nothing lost"
    );
    assert_eq!(world.ends(), ["1: [1] completed"]);
}

#[test]
fn a_merged_batch_shares_its_fate_though_the_transcript_names_only_one() {
    let mut world = World::ready();
    world
        .accept(1)
        .accept(2)
        .lifecycle(1, "started")
        .lifecycle(2, "started")
        .init()
        .runner_dies();
    world.outputs.clear();
    world.recover(&[(id(2).0, open(&[]))]);
    assert_eq!(world.sent(), [world.continuation()], "the other one is not sent again");
}

#[test]
fn a_stopped_turn_is_not_brought_back_by_a_crash() {
    let mut world = World::ready();
    world.accept(1).lifecycle(1, "started").init();
    world
        .step(Input::Interrupt {
            token: Token(1),
            cancel_queued: false,
        })
        .runner_dies();
    world.recover(&[(id(1).0, open(&[]))]);
    assert_eq!(world.ends(), ["1: [1] aborted_streaming"]);
}

#[test]
fn a_message_that_kills_claude_again_and_again_is_given_up() {
    let mut world = World::ready();
    world.accept(1);
    for _ in 0..20 {
        if world.machine.unfinished().is_empty() {
            break;
        }
        world.lifecycle(1, "started").init().crash();
        let anchors: Vec<_> = world
            .machine
            .anchors()
            .into_iter()
            .map(|(uuid, _)| (uuid, open(&[])))
            .collect();
        world.recover(&anchors);
    }
    assert_eq!(world.ends(), ["1: [1] crashed"]);
    assert!(!world.machine.is_working());
}

/// What the transcript says when it holds only these messages, and whatever was sent in their place.
fn holds_only(world: &World, messages: &[i64]) -> Vec<(Uuid, Found)> {
    let others: Vec<Uuid> = (0..100).filter(|n| !messages.contains(n)).map(|n| id(n).0).collect();
    let anchors = world.machine.anchors().into_iter().map(|(uuid, _)| uuid);
    anchors
        .filter(|uuid| !others.contains(uuid))
        .map(|uuid| (uuid, open(&[])))
        .collect()
}

#[test]
fn what_only_waited_is_not_given_up_with_the_message_that_kills_claude() {
    for runner_dies in [false, true] {
        let mut world = World::ready();
        world.accept(1).accept(2);
        for _ in 0..20 {
            if world.machine.unfinished().len() < 2 {
                break;
            }
            world.lifecycle(1, "started").init();
            if runner_dies {
                world.runner_dies();
            } else {
                world.crash();
            }
            let found = holds_only(&world, &[1]);
            world.recover(&found);
        }
        assert_eq!(world.ends(), ["1: [1] crashed"], "the runner dies: {runner_dies}");
        assert_eq!(world.machine.unfinished(), [id(2)]);
        world.lifecycle(2, "started").init().says("fine").result(&[2]);
        assert_eq!(world.ends()[1..], ["2: [2] completed"]);
    }
}

#[test]
fn of_messages_that_claude_never_began_the_oldest_is_taken_for_the_cause() {
    for runner_dies in [false, true] {
        let mut world = World::ready();
        world.accept(1).accept(2);
        for _ in 0..6 {
            if runner_dies {
                world.runner_dies();
            } else {
                world.crash();
            }
            world.recover(&[]);
        }
        assert_eq!(world.ends(), ["1: [1] crashed"], "the runner dies: {runner_dies}");
        assert_eq!(world.machine.unfinished(), [id(2)]);
    }
}

#[test]
fn a_request_is_sent_again_when_the_conversation_that_a_continuation_needs_is_gone() {
    for runner_dies in [false, true] {
        let mut world = World::ready();
        world
            .accept(1)
            .lifecycle(1, "started")
            .init()
            .crash()
            .recover(&[(id(1).0, open(&[]))]);
        let continuation = world.continuation();
        assert_eq!(world.sent().last(), Some(&continuation));
        if runner_dies {
            world.runner_dies();
        } else {
            world.crash();
        }
        world.outputs.clear();
        world.recover(&[]);
        assert_eq!(
            world.sent(),
            [id(1).0],
            "nothing stands above it; the runner dies: {runner_dies}"
        );
        world.lifecycle(1, "started").init().says("done").result(&[1]);
        assert_eq!(world.ends(), ["1: [1] completed"]);
    }
}

#[test]
fn a_continuation_is_sent_once_though_claude_dies_before_it_is_ready() {
    let mut world = World::ready();
    world.accept(1).lifecycle(1, "started").init().crash();
    let found = || Searched {
        found: [(id(1).0, open(&[]))].into(),
        cause: Some("It broke.".to_owned()),
        ..Searched::default()
    };
    world
        .step(Input::Recover(found()))
        .step(Input::Spawned { preface: Vec::new() })
        .crash();
    world.outputs.clear();
    world.recover(&[(id(1).0, open(&[]))]);
    assert_eq!(world.sent(), [world.continuation()]);
}

#[test]
fn a_continuation_that_claude_has_read_is_never_sent_again_under_its_uuid() {
    let mut world = World::ready();
    world.accept(1).lifecycle(1, "started").init().crash();
    world.recover(&[(id(1).0, open(&[]))]);
    let first = world.continuation();
    // The start that was to tell of the crash did not work, and the next one knows nothing of it.
    world.crash().step(Input::Recover(Searched {
        found: [(id(1).0, open(&[])), (first, open(&[]))].into(),
        ..Searched::default()
    }));
    world.outputs.clear();
    world.spawn();
    assert_ne!(world.continuation(), first);
    assert_eq!(world.sent(), [world.continuation()]);
}

#[test]
fn a_claude_that_never_answers_its_start_is_killed_once_and_told_as_a_failed_start() {
    let kills = |world: &World| {
        let kill = |output: &&Output| matches!(output, Output::Kill(_));
        world.outputs.iter().filter(kill).count()
    };
    let mut world = World::new();
    for n in 1..3 {
        world.step(Input::Spawned { preface: Vec::new() }).later(89);
        assert_eq!(kills(&world), n - 1);
        world.later(1).later(1000);
        assert_eq!(kills(&world), n);
        world.crash().later(1000);
        assert_eq!(kills(&world), n, "nothing is there to be killed");
    }
    let told = |output: &Output| matches!(output, Output::StartRefused(why) if why.contains("does not answer"));
    assert!(world.outputs.iter().any(told));
    world.spawn();
    world.later(1000);
    assert_eq!(kills(&world), 2, "this one has answered");
}

#[test]
fn a_turn_that_a_person_stops_in_vain_is_killed_also_while_a_tool_runs() {
    let mut world = World::ready();
    world
        .accept(1)
        .lifecycle(1, "started")
        .init()
        .uses_tool("t")
        .later(1000);
    world.step(Input::Interrupt {
        token: Token(1),
        cancel_queued: false,
    });
    let killed = |world: &World| world.outputs.iter().any(|output| matches!(output, Output::Kill(_)));
    world.later(4);
    assert!(!killed(&world));
    world.later(1);
    assert!(killed(&world));
    world.crash();
    assert_eq!(world.ends(), ["1: [1] aborted_streaming"]);
    assert_eq!(replies(&world), [("[1]".to_owned(), "[]".to_owned(), "[]".to_owned())]);
}

#[test]
fn a_turn_that_obeys_a_person_keeps_the_reason_that_claude_gives() {
    let mut world = World::ready();
    world.accept(1).lifecycle(1, "started").init().uses_tool("t");
    world.step(Input::Interrupt {
        token: Token(1),
        cancel_queued: false,
    });
    world.result_of(&[1], json!({"is_error": true, "terminal_reason": "aborted_tools"}));
    world.accept(2).lifecycle(2, "started").init().later(10);
    assert_eq!(world.ends(), ["1: [1] aborted_tools"]);
    assert!(!world.outputs.iter().any(|output| matches!(output, Output::Kill(_))));
}

#[test]
fn the_first_message_after_a_stop_says_so_and_no_other_does() {
    let stopped = |dies: bool| {
        let mut world = World::ready();
        world.accept(1).lifecycle(1, "started").init();
        world.step(Input::Interrupt {
            token: Token(1),
            cancel_queued: false,
        });
        world.result_of(&[1], json!({"is_error": true, "terminal_reason": "aborted_streaming"}));
        if dies {
            world.crash().runner_dies().recover(&[]);
        }
        world.accept(2).accept(3);
        world.told_of_a_stop()
    };
    assert_eq!(stopped(false), [id(2)]);
    assert_eq!(stopped(true), [id(2)], "also when the runner has died in between");

    let mut urgent = World::ready();
    urgent.accept(1).lifecycle(1, "started").init();
    urgent.result_of(&[1], json!({"is_error": true, "terminal_reason": "aborted_streaming"}));
    urgent.accept(2);
    assert!(
        urgent.told_of_a_stop().is_empty(),
        "nobody stopped what something urgent overtook"
    );

    let mut queued = World::ready();
    queued.accept(1).accept(2).lifecycle(1, "started").init();
    queued.step(Input::Interrupt {
        token: Token(1),
        cancel_queued: false,
    });
    queued.result_of(&[1], json!({"is_error": true, "terminal_reason": "aborted_streaming"}));
    queued.lifecycle(2, "started").init().result(&[2]).accept(3);
    assert!(
        queued.told_of_a_stop().is_empty(),
        "the request before is one that was answered"
    );
}

/// What callers of interrupt were told: stopped, cancelled, still queued.
fn replies(world: &World) -> Vec<(String, String, String)> {
    let replies = world.outputs.iter().filter_map(|output| match output {
        Output::Reply(_, Reply::Interrupted(reply)) => Some((
            numbers(&reply.stopped),
            numbers(&reply.cancelled),
            numbers(&reply.still_queued),
        )),
        _ => None,
    });
    replies.collect()
}

#[test]
fn a_turn_can_be_stopped_while_claude_is_started_again() {
    for (cancel_queued, runner_dies) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut world = World::ready();
        world.accept(1).accept(2).lifecycle(1, "started").init().uses_tool("t");
        if runner_dies {
            world.runner_dies();
        } else {
            world.crash();
        }
        world.accept(3);
        world.outputs.clear();
        world.step(Input::Interrupt {
            token: Token(1),
            cancel_queued,
        });
        let (dropped, left) = if cancel_queued {
            ("[2,3]", "[]")
        } else {
            ("[]", "[2,3]")
        };
        let told = ("[1]".to_owned(), dropped.to_owned(), left.to_owned());
        assert_eq!(replies(&world), [told]);
        assert_eq!(world.ends()[0], "1: [1] aborted_streaming");
        world.outputs.clear();
        world.recover(&[(id(1).0, open(&[]))]);
        let (sent, ends): (&[Uuid], _) = if cancel_queued {
            (&[], 2)
        } else {
            (&[id(2).0, id(3).0], 1)
        };
        assert_eq!((world.sent(), world.ends().len()), (sent.to_vec(), ends));
    }
}

fn retry() -> Value {
    json!({"type": "system", "subtype": "api_retry", "attempt": 1, "error": "server_error"})
}

#[test]
fn an_answer_ends_the_count_of_retries_also_without_a_stream_and_from_a_subagent() {
    let inner = json!({"type": "assistant", "parent_tool_use_id": "t", "message": {"content": [{"type": "text", "text": "inner"}]}});
    let inner_start = json!({"type": "stream_event", "parent_tool_use_id": "t", "event": {"type": "message_start"}});
    let tool = json!({"type": "assistant", "message": {"content": [{"type": "tool_use", "id": "t", "name": "Bash", "input": {}}]}});
    for answer in [inner, inner_start, tool] {
        let mut world = World::ready();
        world.accept(1).lifecycle(1, "started").init().uses_tool("t");
        world.line(retry()).later(5).line(answer).later(500);
        assert_eq!(world.interrupts(), 0);
        // Only an answer counts, not what the CLI itself says about the error.
        world.line(retry()).later(5);
        world.line(json!({"type": "assistant", "is_api_error_message": true, "error": "server_error", "message": {"content": [{"type": "text", "text": "API Error"}]}}));
        world.later(25);
        assert_eq!(world.interrupts(), 1);
    }
}

#[test]
fn retries_while_no_turn_runs_are_not_held_against_the_next_turn() {
    let mut world = World::ready();
    world.line(retry()).later(1000);
    world.accept(1).lifecycle(1, "started").init().later(1);
    assert_eq!(world.interrupts(), 0);
    // Nor those of a turn that ended without a result.
    world.line(retry());
    world.line(json!({"type": "system", "subtype": "session_state_changed", "state": "idle"}));
    world.later(1000).accept(2).lifecycle(2, "started").init().later(1);
    assert_eq!(world.interrupts(), 0);
}

#[test]
fn suspending_keeps_messages_open_and_finishing_ends_them() {
    for (how, ends) in [
        (WindDown::Suspend, vec![]),
        (WindDown::Finish, vec!["2: [2] quiesced", "1: [1] quiesced"]),
    ] {
        let mut world = World::ready();
        world.accept(1).accept(2).lifecycle(1, "started").init().streams("tex");
        world.step(Input::WindDown(how));
        world.lifecycle(2, "cancelled");
        world.result_of(&[1], json!({"is_error": true, "terminal_reason": "aborted_streaming"}));
        world.lifecycle(1, "cancelled").crash();
        assert_eq!(world.ends(), ends);
        assert_eq!(world.texts(), ["1.0 tex"]);
        assert!(!world.machine.is_working());
        assert_eq!(world.machine.unfinished().len(), if ends.is_empty() { 2 } else { 0 });
    }
}

#[test]
fn a_refused_start_is_told_and_ends_nothing() {
    let mut world = World::new();
    world.accept(1).step(Input::Spawned { preface: Vec::new() });
    world.line(json!({"type": "result", "is_error": true, "num_turns": 0, "errors": ["No conversation found"]}));
    assert!(
        world
            .outputs
            .iter()
            .any(|output| matches!(output, Output::StartRefused(why) if why.contains("No conversation")))
    );
    assert_eq!(world.machine.unfinished(), [id(1)]);
}

#[test]
fn background_work_is_busy_until_the_turn_about_its_end() {
    let tasks = |ids: &[&str]| json!({"type": "system", "subtype": "background_tasks_changed", "tasks": ids.iter().map(|id| json!({"task_id": id})).collect::<Vec<_>>()});
    let mut world = World::ready();
    world.line(tasks(&["a"]));
    assert_eq!(world.machine.busy(), [Busy::BackgroundTask]);
    world.line(tasks(&[])).later(1);
    assert_eq!(world.machine.busy(), [Busy::BackgroundTask], "claude is about to speak");
    world.init().result(&[]);
    assert!(world.machine.busy().is_empty());
    world.line(tasks(&["b"])).line(tasks(&[])).later(5);
    assert!(world.machine.busy().is_empty(), "it did not speak");
}

/// Something that may happen at any time, in any order.
#[derive(Clone, Debug)]
enum Happens {
    Accept,
    Lifecycle(usize, &'static str),
    Init,
    Says,
    Streams,
    StartsMessage,
    UsesTool,
    Asks,
    Decide,
    Result(Vec<usize>, &'static str),
    Idle,
    Retry(&'static str),
    Interrupt(bool),
    Later(i64),
    Crash,
    Recover(Vec<u8>),
    RunnerDies,
    Noise,
}

fn happens() -> impl Strategy<Value = Happens> {
    let state = prop::sample::select(vec!["queued", "started", "completed", "cancelled"]);
    let reason = prop::sample::select(vec!["completed", "aborted_streaming", "aborted_tools", "api_error", ""]);
    let error = prop::sample::select(vec!["server_error", "authentication_failed"]);
    prop_oneof![
        3 => Just(Happens::Accept),
        6 => (0..8_usize, state).prop_map(|(n, state)| Happens::Lifecycle(n, state)),
        3 => Just(Happens::Init),
        3 => Just(Happens::Says),
        2 => Just(Happens::Streams),
        1 => Just(Happens::StartsMessage),
        1 => Just(Happens::UsesTool),
        1 => Just(Happens::Asks),
        1 => Just(Happens::Decide),
        4 => (prop::collection::vec(0..8_usize, 0..3), reason).prop_map(|(ids, reason)| Happens::Result(ids, reason)),
        1 => Just(Happens::Idle),
        1 => error.prop_map(Happens::Retry),
        1 => any::<bool>().prop_map(Happens::Interrupt),
        1 => (0..100_i64).prop_map(Happens::Later),
        1 => Just(Happens::Crash),
        3 => prop::collection::vec(0..3_u8, 8).prop_map(Happens::Recover),
        1 => Just(Happens::RunnerDies),
        1 => Just(Happens::Noise),
    ]
}

/// A world in which anything happens.
struct Chaos {
    world: World,
    accepted: i64,
    alive: bool,
}

impl Chaos {
    fn happen(&mut self, what: &Happens) {
        let world = &mut self.world;
        // Messages and continuations by number, also such as were never sent.
        let uuids: Vec<Uuid> = world
            .journal
            .iter()
            .filter_map(|entry| match entry {
                Entry::Mark(Mark::Continued { uuid, .. }) => Some(*uuid),
                Entry::Record(Record {
                    event: Event::Accepted { id, .. },
                    ..
                }) => Some(id.0),
                _ => None,
            })
            .collect();
        let uuid = |n: usize| {
            uuids
                .get(uuids.len().wrapping_sub(1 + n))
                .copied()
                .unwrap_or(Uuid::nil())
        };
        match what {
            Happens::Accept => {
                self.accepted += 1;
                world.accept(self.accepted);
            }
            Happens::Decide => {
                let decision = Decision {
                    verdict: Verdict::Allow,
                    remember: true,
                    message: None,
                    answers: BTreeMap::new(),
                    by: None,
                };
                if let Ok(outputs) = world.machine.decide(world.now, "p", decision) {
                    world.take(outputs);
                }
            }
            Happens::Interrupt(cancel_queued) => {
                world.step(Input::Interrupt {
                    token: Token(1),
                    cancel_queued: *cancel_queued,
                });
            }
            Happens::Later(seconds) => {
                world.later(*seconds);
            }
            Happens::Crash | Happens::RunnerDies => {
                if matches!(what, Happens::Crash) {
                    world.crash();
                } else {
                    world.runner_dies();
                }
                self.alive = false;
            }
            Happens::Recover(found) => {
                if self.alive {
                    world.crash();
                }
                let anchors = world.machine.anchors();
                let found: Vec<_> = anchors
                    .into_iter()
                    .zip(found)
                    .filter_map(|((uuid, _), found)| match found {
                        0 => None,
                        1 => Some((uuid, open(&["from the transcript"]))),
                        _ => Some((uuid, ended(&["from the transcript", "the end"]))),
                    })
                    .collect();
                world.recover(&found);
                self.alive = true;
            }
            _ if !self.alive => {}
            Happens::Lifecycle(n, state) => {
                world.line(json!({"type": "command_lifecycle", "command_uuid": uuid(*n), "state": state}));
            }
            Happens::Init => {
                world.init();
            }
            Happens::Says => {
                world.says("a text");
            }
            Happens::Streams => {
                world.streams("a part ");
            }
            Happens::StartsMessage => {
                world.starts_message();
            }
            Happens::UsesTool => {
                world.uses_tool("t");
            }
            Happens::Asks => {
                world.asks("p");
            }
            Happens::Result(ids, reason) => {
                let uuids: Vec<Uuid> = ids.iter().map(|n| uuid(*n)).collect();
                let more =
                    json!({"user_message_uuids": uuids, "terminal_reason": reason, "is_error": *reason == "api_error"});
                world.result_of(&[], more);
            }
            Happens::Idle => {
                world.line(json!({"type": "system", "subtype": "session_state_changed", "state": "idle"}));
            }
            Happens::Retry(error) => {
                world.line(json!({"type": "system", "subtype": "api_retry", "error": error}));
            }
            Happens::Noise => {
                world.line(json!({"type": "new in the next version"}));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn every_accepted_message_ends_in_exactly_one_turn_whatever_happens(story in prop::collection::vec(happens(), 0..60)) {
        let mut chaos = Chaos { world: World::ready(), accepted: 0, alive: true };
        for what in &story {
            chaos.happen(what);
        }
        let Chaos { mut world, accepted, .. } = chaos;
        world.crash().recover(&[]).step(Input::WindDown(WindDown::Finish)).crash();
        let mut ended = BTreeMap::<MessageId, u32>::new();
        let mut started = BTreeMap::<u64, u32>::new();
        let mut finished = BTreeMap::<u64, u32>::new();
        let mut blocks = BTreeMap::<u64, u32>::new();
        let mut prompts = BTreeSet::new();
        let mut tools = BTreeSet::new();
        for event in world.events() {
            match event {
                Event::TurnStarted { turn, .. } => *started.entry(*turn).or_default() += 1,
                Event::Text { turn, block, .. } => {
                    prop_assert!(!finished.contains_key(turn), "text after the end of turn {}", turn);
                    prop_assert_eq!(*block, *blocks.entry(*turn).and_modify(|next| *next += 1).or_insert(0));
                }
                Event::Tool { id, state, .. } => {
                    match state {
                        ToolState::Started => tools.insert(id.clone()),
                        ToolState::Finished | ToolState::Failed => tools.remove(id),
                    };
                }
                Event::Approval { approval, .. } => drop(prompts.insert(approval.id.clone())),
                Event::ApprovalClosed { id, .. } => drop(prompts.remove(id)),
                Event::TurnFinished { turn, message_ids, .. } => {
                    *finished.entry(*turn).or_default() += 1;
                    for id in message_ids {
                        *ended.entry(*id).or_default() += 1;
                    }
                }
                _ => {}
            }
        }
        for n in 1..=accepted {
            prop_assert_eq!(ended.get(&id(n)), Some(&1), "message {}", n);
        }
        prop_assert_eq!(ended.len() as i64, accepted);
        prop_assert!(finished.values().all(|times| *times == 1), "a turn ended twice: {:?}", finished);
        prop_assert!(started.values().all(|times| *times == 1), "a turn began twice: {:?}", started);
        prop_assert!(started.keys().all(|turn| finished.contains_key(turn)), "a turn never ended");
        prop_assert!(prompts.is_empty(), "prompts stay open: {:?}", prompts);
        prop_assert!(tools.is_empty(), "tools stay open: {:?}", tools);
    }

    #[test]
    fn any_line_at_all_is_survived(text in ".{0,200}") {
        World::ready().step(Input::Line(decode(&text)));
    }
}

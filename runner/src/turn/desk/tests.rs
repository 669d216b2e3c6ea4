use jiff::{SignedDuration, Timestamp};
use longshore_wire::claude::decode;
use longshore_wire::event::Event;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::outgoing::Kept;
use crate::turn::{Input, Limits, Past};

fn machine(offer: Option<EscalationOffer>, sends_files: bool) -> Machine {
    let long = SignedDuration::from_hours(1);
    let limits = Limits {
        silence: long,
        retries: long,
        obey: long,
        approval: long,
        start: long,
    };
    let mut machine = Machine::restore(Past::default(), limits, Timestamp::UNIX_EPOCH);
    machine.desk.offer = offer;
    machine.desk.sends_files = sends_files;
    machine
}

fn asks(machine: &mut Machine, request: &str, server: &str, message: Value) -> Vec<Output> {
    let body = json!({"subtype": "mcp_message", "server_name": server, "message": message});
    let line = json!({"type": "control_request", "request_id": request, "request": body});
    machine.step(Timestamp::UNIX_EPOCH, Input::Line(decode(&line.to_string())))
}

fn hears(machine: &mut Machine, server: &str, message: Value) -> Vec<Output> {
    asks(machine, "m", server, message)
}

fn call(tool: &str, arguments: Value) -> Value {
    json!({"id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}

/// The call that is to be answered after a copy.
fn to_copy(said: &[Output]) -> files::ToCopy {
    let mut copies = said.iter().filter_map(|output| match output {
        Output::Copy(call) => Some(call.clone()),
        _ => None,
    });
    copies.next().unwrap_or_else(|| panic!("{said:?}"))
}

fn kept() -> Kept {
    Kept {
        id: Uuid::from_u128(7),
        name: "plan.pdf".to_owned(),
        size: 5,
    }
}

fn copied(machine: &mut Machine, call: files::ToCopy, copied: Result<Kept, String>) -> Vec<Output> {
    machine.step(Timestamp::UNIX_EPOCH, Input::Copied { call, copied })
}

/// What claude is told, when it is told something last.
fn told(said: &[Output]) -> String {
    match said.last() {
        Some(Output::Write(written @ claude::Input::Mcp { .. })) => written.encode(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_message_of_the_protocol_is_answered_once() {
    let mut machine = machine(Some(EscalationOffer::Ask), true);
    for (method, answer) in [
        ("initialize", "protocolVersion"),
        ("notifications/initialized", "\"result\":{}"),
        ("ping", "\"result\":{}"),
        ("tools/list", escalation::TOOL),
        ("tools/list", files::TOOL),
        ("tools/call", "there is no tool x"),
        ("resources/list", "-32601"),
    ] {
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": {"name": "x"}});
        let said = hears(&mut machine, SERVER, message);
        assert_eq!(said.len(), 1, "{method}: {said:?}");
        let line = told(&said);
        assert!(line.contains(answer) && line.contains("\"id\":7"), "{method}: {line}");
    }
}

#[test]
fn without_a_tool_and_for_another_server_everything_is_refused() {
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    for (offer, sends, server) in [
        (None, false, SERVER),
        (Some(EscalationOffer::Start), false, "other"),
        (None, true, "other"),
    ] {
        let said = hears(&mut machine(offer, sends), server, list.clone());
        assert!(
            matches!(&said[..], [Output::Write(claude::Input::Refuse { .. })]),
            "{said:?}"
        );
    }
    assert!(machine(None, false).mcp_servers().is_empty());
}

#[test]
fn a_tool_that_the_agent_does_not_have_is_not_there() {
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    for (offer, sends, there, absent) in [
        (Some(EscalationOffer::Ask), false, escalation::TOOL, files::TOOL),
        (None, true, files::TOOL, escalation::TOOL),
    ] {
        let mut machine = machine(offer, sends);
        let listed = told(&hears(&mut machine, SERVER, list.clone()));
        assert!(listed.contains(there) && !listed.contains(absent), "{listed}");
        let refused = told(&hears(
            &mut machine,
            SERVER,
            call(absent, json!({"path": "a", "reason": "r", "plan": "p"})),
        ));
        assert!(refused.contains("there is no tool"), "{refused}");
    }
}

#[test]
fn the_wish_is_journalled_before_claude_is_told_that_it_was_heard() {
    let mut machine = machine(Some(EscalationOffer::Start), false);
    let wish = call(escalation::TOOL, json!({"reason": "long", "plan": "a\nb"}));
    let said = hears(&mut machine, SERVER, wish.clone());
    let events = said
        .iter()
        .filter(|output| matches!(output, Output::Event(Event::Escalation { .. })));
    assert_eq!(events.count(), 1);
    told(&said);
    let again = hears(&mut machine, SERVER, wish);
    assert!(
        !again.iter().any(|output| matches!(output, Output::Event(_))),
        "{again:?}"
    );
}

#[test]
fn that_a_file_is_sent_is_journalled_before_claude_is_told() {
    let mut machine = machine(None, true);
    let begun = hears(
        &mut machine,
        SERVER,
        call(files::TOOL, json!({"path": "plan.pdf", "caption": " The plan "})),
    );
    let to_copy = to_copy(&begun);
    assert_eq!(
        (to_copy.path.as_str(), to_copy.caption.as_deref()),
        ("plan.pdf", Some("The plan"))
    );
    let said = copied(&mut machine, to_copy.clone(), Ok(kept()));
    match &said[..] {
        [Output::Event(Event::File { turn: 1, file }), Output::Write(_)] => {
            assert_eq!(
                (file.id, file.size, file.caption.as_deref()),
                (kept().id, 5, Some("The plan"))
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(told(&said).contains("on its way"));
    let again = copied(&mut machine, to_copy, Ok(kept()));
    assert_eq!(again, [Output::Discard(kept().id)], "a call is answered once");
}

#[test]
fn what_is_not_sent_is_told_and_leaves_no_event() {
    let mut machine = machine(None, true);
    let to_copy = to_copy(&hears(&mut machine, SERVER, call(files::TOOL, json!({"path": "a"}))));
    let said = copied(&mut machine, to_copy, Err("There is no file a.".to_owned()));
    assert!(
        told(&said).contains("There is no file a.") && said.len() == 1,
        "{said:?}"
    );
    for arguments in [
        json!({}),
        json!({"path": " "}),
        json!({"path": "a", "caption": "é".repeat(1025)}),
    ] {
        let said = hears(&mut machine, SERVER, call(files::TOOL, arguments));
        assert!(told(&said).contains("\"isError\":true"), "{said:?}");
    }
}

#[test]
fn a_turn_sends_only_so_many_files() {
    let mut machine = machine(None, true);
    let file = call(files::TOOL, json!({"path": "a"}));
    for n in 0..20 {
        let request = format!("m{n}");
        let to_copy = to_copy(&asks(&mut machine, &request, SERVER, file.clone()));
        copied(&mut machine, to_copy, Ok(kept()));
    }
    let refused = told(&asks(&mut machine, "more", SERVER, file));
    assert!(refused.contains("20 files were sent"), "{refused}");
}

#[test]
fn a_call_of_a_claude_that_is_gone_sends_nothing() {
    let mut machine = machine(None, true);
    let to_copy = to_copy(&hears(&mut machine, SERVER, call(files::TOOL, json!({"path": "a"}))));
    machine.step(Timestamp::UNIX_EPOCH, Input::Exited);
    let said = copied(&mut machine, to_copy, Ok(kept()));
    assert_eq!(said, [Output::Discard(kept().id)]);
}

#[test]
fn the_permission_rules_name_the_tools() {
    for (rule, tool) in [(escalation::RULE, escalation::TOOL), (files::RULE, files::TOOL)] {
        assert_eq!(rule, format!("mcp__{SERVER}__{tool}"));
    }
}

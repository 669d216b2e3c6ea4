//! Goldens of the lines that claude reads and writes.

use insta::{assert_debug_snapshot, assert_json_snapshot};
use longshore_wire::api::Priority;
use longshore_wire::claude::{Input, Line, McpAnswer, PermissionAnswer, Request, UserContent, UserMessage, decode};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn what_claude_is_told() {
    let user = |content, priority| {
        Input::User(UserMessage {
            uuid: Uuid::nil(),
            content,
            priority,
        })
    };
    let control = |request| Input::Control {
        request_id: "r1".to_owned(),
        request,
    };
    let permission = |answer| Input::Permission {
        request_id: "p1".to_owned(),
        answer,
    };
    let mcp = |id, answer| Input::Mcp {
        request_id: "m1".to_owned(),
        id,
        answer,
    };
    let inputs = [
        user(
            UserContent::Text("/clear @/etc/passwd\n\"é\u{2028}".to_owned()),
            Priority::Next,
        ),
        user(
            UserContent::Texts(vec!["From Ann:".to_owned(), "hello".to_owned()]),
            Priority::Now,
        ),
        control(Request::Initialize { mcp_servers: vec![] }),
        control(Request::Initialize {
            mcp_servers: vec!["longshore".to_owned()],
        }),
        control(Request::Interrupt { cancel_queued: false }),
        control(Request::Interrupt { cancel_queued: true }),
        control(Request::SetModel { model: "m".to_owned() }),
        control(Request::SetPermissionMode {
            mode: "plan".to_owned(),
        }),
        control(Request::SideQuestion {
            question: "why?".to_owned(),
        }),
        control(Request::EndSession),
        permission(PermissionAnswer::Allow {
            updated_input: json!({"command": "ls"}),
            updated_permissions: vec![],
        }),
        permission(PermissionAnswer::Allow {
            updated_input: json!({}),
            updated_permissions: vec![json!({"type": "setMode"})],
        }),
        permission(PermissionAnswer::Deny {
            message: "no".to_owned(),
        }),
        mcp(
            json!(0),
            McpAnswer::Initialized {
                protocol: "2025-11-25".to_owned(),
                server: "longshore".to_owned(),
            },
        ),
        mcp(Value::Null, McpAnswer::Empty),
        mcp(json!(1), McpAnswer::Tools(vec![json!({"name": "t"})])),
        mcp(
            json!("2"),
            McpAnswer::Called {
                text: "done".to_owned(),
                is_error: false,
            },
        ),
        mcp(json!(3), McpAnswer::NoSuchTool { name: "u".to_owned() }),
        mcp(
            json!(4),
            McpAnswer::NoSuchMethod {
                method: "prompts/list".to_owned(),
            },
        ),
        Input::Refuse {
            request_id: "h1".to_owned(),
            error: "not served".to_owned(),
        },
    ];
    let lines: String = inputs.iter().map(Input::encode).collect();
    assert_eq!(lines.lines().count(), inputs.len(), "one line each");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // The order of keys depends on the features of serde_json that the build happens to have.
    insta::with_settings!({sort_maps => true}, { assert_json_snapshot!(lines) });
}

#[test]
fn what_claude_says() {
    let mcp = |message: Value| json!({"type": "control_request", "request_id": "m1", "request": {"subtype": "mcp_message", "server_name": "longshore", "message": message}});
    let lines = [
        json!({"type": "system", "subtype": "init", "model": "opus", "claude_code_version": "2.1.330", "new": 1}),
        json!({"type": "system", "subtype": "status", "status": "requesting", "user_message_uuids": [Uuid::nil(), "odd"]}),
        json!({"type": "system", "subtype": "api_retry", "attempt": 2, "error_status": 529, "error": "overloaded"}),
        json!({"type": "system", "subtype": "background_tasks_changed", "tasks": [{"task_id": "b1"}]}),
        json!({"type": "system", "subtype": "session_state_changed", "state": "idle"}),
        // Lines that come back whole have their keys sorted, so that the golden holds with any features of serde_json.
        json!({"subtype": "invented", "type": "system"}),
        json!({"type": "stream_event", "event": {"type": "message_start"}, "parent_tool_use_id": null}),
        json!({"type": "stream_event", "event": {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "he"}}, "parent_tool_use_id": "t1"}),
        json!({"type": "assistant", "message": {"content": [{"type": "thinking"}, {"type": "text", "text": "hello"}, {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}]}}),
        json!({"type": "assistant", "is_api_error_message": true, "error": "server_error", "message": {"content": [{"type": "text", "text": "API Error"}]}}),
        json!({"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": "t1", "is_error": true}]}}),
        json!({"type": "user", "isReplay": true, "uuid": Uuid::nil(), "message": {"content": "hello"}}),
        json!({"type": "control_request", "request_id": "p1", "request": {"subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "ls"}, "permission_suggestions": [{"type": "addRules"}]}}),
        mcp(json!({"method": "initialize", "params": {"protocolVersion": "2025-11-25"}, "jsonrpc": "2.0", "id": 0})),
        mcp(json!({"method": "notifications/initialized", "jsonrpc": "2.0"})),
        mcp(json!({"method": "tools/list", "jsonrpc": "2.0", "id": 1})),
        mcp(
            json!({"method": "tools/call", "params": {"name": "t", "arguments": {"a": 1}}, "jsonrpc": "2.0", "id": "2"}),
        ),
        mcp(json!({"method": "ping", "jsonrpc": "2.0", "id": 3})),
        mcp(json!({"method": "prompts/list", "jsonrpc": "2.0", "id": 4})),
        mcp(json!(null)),
        json!({"type": "control_request", "request_id": "h1", "request": {"subtype": "hook_callback"}}),
        json!({"type": "control_response", "response": {"subtype": "success", "request_id": "r1", "response": {"pid": 7}}}),
        json!({"type": "control_response", "response": {"subtype": "error", "request_id": "r1", "error": "no"}}),
        json!({"type": "control_cancel_request", "request_id": "p1"}),
        json!({"type": "command_lifecycle", "command_uuid": Uuid::nil(), "state": "started"}),
        json!({"command_uuid": Uuid::nil(), "state": "invented", "type": "command_lifecycle"}),
        json!({"type": "result", "subtype": "success", "is_error": true, "terminal_reason": "api_error", "api_error_status": 401, "num_turns": 1, "total_cost_usd": 0.5, "usage": {"input_tokens": 1, "output_tokens": 2}, "model_usage_since_last_result": {"m": {"costUSD": 0.25}}}),
        json!({"type": "keep_alive"}),
        json!({"type": "tool_progress", "tool_use_id": "t1", "tool_name": "Bash", "elapsed_time_seconds": 30}),
        json!({"type": "invented"}),
        json!([1]),
    ];
    let decoded: Vec<Line> = lines.iter().map(|line| decode(&line.to_string())).collect();
    assert_debug_snapshot!(decoded);
}

#[test]
fn what_the_cli_itself_says_in_place_of_an_answer_is_an_error() {
    let answer = |reply| longshore_wire::claude::output::side_answer(&reply);
    let reply = json!({"response": " done \n", "synthetic": false});
    assert_eq!(answer(reply), Ok("done".to_owned()));
    let reply = json!({"response": "(API error: 400 no)", "synthetic": true});
    assert_eq!(answer(reply), Err("API error: 400 no".to_owned()));
    assert!(answer(json!({"response": " "})).is_err());
    assert!(answer(json!(null)).is_err());
}

proptest! {
    #[test]
    fn decoding_survives_anything(text in ".*") {
        decode(&text);
    }

    #[test]
    fn a_message_of_any_text_is_one_line_that_reads_back(text in any::<String>()) {
        let message = UserMessage { uuid: Uuid::nil(), content: UserContent::Text(text.clone()), priority: Priority::Next };
        let line = Input::User(message).encode();
        prop_assert_eq!(line.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(value["message"]["content"].as_str(), Some(text.as_str()));
        prop_assert_eq!(&value["client_composed"], &json!(true));
    }
}

//! The stand-in over plain HTTP: what the CLI does not exercise.

#![allow(clippy::panic, reason = "this is test code outside test functions")]

use std::time::Duration;

use longshore_model::{Model, client::ClientError, server::Wanted};
use serde_json::{Value, json};

fn question(text: &str) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": text}]})
}

fn status(error: ClientError) -> u16 {
    match error {
        ClientError::Refused { status, .. } => status,
        ClientError::Http(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn without_streaming_the_answer_is_one_object() {
    let model = Model::local().await.unwrap();
    let answer = model
        .client()
        .ask(&question("[[say a ]] [[say b]] [[bash ls]]"))
        .await
        .unwrap();
    assert_eq!(answer["content"][0], json!({"type": "text", "text": "a b"}));
    assert_eq!(answer["content"][1]["input"]["command"], "ls");
    assert_eq!(answer["stop_reason"], "tool_use");
}

#[tokio::test]
async fn rules_added_later_win_and_can_be_removed() {
    let client = Model::local().await.unwrap();
    let api = client.client();
    api.add_rules(&json!({"match": {"user": "x"}, "steps": [{"text": "old"}]}))
        .await
        .unwrap();
    api.add_rules(&json!([{"match": {"user": "x"}, "times": 1, "steps": [{"text": "new"}, {"stop": "max_tokens"}]}]))
        .await
        .unwrap();
    let first = api.ask(&question("x")).await.unwrap();
    assert_eq!(
        (first["content"][0]["text"].as_str(), first["stop_reason"].as_str()),
        (Some("new"), Some("max_tokens"))
    );
    assert_eq!(api.ask(&question("x")).await.unwrap()["content"][0]["text"], "old");
    api.clear_rules().await.unwrap();
    assert_eq!(
        api.ask(&question("x")).await.unwrap()["content"][0]["text"],
        "You wrote: x"
    );
}

#[tokio::test]
async fn a_rule_with_a_typing_error_is_refused_with_its_name() {
    let model = Model::local().await.unwrap();
    for (rule, reason) in [
        (json!({"match": {"usr": "x"}, "steps": []}), "usr"),
        (json!({"match": {"user": "("}, "steps": []}), "unclosed group"),
        (json!([{"steps": [{"tekst": "x"}]}]), "tekst"),
    ] {
        let error = model.client().add_rules(&rule).await.unwrap_err().to_string();
        assert!(error.contains("400") && error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn a_required_key_keeps_others_out() {
    let model = Model::local().await.unwrap();
    let client = model.client();
    client.require_key(Some("right")).await.unwrap();
    assert_eq!(status(client.ask(&question("x")).await.unwrap_err()), 401);
    let http = reqwest::Client::new();
    for header in [("x-api-key", "right"), ("authorization", "Bearer right")] {
        let request = http
            .post(format!("{}/v1/messages", model.url()))
            .header(header.0, header.1)
            .json(&question("x"));
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    client.require_key(None).await.unwrap();
    client.ask(&question("x")).await.unwrap();
}

#[tokio::test]
async fn a_gate_before_the_first_text_holds_the_headers() {
    let model = Model::local().await.unwrap();
    let client = model.client();
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.ask(&question("[[hold g]] [[error 503]]")).await }
    });
    client.held_at("g", Duration::from_secs(20)).await.unwrap();
    assert!(!asking.is_finished());
    assert_eq!(
        status(client.held_at("other", Duration::from_millis(20)).await.unwrap_err()),
        504
    );
    client.open_gate("g").await.unwrap();
    assert_eq!(status(asking.await.unwrap().unwrap_err()), 503);
}

#[tokio::test]
async fn the_journal_waits_for_a_request_and_can_be_cleared() {
    let model = Model::local().await.unwrap();
    let client = model.client();
    let wanted = Wanted {
        contains: Some("needle".to_owned()),
        timeout_ms: 20_000,
        ..Wanted::default()
    };
    let waiting = tokio::spawn({
        let (client, wanted) = (client.clone(), wanted.clone());
        async move { client.requests(&wanted).await.unwrap() }
    });
    client.ask(&question("hay")).await.unwrap();
    client.ask(&question("a needle")).await.unwrap();
    let found = waiting.await.unwrap();
    assert_eq!((found.len(), found[0].seq), (1, 2));
    client.clear_requests().await.unwrap();
    assert!(
        client
            .requests(&Wanted {
                timeout_ms: 1,
                ..wanted
            })
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_body_of_twenty_megabytes_is_taken() {
    let model = Model::local().await.unwrap();
    let text = format!("{}\n[[say big]]", "x".repeat(20 << 20));
    let answer = model.client().ask(&question(&text)).await.unwrap();
    assert_eq!(answer["content"][0]["text"], "big");
}

#[tokio::test]
async fn other_routes_of_the_api_do_not_upset_a_client() {
    let model = Model::local().await.unwrap();
    let http = reqwest::Client::new();
    assert_eq!(http.head(model.url()).send().await.unwrap().status(), 200);
    let counting = http
        .post(format!("{}/v1/messages/count_tokens", model.url()))
        .json(&question("x"))
        .send()
        .await
        .unwrap();
    assert!(
        counting.json::<Value>().await.unwrap()["input_tokens"]
            .as_u64()
            .unwrap()
            > 5
    );
    let unknown: Value = http
        .get(format!("{}/v1/nope", model.url()))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(unknown["error"]["type"], "not_found_error");
    let broken = http
        .post(format!("{}/v1/messages", model.url()))
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(broken.status(), 400);
}

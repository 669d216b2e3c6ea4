//! Callers that send nonsense, and texts that look like commands.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use longshore_wire::api::Problem;
use serde_json::json;

use crate::support::{Rig, id};

#[tokio::test]
async fn every_refusal_is_a_problem() {
    let rig = Rig::session().await;
    let runner = &rig.runner;
    let post = |body: String| runner.request(Method::POST, "/v1/messages").body(body);
    let big = json!({"id": id(1), "text": "x".repeat(3 << 20)}).to_string();
    // Two files, so that neither alone is too large.
    let files = |bytes: usize, more: usize| {
        let file = |bytes: usize| json!({"name": "a", "data": BASE64_STANDARD.encode(vec![0; bytes])});
        json!({"id": id(1), "text": "x", "attachments": [file(bytes / 2), file(bytes / 2 + more)]}).to_string()
    };
    let full: Vec<(u16, &str, reqwest::RequestBuilder)> = vec![
        (413, "TooLarge", post(big)),
        (413, "TooLarge", post(files(20 << 20, 1))),
        (413, "TooLarge", post(files(30 << 20, 0))),
        (422, "Invalid", post(json!({"id": id(1), "text": "  "}).to_string())),
        (422, "Invalid", post(json!({"text": "no id"}).to_string())),
        (400, "Invalid", post("{not json".to_owned())),
        (
            422,
            "Invalid",
            post(json!({"id": id(1), "text": "x", "attachments": [{"name": "a", "data": "%%"}]}).to_string()),
        ),
        (404, "NotFound", runner.request(Method::GET, "/v1/nothing")),
        (405, "MethodNotAllowed", runner.request(Method::GET, "/v1/messages")),
        (422, "Invalid", runner.request(Method::GET, "/v1/events?after=x")),
        (400, "Invalid", runner.request(Method::POST, "/v1/quiesce").body("")),
        (
            401,
            "Unauthorized",
            reqwest::Client::new()
                .get(runner.url("/v1/status"))
                .bearer_auth("guess"),
        ),
    ];
    for (status, error, request) in full {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{error}");
        let problem: Problem = answer.json().await.unwrap();
        assert_eq!(problem.error, error);
        assert!(problem.message.len() > 10, "{problem:?}");
    }
    assert_eq!(runner.status().await.seq, 0, "nothing was journalled");
    // The answer comes behind all of a large body: whoever sends slowly must see it too.
    let slow = futures::stream::unfold(0, |sent| async move {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        (sent < 40).then(|| (Ok::<_, std::io::Error>(vec![b' '; 64 << 10]), sent + 1))
    });
    let answer = runner
        .request(Method::POST, "/v1/quiesce")
        .body(reqwest::Body::wrap_stream(slow));
    assert_eq!(answer.send().await.unwrap().status(), 413);
    let health = reqwest::get(runner.url("/healthz")).await.unwrap();
    assert_eq!(health.status(), 200, "without a token");
}

#[tokio::test]
async fn commands_and_file_mentions_in_a_text_are_only_text() {
    let rig = Rig::session().await;
    rig.runner
        .until("ready", |status| status.claude_version.is_some())
        .await;
    let secret = rig.path("workspace/secret.txt");
    std::fs::write(&secret, "the hidden words").unwrap();
    for (n, text) in [
        (1, "/clear".to_owned()),
        (2, "/cost".to_owned()),
        (
            3,
            format!("look at @/etc/hostname and @{} and @secret.txt", secret.display()),
        ),
        (4, "!touch bang".to_owned()),
        (5, "# remember this".to_owned()),
        (6, "\u{2028}\u{0}😀 \"quoted\" \\ end".to_owned()),
    ] {
        let turn = rig.runner.ask(id(n), &text).await;
        assert!(!turn.is_error, "{turn:?}");
        let prompts = rig.prompts().await;
        let last = prompts.last().unwrap();
        assert!(
            last.contains(text.trim()) || n == 6,
            "the model reads the very text: {last}"
        );
    }
    let entries = rig.requests().await;
    let bodies: String = entries
        .iter()
        .filter_map(|entry| entry.body.as_ref())
        .map(ToString::to_string)
        .collect();
    assert!(!bodies.contains("the hidden words"), "no file was read");
    assert!(!rig.path("workspace/bang").exists());
    let turn = rig.runner.ask(id(9), "still one conversation [[recall]]").await;
    assert!(turn.text().contains("/clear"), "{turn:?}");
}

#[tokio::test]
async fn attachments_stay_in_the_inbox_and_are_named_to_claude() {
    let rig = Rig::session().await;
    let files = json!([
        {"name": "../../../escape.txt", "data": BASE64_STANDARD.encode("one")},
        {"name": "plan.md", "data": BASE64_STANDARD.encode("two")},
    ]);
    let mut events = rig.runner.events(0).await;
    let body = json!({"id": id(1), "text": "", "attachments": files, "author": "Ann"});
    assert_eq!(rig.runner.post("/v1/messages", body).await.0, 202);
    let turn = events.turn_of(id(1)).await;
    assert!(
        turn.text().contains("inbox/") && turn.text().contains("plan.md"),
        "{turn:?}"
    );
    let inbox: Vec<_> = std::fs::read_dir(rig.path("workspace/inbox"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(inbox.len(), 2, "{inbox:?}");
    assert!(!rig.path("escape.txt").exists());
}

#[tokio::test]
async fn a_full_queue_sends_callers_away_for_a_while() {
    let rig = Rig::session().await;
    rig.runner.say(id(0), "first [[hold gate]]").await;
    rig.client().held_at("gate", crate::support::PATIENCE).await.unwrap();
    let mut taken = 1;
    let refused = loop {
        let body = json!({"id": id(taken), "text": "more"});
        let answer = rig
            .runner
            .request(Method::POST, "/v1/messages")
            .json(&body)
            .send()
            .await
            .unwrap();
        if answer.status() != 202 {
            break answer;
        }
        taken += 1;
        assert!(taken < 1000, "there is no limit");
    };
    assert_eq!((refused.status().as_u16(), taken), (429, 64));
    assert!(refused.headers().contains_key("retry-after"));
    rig.client().open_gate("gate").await.unwrap();
    let mut events = rig.runner.events(0).await;
    for n in 0..taken {
        events.turn_of(id(n)).await;
        assert_eq!(events.ends_of(id(n)), 1);
    }
}

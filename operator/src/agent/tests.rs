//! Errands at a runner that is a small server of its own.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use longshore_wire::MessageId;
use serde_json::{Value, json};

use super::*;

const UID: Uuid = Uuid::from_u128(7);

/// How the runner behaves, and what it was asked.
#[derive(Clone, Default)]
struct Fake {
    asked: Arc<Mutex<Vec<String>>>,
    token: String,
    state: String,
    result: Option<Value>,
    refuse_messages: bool,
    /// Name of the problem that it refuses messages with.
    problem: Option<(u16, &'static str)>,
    active: bool,
    flood: bool,
}

fn status(state: &str) -> Value {
    json!({ "version": "0.1.0", "kind": "session", "uid": UID, "state": state, "lastActivity": "1970-01-01T00:00:00Z",
        "memory": { "currentBytes": 0, "peakBytes": 0 }, "disk": { "freeBytes": 0, "totalBytes": 0 },
        "usage": { "turns": 0, "inputTokens": 0, "outputTokens": 0, "costUsd": "0" },
        "seq": 0, "acked": 0, "restarts": 0 })
}

async fn answer(State(fake): State<Fake>, request: Request) -> Response {
    let bearer = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    if bearer != Some(&format!("Bearer {}", fake.token)) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let line = format!("{} {}", request.method(), request.uri().path());
    fake.asked.lock().unwrap().push(line.clone());
    match line.as_str() {
        "GET /v1/status" if fake.flood => Bytes::from(vec![b' '; 3 << 20]).into_response(),
        "GET /v1/status" => Json(status(&fake.state)).into_response(),
        "POST /v1/messages" if fake.problem.is_some() => {
            let (status, error) = fake.problem.unwrap();
            let problem = Json(json!({ "error": error, "message": "no" }));
            (StatusCode::from_u16(status).unwrap(), problem).into_response()
        }
        "POST /v1/messages" if fake.refuse_messages => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        "POST /v1/quiesce" if fake.active => StatusCode::CONFLICT.into_response(),
        "GET /v1/result" => fake.result.map_or(StatusCode::NOT_FOUND.into_response(), |result| {
            Json(result).into_response()
        }),
        _ => StatusCode::ACCEPTED.into_response(),
    }
}

async fn run(fake: &Fake, errand: Errand) -> (Contact, Vec<String>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let server =
        tokio::spawn(axum::serve(listener, Router::new().fallback(answer).with_state(fake.clone())).into_future());
    let tokens = ["current", "previous"].map(|token| SecretString::from(token.to_owned()));
    let contact = meet(&Dialer::new().unwrap(), &endpoint, &tokens, UID, &errand).await;
    server.abort();
    (contact, fake.asked.lock().unwrap().clone())
}

fn fake(state: &str) -> Fake {
    Fake {
        token: "current".to_owned(),
        state: state.to_owned(),
        ..Fake::default()
    }
}

fn message() -> PostMessage {
    PostMessage {
        id: MessageId::from_object("uid"),
        text: "hello".to_owned(),
        attachments: Vec::new(),
        author: None,
        context: None,
        priority: longshore_wire::api::Priority::default(),
    }
}

fn failed(contact: &Contact) -> &str {
    match contact {
        Contact::Failed(why) => why,
        other => panic!("it should have failed: {other:?}"),
    }
}

#[tokio::test]
async fn a_runner_that_started_before_the_rotation_is_opened_by_the_previous_token() {
    let old = Fake {
        token: "previous".to_owned(),
        ..fake("ready")
    };
    assert_eq!(
        run(&old, Errand::default()).await.0.met().unwrap().status.state,
        RunnerState::Ready
    );
    let stranger = Fake {
        token: "other".to_owned(),
        ..fake("ready")
    };
    assert_eq!(
        failed(&run(&stranger, Errand::default()).await.0),
        "the runner does not accept the topic's token"
    );
}

#[tokio::test]
async fn a_prompt_is_posted_and_its_refusal_is_told() {
    let errand = || Errand {
        message: Some(message()),
        ..Errand::default()
    };
    let (contact, asked) = run(&fake("starting"), errand()).await;
    assert!(contact.met().unwrap().accepted);
    assert_eq!(asked, ["GET /v1/status", "POST /v1/messages", "GET /v1/status"]);
    let (contact, _) = run(
        &Fake {
            refuse_messages: true,
            ..fake("starting")
        },
        errand(),
    )
    .await;
    assert!(!contact.met().unwrap().accepted);
}

#[tokio::test]
async fn a_runner_is_asked_to_wind_down_once() {
    let errand = || Errand {
        quiesce: Some(Quiesce {
            deadline: Timestamp::UNIX_EPOCH,
            summarize: true,
            unless_active_after: None,
        }),
        ..Errand::default()
    };
    let (contact, asked) = run(&fake("ready"), errand()).await;
    assert_eq!(contact.met().unwrap().status.state, RunnerState::Quiescing);
    assert_eq!(asked, ["GET /v1/status", "POST /v1/quiesce"]);
    assert_eq!(run(&fake("quiesced"), errand()).await.1, ["GET /v1/status"]);
}

#[tokio::test]
async fn a_runner_that_is_active_may_refuse_to_wind_down_if_it_is_asked_so() {
    let errand = |unless_active_after| Errand {
        quiesce: Some(Quiesce {
            deadline: Timestamp::UNIX_EPOCH,
            summarize: true,
            unless_active_after,
        }),
        ..Errand::default()
    };
    let active = || Fake {
        active: true,
        ..fake("ready")
    };
    let (contact, asked) = run(&active(), errand(Some(Timestamp::UNIX_EPOCH))).await;
    let met = contact.met().unwrap();
    assert_eq!((met.refused, met.status.state), (true, RunnerState::Ready));
    let looks = ["GET /v1/status", "POST /v1/quiesce", "GET /v1/status"];
    assert_eq!(asked, looks, "it is looked at again for what has happened");
    let (contact, _) = run(&active(), errand(None)).await;
    assert!(failed(&contact).contains("409"));
}

#[tokio::test]
async fn a_result_is_fetched_and_later_acknowledged() {
    let collect = || Errand {
        collect: true,
        ..Errand::default()
    };
    assert_eq!(run(&fake("ready"), collect()).await.0.met().unwrap().result, None);
    let result = json!({ "text": "hi", "truncated": false, "isError": false, "terminalReason": "completed", "seq": 9,
        "usage": { "turns": 1, "inputTokens": 1, "outputTokens": 1, "costUsd": "0" }, "finishedAt": "1970-01-01T00:00:00Z" });
    let done = || Fake {
        result: Some(result.clone()),
        ..fake("ready")
    };
    let (contact, asked) = run(&done(), collect()).await;
    assert_eq!(contact.met().unwrap().result.as_ref().unwrap().seq, 9);
    assert_eq!(asked, ["GET /v1/status", "GET /v1/result"]);
    let (_, asked) = run(
        &done(),
        Errand {
            acknowledge: true,
            ..Errand::default()
        },
    )
    .await;
    assert_eq!(asked.last().unwrap(), "POST /v1/ack");
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let (contact, _) = run(
        &Fake {
            flood: true,
            ..fake("ready")
        },
        Errand::default(),
    )
    .await;
    assert_eq!(failed(&contact), "the runner sent more than 1048576 bytes");
}

#[tokio::test]
async fn a_runner_of_another_object_gets_no_prompt() {
    let fake = fake("ready");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let server =
        tokio::spawn(axum::serve(listener, Router::new().fallback(answer).with_state(fake.clone())).into_future());
    let tokens = [SecretString::from("current".to_owned())];
    let errand = Errand {
        message: Some(message()),
        ..Errand::default()
    };
    let contact = meet(&Dialer::new().unwrap(), &endpoint, &tokens, Uuid::from_u128(8), &errand).await;
    server.abort();
    assert!(failed(&contact).contains("another object"));
    assert_eq!(*fake.asked.lock().unwrap(), ["GET /v1/status"]);
}

#[tokio::test]
async fn a_message_is_known_not_to_be_taken_only_by_a_runner_that_takes_no_more() {
    let hand = async |fake: &Fake, uid: Uuid| {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        let server =
            tokio::spawn(axum::serve(listener, Router::new().fallback(answer).with_state(fake.clone())).into_future());
        let tokens = [SecretString::from("current".to_owned())];
        let handed = super::hand(&Dialer::new().unwrap(), &endpoint, &tokens, uid, &message()).await;
        server.abort();
        handed
    };
    let refusing = |status, error| Fake {
        problem: Some((status, error)),
        ..fake("ready")
    };
    assert_eq!(hand(&fake("ready"), UID).await, Handed::Taken);
    for (status, error) in [(503, "Quiescing"), (409, "Ended")] {
        assert_eq!(hand(&refusing(status, error), UID).await, Handed::WindsDown, "{error}");
    }
    // It may have been written down all the same, or may be the next time.
    for (status, error) in [
        (503, "Unavailable"),
        (503, "Starting"),
        (429, "QueueFull"),
        (500, "Internal"),
    ] {
        let handed = hand(&refusing(status, error), UID).await;
        assert!(matches!(handed, Handed::Unknown(_)), "{error}: {handed:?}");
    }
    let other = fake("ready");
    let handed = hand(&other, Uuid::from_u128(8)).await;
    assert!(matches!(handed, Handed::Unknown(why) if why.contains("another object")));
    assert_eq!(*other.asked.lock().unwrap(), ["GET /v1/status"], "it gets no prompt");
}

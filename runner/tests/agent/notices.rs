//! What the operator is told without asking.

use axum::Json;
use axum::routing::post;
use longshore_wire::notice::{NOTICE_PATH, Notice, NoticeKind};
use serde_json::json;
use tokio::sync::mpsc;

use crate::support::{PATIENCE, Rig, Setup, id};

/// An operator that writes notices down; refuses the first.
pub async fn operator() -> (String, mpsc::UnboundedReceiver<Notice>) {
    let (sender, notices) = mpsc::unbounded_channel();
    let refused = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let take = move |Json(notice): Json<Notice>| async move {
        if !refused.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return http::StatusCode::SERVICE_UNAVAILABLE;
        }
        sender.send(notice).unwrap();
        http::StatusCode::NO_CONTENT
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().route(NOTICE_PATH, post(take));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, notices)
}

pub async fn next(notices: &mut mpsc::UnboundedReceiver<Notice>) -> Notice {
    tokio::time::timeout(PATIENCE, notices.recv())
        .await
        .expect("no notice comes")
        .unwrap()
}

async fn rig(kind: &'static str) -> (Rig, mpsc::UnboundedReceiver<Notice>) {
    let (url, notices) = operator().await;
    let setup = Setup {
        kind,
        agent: json!({"noticeUrl": url}),
        ..Setup::default()
    };
    (Rig::start(setup).await, notices)
}

#[tokio::test]
async fn a_session_announces_itself_and_says_when_it_is_ready_and_when_it_is_over() {
    let (rig, mut notices) = rig("session").await;
    let first = next(&mut notices).await;
    assert_eq!((first.uid, first.name.as_str()), (rig.setup.uid, "test"));
    let mut kinds = vec![first.what, next(&mut notices).await.what];
    kinds.sort_by_key(|kind| *kind == NoticeKind::Ready);
    assert_eq!(
        kinds,
        [NoticeKind::Announce, NoticeKind::Ready],
        "also when the operator refuses one at first"
    );
    let deadline = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(30);
    rig.runner
        .post("/v1/quiesce", json!({"deadline": deadline, "summarize": false}))
        .await;
    assert_eq!(next(&mut notices).await.what, NoticeKind::Quiesced);
}

#[tokio::test]
async fn a_task_says_when_its_result_is_there() {
    let (rig, mut notices) = rig("task").await;
    rig.runner.say(id(1), "one").await;
    while next(&mut notices).await.what != NoticeKind::Finished {}
    assert_eq!(rig.runner.get("/v1/result").await.0, 200);
}

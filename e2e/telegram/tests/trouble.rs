//! Limits, faults and the log of calls.

mod stage;

use std::time::{Duration, Instant};

use longshore_telegram_emulator::{
    control::{ClockChange, routes::WantedCalls},
    faults::{Fault, Kind},
    limits::{Limits, Rate},
};
use serde_json::{Value, json};
use stage::{LONG, Stage, TOKEN};

async fn raw(stage: &Stage, method: &str, params: Value) -> Result<reqwest::Response, reqwest::Error> {
    let url = format!("{}/bot{TOKEN}/{method}", stage.emulator.url());
    reqwest::Client::new().post(url).json(&params).send().await
}

#[tokio::test]
async fn a_forum_has_one_bucket_for_all_its_topics_and_for_everything_people_see() {
    let stage = Stage::new().await;
    let other = stage.people.topic(stage.forum, stage.ada, "Ropes").await.unwrap();
    let limits = Limits {
        group: Some(Rate {
            calls: 3,
            seconds: 60.0,
        }),
        ..Limits::none()
    };
    stage.people.set_limits(&limits).await.unwrap();
    let id = stage.send("one").await;
    stage
        .ok(
            "sendMessage",
            json!({"chat_id": stage.forum, "message_thread_id": other, "text": "two"}),
        )
        .await;
    stage
        .ok(
            "editMessageText",
            json!({"chat_id": stage.forum, "message_id": id, "text": "three"}),
        )
        .await;
    let refused = raw(&stage, "sendMessage", json!({"chat_id": stage.forum, "text": "four"}))
        .await
        .unwrap();
    assert_eq!(refused.status(), 429);
    let header: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["parameters"]["retry_after"], header);
    assert_eq!(body["description"], format!("Too Many Requests: retry after {header}"));
    assert!((58..=60).contains(&header), "{header}");
    stage.ok("getChat", json!({"chat_id": stage.forum})).await;
    let delete = json!({"chat_id": stage.forum, "message_id": id});
    let refused = stage.refused("deleteMessage", delete).await;
    assert!(refused.starts_with("429"), "{refused}");
    stage.people.say(stage.ada, None, stage.ada, "hi").await.unwrap();
    stage
        .ok("sendMessage", json!({"chat_id": stage.ada, "text": "another chat"}))
        .await;
}

#[tokio::test]
async fn a_faster_clock_makes_limits_pass_in_real_seconds() {
    let stage = Stage::new().await;
    stage
        .people
        .set_limits(&Limits {
            group: Some(Rate {
                calls: 1,
                seconds: 6_000.0,
            }),
            ..Limits::none()
        })
        .await
        .unwrap();
    stage
        .people
        .turn_clock(&ClockChange {
            factor: Some(120.0),
            ..ClockChange::default()
        })
        .await
        .unwrap();
    stage.send("one").await;
    let send = json!({"chat_id": stage.forum, "text": "two"});
    let refused = stage.call("sendMessage", send.clone()).await;
    let wait = refused["parameters"]["retry_after"].as_u64().unwrap();
    assert!((20..=50).contains(&wait), "100 minutes pass in 50 seconds: {wait}");
    stage
        .people
        .turn_clock(&ClockChange {
            shared: Some(true),
            ..ClockChange::default()
        })
        .await
        .unwrap();
    let refused = stage.call("sendMessage", send.clone()).await;
    let wait = refused["parameters"]["retry_after"].as_u64().unwrap();
    assert!(
        (2_400..=6_000).contains(&wait),
        "for a bot whose time is as fast: {wait}"
    );
    stage
        .people
        .turn_clock(&ClockChange {
            advance_seconds: Some(6_000.0),
            ..ClockChange::default()
        })
        .await
        .unwrap();
    stage.ok("sendMessage", send).await;
}

#[tokio::test]
async fn without_a_setting_the_published_limits_hold() {
    let stage = Stage::new().await;
    for n in 0..20 {
        stage.send(&n.to_string()).await;
    }
    let refused = stage
        .refused("sendMessage", json!({"chat_id": stage.forum, "text": "21"}))
        .await;
    assert!(refused.starts_with("429 Too Many Requests: retry after "), "{refused}");
}

#[tokio::test]
async fn a_lost_reply_leaves_the_message_and_a_disconnect_does_not() {
    let stage = Stage::new().await;
    for (kind, text, left) in [(Kind::LostReply, "kept", 1), (Kind::Disconnect, "gone", 0)] {
        stage.people.fault(&Fault::on("sendMessage", kind)).await.unwrap();
        let error = raw(&stage, "SendMessage", json!({"chat_id": stage.forum, "text": text}))
            .await
            .unwrap_err();
        assert!(!error.is_status() && !error.is_timeout(), "{error:?}");
        let seen = stage.people.messages(stage.forum, None).await.unwrap();
        assert_eq!(seen.iter().filter(|shown| shown.text == text).count(), left);
        stage
            .ok("sendMessage", json!({"chat_id": stage.forum, "text": text}))
            .await;
    }
    let calls = stage
        .people
        .calls(&WantedCalls {
            failed: true,
            ..WantedCalls::default()
        })
        .await
        .unwrap();
    let short: Vec<_> = calls.iter().map(|call| (call.code, call.ok, call.committed)).collect();
    assert_eq!(short, [(0, false, true), (0, false, false)]);
}

#[tokio::test]
async fn refusals_and_delays_can_be_ordered() {
    let stage = Stage::new().await;
    let send = json!({"chat_id": stage.forum, "text": "x"});
    stage
        .people
        .fault(&Fault::on("sendMessage", Kind::TooManyRequests { retry_after: 7 }))
        .await
        .unwrap();
    assert_eq!(
        stage.refused("sendMessage", send.clone()).await,
        "429 Too Many Requests: retry after 7"
    );
    let status = Kind::Status {
        code: 502,
        description: "Bad Gateway".to_owned(),
    };
    stage
        .people
        .fault(&Fault {
            times: 2,
            ..Fault::on("sendMessage", status)
        })
        .await
        .unwrap();
    for _ in 0..2 {
        let refused = raw(&stage, "sendMessage", send.clone()).await.unwrap();
        assert_eq!(refused.status(), 502);
        assert!(refused.json::<Value>().await.is_err(), "a proxy's error is no JSON");
    }
    stage
        .people
        .fault(&Fault::on("sendMessage", Kind::DelayMs(60)))
        .await
        .unwrap();
    let begun = Instant::now();
    stage.ok("sendMessage", send).await;
    assert!(begun.elapsed() >= Duration::from_millis(60));
    assert_eq!(stage.people.messages(stage.forum, None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_call_can_be_held_before_or_behind_its_effect() {
    let stage = Stage::new().await;
    for (kind, visible) in [(Kind::HoldBefore, 0), (Kind::HoldReply, 1)] {
        let text = format!("{kind:?}");
        let fault = stage.people.fault(&Fault::on("sendMessage", kind)).await.unwrap();
        let sending = tokio::spawn({
            let (people, params) = (stage.people.clone(), json!({"chat_id": stage.forum, "text": text}));
            async move { people.bot_api(TOKEN, "sendMessage", &params).await.unwrap() }
        });
        assert_eq!(stage.people.fault_hit(fault, LONG).await.unwrap().hit, 1);
        if visible == 1 {
            stage.people.wait_for(stage.forum, None, 0, &text, LONG).await.unwrap();
        }
        let seen = stage.people.messages(stage.forum, None).await.unwrap();
        assert_eq!(seen.iter().filter(|shown| shown.text == text).count(), visible);
        assert!(!sending.is_finished());
        stage.people.remove_fault(fault).await.unwrap();
        assert_eq!(tokio::time::timeout(LONG, sending).await.unwrap().unwrap()["ok"], true);
    }
}

#[tokio::test]
async fn a_client_that_gives_up_while_held_before_the_effect_has_sent_nothing() {
    let stage = Stage::new().await;
    let fault = stage
        .people
        .fault(&Fault::on("sendMessage", Kind::HoldBefore))
        .await
        .unwrap();
    let sending = tokio::spawn({
        let (people, params) = (stage.people.clone(), json!({"chat_id": stage.forum, "text": "never"}));
        async move { people.bot_api(TOKEN, "sendMessage", &params).await }
    });
    stage.people.fault_hit(fault, LONG).await.unwrap();
    sending.abort();
    assert!(sending.await.unwrap_err().is_cancelled());
    stage.people.remove_fault(fault).await.unwrap();
    stage
        .ok("sendMessage", json!({"chat_id": stage.forum, "text": "after"}))
        .await;
    let texts: Vec<_> = stage
        .people
        .messages(stage.forum, None)
        .await
        .unwrap()
        .into_iter()
        .map(|shown| shown.text)
        .collect();
    assert_eq!(texts, ["after"]);
}

#[tokio::test]
async fn the_log_shows_what_was_called_and_how_it_ended() {
    let stage = Stage::new().await;
    stage.ok("getMe", json!({})).await;
    stage.refused("sendMessage", json!({"chat_id": 1, "text": "x"})).await;
    let calls = stage.people.calls(&WantedCalls::default()).await.unwrap();
    let short: Vec<_> = calls
        .iter()
        .map(|call| (call.method.as_str(), call.code, call.description.as_str()))
        .collect();
    assert_eq!(
        short,
        [("getMe", 200, ""), ("sendMessage", 400, "Bad Request: chat not found")]
    );
    assert_eq!(calls[1].params["text"], "x");
    let polls = WantedCalls {
        method: Some("getupdates".to_owned()),
        ..WantedCalls::default()
    };
    assert_eq!(stage.people.calls(&polls).await.unwrap().len(), 2);
    stage.people.clear_calls().await.unwrap();
    assert!(stage.people.calls(&WantedCalls::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn commands_are_kept_and_checked() {
    let stage = Stage::new().await;
    let set = |name: &str| json!({"commands": [{"command": name, "description": "Deep work"}]});
    stage.ok("setMyCommands", set("deep")).await;
    assert_eq!(
        stage.refused("setMyCommands", set("Deep Work")).await,
        "400 Bad Request: BOT_COMMAND_INVALID"
    );
    assert_eq!(stage.ok("getMyCommands", json!({})).await[0]["command"], "deep");
    assert!(
        stage
            .people
            .overview()
            .await
            .unwrap()
            .commands
            .values()
            .any(|list| list[0]["description"] == "Deep work")
    );
}

//! An unknown sender knocks: approvers are asked by a button, and who is let in is heard.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod support;

use longshore_telegram_emulator::control::Upload;
use serde_json::{Value, json};
use support::{Stage, in_time};

const ALLOW: &str = "✅ Allow";
const IGNORE: &str = "⛔ Ignore";
const REVOKE: &str = "↩️ Revoke";
const ASKED: &str = "Shall this person use the bot in this chat?";

fn door(unknown: &str) -> Value {
    json!({"metadata": {"name": "door"}, "spec": {"access": {"unknownSenders": unknown}}})
}

/// A stage with a policy that offers strangers, the bot running, a topic, and a stranger.
async fn play() -> (Stage, i64, i64) {
    let mut stage = Stage::set().await;
    stage
        .api
        .add("routingpolicies", "RoutingPolicy", door("OfferToApprover"));
    stage.start();
    let thread = stage.topic("Door").await;
    let bob = stage.people.user("Bob").await.unwrap().id;
    (stage, thread, bob)
}

async fn says(stage: &Stage, thread: i64, user: i64, text: &str) -> i64 {
    stage.people.say(stage.forum, Some(thread), user, text).await.unwrap()
}

/// Waits until everything that was written so far has been decided about: Ada's message comes after it.
async fn decided(stage: &Stage, thread: i64, answer: &str) {
    let last = stage.say(thread, "hello").await;
    stage.complete(&stage.name(thread, last), answer).await;
    stage.sees(thread, answer).await;
}

/// The task of a message is made, and its answer stands in the topic.
async fn heard(stage: &Stage, thread: i64, message: i64, answer: &str) {
    stage.complete(&stage.name(thread, message), answer).await;
    stage.sees(thread, answer).await;
}

#[tokio::test]
async fn a_stranger_is_let_in_by_an_approver_and_what_was_held_is_heard_once_over_restarts() {
    let (mut stage, thread, bob) = play().await;
    let carol = stage.people.user("Carol").await.unwrap().id;
    let first = says(&stage, thread, bob, "please look at https://example.com/a @ada").await;
    let asking = stage.sees(thread, ASKED).await;
    assert!(
        asking.text.contains("please look at https://example.com/a @ada"),
        "{}",
        asking.text
    );
    assert!(asking.text.contains(&format!("Bob (user id {bob})")), "{}", asking.text);
    assert_eq!(asking.reply_to, Some(first));
    let code = |entity: &longshore_telegram_emulator::entities::Entity| entity.kind == "code";
    assert!(asking.entities.iter().all(code), "no links: {:?}", asking.entities);
    let second = says(&stage, thread, bob, "and at the log").await;
    decided(&stage, thread, "one").await;
    assert_eq!(stage.stands(thread, ASKED).await, 1);
    assert_eq!(stage.api.names("containertasks").len(), 1, "only Ada's");
    stage.kill();
    stage.start();
    let not_yours = "You are not on the list of people who may decide this.";
    for user in [bob, carol] {
        assert_eq!(stage.press(asking.message_id, user, ALLOW).await, not_yours);
    }
    assert_eq!(
        stage.press(asking.message_id, stage.ada, ALLOW).await,
        "Allowed, in this chat."
    );
    stage.kill();
    stage.start();
    heard(&stage, thread, first, "Looked.").await;
    heard(&stage, thread, second, "Read.").await;
    let allowed = stage.sees(thread, "may use the bot in this chat, as Ada said").await;
    assert_eq!(allowed.message_id, asking.message_id);
    // From now on Bob is a user, elsewhere in the chat, too; Carol is not.
    let elsewhere = stage.topic("Elsewhere").await;
    let third = says(&stage, elsewhere, bob, "and here?").await;
    heard(&stage, elsewhere, third, "Here, too.").await;
    assert_eq!(
        stage.press(allowed.message_id, bob, REVOKE).await,
        "Only approvers may decide this."
    );
    stage.say(thread, "/status").await;
    assert_eq!(stage.api.names("containertasks").len(), 4);

    assert!(
        stage
            .press(allowed.message_id, stage.ada, REVOKE)
            .await
            .starts_with("Taken back.")
    );
    stage.sees(thread, "Taken back, as Ada said").await;
    says(&stage, thread, bob, "and now?").await;
    decided(&stage, thread, "two").await;
    assert_eq!(stage.api.names("containertasks").len(), 5, "Ada's only");
    assert_eq!(stage.stands(thread, ASKED).await, 0, "nobody is asked at once again");
}

#[tokio::test]
async fn who_is_ignored_is_not_heard_and_not_asked_about_again() {
    let (stage, thread, bob) = play().await;
    says(&stage, thread, bob, "let me in").await;
    let asking = stage.sees(thread, ASKED).await;
    assert_eq!(stage.press(asking.message_id, stage.ada, IGNORE).await, "Ignored.");
    stage.sees(thread, "Ignored, as Ada said").await;
    assert!(
        stage
            .people
            .press(stage.forum, asking.message_id, stage.ada, ALLOW)
            .await
            .is_err(),
        "the button is gone"
    );
    says(&stage, thread, bob, "please").await;
    decided(&stage, thread, "one").await;
    assert_eq!(stage.stands(thread, ASKED).await, 0);
    assert_eq!(stage.api.names("containertasks").len(), 1);
}

#[tokio::test]
async fn what_was_allowed_is_void_with_the_policy_and_does_not_come_back_with_it() {
    let (stage, thread, bob) = play().await;
    let first = says(&stage, thread, bob, "let me in").await;
    let asking = stage.sees(thread, ASKED).await;
    stage.press(asking.message_id, stage.ada, ALLOW).await;
    heard(&stage, thread, first, "Welcome.").await;
    stage.sees(thread, "may use the bot in this chat, as Ada said").await;
    let carol = stage.people.user("Carol").await.unwrap().id;
    let held = says(&stage, thread, carol, "me, too").await;
    let about_carol = stage.sees(thread, ASKED).await;
    // Broken access offers nothing.
    let broken = json!({"spec": {"access": {"unknownSenders": "OfferToApprover", "until": "tomorrow"}}});
    stage.api.merge("routingpolicies", "door", broken);
    stage.sees_times(thread, "does not count any more", 2).await;
    says(&stage, thread, bob, "and now?").await;
    decided(&stage, thread, "one").await;
    assert_eq!(stage.api.names("containertasks").len(), 2, "Bob's first and Ada's");
    stage.api.delete("routingpolicies", "door");
    stage
        .api
        .add("routingpolicies", "RoutingPolicy", door("OfferToApprover"));
    let again = async {
        while stage.stands(thread, ASKED).await == 0 {
            says(&stage, thread, bob, "once more").await;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    in_time("Bob is asked about anew", again).await;
    // A policy that names Bob makes what he wrote count; what was dropped stays dropped.
    let named = json!({"metadata": {"name": "team"}, "spec": {"access": {"users": [{"id": bob}]}}});
    stage.api.add("routingpolicies", "RoutingPolicy", named);
    stage.sees(thread, "By now a policy says").await;
    in_time("Bob's held message is heard", async {
        while stage.api.names("containertasks").len() < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(!stage.api.names("containertasks").contains(&stage.name(thread, held)));
    assert_ne!(about_carol.message_id, asking.message_id);
}

#[tokio::test]
async fn a_rule_about_attachments_sees_a_file_with_a_caption() {
    let mut stage = Stage::set().await;
    let deny = json!({"mode": "Deny", "reply": "No files here."});
    let rules = json!([{"name": "files", "match": {"hasAttachment": true}, "action": deny}]);
    let policy = json!({"metadata": {"name": "files"}, "spec": {"rules": rules}});
    stage.api.add("routingpolicies", "RoutingPolicy", policy);
    stage.start();
    let thread = stage.topic("Files").await;
    let upload = Upload {
        user: stage.ada,
        name: "log.txt".to_owned(),
        thread: Some(thread),
        caption: Some("what is wrong here?".to_owned()),
        ..Upload::default()
    };
    stage.people.upload(stage.forum, &upload, "error").await.unwrap();
    stage.sees(thread, "No files here.").await;
    let plain = stage.say(thread, "what is wrong here?").await;
    heard(&stage, thread, plain, "Nothing.").await;
    assert_eq!(stage.stands(thread, "No files here.").await, 1);
}

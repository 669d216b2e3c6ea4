//! Which chats and repositories a Topic may name, by the rules that the API server runs.
#![allow(clippy::panic, reason = "this is a test")]

use kube::core::cel::validate_cel;
use longshore_crds::Topic;
use serde_json::{Value, json};

fn check(repository: Value, refused: Option<&str>) {
    check_spec(json!({ "repository": repository }), refused);
}

/// `refused` is a piece of the message.
fn check_spec(spec: Value, refused: Option<&str>) {
    let manifest =
        json!({ "apiVersion": "longshore.dev/v1alpha1", "kind": "Topic", "metadata": { "name": "a" }, "spec": spec });
    let topic: Topic = serde_json::from_value(manifest).expect("the manifest is a Topic");
    let said = validate_cel(&topic).err().map(|errors| errors.to_string());
    match (refused, said) {
        (None, None) => {}
        (Some(piece), Some(said)) if said.contains(piece) => {}
        (_, said) => panic!("{topic:?}: {said:?}"),
    }
}

#[test]
fn a_topic_is_bound_to_a_forum_topic_or_to_a_topic_of_a_private_chat() {
    for (chat, thread) in [(-100, Some(42)), (100, Some(42)), (100, None)] {
        check_spec(json!({ "telegram": { "chatId": chat, "threadId": thread } }), None);
    }
    let general = json!({ "telegram": { "chatId": 100, "threadId": 1 } });
    check_spec(general, Some("threadId: leave it out"));
}

#[test]
fn a_repository_is_fetched_over_https_and_its_address_holds_no_credential() {
    for url in [
        "https://git.example.com/team/app.git",
        "https://git.example.com:8443/~me/a%20b",
        "https://[2001:db8::1]/app",
        "https://git.example.com/@scope/app",
        "http://git.example.com/app",
    ] {
        check(json!({ "url": url }), None);
    }
    for url in [
        "file:///etc",
        "git@git.example.com:team/app.git",
        "ssh://git@git.example.com/app",
        "ext::sh -c id",
        "--upload-pack=id",
        "/srv/app",
    ] {
        check(json!({ "url": url }), Some("begins with https://"));
    }
    for url in [
        "https://token@git.example.com/app",
        "https://user:password@git.example.com/app",
    ] {
        check(json!({ "url": url }), Some("name a Secret"));
    }
    for url in [
        "https://",
        "https://git.example.com",
        "https://git.example.com/",
        "https://git.example.com/a b",
        "https://git.example.com/app?a=b",
        "https://git.example.com/a\nb",
    ] {
        check(json!({ "url": url }), Some("write host and path"));
    }
}

#[test]
fn a_credential_goes_over_https_only() {
    let repository = |url: &str| json!({ "url": url, "secretRef": { "name": "git" } });
    check(repository("https://git.example.com/app"), None);
    check(repository("http://git.example.com/app"), Some("goes over https only"));
}

#[test]
fn a_ref_is_a_name_and_no_option() {
    let repository = |name: &str| json!({ "url": "https://git.example.com/app", "ref": name });
    for name in [
        "main",
        "v1.2.3",
        "feature/a-b",
        "0123456789abcdef0123456789abcdef01234567",
        "größe",
    ] {
        check(repository(name), None);
    }
    for name in [
        "-u",
        "--upload-pack=id",
        "a b",
        "a..b",
        "a@{1}",
        "a:b",
        "a^",
        "a*",
        "a\\b",
    ] {
        check(repository(name), Some("repository.ref: write the name of a branch"));
    }
    check(repository("refs/heads/main"), Some("without refs/heads/"));
}

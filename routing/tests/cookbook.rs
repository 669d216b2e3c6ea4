//! The policies of `docs/routing.md` are accepted, all in force, and do what the page says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

use kube::core::cel::validate_cel;
use longshore_crds::RoutingPolicy;
use longshore_routing::{ActiveSession, Message, Mode, PolicySource, Router, Settings, Situation, TopicState};

const PAGE: &str = include_str!("../../docs/routing.md");
const OPEN: i64 = -1_001_234_567_890;
const QUIET: i64 = -1_009_876_543_210;
/// A Wednesday, noon in Berlin.
const NOON: &str = "2026-11-25T11:00:00Z";

fn recipes() -> Vec<RoutingPolicy> {
    let (_, cookbook) = PAGE.split_once("## Cookbook").expect("the page has a cookbook");
    let blocks = cookbook.split("```yaml\n").skip(1);
    let block = |text: &str| text.split_once("```").expect("a block ends").0.to_owned();
    let parse = |text: String| serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    blocks.map(block).map(parse).collect()
}

struct Recipe {
    router: Router,
}

fn recipe(name: &str) -> Recipe {
    let all = recipes();
    let policy = all.iter().find(|policy| policy.metadata.name.as_deref() == Some(name));
    let source = PolicySource::from(policy.unwrap_or_else(|| panic!("there is no recipe {name}")));
    let settings = Settings {
        allowed_users: vec![5],
        ..Settings::default()
    };
    Recipe {
        router: Router::compile(settings, &[source]),
    }
}

impl Recipe {
    fn decide(
        &self,
        user: i64,
        place: (i64, Option<i64>),
        content: Result<&str, &str>,
        session: bool,
        at: &str,
    ) -> Mode {
        let situation = Situation {
            topic: TopicState::Bound("t".into()),
            session: session.then(|| ActiveSession {
                name: "s".into(),
                question: None,
                word: None,
                asleep: false,
            }),
            ..Situation::default()
        };
        let message = Message {
            user,
            chat: place.0,
            thread: place.1,
            content,
            file: false,
        };
        self.router
            .decide(&situation, &message, at.parse().expect("it is a time"))
            .decision
            .mode
    }

    /// What becomes of a text at noon, without and with an active session, in one word and the class.
    fn check(&self, user: i64, place: (i64, Option<i64>), text: &str, without: &str, with: &str) {
        for (session, expected) in [(false, without), (true, with)] {
            let mode = self.decide(user, place, Ok(text), session, NOON);
            assert_eq!(word(&mode), expected, "{text:?}, session {session}: {mode:?}");
        }
    }
}

fn word(mode: &Mode) -> String {
    let class = |class: &Option<String>| class.as_ref().map(|class| format!(" {class}")).unwrap_or_default();
    match mode {
        Mode::Ignore => "ignore".to_owned(),
        Mode::Offer => "offer".to_owned(),
        Mode::Reply { text } => format!("says {text}"),
        Mode::Task { agent_class, .. } => format!("task{}", class(agent_class)),
        Mode::StartSession { agent_class, .. } => format!("session{}", class(agent_class)),
        Mode::ToSession { .. } => "to session".to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_are_accepted_and_in_force_alone_and_together() {
    let all = recipes();
    assert_eq!(all.len(), 12);
    for policy in &all {
        let name = policy.metadata.name.as_deref().unwrap_or_default();
        assert_eq!(
            validate_cel(policy).err().map(|errors| errors.to_string()),
            None,
            "{name}"
        );
        let router = Router::compile(Settings::default(), &[PolicySource::from(policy)]);
        for findings in router.findings(None) {
            assert!(findings.ready, "{name}: {findings:?}");
        }
    }
    let together = all.iter().map(PolicySource::from).collect::<Vec<_>>();
    for findings in Router::compile(Settings::default(), &together).findings(None) {
        assert!(findings.ready, "{findings:?}");
    }
}

#[test]
fn the_parts_that_the_page_shows_as_examples_are_read() {
    let (_, access) = PAGE
        .split_once("## Access\n\n```yaml\n")
        .expect("the page shows access");
    let yaml = access.split_once("```").expect("a block ends").0;
    let spec = serde_saphyr::from_str::<serde_json::Value>(yaml).unwrap()["spec"].clone();
    let source = PolicySource { name: "a".into(), spec };
    let router = Router::compile(Settings::default(), &[source]);
    assert!(router.findings(None)[0].ready);
    assert!(router.standing(1002, OPEN).is_some() && router.standing(1002, -5).is_none());
    let (_, templates) = PAGE
        .split_once("telegram.createTopics")
        .expect("the page shows templates");
    let (_, yaml) = templates.split_once("```yaml\n").expect("the page shows templates");
    let yaml = format!(
        "apiVersion: longshore.dev/v1alpha1\nkind: RoutingPolicy\nmetadata: {{name: a}}\n{}",
        yaml.split_once("```").expect("a block ends").0
    );
    let policy = serde_saphyr::from_str::<RoutingPolicy>(&yaml).unwrap();
    assert_eq!(validate_cel(&policy).err().map(|errors| errors.to_string()), None);
    let router = Router::compile(Settings::default(), &[PolicySource::from(&policy)]);
    assert!(router.findings(None)[0].ready && router.topic_template(OPEN, Some(42)).is_some());
}

#[test]
fn the_sample_is_accepted_and_in_force() {
    let sample = include_str!("../../manifests/samples/routingpolicy.yaml");
    let policy = serde_saphyr::from_str::<RoutingPolicy>(sample).unwrap();
    assert_eq!(validate_cel(&policy).err().map(|errors| errors.to_string()), None);
    assert!(Router::compile(Settings::default(), &[PolicySource::from(&policy)]).findings(None)[0].ready);
}

#[test]
fn people_are_let_in_as_the_page_says() {
    use longshore_crds::Role::{Admin, Approver, User};
    let role = |recipe: &Recipe, user, chat| recipe.router.standing(user, chat).map(|standing| standing.role);
    let team = recipe("team");
    assert_eq!(
        [role(&team, 1001, 3), role(&team, 1002, 3), role(&team, 1003, 3)],
        [Some(Approver), Some(User), None]
    );
    let stranger = "says Ask Ada to let you in. Your id is 1003.";
    team.check(1003, (3, None), "hello", stranger, stranger);
    team.check(1002, (3, None), "hello", "task", "to session");
    let open = recipe("open-chat");
    assert_eq!(
        [role(&open, 77, OPEN), role(&open, 77, -3), role(&open, 1001, -3)],
        [Some(User), None, Some(Admin)]
    );
    open.check(77, (-3, None), "hello", "ignore", "ignore");
}

#[test]
fn messages_go_where_the_page_says() {
    let here = (-3, None);
    let incidents = recipe("incidents");
    incidents.check(5, here, "the shop is down!", "session incident", "to session");
    incidents.check(5, here, "sit down", "task", "to session");
    let topics = recipe("topics");
    topics.check(5, (OPEN, Some(7)), "hello", "session", "to session");
    topics.check(5, (OPEN, Some(9)), "hello", "task", "task");
    topics.check(5, (OPEN, None), "hello", "task", "to session");
    let hard = recipe("hard-things");
    hard.check(
        5,
        here,
        "migrate https://github.com/a/b to Rust",
        "session",
        "to session",
    );
    hard.check(
        5,
        here,
        "briefly: would you migrate https://github.com/a/b?",
        "task",
        "to session",
    );
    let own = recipe("own-commands");
    own.check(5, here, "/review the last commit", "session reviewer", "to session");
    own.check(5, here, "/tr Guten Tag", "task small", "task small");
    own.check(5, here, "review the last commit", "task", "to session");
    let aside = recipe("side-questions");
    aside.check(5, here, "by the way, what time is it?", "task", "task");
    aside.check(5, here, "what time is it?", "task", "to session");
    let tickets = recipe("tickets");
    tickets.check(5, here, "what about OPS-17?", "task small", "to session");
    tickets.check(5, here, "what about ops-17?", "task", "to session");
    let quiet = recipe("commands-only");
    quiet.check(5, (QUIET, None), "good morning", "ignore", "to session");
    quiet.check(5, (QUIET, None), "/deep fix it", "session", "to session");
    quiet.check(5, here, "good morning", "task", "to session");
    assert_eq!(
        quiet.decide(5, (QUIET, None), Err("stickers"), true, NOON),
        Mode::Ignore
    );
}

#[test]
fn office_hours_are_as_the_page_says() {
    let hours = recipe("office-hours");
    let at = |time: &str| word(&hours.decide(5, (-3, None), Ok("hello"), false, time));
    assert_eq!(at(NOON), "task");
    assert_eq!(
        at("2026-11-25T05:59:00Z"),
        "says Agents work from 7 to 20. Write again then."
    );
    assert_eq!(at("2026-11-25T06:00:00Z"), "task");
    assert_eq!(
        at("2026-11-25T19:00:00Z"),
        "says Agents work from 7 to 20. Write again then."
    );
    assert_eq!(at("2026-11-28T11:00:00Z"), "says Agents are back on Monday.");
}

#[test]
fn projects_have_workspaces_as_the_page_says() {
    let projects = recipe("projects");
    let check = |place: (i64, Option<i64>), template: &str, class: &str, size: Option<&str>, clones: bool| {
        let (name, topic) = projects.router.topic_template(place.0, place.1).unwrap();
        assert_eq!(name.to_string(), format!("template {template} of policy projects"));
        assert_eq!(topic.agent_class_name.as_deref(), Some(class));
        let workspace = topic.workspace.clone().unwrap_or_default();
        assert_eq!((workspace.size.as_deref(), topic.repository.is_some()), (size, clones));
    };
    check((OPEN, Some(42)), "shop", "large", Some("50Gi"), true);
    check((OPEN, Some(43)), "shop", "large", Some("50Gi"), true);
    check((OPEN, Some(7)), "engineering", "large", None, false);
    check((OPEN, None), "engineering", "large", None, false);
    check((-3, Some(42)), "others", "small", Some("2Gi"), false);
    check((5, None), "others", "small", Some("2Gi"), false);
}

#[test]
fn strangers_knock_and_are_heard_after_an_approver_has_opened() {
    let door = recipe("door");
    door.check(1002, (OPEN, Some(7)), "hello", "offer", "offer");
    door.check(1002, (1002, None), "hello", "ignore", "ignore");
    door.check(1001, (OPEN, None), "hello", "task", "to session");
    assert!(door.router.offers(1002, OPEN) && door.router.standing(1002, OPEN).is_none());
    let guest = |by| longshore_routing::Guest {
        user: 1002,
        chat: OPEN,
        by,
    };
    let role = |by| Some(door.router.standing_with(1002, OPEN, Some(&guest(by)))?.role);
    assert_eq!(role(1001), Some(longshore_crds::Role::User));
    assert_eq!(role(1003), None, "who is no approver opens nothing");
}

#[test]
fn the_policies_of_the_example_for_git_are_in_force_together() {
    let read = |text| PolicySource::from(&serde_saphyr::from_str::<RoutingPolicy>(text).unwrap());
    let sources = [
        read(include_str!("../../manifests/gitops/base/routingpolicy.yaml")),
        read(include_str!(
            "../../manifests/gitops/overlays/production/office-hours.yaml"
        )),
    ];
    let router = Router::compile(Settings::default(), &sources);
    let classes = std::collections::BTreeSet::from(["engineering".to_owned()]);
    for findings in router.findings(Some(&classes)) {
        assert!(findings.ready, "{findings:?}");
    }
    let git = Recipe { router };
    let at_night = |user, text| word(&git.decide(user, (OPEN, None), Ok(text), false, "2026-11-25T22:00:00Z"));
    assert_eq!(at_night(1003, "the shop is down"), "session");
    assert!(at_night(1003, "hello").starts_with("says Agents work from 7 to 20"));
    assert_eq!(at_night(1001, "hello"), "task", "admins are not held up");
    git.check(1003, (OPEN, None), "hello", "task", "to session");
}

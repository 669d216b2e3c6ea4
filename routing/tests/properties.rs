//! What holds for all policies and messages.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

use jiff::Timestamp;
use longshore_crds::RuleState;
use longshore_routing::{
    ActiveSession, Guest, Message, Mode, PolicySource, Router, Settings, Situation, TopicState, Welcome,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

const USERS: [i64; 4] = [1, 2, 3, 4];
const CHATS: [i64; 3] = [-1, -2, 7];
const WORDS: [&str; 6] = ["deploy", "now", "please", "OPS-17", "部署", "https://github.com/a/b"];

fn settings() -> Settings {
    Settings {
        allowed_users: vec![1],
        bot_username: "longshore_bot".into(),
        done_words: vec!["done".into()],
    }
}

/// Any JSON, small.
fn junk() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("[a-zA-Z]{1,8}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

fn access() -> impl Strategy<Value = Value> {
    let role = || select(vec!["User", "Approver", "Admin"]);
    let user = (
        select(&USERS[..]),
        role(),
        prop::option::of(prop::collection::vec(select(&CHATS[..]), 1..3)),
    );
    let user = user.prop_map(|(id, role, chats)| match chats {
        Some(chats) => json!({ "id": id, "role": role, "chats": chats }),
        None => json!({ "id": id, "role": role }),
    });
    let chat = (select(&CHATS[..]), role()).prop_map(|(id, role)| json!({ "id": id, "role": role }));
    let unknown = select(vec!["Ignore", "Reply", "OfferToApprover", "OfferToApprover"]);
    (
        prop::collection::vec(user, 0..3),
        prop::collection::vec(chat, 0..2),
        unknown,
    )
        .prop_map(|(users, chats, unknown)| json!({ "users": users, "chats": chats, "unknownSenders": unknown }))
}

fn conditions() -> impl Strategy<Value = Value> {
    let field = prop_oneof![
        Just(("sessionActive", json!(true))),
        Just(("sessionActive", json!(false))),
        Just(("hasAttachment", json!(true))),
        prop::collection::vec(select(&CHATS[..]), 1..3).prop_map(|ids| ("chats", json!(ids))),
        prop::collection::vec(select(&[0, 5][..]), 1..2).prop_map(|ids| ("threads", json!(ids))),
        prop::collection::vec(select(&USERS[..]), 1..3).prop_map(|ids| ("users", json!(ids))),
        prop::collection::vec(select(vec!["User", "Approver", "Admin"]), 1..3)
            .prop_map(|names| ("roles", json!(names))),
        prop::collection::vec(select(&WORDS[..]), 1..3).prop_map(|words| ("keywords", json!(words))),
        prop::collection::vec(select(vec!["review", "ship", "deep"]), 1..2)
            .prop_map(|names| ("commands", json!(names))),
        select(vec!["OPS-[0-9]+", "^now", "(", "(?i)DEPLOY"]).prop_map(|regex| ("regex", json!(regex))),
        (1..30i32).prop_map(|length| ("minLength", json!(length))),
        select(vec!["UTC", "Asia/Tokyo", "Moon/Sea"]).prop_map(|zone| (
            "timeWindow",
            json!({ "timeZone": zone, "days": ["Mon"], "from": "06:00", "to": "12:00" })
        )),
    ];
    prop::collection::vec(field, 0..3).prop_map(|fields| {
        let mut all = serde_json::Map::new();
        all.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Value::Object(all)
    })
}

fn rule() -> impl Strategy<Value = Value> {
    let action = prop_oneof![
        select(vec!["Task", "Session", "ToActiveSession", "Ignore", "Deny"]).prop_map(|mode| json!({ "mode": mode })),
        Just(json!({ "mode": "Task", "agentClassName": "small" })),
    ];
    let good = ("[a-d]{1,2}", conditions(), action)
        .prop_map(|(name, matches, action)| json!({ "name": name, "match": matches, "action": action }));
    prop_oneof![9 => good, 1 => junk()]
}

fn spec() -> impl Strategy<Value = Value> {
    let good = (
        -2..3i64,
        prop::option::of(access()),
        prop::collection::vec(rule(), 0..5),
        any::<bool>(),
        any::<bool>(),
        prop::option::of(prop_oneof![Just("Start"), Just("Ask"), Just("Never")]),
    );
    let good = good.prop_map(|(order, access, rules, weighs, queues, escalation)| {
        let mut spec = json!({ "order": order, "rules": rules });
        if let Some(access) = access {
            spec["access"] = access;
        }
        if weighs {
            spec["heuristics"] = json!({ "keywords": [{ "word": "deploy", "weight": 10 }] });
        }
        if queues {
            spec["whileSessionActive"] = json!("QueueTask");
        }
        if let Some(mode) = escalation {
            spec["escalation"] = json!({ "mode": mode });
        }
        spec
    });
    prop_oneof![9 => good, 1 => junk()]
}

fn policies() -> impl Strategy<Value = Vec<PolicySource>> {
    prop::collection::vec(spec(), 0..4).prop_map(|specs| {
        let named = specs.into_iter().enumerate();
        named
            .map(|(at, spec)| PolicySource {
                name: format!("p{at}"),
                spec,
            })
            .collect()
    })
}

#[derive(Clone, Debug)]
struct Scene {
    user: i64,
    chat: i64,
    thread: Option<i64>,
    text: Result<String, &'static str>,
    file: bool,
    situation: Situation,
    now: Timestamp,
}

impl Scene {
    fn message(&self) -> Message<'_> {
        Message {
            user: self.user,
            chat: self.chat,
            thread: self.thread,
            content: self.text.as_deref().map_err(|kind| *kind),
            file: self.file && self.text.is_ok(),
        }
    }
}

/// Somebody who was let in by a button, whatever that is worth.
fn guest() -> impl Strategy<Value = Guest> {
    (select(&USERS[..]), select(&CHATS[..]), select(&USERS[..])).prop_map(|(user, chat, by)| Guest { user, chat, by })
}

fn guests() -> impl Strategy<Value = Vec<Guest>> {
    prop::collection::vec(guest(), 0..6)
}

fn scene() -> impl Strategy<Value = Scene> {
    let written = (
        select(vec![
            "",
            "",
            "/review ",
            "/ship",
            "/deep ",
            "/quick ",
            "/stop",
            "/x ",
            "/ship@longshore_bot ",
        ]),
        prop::collection::vec(select(&WORDS[..]), 0..5),
    );
    let text = prop_oneof![
        8 => written.prop_map(|(command, words)| Ok(format!("{command}{}", words.join(" ")))),
        1 => ".{0,40}".prop_map(Ok),
        1 => Just(Err("stickers")),
    ];
    let session = prop::option::of((any::<bool>(), prop::option::weighted(0.2, 0..3i64)));
    let guest = prop::option::of(guest());
    let who = (
        select(&USERS[..]),
        select(&CHATS[..]),
        select(vec![None, Some(5)]),
        guest,
    );
    let text = (text, any::<bool>());
    (who, text, session, select(vec![true, true, false]), 0..1_000_000i64).prop_map(
        |((user, chat, thread, guest), (text, file), session, bound, minutes)| Scene {
            user,
            chat,
            thread,
            text,
            file,
            situation: Situation {
                topic: if bound {
                    TopicState::Bound("t".into())
                } else {
                    TopicState::Missing
                },
                session: session.map(|(asleep, question)| ActiveSession {
                    name: "s".into(),
                    question,
                    word: None,
                    asleep,
                }),
                task: None,
                guest,
            },
            now: Timestamp::from_second(1_790_000_000 + minutes * 60).expect("it is a time"),
        },
    )
}

/// Puts a value in the place of one of the nodes of a tree, the root among them.
fn replace(tree: &mut Value, at: Index, with: &Value) {
    fn count(tree: &Value) -> usize {
        1 + match tree {
            Value::Object(fields) => fields.values().map(count).sum(),
            Value::Array(items) => items.iter().map(count).sum(),
            _ => 0usize,
        }
    }
    fn walk(tree: &mut Value, left: &mut usize, with: &Value) {
        if *left == 0 {
            *tree = with.clone();
            *left = usize::MAX;
            return;
        }
        *left -= 1;
        let children: Box<dyn Iterator<Item = &mut Value>> = match tree {
            Value::Object(fields) => Box::new(fields.values_mut()),
            Value::Array(items) => Box::new(items.iter_mut()),
            _ => return,
        };
        for child in children {
            if *left == usize::MAX {
                return;
            }
            walk(child, left, with);
        }
    }
    let mut left = at.index(count(tree));
    walk(tree, &mut left, with);
}

/// Of those who were let in by a button the bot keeps who still counts, each time that policies come into force.
fn kept(policies: &[PolicySource], guests: &[Guest]) -> Vec<Guest> {
    let router = Router::compile(settings(), policies);
    let mut kept = guests.to_vec();
    kept.retain(|guest| router.welcome(guest) == Welcome::Counts);
    kept
}

/// What everybody may do everywhere.
fn roles(policies: &[PolicySource], guests: &[Guest]) -> Vec<Option<longshore_crds::Role>> {
    let router = Router::compile(settings(), policies);
    let role = |user, chat| {
        let here = guests.iter().filter(|guest| (guest.user, guest.chat) == (user, chat));
        let each = here.map(Some).chain([None]);
        each.filter_map(|guest| Some(router.standing_with(user, chat, guest)?.role))
            .max()
    };
    let pairs = USERS
        .iter()
        .flat_map(|user| CHATS.iter().map(move |chat| (*user, *chat)));
    pairs.map(|(user, chat)| role(user, chat)).collect()
}

/// Policies are replaced by others under a bot that keeps guests: nobody may do more than before.
fn never_wider(before: &[PolicySource], after: &[PolicySource], guests: &[Guest]) -> Result<(), TestCaseError> {
    let guests = kept(before, guests);
    let later = kept(after, &guests);
    for (before, after) in roles(before, &guests).into_iter().zip(roles(after, &later)) {
        prop_assert!(after <= before, "{before:?} became {after:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn there_is_always_a_decision_with_a_reason_and_always_the_same(policies in policies(), scene in scene()) {
        let decide = || Router::compile(settings(), &policies).decide(&scene.situation, &scene.message(), scene.now);
        let first = decide();
        prop_assert!(!first.decision.reason.is_empty());
        prop_assert_eq!(&first, &decide());
        let mut turned = policies.clone();
        turned.reverse();
        let again = Router::compile(settings(), &turned).decide(&scene.situation, &scene.message(), scene.now);
        prop_assert_eq!(first, again, "it depends on the order in which policies were read");
    }

    #[test]
    fn nothing_is_run_for_who_has_no_role(policies in policies(), scene in scene()) {
        let router = Router::compile(settings(), &policies);
        let found = router.decide(&scene.situation, &scene.message(), scene.now);
        if router.standing_with(scene.user, scene.chat, scene.situation.guest.as_ref()).is_none() {
            let nothing = matches!(found.decision.mode, Mode::Ignore | Mode::Reply { .. } | Mode::Offer);
            prop_assert!(nothing, "{found:?}");
            prop_assert_eq!(found.rule, None);
        } else {
            prop_assert_ne!(found.decision.mode, Mode::Offer);
        }
    }

    #[test]
    fn a_button_makes_a_user_of_one_chat_and_only_while_policies_offer_it(policies in policies(), guest in guest()) {
        let router = Router::compile(settings(), &policies);
        let pairs = USERS.iter().flat_map(|user| CHATS.iter().map(move |chat| (*user, *chat)));
        for (user, chat) in pairs {
            let (without, with) = (router.standing(user, chat), router.standing_with(user, chat, Some(&guest)));
            if with.as_ref() == without {
                continue;
            }
            let with = with.expect("nobody loses by it");
            prop_assert_eq!(without, None);
            prop_assert_eq!((user, chat, with.role), (guest.user, guest.chat, longshore_crds::Role::User));
            prop_assert!(chat < 0 && router.offers(user, chat), "{:?}", with);
            let by = router.standing(guest.by, chat).map(|standing| standing.role);
            prop_assert!(by >= Some(longshore_crds::Role::Approver), "{:?}", by);
        }
    }

    #[test]
    fn without_a_policy_that_offers_it_no_button_counts(policies in policies(), guests in guests()) {
        let mut silent = policies.clone();
        for policy in &mut silent {
            if let Some(access) = policy.spec.get_mut("access").and_then(Value::as_object_mut) {
                access.remove("unknownSenders");
            }
        }
        prop_assert_eq!(roles(&silent, &guests), roles(&silent, &[]));
        prop_assert_eq!(kept(&silent, &guests), []);
    }

    #[test]
    fn a_deleted_policy_takes_roles_away_only(policies in policies(), guests in guests(), which in any::<Index>()) {
        prop_assume!(!policies.is_empty());
        let mut fewer = policies.clone();
        fewer.remove(which.index(policies.len()));
        never_wider(&policies, &fewer, &guests)?;
    }

    #[test]
    fn broken_access_takes_roles_away_only(
        policies in policies(),
        guests in guests(),
        which in any::<Index>(),
        at in any::<Index>(),
        // Of a kind that is right nowhere in an access list: it was not written by anybody who meant something by it.
        broken in select(vec![json!(null), json!(1.5), json!(true), json!("Owner"), json!([[1]]), json!({ "id": 2, "until": "tomorrow" })]),
    ) {
        prop_assume!(!policies.is_empty());
        let mut worse = policies.clone();
        let at_policy = which.index(policies.len());
        if let Some(access) = worse[at_policy].spec.get_mut("access") {
            replace(access, at, &broken);
        }
        never_wider(&policies, &worse, &guests)?;
    }

    #[test]
    fn nothing_that_becomes_of_the_rules_of_a_policy_changes_access(policies in policies(), guests in guests(), which in any::<Index>(), rules in junk()) {
        prop_assume!(!policies.is_empty());
        let mut other = policies.clone();
        let at = which.index(policies.len());
        prop_assume!(policies[at].spec.is_object());
        other[at].spec["rules"] = rules;
        prop_assert_eq!(roles(&policies, &guests), roles(&other, &guests));
    }

    #[test]
    fn a_rule_that_is_said_never_to_decide_never_does(policies in policies(), scene in scene()) {
        let router = Router::compile(settings(), &policies);
        let found = router.decide(&scene.situation, &scene.message(), scene.now);
        let Some(rule) = found.rule else { return Ok(()) };
        let findings = router.findings(None);
        let policy = findings.iter().find(|findings| findings.policy == rule.policy).expect("it was found");
        // Rules of one policy may bear the same name; the first of them is the one that can be read.
        let status = policy.rules.iter().find(|status| status.name == rule.rule).expect("it was found");
        prop_assert_eq!(status.state, RuleState::Resolved, "{:?}", status);
    }
}

//! Who may talk to agents.
//!
//! Grants add up: the bot's own list, then the lists of all policies, and of several the highest role counts. So taking a policy
//! away, or making it unreadable, can only take roles away.

use std::collections::HashMap;

use longshore_crds::{Access, Role, UnknownSenders};

use crate::guest::{Guest, is_person};

use crate::read::Policy;
use crate::words;

/// What somebody may do somewhere, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The role.
    pub role: Role,
    /// Where it is written: `policy NAME`, or the bot's own list.
    pub source: String,
}

/// Grants of all policies together.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessList {
    users: HashMap<i64, Vec<UserEntry>>,
    chats: HashMap<i64, Standing>,
    unknown: Option<Unknown>,
}

/// What the first policy that says anything about unknown senders says.
#[derive(Clone, Debug)]
struct Unknown {
    says: UnknownSenders,
    reply: Option<String>,
    policy: String,
}

/// What becomes of a message of somebody who may do nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToUnknown {
    /// Nothing.
    Silence,
    /// These words are said.
    Words(String),
    /// Approvers are asked, since this policy says so.
    Offer(String),
}

#[derive(Clone, Debug)]
struct UserEntry {
    chats: Option<Vec<i64>>,
    standing: Standing,
}

impl AccessList {
    /// Adds up what the bot's own list and all policies, in their order, grant.
    pub(crate) fn compile(own: &[i64], policies: &[Policy]) -> Self {
        let mut list = Self::default();
        for user in own {
            // Those people could always decide about permissions.
            let standing = Standing {
                role: Role::Approver,
                source: "the bot's own list".to_owned(),
            };
            list.user(*user, None, standing);
        }
        for policy in policies {
            if let Some(Ok(access)) = &policy.access {
                list.add(access, &policy.name);
            }
        }
        list
    }

    fn user(&mut self, id: i64, chats: Option<Vec<i64>>, standing: Standing) {
        self.users.entry(id).or_default().push(UserEntry { chats, standing });
    }

    fn add(&mut self, access: &Access, policy: &str) {
        let standing = |role| Standing {
            role,
            source: format!("policy {policy}"),
        };
        for grant in &access.users {
            self.user(grant.id, grant.chats.clone(), standing(grant.role));
        }
        for grant in &access.chats {
            let known = self.chats.get(&grant.id).map(|standing| standing.role);
            if known.is_none_or(|known| known < grant.role) {
                self.chats.insert(grant.id, standing(grant.role));
            }
        }
        if let (None, Some(unknown)) = (&self.unknown, access.unknown_senders) {
            self.unknown = Some(Unknown {
                says: unknown,
                reply: access.reply.clone(),
                policy: policy.to_owned(),
            });
        }
    }

    /// Whether there is anybody who may do anything.
    pub(crate) fn lets_anybody_in(&self) -> bool {
        !self.users.is_empty() || !self.chats.is_empty()
    }

    /// What somebody may do in a chat; none when nothing. Of equal roles the first counts.
    pub(crate) fn standing(&self, user: i64, chat: i64) -> Option<&Standing> {
        let personal = self.users.get(&user).into_iter().flatten();
        let mut found = personal
            .filter(|entry| entry.chats.as_ref().is_none_or(|chats| chats.contains(&chat)))
            .map(|entry| &entry.standing)
            .collect::<Vec<_>>();
        found.extend(self.chats.get(&chat));
        found
            .into_iter()
            .reduce(|best, next| if next.role > best.role { next } else { best })
    }

    /// What becomes of a message of somebody who may do nothing.
    pub(crate) fn to_unknown(&self, user: i64) -> ToUnknown {
        let Some(unknown) = &self.unknown else {
            return ToUnknown::Silence;
        };
        match (unknown.says, &unknown.reply) {
            (UnknownSenders::Ignore, _) => ToUnknown::Silence,
            (UnknownSenders::Reply, Some(text)) => ToUnknown::Words(text.replace("{user}", &user.to_string())),
            (UnknownSenders::Reply, None) => ToUnknown::Words(words::unknown_sender(user)),
            (UnknownSenders::OfferToApprover, _) => ToUnknown::Offer(unknown.policy.clone()),
        }
    }

    /// Whether somebody's access has to do with this chat in particular.
    pub(crate) fn names(&self, chat: i64) -> bool {
        let mut entries = self.users.values().flatten();
        self.chats.contains_key(&chat)
            || entries.any(|entry| entry.chats.as_ref().is_some_and(|chats| chats.contains(&chat)))
    }

    /// Whether anybody is there who may let people in.
    pub(crate) fn has_approver(&self, chat: i64) -> bool {
        let users = self.users.values().flatten().any(|entry| {
            entry.standing.role >= Role::Approver && entry.chats.as_ref().is_none_or(|chats| chats.contains(&chat))
        });
        users
            || self
                .chats
                .get(&chat)
                .is_some_and(|standing| standing.role >= Role::Approver)
    }

    /// Why nobody can be let in by a button, if nobody can.
    pub(crate) fn no_offer(&self, user: i64, chat: i64) -> Option<&'static str> {
        if chat > 0 {
            return Some("approvers do not see a private chat");
        }
        if !is_person(user) {
            return Some("it was written in the name of a chat, and behind that can be anybody");
        }
        (!self.has_approver(chat)).then_some("there is no approver for this chat")
    }

    /// Why somebody who was let in by a button is not any more; none while it counts.
    pub(crate) fn guest_is_void(&self, guest: &Guest) -> Option<&'static str> {
        let offers = self.unknown.as_ref().map(|unknown| unknown.says);
        if offers != Some(UnknownSenders::OfferToApprover) {
            return Some("the policies in force do not offer that any more");
        }
        if guest.chat > 0 || !is_person(guest.user) {
            return Some("nobody can be let in like that");
        }
        let by = self.standing(guest.by, guest.chat).map(|standing| standing.role);
        by.is_none_or(|role| role < Role::Approver)
            .then_some("who had allowed it is no approver of this chat any more")
    }
}

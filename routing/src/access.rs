//! Who may talk to agents.
//!
//! Grants add up: the bot's own list, then the lists of all policies, and of several the highest role counts. So taking a policy
//! away, or making it unreadable, can only take roles away.

use std::collections::HashMap;

use longshore_crds::{Access, Role, UnknownSenders};

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
    unknown: Option<(UnknownSenders, Option<String>)>,
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
            self.unknown = Some((unknown, access.reply.clone()));
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

    /// What somebody hears who may do nothing.
    pub(crate) fn to_unknown(&self, user: i64) -> Option<String> {
        match &self.unknown {
            Some((UnknownSenders::Reply, Some(text))) => Some(text.replace("{user}", &user.to_string())),
            Some((UnknownSenders::Reply, None)) => Some(words::unknown_sender(user)),
            Some((UnknownSenders::Ignore, _)) | None => None,
        }
    }
}

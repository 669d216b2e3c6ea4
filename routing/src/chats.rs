//! Which chats policies name.

use crate::router::Router;

impl Router {
    /// Whether a policy says something about this chat in particular. A group that became a supergroup has another id; policies that
    /// do not name that yet mean it by the former one.
    pub fn names_chat(&self, chat: i64) -> bool {
        let rules = self.policies.iter().flat_map(|policy| &policy.rules);
        let mut read = rules.filter_map(|rule| rule.read.as_ref().ok());
        self.access_names(chat) || read.any(|rule| rule.conditions.chats.contains(&chat))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{PolicySource, Router, Settings};

    #[test]
    fn a_chat_is_named_by_access_or_by_a_rule() {
        let spec = json!({
            "access": {"users": [{"id": 5, "chats": [-1]}], "chats": [{"id": -2}]},
            "rules": [{"name": "one", "match": {"chats": [-3]}, "action": {"mode": "Task"}}],
        });
        let source = PolicySource {
            name: "p".to_owned(),
            spec,
        };
        let router = Router::compile(Settings::default(), &[source]);
        let named = [-1, -2, -3, -4].map(|chat| router.names_chat(chat));
        assert_eq!(named, [true, true, true, false]);
    }
}

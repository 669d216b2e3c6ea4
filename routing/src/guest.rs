//! People whom an approver has let in by a button.
//!
//! The bot keeps who they are; what that is worth is decided here, and it is never more than the policies in force mean: they must
//! offer it, and who allowed it must still be an approver of that chat.

/// Users by which Telegram writes what comes from no person: itself for posts of a linked channel, anonymous administrators, and
/// channels. Who lets one of them in lets in everybody who can write like that.
const NO_PERSONS: [i64; 3] = [777_000, 1_087_968_824, 136_817_688];

/// Whether this is a user id of one person.
pub(crate) fn is_person(user: i64) -> bool {
    user > 0 && !NO_PERSONS.contains(&user)
}

/// Somebody whom an approver has let in by a button, in one chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Who.
    pub user: i64,
    /// Where.
    pub chat: i64,
    /// The approver who pressed.
    pub by: i64,
}

/// What it is worth that somebody was let in by a button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Welcome {
    /// The person may use the bot in that chat.
    Counts,
    /// Policies name the person by now, so that it is for them to say for how long.
    ByPolicy,
    /// Nothing any more, for this reason.
    Void(&'static str),
}

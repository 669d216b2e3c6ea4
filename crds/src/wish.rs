//! Values of the annotation `longshore.dev/wake`: what a session shall wake up for, and which time it is asked to. Pure.
//!
//! A session that fell asleep again before it took what it was woken for must be asked by another value.

/// A value for `cause` that differs from the last one, which was acted upon.
pub fn another(cause: &str, last: Option<&str>) -> String {
    let again = |last: &str| last.strip_prefix(cause)?.strip_prefix('/')?.parse::<u32>().ok();
    match last {
        Some(last) if last == cause => format!("{cause}/2"),
        Some(last) => again(last).map_or(cause.to_owned(), |times| format!("{cause}/{}", times.saturating_add(1))),
        None => cause.to_owned(),
    }
}

/// Whether this value is for `cause`.
pub fn is_for(value: &str, cause: &str) -> bool {
    value
        .strip_prefix(cause)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_woken_again_for_the_same_is_asked_by_another_value() {
        for (last, next) in [
            (None, "m1"),
            (Some("m0"), "m1"),
            (Some("m1"), "m1/2"),
            (Some("m1/2"), "m1/3"),
            (Some("m1/x"), "m1"),
            (Some("m11"), "m1"),
        ] {
            assert_eq!(another("m1", last), next, "{last:?}");
            assert!(is_for(next, "m1"));
        }
        assert!(!is_for("m11", "m1"));
    }
}

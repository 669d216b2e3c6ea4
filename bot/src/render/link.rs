//! Which targets Telegram makes links of.
//!
//! It refuses a whole message over one target that it does not like (`LinkManager::check_link` and `parse_url` in TDLib), so
//! only those are handed on of which it is certain that it does; the others stand in the text.

/// Longest target that is handed on.
const LONGEST: usize = 2000;

/// Whether Telegram makes a link of this: a web address with a dot in its host. Addresses with somebody's name in front of the host
/// would be accepted, but they deceive.
pub fn is_clickable(url: &str) -> bool {
    let scheme = ["http://", "https://"].into_iter().find(|scheme| {
        url.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let Some(scheme) = scheme else { return false };
    if url.len() > LONGEST || url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return false;
    }
    let rest = &url[scheme.len()..];
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_port =
        |port: &str| port.bytes().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let in_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') || !c.is_ascii();
    host.len() > 1 && host.contains('.') && host.chars().all(in_host) && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_that_telegram_is_sure_to_take_become_links() {
        for url in [
            "https://example.org",
            "HTTP://Example.org:8080/a?b=(c)#d",
            "https://bücher.example/ü",
            "http://10.0.0.1/",
            "https://x.y?q",
        ] {
            assert!(is_clickable(url), "{url}");
        }
        for url in [
            "",
            "src/main.rs",
            "javascript:alert(1)",
            "mailto:ada@example.org",
            "tg://user?id=5",
            "ftp://example.org/a",
            "http://localhost:3000/",
            "http://.",
            "https://",
            "https://example.org:0/",
            "https://example.org:99999/",
            "https://example.org:+80/",
            "https://paypal.com@evil.example/",
            "https://exa mple.org",
            "https://[::1]/",
            "//example.org",
        ] {
            assert!(!is_clickable(url), "{url}");
        }
        assert!(!is_clickable(&format!("https://example.org/{}", "a".repeat(LONGEST))));
    }
}

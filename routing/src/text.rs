//! Reading a text: words in it, links to repositories, steps that are asked for.

/// A text as it is compared: in lower case, with single spaces.
pub(crate) fn folded(text: &str) -> String {
    let lower = text.to_lowercase();
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How often a folded word or phrase stands in a folded text as whole words.
///
/// The ends of a word are looked at only where it has letters with two cases, or digits: writing without spaces between words has
/// neither, and a word in it is found wherever it stands.
pub(crate) fn occurrences(text: &str, word: &str) -> usize {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    let bounded = |c: Option<char>| c.is_some_and(|c| c.is_lowercase() || c.is_numeric() || c == '_');
    if word.is_empty() {
        return 0;
    }
    text.match_indices(word)
        .filter(|(at, _)| {
            let before = text.get(..*at).and_then(|before| before.chars().next_back());
            let after = text.get(at + word.len()..).and_then(|after| after.chars().next());
            let starts = !bounded(word.chars().next()) || !before.is_some_and(joins);
            let ends = !bounded(word.chars().next_back()) || !after.is_some_and(joins);
            starts && ends
        })
        .count()
}

/// Whether a folded word stands in a folded text.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    occurrences(text, word) > 0
}

const FORGES: [&str; 4] = ["github.com", "gitlab.com", "bitbucket.org", "codeberg.org"];

/// The first link to a Git repository in a text.
pub(crate) fn repository_link(text: &str) -> Option<&str> {
    let edges = |c: char| {
        matches!(
            c,
            '(' | ')' | '<' | '>' | '[' | ']' | '"' | '\'' | '`' | ',' | ';' | '!' | '?'
        )
    };
    text.split(|c: char| c.is_whitespace() || edges(c))
        .map(|word| word.trim_end_matches(['.', ':']))
        .find(|word| is_repository(word))
}

fn is_repository(word: &str) -> bool {
    if let Some((user, path)) = word.split_once('@').filter(|(user, _)| *user == "git") {
        return !user.is_empty()
            && path
                .split_once(':')
                .is_some_and(|(host, path)| !host.is_empty() && !path.is_empty());
    }
    let scheme = word.split_once("://");
    let rest = match scheme {
        Some(("http" | "https" | "ssh" | "git", rest)) => rest,
        Some(_) => return false,
        None => word,
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let host = host.strip_prefix("www.").unwrap_or(host).to_ascii_lowercase();
    let parts = path.split('/').filter(|part| !part.is_empty()).count();
    let repository = path.trim_end_matches('/').ends_with(".git");
    (scheme.is_some() && repository && parts > 0) || (FORGES.contains(&host.as_str()) && parts >= 2)
}

/// Words of order that count when a policy names none.
pub(crate) const STEP_WORDS: [&str; 5] = ["then", "next", "after that", "afterwards", "finally"];

/// Whether a text asks for several steps: a list of at least two lines, or at least two words of order (folded).
pub(crate) fn several_steps(text: &str, folded_text: &str, words: &[String]) -> bool {
    if text.lines().filter(|line| is_item(line)).count() >= 2 {
        return true;
    }
    words.iter().map(|word| occurrences(folded_text, word)).sum::<usize>() >= 2
}

/// Whether a line is an item of a list: `- `, `* `, `• `, `1. `, `2) `.
fn is_item(line: &str) -> bool {
    let line = line.trim_start();
    if let Some(rest) = line.strip_prefix(['-', '*', '•']) {
        return rest.starts_with(' ') && !rest.trim().is_empty();
    }
    let digits = line.chars().take_while(char::is_ascii_digit).count();
    let rest = line.get(digits..).unwrap_or_default();
    (1..=3).contains(&digits)
        && rest
            .strip_prefix(['.', ')'])
            .is_some_and(|rest| rest.starts_with(' ') && !rest.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_as_whole_words_in_any_case() {
        let check = |text: &str, word: &str, count: usize| {
            assert_eq!(occurrences(&folded(text), &folded(word)), count, "{word:?} in {text:?}");
        };
        check("Deploy it, deploy!", "deploy", 2);
        check("redeploy deployments de-ploy", "deploy", 0);
        check("the pre-deploy step", "DEPLOY", 1);
        check("after \n that", "After  that", 1);
        check("c++ and c", "c++", 1);
        check("Übung macht", "übung", 1);
        check("请部署服务", "部署", 1);
        check("deploy_all", "deploy", 0);
        check("", "a", 0);
        check("ab", "", 0);
    }

    #[test]
    fn links_to_repositories_are_told_from_other_links() {
        for link in [
            "https://github.com/rust-lang/rust",
            "see (https://github.com/rust-lang/rust/issues/1).",
            "github.com/a/b",
            "https://www.gitlab.com/group/sub/project",
            "git@git.example.org:team/app.git",
            "https://git.example.org/team/app.git",
            "ssh://git@git.example.org/team/app.git",
        ] {
            assert!(repository_link(link).is_some(), "{link}");
        }
        for other in [
            "https://github.com",
            "https://github.com/a",
            "https://example.org/a/b",
            "app.git",
            "a@b:c",
            "ftp://x/y.git",
            "notgithub.com/a/b",
        ] {
            assert_eq!(repository_link(other), None, "{other}");
        }
    }

    #[test]
    fn steps_are_a_list_or_words_of_order() {
        let words = STEP_WORDS.map(str::to_owned);
        let check = |text: &str, expected: bool| {
            assert_eq!(several_steps(text, &folded(text), &words), expected, "{text:?}");
        };
        check("1. read\n2. write", true);
        check("do:\n - read\n - write", true);
        check("read it, then write it, then leave", true);
        check("Clone it. After that build it, and finally run the tests.", true);
        check("what happened then?", false);
        check("- one thing", false);
        check("1.5 and 2.5\n3.5", false);
        check("-5\n-6", false);
    }
}

//! One message out of its pieces. Pure.

use crate::telegram::update::{Content, Incoming};

/// The pieces as one message, which stands where the first of them does. What was forwarded is quoted, with who it is from, so
/// that none of it passes for words of the person.
pub fn merge(mut pieces: Vec<Incoming>) -> Option<Incoming> {
    if let [whole] = &pieces[..]
        && whole.forwarded.is_none()
    {
        return pieces.pop();
    }
    pieces.sort_by_key(|piece| piece.message);
    let first = pieces.first().and_then(words).unwrap_or_default();
    let rest = pieces.iter().skip(1).filter_map(words).collect::<Vec<_>>();
    let rest = (!rest.is_empty()).then(|| rest.join("\n\n"));
    let text = whole(&first, rest.as_deref());
    let files = pieces.iter().flat_map(|piece| piece.files.clone()).collect::<Vec<_>>();
    let unsupported = pieces.iter().find_map(|piece| match piece.content {
        Content::Unsupported(kind) => Some(kind),
        Content::Text(_) => None,
    });
    let nothing = files.is_empty()
        && pieces
            .iter()
            .all(|piece| matches!(piece.content, Content::Unsupported(_)));
    let content = match unsupported.filter(|_| nothing) {
        Some(kind) => Content::Unsupported(kind),
        None => Content::Text(text),
    };
    let first = pieces.into_iter().next()?;
    Some(Incoming {
        content,
        rest,
        files,
        ..first
    })
}

/// What a message says whose first piece says this.
pub fn whole(first: &str, rest: Option<&str>) -> String {
    let said = [first, rest.unwrap_or_default()];
    said.into_iter()
        .filter(|said| !said.is_empty())
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// What a piece says; none when it says nothing.
fn words(piece: &Incoming) -> Option<String> {
    let said = match &piece.content {
        Content::Text(text) => text.trim().to_owned(),
        Content::Unsupported(kind) => format!("[{kind}, which cannot be handed on]"),
    };
    let Some(from) = &piece.forwarded else {
        return (!said.is_empty()).then_some(said);
    };
    let names = piece.files.iter().map(|file| format!("[{}]", file.name));
    let said = (!said.is_empty()).then_some(said);
    let quoted = names.chain(said).collect::<Vec<_>>().join("\n").replace('\n', "\n> ");
    Some(format!("Forwarded from {from}:\n> {quoted}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Place;
    use crate::telegram::update::FileRef;

    fn piece(message: i64, text: &str, forwarded: Option<&str>, file: Option<&str>) -> Incoming {
        Incoming {
            place: Place { chat: -1, thread: None },
            message,
            user: 5,
            user_name: "Ada".to_owned(),
            content: Content::Text(text.to_owned()),
            forwarded: forwarded.map(str::to_owned),
            files: file
                .map(|name| FileRef {
                    id: name.to_owned(),
                    name: name.to_owned(),
                    ..FileRef::default()
                })
                .into_iter()
                .collect(),
            ..Incoming::default()
        }
    }

    fn check(pieces: &[Incoming], text: &str, files: &[&str]) {
        let merged = merge(pieces.to_vec()).unwrap();
        assert_eq!(merged.content, Content::Text(text.to_owned()));
        let names: Vec<&str> = merged.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, files);
        assert_eq!(merged.message, pieces.iter().map(|piece| piece.message).min().unwrap());
    }

    #[test]
    fn an_album_is_its_caption_and_its_files_in_order() {
        let album = [
            piece(9, "", None, Some("b.jpg")),
            piece(8, "look", None, Some("a.jpg")),
            piece(10, "", None, Some("c.jpg")),
        ];
        check(&album, "look", &["a.jpg", "b.jpg", "c.jpg"]);
    }

    #[test]
    fn what_was_forwarded_is_quoted_and_named_behind_the_comment() {
        let burst = [
            piece(7, "/deep what is this?", None, None),
            piece(8, "one\ntwo", Some("Grace"), None),
            piece(9, "", Some("the channel “News”"), Some("map.png")),
            piece(10, "/end", Some("Bo"), None),
        ];
        check(
            &burst,
            "/deep what is this?\n\nForwarded from Grace:\n> one\n> two\n\nForwarded from the channel “News”:\n> \
             [map.png]\n\nForwarded from Bo:\n> /end",
            &["map.png"],
        );
        check(&burst[3..], "Forwarded from Bo:\n> /end", &[]);
    }

    #[test]
    fn what_cannot_be_handed_on_is_named_among_others_and_alone_is_what_it_is() {
        let mut sticker = piece(8, "", Some("Grace"), None);
        sticker.content = Content::Unsupported("stickers");
        assert_eq!(
            merge(vec![sticker.clone()]).unwrap().content,
            Content::Unsupported("stickers")
        );
        check(
            &[piece(7, "see", None, None), sticker],
            "see\n\nForwarded from Grace:\n> [stickers, which cannot be handed on]",
            &[],
        );
        assert!(merge(Vec::new()).is_none());
    }
}

//! The chat page: files of the folder `page`, in the program itself. They need nothing from anywhere else.

use axum::{
    Router,
    extract::Path,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};

const SCRIPTS: [(&str, &str); 7] = [
    ("api.js", include_str!("page/api.js")),
    ("compose.js", include_str!("page/compose.js")),
    ("dom.js", include_str!("page/dom.js")),
    ("list.js", include_str!("page/list.js")),
    ("main.js", include_str!("page/main.js")),
    ("message.js", include_str!("page/message.js")),
    ("text.js", include_str!("page/text.js")),
];
const STYLE: &str = include_str!("page/page.css");
/// Files that people send come from the same address; whatever they are, they run nothing here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; \
     img-src 'self' data:; media-src 'self'; form-action 'none'; base-uri 'none'";

pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/", get(index)).route("/page/{name}", get(part))
}

async fn index() -> Response {
    (
        [(header::CONTENT_SECURITY_POLICY, POLICY)],
        Html(include_str!("page/index.html")),
    )
        .into_response()
}

async fn part(Path(name): Path<String>) -> Response {
    if name == "page.css" {
        return ([(header::CONTENT_TYPE, "text/css")], STYLE).into_response();
    }
    let found = SCRIPTS.iter().find(|(script, _)| *script == name);
    match found {
        Some((_, text)) => ([(header::CONTENT_TYPE, "text/javascript")], *text).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

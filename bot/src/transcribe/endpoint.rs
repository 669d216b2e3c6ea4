//! A transcription by HTTP, as OpenAI's API and many servers with other models have it.
//! <https://platform.openai.com/docs/api-reference/audio/createTranscription>

use std::time::Duration;

use reqwest::multipart::{Form, Part};
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::{NotTranscribed, TRANSCRIPT};

/// Largest answer that is read: JSON may make six bytes of one.
const ANSWER: usize = 6 * TRANSCRIPT + 64 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before an endpoint that failed is asked once more.
const AGAIN: Duration = Duration::from_secs(1);

/// An endpoint.
pub struct Endpoint<'a> {
    pub url: &'a Url,
    pub model: Option<&'a str>,
    pub token: Option<&'a SecretString>,
}

#[derive(Deserialize)]
struct Transcript {
    text: String,
}

impl Endpoint<'_> {
    /// Asks it, and once more if it failed in a way that may pass.
    pub async fn text(&self, name: &str, audio: Vec<u8>) -> Result<String, NotTranscribed> {
        match self.ask(name, audio.clone()).await {
            Err(NotTranscribed::Unreachable | NotTranscribed::Refused(429 | 500..)) => {
                tokio::time::sleep(AGAIN).await;
                self.ask(name, audio).await
            }
            answered => answered,
        }
    }

    async fn ask(&self, name: &str, audio: Vec<u8>) -> Result<String, NotTranscribed> {
        let unreachable = |error: reqwest::Error| {
            // Without the address, which may have a credential in it.
            tracing::warn!(error = %error.without_url(), "the endpoint for transcriptions does not answer");
            NotTranscribed::Unreachable
        };
        let client = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT);
        // The token is for this address alone.
        let client = client.redirect(Policy::none()).build().map_err(unreachable)?;
        let file = Part::bytes(audio).file_name(name.to_owned()).mime_str(kind(name));
        let mut form = Form::new().part("file", file.map_err(unreachable)?);
        if let Some(model) = self.model {
            form = form.text("model", model.to_owned());
        }
        let mut request = client.post(self.url.clone()).multipart(form);
        if let Some(token) = self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let mut answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        if !status.is_success() {
            tracing::warn!(%status, "the endpoint for transcriptions refused");
            return Err(NotTranscribed::Refused(status.as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > ANSWER {
                return Err(NotTranscribed::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        let transcript: Transcript = serde_json::from_slice(&body).map_err(|_| NotTranscribed::NotUnderstood)?;
        match transcript.text.len() > TRANSCRIPT {
            true => Err(NotTranscribed::TooLong),
            false => Ok(transcript.text),
        }
    }
}

/// Telegram's voice messages are Opus in an Ogg container.
fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "mp3" => "audio/mpeg",
        "m4a" | "mp4" => "audio/mp4",
        _ => "audio/ogg",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::{Multipart, State};
    use axum::http::{HeaderMap, StatusCode};
    use axum::response::{IntoResponse, Response};
    use axum::routing::post;

    use super::*;
    use crate::transcribe::{Plugged, Transcriber};

    /// What the server shall answer next, and what it was asked.
    #[derive(Clone, Default)]
    struct Server {
        answers: Arc<Mutex<Vec<(u16, String)>>>,
        asked: Arc<Mutex<Vec<String>>>,
    }

    async fn transcribe(State(server): State<Server>, headers: HeaderMap, mut form: Multipart) -> Response {
        let token = headers
            .get("authorization")
            .map(|value| value.to_str().unwrap().to_owned());
        let mut asked = format!("{token:?}");
        while let Some(field) = form.next_field().await.unwrap() {
            let (name, file) = (field.name().unwrap().to_owned(), field.file_name().map(str::to_owned));
            asked += &format!(" {name} {file:?} {}", field.text().await.unwrap());
        }
        server.asked.lock().unwrap().push(asked);
        let (status, body) = server.answers.lock().unwrap().pop().expect("an answer");
        (StatusCode::from_u16(status).unwrap(), body).into_response()
    }

    async fn check(answers: &[(u16, &str)], token: Option<&str>) -> (Result<String, NotTranscribed>, Vec<String>) {
        let server = Server::default();
        let reversed = answers.iter().rev().map(|(status, body)| (*status, (*body).to_owned()));
        server.answers.lock().unwrap().extend(reversed);
        let routes = Router::new()
            .route("/v1/audio/transcriptions", post(transcribe))
            .with_state(server.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/audio/transcriptions", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let transcriber = Transcriber {
            by: Plugged::Endpoint {
                url: url.parse().unwrap(),
                model: Some("small".to_owned()),
                token: token.map(SecretString::from),
            },
            at_most: Duration::from_secs(20),
        };
        let text = transcriber.text("voice.ogg", b"sound".to_vec()).await;
        let asked = server.asked.lock().unwrap().clone();
        (text, asked)
    }

    #[tokio::test]
    async fn the_recording_is_sent_as_a_form_and_the_text_comes_back() {
        let (text, asked) = check(&[(200, r#"{"text": " six by seven ", "language": "en"}"#)], Some("key")).await;
        assert_eq!(text.unwrap(), "six by seven");
        assert_eq!(
            asked,
            [r#"Some("Bearer key") file Some("voice.ogg") sound model None small"#]
        );
        let (_, asked) = check(&[(200, r#"{"text": "a"}"#)], None).await;
        assert!(asked[0].starts_with("None"), "{asked:?}");
    }

    #[tokio::test]
    async fn what_may_pass_is_asked_once_more_and_other_trouble_has_a_name() {
        let (text, asked) = check(&[(503, ""), (200, r#"{"text": "a"}"#)], None).await;
        assert_eq!((text.unwrap().as_str(), asked.len()), ("a", 2));
        for (status, body, error) in [
            (401, "who?", NotTranscribed::Refused(401)),
            (200, "no json", NotTranscribed::NotUnderstood),
            (200, r#"{"text": ""}"#, NotTranscribed::Silent),
        ] {
            let (text, asked) = check(&[(status, body)], None).await;
            assert_eq!((text, asked.len()), (Err(error), 1));
        }
        let long = format!(r#"{{"text": "{}"}}"#, "a".repeat(TRANSCRIPT + 1));
        assert_eq!(check(&[(200, &long)], None).await.0, Err(NotTranscribed::TooLong));
        let nobody = Endpoint {
            url: &"http://127.0.0.1:1/".parse().unwrap(),
            model: None,
            token: None,
        };
        assert_eq!(nobody.ask("a", Vec::new()).await, Err(NotTranscribed::Unreachable));
    }
}

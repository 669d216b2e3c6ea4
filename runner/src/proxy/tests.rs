use super::*;
use axum::routing::any;
use std::sync::Mutex;
use tokio::sync::Notify;

type Seen = Arc<Mutex<Vec<(String, HeaderMap, String)>>>;

/// An endpoint that writes down what it gets and answers a path with what the path says.
async fn endpoint(gate: Arc<Notify>) -> (String, Seen) {
    let seen = Seen::default();
    let journal = seen.clone();
    let handler = move |request: Request| async move {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let entry = (
            parts.uri.to_string(),
            parts.headers,
            String::from_utf8_lossy(&body).into_owned(),
        );
        journal.lock().unwrap().push(entry);
        match parts.uri.path() {
            path if path.ends_with("/redirect") => {
                (StatusCode::FOUND, [("location", "http://192.0.2.1/")]).into_response()
            }
            path if path.ends_with("/stream") => {
                let first = futures::stream::once(async { Ok::<_, std::io::Error>("first ") });
                let second = futures::stream::once(async move {
                    gate.notified().await;
                    Ok("second")
                });
                Body::from_stream(futures::StreamExt::chain(first, second)).into_response()
            }
            _ => (
                StatusCode::IM_A_TEAPOT,
                [("x-kept", "yes"), ("connection", "x-dropped"), ("x-dropped", "1")],
                "tea",
            )
                .into_response(),
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(any(handler));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, seen)
}

fn key() -> Credential {
    Credential::ApiKey(SecretString::from("the-real-key"))
}

async fn proxy_to(url: &str, credential: Credential) -> (Proxy, reqwest::Client) {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap();
    let proxy = Proxy::start(client.clone(), url.parse().unwrap(), credential)
        .await
        .unwrap();
    (proxy, client)
}

#[tokio::test]
async fn the_real_key_takes_the_place_of_the_dummy() {
    let (url, seen) = endpoint(Arc::default()).await;
    let (proxy, client) = proxy_to(&format!("{url}/prefix/"), key()).await;
    let answer = client
        .post(format!("{}/v1/messages?beta=true", proxy.url))
        .header("x-api-key", &proxy.dummy)
        .header("anthropic-version", "1")
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 418);
    assert_eq!(answer.headers()["x-kept"], "yes");
    assert!(!answer.headers().contains_key("x-dropped"), "named by Connection");
    assert_eq!(answer.text().await.unwrap(), "tea");
    let (uri, headers, body) = seen.lock().unwrap().remove(0);
    assert_eq!((uri.as_str(), body.as_str()), ("/prefix/v1/messages?beta=true", "{}"));
    assert_eq!(headers["x-api-key"], "the-real-key");
    assert_eq!(headers["anthropic-version"], "1");
    assert_eq!(headers["content-length"], "2");
    assert!(proxy.upstream().is_some());
}

#[tokio::test]
async fn an_oauth_token_is_sent_as_bearer() {
    let (url, seen) = endpoint(Arc::default()).await;
    let (proxy, client) = proxy_to(&url, Credential::OAuthToken(SecretString::from("tok"))).await;
    let bearer = format!("Bearer {}", proxy.dummy);
    client
        .get(format!("{}/x", proxy.url))
        .header("authorization", bearer)
        .send()
        .await
        .unwrap();
    let (_, headers, _) = seen.lock().unwrap().remove(0);
    assert_eq!(headers["authorization"], "Bearer tok");
    assert!(!headers.contains_key("x-api-key"));
}

#[tokio::test]
async fn nobody_without_the_dummy_is_served() {
    let (url, seen) = endpoint(Arc::default()).await;
    let (proxy, client) = proxy_to(&url, key()).await;
    for header in ["x-api-key", "authorization"] {
        let answer = client.get(&proxy.url).header(header, "guess").send().await.unwrap();
        assert_eq!(answer.status(), 401);
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn redirects_are_not_followed_with_the_key() {
    let (url, _) = endpoint(Arc::default()).await;
    let (proxy, client) = proxy_to(&url, key()).await;
    let request = client
        .get(format!("{}/redirect", proxy.url))
        .header("x-api-key", &proxy.dummy);
    assert_eq!(request.send().await.unwrap().status(), 302);
}

#[tokio::test]
async fn answers_are_streamed_as_they_come() {
    let gate = Arc::new(Notify::new());
    let (url, _) = endpoint(gate.clone()).await;
    let (proxy, client) = proxy_to(&url, key()).await;
    let request = client
        .get(format!("{}/stream", proxy.url))
        .header("x-api-key", &proxy.dummy);
    let mut answer = request.send().await.unwrap();
    assert_eq!(
        answer.chunk().await.unwrap().unwrap(),
        "first ",
        "before the rest exists"
    );
    gate.notify_one();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "second");
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_a_502_without_its_address() {
    let (proxy, client) = proxy_to("http://127.0.0.1:1/secret-path", key()).await;
    let answer = client
        .get(&proxy.url)
        .header("x-api-key", &proxy.dummy)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 502);
    assert!(!answer.text().await.unwrap().contains("secret-path"));
}

//! Requests to the model of the API server, read from what a real client sends, and told in one line.

use serde_json::Value;

use super::kind::Kind;

/// A request as the server sees it.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub kind: Kind,
    pub name: Option<String>,
    pub status: bool,
    pub query: String,
    pub body: Value,
    pub apply: bool,
}

impl Request {
    /// None for what the model has no object for (events).
    pub fn parse(method: &str, path: &str, query: &str, content_type: &str, body: &[u8]) -> Option<Self> {
        let mut parts = path.trim_start_matches('/').split('/').peekable();
        match parts.next()? {
            "api" => drop(parts.next()?),
            _ => {
                parts.next()?;
                parts.next()?;
            }
        }
        if parts.peek() == Some(&"namespaces") {
            parts.next();
            parts.next();
        }
        let kind = Kind::of(parts.next()?)?;
        Some(Self {
            method: method.to_owned(),
            kind,
            name: parts.next().map(str::to_owned),
            status: parts.next() == Some("status"),
            query: query.to_owned(),
            body: serde_json::from_slice(body).unwrap_or(Value::Null),
            apply: content_type.contains("apply"),
        })
    }

    pub fn is_write(&self) -> bool {
        self.method != "GET"
    }

    /// For the trace.
    pub fn line(&self) -> String {
        let (kind, status) = (self.kind.plural(), if self.status { "/status" } else { "" });
        let name = self.name.as_deref().or(self.body["metadata"]["name"].as_str());
        let what = match &self.body["status"] {
            status if !status["slots"].is_null() => {
                format!(" slots {}", names(&status["slots"], "name"))
            }
            status if !status["writer"].is_null() => format!(" writer {}", status["writer"]["name"]),
            status if !status.is_null() => format!(
                " {} {}",
                status["phase"].as_str().unwrap_or_default(),
                true_ones(status)
            ),
            _ if self.kind == Kind::Set && self.is_write() && self.method != "DELETE" => {
                format!(" replicas {}", self.body["spec"]["replicas"])
            }
            _ => String::new(),
        };
        format!(
            "{} {kind}/{}{status}{}{what}",
            self.method,
            name.unwrap_or_default(),
            self.query_for_people()
        )
    }

    fn query_for_people(&self) -> String {
        self.selector().iter().fold(String::new(), |told, (path, value)| {
            let (name, value) = (
                path.last().cloned().unwrap_or_default(),
                value.as_deref().unwrap_or("none"),
            );
            format!("{told} where {name}={value}")
        })
    }

    /// Paths and values that a list selects by, all of them; without a value, that there is none.
    pub fn selector(&self) -> Vec<(Vec<String>, Option<String>)> {
        let pairs: Vec<(String, String)> = url_pairs(&self.query);
        let find = |key: &str| pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
        let label = |wanted: &str| {
            let (key, value) = match wanted.strip_prefix('!') {
                Some(key) => (key, None),
                None => wanted
                    .split_once('=')
                    .map(|(key, value)| (key, Some(value.to_owned())))?,
            };
            Some((["metadata", "labels", key].map(str::to_owned).to_vec(), value))
        };
        let field = |wanted: &str| {
            let (key, value) = wanted.split_once('=')?;
            Some((key.split('.').map(str::to_owned).collect(), Some(value.to_owned())))
        };
        let labels = find("labelSelector").unwrap_or_default();
        let fields = find("fieldSelector").unwrap_or_default();
        let labels = labels.split(',').filter_map(label);
        labels.chain(fields.split(',').filter_map(field)).collect()
    }
}

fn names(list: &Value, key: &str) -> String {
    let list = list.as_array().into_iter().flatten();
    let names: Vec<&str> = list.filter_map(|one| one[key].as_str()).collect();
    format!("[{}]", names.join(" "))
}

fn true_ones(status: &Value) -> String {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let shown: Vec<String> = conditions
        .filter_map(|condition| {
            let (type_, reason) = (condition["type"].as_str()?, condition["reason"].as_str()?);
            match (condition["status"] == "True", type_) {
                (true, _) => Some(format!("{type_}/{reason}")),
                (false, "Ready") => Some(format!("not Ready/{reason}")),
                _ => None,
            }
        })
        .collect();
    shown.join(" ")
}

/// The model's clients percent-encode only what their library does.
fn url_pairs(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), decoded(value)))
        .collect()
}

/// As far as selectors need it.
fn decoded(text: &str) -> String {
    let escaped = [("%3D", "="), ("%2F", "/"), ("%2C", ","), ("%21", "!")];
    let text = escaped
        .iter()
        .fold(text.to_owned(), |text, (code, sign)| text.replace(code, sign));
    assert!(!text.contains('%'), "a selector with other signs: {text}");
    text
}

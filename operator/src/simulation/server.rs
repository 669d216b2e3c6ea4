//! The model of the API server: objects with versions, compare-and-swap, subresources, finalizers and preconditions.
//!
//! Knows the kinds only by name. It does what the operator relies on, and refuses what it does not know instead of guessing.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use hyper::body::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::kind::{Kind, Typed};
use super::request::Request;

pub const NAMESPACE: &str = "ns";

/// One version of one object; never changes.
pub struct Object {
    pub kind: Kind,
    pub name: String,
    pub uid: String,
    pub version: u64,
    pub value: Value,
    /// Top-level keys of the status that were applied last, which the next apply may take away.
    applied: Vec<String>,
    typed: OnceLock<Typed>,
    json: OnceLock<Bytes>,
    /// Types of the conditions that are True.
    held: OnceLock<Vec<String>>,
    expires: OnceLock<Option<i64>>,
}

impl Object {
    pub fn typed(&self) -> &Typed {
        self.typed.get_or_init(|| self.kind.read(&self.value))
    }

    /// Its JSON. Made once: a version is asked for again and again.
    pub fn json(&self) -> Bytes {
        self.json
            .get_or_init(|| serde_json::to_vec(&self.value).unwrap().into())
            .clone()
    }

    /// When a session says that it ends, in milliseconds.
    pub fn expires(&self) -> Option<i64> {
        *self.expires.get_or_init(|| {
            let at: Timestamp = self.value["status"]["expiresAt"].as_str()?.parse().ok()?;
            Some(at.as_millisecond())
        })
    }

    pub fn is_leaving(&self) -> bool {
        !self.value["metadata"]["deletionTimestamp"].is_null()
    }

    /// UIDs of its owners.
    pub fn owners(&self) -> impl Iterator<Item = &str> {
        let owners = self.value["metadata"]["ownerReferences"].as_array();
        owners.into_iter().flatten().filter_map(|owner| owner["uid"].as_str())
    }

    pub fn label(&self, key: &str) -> &str {
        self.value["metadata"]["labels"][key].as_str().unwrap_or_default()
    }

    /// The condition of this type, if it is True.
    pub fn holds(&self, type_: &str) -> bool {
        let held = self.held.get_or_init(|| {
            let conditions = self.value["status"]["conditions"].as_array();
            let held = conditions
                .into_iter()
                .flatten()
                .filter(|found| found["status"] == "True");
            held.filter_map(|found| Some(found["type"].as_str()?.to_owned()))
                .collect()
        });
        held.iter().any(|held| held == type_)
    }

    pub fn condition(&self, type_: &str) -> Option<&Value> {
        let conditions = self.value["status"]["conditions"].as_array()?;
        conditions.iter().find(|condition| condition["type"] == type_)
    }

    fn finalizers(&self) -> bool {
        self.value["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|finalizers| !finalizers.is_empty())
    }
}

/// Something that watchers see.
#[derive(Clone)]
pub struct Change {
    pub object: Arc<Object>,
    pub before: Option<Arc<Object>>,
    pub gone: bool,
}

/// What the tests of the tests take away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guards {
    /// A ledger is written whatever version it was read at.
    pub blind_slots: bool,
    /// Pods are not there when looked at live.
    pub hidden_pods: bool,
    /// Runners run a message again when it is posted again.
    pub forgetful_journal: bool,
    /// Jobs have their pods at once, suspended or not.
    pub eager_jobs: bool,
    /// Runners that have wound down do not say which answers nobody fetched.
    pub silent_runners: bool,
}

#[derive(Default)]
pub struct Server {
    objects: BTreeMap<(Kind, String), Arc<Object>>,
    version: u64,
    made: u64,
    pub now: i64,
    pub changes: Vec<Change>,
    pub guards: Guards,
    pub writes: u64,
}

/// What a request is answered with.
pub enum Reply {
    Object(Arc<Object>),
    Other(Value),
}

impl Reply {
    pub fn json(&self) -> Bytes {
        match self {
            Self::Object(object) => object.json(),
            Self::Other(value) => serde_json::to_vec(value).unwrap().into(),
        }
    }
}

type Answer = Result<Reply, (u16, &'static str)>;

impl Server {
    pub fn new(now: i64, guards: Guards) -> Self {
        Self {
            now,
            guards,
            ..Self::default()
        }
    }

    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Object>> {
        self.objects.get(&(kind, name.to_owned()))
    }

    pub fn all(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        self.objects
            .range((kind, String::new())..)
            .take_while(move |((found, _), _)| *found == kind)
            .map(|(_, object)| object)
    }

    pub fn everything(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values()
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn has_uid(&self, uid: &str) -> bool {
        self.objects.values().any(|object| object.uid == uid)
    }

    fn time(&self) -> String {
        let at = Timestamp::from_second(self.now.div_euclid(1000)).unwrap();
        at.to_string()
    }

    pub fn handle(&mut self, request: &Request) -> Answer {
        let name = request.name.clone().unwrap_or_default();
        match (request.method.as_str(), &request.name) {
            ("GET", Some(_)) => self.read(request.kind, &name),
            ("GET", None) => Ok(Reply::Other(self.list(request))),
            ("POST", None) => self.create(request.kind, request.body.clone()),
            ("PUT", Some(_)) => self.replace(request.kind, &name, request.body.clone()),
            ("PATCH", Some(_)) if request.status => {
                self.patch_status(request.kind, &name, &request.body, request.apply)
            }
            ("PATCH", Some(_)) => self.patch(request.kind, &name, &request.body),
            ("DELETE", Some(_)) => self.delete(request.kind, &name, &request.body),
            _ => Err((405, "MethodNotAllowed")),
        }
    }

    fn read(&self, kind: Kind, name: &str) -> Answer {
        let hidden = kind == Kind::Pod && self.guards.hidden_pods;
        match self.get(kind, name) {
            Some(found) if !hidden => Ok(Reply::Object(Arc::clone(found))),
            _ => Err((404, "NotFound")),
        }
    }

    fn list(&self, request: &Request) -> Value {
        let (kind, selector) = (request.kind, request.selector());
        let hidden = kind == Kind::Pod && self.guards.hidden_pods;
        let selected = |object: &&Arc<Object>| {
            selector.iter().all(|(path, value)| {
                let found = path.iter().fold(&object.value, |at, key| &at[key.as_str()]);
                found.as_str() == value.as_deref()
            })
        };
        let items: Vec<Value> = self
            .all(kind)
            .filter(|_| !hidden)
            .filter(selected)
            .map(|object| object.value.clone())
            .collect();
        json!({ "apiVersion": kind.api_version(), "kind": "List", "metadata": { "resourceVersion": self.version.to_string() }, "items": items })
    }

    pub fn create(&mut self, kind: Kind, mut value: Value) -> Answer {
        let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if self.get(kind, &name).is_some() {
            return Err((409, "AlreadyExists"));
        }
        self.made += 1;
        let uid = format!("00000000-0000-4000-8000-{:012x}", self.made);
        let meta = value["metadata"].as_object_mut().ok_or((422, "Invalid"))?;
        meta.insert("uid".to_owned(), uid.clone().into());
        meta.insert("namespace".to_owned(), NAMESPACE.into());
        meta.insert("generation".to_owned(), 1.into());
        meta.insert("creationTimestamp".to_owned(), self.time().into());
        if kind.has_status() {
            value.as_object_mut().ok_or((422, "Invalid"))?.remove("status");
        }
        value["apiVersion"] = kind.api_version().into();
        value["kind"] = kind.name().into();
        Ok(self.store(kind, name, uid, value, Vec::new(), None))
    }

    pub fn replace(&mut self, kind: Kind, name: &str, mut value: Value) -> Answer {
        let old = self.current(kind, name, &value)?;
        value["status"] = old.value["status"].clone();
        self.changed(&old, value)
    }

    pub fn patch(&mut self, kind: Kind, name: &str, patch: &Value) -> Answer {
        let old = self.current(kind, name, patch)?;
        let mut value = old.value.clone();
        merge(&mut value, patch);
        value["status"] = old.value["status"].clone();
        self.changed(&old, value)
    }

    pub fn patch_status(&mut self, kind: Kind, name: &str, patch: &Value, apply: bool) -> Answer {
        let old = self.current(kind, name, patch)?;
        let mut value = old.value.clone();
        let mut applied = old.applied.clone();
        if apply {
            let wanted = patch["status"].as_object().cloned().unwrap_or_default();
            let status = value.as_object_mut().ok_or((422, "Invalid"))?;
            let status = status.entry("status").or_insert_with(|| Value::Object(Map::new()));
            let status = status.as_object_mut().ok_or((422, "Invalid"))?;
            status.retain(|key, _| !applied.contains(key));
            applied = wanted.keys().cloned().collect();
            status.extend(wanted);
        } else {
            merge(&mut value["status"], &patch["status"]);
        }
        if value == old.value {
            return Ok(Reply::Object(old));
        }
        let (name, uid) = (old.name.clone(), old.uid.clone());
        Ok(self.store(kind, name, uid, value, applied, Some(old)))
    }

    /// The object, if the request's version and UID are its own.
    fn current(&self, kind: Kind, name: &str, request: &Value) -> Result<Arc<Object>, (u16, &'static str)> {
        let found = self.get(kind, name).ok_or((404, "NotFound"))?;
        let meta = &request["metadata"];
        let blind = kind == Kind::Class && self.guards.blind_slots;
        let stale = meta["resourceVersion"]
            .as_str()
            .is_some_and(|version| version != found.version.to_string());
        let other = meta["uid"].as_str().is_some_and(|uid| uid != found.uid);
        if other || (stale && !blind) {
            return Err((409, "Conflict"));
        }
        Ok(Arc::clone(found))
    }

    /// Stores a change of anything but the status.
    fn changed(&mut self, old: &Arc<Object>, mut value: Value) -> Answer {
        for key in [
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "generation",
            "resourceVersion",
        ] {
            let was = old.value["metadata"][key].clone();
            if let Some(meta) = value["metadata"].as_object_mut() {
                if was.is_null() {
                    meta.remove(key);
                } else {
                    meta.insert(key.to_owned(), was);
                }
            }
        }
        if value["status"].is_null() {
            value.as_object_mut().ok_or((422, "Invalid"))?.remove("status");
        }
        if value == old.value {
            return Ok(Reply::Object(Arc::clone(old)));
        }
        if value["spec"] != old.value["spec"] {
            let generation = old.value["metadata"]["generation"].as_i64().unwrap_or_default() + 1;
            value["metadata"]["generation"] = generation.into();
        }
        let (name, uid) = (old.name.clone(), old.uid.clone());
        let stored = self.store(old.kind, name, uid, value, old.applied.clone(), Some(Arc::clone(old)));
        let now = self.get(old.kind, &old.name).map(Arc::clone);
        if let Some(now) = now.filter(|now| now.is_leaving() && !now.finalizers()) {
            self.remove(&now);
        }
        Ok(stored)
    }

    pub fn delete(&mut self, kind: Kind, name: &str, options: &Value) -> Answer {
        let found = Arc::clone(self.get(kind, name).ok_or((404, "NotFound"))?);
        let wanted = options["preconditions"]["uid"].as_str();
        if wanted.is_some_and(|uid| uid != found.uid) {
            return Err((409, "Conflict"));
        }
        let force = options["gracePeriodSeconds"] == 0;
        // A pod stays until its kubelet has stopped it.
        if found.finalizers() || (kind == Kind::Pod && !force) {
            if !found.is_leaving() {
                let mut value = found.value.clone();
                value["metadata"]["deletionTimestamp"] = self.time().into();
                self.store(
                    kind,
                    found.name.clone(),
                    found.uid.clone(),
                    value,
                    found.applied.clone(),
                    Some(Arc::clone(&found)),
                );
            }
        } else {
            self.remove(&found);
        }
        let done = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" });
        Ok(Reply::Other(done))
    }

    fn remove(&mut self, found: &Arc<Object>) {
        self.objects.remove(&(found.kind, found.name.clone()));
        self.version += 1;
        self.writes += 1;
        self.changes.push(Change {
            object: Arc::clone(found),
            before: Some(Arc::clone(found)),
            gone: true,
        });
    }

    fn store(
        &mut self,
        kind: Kind,
        name: String,
        uid: String,
        mut value: Value,
        applied: Vec<String>,
        before: Option<Arc<Object>>,
    ) -> Reply {
        self.version += 1;
        self.writes += 1;
        value["metadata"]["resourceVersion"] = self.version.to_string().into();
        let same_spec = before.as_ref().filter(|before| before.value["spec"] == value["spec"]);
        let typed = same_spec.and_then(|before| Kind::read_over(before.typed.get()?, &value));
        let object = Arc::new(Object {
            kind,
            name: name.clone(),
            uid,
            version: self.version,
            value,
            applied,
            typed: typed.map_or_else(OnceLock::new, OnceLock::from),
            json: OnceLock::new(),
            held: OnceLock::new(),
            expires: OnceLock::new(),
        });
        self.objects.insert((kind, name), Arc::clone(&object));
        self.changes.push(Change {
            object: Arc::clone(&object),
            before,
            gone: false,
        });
        Reply::Object(object)
    }
}

/// JSON merge patch, RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(target) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

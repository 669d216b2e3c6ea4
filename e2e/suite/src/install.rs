//! One installation of Longshore in a namespace of its own, with the stand-ins for Telegram and the model beside it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::runtime::wait::{self, await_condition};
use kube::{Api, ResourceExt as _};
use longshore_crds::{ContainerTask, PersistentSession, Topic};
use serde_json::{Value, json};

use crate::audit::Audit;
use crate::cluster::Cluster;
use crate::forward::Forward;
use crate::outside::{self, Outside};

/// Name of the Helm release.
pub const RELEASE: &str = "longshore";
/// Label of the operator's pods.
pub const OPERATOR: &str = "app.kubernetes.io/component=operator";
/// The one Telegram user on the allow-list.
pub const ALICE: i64 = 1001;
/// A Telegram user who is not on it.
pub const MALLORY: i64 = 6666;
/// Token that the stand-in for Telegram takes.
pub const BOT_TOKEN: &str = "424242:e2e-token";
/// Key that the stand-in for the model demands. Agents must never see it.
pub const MODEL_KEY: &str = "sk-ant-e2e-do-not-leak";
/// Longest wait for anything in these tests. Generous: time on shared machines is noisy.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Port of the stand-in for Telegram, with its chat page at `/`.
pub const TELEGRAM_PORT: u16 = 8081;
const MODEL_PORT: u16 = 8080;

/// Kills the processes whose control group has the name of a pod, given by its UID, and says which.
const KILL: &str = r#"for group in /proc/[0-9]*/cgroup; do
    pid=${group#/proc/} pid=${pid%/cgroup}
    if grep -q "pod$1" "$group" 2> /dev/null && kill -9 "$pid" 2> /dev/null; then echo "$pid"; fi
done"#;

/// What an installation shall be like.
pub struct Options {
    /// Beginning of the namespace's name.
    pub name: &'static str,
    /// Merged over the values that every installation has.
    pub values: Value,
    /// Services that are used themselves. Tests use none: their prompts are scripts for the stand-in, which nobody wants to pay for.
    pub services: RealServices,
}

/// Credentials of services that are used themselves, without a stand-in.
#[derive(Default)]
pub struct RealServices {
    /// Token of a bot of Telegram's.
    pub telegram: Option<String>,
    /// Key of the model endpoint.
    pub model: Option<String>,
}

impl RealServices {
    /// Those that `TELEGRAM_BOT_TOKEN` and `ANTHROPIC_API_KEY` give access to.
    pub fn of_environment() -> Self {
        Self {
            telegram: setting("TELEGRAM_BOT_TOKEN"),
            model: setting("ANTHROPIC_API_KEY"),
        }
    }
}

impl Options {
    /// An installation with nothing special.
    pub fn named(name: &'static str) -> Self {
        Self {
            name,
            values: json!({}),
            services: RealServices::default(),
        }
    }

    /// The same with other chart values, merged deeply.
    #[must_use]
    pub fn with(mut self, values: Value) -> Self {
        merge(&mut self.values, values);
        self
    }
}

/// A running installation.
pub struct Install {
    /// The cluster.
    pub cluster: Cluster,
    /// Its namespace.
    pub namespace: String,
    telegram: Option<Forward>,
    model: Option<Forward>,
    _outside: Option<Outside>,
}

impl Install {
    /// Makes a namespace, starts the stand-ins and installs the chart. Ready when operator and bot are.
    ///
    /// # Errors
    /// With what `kubectl` shows of the namespace when something does not come up.
    pub async fn start(options: Options) -> Result<Self> {
        Self::start_unless(options, std::future::pending::<()>()).await
    }

    /// The same, given up as soon as `stop` is there. Then, too, nothing is left in the cluster.
    ///
    /// # Errors
    /// As [`Self::start`], and when it was stopped.
    pub async fn start_unless(options: Options, stop: impl Future) -> Result<Self> {
        let cluster = Cluster::connect().await?;
        let suffix = &uuid::Uuid::new_v4().simple().to_string()[..6];
        let namespace = format!("{}-{suffix}", options.name);
        let started = tokio::select! {
            started = Self::start_in(&cluster, &namespace, options.values, options.services) => Some(started),
            _ = stop => None,
        };
        match started {
            Some(Ok(install)) => Ok(install),
            Some(Err(error)) => {
                let shown = diagnosis(&cluster, &namespace).await;
                remove(&cluster, &namespace).await;
                Err(error.context(shown))
            }
            None => {
                remove(&cluster, &namespace).await;
                bail!("stopped before it was installed")
            }
        }
    }

    async fn start_in(cluster: &Cluster, namespace: &str, values: Value, services: RealServices) -> Result<Self> {
        let RealServices {
            telegram: real_telegram,
            model: real_model,
        } = services;
        let mut objects = vec![namespace_object(namespace)];
        objects.push(secret(
            namespace,
            "telegram",
            "token",
            real_telegram.as_deref().unwrap_or(BOT_TOKEN),
        ));
        objects.push(secret(
            namespace,
            "anthropic",
            "api-key",
            real_model.as_deref().unwrap_or(MODEL_KEY),
        ));
        if real_telegram.is_none() {
            objects.extend(stand_in(
                namespace,
                "telegram",
                "longshore-telegram-emulator",
                TELEGRAM_PORT,
            ));
        }
        if real_model.is_none() {
            objects.extend(stand_in(namespace, "model", "longshore-model", MODEL_PORT));
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        cluster
            .kubectl_with_input(&["apply", "-f", "-"], &list.to_string())
            .await?;

        let mut all = base_values(real_telegram.is_none(), real_model.is_none());
        merge(&mut all, values);
        let mut outside = None;
        if let Some(state) = cluster.embedded_state()
            && (real_telegram.is_some() || real_model.is_some())
        {
            outside = Some(Outside::open(state, &[outside::MODEL.0, outside::TELEGRAM.0])?);
            let egress = json!([{"to": [{"ipBlock": {"cidr": format!("{}/32", outside::MODEL.1)}}]}]);
            if real_model.is_some() {
                merge(&mut all, json!({"agentClass": {"egress": egress}}));
            }
        }
        let chart = cluster.root.join("charts/longshore");
        update_kinds(cluster).await?;
        let chart = chart.to_string_lossy();
        let install = [
            "install",
            RELEASE,
            &chart,
            "--namespace",
            namespace,
            "--values",
            "-",
            "--wait",
            "--timeout",
            "120s",
        ];
        cluster.helm_with_input(&install, &all.to_string()).await?;

        let telegram = match real_telegram {
            Some(_) => None,
            None => Some(open_stand_in(cluster, namespace, "telegram", TELEGRAM_PORT).await?),
        };
        let model = match real_model {
            Some(_) => None,
            None => Some(open_stand_in(cluster, namespace, "model", MODEL_PORT).await?),
        };
        Ok(Self {
            _outside: outside,
            cluster: cluster.clone(),
            namespace: namespace.to_owned(),
            telegram,
            model,
        })
    }

    /// Objects of one kind in this namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// `kubectl --namespace <its namespace>`.
    ///
    /// # Errors
    /// As [`Cluster::kubectl`].
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        let mut all = vec!["--namespace", self.namespace.as_str()];
        all.extend(args);
        self.cluster.kubectl(&all).await
    }

    /// `kubectl apply` of a manifest.
    ///
    /// # Errors
    /// As [`Cluster::kubectl`].
    pub async fn apply(&self, manifest: &Value) -> Result<()> {
        let args = ["--namespace", self.namespace.as_str(), "apply", "-f", "-"];
        self.cluster
            .kubectl_with_input(&args, &manifest.to_string())
            .await
            .map(drop)
    }

    /// Creates an object through this process's own client, so that no start of `kubectl` is measured with it.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn create(&self, manifest: &Value) -> Result<()> {
        let object: DynamicObject = serde_json::from_value(manifest.clone())?;
        let kind = object.types.as_ref().context("a manifest has a kind")?;
        let (group, version) = kind.api_version.rsplit_once('/').unwrap_or(("", &kind.api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind.kind));
        let api: Api<DynamicObject> = Api::namespaced_with(self.cluster.client.clone(), &self.namespace, &resource);
        api.create(&PostParams::default(), &object).await?;
        Ok(())
    }

    /// Waits until an object is as described.
    ///
    /// # Errors
    /// After [`DEADLINE`], with the object as it then is.
    pub async fn wait_for<K>(&self, name: &str, what: &str, condition: impl wait::Condition<K>) -> Result<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + Send
            + serde::de::DeserializeOwned
            + serde::Serialize
            + 'static,
        K::DynamicType: Default,
    {
        let api: Api<K> = self.api();
        match tokio::time::timeout(DEADLINE, await_condition(api.clone(), name, condition)).await {
            Ok(found) => found?.with_context(|| format!("{name} is gone while waiting until {what}")),
            Err(_) => {
                let shown = match api.get_opt(name).await? {
                    Some(object) => serde_saphyr::to_string(&object)?,
                    None => "it does not exist".to_owned(),
                };
                bail!("{name} was not {what} after {DEADLINE:?}:\n{shown}")
            }
        }
    }

    /// Waits until a condition of a session has this status.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub async fn session(
        &self,
        name: &str,
        condition: &'static str,
        status: &'static str,
    ) -> Result<PersistentSession> {
        self.wait_for(
            name,
            &format!("{condition}={status}"),
            move |object: Option<&PersistentSession>| {
                object
                    .and_then(|session| session.status.as_ref())
                    .is_some_and(|found| has(&found.conditions, condition, status))
            },
        )
        .await
    }

    /// Waits until a condition of a task has this status.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub async fn task(&self, name: &str, condition: &'static str, status: &'static str) -> Result<ContainerTask> {
        self.wait_for(
            name,
            &format!("{condition}={status}"),
            move |object: Option<&ContainerTask>| {
                object
                    .and_then(|task| task.status.as_ref())
                    .is_some_and(|found| has(&found.conditions, condition, status))
            },
        )
        .await
    }

    /// Control of the stand-in for the model.
    ///
    /// # Errors
    /// When the real one is used: the test needs a script.
    pub fn model(&self) -> Result<longshore_model::Client> {
        let forward = self
            .model
            .as_ref()
            .context("the real model cannot be scripted; unset ANTHROPIC_API_KEY")?;
        Ok(longshore_model::Client::new(&forward.url()))
    }

    /// Base URL of the stand-in for Telegram, with its control API under `/_control/`.
    ///
    /// # Errors
    /// When the real one is used.
    pub fn telegram_url(&self) -> Result<String> {
        let forward = self
            .telegram
            .as_ref()
            .context("the real chat cannot be played; unset TELEGRAM_BOT_TOKEN")?;
        Ok(forward.url())
    }

    /// Waits until the model holds an answer back at this gate.
    ///
    /// # Errors
    /// After [`DEADLINE`].
    pub async fn model_holds(&self, gate: &str) -> Result<()> {
        self.model()?
            .held_at(gate, DEADLINE)
            .await
            .with_context(|| format!("nothing is held at gate {gate}"))?;
        Ok(())
    }

    /// Lets all answers at this gate go on, now and later.
    ///
    /// # Errors
    /// When the stand-in does not answer.
    pub async fn open_gate(&self, gate: &str) -> Result<()> {
        Ok(self.model()?.open_gate(gate).await?)
    }

    /// Requests to the model whose last message of a person contains this text.
    ///
    /// # Errors
    /// When the stand-in does not answer.
    pub async fn model_requests(&self, text: &str) -> Result<Vec<longshore_model::journal::Entry>> {
        let all = self
            .model()?
            .requests(&longshore_model::server::Wanted::default())
            .await?;
        Ok(all.into_iter().filter(|entry| entry.last_user.contains(text)).collect())
    }

    /// Deletes a pod as `kubectl delete pod` does; what controls it makes another once it has ended.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn delete_pod(&self, name: &str) -> Result<()> {
        self.kubectl(&["delete", "pod", name, "--wait=false"]).await.map(drop)
    }

    /// Deletes a pod by force, as people do with one that hangs: what controls it makes another at once, while the processes of the
    /// old one get SIGTERM and a second or two.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn delete_pod_by_force(&self, name: &str) -> Result<()> {
        self.kubectl(&["delete", "pod", name, "--grace-period=0", "--force", "--wait=false"])
            .await
            .map(drop)
    }

    /// Kills a pod as the end of its node would: every process by SIGKILL, then another pod takes its place. On a foreign cluster,
    /// where nobody here gets at the processes, it is deleted by force instead.
    ///
    /// # Errors
    /// When it is not there, or no process of it was found.
    pub async fn kill_pod(&self, name: &str) -> Result<()> {
        let uid = self.api::<Pod>().get(name).await?.uid().context("a pod has a UID")?;
        if let Some(killed) = self.cluster.on_node(&["sh", "-c", KILL, "sh", &uid]).await? {
            ensure!(!killed.trim().is_empty(), "no process of {name} was found on the node");
        }
        self.delete_pod_by_force(name).await
    }

    /// Waits until a question about the world outside Kubernetes is answered with yes.
    ///
    /// # Errors
    /// After [`DEADLINE`], or when the question cannot be asked.
    pub async fn until(&self, what: &str, mut is_so: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while !is_so().await? {
            if tokio::time::Instant::now() > deadline {
                bail!("not so after {DEADLINE:?}: {what}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// Applies a RoutingPolicy; returns once the bot goes by it.
    ///
    /// # Errors
    /// When it is refused, or not in force after [`DEADLINE`].
    pub async fn put_into_force(&self, policy: &Value) -> Result<()> {
        let times = async || {
            let log = self
                .kubectl(&["logs", "-l", "app.kubernetes.io/component=bot", "--tail=-1"])
                .await?;
            anyhow::Ok(log.matches("RoutingPolicies are in force").count())
        };
        let before = times().await?;
        self.apply(policy).await?;
        self.until("the policy is in force", async || Ok(times().await? > before))
            .await
    }

    /// Waits until the session's first message is answered.
    ///
    /// # Errors
    /// As [`Self::wait_for`], or when the runner cannot be reached.
    pub async fn answered_once(&self, session: &str) -> Result<()> {
        let ready = self.session(session, "Ready", "True").await?;
        let topic = ready.spec.topic_ref.name;
        let pod = longshore_crds::names::session_pod(&topic);
        let runner = crate::runner::Runner::open(&self.cluster, &self.namespace, &topic, &pod).await?;
        let is_end =
            |record: &longshore_wire::Record| matches!(record.event, longshore_wire::Event::TurnFinished { .. });
        runner.events(0, is_end).await.map(drop)
    }

    /// Begins to count writes here; none on a foreign cluster, whose audit log cannot be read.
    ///
    /// # Errors
    /// When the log or the cluster does not answer.
    pub async fn count_writes(&self) -> Result<Option<Audit>> {
        // A watch may tell of a write before the audit log does; another request comes after both.
        self.kubectl(&["get", "topics"]).await?;
        self.cluster.audit_log().map(Audit::start).transpose()
    }

    /// Sets the desired state of a session: `Running`, `Suspended` or `Ended`.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn want(&self, session: &str, state: &str) -> Result<()> {
        let patch = json!({"spec": {"desiredState": state}}).to_string();
        self.kubectl(&["patch", "ps", session, "--type=merge", "-p", &patch])
            .await
            .map(drop)
    }

    /// Waits until no slot of the default class is taken.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub async fn slots_free(&self) -> Result<()> {
        let free = |class: Option<&longshore_crds::AgentClass>| {
            class.is_some_and(|class| class.status.as_ref().is_none_or(|status| status.slots.is_empty()))
        };
        self.wait_for("default", "without slots", free).await.map(drop)
    }

    /// Makes another class, like the default one but for these fields of its spec, merged deeply.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn another_class(&self, name: &str, over: Value) -> Result<()> {
        let class = self.api::<longshore_crds::AgentClass>().get("default").await?;
        let mut spec = serde_json::to_value(&class.spec)?;
        merge(&mut spec, over);
        let class = json!({
            "apiVersion": "longshore.dev/v1alpha1", "kind": "AgentClass", "metadata": {"name": name}, "spec": spec,
        });
        self.apply(&class).await
    }

    /// Identity of the operator that leads, `<pod name>_<pod ip>`; none while none does.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn leader(&self) -> Result<Option<String>> {
        let lease = self.api::<Lease>().get_opt(&format!("{RELEASE}-operator")).await?;
        let holder = lease.and_then(|lease| lease.spec?.holder_identity);
        Ok(holder.filter(|holder| !holder.is_empty()))
    }

    /// Replaces the operator's pod and waits until the new one leads.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn restart_operator(&self) -> Result<()> {
        let old = self.pod_with(OPERATOR).await?;
        self.delete_pod(&old).await?;
        self.gone("pod", &old).await?;
        let new = self.pod_with(OPERATOR).await?;
        let leads = async || {
            Ok(self
                .kubectl(&["logs", &new])
                .await
                .is_ok_and(|log| log.contains("reconciling")))
        };
        self.until("the new operator leads", leads).await
    }

    /// Waits until a Topic is Ready and its volume is there, so that nothing more will be written about it.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub async fn topic_settled(&self, name: &str) -> Result<Topic> {
        self.wait_for(name, "Ready with a bound volume", |object: Option<&Topic>| {
            object.and_then(|topic| topic.status.as_ref()).is_some_and(|found| {
                has(&found.conditions, "Ready", "True") && has(&found.conditions, "WorkspaceBound", "True")
            })
        })
        .await
    }

    /// Waits until there is no object of this kind and name.
    ///
    /// # Errors
    /// When it is still there after the deadline.
    pub async fn gone(&self, kind: &str, name: &str) -> Result<()> {
        let timeout = format!("--timeout={}s", DEADLINE.as_secs());
        self.kubectl(&["wait", "--for=delete", &timeout, kind, name])
            .await
            .map(drop)
    }

    /// Waits until another pod of this name has taken the place of the one with this UID, and is ready.
    ///
    /// # Errors
    /// After [`DEADLINE`].
    pub async fn replaced(&self, pod: &str, old_uid: &str) -> Result<Pod> {
        let old = old_uid.to_owned();
        self.wait_for(pod, "replaced", move |found: Option<&Pod>| {
            let Some(pod) = found.filter(|pod| pod.metadata.uid.as_ref().is_some_and(|uid| *uid != old)) else {
                return false;
            };
            let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
            conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
        })
        .await
    }

    /// Name of the pod with these labels.
    ///
    /// # Errors
    /// When there is none.
    pub async fn pod_with(&self, labels: &str) -> Result<String> {
        let pods: Api<Pod> = self.api();
        let found = pods.list(&kube::api::ListParams::default().labels(labels)).await?;
        let pod = found
            .items
            .into_iter()
            .find(|pod| pod.metadata.deletion_timestamp.is_none());
        Ok(pod.with_context(|| format!("no pod with {labels}"))?.name_any())
    }

    /// Uninstalls the release and removes the namespace. Fails when the uninstall hangs.
    ///
    /// # Errors
    /// As [`Cluster::helm`].
    pub async fn stop(self) -> Result<()> {
        let uninstalled = self
            .cluster
            .helm(&["uninstall", RELEASE, "--namespace", &self.namespace, "--timeout", "90s"])
            .await;
        remove(&self.cluster, &self.namespace).await;
        uninstalled.map(drop)
    }

    /// What a person would look at first when something is wrong here.
    pub async fn diagnosis(&self) -> String {
        diagnosis(&self.cluster, &self.namespace).await
    }
}

/// Runs a test against an installation; prints a diagnosis when it fails, removes the installation either way.
///
/// # Errors
/// Those of the test, then those of the removal.
pub async fn with_install<F>(options: Options, test: F) -> Result<()>
where
    F: AsyncFnOnce(&Install) -> Result<()>,
{
    let install = Install::start(options).await?;
    let outcome = test(&install).await;
    if let Err(error) = outcome {
        let shown = install.diagnosis().await;
        let _ = install.stop().await;
        return Err(error.context(shown));
    }
    install.stop().await
}

/// Ends a test that cannot run on this cluster. `make test` reads the line and counts the test as skipped.
///
/// # Errors
/// None.
#[expect(clippy::print_stdout, reason = "the line is read from the output of the test")]
pub fn skip(why: &str) -> Result<()> {
    println!("test skipped: {why}");
    Ok(())
}

/// Whether a condition of this type has this status.
fn has(conditions: &[Condition], type_: &str, status: &str) -> bool {
    conditions.iter().any(|one| one.type_ == type_ && one.status == status)
}

/// One of our images: as `make images` names them, or for a cluster of one's own as `E2E_IMAGE_PREFIX` and `E2E_IMAGE_TAG` say.
pub fn image(suffix: &str) -> String {
    format!("{}{suffix}:{}", image_prefix(), image_tag())
}

fn image_prefix() -> String {
    setting("E2E_IMAGE_PREFIX").unwrap_or_else(|| "localhost/longshore".to_owned())
}

fn image_tag() -> String {
    setting("E2E_IMAGE_TAG").unwrap_or_else(|| "dev".to_owned())
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

async fn remove(cluster: &Cluster, namespace: &str) {
    let _ = cluster
        .kubectl(&["delete", "namespace", namespace, "--wait=false", "--ignore-not-found"])
        .await;
}

async fn diagnosis(cluster: &Cluster, namespace: &str) -> String {
    let mut shown = String::new();
    let looks: [&[&str]; 6] = [
        &[
            "get",
            "topics,scheduledtasks,containertasks,persistentsessions,pods,pvc",
            "-o",
            "wide",
        ],
        &["get", "persistentsessions,containertasks,scheduledtasks", "-o", "yaml"],
        &["get", "events", "--sort-by=.lastTimestamp"],
        &["logs", "-l", OPERATOR, "--tail=80"],
        &["logs", "-l", "app.kubernetes.io/component=bot", "--tail=80"],
        &["logs", "-l", "longshore.dev/topic", "--tail=60", "--prefix"],
    ];
    for look in looks {
        let mut args = vec!["--namespace", namespace];
        args.extend(look);
        let text = cluster
            .kubectl(&args)
            .await
            .unwrap_or_else(|error| format!("{error:#}"));
        shown.push_str(&format!("\n--- kubectl {}\n{text}", look.join(" ")));
    }
    shown
}

fn base_values(telegram_stand_in: bool, model_stand_in: bool) -> Value {
    let mut values = json!({
        "image": {"repository": image_prefix(), "tag": image_tag()},
        "agent": {"image": image("-agent")},
        "telegram": {
            "tokenSecret": {"name": "telegram", "key": "token"},
            "allowedUsers": [ALICE],
            "createTopics": true,
            // These tests are about messages, not about Telegram's patience with them; the bot's own tests cover that.
            "messagesPerMinute": 1000,
        },
        "anthropic": {"credentialsSecret": {"name": "anthropic", "key": "api-key"}},
        "agentClass": {"resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1536Mi"}}},
        "bot": {"persistence": {"size": "1Gi"}},
        // Below the patience with `helm uninstall` above.
        "uninstall": {"timeoutSeconds": 45},
    });
    if !telegram_stand_in {
        let users: Vec<i64> = setting("TELEGRAM_ALLOWED_USERS")
            .iter()
            .flat_map(|users| users.split(','))
            .filter_map(|user| user.trim().parse().ok())
            .collect();
        merge(&mut values, json!({"telegram": {"allowedUsers": users}}));
    }
    if telegram_stand_in {
        merge(
            &mut values,
            json!({"telegram": {"apiUrl": format!("http://telegram:{TELEGRAM_PORT}")}}),
        );
    }
    if model_stand_in {
        let egress = json!([{"to": [{"podSelector": {"matchLabels": {"app": "model"}}}]}]);
        merge(
            &mut values,
            json!({
                "anthropic": {"baseUrl": format!("http://model:{MODEL_PORT}")},
                "agentClass": {"egress": egress},
            }),
        );
    }
    values
}

fn namespace_object(name: &str) -> Value {
    let labels = json!({
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/warn": "restricted",
        "longshore.dev/e2e": "true",
    });
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

fn secret(namespace: &str, name: &str, key: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
        "stringData": {key: value},
    })
}

fn stand_in(namespace: &str, name: &str, program: &str, port: u16) -> [Value; 2] {
    let labels = json!({"app": name});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": name,
                "image": image("-e2e"),
                "imagePullPolicy": "IfNotPresent",
                "command": [program, "--listen", format!("0.0.0.0:{port}")],
                "ports": [{"containerPort": port}],
                "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": labels, "ports": [{"port": port, "targetPort": port}]},
    });
    [pod, service]
}

async fn open_stand_in(cluster: &Cluster, namespace: &str, name: &str, port: u16) -> Result<Forward> {
    cluster
        .kubectl(&[
            "--namespace",
            namespace,
            "wait",
            "--for=condition=Ready",
            "--timeout=60s",
            "pod",
            name,
        ])
        .await?;
    Forward::open(cluster.client.clone(), namespace, name, port).await
}

/// Brings the kinds in the cluster up to date, once in a run of this program. Helm would leave old ones as they are.
async fn update_kinds(cluster: &Cluster) -> Result<()> {
    static DONE: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    DONE.get_or_try_init(async || {
        let folder = cluster.root.join("charts/longshore/crds");
        let folder = folder.to_string_lossy();
        let established = ["wait", "--for=condition=Established", "--timeout=60s", "-f", &folder];
        cluster
            .kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &folder])
            .await?;
        cluster.kubectl(&established).await.map(drop)
    })
    .await
    .copied()
}

/// Merges `over` into `base`: objects by key, everything else by replacement.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

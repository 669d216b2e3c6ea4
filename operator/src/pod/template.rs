//! The pod of an agent, as sessions and tasks share it: restricted Pod Security, no token, read-only root.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMapKeySelector, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource,
    HTTPGetAction, LocalObjectReference, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolumeClaimVolumeSource,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecretKeySelector,
    SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use longshore_crds::{AgentClassSpec, CredentialsType, History, Instructions, Repository, TaskEscalation, When, meta};
use longshore_wire::RUNNER_PORT;
use longshore_wire::agent::{
    AGENT_CONFIG_ENV, API_KEY_ENV, AgentConfig, AgentKind, CLASS_INSTRUCTIONS_ENV, DEFAULT_BASE_URL, EscalationOffer,
    HistoryLimits, OAUTH_TOKEN_ENV, REPOSITORY_PASSWORD_ENV, REPOSITORY_USERNAME_ENV, RepositoryConfig,
    TOPIC_INSTRUCTIONS_ENV, WhenConfig,
};
use uuid::Uuid;

use super::CONTAINER;
use crate::settings::Settings;

/// Any non-root user would do; one that stays the same keeps ownership on the volume the same.
const USER: i64 = 1000;
/// Where the topic's volume is mounted.
const TOPIC_MOUNT: &str = "/topic";
/// Seconds between SIGTERM and SIGKILL: enough to store streamed text and stop claude.
pub const TERMINATION_GRACE_SECONDS: i64 = 30;

/// What a pod is made for.
#[derive(Clone, Debug)]
pub struct Agent<'a> {
    pub kind: AgentKind,
    pub namespace: &'a str,
    /// Name of the PersistentSession or ContainerTask.
    pub name: &'a str,
    pub uid: Uuid,
    pub topic: &'a str,
    /// The runner's tokens come from it.
    pub topic_uid: &'a str,
    /// What the topic tells its agents to heed.
    pub topic_instructions: Option<&'a Instructions>,
    /// What is cloned into an empty workspace.
    pub repository: Option<&'a Repository>,
    /// Claim with the topic's volume.
    pub claim: &'a str,
    pub class_name: &'a str,
    pub class: &'a AgentClassSpec,
    /// Digests of the tokens that callers may present.
    pub token_sha256: &'a [String],
    /// What it is told of the topic's earlier turns.
    pub history: Option<History>,
    /// What a task is told about its wish for a session.
    pub escalation: Option<TaskEscalation>,
    /// There is a chat that takes files.
    pub sends_files: bool,
    /// What decides whether a task's claude is asked at all.
    pub when: Option<&'a When>,
    /// It only reads the topic's volume.
    pub read_only: Option<ReadOnly<'a>>,
}

/// How the pod of a task comes beside those that may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOnly<'a> {
    /// The node of a session that has the volume.
    pub node: Option<&'a str>,
}

/// Labels of everything that is made for an agent. The UID finds its pods even when their owner is gone.
pub fn labels(agent: &Agent<'_>) -> BTreeMap<String, String> {
    let kind = match agent.kind {
        AgentKind::Session => "session",
        AgentKind::Task => "task",
    };
    let labels = [
        meta::MANAGED_BY,
        (meta::KIND_LABEL, kind),
        (meta::OWNER_LABEL, agent.name),
        (meta::UID_LABEL, &agent.uid.to_string()),
        (meta::TOPIC_LABEL, agent.topic),
        (meta::TOPIC_UID_LABEL, agent.topic_uid),
        (meta::CLASS_LABEL, agent.class_name),
    ];
    let read_only = agent.read_only.map(|_| (meta::READ_ONLY_LABEL, "true"));
    labels
        .into_iter()
        .chain(read_only)
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The pod template of an agent.
pub fn template(agent: &Agent<'_>, settings: &Settings) -> PodTemplateSpec {
    let additions = agent.class.pod_template.clone().unwrap_or_default();
    let mut labels_with_additions = additions.labels;
    labels_with_additions.extend(labels(agent));
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels_with_additions),
            annotations: (!additions.annotations.is_empty()).then_some(additions.annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(TERMINATION_GRACE_SECONDS),
            security_context: Some(pod_security()),
            image_pull_secrets: pull_secrets(agent.class),
            node_selector: (!additions.node_selector.is_empty()).then_some(additions.node_selector),
            tolerations: (!additions.tolerations.is_empty()).then_some(additions.tolerations),
            affinity: match agent.read_only.and_then(|read_only| read_only.node) {
                Some(node) => Some(on_node(additions.affinity.unwrap_or_default(), node)),
                None => additions.affinity,
            },
            priority_class_name: additions.priority_class_name,
            runtime_class_name: additions.runtime_class_name,
            restart_policy: Some(restart_policy(agent.kind).to_owned()),
            containers: vec![container(agent, additions.env, settings)],
            volumes: Some(volumes(agent)),
            ..PodSpec::default()
        }),
    }
}

/// A task's pod that failed is replaced by a new Job, so that it is counted; a session's runner is started again in place.
fn restart_policy(kind: AgentKind) -> &'static str {
    match kind {
        AgentKind::Session => "Always",
        AgentKind::Task => "Never",
    }
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

fn pull_secrets(class: &AgentClassSpec) -> Option<Vec<LocalObjectReference>> {
    let secrets: Vec<_> = class
        .image_pull_secrets
        .iter()
        .map(|name| LocalObjectReference { name: name.clone() })
        .collect();
    (!secrets.is_empty()).then_some(secrets)
}

fn volumes(agent: &Agent<'_>) -> Vec<Volume> {
    let scratch = |name: &str| Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity("2Gi".to_owned())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    };
    let topic = Volume {
        name: "topic".to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: agent.claim.to_owned(),
            ..PersistentVolumeClaimVolumeSource::default()
        }),
        ..Volume::default()
    };
    let own = agent.read_only.map(|_| scratch("scratch"));
    [topic, scratch("tmp")].into_iter().chain(own).collect()
}

/// Of the topic's volume an agent that only reads it sees what belongs to people and other agents; the runner's own files, claude's
/// among them, are its own, below the same paths.
fn mounts(agent: &Agent<'_>) -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    };
    let shared = |folder: &str| VolumeMount {
        sub_path: Some(folder.to_owned()),
        read_only: Some(true),
        ..mount("topic", &format!("{TOPIC_MOUNT}/{folder}"))
    };
    let tmp = mount("tmp", "/tmp");
    match agent.read_only {
        None => vec![mount("topic", TOPIC_MOUNT), tmp],
        Some(_) => vec![mount("scratch", TOPIC_MOUNT), shared("workspace"), shared("state"), tmp],
    }
}

/// Also where it was free to choose: a volume that one node at a time may have is on this one.
fn on_node(mut affinity: Affinity, node: &str) -> Affinity {
    let here = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let required = affinity
        .node_affinity
        .get_or_insert_default()
        .required_during_scheduling_ignored_during_execution
        .get_or_insert_default();
    if required.node_selector_terms.is_empty() {
        required.node_selector_terms.push(NodeSelectorTerm::default());
    }
    // Any one term must hold, with all that is in it.
    for term in &mut required.node_selector_terms {
        term.match_fields.get_or_insert_default().push(here.clone());
    }
    affinity
}

fn container(agent: &Agent<'_>, additions: Vec<EnvVar>, settings: &Settings) -> Container {
    Container {
        name: CONTAINER.to_owned(),
        image: Some(
            agent
                .class
                .image
                .clone()
                .unwrap_or_else(|| settings.agent_image.clone()),
        ),
        image_pull_policy: Some(
            agent
                .class
                .image_pull_policy
                .map_or("IfNotPresent".to_owned(), |p| p.as_ref().to_owned()),
        ),
        env: Some(env(agent, additions, settings)),
        ports: Some(vec![ContainerPort {
            name: Some("runner".to_owned()),
            container_port: i32::from(RUNNER_PORT),
            ..ContainerPort::default()
        }]),
        readiness_probe: Some(Probe {
            http_get: Some(HTTPGetAction {
                path: Some("/healthz".to_owned()),
                port: IntOrString::String("runner".to_owned()),
                ..HTTPGetAction::default()
            }),
            period_seconds: Some(5),
            timeout_seconds: Some(3),
            failure_threshold: Some(3),
            ..Probe::default()
        }),
        resources: Some(agent.class.resources.clone().unwrap_or_else(default_resources)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: None,
            }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(mounts(agent)),
        ..Container::default()
    }
}

fn default_resources() -> ResourceRequirements {
    let quantities = |pairs: &[(&str, &str)]| -> BTreeMap<String, Quantity> {
        pairs
            .iter()
            .map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned())))
            .collect()
    };
    ResourceRequirements {
        requests: Some(quantities(&[("cpu", "250m"), ("memory", "384Mi")])),
        limits: Some(quantities(&[("memory", "2Gi")])),
        ..ResourceRequirements::default()
    }
}

fn env(agent: &Agent<'_>, additions: Vec<EnvVar>, settings: &Settings) -> Vec<EnvVar> {
    let config = serde_json::to_string(&config(agent, settings)).expect("a struct of strings and numbers is JSON");
    let mut env = vec![literal(AGENT_CONFIG_ENV, &config)];
    let instructions = [
        (CLASS_INSTRUCTIONS_ENV, agent.class.instructions.as_ref()),
        (TOPIC_INSTRUCTIONS_ENV, agent.topic_instructions),
    ];
    env.extend(
        instructions
            .iter()
            .filter_map(|(name, told)| instructions_env(name, (*told)?)),
    );
    if let Some(credentials) = &agent.class.credentials {
        let name = match credentials.kind {
            CredentialsType::ApiKey => API_KEY_ENV,
            CredentialsType::OAuthToken => OAUTH_TOKEN_ENV,
        };
        let secret = &credentials.secret_ref;
        env.push(secret_env(name, &secret.name, &secret.key, None));
    }
    if let Some(secret) = agent.repository.and_then(|repository| repository.secret_ref.as_ref()) {
        // A token needs no certain user name at most servers.
        env.push(secret_env(
            REPOSITORY_USERNAME_ENV,
            &secret.name,
            "username",
            Some(true),
        ));
        env.push(secret_env(REPOSITORY_PASSWORD_ENV, &secret.name, "password", None));
    }
    env.extend(additions);
    env
}

/// A variable with exactly this value: the kubelet replaces `$(NAME)` otherwise.
fn literal(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.replace('$', "$$")),
        ..EnvVar::default()
    }
}

/// The container is not created while the Secret or its key is missing, unless that is optional, and the pod says so.
fn secret_env(name: &str, secret: &str, key: &str, optional: Option<bool>) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.to_owned(),
                key: key.to_owned(),
                optional,
            }),
            ..EnvVarSource::default()
        }),
        value: None,
    }
}

/// The container is not created while a ConfigMap is missing, and the pod says so.
fn instructions_env(name: &str, told: &Instructions) -> Option<EnvVar> {
    if let Some(text) = &told.inline {
        return Some(literal(name, text));
    }
    let key = told.config_map_ref.as_ref()?;
    Some(EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            config_map_key_ref: Some(ConfigMapKeySelector {
                name: key.name.clone(),
                key: key.key.clone(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
        value: None,
    })
}

fn config(agent: &Agent<'_>, settings: &Settings) -> AgentConfig {
    let permissions = &agent.class.permissions;
    let mode = match agent.kind {
        AgentKind::Session => permissions.session_mode,
        AgentKind::Task => permissions.task_mode,
    };
    AgentConfig {
        kind: agent.kind,
        namespace: agent.namespace.to_owned(),
        name: agent.name.to_owned(),
        uid: agent.uid,
        topic: agent.topic.to_owned(),
        token_sha256: agent.token_sha256.to_vec(),
        notice_url: settings.notice_url.clone(),
        base_url: agent
            .class
            .base_url
            .clone()
            .unwrap_or_else(|| DEFAULT_BASE_URL.to_owned()),
        model: agent.class.model.clone(),
        permission_mode: mode.as_ref().to_owned(),
        allowed_tools: permissions.allowed_tools.clone(),
        disallowed_tools: permissions.disallowed_tools.clone(),
        approval_timeout_seconds: u64::try_from(permissions.approval_timeout_seconds).unwrap_or_default(),
        trust_workspace_settings: permissions.trust_workspace_settings,
        memory_warn_percent: u8::try_from(agent.class.memory.warn_percent).unwrap_or(100),
        memory_recycle_percent: u8::try_from(agent.class.memory.recycle_percent).unwrap_or(100),
        drain_seconds: settings.timing.linger.as_secs(),
        history: agent.history.and_then(limits).filter(|limits| limits.turns > 0),
        repository: agent.repository.map(|repository| RepositoryConfig {
            url: repository.url.clone(),
            reference: repository.reference.clone(),
            depth: repository.depth.unsigned_abs(),
        }),
        read_only: agent.read_only.is_some(),
        sends_files: agent.sends_files,
        escalation: agent.escalation.map(|escalation| match escalation {
            TaskEscalation::Start => EscalationOffer::Start,
            TaskEscalation::Ask => EscalationOffer::Ask,
        }),
        when: agent.when.map(|when| WhenConfig {
            command: when.command.clone(),
            timeout_seconds: when.timeout_seconds.unsigned_abs(),
        }),
    }
}

fn limits(history: History) -> Option<HistoryLimits> {
    Some(HistoryLimits {
        turns: usize::try_from(history.turns).ok()?,
        max_bytes: usize::try_from(history.max_bytes).ok()?,
    })
}

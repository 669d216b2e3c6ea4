//! Builders of the Service and the network policies. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::Uri;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Resource, ResourceExt};
use longshore_crds::{AgentClass, meta, names};
use longshore_wire::agent::DEFAULT_BASE_URL;
use longshore_wire::{OPERATOR_PORT, RUNNER_PORT};

use crate::fingerprint::fingerprint;

/// Name of the policy that closes all agent pods of a namespace.
const ISOLATION: &str = "longshore-agents";
/// Label that every namespace has.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Ports of the public internet that agents may reach.
const PUBLIC_PORTS: [i32; 3] = [443, 80, 22];

/// Not the public internet: RFC 1918, CGNAT, loopback, link-local with the metadata address, multicast and what is reserved
/// (IANA's special-purpose registry).
const NOT_PUBLIC_V4: [&str; 13] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// Unspecified, loopback and IPv4 in disguise (`::/8` as a whole), NAT64, unique local (with the metadata address of EC2),
/// link-local, multicast.
const NOT_PUBLIC_V6: [&str; 6] = [
    "::/8",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

/// The headless Service that all StatefulSets of a namespace share.
pub fn service(namespace: &str) -> Service {
    Service {
        metadata: metadata(names::AGENT_SERVICE, namespace),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(pairs(&[meta::MANAGED_BY, (meta::KIND_LABEL, "session")])),
            ports: Some(vec![ServicePort {
                name: Some("runner".to_owned()),
                port: i32::from(RUNNER_PORT),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// Closes all agent pods of a namespace in both directions, but for the runner's port to operator and bot.
pub fn isolation(namespace: &str, release_namespace: &str) -> NetworkPolicy {
    let callers = ["operator", "bot"]
        .map(|component| part_of_longshore(release_namespace, component))
        .to_vec();
    policy(
        metadata(ISOLATION, namespace),
        NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_expressions: Some(vec![LabelSelectorRequirement {
                    key: meta::KIND_LABEL.to_owned(),
                    operator: "In".to_owned(),
                    values: Some(vec!["session".to_owned(), "task".to_owned()]),
                }]),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: Some(callers),
                ports: Some(vec![tcp(i32::from(RUNNER_PORT))]),
            }]),
            egress: Some(Vec::new()),
        },
    )
}

/// What agents of a class may reach. Goes away with the class.
pub fn egress(class: &AgentClass, release_namespace: &str, notices: bool) -> NetworkPolicy {
    let mut rules = vec![dns()];
    if notices {
        rules.push(NetworkPolicyEgressRule {
            to: Some(vec![part_of_longshore(release_namespace, "operator")]),
            ports: Some(vec![tcp(i32::from(OPERATOR_PORT))]),
        });
    }
    rules.extend(model_endpoint(
        class.spec.base_url.as_deref().unwrap_or(DEFAULT_BASE_URL),
    ));
    rules.push(NetworkPolicyEgressRule {
        to: Some(vec![block("0.0.0.0/0", &NOT_PUBLIC_V4), block("::/0", &NOT_PUBLIC_V6)]),
        ports: Some(PUBLIC_PORTS.map(tcp).to_vec()),
    });
    rules.extend(class.spec.egress.iter().cloned());
    let mut metadata = metadata(
        &format!("{ISOLATION}-{}", class.name_any()),
        &class.namespace().unwrap_or_default(),
    );
    metadata.owner_references = class.controller_owner_ref(&()).map(|owner| vec![owner]);
    policy(
        metadata,
        NetworkPolicySpec {
            pod_selector: Some(labelled(&[(meta::CLASS_LABEL, &class.name_any())])),
            policy_types: Some(vec!["Egress".to_owned()]),
            ingress: None,
            egress: Some(rules),
        },
    )
}

fn dns() -> NetworkPolicyEgressRule {
    let port = |protocol: &str| NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(53)),
        end_port: None,
    };
    NetworkPolicyEgressRule {
        to: Some(vec![NetworkPolicyPeer {
            namespace_selector: Some(labelled(&[(NAMESPACE_NAME, "kube-system")])),
            ..NetworkPolicyPeer::default()
        }]),
        ports: Some(vec![port("UDP"), port("TCP")]),
    }
}

/// A rule for a model endpoint that is named by its address. One that is named by a host is either public or the class's
/// `egress` must allow it, since a policy cannot name hosts.
fn model_endpoint(base_url: &str) -> Option<NetworkPolicyEgressRule> {
    let uri: Uri = base_url.parse().ok()?;
    let ip: IpAddr = uri.host()?.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    let port = uri
        .port_u16()
        .unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    let length = if ip.is_ipv4() { 32 } else { 128 };
    Some(NetworkPolicyEgressRule {
        to: Some(vec![block(&format!("{ip}/{length}"), &[])]),
        ports: Some(vec![tcp(i32::from(port))]),
    })
}

fn part_of_longshore(namespace: &str, component: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(labelled(&[(NAMESPACE_NAME, namespace)])),
        pod_selector: Some(labelled(&[
            ("app.kubernetes.io/name", "longshore"),
            ("app.kubernetes.io/component", component),
        ])),
        ip_block: None,
    }
}

fn block(cidr: &str, except: &[&str]) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: cidr.to_owned(),
            except: (!except.is_empty()).then(|| except.iter().map(|cidr| (*cidr).to_owned()).collect()),
        }),
        ..NetworkPolicyPeer::default()
    }
}

fn tcp(port: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some("TCP".to_owned()),
        port: Some(IntOrString::Int(port)),
        end_port: None,
    }
}

fn labelled(labels: &[(&str, &str)]) -> LabelSelector {
    LabelSelector {
        match_labels: Some(pairs(labels)),
        ..LabelSelector::default()
    }
}

fn pairs(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn metadata(name: &str, namespace: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        labels: Some(pairs(&[meta::MANAGED_BY])),
        ..ObjectMeta::default()
    }
}

fn policy(mut metadata: ObjectMeta, spec: NetworkPolicySpec) -> NetworkPolicy {
    metadata.annotations = Some(BTreeMap::from([(meta::SPEC_HASH.to_owned(), fingerprint(&spec))]));
    NetworkPolicy {
        metadata,
        spec: Some(spec),
    }
}

#[cfg(test)]
mod tests {
    use longshore_crds::AgentClassSpec;

    use super::*;

    #[test]
    fn only_an_endpoint_named_by_its_address_gets_a_rule() {
        let check = |url: &str, expected: Option<(&str, i32)>| {
            let rule = model_endpoint(url);
            let expected = expected.map(|(cidr, port)| NetworkPolicyEgressRule {
                to: Some(vec![block(cidr, &[])]),
                ports: Some(vec![tcp(port)]),
            });
            assert_eq!(rule, expected, "{url}");
        };
        check("http://10.1.2.3:4010", Some(("10.1.2.3/32", 4010)));
        check("http://10.1.2.3/v1", Some(("10.1.2.3/32", 80)));
        check("https://[fd00::1]", Some(("fd00::1/128", 443)));
        check("https://api.anthropic.com", None);
    }

    #[test]
    fn agents_reach_dns_the_operator_their_endpoint_the_public_internet_and_what_their_class_names() {
        let spec = AgentClassSpec {
            base_url: Some("http://10.1.2.3:4010".to_owned()),
            ..AgentClassSpec::default()
        };
        let mut class = AgentClass::new("default", spec);
        class.metadata.namespace = Some("team".to_owned());
        class.metadata.uid = Some("uid".to_owned());
        insta::assert_yaml_snapshot!(egress(&class, "longshore", true));
    }

    #[test]
    fn only_operator_and_bot_reach_a_runner() {
        insta::assert_yaml_snapshot!(isolation("team", "longshore"));
    }
}

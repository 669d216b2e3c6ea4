{{/* What operator and bot may do in a watched namespace. tests/test_chart.py holds the line: no wildcards, no listing of Secrets. */}}

{{- define "longshore.operatorRules" -}}
# Our kinds: specs are read, never written. Tasks are created for schedules, and deleted when their time to live or their place in
# the history is over.
- apiGroups: [longshore.dev]
  resources: [agentclasses, topics, persistentsessions, routingpolicies, scheduledtasks]
  verbs: [get, list, watch]
- apiGroups: [longshore.dev]
  resources: [containertasks]
  verbs: [get, list, watch, create, delete]
- apiGroups: [longshore.dev]
  resources: [agentclasses/status, topics/status, containertasks/status, persistentsessions/status, routingpolicies/status, scheduledtasks/status]
  verbs: [patch]
# The finalizer of a session, so that deleting it leaves a summary first, and the annotation that wakes one for a schedule. RBAC
# knows no smaller right for metadata than patch on the whole object; the operator sends nothing but metadata.finalizers and
# longshore.dev/wake.
- apiGroups: [longshore.dev]
  resources: [persistentsessions]
  verbs: [patch]
# For clusters that check who may block the deletion of an owner (OwnerReferencesPermissionEnforcement).
- apiGroups: [longshore.dev]
  resources: [agentclasses/finalizers, topics/finalizers, containertasks/finalizers, persistentsessions/finalizers, scheduledtasks/finalizers]
  verbs: [update]
# What they become. Volumes are never deleted by the operator, and pods neither: their Jobs and StatefulSets do that.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, create, patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [services]
  verbs: [get, create]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, update]
# The keys of the runners' access tokens. No other Secret can be read.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create] # a name cannot be demanded here: the object has none yet
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [longshore-access]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* Asking sessions to end, and lifting finalizers: RBAC knows no smaller right for either than patch. */}}
{{- define "longshore.uninstallRules" -}}
- apiGroups: [longshore.dev]
  resources: [topics, containertasks, persistentsessions]
  verbs: [list, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- end }}

{{- define "longshore.botRules" -}}
# Who may use the bot, and what becomes of messages: read, never written.
- apiGroups: [longshore.dev]
  resources: [routingpolicies]
  verbs: [list, watch]
# What /status says about a session's times and model.
- apiGroups: [longshore.dev]
  resources: [agentclasses]
  verbs: [get]
- apiGroups: [longshore.dev]
  resources: [topics]
  verbs: [get, list, watch, create]
- apiGroups: [longshore.dev]
  resources: [topics/status]
  verbs: [patch]
- apiGroups: [longshore.dev]
  resources: [containertasks, persistentsessions]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [longshore-access]
  verbs: [get]
{{- end }}

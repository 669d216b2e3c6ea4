{{/*
The rules of a template for a ServiceAccount, in every watched namespace: root, component (also the account's name), rules.
*/}}
{{- define "longshore.grant" }}
{{- $root := .root }}
{{- $account := printf "%s-%s" $root.Release.Name .component }}
{{- $places := include "longshore.namespaces" $root | fromJsonArray }}
{{- $cluster := include "longshore.watchesAll" $root }}
{{- if $cluster }}{{ $places = list "" }}{{ end }}
{{- range $namespace := $places }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ if $cluster }}ClusterRole{{ else }}Role{{ end }}
metadata:
  {{- if $cluster }}
  name: {{ $root.Release.Namespace }}-{{ $account }}
  {{- else }}
  name: {{ $account }}
  namespace: {{ $namespace }}
  {{- end }}
  labels:
    {{- include "longshore.labels" $ | nindent 4 }}
rules:
  {{- include $.rules $root | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ if $cluster }}ClusterRoleBinding{{ else }}RoleBinding{{ end }}
metadata:
  {{- if $cluster }}
  name: {{ $root.Release.Namespace }}-{{ $account }}
  {{- else }}
  name: {{ $account }}
  namespace: {{ $namespace }}
  {{- end }}
  labels:
    {{- include "longshore.labels" $ | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ if $cluster }}ClusterRole{{ else }}Role{{ end }}
  name: {{ if $cluster }}{{ $root.Release.Namespace }}-{{ end }}{{ $account }}
subjects:
  - kind: ServiceAccount
    name: {{ $account }}
    namespace: {{ $root.Release.Namespace }}
{{- end }}
{{- end }}

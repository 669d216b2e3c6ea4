{{/* Names, labels and the parts that operator, bot and the uninstall Job share. */}}

{{- define "longshore.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end }}

{{- define "longshore.agentImage" -}}
{{- .Values.agent.image | default (printf "%s-agent:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion)) -}}
{{- end }}

{{/* Labels that never change: they are in selectors, and in the policies that the operator makes for agents. */}}
{{- define "longshore.selector" -}}
app.kubernetes.io/name: longshore
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "longshore.labels" -}}
{{ include "longshore.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "longshore.watchesAll" -}}
{{- if has "*" .Values.watchNamespaces -}}true{{- end -}}
{{- end }}

{{/* Watched namespaces that are known by name, as a JSON list. */}}
{{- define "longshore.namespaces" -}}
{{- if or (include "longshore.watchesAll" .) (empty .Values.watchNamespaces) -}}
{{- list .Release.Namespace | toJson -}}
{{- else -}}
{{- .Values.watchNamespaces | uniq | toJson -}}
{{- end -}}
{{- end }}

{{/* Where the bot makes its kinds. */}}
{{- define "longshore.botNamespace" -}}
{{- include "longshore.namespaces" . | fromJsonArray | first -}}
{{- end }}

{{- define "longshore.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "longshore.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "longshore.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "longshore.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "longshore.logEnv" -}}
- name: RUST_LOG
  value: {{ .Values.logging.level | quote }}
- name: LONGSHORE_LOG_FORMAT
  value: {{ .Values.logging.format }}
{{- end }}

{{- define "longshore.watchEnv" -}}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: LONGSHORE_WATCH_NAMESPACES
  value: {{ if include "longshore.watchesAll" . }}"*"{{ else }}{{ include "longshore.namespaces" . | fromJsonArray | join "," | quote }}{{ end }}
{{- end }}

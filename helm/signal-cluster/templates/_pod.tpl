{{/*
What every pod of the release has in common. Each takes (dict "root" $ "pod" VALUES …), where VALUES are those of the
program: .Values.signal, .turn, .coturn, .redis.bundle or .tests.
*/}}

{{- define "signal-cluster.pullSecrets" -}}
{{- range .Values.global.imagePullSecrets }}
- name: {{ if kindIs "map" . }}{{ .name }}{{ else }}{{ . }}{{ end }}
{{- end }}
{{- end }}

{{/* Whether users and groups are OpenShift's to give. */}}
{{- define "signal-cluster.openshift" -}}
{{- $adapt := .Values.openshift.adaptSecurityContext }}
{{- if or (eq $adapt "force") (and (eq $adapt "auto") (.Capabilities.APIVersions.Has "security.openshift.io/v1")) }}true{{ end }}
{{- end }}

{{/* Takes (dict "base" MAP "over" MAP): the one over the other, without the fields that are null there. */}}
{{- define "signal-cluster.overlaid" -}}
{{- $base := default (dict) .base }}
{{- range $field, $value := default (dict) .over }}
{{- if kindIs "invalid" $value }}
{{- $base = omit $base $field }}
{{- else }}
{{- $base = mergeOverwrite (deepCopy $base) (dict $field $value) }}
{{- end }}
{{- end }}
{{- toYaml $base }}
{{- end }}

{{- define "signal-cluster.podSecurity" -}}
{{- $context := include "signal-cluster.overlaid" (dict "base" .root.Values.podSecurityContext "over" .pod.podSecurityContext) | fromYaml }}
{{- if include "signal-cluster.openshift" .root }}
{{- $context = omit $context "runAsUser" "runAsGroup" "fsGroup" }}
{{- end }}
{{- toYaml $context }}
{{- end }}

{{/* Takes "capabilities" too, which the program cannot do without. */}}
{{- define "signal-cluster.containerSecurity" -}}
{{- $context := default (dict) .root.Values.containerSecurityContext | deepCopy }}
{{- with .capabilities }}
{{- $context = mergeOverwrite $context (dict "capabilities" (dict "drop" (list "ALL") "add" .)) }}
{{- end }}
{{- $context = include "signal-cluster.overlaid" (dict "base" $context "over" .pod.containerSecurityContext) | fromYaml }}
{{- if include "signal-cluster.openshift" .root }}
{{- $context = omit $context "runAsUser" "runAsGroup" }}
{{- end }}
{{- toYaml $context }}
{{- end }}

{{/* A machine that is gone keeps its pods for so long. */}}
{{- define "signal-cluster.tolerations" -}}
{{- with .pod.tolerations }}
{{- toYaml . }}
{{- end }}
{{- if ge (int .pod.tolerationSeconds) 0 }}
{{- range list "not-ready" "unreachable" }}
- {key: node.kubernetes.io/{{ . }}, operator: Exists, effect: NoExecute, tolerationSeconds: {{ int $.pod.tolerationSeconds }}}
{{- end }}
{{- end }}
{{- end }}

{{/*
Takes "component" too. Even over machines, each version by itself; and zones with fewer pods first. A constraint on zones
would make the scheduler ignore the labels of machines without one, and then chance decides: docs/decisions/0020.
*/}}
{{- define "signal-cluster.spread" -}}
{{- $selector := include "signal-cluster.selector" . }}
affinity:
  {{- if .pod.affinity }}
  {{- toYaml .pod.affinity | nindent 2 }}
  {{- else }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: topology.kubernetes.io/zone
          labelSelector:
            matchLabels:
              {{- $selector | nindent 14 }}
  {{- end }}
topologySpreadConstraints:
  {{- if .pod.topologySpreadConstraints }}
  {{- toYaml .pod.topologySpreadConstraints | nindent 2 }}
  {{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- $selector | nindent 8 }}
  {{- end }}
{{- end }}

{{/* The fields of the spec. Takes "nodeSelector" too, merged over that of the values; "spread" and "component" for pods that spread. */}}
{{- define "signal-cluster.podFields" -}}
serviceAccountName: {{ include "signal-cluster.serviceAccount" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with include "signal-cluster.pullSecrets" .root | trim }}
imagePullSecrets:
  {{- . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "signal-cluster.podSecurity" . | nindent 2 }}
{{- with merge (dict) (default (dict) .nodeSelector) .pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "signal-cluster.tolerations" . | trim }}
tolerations:
  {{- . | nindent 2 }}
{{- end }}
{{- if .spread }}
{{ include "signal-cluster.spread" . | trim }}
{{- else }}
{{- with .pod.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .pod.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .pod.schedulerName }}
schedulerName: {{ . }}
{{- end }}
{{- with .pod.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pod.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
Labels and annotations of the pod. Takes "component" and "annotations", which are the chart's own; "lasting" for pods that a
new version of the chart alone does not roll.
*/}}
{{- define "signal-cluster.podMetadata" -}}
labels:
  {{- if .lasting }}
  {{- include "signal-cluster.selector" . | nindent 2 }}
  {{- with .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- else }}
  {{- include "signal-cluster.labels" . | nindent 2 }}
  {{- end }}
  {{- with merge (dict) (default (dict) .labels) .pod.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (default (dict) .annotations) .pod.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What users add to a container beside its lists. Takes the values of the program. */}}
{{- define "signal-cluster.containerFields" -}}
{{- with .envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .lifecycle }}
lifecycle:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Takes the values of a program: the fields of its Deployment. */}}
{{- define "signal-cluster.deploymentFields" -}}
revisionHistoryLimit: {{ .revisionHistoryLimit }}
{{- if .minReadySeconds }}
minReadySeconds: {{ .minReadySeconds }}
{{- end }}
{{- end }}

{{/* The addresses of every Service of the release. */}}
{{- define "signal-cluster.ipFamilies" -}}
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end }}

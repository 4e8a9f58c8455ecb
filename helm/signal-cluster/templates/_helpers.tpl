{{- define "signal-cluster.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Of 40 characters at most, since more is put behind it. A longer one ends with its hash: two releases never share it. */}}
{{- define "signal-cluster.fullname" -}}
{{- $name := printf "%s-%s" .Release.Name (include "signal-cluster.name" .) }}
{{- if .Values.fullnameOverride }}
{{- $name = .Values.fullnameOverride }}
{{- else if contains (include "signal-cluster.name" .) .Release.Name }}
{{- $name = .Release.Name }}
{{- end }}
{{- if gt (len $name) 40 }}
{{- $name = printf "%s-%s" ($name | trunc 31 | trimSuffix "-") ($name | sha256sum | trunc 8) }}
{{- end }}
{{- $name | trimSuffix "-" }}
{{- end }}

{{- define "signal-cluster.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "signal-cluster.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Takes (dict "root" $ "component" "signal"). Never changes over the life of a release. */}}
{{- define "signal-cluster.selector" -}}
app.kubernetes.io/name: {{ include "signal-cluster.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "signal-cluster.labels" -}}
{{ include "signal-cluster.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Takes (dict "root" $ "component" … "name" …); the metadata of an object. */}}
{{- define "signal-cluster.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "signal-cluster.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (default (dict) .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Takes (dict "root" $ "image" .Values.….image). */}}
{{- define "signal-cluster.image" -}}
{{- with .root.Values.global.imageRegistry }}{{ . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ default .root.Chart.AppVersion .image.tag }}{{ end }}
{{- end }}

{{- define "signal-cluster.redis" -}}
{{- if or .Values.redis.url .Values.redis.existingSecret .Values.redis.bundled }}true{{ end }}
{{- end }}

{{- define "signal-cluster.autoscaled" -}}
{{- if ne .Values.autoscaling.type "none" }}true{{ end }}
{{- end }}

{{- define "signal-cluster.turn" -}}
{{- if ne .Values.turn.mode "disabled" }}true{{ end }}
{{- end }}

{{/* Whether the credential service is in the pod of the node. */}}
{{- define "signal-cluster.beside" -}}
{{- if has .Values.turn.mode (list "sidecar" "container") }}true{{ end }}
{{- end }}

{{- define "signal-cluster.ownJwt" -}}
{{- if not (or .Values.auth.jwt.existingSecret .Values.auth.jwksUrl (eq .Values.signal.anonymous "always") (not .Values.signal.enabled)) }}true{{ end }}
{{- end }}

{{- define "signal-cluster.ownTurnSecret" -}}
{{- if and (include "signal-cluster.turn" .) (not (or .Values.turn.secret.existingSecret .Values.turn.redis.existingSecret)) }}true{{ end }}
{{- end }}

{{- define "signal-cluster.ownTurnToken" -}}
{{- if and (eq .Values.turn.mode "deployment") (not .Values.turn.token.existingSecret) }}true{{ end }}
{{- end }}

{{- define "signal-cluster.jwtSecret" -}}
{{- default (printf "%s-generated-jwt" (include "signal-cluster.fullname" .)) .Values.auth.jwt.existingSecret }}
{{- end }}

{{- define "signal-cluster.turnSecret" -}}
{{- default (printf "%s-generated-turn" (include "signal-cluster.fullname" .)) .Values.turn.secret.existingSecret }}
{{- end }}

{{- define "signal-cluster.turnToken" -}}
{{- default (printf "%s-generated-token" (include "signal-cluster.fullname" .)) .Values.turn.token.existingSecret }}
{{- end }}

{{/* Whether the secret of the relays is read: by the credential service, and by the test of a release of relays alone. */}}
{{- define "signal-cluster.relays" -}}
{{- if or (include "signal-cluster.turn" .) .Values.coturn.enabled }}true{{ end }}
{{- end }}

{{/* Takes (dict "root" $ "port" NUMBER): where a program listens. */}}
{{- define "signal-cluster.listen" -}}
{{- $address := .root.Values.listenAddress }}
{{- if contains ":" $address }}{{ $address = printf "[%s]" $address }}{{ end }}
{{- printf "%s:%d" $address (int .port) | quote }}
{{- end }}

{{/* An address as a URL has it (RFC 3986 §3.2.2). */}}
{{- define "signal-cluster.urlHost" -}}
{{- if contains ":" . }}[{{ . }}]{{ else }}{{ . }}{{ end }}
{{- end }}

{{/* Settings by name, each as text: the services read what it means. */}}
{{- define "signal-cluster.settings" -}}
{{- range $name, $value := . }}
{{ $name }} = {{ ternary (join "," $value) ($value | toString) (kindIs "slice" $value) | quote }}
{{- end }}
{{- end }}

{{/* The program of static-auth-secrets.awk on one line, without its comments, for a shell in single quotes. */}}
{{- define "signal-cluster.staticAuthSecrets" -}}
{{- regexReplaceAll "(?m)^#.*\n" (.Files.Get "static-auth-secrets.awk") "" | trim | replace "\n" " " }}
{{- end }}

{{/* Allocations of one user at a relay: (members - 1) x TURN URLs x networks. The chart's relays have two URLs. */}}
{{- define "signal-cluster.userQuota" -}}
{{- $room := .Values.turn.room }}
{{- .Values.coturn.userQuota | default (mul (sub (int $room.members) 1) 2 (int $room.networks)) }}
{{- end }}

{{/*
How many nodes there should be. Where an autoscaler decides, as many as there are: without the field the API server says 1,
and members of all other pods would move. Where Helm cannot look at the cluster, the least; GitOps ignores the field.
*/}}
{{- define "signal-cluster.replicas" -}}
{{- if include "signal-cluster.autoscaled" . }}
{{- $running := dig "spec" "replicas" 0 (lookup "apps/v1" "Deployment" .Release.Namespace (include "signal-cluster.fullname" .)) }}
{{- $least := max (int .Values.signal.replicas) (int .Values.autoscaling.minReplicas) }}
{{- max (int $running | default $least) (int .Values.autoscaling.minReplicas) }}
{{- else }}
{{- .Values.signal.replicas }}
{{- end }}
{{- end }}

{{- define "signal-cluster.disruption" -}}
{{- with .Values.podDisruptionBudget }}
{{- if .minAvailable }}
minAvailable: {{ .minAvailable }}
{{- else }}
maxUnavailable: {{ .maxUnavailable }}
{{- end }}
unhealthyPodEvictionPolicy: {{ .unhealthyPodEvictionPolicy }}
{{- end }}
{{- end }}

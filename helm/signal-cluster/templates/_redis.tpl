{{/* How the nodes reach their Redis: .Values.redis, or what stands for it where the release brings one. */}}
{{- define "signal-cluster.redisValues" -}}
{{- $redis := deepCopy .Values.redis }}
{{- if .Values.redis.bundled }}
{{- $name := include "signal-cluster.fullname" . }}
{{- $redis = mergeOverwrite $redis (dict "url" (printf "redis://%s-redis:6379" $name) "passwordSecret" (printf "%s-generated-redis" $name) "passwordKey" "password") }}
{{- end }}
{{- toYaml $redis }}
{{- end }}

{{/* How a service reaches its Redis beside the URL. Each takes (dict "redis" VALUES "prefix" PREFIX "name" VOLUME). */}}
{{- define "signal-cluster.redisEnv" -}}
{{- with .redis.username }}
- {name: {{ $.prefix }}_REDIS_USERNAME, value: {{ . | quote }}}
{{- end }}
{{- if .redis.passwordSecret }}
- {name: {{ .prefix }}_REDIS_PASSWORD_FILE, value: /run/secrets/{{ .name }}-password/{{ .redis.passwordKey }}}
{{- end }}
{{- if .redis.caSecret }}
- {name: {{ .prefix }}_REDIS_CA_FILE, value: /run/secrets/{{ .name }}-ca/{{ .redis.caKey }}}
{{- end }}
{{- if .redis.certSecret }}
- {name: {{ .prefix }}_REDIS_CERT_FILE, value: /run/secrets/{{ .name }}-cert/tls.crt}
- {name: {{ .prefix }}_REDIS_KEY_FILE, value: /run/secrets/{{ .name }}-cert/tls.key}
{{- end }}
{{- with .redis.sentinel }}
{{- with .name }}
- {name: {{ $.prefix }}_REDIS_SENTINEL_NAME, value: {{ . | quote }}}
{{- end }}
{{- with .username }}
- {name: {{ $.prefix }}_REDIS_SENTINEL_USERNAME, value: {{ . | quote }}}
{{- end }}
{{- if .passwordSecret }}
- {name: {{ $.prefix }}_REDIS_SENTINEL_PASSWORD_FILE, value: /run/secrets/{{ $.name }}-sentinel/{{ .passwordKey }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "signal-cluster.redisMounts" -}}
{{- if .redis.passwordSecret }}
- {name: {{ .name }}-password, mountPath: /run/secrets/{{ .name }}-password, readOnly: true}
{{- end }}
{{- if .redis.caSecret }}
- {name: {{ .name }}-ca, mountPath: /run/secrets/{{ .name }}-ca, readOnly: true}
{{- end }}
{{- if .redis.certSecret }}
- {name: {{ .name }}-cert, mountPath: /run/secrets/{{ .name }}-cert, readOnly: true}
{{- end }}
{{- if dig "sentinel" "passwordSecret" "" .redis }}
- {name: {{ .name }}-sentinel, mountPath: /run/secrets/{{ .name }}-sentinel, readOnly: true}
{{- end }}
{{- end }}

{{- define "signal-cluster.redisVolumes" -}}
{{- with .redis.passwordSecret }}
- name: {{ $.name }}-password
  secret: {secretName: {{ . }}, items: [{key: {{ $.redis.passwordKey }}, path: {{ $.redis.passwordKey }}}], defaultMode: 0440}
{{- end }}
{{- with .redis.caSecret }}
- name: {{ $.name }}-ca
  secret: {secretName: {{ . }}, items: [{key: {{ $.redis.caKey }}, path: {{ $.redis.caKey }}}], defaultMode: 0440}
{{- end }}
{{- with .redis.certSecret }}
- name: {{ $.name }}-cert
  secret: {secretName: {{ . }}, items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}], defaultMode: 0440}
{{- end }}
{{- with dig "sentinel" "passwordSecret" "" .redis }}
- name: {{ $.name }}-sentinel
  secret: {secretName: {{ . }}, items: [{key: {{ $.redis.sentinel.passwordKey }}, path: {{ $.redis.sentinel.passwordKey }}}], defaultMode: 0440}
{{- end }}
{{- end }}

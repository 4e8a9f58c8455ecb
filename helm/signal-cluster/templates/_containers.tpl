{{/* The probes of a container with these ports. */}}
{{- define "signal-cluster.probes" -}}
startupProbe:
  httpGet: {path: /startupz, port: {{ . }}}
  periodSeconds: 1
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /livez, port: {{ . }}}
  periodSeconds: 10
  failureThreshold: 3
{{- end }}

{{- define "signal-cluster.signalContainer" -}}
{{- $redis := include "signal-cluster.redisValues" . | fromYaml }}
- name: signal-node
  image: {{ include "signal-cluster.image" (dict "root" . "image" .Values.signal.image) }}
  imagePullPolicy: {{ .Values.signal.image.pullPolicy }}
  args: [serve]
  securityContext:
    {{- include "signal-cluster.containerSecurity" (dict "root" . "pod" .Values.signal) | nindent 4 }}
  env:
    - {name: SIGNAL_NODE_CONFIG, value: /etc/signal-cluster/signal-node.toml}
    - {name: SIGNAL_NODE_LISTEN, value: {{ include "signal-cluster.listen" (dict "root" . "port" 8080) }}}
    - {name: SIGNAL_NODE_ADMIN_LISTEN, value: {{ include "signal-cluster.listen" (dict "root" . "port" 9080) }}}
    - {name: SIGNAL_NODE_BACKEND, value: {{ ternary "redis" "memory" (eq (include "signal-cluster.redis" .) "true") }}}
    {{- if $redis.existingSecret }}
    - {name: SIGNAL_NODE_REDIS_URL_FILE, value: /run/secrets/redis/{{ $redis.key }}}
    {{- else if $redis.url }}
    - {name: SIGNAL_NODE_REDIS_URL, value: {{ $redis.url | quote }}}
    {{- end }}
    {{- with $redis.prefix }}
    - {name: SIGNAL_NODE_REDIS_PREFIX, value: {{ . | quote }}}
    {{- end }}
    {{- with include "signal-cluster.redisEnv" (dict "redis" $redis "prefix" "SIGNAL_NODE" "name" "redis") | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    - {name: SIGNAL_NODE_ANONYMOUS, value: {{ .Values.signal.anonymous }}}
    {{- if or .Values.auth.jwt.existingSecret (include "signal-cluster.ownJwt" .) }}
    - {name: SIGNAL_NODE_JWT_SECRET_FILE, value: /run/secrets/jwt/{{ .Values.auth.jwt.key }}}
    {{- end }}
    {{- with include "signal-cluster.tokenEnv" (dict "root" . "prefix" "SIGNAL_NODE") | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with .Values.webhooks }}
    {{- if .existingSecret }}
    - {name: SIGNAL_NODE_WEBHOOK_URLS_FILE, value: /run/secrets/webhooks/{{ .urlsKey }}}
    {{- with .secretKey }}
    - {name: SIGNAL_NODE_WEBHOOK_SECRET_FILE, value: /run/secrets/webhooks/{{ . }}}
    {{- end }}
    {{- with .events }}
    - {name: SIGNAL_NODE_WEBHOOK_EVENTS, value: {{ join "," . | quote }}}
    {{- end }}
    {{- with .networks }}
    - {name: SIGNAL_NODE_WEBHOOK_NETWORKS, value: {{ join "," . | quote }}}
    {{- end }}
    {{- end }}
    {{- end }}
    {{- with .Values.signal.allowedOrigins }}
    - {name: SIGNAL_NODE_ALLOWED_ORIGINS, value: {{ join "," . | quote }}}
    {{- end }}
    {{- with .Values.signal.dialects }}
    - {name: SIGNAL_NODE_DIALECTS, value: {{ join "," . | quote }}}
    {{- end }}
    {{- with .Values.signal.trustedProxies }}
    - {name: SIGNAL_NODE_TRUSTED_PROXIES, value: {{ join "," . | quote }}}
    {{- end }}
    {{- if include "signal-cluster.beside" . }}
    - {name: SIGNAL_NODE_CREDENTIALS_URL, value: "unix:/run/turn-cred/turn-cred.sock"}
    {{- else if eq .Values.turn.mode "deployment" }}
    - {name: SIGNAL_NODE_CREDENTIALS_URL, value: "http://{{ include "signal-cluster.fullname" . }}-turn:8091"}
    - {name: SIGNAL_NODE_CREDENTIALS_TOKEN_FILE, value: /run/secrets/turn-token/{{ .Values.turn.token.key }}}
    {{- end }}
    - {name: SIGNAL_NODE_DRAIN_DELAY, value: {{ .Values.signal.drain.delaySeconds }}s}
    - {name: SIGNAL_NODE_DRAIN_DEADLINE, value: {{ .Values.signal.drain.deadlineSeconds }}s}
    - {name: SIGNAL_NODE_LOG, value: {{ .Values.signal.log | quote }}}
    - {name: SIGNAL_NODE_LOG_FORMAT, value: json}
    {{- with .Values.signal.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with include "signal-cluster.containerFields" .Values.signal | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  ports:
    - {name: http, containerPort: 8080}
    - {name: admin, containerPort: 9080}
  {{- include "signal-cluster.probes" "admin" | nindent 2 }}
  readinessProbe:
    httpGet: {path: /readyz, port: admin}
    periodSeconds: 2
    failureThreshold: 1
  resources:
    {{- toYaml .Values.signal.resources | nindent 4 }}
  volumeMounts:
    - {name: config, mountPath: /etc/signal-cluster, readOnly: true}
    {{- if or .Values.auth.jwt.existingSecret (include "signal-cluster.ownJwt" .) }}
    - {name: jwt, mountPath: /run/secrets/jwt, readOnly: true}
    {{- end }}
    {{- if .Values.webhooks.existingSecret }}
    - {name: webhooks, mountPath: /run/secrets/webhooks, readOnly: true}
    {{- end }}
    {{- if .Values.redis.existingSecret }}
    - {name: redis, mountPath: /run/secrets/redis, readOnly: true}
    {{- end }}
    {{- with include "signal-cluster.redisMounts" (dict "redis" $redis "name" "redis") | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- if include "signal-cluster.beside" . }}
    - {name: turn-socket, mountPath: /run/turn-cred}
    {{- else if eq .Values.turn.mode "deployment" }}
    - {name: turn-token, mountPath: /run/secrets/turn-token, readOnly: true}
    {{- end }}
    {{- with .Values.signal.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* Takes (dict "root" $ "prefix" …). */}}
{{- define "signal-cluster.tokenEnv" -}}
{{- with .root.Values.auth.jwksUrl }}
- {name: {{ $.prefix }}_JWKS_URL, value: {{ . | quote }}}
{{- end }}
{{- with .root.Values.auth.issuer }}
- {name: {{ $.prefix }}_JWT_ISSUER, value: {{ . | quote }}}
{{- end }}
{{- with .root.Values.auth.audience }}
- {name: {{ $.prefix }}_JWT_AUDIENCE, value: {{ . | quote }}}
{{- end }}
{{- end }}

{{- define "signal-cluster.turnEnv" -}}
- {name: TURN_CRED_CONFIG, value: /etc/signal-cluster/turn-cred-service.toml}
{{- with .Values.turn.uris }}
- {name: TURN_CRED_URIS, value: {{ join "," . | quote }}}
{{- end }}
- {name: TURN_CRED_TTL, value: {{ .Values.turn.ttlSeconds }}s}
{{- if .Values.turn.redis.existingSecret }}
- {name: TURN_CRED_REDIS_URL_FILE, value: /run/secrets/turn-redis/{{ .Values.turn.redis.key }}}
{{- with include "signal-cluster.redisEnv" (dict "redis" .Values.turn.redis "prefix" "TURN_CRED" "name" "turn-redis") | trim }}
{{- . | nindent 0 }}
{{- end }}
- {name: TURN_CRED_REALM, value: {{ .Values.turn.redis.realm | quote }}}
{{- with .Values.turn.redis.rotateEvery }}
- {name: TURN_CRED_ROTATE_EVERY, value: {{ . | quote }}}
{{- end }}
{{- else }}
- {name: TURN_CRED_SECRET_FILE, value: /run/secrets/turn/{{ .Values.turn.secret.key }}}
{{- end }}
{{- with .Values.redis.prefix }}
- {name: TURN_CRED_ROOMS_REDIS_PREFIX, value: {{ . | quote }}}
{{- end }}
- {name: TURN_CRED_LOG, value: {{ .Values.turn.log | quote }}}
- {name: TURN_CRED_LOG_FORMAT, value: json}
{{- end }}

{{- define "signal-cluster.turnMounts" -}}
- {name: config, mountPath: /etc/signal-cluster, readOnly: true}
{{- if .Values.turn.redis.existingSecret }}
- {name: turn-redis, mountPath: /run/secrets/turn-redis, readOnly: true}
{{- with include "signal-cluster.redisMounts" (dict "redis" .Values.turn.redis "name" "turn-redis") | trim }}
{{- . | nindent 0 }}
{{- end }}
{{- else }}
- {name: turn, mountPath: /run/secrets/turn, readOnly: true}
{{- end }}
{{- end }}

{{/* Takes (dict "root" $ "native" true|false): as a native sidecar it starts before the node and stops after it. */}}
{{- define "signal-cluster.turnContainer" -}}
{{- $v := .root.Values }}
- name: turn-cred-service
  image: {{ include "signal-cluster.image" (dict "root" .root "image" $v.turn.image) }}
  imagePullPolicy: {{ $v.turn.image.pullPolicy }}
  args: [serve]
  {{- if .native }}
  restartPolicy: Always
  {{- end }}
  securityContext:
    {{- include "signal-cluster.containerSecurity" (dict "root" .root "pod" $v.turn) | nindent 4 }}
  env:
    {{- include "signal-cluster.turnEnv" .root | trim | nindent 4 }}
    - {name: TURN_CRED_ADMIN_LISTEN, value: {{ include "signal-cluster.listen" (dict "root" .root "port" 9091) }}}
    {{- if eq $v.turn.mode "deployment" }}
    - {name: TURN_CRED_LISTEN, value: {{ include "signal-cluster.listen" (dict "root" .root "port" 8090) }}}
    - {name: TURN_CRED_INTERNAL_LISTEN, value: {{ include "signal-cluster.listen" (dict "root" .root "port" 8091) }}}
    - {name: TURN_CRED_INTERNAL_TOKEN_FILE, value: /run/secrets/turn-token/{{ $v.turn.token.key }}}
    {{- if or $v.auth.jwt.existingSecret (include "signal-cluster.ownJwt" .root) }}
    - {name: TURN_CRED_JWT_SECRET_FILE, value: /run/secrets/jwt/{{ $v.auth.jwt.key }}}
    {{- end }}
    {{- with include "signal-cluster.tokenEnv" (dict "root" .root "prefix" "TURN_CRED") | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- else }}
    - {name: TURN_CRED_LISTEN, value: "127.0.0.1:8090"}
    - {name: TURN_CRED_INTERNAL_LISTEN, value: "unix:/run/turn-cred/turn-cred.sock"}
    {{- end }}
    {{- with $v.turn.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with include "signal-cluster.containerFields" $v.turn | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  ports:
    {{- if eq $v.turn.mode "deployment" }}
    - {name: http, containerPort: 8090}
    - {name: internal, containerPort: 8091}
    {{- end }}
    - {name: turn-admin, containerPort: 9091}
  {{- include "signal-cluster.probes" "turn-admin" | nindent 2 }}
  {{- if eq $v.turn.mode "deployment" }}
  readinessProbe:
    httpGet: {path: /readyz, port: turn-admin}
    periodSeconds: 2
  {{- end }}
  resources:
    {{- toYaml $v.turn.resources | nindent 4 }}
  volumeMounts:
    {{- include "signal-cluster.turnMounts" .root | trim | nindent 4 }}
    {{- if eq $v.turn.mode "deployment" }}
    - {name: turn-token, mountPath: /run/secrets/turn-token, readOnly: true}
    {{- if or $v.auth.jwt.existingSecret (include "signal-cluster.ownJwt" .root) }}
    - {name: jwt, mountPath: /run/secrets/jwt, readOnly: true}
    {{- end }}
    {{- else }}
    - {name: turn-socket, mountPath: /run/turn-cred}
    {{- end }}
    {{- with $v.turn.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* Takes (dict "root" $ "signal" bool "turn" bool): the volumes of what runs in a pod. */}}
{{- define "signal-cluster.volumes" -}}
{{- $v := .root.Values }}
{{- $redis := include "signal-cluster.redisValues" .root | fromYaml }}
- name: config
  configMap: {name: {{ include "signal-cluster.fullname" .root }}}
{{- if or $v.auth.jwt.existingSecret (include "signal-cluster.ownJwt" .root) }}
- name: jwt
  secret: {secretName: {{ include "signal-cluster.jwtSecret" .root }}, items: [{key: {{ $v.auth.jwt.key }}, path: {{ $v.auth.jwt.key }}}], defaultMode: 0440}
{{- end }}
{{- if and .signal $v.redis.existingSecret }}
- name: redis
  secret: {secretName: {{ $v.redis.existingSecret }}, items: [{key: {{ $v.redis.key }}, path: {{ $v.redis.key }}}], defaultMode: 0440}
{{- end }}
{{- if and .signal $v.webhooks.existingSecret }}
- name: webhooks
  secret: {secretName: {{ $v.webhooks.existingSecret }}, items: [{key: {{ $v.webhooks.urlsKey }}, path: {{ $v.webhooks.urlsKey }}}{{ with $v.webhooks.secretKey }}, {key: {{ . }}, path: {{ . }}}{{ end }}], defaultMode: 0440}
{{- end }}
{{- if .signal }}
{{- with include "signal-cluster.redisVolumes" (dict "redis" $redis "name" "redis") | trim }}
{{- . | nindent 0 }}
{{- end }}
{{- end }}
{{- if .turn }}
{{- if $v.turn.redis.existingSecret }}
- name: turn-redis
  secret: {secretName: {{ $v.turn.redis.existingSecret }}, items: [{key: {{ $v.turn.redis.key }}, path: {{ $v.turn.redis.key }}}], defaultMode: 0440}
{{- with include "signal-cluster.redisVolumes" (dict "redis" $v.turn.redis "name" "turn-redis") | trim }}
{{- . | nindent 0 }}
{{- end }}
{{- else }}
- name: turn
  secret: {secretName: {{ include "signal-cluster.turnSecret" .root }}, items: [{key: {{ $v.turn.secret.key }}, path: {{ $v.turn.secret.key }}}], defaultMode: 0440}
{{- end }}
{{- end }}
{{- if include "signal-cluster.beside" .root }}
- name: turn-socket
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- else if eq $v.turn.mode "deployment" }}
- name: turn-token
  secret: {secretName: {{ include "signal-cluster.turnToken" .root }}, items: [{key: {{ $v.turn.token.key }}, path: {{ $v.turn.token.key }}}], defaultMode: 0440}
{{- end }}
{{- with and .signal $v.signal.extraVolumes }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- with and .turn $v.turn.extraVolumes }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end }}

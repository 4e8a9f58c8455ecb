{{/* Combinations that cannot work, each refused with what to do. */}}
{{- define "signal-cluster.validate" -}}
{{- $v := .Values }}
{{- $redis := include "signal-cluster.redis" . }}
{{- if and (not $redis) (include "signal-cluster.autoscaled" .) }}
{{- fail "autoscaling needs Redis: set redis.existingSecret or redis.url, for trying redis.bundled=true, or autoscaling.type=none" }}
{{- end }}
{{- if and (not $redis) (gt (int $v.signal.replicas) 1) }}
{{- fail "more than one replica needs Redis, or members of a room on different nodes never meet: set redis.existingSecret or redis.url, for trying redis.bundled=true, or signal.replicas=1" }}
{{- end }}
{{- if and $v.redis.url $v.redis.existingSecret }}
{{- fail "redis.url and redis.existingSecret are two answers to one question: set one of them" }}
{{- end }}
{{- if and $v.redis.bundled (or $v.redis.url $v.redis.existingSecret $v.redis.passwordSecret $v.redis.username $v.redis.sentinel.name) }}
{{- fail "redis.bundled brings a Redis of the release, with a password of its own: leave everything else of redis empty, or set redis.bundled=false" }}
{{- end }}
{{- if contains "@" $v.redis.url }}
{{- fail "redis.url holds a password, which everybody could read in the Deployment: put the URL into a Secret and name it in redis.existingSecret" }}
{{- end }}
{{- if and (not $redis) (or $v.redis.username $v.redis.passwordSecret $v.redis.caSecret $v.redis.certSecret) }}
{{- fail "redis.url and redis.existingSecret are empty, so that nothing else of redis is used: set one of them" }}
{{- end }}
{{- if and (has "*" $v.signal.allowedOrigins) (eq $v.signal.anonymous "always") }}
{{- fail "allowedOrigins=* with anonymous=always lets every page of the world signal over this cluster: name the origins, or ask for tokens" }}
{{- end }}
{{- if ge (int $v.signal.drain.delaySeconds) (int $v.signal.drain.deadlineSeconds) }}
{{- fail "signal.drain.deadlineSeconds must be longer than delaySeconds, or nobody is handed over" }}
{{- end }}
{{- range list "listen" "admin_listen" "backend" "redis_url" "redis_prefix" "jwt_secret" "credentials_url" "drain_delay" "drain_deadline" }}
{{- if hasKey $v.signal.config . }}
{{- fail (printf "signal.config.%s is the chart's to set: see values.yaml for the value that stands for it" .) }}
{{- end }}
{{- end }}
{{- if include "signal-cluster.turn" . }}
{{- if not (or $v.turn.uris $v.turn.extraConfig $v.coturn.enabled) }}
{{- fail (printf "turn.mode=%s needs relays: set turn.uris, coturn.enabled=true, or [[pools]] in turn.extraConfig" $v.turn.mode) }}
{{- end }}
{{- if and (include "signal-cluster.ownTurnSecret" .) (not $v.coturn.enabled) }}
{{- fail "relays of your own share a secret with the credential service: name it in turn.secret.existingSecret, or their Redis in turn.redis.existingSecret" }}
{{- end }}
{{- if and $v.turn.redis.rotateEvery (not $v.turn.redis.existingSecret) }}
{{- fail "turn.redis.rotateEvery needs the Redis of the relays: set turn.redis.existingSecret" }}
{{- end }}
{{- if and $v.coturn.enabled $v.turn.uris }}
{{- fail "turn.uris and coturn.enabled both name relays: leave uris empty, or describe all of them as [[pools]] in turn.extraConfig and set coturn.enabled=false" }}
{{- end }}
{{- else if and $v.coturn.enabled $v.signal.enabled }}
{{- fail "coturn admits nobody without the credential service: set turn.mode, such as sidecar, or signal.enabled=false for a release of relays alone" }}
{{- end }}
{{- if not $v.signal.enabled }}
{{- if not $v.coturn.enabled }}
{{- fail "signal.enabled=false is a release of relays alone: set coturn.enabled=true" }}
{{- end }}
{{- if include "signal-cluster.turn" . }}
{{- fail "signal.enabled=false is a release of relays alone: leave turn.mode disabled here, and name these relays in turn.extraConfig of the release with the nodes" }}
{{- end }}
{{- if not (or $v.turn.secret.existingSecret $v.turn.redis.existingSecret) }}
{{- fail "relays alone share a secret with the credential service of another release: name it in turn.secret.existingSecret, or their Redis in turn.redis.existingSecret" }}
{{- end }}
{{- if or $v.redis.bundled (include "signal-cluster.autoscaled" .) }}
{{- fail "signal.enabled=false is a release of relays alone: redis.bundled and autoscaling are for nodes" }}
{{- end }}
{{- end }}
{{- if and $v.turn.secret.existingSecret $v.turn.redis.existingSecret }}
{{- fail "turn.secret and turn.redis are two sources of one secret: set one of them" }}
{{- end }}
{{- if and $v.coturn.enabled (not $v.coturn.relays) }}
{{- fail "coturn.enabled needs coturn.relays: each with a name and the externalIp by which clients reach it" }}
{{- end }}
{{- if regexMatch "(?m)^\\s*static-auth-secret" $v.coturn.extraConfig }}
{{- fail "coturn.extraConfig has static-auth-secret, which everybody could read in the ConfigMap: put the key into the Secret of turn.secret.existingSecret" }}
{{- end }}
{{- if gt (int $v.coturn.minPort) (int $v.coturn.maxPort) }}
{{- fail "coturn.maxPort is below coturn.minPort" }}
{{- end }}
{{- if and $v.coturn.enabled (eq $v.coturn.expose "loadBalancer") (gt (sub (int $v.coturn.maxPort) (int $v.coturn.minPort)) 250) }}
{{- fail "a Service lists each port, and load balancers take a few hundred at most: bring coturn.minPort and maxPort closer together, or set coturn.expose=host" }}
{{- end }}
{{- if and (eq $v.autoscaling.type "keda") (not $v.autoscaling.prometheusAddress) }}
{{- fail "autoscaling.type=keda needs autoscaling.prometheusAddress, where it asks for signal_connections" }}
{{- end }}
{{- if and $v.service.nodePort (eq $v.service.type "ClusterIP") }}
{{- fail "service.nodePort needs service.type NodePort or LoadBalancer" }}
{{- end }}
{{- if and (eq $v.service.type "ClusterIP") (or $v.service.externalTrafficPolicy $v.service.loadBalancerClass $v.service.loadBalancerIP $v.service.loadBalancerSourceRanges) }}
{{- fail "externalTrafficPolicy and the fields of load balancers need service.type LoadBalancer (externalTrafficPolicy also NodePort)" }}
{{- end }}
{{- if gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) }}
{{- fail "autoscaling.minReplicas is above maxReplicas" }}
{{- end }}
{{- if and $v.ingress.enabled (not $v.ingress.hosts) }}
{{- fail "ingress.enabled needs ingress.hosts" }}
{{- end }}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) }}
{{- fail "httpRoute.enabled needs httpRoute.parentRefs: the Gateway it belongs to" }}
{{- end }}
{{- end }}

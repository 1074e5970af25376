{{/* Names, labels and images. Every name that two files use is made here. */}}

{{- define "vestibule.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 46 | trimSuffix "-" -}}
{{- end -}}

{{/* 46: the longest suffix is -operator-metrics, and a name of a Service has 63 characters. */}}
{{- define "vestibule.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 46 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 46 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 46 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Cluster-scoped objects: installations of several namespaces must not meet. Call with (list $ suffix). */}}
{{- define "vestibule.clusterName" -}}
{{- $root := index . 0 -}}
{{- printf "%s-%s.%s" (include "vestibule.fullname" $root) (index . 1) $root.Release.Namespace -}}
{{- end -}}

{{/* Call with (list $ component). */}}
{{- define "vestibule.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "vestibule.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "vestibule.labels" -}}
{{- $root := index . 0 -}}
{{ include "vestibule.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: vestibule
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name ($root.Chart.Version | replace "+" "_") }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Call with (dict "image" … "default" …). */}}
{{- define "vestibule.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- $tag := default .default .image.tag -}}
{{- if or (not $tag) (eq $tag "latest") -}}
{{- fail (printf "\n\nimage %s: give a tag that stays what it is, or a digest.\n" .image.repository) -}}
{{- end -}}
{{- printf "%s:%s" .image.repository $tag -}}
{{- end -}}
{{- end -}}

{{- define "vestibule.checkService" -}}{{ include "vestibule.fullname" . }}-check{{- end -}}
{{- define "vestibule.browserService" -}}{{ include "vestibule.fullname" . }}-browser{{- end -}}
{{- define "vestibule.keysSecret" -}}{{ include "vestibule.fullname" . }}-keys{{- end -}}
{{- define "vestibule.redisName" -}}{{ include "vestibule.fullname" . }}-redis{{- end -}}
{{- define "vestibule.lease" -}}{{ include "vestibule.fullname" . }}-operator{{- end -}}

{{/* Call with (list $ component). */}}
{{- define "vestibule.serviceAccount" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $account := (index $root.Values $component).serviceAccount -}}
{{- if $account.create -}}
{{- default (printf "%s-%s" (include "vestibule.fullname" $root) $component) $account.name -}}
{{- else -}}
{{- $account.name -}}
{{- end -}}
{{- end -}}

{{/* What one value cannot say about another; the schema checks the rest. */}}
{{- define "vestibule.validate" -}}
{{- $external := .Values.redis.url.secretRef.name -}}
{{- if and $external .Values.redis.embedded.enabled -}}
{{- fail "\n\nredis: set either redis.url.secretRef.name or redis.embedded.enabled, not both.\n" -}}
{{- end -}}
{{- if not (or $external .Values.redis.embedded.enabled) -}}
{{- fail "\n\nredis: sessions need a store.\n  For production: redis.url.secretRef.name=NAME, a Secret of this namespace whose key `url` holds redis://… or rediss://…\n  For a trial:    redis.embedded.enabled=true\n" -}}
{{- end -}}
{{- range $name, $class := .Values.ingressClasses -}}
{{- if and (eq $class.controller "k8s.io/ingress-nginx") (not $class.servedBy) -}}
{{- fail (printf "\n\ningressClasses.%s.servedBy: write IngressNginx or Traefik. Both claim the controller k8s.io/ingress-nginx and ask in different ways, so it is not guessed.\n" $name) -}}
{{- end -}}
{{- if and (ne $class.controller "k8s.io/ingress-nginx") $class.servedBy -}}
{{- fail (printf "\n\ningressClasses.%s.servedBy: leave it out. It is for the controller k8s.io/ingress-nginx only.\n" $name) -}}
{{- end -}}
{{- end -}}
{{- range $component := list "authsvc" "operator" -}}
{{- $account := (index $.Values $component).serviceAccount -}}
{{- if and (not $account.create) (not $account.name) -}}
{{- fail (printf "\n\n%s.serviceAccount.name: is required where serviceAccount.create is false.\n" $component) -}}
{{- end -}}
{{- end -}}
{{- if eq (include "vestibule.serviceAccount" (list . "authsvc")) (include "vestibule.serviceAccount" (list . "operator")) -}}
{{- fail "\n\nauthsvc.serviceAccount.name: must differ from operator.serviceAccount.name: authsvc would get the operator's rights.\n" -}}
{{- end -}}
{{- end -}}

{{/* The version to write a MutatingAdmissionPolicy in; empty: none. */}}
{{- define "vestibule.mutatingVersion" -}}
{{- $group := "admissionregistration.k8s.io" -}}
{{- if and .Values.admission.enabled (ne (toString .Values.admission.mutating) "false") -}}
{{- if .Capabilities.APIVersions.Has (printf "%s/v1/MutatingAdmissionPolicy" $group) -}}
{{ $group }}/v1
{{- else if .Capabilities.APIVersions.Has (printf "%s/v1beta1/MutatingAdmissionPolicy" $group) -}}
{{ $group }}/v1beta1
{{- else if eq (toString .Values.admission.mutating) "true" -}}
{{- fail "\n\nadmission.mutating: this API server has no MutatingAdmissionPolicy. Write auto or false; for helm template add --api-versions admissionregistration.k8s.io/v1/MutatingAdmissionPolicy.\n" -}}
{{- end -}}
{{- end -}}
{{- end -}}

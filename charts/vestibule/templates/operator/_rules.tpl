{{/* The operator's rights. Without a scope all of it is one ClusterRole and the Role of its own
     namespace; with one, a Role in each namespace, and a ClusterRole for what has no namespace. */}}

{{/* What has no namespace, and the namespaces themselves. No Secrets. */}}
{{- define "vestibule.rules.cluster" -}}
- apiGroups: [vestibule.dev]
  resources: [clusterbffproviders, bffhostgrants]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
{{- end -}}

{{/* Where the apps are. */}}
{{- define "vestibule.rules.apps" -}}
- apiGroups: [vestibule.dev]
  resources: [bffpolicies, bffproviders]
  verbs: [get, list, watch]
- apiGroups: [vestibule.dev]
  resources: [bffpolicies/status]
  verbs: [patch]
# Those that policies refer to: client secrets, keys, authorities.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch, patch]
- apiGroups: [traefik.io]
  resources: [ingressroutes]
  verbs: [get, list, watch]
- apiGroups: [traefik.io]
  resources: [middlewares]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* Vestibule's own namespace: compiled policies, keys, routes of /bff, the lease, authsvc's pods. */}}
{{- define "vestibule.rules.own" -}}
# `update` where keys that others added to a compiled Secret must go.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [traefik.io]
  resources: [ingressroutes]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* A role and its binding. Call with (dict "root" $ "name" … "namespace" … "rules" …); without a
     namespace it is a ClusterRole. */}}
{{- define "vestibule.role" -}}
{{- $kind := empty .namespace | ternary "ClusterRole" "Role" -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "vestibule.labels" (list .root "operator") | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "vestibule.labels" (list .root "operator") | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ include "vestibule.serviceAccount" (list .root "operator") }}
    namespace: {{ .root.Release.Namespace }}
{{- end -}}

{{/* What the admission policies share: which objects they see, and the wiring as CEL variables. The
     operator writes the same text (operator/src/reconcile/build). Names that get into CEL are limited
     to DNS characters by values.schema.json, so they cannot leave their quotes. */}}

{{- define "vestibule.admission.scope" -}}
{{- with .Values.scope -}}
namespaceSelector:
  matchExpressions:
    - {key: kubernetes.io/metadata.name, operator: In, values: {{ toJson . }}}
{{ end -}}
{{- end -}}

{{/* The operator wires what is there, repairs and releases. */}}
{{- define "vestibule.admission.notOperator" -}}
request.userInfo.username != 'system:serviceaccount:{{ .Release.Namespace }}:{{ include "vestibule.serviceAccount" (list . "operator") }}'
{{- end -}}

{{/* Names of classes by controller, as CEL. */}}
{{- define "vestibule.admission.dialects" -}}
{{- $pairs := list -}}
{{- range $name, $class := .Values.ingressClasses -}}
{{- if eq $class.controller "k8s.io/ingress-nginx" -}}
{{- $pairs = append $pairs (printf "'%s': '%s'" $name (eq $class.servedBy "Traefik" | ternary "traefik" "nginx")) -}}
{{- end -}}
{{- end -}}
{ {{- join ", " $pairs -}} }
{{- end -}}

{{- define "vestibule.admission.traefikClasses" -}}
{{- $names := list -}}
{{- range $name, $class := .Values.ingressClasses -}}
{{- if eq $class.controller "traefik.io/ingress-controller" -}}
{{- $names = append $names (printf "'%s'" $name) -}}
{{- end -}}
{{- end -}}
[ {{- join ", " $names -}} ]
{{- end -}}

{{/* Text for messages. */}}
{{- define "vestibule.admission.classNames" -}}
{{- with keys .Values.ingressClasses | sortAlpha }}{{ join ", " . }}{{ else }}none{{ end -}}
{{- end -}}

{{- define "vestibule.admission.policyVariables" -}}
- name: annotations
  expression: object.metadata.?annotations.orValue({})
- name: old
  expression: "oldObject == null ? {} : oldObject.metadata.?annotations.orValue({})"
- name: policy
  expression: variables.annotations[?'vestibule.dev/policy'].orValue('')
- name: policyNameFits
  expression: variables.policy.matches('^[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?$')
{{- end -}}

{{- define "vestibule.admission.ingressVariables" -}}
- name: class
  expression: object.spec.?ingressClassName.orValue('')
# Classes that read ingress-nginx annotations, with the dialect of the program that serves them.
- name: dialects
  expression: {{ include "vestibule.admission.dialects" . | quote }}
- name: traefikClasses
  expression: {{ include "vestibule.admission.traefikClasses" . | quote }}
- name: annotated
  expression: variables.class in variables.dialects
- name: chained
  expression: variables.class in variables.traefikClasses
- name: authUrl
  expression: >-
    'http://{{ include "vestibule.checkService" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:8081/check/'
    + variables.dialects[?variables.class].orValue('') + '/' + object.metadata.namespace + '/' + variables.policy
- name: middleware
  expression: object.metadata.namespace + '-vestibule-' + variables.policy + '@kubernetescrd'
- name: middlewares
  expression: >-
    variables.annotations[?'traefik.ingress.kubernetes.io/router.middlewares'].orValue('')
    .split(',').map(m, m.trim()).filter(m, m != '')
# Whether the operator may have written here for this policy already.
- name: samePolicy
  expression: variables.old[?'vestibule.dev/policy'].orValue('') == variables.policy
# What names the list of headers behind the check's address, as the operator left it. Without a list
# there is nothing to name: the check then refuses a client's copies.
- name: oldList
  expression: >-
    variables.samePolicy && 'nginx.ingress.kubernetes.io/auth-response-headers' in variables.old
    ? variables.old[?'nginx.ingress.kubernetes.io/auth-url'].orValue('').find('[?]headers=[0-9a-f]{8}$') : ''
{{- end -}}

{{- define "vestibule.admission.policyNameExpression" -}}
!('vestibule.dev/policy' in variables.annotations) || variables.policyNameFits
{{- end -}}
{{- define "vestibule.admission.policyNameMessage" -}}
metadata.annotations[vestibule.dev/policy]: write the name of a BffPolicy of this namespace: at most 53 of a-z, 0-9 and -, with a letter or digit at both ends.
{{- end -}}

{{/* A policy leaves an object only by the operator, which takes the wiring off with it: without the
     annotation nobody would know whose the wiring is. Call with (list $ kind). */}}
{{- define "vestibule.admission.removal" -}}
- expression: "'vestibule.dev/policy' in variables.annotations"
  reason: Forbidden
  message: "metadata.annotations[vestibule.dev/policy] may not be taken off: set vestibule.dev/release: \"true\", and the operator takes it off with the wiring."
  messageExpression: >-
    'metadata.annotations[vestibule.dev/policy] may not be taken off: the app would be open. To open it on purpose: kubectl -n '
    + object.metadata.namespace + ' annotate {{ index . 1 }} ' + object.metadata.name
    + ' vestibule.dev/release=true; the operator then takes off the annotation and the wiring'
- expression: {{ include "vestibule.admission.policyNameExpression" . | quote }}
  reason: Invalid
  message: {{ include "vestibule.admission.policyNameMessage" . | quote }}
{{- end -}}

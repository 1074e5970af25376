//! Annotations on a target that undo the protection.
//!
//! Why it exists: whoever writes an `Ingress` can ask its gateway to skip, cache or replace the
//! check. Such a target is refused with the annotation's name. It must not judge by a value what a
//! gateway may read differently: of snippets any one is refused (T-58).

use std::collections::{BTreeMap, BTreeSet};

use vestibule_crds::names::{REPLACED_ANNOTATION, WIRED_ANNOTATION};
use vestibule_policy::header_list;
use vestibule_policy::model::PolicyId;

use super::wiring::{NGINX_PREFIX, Served};

/// What was found on one target.
pub(super) struct Verdict {
    /// The annotation's name, and why it is refused.
    pub problems: Vec<(String, String)>,
    /// Annotations whose foreign value is replaced by ours.
    pub replaced: BTreeSet<String>,
}

/// Refused whatever they say.
const ALWAYS: [(&str, &str); 7] = [
    ("canary", "of a canary the gateway reads no other annotation, so that it would not ask"),
    ("auth-snippet", "a snippet can switch the check off"),
    ("configuration-snippet", "a snippet can switch the check off"),
    ("server-snippet", "a snippet can switch the check off"),
    ("stream-snippet", "a snippet can switch the check off"),
    ("auth-cache-key", "a cached answer outlives the session that it was given for"),
    ("auth-proxy-set-headers", "it can make the check judge another request than the one served"),
];

/// Refused where Traefik reads them, which applies them before the check.
const BEFORE_TRAEFIKS_CHECK: [(&str, &str); 2] = [
    ("rewrite-target", "Traefik rewrites before the check, so that another path would be judged"),
    ("upstream-vhost", "Traefik changes the host before the check"),
];

/// Ours on a target: somebody else's value is refused, and replaced so that traffic is refused too.
const OURS: [&str; 2] = ["auth-url", "auth-signin"];

const WAS_REPLACED: &str = "had another value, which Vestibule replaced so that traffic is refused: \
     take it out of what you apply, then remove the annotation vestibule.dev/replaced";

/// Judges the annotations of a target of ingress-nginx's dialect.
pub(super) fn nginx(
    annotations: &BTreeMap<String, String>,
    served: Served,
    policy: &PolicyId,
) -> Verdict {
    let value =
        |name: &str| annotations.get(&format!("{NGINX_PREFIX}{name}")).map(|text| text.trim());
    let mut problems = Vec::new();
    for (name, why) in ALWAYS {
        if value(name).is_some() {
            refuse(&mut problems, name, why);
        }
    }
    if served == Served::TraefikNginx {
        for (name, why) in BEFORE_TRAEFIKS_CHECK {
            if value(name).is_some() {
                refuse(&mut problems, name, why);
            }
        }
    }
    if value("ssl-passthrough").is_some_and(|text| !text.eq_ignore_ascii_case("false")) {
        refuse(
            &mut problems,
            "ssl-passthrough",
            "requests would reach the app without passing the gateway",
        );
    }
    let errors = value("custom-http-errors").unwrap_or_default();
    if errors.split(',').any(|code| matches!(code.trim(), "401" | "403" | "500" | "503")) {
        refuse(
            &mut problems,
            "custom-http-errors",
            "an error page for 401, 403, 500 or 503 replaces the check's answer",
        );
    }
    let mut replaced = before(annotations);
    for name in &replaced {
        problems.push((name.clone(), WAS_REPLACED.to_owned()));
    }
    // What other than ours is there after we wrote is a hand edit: it is repaired.
    if value_of(annotations, WIRED_ANNOTATION).is_none() {
        for name in OURS {
            if value(name).is_some_and(|text| !is_ours(name, text, policy)) {
                refuse(&mut problems, name, "asks another service than Vestibule");
                replaced.insert(format!("{NGINX_PREFIX}{name}"));
            }
        }
    }
    if value("satisfy").is_some_and(|text| text.eq_ignore_ascii_case("any")) {
        refuse(&mut problems, "satisfy", "`any` lets requests pass that the check refuses");
        replaced.insert(format!("{NGINX_PREFIX}satisfy"));
    }
    Verdict { problems, replaced }
}

fn refuse(problems: &mut Vec<(String, String)>, name: &str, why: &str) {
    problems.push((format!("{NGINX_PREFIX}{name}"), format!("{why}: remove the annotation")));
}

fn value_of<'a>(annotations: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    annotations.get(name).map(String::as_str)
}

/// What was replaced before, as far as it is one of those that we replace.
fn before(annotations: &BTreeMap<String, String>) -> BTreeSet<String> {
    value_of(annotations, REPLACED_ANNOTATION)
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|name| {
            name.strip_prefix(NGINX_PREFIX)
                .is_some_and(|name| OURS.contains(&name) || name == "satisfy")
        })
        .map(str::to_owned)
        .collect()
}

/// Whether a value is one that Vestibule, this installation of it or an earlier one, writes for this
/// policy.
pub(crate) fn is_ours(name: &str, value: &str, policy: &PolicyId) -> bool {
    match name {
        "auth-url" => ["nginx", "traefik"].iter().any(|dialect| {
            let path = format!("/check/{dialect}/{}/{}", policy.namespace, policy.name);
            let address = match value.split_once('?') {
                Some((address, query)) if header_list::is_query(query) => address,
                _ => value,
            };
            address.strip_prefix("http://").and_then(|rest| rest.strip_suffix(&path)).is_some_and(
                |authority| !authority.is_empty() && !authority.contains(['/', '?', '#', '@']),
            )
        }),
        "auth-signin" => {
            let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
            rest.is_some_and(|rest| rest.ends_with("/login?rd=$escaped_request_uri"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(pairs: &[(&str, &str)], served: Served) -> (Vec<String>, Vec<String>) {
        let annotations = pairs
            .iter()
            .map(|(name, value)| {
                let full = if name.contains('/') {
                    (*name).to_owned()
                } else {
                    format!("{NGINX_PREFIX}{name}")
                };
                (full, (*value).to_owned())
            })
            .collect();
        let policy = PolicyId { namespace: "shop".to_owned(), name: "web".to_owned() };
        let verdict = nginx(&annotations, served, &policy);
        let short = |name: &String| name.strip_prefix(NGINX_PREFIX).unwrap_or(name).to_owned();
        (
            verdict.problems.iter().map(|(name, _)| short(name)).collect(),
            verdict.replaced.iter().map(short).collect(),
        )
    }

    #[test]
    fn t058_any_snippet_is_refused() {
        for name in ["auth-snippet", "configuration-snippet", "server-snippet"] {
            assert_eq!(judged(&[(name, "")], Served::IngressNginx).0, [name]);
        }
    }

    #[test]
    fn what_undoes_the_check_is_refused_by_name() {
        for (name, value) in [
            ("auth-cache-key", "$remote_user"),
            ("auth-proxy-set-headers", "shop/headers"),
            ("ssl-passthrough", "true"),
            ("custom-http-errors", "404, 401"),
            ("custom-http-errors", "403"),
            ("custom-http-errors", "404,503"),
            ("canary", "true"),
            ("satisfy", "Any"),
            ("auth-url", "http://oauth2-proxy.shop.svc/oauth2/auth"),
            ("auth-url", "http://x/?u=/check/nginx/shop/web"),
            ("auth-url", "http://vestibule/check/nginx/shop/other"),
            ("auth-url", "http://vestibule/check/nginx/shop/web?headers=8794e7"),
            ("auth-url", "http://vestibule/check/nginx/shop/other?headers=8794e7ee"),
            ("auth-url", "http://vestibule/check/nginx/shop/web?headers=8794e7ee&x=y"),
            ("auth-signin", "https://login.example.com/"),
        ] {
            assert_eq!(judged(&[(name, value)], Served::IngressNginx).0, [name], "{name}: {value}");
        }
    }

    #[test]
    fn what_does_not_undo_it_passes() {
        for (name, value) in [
            (
                "auth-url",
                "http://vestibule-check.vestibule.svc.cluster.local:8081/check/nginx/shop/web",
            ),
            ("auth-url", "http://vestibule/check/traefik/shop/web?headers=8794e7ee"),
            ("auth-signin", "https://$host/bff/login?rd=$escaped_request_uri"),
            ("custom-http-errors", "404,502"),
            ("satisfy", "all"),
            ("ssl-passthrough", "false"),
            ("rewrite-target", "/$1"),
            ("enable-global-auth", "false"),
            ("proxy-body-size", "8m"),
        ] {
            assert!(judged(&[(name, value)], Served::IngressNginx).0.is_empty(), "{name}");
        }
    }

    #[test]
    fn t049_a_rewrite_before_traefiks_check_is_refused() {
        let rewrite = [("rewrite-target", "/$1")];
        assert_eq!(judged(&rewrite, Served::TraefikNginx).0, ["rewrite-target"]);
    }

    #[test]
    fn what_was_replaced_stays_refused_until_its_author_says_so() {
        let foreign = [("auth-url", "http://other/")];
        assert_eq!(judged(&foreign, Served::IngressNginx).1, ["auth-url"]);
        let ours = "http://v:8081/check/nginx/shop/web";
        let name = format!("{NGINX_PREFIX}auth-url");
        let after = [("auth-url", ours), (WIRED_ANNOTATION, "true"), (REPLACED_ANNOTATION, &name)];
        let (problems, replaced) = judged(&after, Served::IngressNginx);
        assert_eq!(
            (problems, replaced),
            (vec!["auth-url".to_owned()], vec!["auth-url".to_owned()])
        );
        let cleared = [("auth-url", ours), (WIRED_ANNOTATION, "true")];
        assert!(judged(&cleared, Served::IngressNginx).0.is_empty());
    }

    #[test]
    fn a_hand_edit_of_what_we_wrote_is_no_reason_to_refuse() {
        let edited = [("auth-url", "http://other/"), (WIRED_ANNOTATION, "true")];
        assert!(judged(&edited, Served::IngressNginx).0.is_empty());
    }
}

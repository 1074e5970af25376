//! That no field is left out: each of the reference has a row here, or a test that is named.

use std::path::Path;

use super::{elevated, rows};

/// Fields tested elsewhere, with a provider or where policies are read: file, test, fields.
const ELSEWHERE: &[(&str, &str, &[&str])] = &[
    (
        "src/policy_source/plan_tests.rs",
        "what_only_a_cluster_can_do_is_refused_with_what_to_write_instead",
        &["spec.targetRefs[].group", "spec.targetRefs[].kind", "spec.targetRefs[].name"],
    ),
    (
        "tests/login/client.rs",
        "the_secret_is_sent_as_the_policy_says_or_else_as_the_provider_lists",
        &["spec.client.authMethod"],
    ),
    (
        "tests/login/client.rs",
        "a_private_key_signs_an_assertion_for_this_provider_alone",
        &["spec.client.privateKeyJwt.algorithm", "spec.client.privateKeyJwt.keyId"],
    ),
    (
        "tests/login/client.rs",
        "pushing_is_done_as_the_policy_says_and_else_there_is_no_login",
        &["spec.login.par"],
    ),
    (
        "tests/login/client.rs",
        "user_info_of_another_user_or_of_unclear_origin_is_refused",
        &["spec.login.userInfo"],
    ),
    (
        "tests/login/flows.rs",
        "a_login_goes_to_the_provider_and_comes_back_to_the_exact_url",
        &[
            "spec.client.id",
            "spec.login.extraParameters",
            "spec.login.resources",
            "spec.login.scopes",
        ],
    ),
    (
        "tests/login/flows.rs",
        "with_a_strict_cookie_the_callback_goes_on_by_a_page",
        &["spec.session.cookie.sameSite"],
    ),
    (
        "tests/login/logout/revocation.rs",
        "a_policy_may_leave_the_tokens_alone",
        &["spec.logout.revokeTokens"],
    ),
    (
        "tests/login/tokens.rs",
        "t099_t103_every_token_of_the_corpus_is_judged_as_it_says",
        &["spec.login.acrValues", "spec.login.maxAge"],
    ),
    (
        "tests/login/trust.rs",
        "t057_t102_tls_to_the_provider_is_verified_by_authority_and_name",
        &["BffProvider spec.caBundleRef.key", "BffProvider spec.caBundleRef.name"],
    ),
    (
        "tests/login/provider.rs",
        "the_discovery_document_must_be_of_the_very_issuer",
        &["BffProvider spec.issuer"],
    ),
    (
        "tests/login/provider.rs",
        "a_provider_that_never_answers_is_given_up_in_its_time",
        &["BffProvider spec.requestTimeout"],
    ),
    (
        "src/policy_source/plan_tests.rs",
        "a_provider_that_breaks_stays_as_it_was_and_one_that_is_deleted_is_missed",
        &["spec.providerRef.name"],
    ),
    (
        "policy/tests/compile_goldens.rs",
        "every_golden_input_compiles_to_its_golden_output",
        &[
            "spec.client.privateKeyJwt.keyRef.key",
            "spec.client.privateKeyJwt.keyRef.name",
            "spec.client.secretRef.key",
            "spec.client.secretRef.name",
            "spec.providerRef.kind",
            "spec.authorities[].client.privateKeyJwt.algorithm",
            "spec.authorities[].client.privateKeyJwt.keyId",
            "spec.authorities[].client.privateKeyJwt.keyRef.key",
            "spec.authorities[].client.privateKeyJwt.keyRef.name",
            "spec.authorities[].client.secretRef.key",
            "spec.authorities[].client.secretRef.name",
            // Refused there: an authority's endpoint has no such path.
            "spec.authorities[].permissions[].check.authZen.resource.path",
            "spec.authorities[].permissions[].check.openFga.object.path",
            "spec.authZen.server.tokenRef.key",
            "spec.authZen.server.tokenRef.name",
            "spec.openFga.server.tokenRef.key",
            "spec.openFga.server.tokenRef.name",
        ],
    ),
    (
        "tests/it/every_field/authority_logins.rs",
        "an_authoritys_login_asks_for_what_the_authority_says",
        &["spec.authorities[].audience", "spec.authorities[].resources"],
    ),
    (
        "tests/it/every_field/authority_logins.rs",
        "an_authority_is_the_policys_client_unless_it_has_one_of_its_own",
        &["spec.authorities[].client.authMethod", "spec.authorities[].client.id"],
    ),
    (
        "tests/it/every_field/authority_logins.rs",
        "a_token_is_obtained_as_the_authority_says",
        &["spec.authorities[].obtain"],
    ),
    (
        "tests/login/hosted_backend/journey.rs",
        "a_policy_without_the_flavour_has_no_such_endpoint_and_no_such_cookie",
        &["spec.hostedBackend.flavor"],
    ),
    (
        "tests/login/hosted_backend/journey.rs",
        "the_paths_of_the_documentation_and_of_the_sdks_mean_the_same",
        &["spec.hostedBackend.path"],
    ),
    (
        "tests/login/access_tokens.rs",
        "t095_issuer_audience_and_end_are_checked_of_tokens_that_are_signed_rightly",
        &["spec.bearer.audiences"],
    ),
    (
        "src/endpoints/protected_resource.rs",
        "scopes_that_a_token_may_not_bring_itself_are_not_asked_for",
        &["spec.bearer.mediationScope", "spec.bearer.ownTokens"],
    ),
    (
        "tests/login/access_tokens/kinds.rs",
        "r47_t019_the_typ_is_one_that_the_provider_lists",
        &["BffProvider spec.accessTokenTypes"],
    ),
    (
        "src/session/elevation/tests.rs",
        "a_record_has_the_scopes_that_were_asked_for_and_granted_and_no_others",
        &["BffProvider spec.addedScopes"],
    ),
    (
        "src/permissions/tests/answers.rs",
        "openfga_is_asked_for_a_batch_by_store_model_and_consistency",
        &[
            "spec.authorities[].permissions[].check.openFga.object.id",
            "spec.authorities[].permissions[].check.openFga.object.type",
            "spec.authorities[].permissions[].check.openFga.relation",
            "spec.openFga.consistency",
            "spec.openFga.modelId",
            "spec.openFga.server.url",
            "spec.openFga.storeId",
            "spec.openFga.userType",
            "spec.routes[].require.permission.openFga.object.type",
            "spec.routes[].require.permission.openFga.relation",
        ],
    ),
    (
        "src/permissions/tests/answers.rs",
        "one_question_is_an_evaluation_and_several_are_evaluations_in_their_order",
        &[
            "spec.authZen.server.url",
            "spec.authZen.subjectType",
            "spec.authorities[].permissions[].check.authZen.action",
            "spec.authorities[].permissions[].check.authZen.resource.id",
            "spec.authorities[].permissions[].check.authZen.resource.type",
            "spec.routes[].require.permission.authZen.action",
            "spec.routes[].require.permission.authZen.resource.type",
        ],
    ),
    (
        "src/permissions/tests/hostile.rs",
        "a_capture_never_makes_another_object_of_the_one_asked_about",
        &[
            "spec.routes[].require.permission.authZen.resource.id",
            "spec.routes[].require.permission.authZen.resource.path",
            "spec.routes[].require.permission.openFga.object.id",
            "spec.routes[].require.permission.openFga.object.path",
        ],
    ),
    (
        "src/permissions/tests/answers.rs",
        "what_cannot_be_set_up_is_named_by_its_field",
        &[
            "spec.authZen.server.caBundleRef.key",
            "spec.authZen.server.caBundleRef.name",
            "spec.openFga.server.caBundleRef.key",
            "spec.openFga.server.caBundleRef.name",
        ],
    ),
    (
        "src/permissions/tests/answers.rs",
        "what_is_no_answer_is_never_an_allowance",
        &["spec.authZen.server.timeout", "spec.openFga.server.timeout"],
    ),
    (
        "src/permissions/tests/lately.rs",
        "an_answer_never_outlives_its_bound_after_a_change",
        &["spec.authZen.server.cacheFor", "spec.openFga.server.cacheFor"],
    ),
];

#[test]
fn t009_every_field_of_the_reference_has_a_test() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let reference = std::fs::read_to_string(here.join("../docs/policy-reference.md")).unwrap();
    let mut kind = "";
    let mut fields = Vec::new();
    for line in reference.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            kind = heading;
        } else if let Some(field) = line.strip_prefix("| `").and_then(|rest| rest.split('`').next())
        {
            // What the cluster kinds say and what a status tells is the operator's to prove.
            let prefix = match kind {
                "BffPolicy" if field.starts_with("spec") => String::new(),
                "BffProvider" => format!("{kind} "),
                _ => continue,
            };
            fields.push(format!("{prefix}{field}"));
        }
    }
    let holds_others = |field: &str| {
        let below = |other: &String| {
            other.strip_prefix(field).is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        fields.iter().any(below)
    };
    let leaves: Vec<&String> = fields.iter().filter(|field| !holds_others(field)).collect();
    assert!(leaves.len() > 40, "the reference was read: {leaves:?}");
    let elsewhere = ELSEWHERE.iter().flat_map(|(_, _, fields)| fields.iter().copied());
    let rows = rows().into_iter().chain(elevated::rows());
    let tested: Vec<&str> = rows.map(|row| row.field).chain(elsewhere).collect();
    for field in &leaves {
        assert!(tested.contains(&field.as_str()), "{field} has no row and no test elsewhere");
    }
    for field in tested {
        assert!(leaves.iter().any(|leaf| *leaf == field), "{field} is not in the reference");
    }
    for &(file, test, fields) in ELSEWHERE {
        let text = std::fs::read_to_string(here.join(file)).unwrap();
        assert!(text.contains(&format!("fn {test}(")), "{fields:?}: {file} has no test {test}");
    }
}

//! Edits of the policy folder while requests go on: live within a second, and never for the worse.

use std::time::Duration;

use vestibule_e2e::gateway::Kind;
use vestibule_e2e::process::eventually;
use vestibule_e2e::stack::{Plan, Stack};

/// Five times what is promised, for a busy machine.
const LIMIT: Duration = Duration::from_secs(5);

fn becomes(stack: &Stack, path: &str, status: u16) -> bool {
    let mut browser = stack.browser();
    eventually(LIMIT, || {
        (browser.fetch(&stack.origin, &stack.url(path)).status == status).then_some(())
    })
    .is_some()
}

#[test]
fn an_edit_is_live_and_a_broken_file_leaves_the_last_good_policy() {
    let stack = Plan::new(Kind::Traefik).start();
    assert!(becomes(&stack, "/public", 200));

    let closed =
        stack.policies.replace("path: /public, access: Public", "path: /public, access: Deny");
    assert_ne!(closed, stack.policies);
    stack.authsvc.write_policy("shop.yaml", &closed);
    assert!(becomes(&stack, "/public", 403), "{}", stack.authsvc.log());

    let broken = closed.replace("access: Deny", "access: Dney");
    stack.authsvc.write_policy("shop.yaml", &broken);
    assert!(stack.authsvc.logs("shop.yaml:", LIMIT), "{}", stack.authsvc.log());
    assert!(stack.authsvc.logs("access", LIMIT), "{}", stack.authsvc.log());
    assert!(becomes(&stack, "/public", 403), "a broken file opened something");
    assert_eq!(stack.authsvc.readiness().status, 200);

    // Mending it is an edit like any other.
    stack.authsvc.write_policy("shop.yaml", &stack.policies);
    assert!(becomes(&stack, "/public", 200), "{}", stack.authsvc.log());
}

#[test]
fn a_removed_policy_refuses_traffic() {
    let stack = Plan::new(Kind::Nginx).start();
    assert!(becomes(&stack, "/public", 200));
    std::fs::remove_file(stack.authsvc.policies.join("shop.yaml")).unwrap();
    let mut browser = stack.browser();
    let refused = eventually(LIMIT, || {
        (browser.fetch(&stack.origin, &stack.url("/public")).status >= 400).then_some(())
    });
    assert!(refused.is_some(), "{}", stack.authsvc.log());
}

#[test]
fn a_session_outlives_an_edit_of_its_policy() {
    let stack = Plan::new(Kind::IngressNginx).start();
    let mut alice = stack.logged_in("alice");
    let closed =
        stack.policies.replace("path: /public, access: Public", "path: /public, access: Deny");
    stack.authsvc.write_policy("shop.yaml", &closed);
    assert!(becomes(&stack, "/public", 403), "{}", stack.authsvc.log());
    assert_eq!(alice.fetch(&stack.origin, &stack.url("/api")).status, 200);
}

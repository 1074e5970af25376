//! A thousand edits of policies while checks arrive as fast as they are answered: each answer is one that
//! some version in force gives, an edit that is enforced stays so, and no connection breaks.

use std::time::{Duration, Instant};

use vestibule_e2e::asker::Asker;
use vestibule_e2e::http::Request;
use vestibule_e2e::load::{Ask, Load};
use vestibule_e2e::replicas::{Plan, Replicas};
use vestibule_e2e::under_load::under_load;

/// The folder is read when it has been quiet for a while, so ten edits are
/// written together.
const ROUNDS: usize = 100;
const EDITS: usize = 10;
/// Five times what is promised for an edit.
const LIMIT: Duration = Duration::from_secs(5);
/// Looked at after an edit is enforced: it must not be taken back.
const AFTERWARDS: usize = 5;

#[test]
fn a_thousand_edits_under_full_load_change_no_answer_but_those_they_are_about() {
    let replicas = Plan { replicas: 1, ..Plan::default() }.start();
    let session = replicas.log_in("alice", 0);
    let mut editor = Editor::new(&replicas, &session.cookie);
    editor.begin();
    let addr = replicas.replicas[0].authsvc.check;
    let loads = [
        (200, 6, replicas.check(&session.cookie)),
        (401, 2, replicas.check_of_nobody("/api")),
        (403, 1, replicas.check_of_nobody("/denied")),
        (200, 1, replicas.check_of_nobody("/public")),
    ]
    .map(|(status, connections, check)| {
        let asks = vec![Ask::from(&check)];
        (status, Load { addr, asks, connections, awake: false, patience: None })
    });
    let answered = under_load(&loads, || (1..=ROUNDS).for_each(|round| editor.round(round)));
    println!("{} edits, {answered} checks, {:?} at most", ROUNDS * EDITS, editor.longest);
    assert!(answered > 10_000, "{answered} checks are no load");
}

/// Writes policies, and sees what becomes of each version.
struct Editor<'a> {
    replicas: &'a Replicas,
    gateway: Asker,
    door: Request,
    app: Request,
    longest: Duration,
}

impl<'a> Editor<'a> {
    fn new(replicas: &'a Replicas, cookie: &str) -> Self {
        Self {
            replicas,
            gateway: replicas.asker(0),
            door: replicas.check_of_nobody("/door"),
            app: replicas.check(cookie),
            longest: Duration::ZERO,
        }
    }

    /// Sees the first version of all in the place of what the replica began with.
    fn begin(&mut self) {
        let start = Instant::now();
        self.write(0);
        while self.version().as_deref() != Some("0") {
            assert!(start.elapsed() < LIMIT, "the policy is not enforced");
        }
    }

    /// Writes a version; sees the one before until it is enforced, and nothing else afterwards.
    fn round(&mut self, round: usize) {
        let start = Instant::now();
        self.write(round);
        let (before, wanted) = (door_status(round - 1), door_status(round));
        loop {
            let status = self.status_of_door();
            if status == wanted {
                break;
            }
            assert_eq!(status, before, "an answer of no version");
            assert!(start.elapsed() < LIMIT, "the edit is not enforced");
        }
        self.longest = self.longest.max(start.elapsed());
        for _ in 0..AFTERWARDS {
            assert_eq!(self.status_of_door(), wanted, "an edit was taken back");
            assert_eq!(self.version(), Some(round.to_string()), "the policy is of two versions");
        }
    }

    /// Writes the next version of one policy and of seven others, adds one and removes one.
    fn write(&mut self, round: usize) {
        let authsvc = &self.replicas.replicas[0].authsvc;
        let names = (0..7).map(|other| format!("other-{other}"));
        for name in names.chain([format!("passing-{round}")]) {
            let text = policy(&name, &format!("https://{name}.example.com"), "", round);
            authsvc.write_policy(&format!("{name}.yaml"), &text);
        }
        if let Some(last) = round.checked_sub(1) {
            std::fs::remove_file(authsvc.policies.join(format!("passing-{last}.yaml"))).unwrap();
        }
        authsvc.write_policy("shop.yaml", &self.shop(round));
    }

    fn status_of_door(&mut self) -> u16 {
        self.gateway.send(&self.door).expect("a check is answered").status
    }

    /// Which version a request with a session is let through by.
    fn version(&mut self) -> Option<String> {
        let answer = self.gateway.send(&self.app).expect("a check is answered");
        assert_eq!(answer.status, 200, "{answer}");
        answer.header("x-version").map(str::to_owned)
    }

    fn shop(&self, version: usize) -> String {
        let door = if door_status(version) == 200 { "access: Public" } else { "access: Session" };
        let Replicas { origin, provider, .. } = self.replicas;
        let mut text = format!(
            "apiVersion: vestibule.dev/v1alpha1
kind: BffProvider
metadata: {{name: corp}}
spec: {{issuer: \"{}\", requestTimeout: 30s}}
---
",
            provider.issuer
        );
        let routes = format!(
            "    - {{path: /door, {door}}}
    - {{path: /public, access: Public}}
    - {{path: /denied, access: Deny}}
"
        );
        text.push_str(&policy("shop", origin, &routes, version));
        text
    }
}

/// What `/door` answers without a session.
fn door_status(version: usize) -> u16 {
    if version.is_multiple_of(2) { 200 } else { 401 }
}

fn policy(name: &str, origin: &str, routes: &str, version: usize) -> String {
    format!(
        "apiVersion: vestibule.dev/v1alpha1
kind: BffPolicy
metadata: {{name: {name}}}
spec:
  origins: [\"{origin}\"]
  providerRef: {{name: corp}}
  client: {{id: shop, secretRef: {{name: shop-oidc, key: client-secret}}}}
  login: {{par: Never}}
  routes:
{routes}    - path: /
      upstream:
        authorization: AccessToken
        headers: [{{name: X-User, value: claims.sub}}, {{name: X-Version, value: '\"{version}\"'}}]
"
    )
}

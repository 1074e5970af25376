//! Each case as a row of folder states, one after the other, as an author would make them.

use secrecy::SecretString;

use super::*;

const PROVIDER: &str = "\
apiVersion: vestibule.dev/v1alpha1
kind: BffProvider
metadata: {name: corp}
spec: {issuer: https://id.example.com}
";

/// A policy; `more` are further lines of its spec.
fn policy(name: &str, origin: &str, more: &str) -> String {
    format!(
        "apiVersion: vestibule.dev/v1alpha1
kind: BffPolicy
metadata: {{name: {name}}}
spec:
  origins: [{origin}]
  providerRef: {{name: corp}}
  client: {{id: {name}, secretRef: {{name: shop-oidc, key: client-secret}}}}
{more}"
    )
}

/// A folder that changes, and what is made of it.
#[derive(Default)]
struct Folder {
    state: State,
    listing: Listing,
    no_secrets: bool,
}

impl Folder {
    fn new() -> Self {
        Self::default().with("provider.yaml", PROVIDER)
    }

    fn with(mut self, file: &str, text: &str) -> Self {
        self.write(file, text);
        self
    }

    fn write(&mut self, file: &str, text: &str) {
        self.listing.files.insert(file.to_owned(), Ok(text.to_owned()));
    }

    fn remove(&mut self, file: &str) {
        self.listing.files.remove(file);
    }

    /// The policies with the client id that is enforced (`-`: refused), and the problems.
    fn plan(&mut self) -> (Vec<String>, Vec<String>) {
        let missing = self.no_secrets;
        let options = Options {
            secrets: &|_, _| {
                if missing { Err("is gone".to_owned()) } else { Ok(SecretString::from("canary")) }
            },
            secrets_assumed: false,
            allow_insecure: false,
        };
        let plan = plan(&self.state, &self.listing, &options);
        self.state = plan.state;
        let entries = plan.entries.iter().map(|entry| match &entry.policy {
            Some(policy) => format!("{} {}", policy.id, policy.origins[0]),
            None => format!("{} -", entry.id),
        });
        let problems: Vec<String> = plan.problems.iter().map(Problem::to_string).collect();
        assert!(!problems.join("").contains("canary"));
        (entries.collect(), problems)
    }

    fn entries(&mut self) -> Vec<String> {
        self.plan().0
    }
}

const A: &str = "https://a.example.com";
const B: &str = "https://b.example.com";

#[test]
fn a_good_folder_has_no_problem_and_an_edit_is_taken_over() {
    let mut folder = Folder::new().with("a.yaml", &policy("a", A, ""));
    assert_eq!(folder.plan(), (vec![format!("default/a {A}")], vec![]));
    folder.write("a.yaml", &policy("a", B, ""));
    assert_eq!(folder.plan(), (vec![format!("default/a {B}")], vec![]));
    folder.remove("a.yaml");
    assert_eq!(folder.plan(), (vec![], vec![]));
}

#[test]
fn everything_that_a_broken_file_held_stays_as_it_was() {
    let both = format!("{}---\n{}", policy("a", A, ""), policy("b", B, ""));
    let mut folder = Folder::new().with("ab.yaml", &both);
    let good = vec![format!("default/a {A}"), format!("default/b {B}")];
    assert_eq!(folder.entries(), good);
    let moved = policy("a", "https://moved.example.com", "");
    for broken in [
        "a: [",
        "",
        &format!("{moved}---\n{}", policy("b", B, "  unknown: 1\n")),
        &format!("{moved}---\nkind: Secret\n"),
    ] {
        folder.write("ab.yaml", broken);
        let (entries, problems) = folder.plan();
        assert_eq!(entries, good, "{broken}");
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("ab.yaml:"), "{problems:?}");
        assert_eq!(folder.plan().1, problems, "it is still wrong when it is read again");
    }
    folder.write("ab.yaml", &moved);
    assert_eq!(folder.plan(), (vec!["default/a https://moved.example.com".to_owned()], vec![]));
}

#[test]
fn a_file_that_cannot_be_read_and_a_folder_that_cannot_be_listed_keep_what_they_held() {
    let mut folder = Folder::new().with("team/a.yaml", &policy("a", A, ""));
    let good = folder.entries();
    let text = folder.listing.files.insert("team/a.yaml".to_owned(), Err("is locked".to_owned()));
    assert_eq!(folder.plan(), (good.clone(), vec!["team/a.yaml: is locked".to_owned()]));
    folder.remove("team/a.yaml");
    folder.listing.unreadable.insert("team".to_owned(), "is locked".to_owned());
    let (entries, problems) = folder.plan();
    assert_eq!(entries, good);
    assert!(problems[0].contains("team cannot be read"), "{problems:?}");
    folder.listing.unreadable.insert(String::new(), "is locked".to_owned());
    folder.remove("provider.yaml");
    assert_eq!(folder.entries(), good);
    folder.listing = Listing::default();
    folder.listing.files.insert("team/a.yaml".to_owned(), text.unwrap());
    folder.write("provider.yaml", PROVIDER);
    assert_eq!(folder.plan(), (good, vec![]));
}

#[test]
fn a_policy_that_was_never_good_is_refused_and_its_neighbours_are_not() {
    let mut folder = Folder::new()
        .with("a.yaml", &format!("{}---\n{}", policy("a", A, ""), policy("b", B, "  unknown: 1\n")))
        .with("c.yaml", &policy("c", "https://c.example.com", "  basePath: bff\n"));
    let (entries, problems) = folder.plan();
    assert_eq!(
        entries,
        [format!("default/a {A}"), "default/b -".to_owned(), "default/c -".to_owned()]
    );
    assert_eq!(problems.len(), 2);
}

#[test]
fn a_policy_that_does_not_compile_keeps_its_last_good_form() {
    let mut folder = Folder::new().with("a.yaml", &policy("a", A, ""));
    let good = folder.entries();
    folder.write("a.yaml", &policy("a", "https://a.example.com/path", ""));
    let (entries, problems) = folder.plan();
    assert_eq!(entries, good);
    assert!(problems[0].starts_with("a.yaml:5: default/a spec.origins[0]: "), "{problems:?}");
    folder.write("a.yaml", &policy("a", A, ""));
    folder.no_secrets = true;
    let (entries, problems) = folder.plan();
    assert_eq!(entries, good);
    assert_eq!(problems, ["a.yaml:7: default/a spec.client.secretRef: is gone"]);
}

#[test]
fn a_provider_that_breaks_stays_as_it_was_and_one_that_is_deleted_is_missed() {
    let mut folder = Folder::new().with("a.yaml", &policy("a", A, ""));
    let good = folder.entries();
    folder.write("provider.yaml", &PROVIDER.replace("issuer", "isuer"));
    folder.write("b.yaml", &policy("b", B, ""));
    let (entries, problems) = folder.plan();
    assert_eq!(entries, [format!("default/a {A}"), format!("default/b {B}")]);
    assert!(problems.iter().all(|problem| problem.starts_with("provider.yaml:4:")), "{problems:?}");
    folder.remove("provider.yaml");
    folder.remove("b.yaml");
    let (entries, problems) = folder.plan();
    assert_eq!(entries, good);
    assert!(problems[0].starts_with("a.yaml:6: default/a spec.providerRef.name: "), "{problems:?}");
}

#[test]
fn an_object_in_two_places_is_refused_and_both_are_named() {
    let mut folder = Folder::new().with("a.yaml", &policy("a", A, ""));
    let good = folder.entries();
    folder.write("copy.yaml", &format!("{PROVIDER}---\n{}", policy("a", B, "")));
    let (entries, problems) = folder.plan();
    assert_eq!(entries, good);
    assert_eq!(
        problems,
        [
            "copy.yaml:6: default/a metadata.name: is also in a.yaml:1: remove one of the two, \
             neither is used",
            "provider.yaml:1: default/corp metadata.name: is also in copy.yaml:1: remove one of \
             the two, neither is used",
        ]
    );
}

#[test]
fn the_first_accepted_keeps_its_host_and_both_are_named() {
    let mut folder = Folder::new().with("z.yaml", &policy("z", A, ""));
    assert_eq!(folder.entries(), [format!("default/z {A}")]);
    folder.write("a.yaml", &policy("a", "https://A.example.com:443", ""));
    let (entries, problems) = folder.plan();
    assert_eq!(entries, ["default/a -".to_owned(), format!("default/z {A}")]);
    assert_eq!(
        problems,
        [format!(
            "a.yaml:5: default/a spec.origins[0]: {A} belongs to policy default/z (z.yaml:1) \
             already: remove it from one of the two"
        )]
    );
    folder.remove("z.yaml");
    assert_eq!(folder.plan(), (vec![format!("default/a {A}")], vec![]));
}

#[test]
fn at_the_first_load_the_first_by_name_gets_the_host() {
    let mut folder =
        Folder::new().with("1.yaml", &policy("b", A, "")).with("2.yaml", &policy("a", A, ""));
    assert_eq!(folder.entries(), [format!("default/a {A}"), "default/b -".to_owned()]);
}

#[test]
fn an_edit_that_claims_hosts_of_others_is_taken_back_whole() {
    let mut folder = Folder::new()
        .with("a.yaml", &policy("a", A, ""))
        .with("b.yaml", &policy("b", &format!("{B}, https://b2.example.com"), ""))
        .with("c.yaml", &policy("c", "https://c.example.com", ""));
    let good = folder.entries();
    // a gives its host up for both of b's; c wants the one that a gave up.
    folder.write("a.yaml", &policy("a", &format!("{B}, https://b2.example.com"), ""));
    folder.write("c.yaml", &policy("c", A, ""));
    let (entries, problems) = folder.plan();
    assert_eq!(entries, good);
    assert_eq!(problems.len(), 3, "{problems:?}");
    // Once b is gone, both edits can be.
    folder.remove("b.yaml");
    let (entries, problems) = folder.plan();
    assert_eq!(entries, [format!("default/a {B}"), format!("default/c {A}")]);
    assert!(problems.is_empty());
}

#[test]
fn hosts_can_be_exchanged_in_one_edit() {
    let mut folder =
        Folder::new().with("a.yaml", &policy("a", A, "")).with("b.yaml", &policy("b", B, ""));
    folder.plan();
    folder.write("a.yaml", &policy("a", B, ""));
    folder.write("b.yaml", &policy("b", A, ""));
    let (entries, problems) = folder.plan();
    assert_eq!(entries, [format!("default/a {B}"), format!("default/b {A}")]);
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn every_kind_of_problem_in_one_document_is_told_at_once() {
    let many = policy(
        "shop",
        "http://shop.example.com",
        "  skipAuth: true
  session: {idleTimeout: 30, absoluteTimeout: 5x, claims: sub}
  login: {userInfo: 1, scopes: [profile]}
  csrf: X-Csrf
  routes:
    - path: 7
      acess: Public
      access: public
    - methods: [GET, 1, {}]
      upstream: {headers: [{nam: X-User, value: 'claims.'}]}
    - path: /b/../c
      require: {maxAge: 60}
    - /d
  paths: {admit: [{prefix: /x, encodings: [Slash]}]}
",
    )
    .replace("id: shop, ", "id: 1234, authMethod: Basic, ")
    .replace("key: client-secret", "kay: client-secret");
    let mut folder = Folder::new()
        .with("many.yaml", &many)
        .with("nothing.yaml", "apiVersion: vestibule.dev/v1alpha1\nkind: BffPolicy\n")
        .with("root.yaml", &policy("root", B, "").replace("spec:", "spec: x\nsp:"));
    let (entries, problems) = folder.plan();
    assert_eq!(entries, ["default/root -", "default/shop -"]);
    insta::assert_snapshot!(problems.join("\n"));
}

#[test]
fn what_a_broken_edit_says_is_told_and_nothing_of_it_is_used() {
    let mut folder = Folder::new().with("a.yaml", &policy("a", A, ""));
    let good = folder.entries();
    let wrong = policy("a", "https://moved.example.com", "  basePath: bff\n  unknown: 1\n");
    folder.write("a.yaml", &format!("{wrong}---\n{}", policy("b", B, "  basePath: x\n")));
    let (entries, problems) = folder.plan();
    assert_eq!(entries, [good[0].clone(), "default/b -".to_owned()]);
    let fields: Vec<&str> =
        problems.iter().filter_map(|problem| problem.split(": ").nth(1)).collect();
    assert_eq!(
        fields,
        ["default/a spec.basePath", "default/a spec.unknown", "default/b spec.basePath"]
    );
    assert_eq!(folder.plan().1, problems, "also when it is read again");
}

#[test]
fn a_policy_of_a_broken_provider_is_not_said_to_have_none() {
    let mut folder = Folder::new()
        .with("provider.yaml", &PROVIDER.replace("issuer", "isuer"))
        .with("a.yaml", &policy("a", A, ""))
        .with("b.yaml", &policy("b", B, "  basePath: x\n"));
    let (entries, problems) = folder.plan();
    assert_eq!(entries, ["default/a -", "default/b -"]);
    assert!(!problems.join("").contains("there is no BffProvider"), "{problems:?}");
    assert_eq!(problems.len(), 3, "{problems:?}");
}

#[test]
fn every_problem_of_a_folder_is_told_with_its_place() {
    let mut folder = Folder::new()
        .with("broken.yaml", "kind: [\n")
        .with("colon.yaml", "kind: BffPolicy\nmetadata: a: b\n")
        .with("empty.yaml", "")
        .with("kindless.yaml", "metadata: {name: x}\n")
        .with("twice.yaml", &policy("twice", A, "  basePath: /a\n  basePath: /b\n"))
        .with("kinds.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")
        .with(
            "many.yaml",
            &format!(
                "{}---\n{}---\n{}",
                policy("types", A, "  session: {idleTimeout: 30}\n"),
                policy("unknown", A, "  routes:\n    - path: /a\n      acces: Public\n"),
                policy(
                    "values",
                    "http://shop.example.com",
                    "  session:\n    cookie: {name: sid}\n  routes:\n    - path: /a\n    - path: /b/../c\n"
                ),
            ),
        )
        .with("names.yaml", &policy("../x", A, ""))
        .with("second.yaml", &policy("other", A, ""))
        .with("third.yaml", &policy("third", A, "").replace("corp", "corpp"));
    let (entries, problems) = folder.plan();
    insta::assert_snapshot!(format!("{}\n\n{}", entries.join("\n"), problems.join("\n")));
}

#[test]
fn what_only_a_cluster_can_do_is_refused_with_what_to_write_instead() {
    let targets = "  targetRefs: [{group: networking.k8s.io, kind: Ingress, name: shop}]\n";
    let mut folder = Folder::new()
        .with("a.yaml", &policy("a", A, targets))
        .with(
            "b.yaml",
            &policy("b", B, "").replace("{name: corp}", "{kind: ClusterBffProvider, name: corp}"),
        )
        .with("c.yaml", &policy("c", "", ""));
    let (entries, problems) = folder.plan();
    assert_eq!(entries, ["default/a -", "default/b -", "default/c -"]);
    assert_eq!(
        problems,
        [
            "a.yaml:8: default/a spec.targetRefs: is for Kubernetes only: remove it, and give the \
             app's URLs as spec.origins",
            "b.yaml:6: default/b spec.providerRef.kind: is ClusterBffProvider, only on Kubernetes: \
             write a BffProvider",
            "c.yaml:5: default/c spec.origins: give 1 to 16 origins, such as \
             https://shop.example.com",
        ]
    );
}

#[test]
fn a_policy_without_origins_is_refused_where_no_target_could_give_them() {
    let text = policy("a", A, "");
    let without: String =
        text.lines().filter(|line| !line.contains("origins")).collect::<Vec<_>>().join("\n");
    let mut folder = Folder::new().with("a.yaml", &without);
    let (entries, problems) = folder.plan();
    assert_eq!(entries, ["default/a -"]);
    assert!(problems[0].contains("default/a spec.origins: give 1 to 16 origins"), "{problems:?}");
}

#[test]
fn kinds_that_only_a_cluster_has_are_refused_by_name() {
    let mut folder = Folder::new()
        .with("c.yaml", &PROVIDER.replace("BffProvider", "ClusterBffProvider"))
        .with("g.yaml", &PROVIDER.replace("BffProvider", "BffHostGrant"));
    assert_eq!(
        folder.plan().1,
        [
            "c.yaml:2: kind: is ClusterBffProvider: only on Kubernetes: write a BffProvider",
            "g.yaml:2: kind: is BffHostGrant: only on Kubernetes: remove it, this folder's authors \
             share its hosts",
        ]
    );
}

#[test]
fn what_kubectl_prints_of_a_policy_is_a_file() {
    let mut folder = Folder::new();
    let status = "status:\n  conditions: [{type: Accepted, status: 'True'}]\n  origins: [x]\n";
    folder.write("a.yaml", &policy("a", A, status));
    assert_eq!(folder.plan(), (vec![format!("default/a {A}")], vec![]));
}

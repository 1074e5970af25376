//! Rules against a naive matcher that sorts them all by how specific they are.

use proptest::prelude::*;
use vestibule_policy::matching::{RouteKey, RouteTable, conflicts};

fn key(path: &str, exact: bool, methods: &[&str]) -> RouteKey {
    RouteKey {
        path: path.to_owned(),
        exact,
        methods: methods.iter().map(|&method| method.to_owned()).collect(),
    }
}

/// Straight from the documentation: of those that cover the request, the most specific.
fn naive(keys: &[RouteKey], method: &str, path: &str) -> Option<usize> {
    let mut best: Option<(usize, (usize, bool, u8))> = None;
    for (index, key) in keys.iter().enumerate() {
        let border = key.path.trim_end_matches('/');
        let covers = if key.exact {
            path == key.path
        } else {
            path == border || path.starts_with(&format!("{border}/"))
        };
        let names = |method: &str| key.methods.iter().any(|name| name == method);
        // HEAD by its own name before HEAD as a kind of GET.
        let named = match (names(method), method == "HEAD" && names("GET")) {
            (true, _) => 2,
            (false, true) => 1,
            (false, false) => 0,
        };
        if !covers || !(named > 0 || key.methods.is_empty()) {
            continue;
        }
        let length = if key.exact { key.path.len() } else { border.len() };
        let rank = (length, key.exact, named);
        if best.is_none_or(|(_, found)| rank > found) {
            best = Some((index, rank));
        }
    }
    best.map(|(index, _)| index)
}

#[test]
fn the_most_specific_rule_wins() {
    let keys = [
        key("/", false, &[]),
        key("/api/", false, &[]),
        key("/api/orders", false, &["GET"]),
        key("/api/orders", false, &[]),
        key("/api/orders", true, &["POST"]),
        key("/api/orders/", true, &[]),
        key("/api/admin", false, &["DELETE"]),
        key("/a b/é", false, &[]),
    ];
    let table = RouteTable::new(&keys);
    for (method, path, expected) in [
        ("GET", "/", 0),
        ("GET", "/x", 0),
        ("GET", "/api", 1),
        ("GET", "/api/", 1),
        ("GET", "/api/x", 1),
        ("GET", "/apis", 0),
        ("GET", "/API", 0),
        ("GET", "/api/orders", 2),
        ("PUT", "/api/orders", 3),
        ("POST", "/api/orders", 4),
        ("POST", "/api/orders/1", 3),
        ("GET", "/api/orders/", 5),
        ("GET", "/api/orders/1/x", 2),
        ("GET", "/api/orders.", 1),
        // A rule for other methods is none for this one.
        ("GET", "/api/admin", 1),
        ("DELETE", "/api/admin/x", 6),
        // HEAD is a kind of GET; another case of a method is another method.
        ("HEAD", "/api/orders", 2),
        ("get", "/api/orders", 3),
        ("GET", "/a b/é/x", 7),
    ] {
        assert_eq!(table.find(method, path), Some(expected), "{method} {path}");
        assert_eq!(naive(&keys, method, path), Some(expected), "{method} {path}");
    }
    assert_eq!(RouteTable::new(&[]).find("GET", "/"), None);
    assert_eq!(RouteTable::new(&[key("/a", true, &[])]).find("GET", "/a/"), None);
    assert_eq!(RouteTable::new(&[key("/a", true, &[])]).find("GET", "/"), None);
    assert_eq!(RouteTable::new(&[key("/", true, &[])]).find("GET", "/a"), None);
    assert_eq!(RouteTable::new(&[key("/", true, &[])]).find("GET", "/"), Some(0));
}

#[test]
fn rules_that_no_request_can_choose_between_conflict() {
    let keys = [
        key("/a", false, &[]),
        key("/a/", false, &[]),
        key("/a", true, &[]),
        key("/a/", true, &[]),
        key("/a", false, &["GET", "POST"]),
        key("/a", false, &["PUT", "POST"]),
        key("/a", false, &["DELETE"]),
        key("/b", false, &[]),
    ];
    assert_eq!(conflicts(&keys), [(0, 1), (4, 5)]);
}

#[test]
fn a_table_of_many_rules_finds_each_of_them() {
    let keys: Vec<RouteKey> =
        (0..5_000).map(|n| key(&format!("/s{}/{n}", n % 7), n % 2 == 0, &[])).collect();
    let table = RouteTable::new(&keys);
    for (index, key) in keys.iter().enumerate() {
        assert_eq!(table.find("GET", &key.path), Some(index));
    }
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "é", ""]), 0..5).prop_map(
        |segments| {
            // Empty segments only at the end, as in every canonical path.
            let last = segments.len().saturating_sub(1);
            let kept: Vec<&str> = segments
                .iter()
                .enumerate()
                .filter(|&(at, segment)| at == last || !segment.is_empty())
                .map(|(_, &segment)| segment)
                .collect();
            format!("/{}", kept.join("/"))
        },
    )
}

fn method() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["GET", "HEAD", "POST"]).prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2048) })]

    #[test]
    fn t021_the_table_agrees_with_the_naive_matcher(
        keys in prop::collection::vec(
            (path(), any::<bool>(), prop::collection::vec(method(), 0..3))
                .prop_map(|(path, exact, methods)| RouteKey { path, exact, methods }),
            0..12,
        ),
        requests in prop::collection::vec((method(), path()), 1..12),
    ) {
        let table = RouteTable::new(&keys);
        for (method, path) in requests {
            prop_assert_eq!(
                table.find(&method, &path), naive(&keys, &method, &path), "{} {} {:?}", method, path, keys
            );
        }
    }

    #[test]
    fn without_conflicts_the_order_of_rules_does_not_matter(
        keys in prop::collection::vec(
            (path(), any::<bool>(), prop::collection::vec(method(), 0..3))
                .prop_map(|(path, exact, methods)| RouteKey { path, exact, methods }),
            0..6,
        ),
        method in method(),
        path in path(),
    ) {
        let dropped: Vec<usize> = conflicts(&keys).into_iter().map(|(_, second)| second).collect();
        let keys: Vec<RouteKey> = keys
            .into_iter()
            .enumerate()
            .filter_map(|(at, key)| (!dropped.contains(&at)).then_some(key))
            .collect();
        prop_assert!(conflicts(&keys).is_empty());
        let reversed: Vec<RouteKey> = keys.iter().rev().cloned().collect();
        let found = RouteTable::new(&keys).find(&method, &path).map(|at| &keys[at]);
        let other = RouteTable::new(&reversed).find(&method, &path).map(|at| &reversed[at]);
        prop_assert_eq!(found, other);
    }
}

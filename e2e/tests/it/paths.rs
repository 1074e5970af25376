//! The path corpus through the real gateways: whatever a gateway makes of a spelling, none reaches a
//! route of the app that its plain form would not.

use vestibule_e2e::corpus::{Row, rows};
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::http::Request;
use vestibule_e2e::stack::{Plan, Stack};

through_each_gateway!(
    t003_t048_t079_t080_t087_no_spelling_of_a_path_opens_a_stricter_route,
    t008_a_query_is_no_path,
    t003_t008_t020_t048_a_target_that_cannot_be_read_is_refused_where_all_is_public,
);

/// Public but for two prefixes: the set-up in which a wrong path costs most.
const ROUTES: &str = "
    - {path: /, access: Public}
    - {path: /a, access: Session}
    - {path: /b, access: Deny}
    - {path: /api, access: Session}
    - {path: /denied, access: Deny}
";

/// The prefixes that a stranger must not reach.
const CLOSED: [&str; 4] = ["/a", "/b", "/api", "/denied"];

/// The most lenient reading of a path that some app might have: decoded until nothing changes, with
/// backslashes as slashes, without parameters, dot segments and empty segments.
fn lenient(target: &str) -> String {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let mut bytes = path.as_bytes().to_vec();
    loop {
        let decoded = percent_decode(&bytes);
        if decoded == bytes {
            break;
        }
        bytes = decoded;
    }
    let path = String::from_utf8_lossy(&bytes).replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        let segment = segment.split([';', '\0', '?', '#']).next().unwrap_or_default();
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    format!("/{}", segments.join("/"))
}

fn percent_decode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|hex| {
            u8::from_str_radix(std::str::from_utf8(hex).ok().filter(|h| !h.starts_with('+'))?, 16)
                .ok()
        });
        if let Some(code) = code.filter(|_| *first == b'%') {
            out.push(code);
            rest = &tail[2..];
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

fn is_below(path: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| {
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Spellings of `/api/x` and `/denied/x` beside those of the corpus.
fn spellings() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for closed in ["api", "denied"] {
        for before in [
            "/",
            "//",
            "/./",
            "/x/../",
            "/x/%2e%2e/",
            "/x/%2E./",
            "/x/..%2f",
            "/x/..%2F",
            "/x%2f..%2f",
            "/x/..%5c",
            "/x\\..\\",
            "/x/..;/",
            "/x/..;a=b/",
            "/x;/../",
            "/%2f",
            "/%2F",
            "/%5c",
            "/\\",
            "/x/%252e%252e/",
            "/x/%252e%252e%252f",
            "/x/..%252f",
            "/..//",
            "/%2e/",
            "/;/",
            "/;a/",
            "/x/%c0%ae%c0%ae/",
            "/x/..%c0%af",
            "/x/..%00/",
            "/%00/",
            "/x/.././/",
            "/public/../",
        ] {
            all.push(format!("{before}{closed}/x").into_bytes());
        }
        let first = closed.as_bytes()[0];
        let rest = &closed[1..];
        all.push(format!("/%{first:02x}{rest}/x").into_bytes());
        all.push(format!("/%{first:02X}{rest}").into_bytes());
        all.push(format!("/%25{first:02x}{rest}/x").into_bytes());
        for after in [
            ";", ";x=1", ";/x", "%3b", "%3B/x", "%00", "%23", "%23/x", "%3f", "%2f", "%2fx", "/",
            "/.", "/..", "/%2e", "//", "%5c", "\\", "%20", "%09", ".", "/x/..", "#", "#/x", "?",
            "?/public", "%0a", "%0d%0a", "+",
        ] {
            all.push(format!("/{closed}{after}").into_bytes());
        }
        all.push([b"/".as_slice(), closed.as_bytes(), b"/\xff"].concat());
        all.push([b"/x\xc0\xae/../".as_slice(), closed.as_bytes()].concat());
        all.push(format!("http://localhost/{closed}/x").into_bytes());
        all.push(format!("http://evil.test/{closed}/x").into_bytes());
    }
    all
}

/// The rows that the matcher's own tests read.
fn corpus() -> Vec<Row> {
    rows("authsvc/policy/testdata/corpora/paths.txt")
}

/// A space or a line's end would end the target: what follows is another request.
fn is_one_word(target: &[u8]) -> bool {
    !target.iter().any(|byte| b" \r\n".contains(byte))
}

fn reached(stack: &Stack, target: &[u8], cookie: &str) -> Vec<String> {
    stack.app.forget();
    let mut request = Request::get(target, stack.host());
    if !cookie.is_empty() {
        request = request
            .header("Cookie", format!("__Host-bff={cookie}"))
            .header("Sec-Fetch-Site", "same-origin")
            .header("Sec-Fetch-Mode", "cors")
            .header("Sec-Fetch-Dest", "empty");
    }
    // A gateway may hang up instead of answering: that is a refusal too.
    let answer = request.try_send(stack.address());
    let seen = stack.app.seen();
    if answer.is_some_and(|answer| answer.status == 200) {
        // Our own /bff answers do not reach the app.
        assert!(seen.len() <= 1);
    } else {
        assert_eq!(seen.len(), 0, "{}", target.escape_ascii());
    }
    seen.iter().map(|echo| echo["target"].as_str().unwrap_or_default().to_owned()).collect()
}

fn t003_t048_t079_t080_t087_no_spelling_of_a_path_opens_a_stricter_route(kind: Kind) {
    let stack = Plan { routes: ROUTES.to_owned(), ..Plan::new(kind) }.start();
    // The set-up means something: what is public is reached, what is closed is not.
    assert_eq!(reached(&stack, b"/public/x", ""), ["/public/x"]);
    assert_eq!(reached(&stack, b"/api/x", "").len(), 0);
    let alice = stack.logged_in_at("/api/page", "alice");
    let cookie = alice.cookie("__Host-bff").unwrap();
    assert_eq!(reached(&stack, b"/api/x", cookie), ["/api/x"]);

    let inputs: Vec<_> = corpus().into_iter().map(|row| row.input).chain(spellings()).collect();
    for input in inputs.iter().filter(|input| is_one_word(input)) {
        let shown = input.escape_ascii();
        for target in reached(&stack, input, "") {
            assert!(
                !is_below(&lenient(&target), &CLOSED),
                "a stranger reached {target} by {shown}"
            );
        }
        for target in reached(&stack, input, cookie) {
            assert!(
                !is_below(&lenient(&target), &["/b", "/denied"]),
                "alice reached {target} by {shown}"
            );
        }
    }
}

fn t008_a_query_is_no_path(kind: Kind) {
    let stack = Plan { routes: ROUTES.to_owned(), ..Plan::new(kind) }.start();
    for target in ["/api?x=/public", "/api?/public", "/api?/../public", "/api??", "/denied?x=1"] {
        assert_eq!(reached(&stack, target.as_bytes(), "").len(), 0, "{target}");
    }
    assert_eq!(reached(&stack, b"/public?x=/api/../denied;%2f", "").len(), 1);
}

fn t003_t008_t020_t048_a_target_that_cannot_be_read_is_refused_where_all_is_public(kind: Kind) {
    let routes = "\n    - {path: /, access: Public}\n".to_owned();
    let stack = Plan { routes, ..Plan::new(kind) }.start();
    assert_eq!(reached(&stack, b"/a?x=%2f", ""), ["/a?x=%2f"]);

    let mut unreadable: Vec<_> =
        corpus().into_iter().filter(Row::refused).map(|row| row.input).collect();
    // A query full of what is readable makes none of them so.
    let asked: Vec<_> = unreadable
        .iter()
        .filter(|target| !target.contains(&b'#') && !target.contains(&b'?'))
        .map(|target| [target.as_slice(), b"?x=/public"].concat())
        .collect();
    unreadable.extend(asked);
    for target in unreadable.iter().filter(|target| is_one_word(target)) {
        // What a gateway makes readable first is judged and passed on in that form.
        for seen in reached(&stack, target, "") {
            let same = unreadable.iter().any(|target| *target == seen.as_bytes());
            assert!(!same, "{seen} reached the app by {}", target.escape_ascii());
        }
    }
}

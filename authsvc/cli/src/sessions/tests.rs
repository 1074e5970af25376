//! What is asked of authsvc, printed, asked back and refused, against a server that is not authsvc.

use clap::Parser;
use wiremock::matchers::{body_json, header, method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    sessions: SessionsArguments,
}

/// What a run gave: its outcome, standard output, standard error.
struct Ran {
    result: Result<(), SessionsError>,
    out: String,
    questions: String,
}

impl Ran {
    fn error(&self) -> String {
        self.result.as_ref().err().map(ToString::to_string).unwrap_or_default()
    }
}

/// Runs in a thread of its own, as the program does: it makes its own runtime.
async fn run_with(server: &MockServer, arguments: &[&str], typed: &'static str) -> Ran {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "the-token\n").unwrap();
    let uri = server.uri();
    let token_file = token.path().to_str().unwrap();
    let way = ["--server", &uri, "--token-file", token_file];
    let line = ["vestibule"].into_iter().chain(arguments.iter().copied()).chain(way);
    let arguments = Line::try_parse_from(line).unwrap().sessions;
    let ran = tokio::task::spawn_blocking(move || {
        let (mut out, mut questions) = (Vec::new(), Vec::new());
        let mut input = typed.as_bytes();
        let mut terminal = Terminal { out: &mut out, questions: &mut questions, input: &mut input };
        let result = run(arguments, &mut terminal);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { result, out: text(out), questions: text(questions) }
    });
    ran.await.unwrap()
}

fn session(name: &str, user: &str) -> Value {
    json!({
        "session": name, "policy": "shop/web", "subject": user, "issuer": "https://id.example.com",
        "createdAt": "2027-01-15T08:00:00Z", "lastUsedAt": "2027-01-15T08:01:00Z",
        "expiresAt": "2027-01-15T08:31:00Z",
    })
}

fn page(sessions: &[Value], next: Option<&str>) -> ResponseTemplate {
    let body = json!({ "sessions": sessions, "more": next.is_some(), "next": next });
    ResponseTemplate::new(200).set_body_json(body)
}

async fn lists(server: &MockServer, sessions: &[Value]) {
    let listing = Mock::given(method("GET")).and(path("/sessions"));
    listing
        .and(header("authorization", "Bearer the-token"))
        .respond_with(page(sessions, None))
        .mount(server)
        .await;
}

#[tokio::test]
async fn a_listing_is_a_table_over_all_pages_with_every_filter_sent() {
    let server = MockServer::start().await;
    let filtered = || {
        Mock::given(method("GET"))
            .and(path("/sessions"))
            .and(query_param("policy", "shop/web"))
            .and(query_param("user", "a&b"))
            .and(query_param("provider", "https://id.example.com"))
            .and(query_param("olderThan", "5401"))
    };
    let first = filtered().and(query_param_is_missing("after"));
    first.respond_with(page(&[session("A", "ada")], Some("shop/web:1"))).mount(&server).await;
    let second = filtered().and(query_param("after", "shop/web:1"));
    second.respond_with(page(&[session("B", "bo\u{1b}[2Jb")], None)).mount(&server).await;
    let arguments = [
        "list",
        "--policy=shop/web",
        "--user=a&b",
        "--provider=https://id.example.com",
        "--older-than=1h30m500ms",
    ];
    let ran = run_with(&server, &arguments, "").await;
    assert_eq!(ran.error(), "");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines[0].starts_with("SESSION   POLICY     USER"), "{}", ran.out);
    assert!(lines[1].contains("shop/web   ada"), "{}", ran.out);
    assert!(lines[2].contains(r"bo\u{1b}[2Jb"), "{}", ran.out);
    assert_eq!(lines.len(), 3);
}

#[tokio::test]
async fn a_listing_in_json_says_whether_there_is_more() {
    let server = MockServer::start().await;
    lists(&server, &[session("A", "ada"), session("B", "bob")]).await;
    for (limit, shown, more) in [("1", 1, true), ("2", 2, false), ("0", 2, false)] {
        let ran = run_with(&server, &["list", "-o", "json", "--limit", limit], "").await;
        let printed: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(printed["sessions"].as_array().unwrap().len(), shown);
        assert_eq!(printed["more"], more);
        assert_eq!(ran.questions, "");
    }
}

#[tokio::test]
async fn an_end_shows_what_it_ends_and_ends_nothing_without_a_yes() {
    let server = MockServer::start().await;
    lists(&server, &[session("A", "ada")]).await;
    for typed in ["", "n\n", "yesterday\n", "\n"] {
        let ran = run_with(&server, &["end", "--user", "ada"], typed).await;
        assert_eq!(ran.error(), "nothing was ended");
        assert!(ran.questions.contains("ada") && ran.questions.contains("End this session? [y/N]"));
        assert_eq!(ran.out, "");
    }
    assert!(server.received_requests().await.unwrap().iter().all(|one| one.method == "GET"));
}

#[tokio::test]
async fn an_end_goes_on_until_all_are_ended() {
    let server = MockServer::start().await;
    lists(&server, &[session("A", "ada"), session("B", "ada")]).await;
    let done = |ended: u32, next: Option<&str>| {
        let body = json!({ "ended": ended, "more": next.is_some(), "next": next });
        ResponseTemplate::new(200).set_body_json(body)
    };
    let end = || Mock::given(method("POST")).and(path("/sessions/end"));
    let first = json!({"user": "ada", "olderThan": 7200});
    end().and(body_json(&first)).respond_with(done(2, Some("x/y:0~"))).mount(&server).await;
    let second = json!({"user": "ada", "olderThan": 7200, "after": "x/y:0~"});
    end().and(body_json(&second)).respond_with(done(1, None)).mount(&server).await;
    let filter = ["end", "--user=ada", "--older-than=2h"];
    let ran = run_with(&server, &filter, "Y\n").await;
    assert_eq!((ran.error().as_str(), ran.out.as_str()), ("", "3 sessions ended\n"));
    let ran = run_with(&server, &[&filter[..], &["--yes", "-o", "json"]].concat(), "").await;
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), json!({"ended": 3}));
    assert_eq!(ran.questions, "");
}

#[tokio::test]
async fn an_end_without_a_filter_is_wrong_use_and_asks_nobody() {
    let server = MockServer::start().await;
    let ran = run_with(&server, &["end", "--yes"], "").await;
    assert!(ran.result.as_ref().is_err_and(SessionsError::is_usage), "{}", ran.error());
    assert!(ran.error().contains("--user"));
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words_and_no_redirect_is_followed() {
    let elsewhere = MockServer::start().await;
    let problem = json!({"detail": "You lack the right."});
    for (answer, told) in [
        (ResponseTemplate::new(403).set_body_json(&problem), "403 You lack the right."),
        (ResponseTemplate::new(404).set_body_string("nothing"), "404 this is not the admin port"),
        (ResponseTemplate::new(200).set_body_string("ready"), "not that of vestibule-authsvc"),
        (
            ResponseTemplate::new(302).insert_header("location", elsewhere.uri().as_str()),
            "302 this is not the admin port",
        ),
    ] {
        let server = MockServer::start().await;
        Mock::given(path("/sessions")).respond_with(answer).mount(&server).await;
        let ran = run_with(&server, &["list"], "").await;
        assert!(ran.error().contains(told), "{}", ran.error());
        assert!(!ran.error().contains("the-token"));
    }
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[test]
fn a_way_that_leads_nowhere_names_the_flag() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = file("token", "the-token");
    let empty = file("empty", "\n");
    let certificate = file(
        "certificate",
        "{apiVersion: v1, kind: Config, current-context: a, clusters: [{name: a, cluster: {server: 'https://localhost:1'}}], \
          contexts: [{name: a, context: {cluster: a, user: a}}], users: [{name: a, user: {}}]}",
    );
    let gone = folder.path().join("gone").to_str().unwrap().to_owned();
    for (arguments, told) in [
        (vec!["--server", "ftp://h", "--token-file", &good], "--server: write http"),
        (vec!["--server", "http://u:p@h", "--token-file", &good], "--server: leave the user out"),
        (vec!["--server", "http://h", "--token-file", &gone], "--token-file"),
        (vec!["--server", "http://h", "--token-file", &empty], "holds no token"),
        (vec!["--server", "http://localhost:1", "--token-file", &good], "cannot be reached"),
        (vec!["--kubeconfig", &gone], "no way to a cluster"),
        (vec!["--kubeconfig", &certificate, "--context", "b"], "no way to a cluster"),
        (vec!["--kubeconfig", &certificate], "--service-account NAMESPACE/NAME"),
        (vec!["--kubeconfig", &certificate, "--service-account", "x"], "write NAMESPACE/NAME"),
    ] {
        let line = ["vestibule", "list"].into_iter().chain(arguments.iter().copied());
        let arguments = Line::try_parse_from(line).unwrap().sessions;
        let mut terminal = Terminal {
            out: &mut std::io::sink(),
            questions: &mut std::io::sink(),
            input: &mut std::io::empty(),
        };
        let error = run(arguments, &mut terminal).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

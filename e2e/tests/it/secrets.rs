//! A canary over a whole journey: no log line at any level, trace, metric or page of ours shows a
//! token, a code, a cookie or a secret (t055).

use vestibule_e2e::browser::parse;
use vestibule_e2e::collector::Collector;
use vestibule_e2e::echo::Echoed as _;
use vestibule_e2e::gateway::Kind;
use vestibule_e2e::provider::CLIENT_SECRET;
use vestibule_e2e::stack::Plan;

through_each_gateway!(t055_nothing_of_a_whole_journey_is_in_a_log_a_trace_a_metric_or_a_page);

fn t055_nothing_of_a_whole_journey_is_in_a_log_a_trace_a_metric_or_a_page(kind: Kind) {
    let collector = Collector::start();
    // JSON shows every field of a span; once is enough, as the log knows nothing of gateways.
    let format = if kind == Kind::Traefik { "json" } else { "text" };
    let plan = Plan {
        log: "trace".to_owned(),
        arguments: vec!["--log-format".to_owned(), format.to_owned()],
        environment: collector.environment(),
        ..Plan::new(kind)
    };
    let mut stack = plan.start();
    let mut alice = stack.browser();
    let mut secrets: Vec<(String, String)> = vec![("client secret".into(), CLIENT_SECRET.into())];

    let form = alice.open(&stack.url("/page/home?x=1"));
    for cookie in alice.cookies("localhost") {
        secrets.push((cookie.name.clone(), cookie.value.clone()));
    }
    let page = alice.submit(&form, &[("login", "alice"), ("password", "canary-password")]);
    assert_eq!(page.response.status, 200, "{page}");
    secrets.push(("session cookie".into(), alice.cookie("__Host-bff").unwrap().into()));

    // Every part of the callback and of the pushed authorization request.
    let start = stack.url("/bff/callback?");
    let callback = alice.history.iter().find(|url| url.starts_with(&start)).unwrap().clone();
    for (name, value) in parse(&callback).query_pairs() {
        if name == "code" || name == "state" {
            secrets.push((name.into_owned(), value.into_owned()));
        }
    }
    for path in ["/api", "/identity", "/signed"] {
        let echo = alice.fetch(&stack.origin, &stack.url(path)).json();
        let token = echo.values("authorization")[0].trim_start_matches("Bearer ").to_owned();
        secrets.push((format!("the token of {path}"), token));
    }
    assert_eq!(alice.fetch(&stack.origin, &stack.url("/bff/session")).status, 200);

    // Things that go wrong have the most to say.
    let _ = alice.open(&callback);
    let _ = alice.open(&format!("{callback}&code=again"));
    let _ =
        alice.open(&stack.url("/bff/callback?error=access_denied&state=nobody&code=canary-code"));
    secrets.push(("a code with an error".into(), "canary-code".into()));
    let _ = alice.open(&stack.url("/staff%2f?token=canary-query"));
    let _ = alice.open(&stack.url("/gold"));
    stack.redis.stop();
    let _ = alice.fetch(&stack.origin, &stack.url("/api"));
    let _ = alice.open(&callback);
    stack.redis.start_again();
    stack.provider().set(&serde_json::json!({"fail": {"/token": 500}}));
    let mut other = stack.browser();
    let form = other.open(&stack.url("/page/home"));
    let _ = form.form().map(|_| other.submit(&form, &[("login", "bob"), ("password", "x")]));

    let request =
        alice.script_request("POST", &stack.origin, &stack.url("/bff/logout")).header("X-Bff", "1");
    let _ = alice.send(&parse(&stack.url("/bff/logout")), &request);

    let metrics = stack.authsvc.metrics();
    // It sends its last traces before it ends.
    assert_eq!(stack.authsvc.terminate(), Some(0), "{}", stack.authsvc.log());
    let log = stack.authsvc.log();
    let traces = collector.text();
    assert!(log.lines().count() > 10 && !metrics.is_empty(), "{log}");
    assert_eq!(log.lines().any(|line| line.starts_with("{\"")), format == "json", "{log}");
    for known in ["vestibule-authsvc", "request", "browser", "check"] {
        assert!(traces.contains(known), "the traces do not show {known}: {traces}");
    }
    let ours = stack.url("/bff/");
    // The logout's answer sends the browser to the provider with the ID token as a hint, as the
    // protocol has it (OpenID Connect RP-Initiated Logout 1.0, section 2); nothing else may.
    let pages = || {
        let all = alice.bodies.iter().chain(&other.bodies);
        all.filter(|(url, _)| url.starts_with(&ours) && !url.ends_with("/bff/logout"))
    };
    for (name, secret) in &secrets {
        assert!(secret.len() >= 8, "{name} is too short to look for: {secret}");
        if let Some(line) = log.lines().find(|line| line.contains(secret)) {
            panic!("{name} is in the log: {line}");
        }
        assert!(!metrics.contains(secret), "{name} is in the metrics");
        assert!(!traces.contains(secret), "{name} is in the traces");
        for (url, body) in pages() {
            assert!(!body.contains(secret), "{name} is on the page {url}: {body}");
        }
    }
}

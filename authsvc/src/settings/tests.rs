//! Defaults, wrong flags, and settings that cannot work together.

use clap::Parser as _;

use super::*;

fn parse(arguments: &[&str]) -> Result<Settings, clap::Error> {
    let line = ["vestibule-authsvc", "serve"].into_iter().chain(arguments.iter().copied());
    CommandLine::try_parse_from(line).map(|line| match line.command {
        Command::Serve(arguments) => arguments.into(),
        Command::CheckPolicies(_) => unreachable!("serve was asked for"),
    })
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let settings = parse(&["--policies", "p"]).unwrap();
    assert_eq!(settings.browser_addr.to_string(), "0.0.0.0:8080");
    assert_eq!(settings.check_addr.to_string(), "0.0.0.0:8081");
    assert_eq!(settings.admin_addr.to_string(), "0.0.0.0:8082");
    assert_eq!(settings.store, StoreSetting::Memory);
    assert_eq!(settings.drain_delay, Duration::from_secs(5));
    assert_eq!(settings.session_cache_bytes, DEFAULT_BYTES);
    assert_eq!((settings.logins_per_policy, settings.logins_per_client), (3000, None));
    assert_eq!(settings.client_address_header, None);
    assert!(!settings.allow_insecure_issuers);
    assert!(
        parse(&["--policies", "p", "--allow-insecure-issuers"]).unwrap().allow_insecure_issuers
    );
}

#[test]
fn a_wrong_flag_is_named_and_a_store_url_is_never_shown() {
    for (arguments, flag) in [
        (vec!["--policies", "p", "--kubernetes=perhaps"], "--kubernetes"),
        (vec!["--policies", "p", "--check-addr", "x"], "--check-addr"),
        (vec!["--policies", "p", "--browser-addr", "localhost:1"], "such as 0.0.0.0:8080"),
        (vec!["--policies", "p", "--drain-delay", "5"], "--drain-delay"),
        (vec!["--policies", "p", "--session-cache-bytes", "64MB"], "--session-cache-bytes"),
        (vec!["--policies", "p", "--logins-per-policy", "0"], "--logins-per-policy"),
        (vec!["--policies", "p", "--logins-per-client", "many"], "--logins-per-client"),
        (vec!["--policies", "p", "--log-format", "xml"], "--log-format"),
        (vec!["--policies", "p", "--skip-auth"], "--skip-auth"),
        (vec!["--policies", "p", "--store", "postgres://u:canary@h"], "--store"),
    ] {
        let error = parse(&arguments).unwrap_err().to_string();
        assert!(error.contains(flag), "{error}");
    }
    for url in [
        "redis://u:canary@h",
        "rediss-sentinel://u:canary@h,i?master=m",
        "redis-cluster://u:canary@h,i",
    ] {
        let settings = parse(&["--policies", "p", "--store", url]).unwrap();
        assert!(!format!("{settings:?}").contains("canary"));
        assert_eq!(settings.store_wait_replicas, None);
    }
}

#[test]
fn settings_that_cannot_work_name_the_flag_and_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    let good = Settings::embedded(folder.path().to_owned());
    assert_eq!(good.validate(), Ok(()));
    let gone = folder.path().join("gone");
    let same: SocketAddr = ([127, 0, 0, 1], 8080).into();
    let redis = StoreSetting::Redis("redis://u:canary@h".to_owned());
    let cluster = Settings { policies: None, kubernetes: true, ..good.clone() };
    assert_eq!(cluster.source(), Ok(SourceSetting::Kubernetes));
    assert_eq!(cluster.validate(), Ok(()));
    for (settings, flag, fix) in [
        (Settings { policies: Some(gone.clone()), ..good.clone() }, "--policies", "create it"),
        (Settings { policies: None, ..good.clone() }, "--policies", "or --kubernetes"),
        (Settings { kubernetes: true, ..good.clone() }, "--kubernetes", "remove one"),
        (Settings { namespace: Some("v".into()), ..good.clone() }, "--namespace", "remove it"),
        (Settings { secrets: Some(gone.clone()), ..cluster }, "--secrets", "remove it"),
        (
            Settings { admin_token_file: Some(gone.clone()), ..good.clone() },
            "--admin-token-file",
            "create it",
        ),
        (Settings { secrets: Some(gone.clone()), ..good.clone() }, "--secrets", "create it"),
        (Settings { keyring: Some(gone), ..good.clone() }, "--keyring", "create it"),
        (Settings { store: redis, ..good.clone() }, "--keyring", "give a file"),
        (
            Settings { store_wait_replicas: Some(1), ..good.clone() },
            "--store-wait-replicas",
            "remove it",
        ),
        (
            Settings { logins_per_client: Some(9), ..good.clone() },
            "--logins-per-client",
            "give it, or remove",
        ),
        (
            Settings { client_address_header: Some("X Real".into()), ..good.clone() },
            "--client-address-header",
            "such as X-Real-IP",
        ),
        (
            Settings { browser_addr: same, check_addr: same, ..good },
            "--check-addr",
            "give another port",
        ),
    ] {
        let error = settings.validate().unwrap_err();
        assert_eq!(error.flag, flag);
        assert!(error.message.contains(fix) && !error.message.contains("canary"), "{error}");
    }
}

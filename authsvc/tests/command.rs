//! The `vestibule-authsvc` command as a supervisor sees it: exit codes, messages, signals.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

fn authsvc(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule-authsvc"));
    command.args(arguments).env_clear();
    command
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn wrong_settings_exit_with_64_and_name_the_flag() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().to_str().unwrap();
    for (arguments, flag) in [
        (vec!["serve"], "--policies"),
        (vec!["serve", "--policies", "/nowhere"], "--policies"),
        (vec!["serve", "--policies", here, "--kubernetes"], "--kubernetes"),
        (vec!["serve", "--policies", here, "--namespace", "v"], "--namespace"),
        (vec!["serve", "--policies", here, "--admin-token-file", "/nowhere"], "--admin-token-file"),
        (vec!["serve", "--policies", here, "--store", "redis://u:canary@h"], "--keyring"),
        (vec!["serve", "--policies", here, "--store", "http://u:canary@h"], "--store"),
        (vec!["serve", "--policies", here, "--no-such-flag"], "--no-such-flag"),
        (vec!["serve", "--policies", here, "--admin-addr", "localhost:1"], "write IP:PORT"),
        (vec!["check-policies"], "DIR"),
        (vec!["check-policies", "/nowhere"], "/nowhere"),
    ] {
        let output = authsvc(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", told(&output));
        assert!(told(&output).contains(flag), "{arguments:?}: {}", told(&output));
    }
    let mut command = authsvc(&["serve"]);
    command.env("VESTIBULE_POLICIES", here).env("VESTIBULE_LOG", "a=b=c");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(told(&output).contains("VESTIBULE_LOG"), "{}", told(&output));
}

#[test]
fn help_names_every_flag_and_its_variable() {
    let output = authsvc(&["serve", "--help"]).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for flag in [
        "policies",
        "kubernetes",
        "namespace",
        "secrets",
        "keyring",
        "store",
        "allow-insecure-issuers",
        "browser-addr",
        "check-addr",
        "admin-addr",
        "admin-token-file",
        "log-format",
        "drain-delay",
        "addr-file",
    ] {
        assert!(text.contains(&format!("--{flag}")), "{flag}: {text}");
        let variable = format!("VESTIBULE_{}", flag.to_uppercase().replace('-', "_"));
        assert!(text.contains(&variable), "{variable}: {text}");
    }
}

#[test]
fn check_policies_prints_every_error_and_exits_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().to_str().unwrap();
    let good = "\
apiVersion: vestibule.dev/v1alpha1
kind: BffProvider
metadata: {name: corp}
spec: {issuer: https://id.example.com}
---
apiVersion: vestibule.dev/v1alpha1
kind: BffPolicy
metadata: {name: shop}
spec:
  origins: [https://shop.example.com]
  providerRef: {name: corp}
  client:
    id: shop
    privateKeyJwt: {keyRef: {name: shop-oidc, key: key.pem}, algorithm: RS256}
";
    fs::write(folder.path().join("shop.yaml"), good).unwrap();
    let output = authsvc(&["check-policies", here]).output().unwrap();
    assert_eq!((output.status.code(), told(&output)), (Some(0), String::new()));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1 policy, 1 provider: no errors\n");

    let output = authsvc(&["check-policies", here, "--secrets", here]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("default/shop-oidc/key.pem"), "{}", told(&output));

    let broken = good.replace("origins: [https", "oidcOrigins: 1\n  origins: [http");
    fs::write(folder.path().join("shop.yaml"), broken).unwrap();
    let output = authsvc(&["check-policies", here]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert_eq!(
        told(&output),
        "shop.yaml:10: default/shop spec.oidcOrigins: is no known field: remove it or correct its \
         spelling\nshop.yaml:11: default/shop spec.origins[0]: use https: http is accepted on \
         loopback only\n"
    );

    fs::remove_file(folder.path().join("shop.yaml")).unwrap();
    fs::write(folder.path().join("shop.txt"), good).unwrap();
    let output = authsvc(&["check-policies", here]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).starts_with(&format!("no policies in {here}: ")), "{}", told(&output));
}

#[test]
fn it_writes_its_addresses_and_ends_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().to_str().unwrap();
    let addresses = folder.path().join("addresses.json");
    let mut arguments = vec!["serve", "--policies", here, "--drain-delay", "0s"];
    arguments.extend(["--log-format", "json", "--addr-file", addresses.to_str().unwrap()]);
    for flag in ["--browser-addr", "--check-addr", "--admin-addr"] {
        arguments.extend([flag, "127.0.0.1:0"]);
    }
    let mut server = authsvc(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    let written = wait_for(&addresses);
    let signalled =
        Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let ended = server.wait().unwrap();
    let mut log = String::new();
    std::io::Read::read_to_string(&mut server.stderr.take().unwrap(), &mut log).unwrap();
    assert!(ended.success(), "{log}");
    let value: serde_json::Value = serde_json::from_str(&written).unwrap();
    for port in ["browser", "check", "admin"] {
        let addr = value[port].as_str().unwrap();
        let line = log.lines().find(|line| line.contains(addr)).unwrap_or_else(|| panic!("{log}"));
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["message"], "listening");
        assert_eq!(line["port"], port);
    }
}

fn wait_for(file: &Path) -> String {
    let (sender, receiver) = std::sync::mpsc::channel();
    let path = file.to_owned();
    std::thread::spawn(move || {
        loop {
            if let Ok(text) = fs::read_to_string(&path) {
                let _ = sender.send(text);
                return;
            }
            std::thread::yield_now();
        }
    });
    receiver.recv_timeout(SOON).expect("the file of addresses is written in time")
}

//! The Ingress that users copy and the server that the tests run say the same: there is no controller
//! here to render one from the other.

use vestibule_e2e::tools::repository;

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

/// The values of an annotation, one for each Ingress that has it.
fn annotations(ingress: &str, name: &str) -> Vec<String> {
    let start = format!("nginx.ingress.kubernetes.io/{name}:");
    let values = ingress.lines().filter_map(|line| line.trim().strip_prefix(&start));
    values.map(|value| value.trim().trim_matches('"').to_owned()).collect()
}

/// The arguments of every such directive, in their order.
fn directives<'a>(server: &'a str, name: &str) -> Vec<&'a str> {
    let lines = server.lines().filter_map(|line| line.trim().strip_prefix(name));
    lines.filter_map(|rest| rest.strip_prefix(' ')?.strip_suffix(';')).map(str::trim).collect()
}

#[test]
fn the_ingress_says_what_the_tested_server_does() {
    let ingress = read("docs/gateways/nginx/ingress.yaml");
    let server = read("e2e/gateways/ingress-nginx.conf");
    let one = |name: &str| {
        let values = annotations(&ingress, name);
        assert_eq!(values.len(), 1, "{name}");
        values.into_iter().next().unwrap()
    };

    // Only Vestibule's address is another one there.
    let check = one("auth-url").replace("vestibule.example.internal", "127.0.0.1");
    assert!(directives(&server, "set").contains(&format!("$target {check}").as_str()), "{check}");
    assert_eq!(directives(&server, "auth_request"), ["/_external-auth-Lw-Prefix"]);

    let login = format!("302 {}", one("auth-signin"));
    assert_eq!(directives(&server, "return"), [login.as_str()]);

    let names = one("auth-response-headers");
    let (mut taken, mut given) = (Vec::new(), Vec::new());
    for (n, name) in names.split(", ").enumerate() {
        let variable = name.to_ascii_lowercase().replace('-', "_");
        taken.push(format!("$authHeader{n} $upstream_http_{variable}"));
        given.push(format!("'{name}' $authHeader{n}"));
    }
    let with = |directive: &str, what: &str| -> Vec<&str> {
        let all = directives(&server, directive).into_iter();
        all.filter(|arguments| arguments.contains(what)).collect()
    };
    assert_eq!(with("auth_request_set", "$authHeader"), taken);
    assert_eq!(with("proxy_set_header", "$authHeader"), given);

    assert_eq!(one("auth-always-set-cookie"), "true");
    assert_eq!(directives(&server, "add_header"), ["Set-Cookie $auth_cookie always"; 2]);

    // Both Ingresses and all three locations that pass something on.
    let sizes = annotations(&ingress, "proxy-buffer-size");
    assert_eq!(sizes.len(), 2);
    let size = &sizes[0];
    assert_eq!(sizes[1], *size);
    assert_eq!(directives(&server, "proxy_buffer_size"), [size.as_str(); 3]);
    assert_eq!(directives(&server, "proxy_buffers"), [format!("4 {size}").as_str(); 3]);

    // The second Ingress is for the path that is served without a check.
    assert!(ingress.contains("path: /bff\n") && server.contains("location /bff/ {"));
}

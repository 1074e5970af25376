//! Certificates and kubeconfigs of one cluster, by openssl. They are for one run and one machine:
//! nothing here may be used for anything else.

use std::fs;
use std::path::{Path, PathBuf};

use super::network::{NODE, run};

/// The folder of keys, certificates and kubeconfigs.
#[derive(Clone, Debug)]
pub(super) struct Pki {
    dir: PathBuf,
    server: String,
}

/// Name, subject, and whether it has a kubeconfig.
const CLIENTS: [(&str, &str); 5] = [
    ("admin", "/O=system:masters/CN=admin"),
    ("controller-manager", "/CN=system:kube-controller-manager"),
    ("scheduler", "/CN=system:kube-scheduler"),
    ("proxy", "/CN=system:kube-proxy"),
    ("node", "/O=system:nodes/CN=system:node:node1"),
];

impl Pki {
    /// Makes them all, for an API server at that port.
    pub fn create(dir: &Path, port: u16) -> Self {
        let pki = Self { dir: dir.join("pki"), server: format!("https://{NODE}:{port}") };
        fs::create_dir_all(&pki.dir).expect("a writable folder");
        pki.authority();
        pki.leaf(
            "apiserver",
            "/CN=kube-apiserver",
            &format!(
                "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,\
                 DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,\
                 IP:10.96.0.1,IP:{NODE}"
            ),
        );
        for (name, subject) in CLIENTS {
            pki.leaf(name, subject, &format!("DNS:{name},DNS:node1,IP:{NODE}"));
            pki.write_kubeconfig(name);
        }
        let (key, public) = (pki.path("accounts.key"), pki.path("accounts.pub"));
        run("openssl", &["ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", &key]);
        run("openssl", &["ec", "-in", &key, "-pubout", "-out", &public]);
        pki
    }

    /// The path of one of its files.
    pub fn path(&self, file: &str) -> String {
        self.dir.join(file).display().to_string()
    }

    /// The API server's URL.
    pub fn server(&self) -> &str {
        &self.server
    }

    fn authority(&self) {
        let config = "[req]\ndistinguished_name=dn\n[dn]\n[own]\nbasicConstraints=critical,CA:TRUE\n\
                      keyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n";
        self.certificate("ca", "/CN=vestibule-cluster", config, false);
    }

    fn leaf(&self, name: &str, subject: &str, alternative: &str) {
        let config = format!(
            "[req]\ndistinguished_name=dn\n[dn]\n[own]\nbasicConstraints=critical,CA:FALSE\n\
             keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n\
             subjectAltName={alternative}\n"
        );
        self.certificate(name, subject, &config, true);
    }

    fn certificate(&self, name: &str, subject: &str, config: &str, signed: bool) {
        let file = |ending: &str| self.path(&format!("{name}.{ending}"));
        let (key, certificate, config_file) = (file("key"), file("crt"), file("cnf"));
        fs::write(&config_file, config).expect("writable");
        let mut arguments = vec!["req", "-x509", "-new", "-noenc", "-days", "7"];
        arguments.extend(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        arguments.extend(["-config", &config_file, "-extensions", "own", "-subj", subject]);
        arguments.extend(["-keyout", &key, "-out", &certificate]);
        let (ca, ca_key) = (self.path("ca.crt"), self.path("ca.key"));
        if signed {
            arguments.extend(["-CA", &ca, "-CAkey", &ca_key]);
        }
        run("openssl", &arguments);
    }

    fn write_kubeconfig(&self, name: &str) {
        let (ca, server) = (self.path("ca.crt"), &self.server);
        let (key, certificate) =
            (self.path(&format!("{name}.key")), self.path(&format!("{name}.crt")));
        let text = format!(
            "apiVersion: v1
kind: Config
current-context: e2e
contexts: [{{name: e2e, context: {{cluster: e2e, user: {name}}}}}]
clusters: [{{name: e2e, cluster: {{server: '{server}', certificate-authority: {ca}}}}}]
users: [{{name: {name}, user: {{client-certificate: {certificate}, client-key: {key}}}}}]
"
        );
        fs::write(self.path(&format!("{name}.kubeconfig")), text).expect("writable");
    }
}

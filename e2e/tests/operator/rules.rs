//! The chart's admission policies on the bare API server, as long as a test wants them there.

use serde_json::{Value, json};
use vestibule_e2e::apiserver::{ApiServer, NAMESPACE};
use vestibule_e2e::http::Request;
use vestibule_e2e::installation::{chart, helm};
use vestibule_e2e::process::eventually;

use crate::bench::{LIMIT, ingress};

const GROUP: &str = "/apis/admissionregistration.k8s.io";
const MUTATING: &str = "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy";

/// Admission policies of the chart, as long as this is there.
pub struct Rules<'a> {
    api: &'a ApiServer,
}

impl<'a> Rules<'a> {
    /// Those of these files in `templates/admission`.
    pub fn apply(api: &'a ApiServer, files: &[&str]) -> Self {
        let files = files.iter().map(|file| format!("templates/admission/{file}.yaml"));
        let chosen: Vec<String> = files.flat_map(|file| ["-s".to_owned(), file]).collect();
        let mut chosen: Vec<&str> = chosen.iter().map(String::as_str).collect();
        if chosen.iter().any(|file| file.ends_with("-mutate.yaml")) {
            chosen.extend(["--api-versions", MUTATING]);
        }
        let text = rendered(&chosen);
        let rules = Self { api };
        api.apply_yaml(&text, &[]);
        rules
    }
}

impl Drop for Rules<'_> {
    fn drop(&mut self) {
        for kind in [
            "v1/validatingadmissionpolicybindings",
            "v1/validatingadmissionpolicies",
            "v1beta1/mutatingadmissionpolicybindings",
            "v1beta1/mutatingadmissionpolicies",
        ] {
            let path = format!("{GROUP}/{kind}");
            let _ = Request::new("DELETE", path, "127.0.0.1").try_send(self.api.plain());
        }
        // The server forgets them a while later, and until then writes over what the next test's
        // operator writes.
        let forgotten = eventually(LIMIT, || is_left_alone(self.api).then_some(()));
        assert!(forgotten.is_some() || std::thread::panicking(), "deleted policies stay in force");
    }
}

/// Whether an Ingress that the rules would write on, or refuse, is stored as it is sent.
fn is_left_alone(api: &ApiServer) -> bool {
    let path = "/apis/networking.k8s.io/v1/namespaces/default/ingresses?dryRun=All";
    let mut object = ingress("default", "left-alone", "nginx", "left-alone.example.com");
    let annotations = json!({"vestibule.dev/policy": "left-alone"});
    object["metadata"]["annotations"] = annotations.clone();
    let mut request = Request::new("POST", path, "127.0.0.1");
    request = request.header("Content-Type", "application/json");
    request.body = object.to_string().into_bytes();
    let Some(answer) = request.try_send(api.plain()) else { return false };
    let stored: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    answer.status == 201 && stored["metadata"]["annotations"] == annotations
}

/// The chart as it is rendered for production.
pub fn rendered(more: &[&str]) -> String {
    let chart = chart("vestibule");
    let values = format!("{chart}/ci/production-values.yaml");
    let template = ["template", "vestibule", &chart, "-n", NAMESPACE, "-f", &values];
    let kinds = ["--api-versions", "traefik.io/v1alpha1/IngressRoute"];
    let output = helm(&[&template[..], &["--kube-version", "1.35.4"], &kinds, more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

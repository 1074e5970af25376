//! Which Secrets a policy names, so that whoever reads or watches them forgets none.

use super::{BffPolicySpec, Client, DecisionPoint, SecretKeyRef};

impl BffPolicySpec {
    /// Every key of a Secret of the policy's namespace that it names, with the field that does.
    /// Those of its provider are the provider's.
    #[must_use]
    pub fn secret_refs(&self) -> Vec<(String, &SecretKeyRef)> {
        let mut all = Vec::new();
        of_client(&self.client, "spec.client", &mut all);
        for (index, authority) in self.authorities.iter().enumerate() {
            if let Some(client) = &authority.client {
                of_client(client, &format!("spec.authorities[{index}].client"), &mut all);
            }
        }
        if let Some(open_fga) = &self.open_fga {
            of_server(&open_fga.server, "spec.openFga.server", &mut all);
        }
        if let Some(auth_zen) = &self.auth_zen {
            of_server(&auth_zen.server, "spec.authZen.server", &mut all);
        }
        all
    }
}

fn of_client<'a>(client: &'a Client, field: &str, all: &mut Vec<(String, &'a SecretKeyRef)>) {
    let secret = client.secret_ref.iter();
    all.extend(secret.map(|reference| (format!("{field}.secretRef"), reference)));
    let jwt = client.private_key_jwt.iter();
    all.extend(jwt.map(|jwt| (format!("{field}.privateKeyJwt.keyRef"), &jwt.key_ref)));
}

fn of_server<'a>(
    server: &'a DecisionPoint,
    field: &str,
    all: &mut Vec<(String, &'a SecretKeyRef)>,
) {
    let token = server.token_ref.iter();
    all.extend(token.map(|reference| (format!("{field}.tokenRef"), reference)));
    let bundle = server.ca_bundle_ref.iter();
    all.extend(bundle.map(|reference| (format!("{field}.caBundleRef"), reference)));
}

//! Ending several sessions at once: of one user, or of one session at the provider, over every app
//! that uses the same client of it.
//!
//! Why it exists: "log out everywhere" and both logouts by the provider mean the same sessions. It
//! must not reach a policy of another provider or client, and counts only what the store confirmed.

use std::sync::Arc;

use crate::app::App;
use crate::audit::Ending;
use crate::clock::Timestamp;
use crate::policies::LivePolicy;
use crate::session::StoreKey;
use crate::session::index::By;
use crate::session::service::Loaded;
use crate::session::store::StoreError;

/// How many sessions are in memory at a time.
const AT_A_TIME: usize = 50;

/// Which sessions. Of one provider session where `session` is there, else all of `subject`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Which<'a> {
    /// The user, by `sub`.
    pub subject: Option<&'a str>,
    /// The provider's session, by `sid`. With a subject as well, that user's sessions of which the
    /// provider said no `sid` are meant too: each may be the one.
    pub session: Option<&'a str>,
    /// Only those that began by then.
    pub began_by: Option<Timestamp>,
    /// But not this one.
    pub except: Option<StoreKey>,
}

impl Which<'_> {
    fn means(&self, loaded: &Loaded) -> bool {
        let session = &*loaded.session;
        let by_session =
            self.session.is_some() && self.session == session.provider_session.as_deref();
        let by_subject = self.subject == Some(session.subject.as_str())
            && (self.session.is_none() || session.provider_session.is_none());
        (by_session || by_subject)
            && self.began_by.is_none_or(|then| session.created_at <= then)
            && self.except != Some(loaded.key)
    }
}

/// The policies that share provider and client with one, itself first; also those whose traffic is
/// refused now, or their sessions would be there again afterwards.
pub fn sharing(app: &App, policy: &Arc<LivePolicy>) -> Vec<Arc<LivePolicy>> {
    let own = &policy.compiled;
    let running = app.policies.running();
    let others = running.iter().filter_map(|one| one.keeper()).filter(|other| {
        let other = &other.compiled;
        other.id != own.id
            && other.client.id == own.client.id
            && other.provider.issuer == own.provider.issuer
            // Another trust in the same name may be another provider.
            && other.provider.ca_bundle == own.provider.ca_bundle
            && other.provider.allow_insecure == own.provider.allow_insecure
    });
    let mut all = vec![Arc::clone(policy)];
    all.extend(others.map(Arc::clone));
    all
}

/// What becomes of the tokens of ended sessions at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// It ends them itself.
    LeftToProvider,
    /// They are revoked, where the policy wants that.
    Revoked,
}

/// Ends sessions of these policies; gives how many this call ended. Looks again until it finds none,
/// so that none is passed over while others come and go.
///
/// # Errors
/// Where the store did not confirm one of them: some may have ended, and it can be called again.
pub async fn end_all(
    app: &App,
    policies: &[Arc<LivePolicy>],
    which: Which<'_>,
    ending: Ending<'_>,
    tokens: Tokens,
) -> Result<usize, StoreError> {
    let by = [which.session.map(By::ProviderSession), which.subject.map(By::Subject)];
    let mut ended = 0;
    for policy in policies {
        for by in by.into_iter().flatten() {
            loop {
                let meant = |loaded: &Loaded| which.means(loaded);
                let found = app.sessions.find_some(policy, by, meant, AT_A_TIME).await?;
                if found.is_empty() {
                    break;
                }
                for loaded in &found {
                    // With its tokens: the next one may fail, and this one is not found again.
                    ended += usize::from(end(app, policy, loaded, ending, tokens).await?);
                }
            }
        }
    }
    Ok(ended)
}

/// Ends a session, with its elevated tokens; `false`: it was gone. Where its user did that and the policy
/// wants it, the tokens are made worthless at the provider too.
///
/// # Errors
/// Where the store did not confirm it: it may be called again.
pub async fn end(
    app: &App,
    policy: &LivePolicy,
    loaded: &Loaded,
    ending: Ending<'_>,
    tokens: Tokens,
) -> Result<bool, StoreError> {
    let revokes = tokens == Tokens::Revoked && policy.compiled.logout.revoke_tokens;
    // Asked first: they are gone with their session.
    let elevated =
        if revokes { app.sessions.elevations_of(policy, loaded).await? } else { Vec::new() };
    let ended = app.sessions.end(policy, loaded, ending).await?;
    if ended && revokes {
        policy.provider.revoke_tokens(&policy.compiled.client, &loaded.session);
        for (authority, elevated) in &elevated {
            policy.provider.revoke_tokens(&authority.client, &elevated.session);
        }
    }
    Ok(ended)
}

//! The Route Authorities of one policy, ready for requests: which of them a path belongs to, and what its
//! logins ask for.
//!
//! It must not decide who gets a token.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use vestibule_policy::matching::{RouteKey, RouteTable};
use vestibule_policy::model::{CompiledAuthority, CompiledClient, CompiledLogin, CompiledPolicy};
use vestibule_policy::origin::Origin;
use vestibule_policy::path::{PathError, Target};

use crate::session::keyring::PolicyRoots;
use crate::session::seal::Sealer;
use crate::session::{AuthorityTag, Purpose};

/// Before the base in the path of an authority's metadata (RFC 9728, section 3.1).
pub const PROTECTED_RESOURCE: &str = "/.well-known/oauth-protected-resource";
/// After the base in the path of its endpoint.
const AUTHORIZE: &str = "/authorize";
/// What need not be encoded in a query's value; `/` and the unreserved stay readable.
const QUERY_VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One Route Authority.
pub struct LiveAuthority {
    /// What was compiled.
    pub compiled: CompiledAuthority,
    /// Tells its elevated tokens from others'.
    pub tag: AuthorityTag,
    /// Its registration at the provider.
    pub client: CompiledClient,
    /// Seals its tokens: the same for all authorities of a policy, whose records and cookies are told
    /// apart by where they lie.
    pub sealers: Arc<ElevationSealers>,
    /// What its logins ask for, but for the scopes: see [`LiveAuthority::login`].
    login: CompiledLogin,
}

/// What seals a policy's elevated tokens.
pub struct ElevationSealers {
    /// Records beside sessions.
    pub elevation: Sealer,
    /// Access tokens in cookies.
    pub access_cookie: Sealer,
    /// Refresh tokens in cookies.
    pub refresh_cookie: Sealer,
    /// What a refresh of such a cookie gave.
    pub cookie_refresh: Sealer,
}

impl ElevationSealers {
    fn new(roots: &PolicyRoots) -> Self {
        let sealer = |purpose| Sealer::of(roots, purpose);
        Self {
            elevation: sealer(Purpose::Elevation),
            access_cookie: sealer(Purpose::AccessCookie),
            refresh_cookie: sealer(Purpose::RefreshCookie),
            cookie_refresh: sealer(Purpose::CookieRefresh),
        }
    }
}

/// An endpoint of an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityEndpoint {
    /// `{base}/authorize`.
    Authorize,
    /// `/.well-known/oauth-protected-resource{base}`.
    Metadata,
}

impl LiveAuthority {
    fn new(
        policy: &CompiledPolicy,
        compiled: &CompiledAuthority,
        sealers: Arc<ElevationSealers>,
    ) -> Self {
        let mut extra_parameters = policy.login.extra_parameters.clone();
        // Whether there is a page is for the mediation to say, and whom the token is for, for the author.
        for other in ["prompt", "audience"] {
            extra_parameters.remove(other);
        }
        if let Some(audience) = &compiled.audience {
            extra_parameters.insert("audience".to_owned(), audience.clone());
        }
        let login = CompiledLogin {
            scopes: Vec::new(),
            par: policy.login.par,
            acr_values: compiled.acr.iter().cloned().collect(),
            max_age: compiled.max_age,
            resources: compiled.resources.clone(),
            extra_parameters,
            user_info: false,
        };
        Self {
            tag: AuthorityTag::new(&policy.uid, &compiled.base),
            client: compiled.client.clone().unwrap_or_else(|| policy.client.clone()),
            compiled: compiled.clone(),
            sealers,
            login,
        }
    }

    /// What a login for these scopes asks the provider for; `silent`: to show no page.
    #[must_use]
    pub fn login(&self, scopes: &[String], silent: bool) -> CompiledLogin {
        let mut login = self.login.clone();
        let others = scopes.iter().filter(|scope| *scope != "openid").cloned();
        login.scopes = std::iter::once("openid".to_owned()).chain(others).collect();
        if silent {
            login.extra_parameters.insert("prompt".to_owned(), "none".to_owned());
        }
        login
    }

    /// All the scopes that it lists.
    #[must_use]
    pub fn scope_names(&self) -> Vec<String> {
        self.compiled.scopes.iter().map(|scope| scope.name.clone()).collect()
    }

    /// Where a browser navigates for a token with these scopes, and whereto it comes back. The base is
    /// plain: `compile` sees to that.
    #[must_use]
    pub fn authorize_url(
        &self,
        origin: &Origin,
        scopes: &[String],
        redirect_uri: Option<&str>,
    ) -> String {
        let base = &self.compiled.base;
        let scopes = scopes.join(" ");
        let scopes = utf8_percent_encode(&scopes, QUERY_VALUE);
        let url = format!("{origin}{base}{AUTHORIZE}?scope={scopes}");
        match redirect_uri {
            Some(back) => format!("{url}&redirectUri={}", utf8_percent_encode(back, QUERY_VALUE)),
            None => url,
        }
    }

    /// Of these scopes the first that the authority does not list.
    #[must_use]
    pub fn unlisted<'a>(&self, scopes: &'a [String]) -> Option<&'a String> {
        scopes.iter().find(|scope| !self.lists(scope))
    }

    /// Whether the authority lists a scope.
    #[must_use]
    pub fn lists(&self, scope: &str) -> bool {
        self.compiled.scopes.iter().any(|one| one.name == scope)
    }

    /// Whether a token may have a scope though it was not asked for.
    #[must_use]
    pub fn adds(&self, scope: &str) -> bool {
        scope == "openid" || self.compiled.added_scopes.iter().any(|one| one == scope)
    }
}

/// The authorities of a policy; `None`, as of most: it has none.
pub(super) struct Authorities(Option<Box<ByBase>>);

struct ByBase {
    all: Box<[Arc<LiveAuthority>]>,
    table: RouteTable,
}

impl Authorities {
    pub(super) fn new(policy: &CompiledPolicy, roots: &PolicyRoots) -> Self {
        if policy.authorities.is_empty() {
            return Self(None);
        }
        let sealers = Arc::new(ElevationSealers::new(roots));
        let of = |compiled| Arc::new(LiveAuthority::new(policy, compiled, Arc::clone(&sealers)));
        let keys: Vec<RouteKey> = policy
            .authorities
            .iter()
            .map(|one| RouteKey { path: one.base.clone(), exact: false, methods: Vec::new() })
            .collect();
        let all = policy.authorities.iter().map(of).collect();
        Self(Some(Box::new(ByBase { all, table: RouteTable::new(&keys) })))
    }

    pub(super) fn all(&self) -> &[Arc<LiveAuthority>] {
        self.0.as_ref().map_or(&[][..], |some| &*some.all)
    }

    pub(super) fn find(&self, target: &Target) -> Result<Option<&Arc<LiveAuthority>>, PathError> {
        let Some(ByBase { all, table }) = self.0.as_deref() else { return Ok(None) };
        let found = table.find_for("", target)?;
        Ok(found.and_then(|index| all.get(index)))
    }

    pub(super) fn endpoint(&self, path: &str) -> Option<(&Arc<LiveAuthority>, AuthorityEndpoint)> {
        let all = &self.0.as_ref()?.all;
        let (base, endpoint) = match path.strip_prefix(PROTECTED_RESOURCE) {
            Some(base) => (base, AuthorityEndpoint::Metadata),
            None => (path.strip_suffix(AUTHORIZE)?, AuthorityEndpoint::Authorize),
        };
        let found = all.iter().find(|authority| authority.compiled.base == base)?;
        Some((found, endpoint))
    }
}

#[cfg(test)]
mod tests {
    use vestibule_policy::model::{CompiledScope, Obtain, TokenStorage};
    use vestibule_policy::path::{Exceptions, parse_target};

    use super::*;
    use crate::random::SeededRandom;
    use crate::session::keyring::Keyring;

    fn compiled(base: &str) -> CompiledAuthority {
        let scope = |name: &str| CompiledScope { name: name.to_owned(), description: None };
        CompiledAuthority {
            base: base.to_owned(),
            scopes: vec![scope("read"), scope("https://api.example.com/write")],
            added_scopes: vec!["email".to_owned()],
            obtain: Obtain::AuthorizationCode,
            audience: Some("orders".to_owned()),
            resources: vec!["https://api.example.com".to_owned()],
            acr: Some("gold".to_owned()),
            max_age: Some(60),
            storage: TokenStorage::Session,
            client: None,
            permissions: Vec::new(),
        }
    }

    fn authorities(bases: &[&str]) -> Authorities {
        let mut policy = crate::policies::tests::compiled("shop", &["https://shop.example.com"]);
        let parameters = [("prompt", "consent"), ("ui_locales", "de"), ("audience", "shop")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        policy.login.extra_parameters = parameters.into();
        policy.authorities = bases.iter().map(|base| compiled(base)).collect();
        let keyring = Keyring::ephemeral(&SeededRandom::default());
        Authorities::new(&policy, &keyring.of_policy(&policy.uid))
    }

    #[test]
    fn a_request_belongs_to_the_innermost_base_that_it_is_below() {
        let authorities = authorities(&["/api", "/api/orders", "/billing"]);
        for (target, base) in [
            ("/api", Some("/api")),
            ("/api/x?y=/billing", Some("/api")),
            ("/api/orders/7", Some("/api/orders")),
            ("/api/ordersx", Some("/api")),
            ("/apix", None),
            ("/", None),
        ] {
            let target = parse_target(target, &Exceptions::default()).unwrap();
            let found = authorities.find(&target).unwrap();
            assert_eq!(found.map(|found| found.compiled.base.as_str()), base, "{}", target.raw);
        }
    }

    #[test]
    fn its_endpoints_are_exactly_these() {
        let authorities = authorities(&["/api", "/api/orders"]);
        let found =
            |path| authorities.endpoint(path).map(|(one, kind)| (&*one.compiled.base, kind));
        let (authorize, metadata) = (AuthorityEndpoint::Authorize, AuthorityEndpoint::Metadata);
        for (path, expected) in [
            ("/api/authorize", Some(("/api", authorize))),
            ("/api/orders/authorize", Some(("/api/orders", authorize))),
            ("/.well-known/oauth-protected-resource/api", Some(("/api", metadata))),
            ("/authorize", None),
            ("/api/x/authorize", None),
            ("/api/authorize/", None),
            ("/.well-known/oauth-protected-resource", None),
            ("/.well-known/oauth-protected-resource/api/authorize", None),
        ] {
            assert_eq!(found(path), expected, "{path}");
        }
    }

    #[test]
    fn its_login_asks_for_the_scopes_alone_and_for_what_the_authority_asks() {
        let authorities = authorities(&["/api"]);
        let authority = &authorities.all()[0];
        let scopes = ["read".to_owned(), "openid".to_owned()];
        let login = authority.login(&scopes, true);
        assert_eq!(login.scopes, ["openid", "read"]);
        assert_eq!((login.acr_values, login.max_age), (vec!["gold".to_owned()], Some(60)));
        assert_eq!(login.resources, ["https://api.example.com"]);
        assert!(!login.user_info);
        let parameter = |silent, name: &str| {
            authority.login(&scopes, silent).extra_parameters.get(name).cloned()
        };
        assert_eq!(parameter(true, "prompt").as_deref(), Some("none"));
        assert_eq!(parameter(false, "prompt"), None, "the policy's is for its own logins");
        assert_eq!(parameter(false, "audience").as_deref(), Some("orders"));
        assert_eq!(parameter(false, "ui_locales").as_deref(), Some("de"));
    }

    #[test]
    fn t097_the_navigation_is_on_our_own_origin_with_every_value_encoded() {
        let authorities = authorities(&["/api"]);
        let authority = &authorities.all()[0];
        let origin = Origin::parse("https://shop.example.com").unwrap();
        let url =
            authority.authorize_url(&origin, &authority.scope_names(), Some("/a?b=c&scope=x"));
        assert_eq!(
            url,
            "https://shop.example.com/api/authorize?scope=read%20https%3A//api.example.com/write\
             &redirectUri=/a%3Fb%3Dc%26scope%3Dx"
        );
        let url = authority.authorize_url(&origin, &["read".to_owned()], None);
        assert_eq!(url, "https://shop.example.com/api/authorize?scope=read");
    }

    #[test]
    fn it_knows_which_scopes_are_its_own_and_which_are_added() {
        let authorities = authorities(&["/api"]);
        let authority = &authorities.all()[0];
        let scopes = ["read", "email", "admin"].map(str::to_owned);
        assert_eq!(authority.unlisted(&scopes).map(String::as_str), Some("email"));
        assert!(authority.adds("openid") && authority.adds("email") && !authority.adds("read"));
        assert!(authority.lists("read") && !authority.lists("Read"));
    }
}

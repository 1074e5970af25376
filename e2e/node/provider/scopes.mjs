// What the provider knows of scopes: those of APIs beside its own, who agrees to them, and who takes that
// back. It must not know HTTP, but for the form of the consent page.

/** The scopes of APIs. `endpoint:mediate` is all that a mediating app's own token says. */
export const apiScopes = [
  'api',
  'production:read',
  'production:write',
  'warehouse:read',
  'vault:open',
  'exchange:read',
  'endpoint:mediate',
];

/** Of some scopes those of APIs which are not refused, as `scope` has them. */
export function granted(scopes, state) {
  return [...scopes]
    .filter((scope) => apiScopes.includes(scope) && !state.refuse.includes(scope))
    .join(' ');
}

/**
 * The grant of this authorization request: everybody agrees to everything, but for what `consentFor` names
 * (a page asks) and what `refuse` names (never granted, and nobody is told).
 */
export async function grantOf(ctx, state, grants) {
  const { oidc } = ctx;
  const { clientId } = oidc.client;
  const known = oidc.result?.consent?.grantId ?? oidc.session.grantIdFor(clientId);
  const grant =
    (known && (await oidc.provider.Grant.find(known))) ||
    new oidc.provider.Grant({ accountId: oidc.session.accountId, clientId });
  const asked = [...oidc.requestParamScopes].filter((scope) => apiScopes.includes(scope));
  const free = asked.filter((scope) => !state.consentFor.includes(scope));
  grant.addOIDCScope(['openid', 'profile', 'email', 'offline_access', ...free].join(' '));
  grant.addOIDCClaims(['acr', 'auth_time', 'sid', 'name', 'email', 'groups']);
  grant.rejected = undefined;
  const refused = asked.filter((scope) => state.refuse.includes(scope)).join(' ');
  if (refused) grant.rejectOIDCScope(refused);
  for (const resource of Object.keys(oidc.resourceServers ?? {})) {
    grant.addResourceScope(resource, ['api', ...free].join(' '));
    if (refused) grant.rejectResourceScope(resource, refused);
  }
  grants.set(await grant.save(), { account: grant.accountId, client: clientId });
  return grant;
}

/** Ends all grants of an account, or of a client, or of both, with the tokens that came of them. */
export async function revoke({ account, client }, provider, grants) {
  const { AccessToken, AuthorizationCode, Grant, RefreshToken } = provider;
  for (const [id, owner] of grants) {
    if ((account && account !== owner.account) || (client && client !== owner.client)) continue;
    await Promise.all(
      [AccessToken, AuthorizationCode, RefreshToken].map((kind) => kind.revokeByGrantId(id)),
    );
    const grant = await Grant.find(id);
    await grant?.destroy();
    grants.delete(id);
  }
}

/** The consent page's form; `action`: where it goes. */
export function consentForm({ details }, action) {
  const scopes = [
    ...(details.missingOIDCScope ?? []),
    ...Object.values(details.missingResourceScopes ?? {}).flat(),
  ];
  return `<p>Prompt: consent</p>
<form method="post" action="${action}">
<p>The app wants ${[...new Set(scopes)].join(', ')}.</p>
<button name="consent" value="yes">Allow</button>
<button name="consent" value="no">Deny</button>
</form>`;
}

/** The outcome of the consent page. */
export async function consented({ details }, answer, { grantId }, provider) {
  if (answer !== 'yes') {
    return { error: 'access_denied', error_description: 'the user said no' };
  }
  const grant = await provider.Grant.find(grantId);
  if (details.missingOIDCScope) grant.addOIDCScope(details.missingOIDCScope.join(' '));
  for (const [resource, scopes] of Object.entries(details.missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, scopes.join(' '));
  }
  return { consent: { grantId: await grant.save() } };
}

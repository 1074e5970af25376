// Token exchange (RFC 8693) for oidc-provider, which has none: the client gets an access token for the user
// of another one. It must not take anything but access tokens that this provider gave and that still count.
import { errors } from 'oidc-provider';
import { granted } from './scopes.mjs';

const GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const parameters = [
  'subject_token',
  'subject_token_type',
  'requested_token_type',
  'audience',
  'resource',
  'scope',
];

/** What a client must have to exchange. */
export const exchangeGrantType = GRANT_TYPE;

/**
 * Adds the grant type. `subjects` has the access tokens that were given, with whom they are for;
 * `state.refuseExchange` is the error that every exchange ends with.
 */
export function addExchange(provider, state, subjects, resourceServer) {
  provider.registerGrantType(
    GRANT_TYPE,
    (ctx) => exchange(ctx, provider, state, subjects, resourceServer),
    parameters,
    ['audience', 'resource'],
  );
}

async function exchange(ctx, provider, state, subjects, resourceServer) {
  const { client, params } = ctx.oidc;
  if (state.refuseExchange) {
    throw new errors.CustomOIDCProviderError(state.refuseExchange, 'not today');
  }
  const types = [params.subject_token_type, params.requested_token_type ?? ACCESS_TOKEN];
  if (types.some((type) => type !== ACCESS_TOKEN)) {
    throw new errors.InvalidRequest('only access tokens are exchanged');
  }
  const subject = subjects.get(params.subject_token);
  const over = !subject || subject.expiresAt <= Date.now();
  // RFC 8693, section 2.2.2: a subject token that does not count is an invalid request.
  if (over || !(await provider.Grant.find(subject.grantId))) {
    throw new errors.InvalidRequest('the subject token does not count');
  }
  const scope = granted((params.scope ?? '').split(' '), state);
  if (!scope) throw new errors.InvalidScope('nothing of that is granted', params.scope);
  const token = new provider.AccessToken({
    accountId: subject.accountId,
    client,
    grantId: subject.grantId,
    gty: 'token_exchange',
    scope,
  });
  const [resource] = [params.resource ?? []].flat();
  if (resource) {
    token.resourceServer = new provider.ResourceServer(resource, resourceServer(resource));
  }
  ctx.oidc.entity('AccessToken', token);
  ctx.body = {
    access_token: await token.save(),
    issued_token_type: ACCESS_TOKEN,
    token_type: 'Bearer',
    expires_in: token.expiration,
    scope,
  };
}

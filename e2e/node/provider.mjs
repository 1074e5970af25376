// A certified OpenID provider on loopback, or at `host`, with users who accept any password, counters of what it
// was asked, and switches for faults. Usage: node provider.mjs CONFIG.json, where CONFIG.json is
// { host?, port, controlPort, clientSecret, redirectUris, postLogoutRedirectUris, clientJwks?, auth0?, apps? }.
// With `auth0` its endpoints and issuer are as Auth0 has them. `apps` are the origins of an app `/public/app`
// that logs in by itself: the public client `spa`. Prints one JSON line once it listens.
import { createServer } from 'node:http';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Provider, interactionPolicy } from 'oidc-provider';
import { addExchange, exchangeGrantType } from './provider/exchange.mjs';
import { apiScopes, consented, consentForm, grantOf, revoke } from './provider/scopes.mjs';

const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const host = config.host ?? '127.0.0.1';
const apps = config.apps ?? [];
// Auth0's issuers end with a slash, and auth0-spa-js insists on it.
const issuer = `http://${host}:${config.port}${config.auth0 ? '/' : ''}`;
const routes = config.auth0
  ? { authorization: '/authorize', token: '/oauth/token' }
  : { authorization: '/auth', token: '/token' };

const people = {
  alice: { name: 'Alice Example', email: 'alice@example.test', groups: ['staff'] },
  bob: { name: 'Bob Example', email: 'bob@example.test', groups: ['guests'] },
};

function claimsOf(id) {
  const person = people[id] ?? { name: id, email: `${id}@example.test`, groups: [] };
  return {
    sub: id,
    preferred_username: id,
    email_verified: true,
    ...person,
    // Set by the control endpoint, to see how odd claims are taken.
    ...(state.claims[id] ?? {}),
  };
}

// What tests read and set over the control port: `delay` and `fail` come before a request is looked at,
// `delayAfter` once it was done (milliseconds, by path).
const state = {
  counts: {},
  fail: {},
  failed: {},
  delay: {},
  delayAfter: {},
  claims: {},
  par: true,
  // Requests whose client was gone when their delay was over: not looked at.
  dropped: 0,
  // Answers of the token endpoint, as `GRANT_TYPE granted` and `GRANT_TYPE refused`.
  grants: {},
  accessTokenTtl: 3600,
  refreshTokens: false,
  rotateRefreshTokens: true,
  // For so many seconds a rotated refresh token still works; after that its use ends the grant.
  reuseWindow: 0,
  // With `keepIssued`, every token and who got which.
  keepIssued: false,
  issued: [],
  // Where it tells the client `shop` of logouts (OpenID Connect Back-Channel Logout 1.0).
  backChannelLogoutUri: null,
  // How often it was heard, and was not.
  backChannel: {},
  // Scopes that a page asks for, and scopes that are never granted.
  consentFor: [],
  refuse: [],
  // The error that token exchanges end with.
  refuseExchange: null,
};

// The grants that there are and who has them; the access tokens that may be exchanged.
const grants = new Map();
const subjects = new Map();

function increment(counters, name) {
  counters[name] = (counters[name] ?? 0) + 1;
}

// Waits, but not for longer than the client does; `false`: it is gone.
async function wait(ctx, milliseconds) {
  const { socket } = ctx.req;
  if (!milliseconds) return true;
  let gone;
  await new Promise((done) => {
    const timer = setTimeout(done, milliseconds);
    gone = () => {
      clearTimeout(timer);
      done();
    };
    socket.once('close', gone);
  });
  socket.off('close', gone);
  return !socket.destroyed;
}

function newKeys() {
  const jwk = (type, options, use) => ({
    ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }),
    ...use,
    kid: randomUUID(),
  });
  return [
    jwk('rsa', { modulusLength: 2048 }, { use: 'sig', alg: 'RS256' }),
    jwk('ec', { namedCurve: 'P-256' }, { use: 'sig', alg: 'ES256' }),
  ];
}

// `acr_values=gold` asks for a login of its own, whatever session there is.
const policy = interactionPolicy.base();
policy.get('login').checks.add(
  new interactionPolicy.Check('acr', 'a stronger login is asked for', (ctx) => {
    const { params, session, result } = ctx.oidc;
    const gold = (params.acr_values ?? '').split(' ').includes('gold');
    return gold && session.acr !== 'gold' && !result?.login
      ? interactionPolicy.Check.REQUEST_PROMPT
      : interactionPolicy.Check.NO_NEED_TO_PROMPT;
  }),
);

function client(id, method, more = {}) {
  return {
    client_id: id,
    token_endpoint_auth_method: method,
    redirect_uris: config.redirectUris,
    post_logout_redirect_uris: config.postLogoutRedirectUris,
    grant_types: ['authorization_code', 'refresh_token', exchangeGrantType],
    response_types: ['code'],
    require_auth_time: true,
    ...more,
  };
}

function clients() {
  const secret = { client_secret: config.clientSecret };
  const backChannel = state.backChannelLogoutUri && {
    backchannel_logout_uri: state.backChannelLogoutUri,
    backchannel_logout_session_required: true,
  };
  const list = [
    client('shop', 'client_secret_basic', { ...secret, ...backChannel }),
    client('shop-post', 'client_secret_post', secret),
  ];
  if (config.clientJwks) {
    list.push(client('shop-jwt', 'private_key_jwt', { jwks: config.clientJwks }));
  }
  if (apps.length > 0) {
    const redirect_uris = apps.map((origin) => `${origin}/public/app`);
    const grant_types = ['authorization_code', 'refresh_token'];
    list.push(client('spa', 'none', { redirect_uris, grant_types }));
  }
  return list;
}

// A resource of an app is named by its `audience`, as Auth0 does, or by RFC 8707.
function resourceServer(resource) {
  return {
    scope: apiScopes.join(' '),
    audience: resource,
    accessTokenTTL: state.accessTokenTtl,
    accessTokenFormat: 'jwt',
    jwt: { sign: { alg: 'RS256' } },
  };
}

function newProvider() {
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: clients(),
    cookies: { keys: [randomUUID()] },
    routes,
    scopes: ['openid', 'offline_access', ...apiScopes],
    extraParams: ['audience'],
    clientBasedCORS: (ctx, origin) => apps.includes(origin),
    conformIdTokenClaims: false,
    acrValues: ['silver', 'gold'],
    claims: {
      acr: null,
      auth_time: null,
      sid: null,
      openid: ['sub'],
      profile: ['name', 'preferred_username', 'picture', 'groups'],
      email: ['email', 'email_verified'],
    },
    ttl: {
      AccessToken: () => state.accessTokenTtl,
      RefreshToken: 86400,
      IdToken: 3600,
      Session: 86400,
      Grant: 86400,
      Interaction: 3600,
    },
    issueRefreshToken: async (ctx, client, code) =>
      client.grantTypeAllowed('refresh_token') &&
      (state.refreshTokens || code.scopes.has('offline_access')),
    rotateRefreshToken: () => state.rotateRefreshTokens,
    // Its own dispatcher refuses loopback, where all of these tests are.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    pkce: { required: () => true },
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}`, policy },
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      revocation: { enabled: true },
      introspection: { enabled: true },
      pushedAuthorizationRequests: { enabled: state.par },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource(ctx, form) {
          ctx.body = page(
            'Sign out',
            `${form}<button form="op.logoutForm" name="logout" value="yes">Sign out</button>`,
          );
        },
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: (ctx, who, oneOf) => oneOf?.[0] ?? ctx.oidc.params.audience ?? [],
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource) => resourceServer(resource),
      },
    },
    findAccount: (ctx, id) => ({ accountId: id, claims: async () => claimsOf(id) }),
    loadExistingGrant: (ctx) => grantOf(ctx, state, grants),
    renderError(ctx, out) {
      ctx.type = 'html';
      ctx.body = page('Provider error', `<pre>${JSON.stringify(out)}</pre>`);
    },
  });
  addExchange(provider, state, subjects, resourceServer);
  const { RefreshToken } = provider;
  const find = RefreshToken.find.bind(RefreshToken);
  RefreshToken.find = async (...args) => {
    const token = await find(...args);
    if (token?.consumed && Date.now() / 1000 - token.consumed <= state.reuseWindow) {
      token.consumed = undefined;
    }
    return token;
  };
  provider.on('backchannel.success', () => increment(state.backChannel, 'success'));
  provider.on('backchannel.error', (ctx, error) => {
    increment(state.backChannel, 'error');
    console.error('back-channel logout:', error, error.cause ?? '');
  });
  // What each endpoint was asked, before it answers; and the faults that tests switch on.
  provider.use(async (ctx, next) => {
    increment(state.counts, ctx.path);
    if (!(await wait(ctx, state.delay[ctx.path]))) {
      state.dropped += 1;
      ctx.respond = false;
      return;
    }
    if (state.fail[ctx.path]) {
      increment(state.failed, ctx.path);
      ctx.status = state.fail[ctx.path];
      ctx.body = { error: 'server_error' };
      return;
    }
    await next();
    if (ctx.path === routes.token) noteGrant(ctx);
    await wait(ctx, state.delayAfter[ctx.path]);
  });
  return provider;
}

function noteGrant(ctx) {
  const outcome = ctx.status === 200 ? 'granted' : 'refused';
  increment(state.grants, `${ctx.oidc?.params?.grant_type} ${outcome}`);
  if (ctx.status !== 200) return;
  const { access_token, refresh_token, id_token, expires_in } = ctx.body;
  const { accountId, grantId } = ctx.oidc.entities.AccessToken;
  subjects.set(access_token, { accountId, grantId, expiresAt: Date.now() + expires_in * 1000 });
  if (!state.keepIssued) return;
  state.issued.push({ access_token, refresh_token, id_token });
}

function page(title, body) {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title></head>
<body><main><h1>${title}</h1>${body}</main></body></html>`;
}

function readBody(req) {
  return new Promise((resolve, reject) => {
    let text = '';
    req.on('data', (chunk) => {
      text += chunk;
    });
    req.on('end', () => resolve(text));
    req.on('error', reject);
  });
}

async function interact(req, res) {
  const interaction = await provider.interactionDetails(req, res);
  const { params, prompt } = interaction;
  if (req.method === 'POST') {
    const form = new URLSearchParams(await readBody(req));
    if (prompt.name === 'consent') {
      const result = await consented(prompt, form.get('consent'), interaction, provider);
      await provider.interactionFinished(req, res, result, { mergeWithLastSubmission: true });
      return;
    }
    const gold = (params.acr_values ?? '').split(' ').includes('gold');
    const login = { accountId: form.get('login'), acr: gold ? 'gold' : 'silver', amr: ['pwd'] };
    await provider.interactionFinished(req, res, { login }, { mergeWithLastSubmission: false });
    return;
  }
  res.setHeader('content-type', 'text/html; charset=utf-8');
  if (prompt.name === 'consent') {
    res.end(page('Consent', consentForm(prompt, req.url)));
    return;
  }
  res.end(
    page(
      'Log in',
      `<p>Prompt: ${prompt.name}</p>
<form method="post" action="${req.url}">
<label>Login <input name="login" required autofocus></label>
<label>Password <input name="password" type="password" required></label>
<button>Log in</button>
</form>`,
    ),
  );
}

let keys = newKeys();
let provider = newProvider();

createServer((req, res) => {
  if (req.url.startsWith('/interaction/')) {
    interact(req, res).catch((error) => {
      res.statusCode = 400;
      res.end(String(error));
    });
    return;
  }
  provider.callback()(req, res);
}).listen(config.port, host, () => {
  createServer(async (req, res) => {
    if (req.method === 'POST') {
      // Replaces what is given. `rotate` makes new signing keys; sessions and codes live on. `revoke`
      // ends the grants of an account, a client or both.
      const { rotate, revoke: whose, ...change } = JSON.parse(await readBody(req));
      Object.assign(state, change);
      if (whose) await revoke(whose, provider, grants);
      if (rotate) keys = newKeys();
      if (rotate || 'par' in change || 'backChannelLogoutUri' in change) provider = newProvider();
    }
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify(state));
  }).listen(config.controlPort, '127.0.0.1', () => {
    console.log(JSON.stringify({ ready: true, issuer }));
  });
});

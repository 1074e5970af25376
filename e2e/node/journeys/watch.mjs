// What the journeys of mediation share: what the browser was told and shown, calls of the app's script, and
// Keycloak's forms.
import { createHmac } from 'node:crypto';
import { input } from './lib.mjs';

/**
 * Keeps every answer of the app's origin, headers and body; `done()` gives them once all are read, and the
 * cookies that there are.
 */
export function watch(context) {
  const answers = [];
  context.on('response', (response) => {
    if (!response.url().startsWith(`${input.origin}/`)) return;
    answers.push(
      (async () => ({
        url: response.url(),
        status: response.status(),
        headers: await response.headersArray().catch(() => []),
        // A redirect has none, and that of a page which was left is gone.
        body: await response.text().catch(() => ''),
      }))(),
    );
  });
  return {
    done: async () => ({ answers: await Promise.all(answers), cookies: await context.cookies() }),
  };
}

/** Every page that the tab came to show, and every address that it asked for on its way there. */
export function visits(page) {
  const seen = { shown: [], asked: [] };
  page.on('framenavigated', (frame) => {
    if (frame === page.mainFrame()) seen.shown.push(frame.url());
  });
  page.on('request', (request) => {
    if (request.isNavigationRequest() && request.frame() === page.mainFrame()) {
      seen.asked.push(request.url());
    }
  });
  /** What was seen since the last time. */
  return () => {
    const since = { ...seen };
    seen.shown = [];
    seen.asked = [];
    return since;
  };
}

/** What a script of the page gets: the status, the challenge, and the JSON that came. */
export function call(page, path, { method = 'GET', bearer } = {}) {
  return page.evaluate(
    async ([path, method, bearer]) => {
      const headers = { 'x-bff': '1', accept: 'application/json' };
      if (bearer) headers.authorization = `Bearer ${bearer}`;
      const response = await fetch(path, { method, headers });
      const text = await response.text();
      let json = null;
      try {
        json = JSON.parse(text);
      } catch {
        // nginx's own page
      }
      return {
        status: response.status,
        challenge: response.headers.get('www-authenticate') ?? '',
        type: response.headers.get('content-type') ?? '',
        json,
      };
    },
    [path, method, bearer],
  );
}

/** Asks again until `good` likes the answer. */
export async function until(page, path, good, options) {
  for (const begun = Date.now(); ; ) {
    const answer = await call(page, path, options);
    if (good(answer)) return answer;
    if (Date.now() - begun > 30_000) throw new Error(`${path}: ${JSON.stringify(answer)}`);
    await page.waitForTimeout(200);
  }
}

/** Whether an answer says that a navigation would help. */
export function advised({ status, challenge }) {
  return status === 401 && challenge.includes('Mediation Advised');
}

/** The permissions of a base, or the advice how to come by them; a navigation is to end at `back`. */
export function authorize(page, base, scope, back, options) {
  const query = new URLSearchParams({ scope, redirectUri: back });
  return call(page, `${base}/authorize?${query}`, options);
}

/** Follows such an advice; `interact` does what the provider's page wants, if it shows one. */
export async function mediate(page, { json }, back, interact = async () => {}) {
  const arrived = page.waitForURL(`${input.origin}${back}`);
  await page.evaluate((url) => void setTimeout(() => location.assign(url)), json.authorizeUrl);
  await interact();
  await arrived;
}

/** Fills in Keycloak's form of the first factor. */
export async function logInAtKeycloak(page, user) {
  await page.fill('input[name=username]', user);
  await page.fill('input[name=password]', user);
  await page.press('input[name=password]', 'Enter');
}

/** Fills in Keycloak's form of the second factor (RFC 6238). */
export async function giveSecondFactor(page, secret) {
  const counter = Buffer.alloc(8);
  await page.waitForSelector('input[name=otp]');
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const hash = createHmac('sha1', secret).update(counter).digest();
  const code = (hash.readUInt32BE(hash[19] & 15) & 0x7fffffff) % 1_000_000;
  await page.fill('input[name=otp]', String(code).padStart(6, '0'));
  await page.press('input[name=otp]', 'Enter');
}

/** Ends all sessions of a user at Keycloak, as an administrator does. */
export async function endSessionsAtKeycloak(issuer, user) {
  const { origin, pathname } = new URL(issuer);
  const admin = { grant_type: 'password', client_id: 'admin-cli', username: 'admin', password: 'admin' };
  const token = `${origin}/realms/master/protocol/openid-connect/token`;
  const answer = await fetch(token, { method: 'POST', body: new URLSearchParams(admin) });
  const headers = { authorization: `Bearer ${(await answer.json()).access_token}` };
  const users = `${origin}/admin${pathname}/users`;
  const found = await fetch(`${users}?exact=true&username=${user}`, { headers });
  const [{ id }] = await found.json();
  const ended = await fetch(`${users}/${id}/logout`, { method: 'POST', headers });
  if (ended.status !== 204) throw new Error(`the sessions of ${user} do not end: ${ended.status}`);
}

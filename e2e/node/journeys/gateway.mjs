// A user's way through an app: no session, login, calls, logout; then our pages without scripts.
// Input: { origin }.
import { input, journey, logIn, look, report } from './lib.mjs';

const { origin } = input;

const withScripts = await journey(async (context) => {
  const page = await context.newPage();
  const found = { axe: [] };

  // A public page, from which a script asks for what needs a session.
  await page.goto(`${origin}/public/page`);
  const call = (path) =>
    page.evaluate(async (path) => {
      const response = await fetch(path);
      return { status: response.status, redirected: response.redirected, text: await response.text() };
    }, path);
  found.anonymous = (await call('/api/list')).status;
  found.anonymousSession = await page.evaluate(async () => {
    const bff = await import('/bff/client.js');
    return bff.session();
  });

  // A deep link leads to the provider and back to itself.
  await page.goto(`${origin}/page/deep?x=1&y=a%20b#part`);
  found.provider = new URL(page.url()).origin;
  await logIn(page, 'alice');
  found.returned = page.url();
  found.api = JSON.parse((await call('/api/list?x=1')).text);
  found.session = await page.evaluate(async () => (await import('/bff/client.js')).session());
  found.post = await page.evaluate(async () => {
    const bff = await import('/bff/client.js');
    const response = await bff.fetch('/api/orders', { method: 'POST', body: 'one' });
    return { status: response.status, echo: await response.json() };
  });
  found.scriptsSee = await page.evaluate(() => document.cookie);
  const cookies = await context.cookies(origin);
  found.cookie = cookies.find((cookie) => cookie.name === '__Host-bff');

  // Another site's page: its form and its script get nothing with the user's cookie.
  const evil = await context.newPage();
  await evil.goto(input.elsewhere);
  found.crossSite = await evil.evaluate(
    (url) =>
      fetch(url, { method: 'POST', credentials: 'include', mode: 'no-cors' }).then(
        () => 'sent',
        () => 'failed',
      ),
    `${origin}/api/evil`,
  );
  await evil.close();

  // Logout by the client module ends at our page, and the session is gone.
  await Promise.all([
    page.waitForURL((url) => url.origin === found.provider),
    // Not waited for in the page, which leaves.
    page.evaluate(() => void import('/bff/client.js').then((bff) => bff.logout())),
  ]);
  await Promise.all([page.waitForURL(`${origin}/bff/signed-out**`), page.click('button[name=logout]')]);
  found.axe.push(...(await look(page, 'signed-out')));
  await page.goto(`${origin}/public/page`);
  found.after = (await call('/api/list')).status;
  found.leftCookies = (await context.cookies(origin)).map((cookie) => cookie.name);

  await page.goto(`${origin}/bff/callback?code=canary&state=nobody`);
  found.axe.push(...(await look(page, 'login-error')));
  await page.goto(`${origin}/page/again`);
  await logIn(page, 'alice');
  await page.goto(`${origin}/bff/logout`);
  found.axe.push(...(await look(page, 'logout-confirmation')));
  return found;
});

const withoutScripts = await journey(
  async (context) => {
    const page = await context.newPage();
    await page.goto(`${origin}/page/deep?x=1`);
    await logIn(page, 'bob');
    const returned = page.url();
    await page.goto(`${origin}/bff/logout`);
    await Promise.all([
      page.waitForURL((url) => url.origin !== new URL(origin).origin),
      page.click('form button'),
    ]);
    await Promise.all([
      page.waitForURL(`${origin}/bff/signed-out**`),
      page.click('button[name=logout]'),
    ]);
    // The page offers the way back in.
    const links = await page.locator('a').evaluateAll((all) => all.map((a) => a.href));
    await page.goto(`${origin}/bff/callback?code=canary&state=nobody`);
    const again = page.locator('a[href*="/bff/login"]').first();
    await Promise.all([
      page.waitForURL((url) => url.origin !== new URL(origin).origin),
      again.click(),
    ]);
    return { returned, links, restarted: await page.title() };
  },
  { javaScriptEnabled: false },
);

report({ withScripts, withoutScripts });

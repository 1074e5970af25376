// An app that logs in by a library of its own and holds a token that says `endpoint:mediate` alone: what it
// may do before and after an elevation, and what another user's token is worth in the same browser.
// Input: { origin, settings, keycloak, user, stranger }: what the app's page `/public/app` is set to, and
// whether the form is Keycloak's.
import { input, journey, report } from './lib.mjs';
import { authorize, call, logInAtKeycloak, mediate, visits, watch } from './watch.mjs';

const { origin } = input;

const configure = (context) =>
  context.addInitScript((settings) => {
    globalThis.settings = settings;
  }, input.settings);

const ready = (page) => page.waitForFunction(() => globalThis.bearer !== undefined);

async function logIn(page, user) {
  await page.goto(`${origin}/public/app`);
  if (input.keycloak) {
    await logInAtKeycloak(page, user);
  } else {
    await page.fill('input[name=login]', user);
    await page.fill('input[name=password]', 'any');
    await page.click('button');
  }
  await page.waitForURL((url) => url.href.startsWith(origin));
  await ready(page);
  return page.evaluate(() => globalThis.bearer());
}

const stranger = await journey(
  async (context) => {
    await configure(context);
    return logIn(await context.newPage(), input.stranger);
  },
  { device: '-stranger' },
);

report(
  await journey(async (context) => {
    await configure(context);
    const watched = watch(context);
    const page = await context.newPage();
    const since = visits(page);
    const found = { stranger };
    found.bearer = await logIn(page, input.user);
    const back = '/public/app?elevated';
    const ask = (options) => authorize(page, '/production', 'production:read', back, options);

    found.anonymous = await call(page, '/production/list');
    found.before = await call(page, '/production/list', { bearer: found.bearer });
    found.advice = await ask({ bearer: found.bearer });
    since();
    await mediate(page, found.advice, back);
    found.silent = since();
    await ready(page);
    const bearer = await page.evaluate(() => globalThis.bearer());
    found.permissions = await ask({ bearer });
    found.byClient = await page.evaluate(async (token) => {
      const { authorize } = await import('/bff/client.js');
      const answer = await authorize('/production', ['production:read'], { bearer: token, navigate: 'never' });
      return answer.granted('production:read');
    }, bearer);
    found.list = await call(page, '/production/list', { bearer });
    found.otherBase = await call(page, '/warehouse/list', { bearer });

    // The cookies alone, and the cookies with another user's token.
    found.cookiesAlone = await call(page, '/production/list');
    found.strangerGets = await call(page, '/production/list', { bearer: stranger });
    found.strangerAsks = await ask({ bearer: stranger });
    found.forged = await call(page, '/production/list', { bearer: `${bearer.slice(0, -8)}AAAAAAAA` });
    found.scriptsSee = await page.evaluate(() => document.cookie);
    return { ...found, ...(await watched.done()) };
  }),
);

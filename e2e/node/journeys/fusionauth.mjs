// An app with FusionAuth's React SDK, as npm has it: login, user, refresh by itself and by hand, reload, a
// logout that another site begins, logout, registration. Input: { origin, elsewhere }.
import { input, journey, logIn, report } from './lib.mjs';
import { watch } from './watch.mjs';

const { origin } = input;
const home = `${origin}/`;

const end = () => /(?:^|; )app\.at_exp=([^;]*)/.exec(document.cookie)?.[1] ?? null;
const status = (page, path) => page.evaluate(async (path) => (await fetch(path)).status, path);
const seen = (page) => page.evaluate(() => globalThis.seen);

report(
  await journey(async (context) => {
    const watched = watch(context);
    const page = await context.newPage();
    const found = { errors: [] };
    page.on('pageerror', (error) => found.errors.push(error.message));

    await page.goto(home);
    await page.waitForSelector('.login');
    found.before = { end: await page.evaluate(end), call: await status(page, '/api/list') };

    await page.click('.login');
    await page.waitForSelector('input[name=login]');
    found.asked = page.url();
    await logIn(page, 'alice');
    await page.waitForFunction(() => document.querySelector('#user')?.textContent);
    found.returned = page.url();
    found.user = await page.textContent('#user');
    found.claims = JSON.parse(await page.textContent('#claims'));
    found.redirected = (await seen(page)).redirected;
    found.call = await status(page, '/api/list');
    found.scriptsSee = await page.evaluate(() => document.cookie);
    found.cookie = (await context.cookies(origin)).find(({ name }) => name === 'app.at_exp');

    // By itself, before the session ends unused.
    const first = await page.evaluate(end);
    const moved = await page.waitForFunction((first) => {
      const now = /app\.at_exp=([^;]*)/.exec(document.cookie)?.[1];
      return now !== undefined && now !== first && now;
    }, first);
    found.ends = [Number(first), Number(await moved.jsonValue())];
    await page.click('#refresh');
    await page.waitForFunction(() => globalThis.seen.refreshed.length > 0);
    found.refreshed = await seen(page);

    await page.reload();
    await page.waitForFunction(() => document.querySelector('#user')?.textContent);
    found.afterReload = await page.textContent('#user');

    // Another site sends the browser to the logout: it is asked about.
    const evil = await context.newPage();
    await evil.goto(input.elsewhere);
    await Promise.all([
      evil.waitForURL(`${origin}/**`),
      evil.evaluate((url) => location.assign(url), `${origin}/app/logout/?client_id=shop`),
    ]);
    found.crossSite = await evil.textContent('h1');
    await evil.close();
    found.callAfterCrossSite = await status(page, '/api/list');

    await Promise.all([
      page.waitForURL((url) => url.origin === new URL(found.asked).origin),
      page.click('.logout'),
    ]);
    await Promise.all([
      page.waitForURL((url) => url.href === home),
      page.click('button[name=logout]'),
    ]);
    await page.waitForSelector('.login');
    found.after = { end: await page.evaluate(end), call: await status(page, '/api/list') };
    found.leftCookies = (await context.cookies(origin)).map(({ name }) => name);

    await page.click('.register');
    await page.waitForSelector('input[name=login]');
    await logIn(page, 'bob');
    await page.waitForFunction(() => document.querySelector('#user')?.textContent);
    found.registered = { user: await page.textContent('#user'), ...(await seen(page)) };
    return { ...found, ...(await watched.done()) };
  }),
);

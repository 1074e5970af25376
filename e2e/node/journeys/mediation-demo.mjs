// The demo's Production page: what the user may do is known before a button is pressed, and each area's
// token is obtained when it is needed. Input: { origin, users: [[name, password], …] }.
import { input, journey, look, report } from './lib.mjs';

const { origin, users } = input;
const [staff, guest] = users;
const here = `${origin}/production`;

report(
  await journey(async (context) => {
    const page = await context.newPage();
    const found = { axe: [], problems: [], pages: [], elevations: [] };
    page.on('pageerror', (error) => found.problems.push(String(error)));
    // What a person sees: redirects show nothing.
    page.on('framenavigated', (frame) => {
      if (frame === page.mainFrame()) found.pages.push(frame.url());
    });
    page.on('request', (request) => {
      const url = new URL(request.url());
      if (url.origin === origin && url.pathname.endsWith('/authorize') && request.isNavigationRequest()) {
        found.elevations.push(url.pathname);
      }
    });

    const area = (base) => page.locator(`[data-base="${base}"]`);
    const asked = () =>
      page.waitForFunction(() =>
        [...document.querySelectorAll('.state')].every(({ textContent }) => textContent !== 'Asking …'),
      );
    const settled = async () => {
      await page.waitForURL(here);
      await page.waitForSelector('#production-title:visible');
      await asked();
    };
    const outcome = () => page.textContent('#outcome');
    /** Each right and why the user does not have it; `null`: the button can be pressed. */
    const rights = () =>
      page.$$eval('[data-permission]', (buttons) =>
        Object.fromEntries(
          buttons.map(({ disabled, dataset, title, nextElementSibling: why }) => [
            dataset.permission,
            disabled ? [title, why.textContent] : null,
          ]),
        ),
      );
    /** Asks for an area's token; the provider's pages that showed on the way to the next stop. */
    const get = async (base, stop) => {
      const before = found.pages.length;
      const stopped = stop
        ? page.waitForSelector(stop)
        : page.waitForEvent('framenavigated', (frame) => frame.url().startsWith(here));
      await area(base).locator('[data-ask]').click();
      await stopped;
      if (!stop) await settled();
      return found.pages.slice(before).filter((url) => !url.startsWith(origin)).length;
    };
    const press = async (permission) => {
      await page.evaluate(() => { document.querySelector('#outcome').textContent = ''; });
      await page.click(`[data-permission=${permission}]`);
      await page.waitForFunction(() => document.querySelector('#outcome').textContent !== '');
      await page.waitForSelector(`[data-permission=${permission}]:not([aria-busy])`);
      const token = await page.textContent('#token');
      const { scope, acr } = token.startsWith('{') ? JSON.parse(token) : {};
      return { outcome: await outcome(), scope, acr, path: await page.textContent('#api-line') };
    };
    const logIn = async ([name, password]) => {
      await page.goto(here);
      await page.waitForSelector('input[name=username]');
      await page.fill('input[name=username]', name);
      await page.fill('input[name=password]', password);
      await page.click('button[type=submit]');
      await settled();
    };
    const logOut = async () => {
      await page.click('#logout');
      await page.waitForURL(`${origin}/`);
      await page.waitForSelector('#login-hero:visible');
    };
    const decide = async (decision) => {
      await page.click(`button[value=${decision}]`);
      await settled();
    };

    await logIn(staff);
    found.atFirst = await rights();
    found.axe.push(...(await look(page, 'demo-production-first')));

    // Told in the midst, by the module's `fetch` and by the browser's own.
    found.advice = await page.evaluate(async () => {
      const { fetch: ours, mediationOf } = await import('/bff/client.js');
      const responses = [await ours('/api/warehouse/stock'), await fetch('/api/warehouse/stock')];
      return [...responses.map(mediationOf), mediationOf(await ours('/api/hello'))];
    });

    // Silent: the provider has nothing to ask.
    found.silentPages = await get('/api/warehouse');
    found.afterWarehouse = await rights();
    found.stock = await press('count-stock');

    // "Back" instead of an answer is no trap: the page does not leave by itself again.
    const auto = () =>
      page.evaluate(async () => {
        const { authorize } = await import('/bff/client.js');
        return authorize('/api/production').then(() => 'granted', ({ code }) => code);
      });
    auto().catch(() => {});
    await page.waitForSelector('button[value=allow]');
    await page.goBack();
    await settled();
    found.back = [await auto(), await page.evaluate(() => sessionStorage.length)];

    // The user says no: told, once, and not sent there again.
    await get('/api/production', 'button[value=deny]');
    found.axe.push(...(await look(page, 'demo-consent')));
    const elevations = found.elevations.length;
    await decide('deny');
    found.denied = { outcome: await outcome(), url: page.url(), rights: await rights(), auto: await auto() };
    await page.reload();
    await settled();
    found.afterReload = { again: found.elevations.length - elevations, rights: await rights() };

    // And yes.
    await get('/api/production', 'button[value=allow]');
    await decide('allow');
    found.afterConsent = await rights();
    found.orders = await press('see-orders');
    found.plan = await press('see-plan');

    // A second factor, once.
    await get('/api/production/release', 'input[name=code]');
    await page.fill('input[name=code]', '123456');
    await page.click('button[type=submit]');
    await page.waitForSelector('button[value=allow]');
    await decide('allow');
    found.afterStepUp = await rights();
    found.release = await press('release-orders');
    found.nothing = await page.textContent('#nothing');
    found.axe.push(...(await look(page, 'demo-production')));
    await page.reload();
    await settled();
    found.releaseAgain = await press('release-orders');
    found.stockAgain = await press('count-stock');
    found.readable = await page.evaluate(() => document.cookie);
    found.cookies = (await context.cookies(origin)).map(({ name }) => name);

    await logOut();
    found.afterLogout = await page.evaluate(async () => {
      const paths = ['/api/production/orders', '/api/warehouse/stock', '/api/production/authorize'];
      return Promise.all(paths.map(async (path) => (await fetch(path)).status));
    });
    found.cookiesAfter = (await context.cookies(origin)).map(({ name }) => name);

    // Again: nothing is left of the tokens, and the provider remembers what was allowed.
    await logIn(staff);
    found.nextTime = await rights();
    found.silentAfterConsent = await get('/api/production');
    found.afterNextTime = await rights();
    await logOut();

    // Somebody who may do less.
    await logIn(guest);
    await get('/api/production', 'button[value=allow]');
    await decide('allow');
    found.guest = await rights();
    await get('/api/production/release', 'input[name=code]');
    await page.fill('input[name=code]', '123456');
    await page.click('button[type=submit]');
    await settled();
    found.guestRelease = await rights();
    await area('/api/production/release').locator('[data-ask]').click();
    await page.waitForFunction(() => document.querySelector('#outcome').className.includes('bad'));
    found.refused = await outcome();

    await page.setViewportSize({ width: 360, height: 740 });
    found.axe.push(...(await look(page, 'demo-production-narrow')));
    found.overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    return found;
  }),
);

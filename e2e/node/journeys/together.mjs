// Two tabs of one browser, which watch their session: over a logout, logins, another user, and back
// from the history. Then a logout on another device. Input: { origin }.
import { input, journey, logIn, look, report } from './lib.mjs';

const { origin } = input;

// What an app could do with it, on every page and after every login; `heard` is what it was told.
const watch = () => {
  addEventListener('DOMContentLoaded', async () => {
    if (!location.pathname.startsWith('/page')) return;
    // As strict a policy as an app may have.
    const policy = document.createElement('meta');
    policy.httpEquiv = 'Content-Security-Policy';
    policy.content =
      "default-src 'none'; script-src 'self'; connect-src 'self'; require-trusted-types-for 'script'";
    document.head.append(policy);
    window.violations = [];
    addEventListener('securitypolicyviolation', (event) => window.violations.push(event.effectiveDirective));
    window.bff = await import('/bff/client.js');
    window.bff.watch({ required: true });
  });
};

const dialogOf = (page) =>
  page.evaluate(() => {
    for (const host of document.body.children) {
      const dialog = host.shadowRoot?.querySelector('dialog');
      if (dialog?.open) return [...dialog.children].map((part) => part.textContent);
    }
    return null;
  });

const dialogShows = async (page, title) => {
  await page.locator('dialog h2').filter({ hasText: title }).waitFor();
  return dialogOf(page);
};

async function open(context, path) {
  const page = await context.newPage();
  page.on('pageerror', (error) => found.errors.push(String(error)));
  await page.goto(`${origin}${path}`);
  return page;
}

async function logOut(page, options) {
  await Promise.all([
    page.waitForURL((url) => url.origin !== new URL(origin).origin),
    // Not waited for in the page, which leaves.
    page.evaluate((options) => void window.bff.logout(options), options),
  ]);
  await Promise.all([page.waitForURL(`${origin}/bff/signed-out**`), page.click('button[name=logout]')]);
}

// By the page itself: Playwright waits for a page to load, and one that comes back as it was does not.
async function goBack(page, steps, path) {
  await page.evaluate((steps) => void setTimeout(() => history.go(-steps)), steps);
  await page.waitForURL(`${origin}${path}`, { waitUntil: 'commit' });
}

const ready = (page) => page.waitForFunction(() => window.bff?.session);
const cookies = async (context) => (await context.cookies(origin)).map(({ name }) => name);

const found = { axe: [], errors: [] };

await journey(
  async (context) => {
    await context.addInitScript(watch);
    const one = await open(context, '/page/one');
    await logIn(one, 'alice');
    await ready(one);
    const two = await open(context, '/page/two');
    await ready(two);
    found.atFirst = [await dialogOf(one), await dialogOf(two)];
    found.cookiesBefore = await cookies(context);

    // A page in the history: it comes back as it was left.
    await two.evaluate(() => {
      document.querySelector('h1').textContent = 'Orders of alice';
      addEventListener('pageshow', ({ persisted }) => { window.persisted = persisted; });
    });
    await two.goto(`${origin}/public/page`);

    const three = await open(context, '/page/three');
    await ready(three);
    await three.waitForFunction(() => window.bff.session());
    await logOut(one);
    found.loggedOut = await dialogShows(three, 'You are logged out');
    found.axe.push(...(await look(three, 'tab-logged-out')));
    found.cookiesAfter = await cookies(context);
    found.sentAfter = await three.evaluate(async () => (await (await fetch('/public/echo')).json()).headers);

    await goBack(two, 1, '/page/two');
    found.back = await dialogShows(two, 'You are logged out');
    found.backTitle = await two.textContent('h1');
    found.persisted = await two.evaluate(() => window.persisted ?? false);
    found.axe.push(...(await look(two, 'history-logged-out')));
    // So does the page that began the logout, which then left for the provider.
    await goBack(one, 2, '/page/one');
    found.backAtOwn = await dialogShows(one, 'You are logged out');

    // The same user again, in another tab: the page goes on.
    await one.goto(`${origin}/page/again`);
    await logIn(one, 'alice');
    await ready(one);
    await three.locator('dialog').waitFor({ state: 'detached' });
    found.goesOn = await three.evaluate(async () => (await window.bff.fetch('/api/list')).status);

    // Another user: the page is not theirs.
    await logOut(one);
    await dialogShows(three, 'You are logged out');
    await one.goto(`${origin}/page/again`);
    await logIn(one, 'bob');
    found.another = await dialogShows(three, 'Another user is logged in');
    found.axe.push(...(await look(three, 'tab-another-user')));
    await three.locator('dialog button').click();
    await three.waitForLoadState();
    await ready(three);
    found.afterReload = await three.evaluate(async () => (await window.bff.session()).subject);
    found.afterReloadDialog = await dialogOf(three);

    // All of the user's sessions, from another device: told at the next call, not by this browser.
    await journey(
      async (elsewhere) => {
        await elsewhere.addInitScript(watch);
        const page = await open(elsewhere, '/page/elsewhere');
        await logIn(page, 'bob');
        await ready(page);
        await logOut(page, { everywhere: true });
      },
      { device: '-phone' },
    );
    found.callAfter = await three.evaluate(async () => (await window.bff.fetch('/api/list')).status);
    found.ended = await dialogShows(three, 'You are logged out');
    found.endedInOne = await dialogShows(one, 'You are logged out');
    found.violations = await three.evaluate(() => window.violations);
    // Its button leads to the login and back.
    await three.locator('dialog button').click();
    await three.locator('dialog').waitFor({ state: 'detached' });
    await ready(three);
    found.returned = three.url();
  },
  // Or no page comes back as it was left.
  { ignoreDefaultArgs: ['--disable-back-forward-cache'] },
);

report(found);

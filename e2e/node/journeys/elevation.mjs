// A user of Keycloak on a page that needs more than the login gives: advice, a silent elevation, a call; what
// other bases get; the end of the user's sessions at Keycloak; a second factor; a logout.
// Input: { origin, issuer, user, secret }.
import { input, journey, report } from './lib.mjs';
import {
  advised,
  authorize,
  call,
  endSessionsAtKeycloak,
  giveSecondFactor,
  logInAtKeycloak,
  mediate,
  until,
  visits,
  watch,
} from './watch.mjs';

const { origin, issuer, user } = input;

report(
  await journey(async (context) => {
    const watched = watch(context);
    const page = await context.newPage();
    const since = visits(page);
    const found = {};
    await page.goto(`${origin}/page/home`);
    await Promise.all([page.waitForURL(`${origin}/page/home`), logInAtKeycloak(page, user)]);

    // What the login gave is not enough, and no page is needed for more.
    found.before = await call(page, '/production/list');
    found.advice = await authorize(page, '/production', 'production:read', '/page/home?read');
    since();
    await mediate(page, found.advice, '/page/home?read');
    found.silent = since();
    found.permissions = await authorize(page, '/production', 'production:read', '/page/home?read');
    found.list = await call(page, '/production/list');

    // That is for this base and this scope alone.
    found.otherBase = await call(page, '/warehouse/list');
    found.otherScope = await call(page, '/production/orders', { method: 'POST' });
    found.plain = await call(page, '/api/list');
    const more = await authorize(page, '/production', 'production:write', '/page/home?write');
    since();
    await mediate(page, more, '/page/home?write');
    found.silentlyMore = since();
    found.order = await call(page, '/production/orders', { method: 'POST' });

    // Its tokens live for seconds. They are renewed, by the check or by `authorize`, while Keycloak agrees.
    const stock = () => authorize(page, '/warehouse', 'warehouse:read', '/page/home?stock');
    await mediate(page, await stock(), '/page/home?stock');
    found.stock = await call(page, '/warehouse/list');
    const over = Date.now() + input.lifespan * 1000;
    await page.waitForFunction((over) => Date.now() > over, over);
    found.stockLater = await call(page, '/warehouse/list');
    found.renewed = await stock();
    found.stockRenewed = await call(page, '/warehouse/list');

    // Keycloak ends the user's sessions: once the token is over there is advice again, and a login.
    await endSessionsAtKeycloak(issuer, user);
    found.ended = await until(page, '/warehouse/list', advised);
    found.endedAdvice = await stock();
    found.session = await page.evaluate(async () => (await fetch('/bff/session')).status);
    since();
    await mediate(page, found.endedAdvice, '/page/home?stock', () => logInAtKeycloak(page, user));
    found.interactive = since();
    found.stockAgain = await call(page, '/warehouse/list');

    // A second factor is asked for once.
    const open = () => authorize(page, '/vault', 'vault:open', '/page/home?open');
    found.vaultBefore = await call(page, '/vault/gold');
    found.vaultAdvice = await open();
    since();
    await mediate(page, found.vaultAdvice, '/page/home?open', () =>
      giveSecondFactor(page, input.secret),
    );
    found.secondFactor = since();
    found.vault = await call(page, '/vault/gold');
    found.vaultPermissions = await open();
    await page.goto(`${origin}/page/home`);
    since();
    await mediate(page, found.vaultAdvice, '/page/home?open');
    found.vaultAgain = since();

    found.scriptsSee = await page.evaluate(() => document.cookie);
    const during = await watched.done();
    found.cookiesBefore = during.cookies;
    found.logout = await call(page, '/bff/logout', { method: 'POST' });
    found.after = await call(page, '/production/list');
    return { ...found, ...(await watched.done()) };
  }),
);

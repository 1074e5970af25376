// The demo as a visitor sees it: log in, call the API, see what reached it, log out.
// Input: { origin }.
import { input, journey, look, report } from './lib.mjs';

report(
  await journey(async (context) => {
    const page = await context.newPage();
    const found = { axe: [], problems: [] };
    page.on('pageerror', (error) => found.problems.push(String(error)));
    const press = async (action) => {
      await page.click(`button[data-action=${action}]`);
      await page.waitForFunction(
        () => !document.querySelector('#outcome').textContent.startsWith('Press one'),
      );
      await page.waitForSelector(`button[data-action=${action}]:not([disabled])`);
      return page.textContent('#outcome');
    };

    await page.goto(input.origin);
    await page.waitForSelector('#login-hero:visible');
    found.axe.push(...(await look(page, 'demo-signed-out')));
    found.before = await press('hello');

    await page.click('#login-hero');
    await page.waitForSelector('input[name=username]');
    found.axe.push(...(await look(page, 'demo-provider')));
    await page.fill('input[name=username]', input.user);
    await page.fill('input[name=password]', input.password);
    await page.click('button[type=submit]');
    await page.waitForSelector('#signed-in:visible');
    found.greeting = await page.textContent('#signed-in-title');
    found.hello = await press('hello');
    found.apiSaw = await page.textContent('#api-ours');
    found.axe.push(...(await look(page, 'demo-signed-in')));
    found.order = await press('order');
    found.admin = await press('admin');

    // A step-up: a second step at the provider, then on with what it was for.
    await page.click('button[data-action=payments]');
    await page.waitForSelector('input[name=code]');
    await page.fill('input[name=code]', '123456');
    await page.click('button[type=submit]');
    await page.waitForURL(`${input.origin}/payments`);
    await page.waitForFunction(
      () => !document.querySelector('#outcome').textContent.startsWith('Press one'),
    );
    found.payments = await page.textContent('#outcome');

    await page.click('#logout');
    await page.waitForURL((url) => url.href.startsWith(input.origin) && url.pathname === '/');
    await page.waitForSelector('#login-hero:visible');
    found.after = await press('hello');
    found.stored = await page.evaluate(
      () => document.cookie + localStorage.length + sessionStorage.length,
    );

    // A narrow screen shows it too, without scrolling sideways.
    await page.setViewportSize({ width: 360, height: 740 });
    found.axe.push(...(await look(page, 'demo-narrow')));
    found.overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    return found;
  }),
);

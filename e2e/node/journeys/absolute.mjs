// A session whose end no use moves, and a store that is down for a while. Input: { origin }.
import { input, journey, logIn, look, report } from './lib.mjs';

const { origin } = input;

report(
  await journey(async (context) => {
    const found = { axe: [], failures: 0 };
    await context.addInitScript(() => {
      addEventListener('DOMContentLoaded', async () => {
        if (!location.pathname.startsWith('/page')) return;
        window.heard = [];
        const { watch } = await import('/bff/client.js');
        watch({ checkEvery: 1, onEnd: (reason) => window.heard.push(['end', reason]) });
      });
    });
    const page = await context.newPage();
    await page.goto(`${origin}/page/one`);
    await logIn(page, 'alice');
    const dialog = page.locator('dialog');
    await dialog.waitFor();
    found.warning = await Promise.all(['h2', 'p', 'button'].map((part) => dialog.locator(part).innerText()));
    found.axe.push(...(await look(page, 'absolute-warning')));
    await dialog.locator('button').click();
    await dialog.waitFor({ state: 'detached' });

    // What the endpoint says without its store.
    const down = async (route) => {
      found.failures += 1;
      await route.fulfill({ status: 503, contentType: 'application/problem+json', body: '{}' });
    };
    const failed = page.waitForResponse((response) => response.status() === 503);
    await page.route('**/bff/session*', down);
    await failed;
    const state = () => page.evaluate(() => window.heard);
    found.whileDown = { dialogs: await dialog.count(), heard: await state() };
    const answered = page.waitForResponse((response) => response.status() === 200);
    await page.unroute('**/bff/session*', down);
    await answered;
    found.dialogsAfter = await dialog.count();
    await page.waitForFunction(() => window.heard.length > 0);
    found.heard = await state();
    return found;
  }),
);

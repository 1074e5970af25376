// A session that ends when it is not used, watched by two tabs: kept alive by its user, warned of, kept
// alive once more, and over. Input: { origin, idle: SECONDS }.
import { input, journey, logIn, look, report } from './lib.mjs';

const { origin, idle } = input;
const seconds = (from) => (Date.now() - from) / 1000;

report(
  await journey(async (context) => {
    const found = { axe: [] };
    await context.addInitScript(() => {
      addEventListener('DOMContentLoaded', async () => {
        if (!location.pathname.startsWith('/page')) return;
        window.heard = [];
        const { watch } = await import('/bff/client.js');
        const note = (name) => (...values) => window.heard.push([name, ...values]);
        const options = { checkEvery: 1, onEnd: note('end'), onRenew: note('renew') };
        if (location.search === '?own') options.onWarning = note('warning');
        window.watched = watch(options);
      });
    });
    const shown = await context.newPage();
    await shown.goto(`${origin}/page/one`);
    await logIn(shown, 'alice');
    const own = await context.newPage();
    await own.goto(`${origin}/page/two?own`);
    await own.waitForFunction(() => window.watched);

    // Keys for one and a half times the idle timeout: nothing to see.
    const used = Date.now();
    while (seconds(used) < idle * 1.5) {
      await shown.keyboard.press('a');
      await shown.waitForTimeout(300);
    }
    found.whileUsed = await own.evaluate(() => window.heard);

    // Then none. The look that every second takes is no use of the session.
    const left = Date.now();
    const button = shown.locator('dialog button');
    await button.waitFor();
    found.warnedAfter = seconds(left);
    found.warning = await shown.locator('dialog').innerText();
    found.axe.push(...(await look(shown, 'idle-warning')));
    await own.waitForFunction(() => window.heard.some(([name]) => name === 'warning'));
    await button.click();
    await shown.locator('dialog').waitFor({ state: 'detached' });
    await own.waitForFunction(() => window.heard.some(([name]) => name === 'renew'));
    found.renewed = await shown.evaluate(() => window.heard);

    const again = Date.now();
    for (const page of [shown, own]) {
      await page.waitForFunction(() => window.heard.some(([name]) => name === 'end'));
    }
    found.endedAfter = seconds(again);
    found.ends = await Promise.all(
      [shown, own].map((page) => page.evaluate(() => window.heard.filter(([name]) => name === 'end'))),
    );
    found.warnings = await own.evaluate(() => window.heard.filter(([name]) => name === 'warning'));
    found.dialogs = await shown.locator('dialog').count();
    return found;
  }),
);

// With SameSite=Strict a login still ends at the page that was asked for. Input: { origin }.
import { input, journey, logIn, report } from './lib.mjs';

report(
  await journey(async (context) => {
    const page = await context.newPage();
    await page.goto(`${input.origin}/page/deep?x=1`);
    await logIn(page, 'alice');
    await page.waitForURL(`${input.origin}/page/deep?x=1`);
    const status = await page.evaluate(async () => (await fetch('/api')).status);
    const cookies = await context.cookies(input.origin);
    return { url: page.url(), status, cookie: cookies.find(({ name }) => name === '__Host-bff') };
  }),
);

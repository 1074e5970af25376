// Ten tabs of one browser log in at once, and each comes back to its own page. Input: { origin }.
import { input, journey, logIn, report } from './lib.mjs';

report(
  await journey(async (context) => {
    const tabs = await Promise.all(
      Array.from({ length: 10 }, async (_, n) => {
        const page = await context.newPage();
        await page.goto(`${input.origin}/page/${n}?tab=${n}`);
        return page;
      }),
    );
    await Promise.all(tabs.map((page) => logIn(page, 'alice')));
    return {
      urls: tabs.map((page) => page.url()),
      titles: await Promise.all(tabs.map((page) => page.title())),
      cookies: (await context.cookies(input.origin)).map((cookie) => cookie.name),
    };
  }),
);

// What becomes of a form that the browser sends by itself when there is no session. Input: { origin }.
import { input, journey, report } from './lib.mjs';

const { origin } = input;

report(
  await journey(async (context) => {
    const page = await context.newPage();
    await page.goto(`${origin}/public/page`);
    const answers = [];
    page.on('response', (response) => {
      const { pathname } = new URL(response.url());
      answers.push([response.request().method(), pathname, response.status()]);
    });
    await page.evaluate(() => {
      const form = document.createElement('form');
      form.method = 'post';
      form.action = '/page/orders';
      form.append(Object.assign(document.createElement('input'), { name: 'text', value: 'canary' }));
      document.body.append(form);
      form.submit();
    });
    await page.waitForURL((url) => url.pathname !== '/public/page');
    await page.waitForLoadState();
    return { url: page.url(), answers };
  }),
);

// Forms that meet a session which is over. Input: { origin }.
import { input, journey, logIn, look, report } from './lib.mjs';

const { origin } = input;

// The app: a form with all sorts of fields, kept and sent by client.js.
const app = () => {
  addEventListener('DOMContentLoaded', async () => {
    if (!location.pathname.startsWith('/page')) return;
    const form = document.createElement('form');
    form.id = 'order';
    form.method = 'post';
    form.action = '/api/orders';
    const add = (tag, attributes, text = '') => {
      const field = Object.assign(document.createElement(tag), { textContent: text });
      for (const [name, value] of Object.entries(attributes)) field.setAttribute(name, value);
      form.append(field);
      return field;
    };
    // A name that hides the form's own property.
    add('input', { name: 'id', value: 'new', 'aria-label': 'id' });
    add('textarea', { name: 'text', 'aria-label': 'text' });
    for (const size of ['s', 'm', 'l']) {
      add('input', { type: 'radio', name: 'size', value: size, 'aria-label': size });
    }
    add('input', { type: 'checkbox', name: 'gift', 'aria-label': 'gift' });
    const select = add('select', { name: 'colours', multiple: '', 'aria-label': 'colours' });
    for (const colour of ['red', 'green', 'blue']) select.append(new Option(colour));
    add('input', { type: 'password', name: 'pin', 'aria-label': 'pin' });
    add('input', { type: 'hidden', name: 'token', value: crypto.randomUUID() });
    add('input', { name: 'card', autocomplete: 'cc-number', 'aria-label': 'card' });
    add('button', { name: 'do', value: 'buy' }, 'Buy');
    document.querySelector('main').append(form);
    window.events = [];
    form.addEventListener('change', ({ target }) => window.events.push(target.name));
    window.bff = await import('/bff/client.js');
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      const response = await window.bff.submit(form, { submitter: event.submitter });
      const echo = await response?.json().catch(() => null);
      window.outcome = response && { status: response.status, echo };
    });
    window.restored = await window.bff.keep(form);
  });
};

const values = (page) => page.evaluate(() => [...new FormData(document.querySelector('form'))]);
const stored = (page) => page.evaluate(() => sessionStorage.length);
const ready = (page) => page.waitForFunction(() => window.restored !== undefined);
const press = (page) => page.click('form button');

async function fill(page) {
  await page.fill('textarea', 'Two <b>words</b>\nand a line');
  await page.check('input[value=m]');
  await page.check('input[name=gift]');
  await page.selectOption('select', ['red', 'blue']);
  await page.fill('input[name=pin]', 'canary-pin');
  await page.fill('input[name=card]', 'canary-card');
}

// The session ends while the page stays, as by its timeout: this browser knows nothing of it. The
// provider's ends too, so that it asks who logs in.
async function endElsewhere(context, user) {
  await journey(
    async (elsewhere) => {
      const page = await elsewhere.newPage();
      await page.goto(`${origin}/page/elsewhere`);
      await logIn(page, user);
      await Promise.all([
        page.waitForURL((url) => url.origin !== new URL(origin).origin),
        // Not waited for in the page, which leaves.
        page.evaluate(() => void import('/bff/client.js').then((bff) => bff.logout({ everywhere: true }))),
      ]);
    },
    { device: `-phone-${crypto.randomUUID()}` },
  );
  await context.clearCookies({ domain: '127.0.0.1' });
}

report(
  await journey(async (context) => {
    const found = { axe: [] };
    await context.addInitScript(app);
    const page = await context.newPage();
    await page.goto(`${origin}/page/form?draft=1`);
    await logIn(page, 'alice');
    await ready(page);
    found.restoredAtFirst = await page.evaluate(() => window.restored);

    // With a session it is sent as the browser would.
    await fill(page);
    await press(page);
    await page.waitForFunction(() => window.outcome);
    found.sent = await page.evaluate(() => window.outcome);
    found.storedAfterSent = await stored(page);

    // Over: through the login and back to the form, which is as it was.
    await endElsewhere(context, 'alice');
    found.before = await values(page);
    await Promise.all([page.waitForSelector('input[name=login]'), press(page)]);
    await logIn(page, 'alice');
    await ready(page);
    found.returned = page.url();
    found.restored = await page.evaluate(() => window.restored);
    found.after = await values(page);
    found.events = await page.evaluate(() => window.events);
    found.storedAfter = await stored(page);
    found.axe.push(...(await look(page, 'form-restored')));
    await page.evaluate(() => { window.outcome = undefined; });
    await press(page);
    await page.waitForFunction(() => window.outcome);
    found.sentAfter = await page.evaluate(() => window.outcome);
    await page.reload();
    await ready(page);
    found.onceMore = await page.evaluate(() => window.restored);

    // Another user logs in: nothing comes back, and nothing stays.
    await fill(page);
    await endElsewhere(context, 'alice');
    await Promise.all([page.waitForSelector('input[name=login]'), press(page)]);
    await logIn(page, 'bob');
    await ready(page);
    found.ofAnother = await page.evaluate(() => window.restored);
    found.ofAnotherText = await page.inputValue('textarea');
    found.storedOfAnother = await stored(page);

    // Too large to keep: the page stays, the app has the 401, and the login is in another tab.
    await page.evaluate(() => void window.bff.watch());
    await page.fill('textarea', 'x'.repeat(70_000));
    await endElsewhere(context, 'bob');
    await press(page);
    await page.waitForFunction(() => window.outcome);
    found.tooLarge = await page.evaluate(() => ({
      url: location.pathname,
      status: window.outcome.status,
      length: document.querySelector('textarea').value.length,
    }));
    found.tooLargeStored = await stored(page);
    const [tab] = await Promise.all([context.waitForEvent('page'), page.click('dialog button')]);
    await logIn(tab, 'bob');
    await page.locator('dialog').waitFor({ state: 'detached' });
    found.goesOn = await page.evaluate(() => document.querySelector('textarea').value.length);
    return found;
  }),
);

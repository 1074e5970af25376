// What the journeys share: Debian's Chromium with a profile of its own, screenshots, axe.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The journey's input. */
export const input = JSON.parse(process.argv[2]);

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
  .find((path) => existsSync(path));

// The tests have no network beyond this machine, so Chromium need not look for one.
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

// Hosts that no DNS knows, as { "shop.example.test": "10.0.0.1:8443" }; their certificates are the
// tests' own.
const hosts = Object.entries(input.hosts ?? {});
if (hosts.length > 0) {
  const rules = hosts.map(([host, address]) => `MAP ${host} ${address}`).join(',');
  args.push(`--host-resolver-rules=${rules}`);
}

/** Runs a journey in a browser of its own; one within another needs a `device` of its own too. */
export async function journey(run, { device = '', ...options } = {}) {
  const context = await chromium.launchPersistentContext(
    `${input.profile}${options.javaScriptEnabled === false ? '-plain' : ''}${device}`,
    {
      executablePath,
      args,
      headless: true,
      viewport: { width: 1200, height: 900 },
      ignoreHTTPSErrors: hosts.length > 0,
      ...options,
    },
  );
  context.setDefaultTimeout(30_000);
  // Told, since a page's script learns no more than that its fetch failed.
  context.on('requestfailed', (request) => {
    console.error(`${request.url()}: ${request.failure()?.errorText}`);
  });
  try {
    return await run(context);
  } catch (error) {
    for (const [at, page] of context.pages().entries()) {
      await page.screenshot({ path: join(input.screenshots, `failed-${at}.png`) }).catch(() => {});
      console.error(`page ${at}: ${page.url()}\n${await page.content().catch(() => '')}`);
    }
    throw error;
  } finally {
    await context.close();
  }
}

/** Prints the result, which the Rust side reads from the last line. */
export function report(result) {
  console.log(JSON.stringify(result));
}

/** Fills in the provider's form and waits until the browser is back at the app. */
export async function logIn(page, user) {
  await page.fill('input[name=login]', user);
  await page.fill('input[name=password]', 'any');
  await Promise.all([
    page.waitForURL((url) => url.href.startsWith(input.origin)),
    page.click('button'),
  ]);
}

/** A screenshot and what axe has to say about the page: its violations, as short lines. */
export async function look(page, name) {
  await page.screenshot({ path: join(input.screenshots, `${name}.png`), fullPage: true });
  // Our pages allow no scripts, so axe comes in past their policy, as a browser extension would.
  const session = await page.context().newCDPSession(page);
  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await session.send('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
    return result.value;
  };
  await evaluate(`${axe};0`);
  const { violations, passes } = await evaluate(
    'axe.run(document, { resultTypes: ["violations"] })',
  );
  await session.detach();
  if (passes.length === 0) throw new Error(`axe saw nothing on ${name}`);
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map((node) => `${name}: ${id}: ${help}: ${node.html.slice(0, 200)}`),
  );
}

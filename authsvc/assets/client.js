// The browser's side of Vestibule: who is logged in, login, logout, a `fetch` that passes the forgery
// check, pages that show the end of a session, forms that survive it, and what the user may do. Served
// below the policy's base path; the other endpoints are its neighbours. What is exported is here and in
// `client/authorize.js`; the parts in `client/` come after it in the same file.

const BASE = new URL(".", import.meta.url);
const CSRF_HEADER = "X-Bff";

/**
 * @typedef {object} Session
 * @property {string} subject The user, as the provider identifies them.
 * @property {Record<string, unknown>} claims The claims that the policy shows to scripts.
 * @property {number} expiresIn Seconds until the session ends, used or not.
 * @property {number} idleExpiresIn Seconds until it ends if it is not used.
 */

/**
 * Who is logged in; `null` if nobody is. The call counts as use of the session, but with `peek`.
 * @param {{peek?: boolean}} [how]
 * @returns {Promise<Session | null>}
 * @throws {Error} if neither is known, such as while the session store is down; `status` has the
 * response's status.
 */
export async function session({ peek = false } = {}) {
  const asked = Date.now();
  const response = await call(new URL(peek ? "session?peek=true" : "session", BASE));
  if (!response.ok && response.status !== 401) throw await failure(response);
  const found = response.ok ? await response.json() : null;
  learn({ asked, used: !peek, session: found });
  return found;
}

/**
 * Leaves the page to log in, and comes back; a fragment (`#…`) does not. Forms under `keep` come
 * back as they are.
 * @param {string | URL | Location} [returnTo] Where to, on the app's origin. Default: this page.
 */
export function login(returnTo = location) {
  saveForms();
  leave(loginUrl(returnTo));
}

/**
 * Ends the session and leaves the page to end the provider's.
 * @param {{everywhere?: boolean}} [which] `everywhere`: all of the user's sessions, on every device.
 * @returns {Promise<void>}
 * @throws {Error} if the session could not be ended; the user is still logged in.
 */
export async function logout({ everywhere = false } = {}) {
  const url = new URL(everywhere ? "logout?everywhere=true" : "logout", BASE);
  const response = await call(url, { method: "POST" });
  if (!response.ok) throw await failure(response);
  const { location: next } = await response.json();
  leave(next);
  learn({ asked: Date.now(), used: false, session: null, reason: "logout" });
}

/**
 * The browser's `fetch`, which on the app's origin also sends the session cookie and the header of
 * the forgery check. A 401 is returned like any other response; `mediationOf` says whether an elevated
 * token would help.
 * @param {RequestInfo | URL} input
 * @param {RequestInit} [init]
 * @returns {Promise<Response>}
 */
async function request(input, init) {
  const response = await call(input, init);
  await noteAdvice(response);
  // The app may have 401s of its own, so it is asked what this one means.
  if (response.status === 401 && watching && known.session) check();
  return response;
}

export { request as fetch };

/**
 * Watches the session for this page, together with the browser's other tabs. What has no function
 * in `options` is shown by a dialog.
 * @param {object} [options]
 * @param {(reason: "logout" | "timeout" | "ended") => void} [options.onEnd] Nobody is logged in any
 * more: logged out in this browser, over by its timeouts, or ended by something else.
 * @param {(session: Session) => void} [options.onLogin] Somebody logged in where nobody was, or
 * the page's user did again.
 * @param {(session: Session) => void} [options.onUser] The page's user is logged out and another in.
 * @param {(secondsLeft: number, canStay: boolean) => void} [options.onWarning] Called each second
 * before the end. `canStay`: a use of the session moves the end.
 * @param {(session: Session) => void} [options.onRenew] The end that was warned of has moved.
 * @param {boolean} [options.required] Nobody logged in at the start counts as an end too.
 * @param {boolean} [options.renew] Whether the user's keys, clicks and scrolling count as use.
 * @param {number} [options.warnBefore] Seconds before the end, but a third of the time at most.
 * @param {number} [options.checkEvery] How often a page that can be seen looks, in seconds.
 * @returns {{stop: () => void, renew: () => Promise<void>}}
 */
export function watch(options = {}) {
  watching?.stop();
  const over = new AbortController();
  const listen = (target, type, run) =>
    target.addEventListener(type, run, { signal: over.signal, capture: true, passive: true });
  const stop = () => {
    over.abort();
    clearTimeout(timer);
    closeChannel();
    hideNotice();
    watching = null;
  };
  const defaults = { required: false, renew: true, warnBefore: 60, checkEvery: 60 };
  watching = { ...defaults, ...options, stop, state: "unknown", user: undefined };
  for (const type of ["pointerdown", "keydown", "wheel"]) listen(window, type, onActivity);
  listen(document, "visibilitychange", () => {
    if (document.visibilityState === "visible" && Date.now() - known.asked > 1_000) check();
  });
  listen(window, "online", check);
  // An open channel may keep the page from coming back as it was left.
  listen(window, "pagehide", closeChannel);
  listen(window, "pageshow", ({ persisted }) => {
    if (!persisted) return;
    leavingUntil = 0;
    openChannel();
    check();
  });
  openChannel();
  if (known.session === undefined) renew();
  else settle();
  return { stop, renew };
}

/**
 * Keeps what is typed into a form over a login, in this tab and for this user: fills in what was
 * kept before, once. Never kept: files, passwords, hidden fields, and what `autocomplete` says is off
 * or a secret.
 * @param {HTMLFormElement} form
 * @returns {Promise<boolean>} Whether something was filled in.
 */
export async function keep(form) {
  for (const old of kept.keys()) if (!old.isConnected) kept.delete(old);
  if (!kept.has(form)) kept.set(form, undefined);
  const user = known.session ?? (await session().catch(() => null));
  if (!user) return false;
  kept.set(form, user.subject);
  return fillFrom(takeSaved(form, user.subject), form);
}

/**
 * Sends a form by `fetch`, as the browser would. If the session is over, the page leaves to log in,
 * and `keep` brings back what was typed.
 * @param {HTMLFormElement} form
 * @param {RequestInit & {submitter?: HTMLElement | null}} [init] `submitter`: the event's.
 * @returns {Promise<Response | null>} `null`: the page is about to leave. A 401 is returned where
 * the session lives, or where the form cannot be kept.
 */
export async function submit(form, { submitter = null, ...init } = {}) {
  if (!kept.has(form)) kept.set(form, known.session?.subject);
  const response = await call(...requestOf(form, submitter, init));
  await noteAdvice(response);
  if (response.status !== 401) return response;
  leavingUntil = Infinity;
  const isOver = await session({ peek: true }).then((found) => !found, () => false);
  if (isOver && saveForms()) {
    leave(loginUrl(location));
    return null;
  }
  leavingUntil = 0;
  settle();
  return response;
}

async function call(input, init) {
  const asked = new Request(input, init);
  if (new URL(asked.url).origin !== BASE.origin) return fetch(asked);
  asked.headers.set(CSRF_HEADER, "1");
  return fetch(asked, { credentials: asked.credentials === "omit" ? "omit" : "include" });
}

/** @param {Response} response */
async function failure(response) {
  const problem = await response.json().catch(() => ({}));
  const error = new Error(problem.detail ?? problem.title ?? `HTTP ${response.status}`);
  return Object.assign(error, { status: response.status, code: codeOf(problem), problem });
}

function loginUrl(returnTo) {
  const url = new URL("login", BASE);
  url.search = `rd=${encodeURIComponent(new URL(returnTo, location.href).href)}`;
  return url;
}

function leave(url) {
  // No news matters to a page that goes; one that stays after all hears them then.
  leavingUntil = Date.now() + 10_000;
  setTimeout(settle, 10_001);
  location.assign(url);
}

// The browser's side of Vestibule: who is logged in, login, logout, and a `fetch` that passes the
// forgery check. Served below the policy's base path; the other endpoints are its neighbours.

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
 * Who is logged in; `null` if nobody is. The call counts as use of the session.
 * @returns {Promise<Session | null>}
 * @throws {Error} if neither is known, such as while the session store is down; `status` has the
 * response's status.
 */
export async function session() {
  const response = await request(new URL("session", BASE));
  if (response.ok) return response.json();
  if (response.status === 401) return null;
  throw await failure(response);
}

/**
 * Leaves the page to log in, and comes back; a fragment (`#…`) does not.
 * @param {string | URL | Location} [returnTo] Where to, on the app's origin. Default: this page.
 */
export function login(returnTo = location) {
  const url = new URL("login", BASE);
  url.search = `rd=${encodeURIComponent(new URL(returnTo, location.href).href)}`;
  location.assign(url);
}

/**
 * Ends the session and leaves the page to end the provider's.
 * @returns {Promise<void>}
 * @throws {Error} if the session could not be ended; the user is still logged in.
 */
export async function logout() {
  const response = await request(new URL("logout", BASE), { method: "POST" });
  if (!response.ok) throw await failure(response);
  const { location: next } = await response.json();
  location.assign(next);
}

/**
 * The browser's `fetch`, which on the app's origin also sends the session cookie and the header of
 * the forgery check. A 401 is returned like any other response.
 * @param {RequestInfo | URL} input
 * @param {RequestInit} [init]
 * @returns {Promise<Response>}
 */
async function request(input, init) {
  const call = new Request(input, init);
  if (new URL(call.url).origin !== BASE.origin) return fetch(call);
  call.headers.set(CSRF_HEADER, "1");
  return fetch(call, { credentials: call.credentials === "omit" ? "omit" : "include" });
}

export { request as fetch };

/** @param {Response} response */
async function failure(response) {
  const problem = await response.json().catch(() => ({}));
  const error = new Error(problem.detail ?? problem.title ?? `HTTP ${response.status}`);
  return Object.assign(error, { status: response.status, problem });
}

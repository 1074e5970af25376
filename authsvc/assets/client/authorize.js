
// --- Route Authorities: what the user may do below a base, and the way to more ---

/**
 * @typedef {object} Permission
 * @property {string} name
 * @property {string} [description]
 * @property {boolean} granted
 * @property {string} [reason] Why not: "scope-not-granted", "denied", or as in `Permissions`.
 */

/**
 * What the user may do below a base. It decides nothing: each request is checked.
 * @typedef {object} Permissions
 * @property {string} base
 * @property {Permission[]} permissions
 * @property {string} [expiresAt] When the elevated token ends, unless it is renewed (RFC 3339).
 * @property {(name: string) => boolean} granted Of a name that is not known: `false`.
 * @property {(name: string) => string | null} reason Why it is not granted; also "unknown" before an
 * answer, "unauthenticated", and "mediation-advised" where it was not asked for yet.
 * @property {boolean} [mediationAdvised] Only a navigation to `authorizeUrl` can tell.
 * @property {string} [authorizeUrl]
 */

/** What is kept in this tab while the page is away, and for how long, in ms. */
const MEDIATION = "vestibule:mediation";
const MEDIATION_FOR = 600_000;
const ADVISED = 'error_description="Mediation Advised"';
const REASONS = {
  "scope-not-granted": "You do not have this right.",
  denied: "You may not do this.",
  unauthenticated: "Log in first.",
  "mediation-advised": "This right was not asked for yet.",
  unknown: "It is not known yet whether you may do this.",
};

/** For each base the latest answers, by the scopes that were asked about. */
const answers = new Map();
const listeners = new Map();
/** The problems of responses that `fetch` returned. */
const problems = new WeakMap();
/** The titles that elements had before. */
const titles = new WeakMap();
let returned = takeReturn();

/** The error that the page came back with, and of which base if that is known; `null`: with none. */
export const mediationError = returned?.error ? { code: returned.error, base: returned.base } : null;

/**
 * Asks what the user may do below a base. Where the elevated token is missing, the page leaves to
 * obtain it and comes back; the promise stays open then.
 * @param {string} base The authority's, such as "/api/production".
 * @param {string | string[]} [scopes] Default: all that the authority lists.
 * @param {object} [options]
 * @param {"auto" | "always" | "never" | ((url: string) => void)} [options.navigate] `auto`: leaves, but
 * not again after it came back without success; `always`: again, too; `never`: returns where to. A
 * function gets the address, and goes there as it likes.
 * @param {string | URL | Location} [options.redirectUri] Where to come back to. Default: this page.
 * @param {string | (() => string | Promise<string>)} [options.bearer] An access token to ask with,
 * instead of the session.
 * @param {HeadersInit} [options.headers]
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<Permissions>}
 * @throws {Error} `code`: the problem's, such as "insufficient-scope", that of a failed elevation, such
 * as "access_denied", or "not_elevated": it came back without a token.
 */
export async function authorize(base, scopes, options = {}) {
  const { navigate = "auto", redirectUri = location, bearer, signal } = options;
  const asked = { base: baseOf(base), scope: [scopes ?? []].flat().join(" ") };
  const headers = new Headers(options.headers);
  const token = typeof bearer === "function" ? await bearer() : bearer;
  if (token) headers.set("Authorization", `Bearer ${token}`);
  asked.isBearer = headers.has("Authorization");
  const url = authorizeUrl(asked, redirectUri);
  const response = await call(url, { headers, signal, cache: "no-store" });
  if (response.ok) {
    if (isReturnOf(asked)) returned = null;
    return note(asked, await response.json(), "scope-not-granted");
  }
  const error = await failure(response);
  const step = stepOf(response, error, asked);
  if (response.status === 401) deny(asked, step ?? reasonOf(error));
  if (!step) throw error;
  const target = step === "unauthenticated" ? loginUrl(redirectUri) : url;
  if (typeof navigate === "function") navigate(target.href);
  else if (navigate === "always") return go(asked, step, target);
  else if (navigate === "auto" && !isReturnOf(asked, step)) return go(asked, step, target);
  else if (navigate === "auto" && step !== "unauthenticated") throw notElevated(asked);
  if (step === "unauthenticated") throw error;
  return { ...permissions(base), mediationAdvised: true, authorizeUrl: target.href };
}

/**
 * What is known of a base in this page, without asking.
 * @param {string} base
 * @returns {Permissions}
 */
export function permissions(base) {
  const path = baseOf(base);
  const all = [...(answers.get(path)?.values() ?? [])];
  const named = new Map(all.flatMap((answer) => answer.permissions.map((one) => [one.name, one])));
  const { reason = "unknown", expiresAt } = all.at(-1) ?? {};
  return {
    base: path,
    permissions: [...named.values()],
    expiresAt,
    granted: (name) => named.get(name)?.granted === true,
    reason: (name) => (named.get(name)?.granted ? null : (named.get(name)?.reason ?? reason)),
  };
}

/**
 * Calls back at once, and after each change: an answer to `authorize`, and the end of the session.
 * @param {string} base
 * @param {(permissions: Permissions) => void} callback
 * @returns {() => void} Ends it.
 */
export function onPermissions(base, callback) {
  const path = baseOf(base);
  const own = { callback };
  listeners.set(path, (listeners.get(path) ?? new Set()).add(own));
  callback(permissions(path));
  return () => listeners.get(path).delete(own);
}

/**
 * Enables the elements with `data-permission="NAME"` below `root` whose permission is granted, and
 * disables the others, with the reason as their title.
 * @param {ParentNode} root
 * @param {Permissions} result
 * @param {Record<string, string>} [texts] Reasons in words.
 */
export function applyPermissions(root, result, texts = {}) {
  for (const element of root.querySelectorAll("[data-permission]")) {
    const reason = result.reason(element.getAttribute("data-permission"));
    // A link cannot be disabled: it is marked, and the app does not follow it.
    if ("disabled" in element) element.disabled = reason !== null;
    else if (reason === null) element.removeAttribute("aria-disabled");
    else element.setAttribute("aria-disabled", "true");
    explain(element, reason === null ? null : (texts[reason] ?? REASONS[reason] ?? REASONS.denied));
  }
}

/**
 * What a response to `fetch` says that would help: `null`, or the authority to ask.
 * @param {Response} response
 * @returns {{base: string | null, scopes: string[], authorizeUrl: string | null} | null} `base` is
 * `null` behind gateways that drop bodies, as long as `authorize` was not called for it.
 */
export function mediationOf(response) {
  const challenge = response.headers.get("WWW-Authenticate") ?? "";
  const problem = problems.get(response);
  if (!isRefusalOfOurs(response) || !(problem || challenge.includes(ADVISED))) return null;
  const base = problem?.base ?? baseAbove(response.url);
  const scope = problem?.scope ?? /\bscope="([^"]*)"/.exec(challenge)?.[1] ?? "";
  const url = base ? authorizeUrl({ base, scope }, location).href : null;
  return { base, scopes: scope.split(" ").filter(Boolean), authorizeUrl: url };
}

/** Reads an advice off a response that goes on to the app whole. */
async function noteAdvice(response) {
  if (!isRefusalOfOurs(response)) return;
  if (!response.headers.get("Content-Type")?.startsWith("application/problem+json")) return;
  const problem = await response.clone().json().catch(() => null);
  if (codeOf(problem) === "mediation-advised") problems.set(response, problem);
}

/** What other origins say must not lead anywhere. */
function isRefusalOfOurs({ status, url }) {
  return status === 401 && new URL(url || location.href).origin === BASE.origin;
}

/** Permissions are shown to nobody but whose they are. */
function forgetPermissions(reason) {
  for (const [base, byScope] of answers) {
    for (const [scope, { isBearer }] of [...byScope]) {
      if (!isBearer) deny({ base, scope, isBearer }, reason);
    }
  }
}

function reasonOf({ code }) {
  return code === "insufficient-scope" ? "scope-not-granted" : "unauthenticated";
}

/** What would help: "mediation-advised", "unauthenticated", or nothing. */
function stepOf(response, error, { isBearer }) {
  const challenge = response.headers.get("WWW-Authenticate") ?? "";
  if (response.status !== 401) return null;
  if (error.code === "mediation-advised" || challenge.includes(ADVISED)) return "mediation-advised";
  // Who brings a token logs in by the library that it is from.
  return error.code === "unauthenticated" && !isBearer ? "unauthenticated" : null;
}

function note(asked, { permissions: list, expiresAt }, reason) {
  const { base, scope, isBearer } = asked;
  const byScope = answers.get(base) ?? new Map();
  answers.set(base, byScope);
  // The latest is the last one.
  byScope.delete(scope);
  byScope.set(scope, { permissions: list, expiresAt, reason, isBearer });
  for (const { callback } of listeners.get(base) ?? []) {
    queueMicrotask(() => callback(permissions(base)));
  }
  return permissions(base);
}

function deny(asked, reason) {
  const before = answers.get(asked.base)?.get(asked.scope)?.permissions ?? [];
  const denied = before.map((one) => ({ ...one, granted: false, reason }));
  note(asked, { permissions: denied }, reason);
}

/** Leaves; the promise is settled only if the page comes back as it was left. */
function go(asked, step, url) {
  if (Date.now() >= leavingUntil) {
    saveForms();
    keepReturn({ base: asked.base, scope: asked.scope, step, at: Date.now() });
    leave(url);
  }
  return new Promise((_, reject) => {
    addEventListener("pageshow", ({ persisted }) => {
      if (persisted) reject(notElevated(asked));
    });
  });
}

function notElevated({ base, scope }) {
  const code = returned?.error ?? "not_elevated";
  return Object.assign(new Error(`No elevated token for ${base}: ${code}`), { code, base, scope });
}

/** Whether the page came back from that, and nothing has helped since. */
function isReturnOf({ base, scope }, step = returned?.step) {
  if (!returned || returned.step !== step) return false;
  return returned.base === undefined || (returned.base === base && returned.scope === scope);
}

function keepReturn(page) {
  try {
    sessionStorage.setItem(MEDIATION, JSON.stringify(page));
  } catch {
    // Without a storage an error in the address is taken for any base's.
  }
}

/** What the page was away for, and the error that it came back with; both are gone then. */
function takeReturn() {
  let kept = null;
  try {
    kept = JSON.parse(sessionStorage.getItem(MEDIATION));
    sessionStorage.removeItem(MEDIATION);
  } catch {
    // Not ours, or no storage.
  }
  if (!(Date.now() - kept?.at < MEDIATION_FOR)) kept = null;
  const code = takeError();
  if (!code) return kept;
  return { ...kept, step: "mediation-advised", error: code };
}

/** Takes `mediation_error` out of the address, and leaves the rest of it as it is. */
function takeError() {
  if (location.origin !== BASE.origin) return null;
  const pairs = location.search.slice(1).split("&");
  const rest = pairs.filter((pair) => !pair.startsWith("mediation_error="));
  if (rest.length === pairs.length) return null;
  const query = rest.length > 0 ? `?${rest.join("&")}` : "";
  const { origin, pathname, hash } = location;
  const code = new URLSearchParams(location.search).get("mediation_error");
  history.replaceState(history.state, "", `${origin}${pathname}${query}${hash}`);
  return /^[a-z_]{1,64}$/.test(code) ? code : "unknown_error";
}

function explain(element, text) {
  if (!titles.has(element)) titles.set(element, element.getAttribute("title"));
  const title = text ?? titles.get(element);
  if (title === null) element.removeAttribute("title");
  else element.setAttribute("title", title);
}

/** The innermost base, of those asked about, that an address is below. */
function baseAbove(url) {
  const { pathname } = new URL(url || location.href);
  const isBelow = (base) => pathname === base || pathname.startsWith(`${base}/`);
  const found = [...answers.keys()].filter(isBelow);
  return found.sort((one, other) => other.length - one.length)[0] ?? null;
}

function baseOf(base) {
  return base.replace(/\/+$/, "");
}

function authorizeUrl({ base, scope }, redirectUri) {
  const url = new URL(`${baseOf(base)}/authorize`, BASE);
  // A token, and the browser, go to the app's origin alone.
  if (url.origin !== BASE.origin) throw new TypeError(`${base} is no path`);
  const back = new URL(redirectUri, location.href);
  back.hash = "";
  const pairs = scope ? [["scope", scope]] : [];
  if (back.origin === BASE.origin) pairs.push(["redirectUri", back.href]);
  url.search = pairs.map((pair) => pair.map(encodeURIComponent).join("=")).join("&");
  return url;
}

function codeOf(problem) {
  return typeof problem?.type === "string" ? problem.type.split("/").pop() : undefined;
}

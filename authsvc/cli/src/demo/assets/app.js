// The demo app. All it knows of logins is Vestibule's client module, served under its own origin.

import * as bff from "/bff/client.js";
import { showAreas } from "./areas.js";
import { showCall, showHoldings, showOutcome, showPage, showRemaining, showSession } from "./view.js";

const $ = (id) => document.getElementById(id);

const ACTIONS = {
  hello: { path: "/api/hello" },
  order: { path: "/api/orders", method: "POST", body: { item: "Espresso beans, 1 kg" } },
  admin: { path: "/api/admin" },
  // A step-up is a login for a page whose rule asks for it; /payments is that page.
  payments: { path: "/api/payments", page: "/payments" },
};

/** The page of the app that is shown; a step-up comes back to the shop. */
const PAGE = location.pathname === "/production" ? "production" : "shop";

let session = null;
let loadedAt = 0;

async function loadSession() {
  session = await bff.session();
  loadedAt = performance.now();
  showSession(session);
  showHoldings(Boolean(session));
  tick();
}

function tick() {
  if (!session) return;
  const passed = (performance.now() - loadedAt) / 1000;
  const idle = session.idleExpiresIn - passed;
  const absolute = session.expiresIn - passed;
  showRemaining(idle, absolute);
  if (Math.min(idle, absolute) > 0) return;
  session = null;
  loadSession().catch(noAnswer);
}

async function run({ path, method = "GET", body, page }) {
  const headers = body ? { "Content-Type": "application/json" } : {};
  const response = await bff.fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  let answer = text;
  try { answer = JSON.parse(text); } catch { /* not JSON: shown as it is */ }
  const challenge = response.headers.get("WWW-Authenticate") ?? "";

  if (page && response.status === 401 && challenge.includes("insufficient_user_authentication")) {
    showOutcome("This needs a second step at the provider …");
    bff.login(page);
    return response;
  }
  showCall({
    method, path, status: response.status, statusText: response.statusText, challenge, answer,
    headers: [...Object.entries(headers), ["X-Bff", "1", "added by client.js, against forgery"]],
  }, Boolean(session));
  showOutcome(...outcome(response, answer));
  if (response.ok || (response.status === 401 && session)) await loadSession();
  return response;
}

function outcome(response, answer) {
  const { ok, status } = response;
  if (ok) return [answer.message, "good"];
  if (status === 401 && bff.mediationOf(response)) return ["401: no token for this area. The API never saw this request.", "bad"];
  if (status === 401) return ["401: there is no session. The API never saw this request. Log in and try again.", "bad"];
  if (status === 403 && answer.received) return [`403: ${answer.message}`, "bad"];
  if (status === 403) return ["403: this user may not. The API never saw this request.", "bad"];
  return [answer.message ?? answer.title ?? `The answer was ${status}.`, "bad"];
}

function noAnswer() {
  showOutcome("No answer. Is the demo still running?", "bad");
}

/** Runs something a button stands for, once at a time. */
async function busy(button, action) {
  button.disabled = true;
  try {
    await action();
  } catch {
    noAnswer();
  } finally {
    button.disabled = false;
  }
}

$("actions").addEventListener("click", (event) => {
  const button = event.target.closest("button[data-action]");
  if (button) busy(button, () => run(ACTIONS[button.dataset.action]));
});
for (const id of ["login", "login-hero"]) {
  $(id).addEventListener("click", () => bff.login("/"));
}
$("logout").addEventListener("click", ({ currentTarget }) => busy(currentTarget, () => bff.logout()));
setInterval(tick, 1000);
showPage(PAGE);

try {
  await loadSession();
  if (PAGE === "production") await showAreas(run, noAnswer);
  // Here a step-up has just been completed: go on with what it was for.
  if (location.pathname === "/payments") await run({ path: ACTIONS.payments.path });
} catch {
  showSession(session);
  noAnswer();
}

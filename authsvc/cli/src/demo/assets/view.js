// Draws what app.js knows. Text only ever goes in as text.

const $ = (id) => document.getElementById(id);

/** Headers that Vestibule answers for; the gateway replaces the client's by these. */
const OURS = ["authorization", "x-user", "x-email", "cookie"];

/** An element with text or children. */
function element(name, content, className) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.append(...[content].flat());
  return node;
}

/** A row of a definition list, with a remark below the value. */
function fact(name, value, remark, ours) {
  const definition = element("dd", value === "" ? "(empty)" : value);
  if (remark) definition.append(element("small", remark));
  return element("div", [element("dt", name), definition], ours ? "ours" : "");
}

/** 7:59:05, or 14:58. */
function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const pad = (number) => String(number).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours}:${pad(minutes)}:${pad(rest)}` : `${minutes}:${pad(rest)}`;
}

function initials(name) {
  const words = name.split(/\s+/).filter(Boolean);
  return words.slice(0, 2).map((word) => word[0].toUpperCase()).join("") || "?";
}

/** Who is logged in, or that nobody is. */
export function showSession(session) {
  const signedIn = Boolean(session);
  $("signed-in").hidden = $("chip").hidden = $("logout").hidden = !signedIn;
  $("signed-out").hidden = $("login").hidden = signedIn;
  if (!signedIn) return;
  const { claims } = session;
  const name = claims.name ?? claims.preferred_username ?? session.subject;
  $("initials").textContent = $("chip-initials").textContent = initials(name);
  $("chip-name").textContent = name;
  $("signed-in-title").textContent = `Hello, ${name}`;
  $("email").textContent = claims.email ?? "";
  const tags = [...(claims.groups ?? [])];
  if (claims.acr) tags.push(`assurance: ${claims.acr}`);
  $("groups").replaceChildren(...tags.map((tag) => element("li", tag)));
}

/** One of the app's pages; the other's parts are hidden. */
export function showPage(page) {
  for (const part of document.querySelectorAll("[data-page]")) part.hidden = part.dataset.page !== page;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.to === page) link.setAttribute("aria-current", "page");
  }
}

/** An area of the API: what the user may do there, in words beside the buttons. */
export function showArea(area, result, reasons) {
  for (const button of area.querySelectorAll("[data-permission]")) {
    const reason = result.reason(button.dataset.permission);
    button.nextElementSibling.textContent = reason === null ? "" : reasons[reason];
  }
  const { expiresAt } = result;
  const until = expiresAt && new Date(expiresAt).toLocaleTimeString([], { timeStyle: "short" });
  const state = area.querySelector(".state");
  state.textContent = until
    ? `Vestibule holds a token until ${until}, and renews it`
    : "Vestibule holds no token for this";
  state.classList.toggle("held", Boolean(until));
  area.querySelector("[data-ask]").hidden = Boolean(until);
}

/** What scripts could steal. */
export function showNothing() {
  const { length: inCookies } = document.cookie;
  const inStorage = localStorage.length + sessionStorage.length;
  $("nothing").textContent = inCookies + inStorage === 0
    ? "In this browser: document.cookie is empty, localStorage is empty, sessionStorage is empty."
    : `In this browser: document.cookie has ${inCookies} characters, the storages ${inStorage} entries.`;
}

/** What is left of the session, in seconds. */
export function showRemaining(idle, absolute) {
  $("idle").textContent = clock(idle);
  $("absolute").textContent = clock(absolute);
}

/** What scripts find in this browser: that is the point of the pattern. */
export function showHoldings(signedIn) {
  $("holds").replaceChildren(
    fact("document.cookie", document.cookie, "all that scripts can read"),
    fact("storage", localStorage.length + sessionStorage.length ? "in use" : "", "localStorage and sessionStorage"),
    signedIn
      ? fact("__Host-bff", "one opaque id", "HttpOnly: the browser sends it, no script sees it", true)
      : fact("__Host-bff", "no session"),
  );
}

/** One call: what was sent, what came back, what the API saw. */
export function showCall({ method, path, headers, status, statusText, challenge, answer }, signedIn) {
  $("sent-line").textContent = `${method} ${path}`;
  const cookie = signedIn ? "__Host-bff=…" : "";
  $("sent").replaceChildren(
    ...headers.map(([name, value, remark]) => fact(name, value, remark)),
    fact("Cookie", cookie, signedIn ? "added by the browser" : ""),
    fact("Authorization", "", "the browser has no token to send"),
  );
  const { received, ...body } = typeof answer === "object" && answer ? answer : { text: answer };
  const shown = [`${status} ${statusText}`];
  if (challenge) shown.push(`WWW-Authenticate: ${challenge}`);
  shown.push("", body.text ?? JSON.stringify(body, null, 2));
  $("got").textContent = shown.join("\n").trim();

  $("api-line").textContent = received
    ? `${received.method} ${received.path}`
    : "This request did not reach the API";
  $("reached").hidden = !received;
  const all = received?.headers ?? [];
  const ours = OURS.flatMap((ours) => all.filter(([name]) => name === ours));
  const rest = all.filter(([name]) => !OURS.includes(name));
  $("api-ours").replaceChildren(...ours.map(([name, value]) => fact(name, value, "", true)));
  $("api-rest").replaceChildren(...rest.map(([name, value]) => fact(name, value)));
  $("api-rest-title").textContent = `${rest.length} more headers, from the browser and the gateway`;
  const scopes = received?.scopes ?? [];
  $("api-scopes").replaceChildren(...scopes.map((scope) => element("li", scope)));
  $("token").textContent = JSON.stringify(received?.accessToken ?? "none", null, 2);
}

/** The one line that says how it went. */
export function showOutcome(text, kind = "") {
  $("outcome").textContent = text;
  $("outcome").className = `outcome ${kind}`;
}

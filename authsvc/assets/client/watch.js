
// --- Watching: what is known of the session, in this tab and the others ---

const CHANNEL = `vestibule ${BASE}`;
/** How long after the end it is asked for, in ms: times are in whole seconds. */
const GRACE = 2_000;

/** The latest answer of all tabs. `session` is `undefined` before there is one. */
const known = { asked: 0, used: 0, session: undefined, reason: "ended", end: 0, canStay: true };
/** The longest idle time seen, in ms: about the policy's. */
let idleTime = 0;
let watching = null;
let leavingUntil = 0;
let channel = null;
let checking = null;
let retryAt = 0;
let timer;

/** Takes an answer, asked for at `asked`, and passes on what this tab was answered. */
function learn(news, heard = false) {
  const now = Date.now();
  // Answers overtake each other. What is known from the future is from before the clock was set.
  if (news.asked <= known.asked && known.asked <= now) return;
  const { session } = news;
  const guess = now >= known.end - GRACE ? "timeout" : "ended";
  const reason = session ? undefined : (news.reason ?? (known.session ? guess : undefined));
  const isOther = known.session && known.session.subject !== session?.subject;
  if (!session || isOther) forgetPermissions(session ? "unknown" : "unauthenticated");
  known.asked = Math.min(news.asked, now);
  known.session = session;
  if (reason) known.reason = reason;
  if (session) {
    dropSavedOfOthers(session.subject);
    if (news.used) known.used = known.asked;
    known.canStay = session.idleExpiresIn < session.expiresIn;
    known.end = known.asked + 1000 * Math.min(session.idleExpiresIn, session.expiresIn);
    if (known.canStay) idleTime = Math.max(idleTime, 1000 * session.idleExpiresIn);
  }
  if (reason === "logout") dropSaved();
  if (!heard) tell({ ...news, reason });
  settle();
}

function tell(news) {
  const to = channel ?? new BroadcastChannel(CHANNEL);
  to.postMessage(news);
  if (to !== channel) to.close();
}

function openChannel() {
  channel ??= new BroadcastChannel(CHANNEL);
  channel.onmessage = ({ data }) => {
    if (typeof data?.asked === "number") learn(data, true);
  };
}

function closeChannel() {
  channel?.close();
  channel = null;
}

/** Looks at the session without using it. */
function check() {
  checking ??= session({ peek: true })
    .catch(noteFailure)
    .finally(() => {
      checking = null;
      settle();
    });
}

/** Uses the session. */
async function renew() {
  known.used = Date.now();
  await session().catch(noteFailure);
  settle();
}

/** No answer is no end of the session: it is asked again. */
function noteFailure() {
  known.used = 0;
  retryAt = Date.now() + 5_000;
}

function onActivity({ isTrusted }) {
  if (!isTrusted || !watching.renew || !known.session || !known.canStay) return;
  if (watching.state === "another") return;
  const now = Date.now();
  if (now >= retryAt && now - known.used >= Math.max(1_000, idleTime / 10)) renew();
}

/** Tells the page what has changed for it, and sets the time of the next look. */
function settle() {
  clearTimeout(timer);
  if (!watching || Date.now() < leavingUntil) return;
  const left = known.end - Date.now();
  const notice = Math.min(1000 * watching.warnBefore, known.canStay ? idleTime / 3 : Infinity);
  if (known.session !== null && isLookDue(left, notice)) {
    check();
    return;
  }
  const was = watching.state;
  watching.state = stateOf(left <= notice);
  if (watching.state !== was || was === "warned") {
    report(was, Math.max(0, Math.ceil(left / 1000)));
  }
  if (known.session === null) return;
  const next = left <= notice ? 1_000 : Math.min(left - notice, nextLook() - Date.now());
  timer = setTimeout(settle, Math.max(250, next));
}

function isLookDue(left, notice) {
  const now = Date.now();
  if (now < retryAt) return false;
  // Something else may have used the session since: no warning and no end is by the clock alone.
  const isUnsure = left <= notice && known.asked < known.end - notice;
  return left <= -GRACE || isUnsure || now >= nextLook();
}

function nextLook() {
  const isSeen = document.visibilityState === "visible";
  return known.asked + (isSeen ? 1000 * Math.max(1, watching.checkEvery) : 3_600_000);
}

function stateOf(isSoon) {
  const { session } = known;
  if (session === undefined) return "unknown";
  const hasUser = watching.user !== undefined;
  if (!session) return hasUser || watching.required ? "ended" : "nobody";
  return hasUser && watching.user !== session.subject ? "another" : isSoon ? "warned" : "live";
}

function report(was, seconds) {
  const { state, onEnd, onUser, onWarning, onRenew, onLogin } = watching;
  const { session, canStay, reason } = known;
  // As tasks of their own: an error in one is the app's, and stops nothing here.
  const run = (action, ...values) => queueMicrotask(() => action?.(...values));
  if (state !== was) hideNotice();
  if (state === "ended") run(onEnd ?? showEnd, reason);
  if (state === "another") run(onUser ?? showOther, session);
  if (state === "live" || state === "warned") {
    if (was === "ended" || was === "nobody") run(onLogin, session);
    if (was === "warned" && state === "live") run(onRenew, session);
  }
  if (state === "warned") run(onWarning ?? showWarning, seconds, canStay);
  // With our own dialog the page stays the former user's.
  if (state === "live" || state === "warned" || (state === "another" && onUser)) {
    watching.user = session.subject;
  }
}

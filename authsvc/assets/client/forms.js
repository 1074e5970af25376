
// --- Forms ---

const SAVED = "vestibule:forms";
/** How much is kept, in characters, and how long, in ms: a login does not take longer. */
const MOST_SAVED = 65_536;
const SAVED_FOR = 900_000;
const NEVER_KEPT = ["button", "file", "hidden", "image", "password", "reset", "submit"];
const SECRET = /(^|\s)(off|cc-[a-z-]+|one-time-code|current-password|new-password)(\s|$)/i;

/** The forms to keep, each with the user who fills it in; `undefined` if that is not known. */
const kept = new Map();

/** Saves all of them or none; `false`: none. A logout leaves nothing behind. */
function saveForms() {
  const forms = [...kept].filter(([form]) => form.isConnected);
  if (forms.length === 0) return true;
  const isLogout = known.session === null && known.reason === "logout";
  if (isLogout || forms.some(([, user]) => user === undefined)) return false;
  const entries = forms.map(([form, user]) => [nameOf(form), user, valuesOf(form)]);
  return store({ at: Date.now(), page: location.pathname + location.search, entries });
}

function store(saved) {
  const text = JSON.stringify(saved);
  if (text.length > MOST_SAVED) return false;
  try {
    sessionStorage.setItem(SAVED, text);
    return true;
  } catch {
    return false;
  }
}

/** The saved values of a form, which are gone then; `undefined` without any of this user's. */
function takeSaved(form, user) {
  const saved = readSaved();
  if (saved?.page !== location.pathname + location.search) return undefined;
  const found = saved.entries.find(([name, whose]) => name === nameOf(form) && whose === user);
  const entries = saved.entries.filter((entry) => entry !== found);
  if (entries.length === 0) dropSaved();
  else store({ ...saved, entries });
  return found?.[2];
}

function readSaved() {
  try {
    const saved = JSON.parse(sessionStorage.getItem(SAVED));
    if (!saved) return null;
    if (Date.now() - saved.at < SAVED_FOR && saved.entries.every(Array.isArray)) return saved;
  } catch {
    // Not ours, or no storage.
  }
  dropSaved();
  return null;
}

/** What one user typed is not for the next. */
function dropSavedOfOthers(user) {
  if (readSaved()?.entries.some(([, whose]) => whose !== user)) dropSaved();
}

function dropSaved() {
  try {
    sessionStorage.removeItem(SAVED);
  } catch {
    // Without a storage nothing is saved.
  }
}

function nameOf(form) {
  return form.getAttribute("id") || form.getAttribute("name") || `form ${[...document.forms].indexOf(form)}`;
}

function fieldsOf(form) {
  const hint = (field) => field.getAttribute("autocomplete") ?? form.getAttribute("autocomplete");
  return [...form.elements].filter(
    (field) =>
      ["INPUT", "SELECT", "TEXTAREA"].includes(field.tagName) &&
      field.name &&
      !NEVER_KEPT.includes(field.type) &&
      !SECRET.test(hint(field) ?? ""),
  );
}

function valuesOf(form) {
  return fieldsOf(form).map((field) => [field.name, valueOf(field)]);
}

function valueOf(field) {
  if (isBox(field)) return field.checked;
  if (field.tagName === "SELECT") return [...field.selectedOptions].map(({ value }) => value);
  return field.value;
}

function fillFrom(values, form) {
  if (!Array.isArray(values)) return false;
  for (const field of fieldsOf(form)) {
    const at = values.findIndex(([name]) => name === field.name);
    if (at < 0) continue;
    const [[, value]] = values.splice(at, 1);
    if (!fill(field, value)) continue;
    for (const type of ["input", "change"]) field.dispatchEvent(new Event(type, { bubbles: true }));
  }
  return true;
}

/** Whether the app is to be told: not of a radio button that is off, nor of what was so before. */
function fill(field, value) {
  const before = JSON.stringify(valueOf(field));
  if (field.tagName === "SELECT") {
    for (const option of field.options) option.selected = value.includes(option.value);
  } else {
    set(field, isBox(field) ? "checked" : "value", value);
  }
  return before !== JSON.stringify(valueOf(field)) && !(field.type === "radio" && !value);
}

/** Past the property that a framework may have put on the element itself. */
function set(field, property, value) {
  Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), property)?.set.call(field, value);
}

function isBox({ type }) {
  return type === "checkbox" || type === "radio";
}

/** URL and options of the request that the browser would send for a form. */
function requestOf(form, submitter, init) {
  // Properties of a form may be shadowed by its fields.
  const of = (name) => submitter?.getAttribute(`form${name}`) ?? form.getAttribute(name) ?? "";
  const url = new URL(of("action") || location.href, document.baseURI);
  const data = new FormData(form, submitter);
  const pairs = [...data].map(([name, value]) => [name, value.name ?? value]);
  if (of("method").toLowerCase() !== "post") {
    url.search = new URLSearchParams(pairs);
    return [url, init];
  }
  const body = of("enctype") === "multipart/form-data" ? data : new URLSearchParams(pairs);
  return [url, { method: "POST", body, ...init }];
}


// --- The dialog of a watched page ---

const STYLE = `
dialog { max-width: 24rem; padding: 1.75rem; border: 1px solid GrayText; border-radius: 1rem;
  background: Canvas; color: CanvasText; font: 1rem/1.5 system-ui, sans-serif; color-scheme: light dark; }
dialog::backdrop { background: rgb(0 0 0 / 45%); }
dialog.ended::backdrop { background: #5b6472; }
h2 { margin: 0 0 0.5rem; font-size: 1.25rem; }
p { margin: 0 0 1.25rem; }
button { padding: 0.6rem 1.1rem; border: 1px solid #2450c8; border-radius: 0.6rem; background: #2450c8;
  color: #fff; font: inherit; font-weight: 600; cursor: pointer; }
button:focus-visible { outline: 3px solid CanvasText; outline-offset: 3px; }`;

let dialog = null;
/** The end that the user has read about and can do nothing against. */
let readAbout = 0;

function showWarning(seconds, canStay) {
  // Answers differ by their rounding.
  if (!canStay && Math.abs(readAbout - known.end) < 5_000) return;
  const time = seconds === 1 ? "1 second" : `${seconds} seconds`;
  if (canStay) {
    showNotice("Are you still there?", `You will be logged out in ${time}.`, "Stay logged in", renew);
  } else {
    const text = `Your session ends in ${time}. Save your work; then log in again.`;
    showNotice("Your session is about to end", text, "OK", () => {
      readAbout = known.end;
      hideNotice();
    });
  }
}

function showEnd(reason) {
  const texts = {
    logout: "You have logged out in this browser.",
    timeout: "Your session is over.",
    ended: "Your session has been ended.",
  };
  showNotice("You are logged out", texts[reason], "Log in", () => {
    // What cannot be kept stays here, while the login happens in another tab.
    if (reason === "logout" || saveForms()) login();
    else open(loginUrl(location), "_blank", "noopener");
  });
  dialog.className = "ended";
}

function showOther() {
  const text = "This page was opened for someone else. Load it again to go on.";
  showNotice("Another user is logged in", text, "Load again", () => location.reload());
  dialog.className = "ended";
}

/** Shows a dialog with one button. Built without HTML and inline styles, which a page may forbid. */
function showNotice(title, text, action, run) {
  if (!dialog) {
    const root = document.createElement("div").attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    dialog = root.appendChild(document.createElement("dialog"));
    dialog.lang = "en";
    dialog.setAttribute("role", "alertdialog");
    dialog.setAttribute("aria-labelledby", "title");
    dialog.setAttribute("aria-describedby", "text");
    for (const [name, id] of [["h2", "title"], ["p", "text"], ["button", "action"]]) {
      dialog.appendChild(document.createElement(name)).id = id;
    }
    dialog.addEventListener("cancel", (event) => event.preventDefault());
  }
  const [heading, paragraph, button] = dialog.children;
  [heading.textContent, paragraph.textContent, button.textContent] = [title, text, action];
  button.onclick = run;
  dialog.className = "";
  const { host } = dialog.getRootNode();
  if (!host.isConnected) document.body.append(host);
  if (!dialog.open) dialog.showModal();
}

function hideNotice() {
  dialog?.close();
  dialog?.getRootNode().host.remove();
  dialog = null;
}

// The Production page: areas of the API that each get a token of their own. The page asks what the user
// may do there, enables its buttons by that, and leaves to get more when the user wants to.

import * as bff from "/bff/client.js";
import { showArea, showNothing, showOutcome } from "./view.js";

/** Where the provider's pages lead back to. */
const HERE = "/production";

const REASONS = {
  unknown: "Not known yet",
  unauthenticated: "Log in first",
  "mediation-advised": "No token for this area yet",
  "scope-not-granted": "The provider did not grant this to you",
  denied: "Only for staff",
};

const FAILURES = {
  access_denied: "You did not allow it, so there is no token.",
  step_up_failed: "The second step is missing, so there is no token.",
  not_elevated: "You came back without a token.",
  "insufficient-scope": "The provider grants you none of this area’s scopes.",
};

/** Shows the areas and asks about each; `run` makes a request and shows it. */
export async function showAreas(run, failed) {
  const areas = [...document.querySelectorAll("[data-base]")];
  for (const area of areas) {
    bff.onPermissions(area.dataset.base, (result) => {
      bff.applyPermissions(area, result, REASONS);
      showArea(area, result, REASONS);
    });
    area.addEventListener("click", ({ target }) => {
      const button = target.closest("button");
      if (button?.dataset.path) pressed(button, () => call(button.dataset, run));
      else if (button) pressed(button, () => ask(area.dataset.base, "always"));
    });
  }
  showNothing();
  showOutcome("Get access to an area, and try what it opens.");
  const asked = areas.map((area) => ask(area.dataset.base, "never"));
  await Promise.all(asked);
  const { mediationError } = bff;
  if (mediationError) showOutcome(textOf(mediationError.code), "bad");

  /** Once at a time. Its permissions may have changed meanwhile, so it is not simply enabled again. */
  async function pressed(button, action) {
    button.setAttribute("aria-busy", "true");
    try {
      await action();
    } catch (error) {
      if (error.code) showOutcome(textOf(error.code), "bad");
      else failed();
    } finally {
      button.removeAttribute("aria-busy");
      showNothing();
    }
  }
}

/** What may the user do there? `always` leaves to get a token, and does not come back to here. */
async function ask(base, navigate) {
  if (navigate === "always") showOutcome("To the provider, for a token of this area …");
  try {
    await bff.authorize(base, undefined, { navigate, redirectUri: HERE });
  } catch (error) {
    if (error.status !== 401 && error.code !== "not_elevated") throw error;
    if (navigate === "always") showOutcome(textOf(error.code), "bad");
  }
}

async function call({ path, method }, run) {
  const response = await run({ path, method: method ?? "GET" });
  const advice = bff.mediationOf(response);
  if (!advice?.base) return;
  // The token has ended since; `authorize` gets another one, mostly without any page.
  showOutcome("The area needs a new token …");
  await bff.authorize(advice.base, advice.scopes, { redirectUri: HERE });
}

function textOf(code) {
  return FAILURES[code] ?? `There is no token: ${code}.`;
}

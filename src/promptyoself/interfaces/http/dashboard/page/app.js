// Which view stands there, the token, the one switch, and the stream that keeps it all fresh.

import { forgetToken, get, health, keepToken, post, takeToken } from "./api.js";
import { deliveries } from "./deliveries.js";
import { form } from "./form.js";
import { follow } from "./live.js";
import { add, overview } from "./overview.js";
import { schedule, schedules } from "./schedules.js";
import { confirmed, h, notice } from "./show.js";

const REFRESH_AFTER_MS = 300;
const EVENTS_KEPT = 200;
const EVENTS_BEFORE = 30;
const main = document.getElementById("main");
const live = document.getElementById("live");
const switching = document.getElementById("switch");
const stopped = document.getElementById("stopped");
const gone = document.getElementById("gone");
const events = [];
let leave = () => {};
let shown = 0;
let isStopped = false;
let carried = "";
let timer = null;

const VIEWS = [
  [/^#?\/?$/, overview, true, "Overview"],
  [/^#\/schedules$/, schedules, true, "Schedules"],
  [/^#\/schedules\/(\d+)$/, schedule, true, "Schedule"],
  [/^#\/deliveries(?:\/(\w+))?$/, deliveries, true, "Deliveries"],
  [/^#\/new$/, form, false, "New schedule"],
  [/^#\/edit\/(\d+)$/, form, false, "Edit"],
];

async function view({ isFresh }) {
  const found = VIEWS.map(([pattern, ...rest]) => [pattern.exec(location.hash), ...rest]).find(([match]) => match) || [[], overview, true, "Overview"];
  const [match, show, isLive, title] = found;
  if (!isFresh && !isLive) return;
  const mine = isFresh ? ++shown : shown;
  const place = h("div", {});
  try {
    if (isFresh) {
      notice(carried, "good");
      carried = "";
    }
    await show(isFresh ? place : main.firstElementChild, { id: match[1], events, refresh: () => view({ isFresh: false }), go: (to, told) => { carried = told; location.hash = to; } });
    if (mine !== shown) return;
    if (isFresh) {
      main.replaceChildren(place);
      mark(title);
      place.querySelector("[autofocus]")?.focus() ?? main.focus({ preventScroll: true });
    }
  } catch (error) {
    if (error.status === 401) return sign("This token is not valid any more.");
    if (mine !== shown) return;
    if (isFresh) {
      main.replaceChildren(h("div", {}, h("h1", {}, title), h("p", { class: "empty" }, error.message)));
      mark(title);
      main.focus({ preventScroll: true });
    } else if (error.status !== 0) notice(error.message);
  }
}

function mark(title) {
  document.title = `${title} - promptyoself`;
  for (const link of document.querySelectorAll("nav a")) {
    const at = link.getAttribute("href");
    if (at === (location.hash || "#/") || (at === "#/schedules" && /^#\/(schedules|edit)\//.test(location.hash)) || (at === "#/deliveries" && location.hash.startsWith("#/deliveries/"))) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(async () => {
    await look();
    if (!document.hidden && !document.getElementById("ask").open && !main.contains(document.activeElement?.closest?.("input, select, textarea"))) await view({ isFresh: false });
  }, REFRESH_AFTER_MS);
}

/** Whether deliveries are stopped, as the warnings of every list say. */
async function look() {
  const { warnings } = await get("schedules", { limit: 1 }).catch(() => ({ warnings: [] }));
  const said = (warnings || []).find((one) => one.startsWith("all deliveries are stopped"));
  isStopped = said !== undefined;
  stopped.hidden = !isStopped;
  stopped.textContent = isStopped ? `All deliveries are stopped${/ \(.*\)(?=: )/.exec(said)?.[0] ?? ""}: nothing goes out to any agent until they go on.` : "";
  switching.textContent = isStopped ? "Let deliveries go on" : "Stop all deliveries";
}

switching.addEventListener("click", async () => {
  try {
    if (isStopped) {
      notice((await post("resume")).message, "good");
    } else if (await confirmed("Stop all deliveries?", "Nothing goes out to any agent until you let deliveries go on. Schedules stay as they are.", "Stop all")) {
      notice((await post("pause", { reason: "stopped in the dashboard" })).message, "good");
    }
    await look();
    await view({ isFresh: false });
  } catch (error) {
    notice(error.message);
  }
});

document.getElementById("leave").addEventListener("click", () => { forgetToken(); sign(""); });

function sign(why) {
  leave();
  leave = () => {};
  shown += 1;
  forgetToken();
  events.length = 0;
  for (const id of ["nav", "state", "stopped", "gone", "switch"]) document.getElementById(id).hidden = true;
  document.title = "Sign in - promptyoself";
  notice(why);
  const token = h("input", { type: "password", id: "token", autocomplete: "off", required: true });
  main.replaceChildren(h("section", { class: "sign" }, h("h1", {}, "promptyoself"),
    h("p", {}, "Open this page with ", h("code", {}, "promptyoself dashboard --open"), " on the machine of the service, or give a token:"),
    h("form", { onsubmit: (event) => { event.preventDefault(); keepToken(token.value.trim()); start(); } },
      h("div", { class: "field" }, h("label", { for: "token" }, "Token"), token), h("button", { type: "submit" }, "Sign in"))));
  token.focus();
}

/** Begin with what happened last, and go on from there. */
async function start() {
  leave();
  let before;
  try {
    before = await get("journal", { limit: EVENTS_BEFORE });
  } catch (error) {
    return sign(error.status === 401 ? "This token is not known here." : error.message);
  }
  for (const id of ["nav", "state"]) document.getElementById(id).hidden = false;
  notice("");
  events.splice(0, events.length, ...before.events);
  leave = follow({
    last: before.next_after,
    onEvent: (name, one) => {
      events.push(one);
      if (events.length > EVENTS_KEPT) events.shift();
      add(one);
      soon();
    },
    onState: (state) => {
      live.textContent = { live: "live", away: "reconnecting", refused: "not allowed" }[state];
      live.className = `live ${state === "live" ? "on" : "off"}`;
      gone.hidden = state !== "away";
      if (state === "live" && shown > 1) soon();
    },
  });
  look();
  // The switch is an operator's: to others the service tells one word about itself, and no checks.
  health().then((found) => { switching.hidden = !found.checks; }).catch(() => {});
  view({ isFresh: true });
}

window.addEventListener("hashchange", () => {
  const brings = location.hash.startsWith("#token=");
  if (!takeToken()) sign("");
  else if (brings) start();
  else view({ isFresh: true });
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && takeToken()) soon(); });
if (takeToken()) start();
else sign("");

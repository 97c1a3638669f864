// Deliveries, newest first, each with its attempts on demand; dead letters can be tried again.

import { get } from "./api.js";
import { choose, field, h, local, notice, pill, replace } from "./show.js";
import { again, receipt } from "./schedules.js";

const STATES = ["", "dead", "pending", "leased", "accepted", "unknown", "delivered", "skipped", "cancelled"];
let state = "";
let asked = "";
/** Where the attempts stand that a person has asked for, by delivery: the list is made anew whenever something happens. */
const unfolded = new Map();

export async function deliveries(place, { refresh, id }) {
  if (id && id !== asked) state = STATES.includes(id) ? id : "";
  asked = id;
  if (!place.firstElementChild) unfolded.clear();
  const { deliveries: found, next_cursor: more } = await get("deliveries", { state, limit: 100 });
  const which = choose(STATES.map((one) => [one, one === "dead" ? "dead letters" : one || "all"]), state);
  which.dataset.key = "state";
  which.addEventListener("change", () => { state = which.value; refresh(); });
  replace(place, h("h1", {}, "Deliveries"),
    h("div", { class: "filters" }, field("state", "Show", which), h("p", { class: "soft", role: "status" }, `${found.length} ${found.length === 1 ? "delivery" : "deliveries"}${more ? ", the newest" : ""}`)),
    found.length ? h("section", {}, h("table", {}, h("thead", {}, h("tr", {}, ["Delivery", "Due", "State", "Do"].map((one) => h("th", { scope: "col" }, one)))),
      h("tbody", {}, found.map((one) => row(one, refresh))))) : h("p", { class: "empty" }, state === "dead" ? "No dead letters." : "Nothing here."));
}

function row(one, refresh) {
  const attempts = unfolded.get(one.id) ?? h("div", {});
  if (unfolded.has(one.id) && attempts.dataset.of !== JSON.stringify(one)) unfold(one, attempts, refresh);
  return h("tr", {},
    h("td", {}, `${one.id} of `, h("a", { href: `#/schedules/${one.schedule_id}` }, `schedule #${one.schedule_id}`), h("div", { class: "soft" }, one.agent_id)),
    h("td", { "data-label": "Due:" }, h("span", { class: "at" }, local(one.fire_at))),
    h("td", {}, pill(one.state), one.reason && h("div", { class: "soft" }, one.reason), attempts),
    h("td", {}, h("div", { class: "buttons" },
      h("button", { type: "button", class: "quiet", "data-key": `attempts-${one.id}`, "aria-label": `Attempts of delivery ${one.id}`, onclick: () => unfold(one, attempts, refresh) }, "Attempts"),
      again(one, refresh))));
}

async function unfold(one, place, refresh) {
  unfolded.set(one.id, place);
  try {
    const { deliveries: all } = await get(`schedules/${one.schedule_id}/history`, { limit: 1000 });
    const found = all.find((each) => each.id === one.id);
    const isOpen = place.querySelector("details")?.open ?? true;
    place.replaceChildren(found ? receipt(found, new Set(isOpen ? [`delivery-${one.id}`] : []), refresh) : h("p", { class: "empty" }, "Too old to be listed."));
    place.dataset.of = JSON.stringify(one);
  } catch (error) {
    notice(error.message);
  }
}

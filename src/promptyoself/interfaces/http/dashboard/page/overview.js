// What is running and healthy, what fires next, and what happens now.

import { all, get, health } from "./api.js";
import { away, clock, comes, excerpt, h, local, pill, replace } from "./show.js";

const FIRES = 12;
const EVENTS = 60;
const WORDS = { ready: "It delivers.", degraded: "It runs; deliveries are held up by something else.", unready: "It cannot do its part; an operator sees why." };

export async function overview(place, { events }) {
  const [state, { found }, dead] = await Promise.all([health(), all("schedules", "schedules", {}), get("deliveries", { state: "dead", limit: 100 })]);
  const coming = found.filter((one) => one.state === "active" && comes(one)).sort((a, b) => Date.parse(comes(a)) - Date.parse(comes(b))).slice(0, FIRES);
  const active = found.filter((one) => one.state === "active").length;
  const dying = dead.deliveries.length ? h("a", { href: "#/deliveries/dead" }, `${dead.deliveries.length}${dead.next_cursor ? " and more" : ""} given up`) : "none given up";
  replace(place, h("h1", {}, "Overview"),
    h("p", {}, "Schedules: ", h("a", { href: "#/schedules" }, `${active} active`), `, ${found.length - active} paused. Deliveries: `, dying, "."),
    h("section", {}, h("h2", {}, "Next fires"), coming.length ? fires(coming) : h("p", { class: "empty" }, "Nothing is scheduled. ", h("a", { href: "#/new" }, "Make a schedule."))),
    h("div", { class: "two" },
      h("section", {}, h("h2", {}, "Health"), looks(state)),
      h("section", {}, h("h2", {}, "What happens"), log(events))));
}

/** The service's own words about itself; keys are only ever added, so what is not known here is left out. */
function looks(state) {
  const checks = state.checks || [];
  const problems = state.problems || [];
  const rows = [...checks.map((one) => [one.result || (one.ok ? "ok" : "fail"), one.name, one.found ?? one.detail ?? "", one.cure ?? one.hint]),
    ...problems.map((one) => (typeof one === "string" ? ["fail", "", one] : ["fail", one.name || one.what || "", one.error || one.found || one.detail || "", one.cure || one.hint]))];
  if (!rows.length) return h("p", {}, pill(state.status === "ready" || state.status === "ok" || state.status === "success" ? "ok" : "warn"), " ", state.message || state.error || WORDS[state.status] || "It answers.");
  return h("ul", { class: "plain" }, rows.map(([result, name, found, cure]) => h("li", { class: "check" }, pill(result), h("span", {}, h("strong", {}, name), " ", found, cure && result !== "ok" && h("div", { class: "soft" }, cure)))));
}

function fires(coming) {
  const now = Date.now();
  const end = Math.max(now + 3600000, ...coming.map((one) => Date.parse(comes(one))));
  const place = (at) => `${Math.min(100, Math.max(0, ((at - now) / (end - now)) * 100))}%`;
  const line = h("div", { class: "timeline", "aria-hidden": "true" }, h("b", { class: "first" }, "now"), h("b", { class: "last" }, away(new Date(end).toISOString(), now)));
  line.children[0].style.left = "0%";
  line.children[1].style.left = "100%";
  for (const one of coming) {
    const dot = h("i", { title: `#${one.id}`, class: one.snoozed_until === comes(one) ? "late" : "" });
    dot.style.left = place(Date.parse(comes(one)));
    line.append(dot);
  }
  return [line, h("ol", { class: "plain" }, coming.map((one) => h("li", {}, h("span", { class: "when" }, local(comes(one))), h("a", { href: `#/schedules/${one.id}` }, `#${one.id} `, h("bdi", {}, excerpt(one.name || one.prompt_text, 60))), " ",
    h("span", { class: "soft" }, `${away(comes(one), now)}${elsewhere(one)}${one.snoozed_until === comes(one) ? ", put off" : ""}`))))];
}

/** The schedule's own clock, where that is not this browser's. */
function elsewhere(one) {
  const at = comes(one);
  return local(at).slice(0, 16) === clock(at).slice(0, 16) ? "" : `; ${clock(at)} in ${one.timezone}`;
}

export function log(events) {
  const list = h("ul", { class: "plain log", id: "log", tabindex: "0", "aria-label": "Events, newest first" }, events.slice(-EVENTS).reverse().map((one) => line(one)));
  if (!events.length) list.append(h("li", { class: "empty" }, "Nothing yet; events come in by themselves."));
  return list;
}

/** One more event, without a new view. */
export function add(one) {
  const list = document.getElementById("log");
  if (!list) return;
  list.querySelector(".empty")?.remove();
  list.prepend(line(one, true));
  while (list.children.length > EVENTS) list.lastChild.remove();
}

function line(one, isNew) {
  if (one.event === undefined) return h("li", { class: "soft" }, `Some older events are not kept any more (${one.missing}).`);
  return h("li", { class: isNew ? "new" : "" }, h("time", { datetime: one.at, title: one.at }, local(one.at)), one.schedule_id && [h("a", { href: `#/schedules/${one.schedule_id}` }, `#${one.schedule_id}`), " "], one.sentence);
}

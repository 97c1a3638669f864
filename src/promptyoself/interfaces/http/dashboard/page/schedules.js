// The list of schedules, one schedule with its story and receipts, and what can be done with it.

import { all, get, post, remove } from "./api.js";
import { action, away, choose, clock, comes, confirmed, excerpt, field, h, pill, replace } from "./show.js";

const rule = (one) => (one.schedule_type === "once" ? `once, ${clock(one.schedule_value)}` : `${one.schedule_type} ${one.schedule_value}`);
const called = (one) => one.name || excerpt(one.prompt_text);

/** What can be done with a schedule; each answers with the sentence that the service gave. */
function deeds(one, done, { isBrief }) {
  const at = `schedules/${one.id}`;
  const of = ` schedule ${one.id}`;
  const tell = async (asked) => { const { message } = await asked; await done(); return message; };
  const isLive = one.state === "active" || one.state === "paused";
  const made = [];
  if (one.state === "active") made.push(action("Pause", () => tell(post(`${at}/pause`)), { key: `pause-${one.id}`, label: `Pause${of}` }));
  if (one.state === "paused") made.push(action("Resume", () => tell(post(`${at}/resume`)), { key: `pause-${one.id}`, label: `Resume${of}` }));
  if (one.state !== "cancelled") made.push(action("Run now", () => tell(post(`${at}/run-now`)), { key: `run-${one.id}`, label: `Run${of} now` }));
  if (isBrief) return made;
  if (one.state === "active") {
    made.push(action("Skip the next", () => tell(post(`${at}/skip`)), { key: "skip" }));
    const lasting = choose([["15m", "15 minutes"], ["1h", "1 hour"], ["3h", "3 hours"], ["1d", "1 day"]], "1h");
    lasting.setAttribute("aria-label", "Snooze for");
    made.push(h("span", { class: "buttons" }, action("Snooze for", () => tell(post(`${at}/snooze`, { for: lasting.value })), { key: "snooze" }), h("span", {}, lasting)));
  }
  if (isLive) made.push(h("a", { href: `#/edit/${one.id}` }, "Edit"));
  if (isLive) {
    made.push(action("Cancel", async () => {
      const sure = await confirmed(`Cancel schedule ${one.id}?`, `“${called(one)}” will not fire again. This cannot be undone.`, "Cancel it");
      return sure ? tell(remove(at)) : null;
    }, { key: "cancel", tone: "danger" }));
  }
  return made;
}

const chosen = { text: "", which: "live" };

export async function schedules(place, { refresh }) {
  const { found, isCut } = await all("schedules", "schedules", chosen.which === "live" ? {} : { all: "true" });
  const text = h("input", { type: "search", value: chosen.text, "data-key": "filter", placeholder: "name, prompt, agent, rule" });
  const which = choose([["live", "active and paused"], ["all", "all, finished ones too"], ["active", "active"], ["paused", "paused"]], chosen.which);
  which.dataset.key = "which";
  const rows = h("tbody");
  const count = h("p", { class: "soft", role: "status" });
  const none = h("p", { class: "empty" }, "None of the schedules fits this filter.");
  const fill = () => {
    const words = chosen.text.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = found.filter((one) => (chosen.which === "live" || chosen.which === "all" || one.state === chosen.which)
      && words.every((word) => [one.id, one.name, one.prompt_text, one.agent_id, rule(one), one.key].join(" ").toLowerCase().includes(word)));
    rows.replaceChildren(...shown.slice(0, 500).map((one) => row(one, refresh)));
    none.hidden = shown.length > 0;
    count.textContent = `${shown.length} of ${found.length}${isCut ? " and more" : ""}${shown.length > 500 ? "; the first 500 are shown" : ""}`;
  };
  text.addEventListener("input", () => { chosen.text = text.value; fill(); });
  which.addEventListener("change", () => { chosen.which = which.value; refresh(); });
  fill();
  replace(place, h("h1", {}, "Schedules"),
    h("div", { class: "filters" }, field("filter", "Filter", text), field("which", "Show", which), count),
    found.length ? h("section", {}, h("table", { class: "wide" }, h("thead", {}, h("tr", {}, ["Schedule", "Rule", "Next", "State", "Do"].map((one) => h("th", { scope: "col" }, one)))), rows), none)
      : h("p", { class: "empty" }, "No schedules yet. ", h("a", { href: "#/new" }, "Make the first one.")));
}

function row(one, refresh) {
  const next = one.state === "paused" ? null : comes(one);
  return h("tr", {},
    h("td", {}, h("a", { href: `#/schedules/${one.id}` }, `#${one.id} `, h("bdi", {}, called(one))), h("div", { class: "soft" }, one.agent_id)),
    h("td", { "data-label": "Rule:" }, rule(one), h("div", { class: "soft" }, one.timezone)),
    h("td", { "data-label": "Next:" }, next ? [h("span", { class: "at" }, clock(next)), h("div", { class: "soft" }, away(next), one.snoozed_until === next && ", put off")] : "–"),
    h("td", {}, pill(one.state), one.state_reason && h("div", { class: "soft" }, excerpt(one.state_reason))),
    h("td", {}, h("div", { class: "buttons" }, deeds(one, refresh, { isBrief: true }))));
}

export async function schedule(place, { refresh, id }) {
  const [shown, why, history] = await Promise.all([get(`schedules/${id}`), get(`schedules/${id}/why`), get(`schedules/${id}/history`, { limit: 25 })]);
  const one = shown.schedule;
  const open = new Set([...place.querySelectorAll("details[open]")].map((each) => each.dataset.key));
  const facts = { agent: one.agent_id, rule: rule(one), "in words": shown.description, zone: one.timezone, "fired": one.max_repetitions ? `${one.repetition_count} of ${one.max_repetitions}` : one.repetition_count, key: one.key, target: one.target, ...Object.fromEntries(Object.entries(shown.details).map(([name, value]) => [name.replaceAll("_", " "), /^\d{4}-\d\d-\d\dT/.test(value) ? clock(value) : value])) };
  replace(place,
    h("h1", {}, `#${one.id} `, h("bdi", {}, called(one)), " ", pill(one.state)),
    one.state_reason && h("p", { class: "soft" }, one.state_reason),
    h("section", { "aria-label": "What can be done" }, h("div", { class: "buttons" }, deeds(one, refresh, { isBrief: false }))),
    shown.warnings.length > 0 && h("section", { class: "banner" }, h("ul", { class: "plain" }, shown.warnings.map((each) => h("li", {}, each)))),
    h("div", { class: "two" },
      h("section", {}, h("h2", {}, "Next"), shown.next_runs.length || one.snoozed_until
        ? h("ul", { class: "plain" }, [...new Set([one.snoozed_until, ...shown.next_runs].filter(Boolean))].map((at) => h("li", {}, clock(at), " ", h("span", { class: "soft" }, away(at), at === one.snoozed_until && ", put off until then"))))
        : h("p", { class: "empty" }, "It does not fire again.")),
      h("section", {}, h("h2", {}, "Prompt"), h("pre", { tabindex: "0", role: "region", "aria-label": "Prompt", dir: "auto" }, one.prompt_text))),
    h("section", {}, h("h2", {}, "What happened, and why"), h("ul", { class: "plain log" }, why.sentences.map((each) => h("li", {}, each)))),
    h("section", {}, h("h2", {}, "Receipts"), history.deliveries.length
      ? history.deliveries.map((each) => receipt(each, open, refresh)) : h("p", { class: "empty" }, "Nothing was delivered yet, and nothing is on its way.")),
    h("section", {}, h("h2", {}, "All of it"), h("dl", {}, Object.entries(facts).filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]))));
}

const late = (one) => (one.lateness_ms === null ? "" : `, ${(one.lateness_ms / 1000).toFixed(1)} s late`);

/** A delivery with every attempt. */
export function receipt(one, open, refresh) {
  const key = `delivery-${one.id}`;
  return h("details", { "data-key": key, open: open.has(key) },
    h("summary", {}, `Delivery ${one.id}, due ${clock(one.fire_at)} `, pill(one.state), h("span", { class: "soft" }, late(one), one.reason && ` – ${one.reason}`)),
    h("ol", { class: "plain" }, one.attempts.map((each) => h("li", {}, `Attempt ${each.number} `, pill(each.outcome), " ", h("span", { class: "when" }, clock(each.started_at)),
      [each.status && `status ${each.status}`, each.run_id && `run ${each.run_id}`, each.error_code, each.detail].filter(Boolean).join(", ")))),
    one.attempts.length === 0 && h("p", { class: "empty" }, "No attempt yet."),
    one.reply_excerpt && h("p", {}, h("span", { class: "soft" }, "The agent answered: "), one.reply_excerpt),
    h("p", { class: "soft" }, `idempotency key ${one.idempotency_key}`),
    again(one, refresh));
}

export function again(one, refresh) {
  if (!["dead", "skipped", "cancelled"].includes(one.state)) return null;
  return action("Try again", async () => { const { message } = await post(`deliveries/${one.id}/retry`); await refresh(); return message; },
    { key: `retry-${one.id}`, label: `Try delivery ${one.id} again` });
}

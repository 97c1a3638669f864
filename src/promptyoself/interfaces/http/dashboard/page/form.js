// Making and editing a schedule. While the rule is typed, the service says in words what it means and when it fires.

import { get, patch, post } from "./api.js";
import { choose, clock, field, h, notice, replace } from "./show.js";

const KINDS = [["every", "Again and again"], ["cron", "By cron"], ["time", "Once"], ["rrule", "By RRULE"]];
const HINTS = {
  every: "45m, 2d, or in words: weekday at 9am",
  cron: "five fields: 0 9 * * mon-fri",
  time: "tomorrow 9am, in 45 minutes, or 2030-01-31T09:00",
  rrule: "FREQ=MONTHLY;BYDAY=1MO;BYHOUR=9",
};
const STORED = { once: "time", interval: "every", cron: "cron", rrule: "rrule" };
const PREVIEW_AFTER_MS = 250;

export async function form(place, { id, go }) {
  const shown = id ? await get(`schedules/${id}`) : null;
  const old = shown ? { ...shown.schedule, ...shown.details } : {};
  const input = (name, value, more = {}) => h("input", { type: "text", autocomplete: "off", spellcheck: "false", value: value ?? "", ...more });
  const kind = choose(KINDS, id ? STORED[old.schedule_type] : "every");
  const controls = {
    agent_id: input("agent_id", old.agent_id, { list: "agents", required: true }), prompt: h("textarea", { required: true, dir: "auto" }, old.prompt_text || ""),
    rule: input("rule", old.schedule_value, { required: true }), timezone: input("timezone", old.timezone),
    name: input("name", old.name, { dir: "auto" }), key: input("key", old.key), quiet_hours: input("quiet_hours", old.quiet_hours),
    target: choose([["letta", "letta"], ["inbox", "inbox"]], old.target), max_repetitions: input("max_repetitions", old.max_repetitions, { inputmode: "numeric", pattern: "[0-9]*" }),
    start_at: input("start_at", old.start_at), end_at: input("end_at", old.end_at), jitter: input("jitter", old.jitter),
    catch_up: choose([["latest", "the latest"], ["skip", "skip them"], ["all", "all of them"]], old.catch_up),
    overlap: choose([["skip", "skip the new one"], ["queue", "queue it"]], old.overlap),
    envelope: choose([["brief", "brief"], ["full", "full"], ["none", "none"]], old.envelope),
  };
  const preview = h("div", { class: "preview", role: "status", "aria-live": "polite" }, h("p", { class: "soft" }, "What the rule means stands here as you type."));
  const hint = h("span", { class: "soft", id: "hint-rule" });
  const agents = h("datalist", { id: "agents" });
  const hinted = () => { hint.textContent = HINTS[kind.value]; };
  const save = h("button", { type: "submit" }, id ? "Save" : "Schedule it");

  const ruleOf = () => {
    const asked = { [kind.value]: controls.rule.value.trim() };
    for (const name of ["timezone", "start_at", "end_at", "quiet_hours", "jitter"]) if (controls[name].value.trim()) asked[name] = controls[name].value.trim();
    if (/^[1-9]\d{0,8}$/.test(controls.max_repetitions.value)) asked.max_repetitions = Number(controls.max_repetitions.value);
    return asked;
  };
  const show = later(async () => {
    if (!controls.rule.value.trim()) return;
    const asked = ruleOf();
    try {
      const said = await post("preview", asked);
      preview.replaceChildren(h("p", {}, h("strong", {}, said.description)),
        h("p", {}, said.runs.length ? said.runs.slice(0, 3).map((run) => clock(run.sent_at || run.at) + (run.skipped ? ` (skipped: ${run.skipped})` : "")).join(" · ") : "It would not fire."),
        h("p", { class: "soft" }, said.timezone), said.warnings.map((each) => h("p", { class: "soft" }, each)));
    } catch (error) {
      preview.replaceChildren(h("p", { class: "bad" }, error.message));
    }
  });
  for (const name of ["rule", "timezone", "start_at", "end_at", "quiet_hours", "jitter", "max_repetitions"]) controls[name].addEventListener("input", show);
  kind.addEventListener("change", () => { hinted(); show(); });
  controls.rule.setAttribute("aria-describedby", "hint-rule");

  // One key for one form: a request that is sent twice makes one schedule.
  const asked = { "Idempotency-Key": Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("") };
  const made = h("form", {
    onsubmit: async (event) => {
      event.preventDefault();
      save.disabled = true;
      try {
        const answer = id ? await patch(`schedules/${id}`, changes(controls, kind, old)) : await post("schedules", wanted(controls, ruleOf()), asked);
        go(`#/schedules/${id || answer.id}`, answer.message);
      } catch (error) {
        notice(error.message);
        save.disabled = false;
      }
    },
  },
  h("section", {}, h("div", { class: "fields" }, field("agent_id", "Agent", controls.agent_id), field("name", "Name", controls.name)), agents,
    field("prompt", "Prompt", controls.prompt)),
  h("section", {}, h("div", { class: "fields" }, field("kind", "When", kind), h("div", { class: "field" }, h("label", { for: "field-rule" }, "Rule"), named("rule", controls.rule), hint), field("timezone", "Time zone", controls.timezone, "such as Europe/Riga")), preview),
  h("details", { class: "card" }, h("summary", {}, "More"), h("div", { class: "fields" },
    field("target", "Deliver to", controls.target), field("key", "Your own key", controls.key), field("max_repetitions", "At most this many times", controls.max_repetitions),
    field("start_at", "Not before", controls.start_at), field("end_at", "Not after", controls.end_at), field("quiet_hours", "Quiet hours", controls.quiet_hours, "22:00-07:00"),
    field("jitter", "Spread over (jitter)", controls.jitter, "5m"), field("catch_up", "Missed fire times", controls.catch_up), field("overlap", "When the last is unfinished", controls.overlap), field("envelope", "Told to the agent besides", controls.envelope))),
  h("div", { class: "buttons" }, save, h("a", { href: id ? `#/schedules/${id}` : "#/schedules" }, "Leave without saving")));
  replace(place, h("h1", {}, id ? `Edit schedule #${id}` : "New schedule"), made);
  hinted();
  if (id) show();
  controls[id ? "rule" : "agent_id"].focus();
  get("agents").then((answer) => agents.replaceChildren(...answer.agents.map((one) => h("option", { value: one.id }, one.name)))).catch(() => {});
}

function named(name, control) {
  control.id = `field-${name}`;
  control.name = name;
  return control;
}

function wanted(controls, rule) {
  const found = { ...rule };
  for (const name of ["agent_id", "name", "key", "target", "catch_up", "overlap", "envelope"]) if (controls[name].value.trim()) found[name] = controls[name].value.trim();
  found.prompt = controls.prompt.value;
  return found;
}

/** Only what was changed: the rest stays as it is, and the rule's count goes on. */
function changes(controls, kind, old) {
  const found = {};
  for (const name of ["agent_id", "name", "key", "target", "catch_up", "overlap", "envelope", "timezone", "start_at", "end_at", "quiet_hours", "jitter"]) {
    const value = controls[name].value.trim();
    if (value !== (old[name] ?? "")) found[name] = value;
  }
  if (controls.prompt.value !== old.prompt_text) found.prompt = controls.prompt.value;
  if (controls.max_repetitions.value !== String(old.max_repetitions ?? "")) found.max_repetitions = Number(controls.max_repetitions.value || 0);
  if (kind.value !== STORED[old.schedule_type] || controls.rule.value.trim() !== old.schedule_value) found[kind.value] = controls.rule.value.trim();
  found.revision = old.revision;
  return found;
}

function later(act) {
  let timer;
  return () => { clearTimeout(timer); timer = setTimeout(act, PREVIEW_AFTER_MS); };
}
